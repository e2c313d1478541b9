"""Grading before a reproduction: a version of 100 nodes, half of them generations, held against what is here."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Measured, cpu
from benchmarks.samples import MODEL, settings, workplace
from intaglio.core.workflow import Workflow, parse_workflow
from intaglio.studio.open import init

NODES = 100
ROUNDS = 10
TARGET_MS = 100


def measure() -> Iterator[Measured]:
    """The grade of one version, again and again in one process; torch is loaded, as it is wherever one reproduces."""
    with workplace() as folder, init(folder, settings()) as studio:
        studio.models.add(MODEL, name="scenes")
        task = studio.tasks.run(_workflow(), annotation="a hundred nodes")
        assert studio.versions.grade(task.version).grade == "full"
        seconds = min(cpu(lambda: studio.versions.grade(task.version)) for _ in range(ROUNDS))
    yield Measured(f"grade of a version of {NODES} nodes", seconds * 1000, "ms CPU", target=TARGET_MS)


def _workflow() -> Workflow:
    """Chains of two: a generation of one step, and grain on it."""
    painting = {"model": "scenes", "prompt": "blue sea, day", "steps": 1, "guidance": 1.0, "width": 16, "height": 16}
    nodes: dict[str, object] = {}
    for number in range(NODES // 2):
        nodes[f"base{number}"] = {"type": "text-to-image", "params": painting, "seed": str(number + 1)}
        nodes[f"grain{number}"] = {
            "type": "film-grain",
            "inputs": {"image": f"base{number}"},
            "params": {"amount": 0.1},
            "seed": str(number + 1),
        }
    return parse_workflow({"name": "hundred", "nodes": nodes})
