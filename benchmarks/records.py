"""Chains of cheap nodes through the durable store: each node's picture, record and event are on the disk in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.measure import Measured, cpu
from benchmarks.samples import grain_chain, settings, workplace
from intaglio.core.image import Image
from intaglio.core.task import Task
from intaglio.core.workflow import Workflow
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio, init

LENGTHS = (10, 100, 500, 1000)
ROUNDS = 3
TARGETS = {"new": 4.0, "reused": 1.5}


def measure() -> Iterator[Measured]:
    """New and reused nodes per chain; the first run of each is in a library of its own."""
    costs: dict[tuple[int, str], float] = {}
    for length in LENGTHS:
        rounds = [_round(length) for _ in range(ROUNDS)]
        for index, what in enumerate(("new", "reused")):
            costs[length, what] = min(measured[index] for measured in rounds)
            per_node = costs[length, what] / length * 1000
            yield Measured(f"durable, chain of {length:,} {what}: CPU per node", per_node, "ms")
    for what, target in TARGETS.items():
        yield Measured(
            f"1,000 node records, {what}", costs[1000, what], "s CPU", "10 chains of 100", costs[100, what] * 10, target
        )


def _round(length: int) -> tuple[float, float]:
    with workplace() as folder, init(folder, settings()) as studio:
        picture = folder / "small.png"
        picture.write_bytes(encode(Image("L", 8, 8, bytes(64))))
        workflow = grain_chain(length, picture)
        studio.tasks.run(grain_chain(2, picture), set=("n1.seed=5",))  # imports what a run imports
        new, reused = _run(studio, workflow), _run(studio, workflow)
        assert (new.steps, reused.steps) == (length, length)
        assert (new.made, reused.made) == (length - 1, 0)  # the first node was reused by both
        return new.cpu, reused.cpu


@dataclass(frozen=True)
class _Ran:
    cpu: float
    steps: int
    made: int


def _run(studio: Studio, workflow: Workflow) -> _Ran:
    tasks: list[Task] = []
    used = cpu(lambda: tasks.append(studio.tasks.run(workflow)))
    steps = studio.tasks.show(tasks[0].id).steps
    return _Ran(used, len(steps), sum(not step.reused_from for step in steps))
