"""Chains of cheap nodes through the durable store: each node's picture, record and event are on the disk in turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Measured, cpu
from benchmarks.samples import grain_chain, settings, workplace
from intaglio.core.image import Image
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
        _warm(studio, picture)
        first = cpu(lambda: _run(studio, workflow, reused=False))
        again = cpu(lambda: _run(studio, workflow, reused=True))
        return first, again


def _warm(studio: Studio, picture: Path) -> None:
    """Import what a run imports."""
    studio.tasks.run(grain_chain(2, picture), set=("n1.seed=5",))


def _run(studio: Studio, workflow: Workflow, *, reused: bool) -> None:
    task = studio.tasks.run(workflow)
    steps = studio.tasks.show(task.id).steps
    fresh = [step for step in steps if not step.reused_from]
    assert len(steps) == len(workflow.nodes)
    assert len(fresh) <= 1 if reused else len(fresh) >= len(steps) - 1
