from __future__ import annotations

from dataclasses import replace
from typing import Any

from intaglio.core.attempt import Attempt, attempts
from intaglio.core.plan import WorkflowRef
from intaglio.core.task import Event, Failure, Status, Task

TASK = Task(
    id="t",
    status="queued",
    workflow=WorkflowRef(name="w", version=1, digest="blake3:" + "0" * 64),
    plan="blake3:" + "1" * 64,
    author="Ada",
    created="c",
)


def log(*lines: tuple[str, dict[str, Any]]) -> list[Event]:
    return [
        Event(
            task="t",
            number=number,
            time=f"at {number}",
            what=what,
            step="grain" if "code" in facts else "",
            facts=facts,
        )
        for number, (what, facts) in enumerate(lines, start=1)
    ]


def task(status: Status, number: int, **more: Any) -> Task:
    return replace(TASK, status=status, attempt=number, started="s", finished="f", **more)


def test_a_task_that_only_waited_had_no_attempt() -> None:
    assert attempts(TASK, log(("seed.differs", {"message": "x"}))) == ()


def test_RUN_4_every_attempt_says_how_it_ended_and_why() -> None:
    lines = log(
        ("attempt.started", {"attempt": 1, "pid": 7}),
        ("done", {"seed": "1"}),
        ("attempt.failed", {"attempt": 1, "code": "storage.failed", "message": "full", "again_at": "later"}),
        ("attempt.started", {"attempt": 2, "pid": 7}),
        ("attempt.lost", {"attempt": 2, "code": "worker.lost", "message": "died", "again_at": "later"}),
        ("attempt.started", {"attempt": 3, "pid": 8}),
        ("attempt.stopped", {"attempt": 3}),
        ("attempt.started", {"attempt": 4, "pid": 9}),
        ("attempt.cancelled", {"attempt": 4}),
        ("attempt.started", {"attempt": 5, "pid": 9}),
        ("attempt.started", {"attempt": 6, "pid": 9}),
    )
    assert attempts(task("done", 6), lines) == (
        Attempt(1, "at 1", "at 3", "failed", Failure(code="storage.failed", message="full", step="grain"), "later"),
        Attempt(2, "at 4", "at 5", "lost", Failure(code="worker.lost", message="died", step="grain"), "later"),
        Attempt(3, "at 6", "at 7", "stopped"),
        Attempt(4, "at 8", "at 9", "cancelled"),
        Attempt(5, "at 10", "", "lost"),
        Attempt(6, "at 11", "f", "done"),
    )


def test_the_last_attempt_stands_as_its_task_does() -> None:
    lines = log(("attempt.started", {"attempt": 1, "pid": 7}))
    error = Failure(code="node.failed", message="x")
    assert attempts(task("running", 1), lines) == (Attempt(1, "at 1"),)
    assert attempts(task("waiting", 1), lines) == (Attempt(1, "at 1", "f", "done"),)
    assert attempts(task("interrupted", 1), lines) == (Attempt(1, "at 1", "", "lost"),)
    assert attempts(task("failed", 1, error=error), lines) == (Attempt(1, "at 1", "f", "failed", error),)


def test_a_task_from_before_logs_told_of_attempts_has_its_last_one() -> None:
    assert attempts(task("done", 3), log(("done", {}))) == (Attempt(3, "s", "f", "done"),)
