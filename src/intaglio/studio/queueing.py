"""The queue, for those who put something into it and look at it: submitting, trying again, waiting, putting first."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from intaglio.core.errors import Conflict, Damaged, Invalid, NotFound
from intaglio.core.job import Job
from intaglio.core.queued import Queued, Reuse, What
from intaglio.core.task import Status, Task
from intaglio.studio import annotating
from intaglio.studio.parts import Parts
from intaglio.studio.queue import new_task_id, recorded
from intaglio.studio.wanted import Wanted

UNFINISHED: tuple[Status, ...] = ("interrupted", "failed", "cancelled")
# How often the record is looked at while somebody waits for its end.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.04


@dataclass(frozen=True)
class Place:
    """What is at a position of the queue, 1 being the front: a task or a job, also one that is being worked on.

    It is not begun before `not_before` ("" = at once); `tries` is how often it was tried and went wrong. Both `task`
    and `job` are None when its record is damaged.
    """

    position: int
    id: str
    what: What
    task: Task | None
    job: Job | None
    not_before: str
    tries: int


def submit(parts: Parts, wanted: Wanted, *, reuse: Reuse, paranoid: bool) -> Task:
    """Record a task and put it at the end of the queue, all or nothing. Raises TooMany, TooLarge."""
    parts.limits.check_plan(wanted.plan)
    with parts.database.write():
        parts.limits.check_room(parts.queue)
        task = recorded(parts, new_task_id(), wanted.plan, reason=wanted.reason)
        wanted.log(parts, task)
        parts.queue.add(task.id, "task", reuse=reuse, paranoid=paranoid)
        parts.queued(task)
    return task


def retry(parts: Parts, task: Task) -> Task:
    """Put a task that did not finish into the queue again. Raises Conflict, TooMany."""
    check_unfinished(parts, task)
    with parts.database.write():
        parts.limits.check_room(parts.queue)
        parts.queue.add(task.id, "task", reuse="own")
        task = parts.tasks.advance(task.id, "queued", finished="", error=None)
        parts.queued(task)
        return task


def check_unfinished(parts: Parts, task: Task) -> None:
    """Raises Conflict for a task that cannot be taken up again."""
    if task.status not in UNFINISHED:
        wait = annotating.waiting(parts, task).way_on if task.status == "waiting" else ""
        raise Conflict(
            f"task {task.id} is {task.status}; only one that did not finish can be resumed",
            hint=f"Go on with: {wait}" if wait else "Run its workflow again with: intaglio tasks run",
        )
    if task.purpose == "reproduce":
        # Nothing may be reused, and the grade and the comparison belong to it: to go on is to begin again.
        raise Conflict(
            f"task {task.id} is a reproduction, which is made in one go",
            hint=f"Begin it again with: intaglio versions reproduce {task.reproduces}",
        )


def until(is_over: Callable[[], bool], timeout: float) -> None:
    """Return once `is_over`, at most 50 ms late, or when so many seconds have passed."""
    end, pause = time.monotonic() + timeout, _FIRST_PAUSE_S
    while not is_over():
        left = end - time.monotonic()
        if not left > 0:  # nor for a number that is none
            return
        time.sleep(min(pause, left))
        pause = min(1.5 * pause, _LONGEST_PAUSE_S)


def places(parts: Parts, limit: int, before: str | None) -> list[Place]:
    """The queue in order, `limit` at a time; `before` is the id where the last page ended. Raises NotFound, Damaged."""
    last, first = None, 1
    if before is not None:
        entry, position = parts.queue.get(before), parts.queue.position(before)
        if entry is None or position is None:
            raise NotFound("place in the queue", before, hint="See them with: intaglio tasks queue")
        last, first = entry.place, position + 1
    return [
        _place(parts, entry, position)
        for position, entry in enumerate(parts.queue.list(limit, after_place=last), start=first)
    ]


def move(parts: Parts, id: str, to: int) -> Place:
    """Put what waits at a position of the queue. Raises Conflict (it does not wait), Invalid."""
    if to < 1:
        raise Invalid(f"there is no position {to} in the queue", hint="Give 1 for the front.")
    with parts.database.write():
        if not parts.queue.has(id):
            raise Conflict(f"{id} is not in the queue", hint="See what is with: intaglio tasks queue")
        entry = parts.queue.move(id, to)
        return _place(parts, entry, parts.queue.position(id) or to)


def _place(parts: Parts, entry: Queued, position: int) -> Place:
    task: Task | None = None
    job: Job | None = None
    try:
        if entry.what == "task":
            task = parts.tasks.get(entry.id)
        else:
            job = parts.jobs.get(entry.id)
    except (NotFound, Damaged):  # a worker sets it aside when it comes to it
        pass
    return Place(position, entry.id, entry.what, task, job, entry.not_before, entry.tries)
