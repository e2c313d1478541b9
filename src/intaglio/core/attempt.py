"""The attempts at a task, read from its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from intaglio.core.task import Event, Failure, Status, Task

# How an attempt ended: `stopped` says that its worker was told to stop and put it back, `lost` that its runner died.
How = Literal["running", "done", "failed", "cancelled", "stopped", "lost"]

# What a log says when an attempt begins and how one that is not the last word on its task ended; the rest of it is in
# the facts: `attempt`, and `pid`; or `code`, `message`, `tries` and `again_at`, when it is tried again.
STARTED = "attempt.started"
FAILED = "attempt.failed"
CANCELLED = "attempt.cancelled"
STOPPED = "attempt.stopped"
LOST = "attempt.lost"
_ENDS: Mapping[str, How] = {FAILED: "failed", CANCELLED: "cancelled", STOPPED: "stopped", LOST: "lost"}
_LAST: Mapping[Status, How] = {
    "running": "running",
    "waiting": "done",
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
    "interrupted": "lost",
}


@dataclass(frozen=True)
class Attempt:
    """One attempt at a task: when it began and ended ("" = not yet, or nobody knows), how, and why.

    `again_at` is when it was to be tried again by itself, "" when it was not.
    """

    number: int
    started: str
    ended: str = ""
    how: How = "running"
    error: Failure | None = None
    again_at: str = ""


def attempts(task: Task, log: Sequence[Event]) -> tuple[Attempt, ...]:
    """Every attempt at a task that its log tells of, and the last one, in order."""
    found: list[Attempt] = []
    for event in log:
        if event.what == STARTED:
            if found and found[-1].how == "running":  # nobody was left to say how it ended
                found[-1] = replace(found[-1], how="lost")
            found.append(Attempt(_number(event), event.time))
        elif event.what in _ENDS and found:
            found[-1] = _ended(found[-1], event)
    if task.attempt and not (found and found[-1].number == task.attempt):  # begun before logs told of attempts
        found.append(Attempt(task.attempt, task.started))
    if found and found[-1].how == "running" and task.status in _LAST:
        ended = task.finished if task.status not in ("running", "interrupted") else ""
        found[-1] = replace(found[-1], ended=ended, how=_LAST[task.status], error=task.error)
    return tuple(found)


def _number(event: Event) -> int:
    number = event.facts.get("attempt")
    return number if isinstance(number, int) else 0


def _ended(attempt: Attempt, event: Event) -> Attempt:
    error = None
    if event.facts.get("code"):
        error = Failure(code=str(event.facts["code"]), message=str(event.facts.get("message", "")), step=event.step)
    again_at = str(event.facts.get("again_at", ""))
    return replace(attempt, ended=event.time, how=_ENDS[event.what], error=error, again_at=again_at)
