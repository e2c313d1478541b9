"""How long a command takes before it says anything."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Measured, command_cpu, least_command
from benchmarks.samples import grain_chain, settings, workplace
from intaglio.core.plan import Plan, Step, WorkflowRef
from intaglio.core.task import Task
from intaglio.studio.open import Studio, init

COMMAND = Path(sysconfig.get_path("scripts")) / "intaglio"
TASKS = 1_000
TIMES = 15


def measure() -> Iterator[Measured]:
    """Help, a list of tasks in a library that has many, and the first start of a library."""
    bare = least_command([sys.executable, "-c", "pass"], TIMES) * 1000
    compared = "python -c pass"
    with workplace() as folder:
        helped = least_command([COMMAND, "--help"], TIMES, cwd=folder) * 1000
        yield Measured("intaglio --help", helped, "ms CPU", compared, bare, 150)
        with init(folder, settings()) as studio:
            fill(studio, TASKS)
        for limit in ("20", "1000"):
            listed = least_command([COMMAND, "tasks", "list", "--limit", limit], TIMES, cwd=folder) * 1000
            yield Measured(f"intaglio tasks list --limit {limit}, of 1,000", listed, "ms CPU", compared, bare, 400)
    yield Measured("first start of a library", min(_first() for _ in range(5)) * 1000, "ms CPU", compared, bare, 1000)


def _first() -> float:
    with workplace() as folder:
        return command_cpu([COMMAND, "init"], cwd=folder)


def fill(studio: Studio, count: int) -> None:
    """Many finished tasks."""
    reference = studio.workflows.add(grain_chain(3, Path("picture.png")))
    parts = studio.parts
    with parts.database.write():
        for number in range(count):
            step = Step(id="n", node="n", type="film-grain", type_version=1, params={"amount": number / count})
            plan = Plan(workflow=reference, mode="discovery", threads=1, deterministic=True, steps=(step,))
            parts.tasks.add(_task(number, reference, parts.documents.put(plan)))


def _task(number: int, reference: WorkflowRef, plan: str) -> Task:
    created = f"2026-11-20T10:{number // 60:02}:{number % 60:02}.000000Z"
    return Task(
        id=f"20261120-{number:06}-00000000",
        status="done",
        workflow=reference,
        plan=plan,
        author="benchmark",
        created=created,
        started=created,
        finished=created,
        attempt=1,
    )
