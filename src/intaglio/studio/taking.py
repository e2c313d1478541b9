"""The queue, for those who work on it: what may be tried again goes back, what is lost is found, the rest fails."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from intaglio.core import attempt
from intaglio.core.errors import Cancelled, Conflict, Damaged, IntaglioError, NotFound, WorkerLost
from intaglio.core.job import Job
from intaglio.core.journal import Notice
from intaglio.core.queued import Queued
from intaglio.core.record import Json
from intaglio.core.retry import again_in
from intaglio.core.task import Event, Failure, Task
from intaglio.store import disk
from intaglio.studio import clock
from intaglio.studio.carry_out import cancel_path
from intaglio.studio.parts import Parts

# What the journal calls a line about a job, which has no log of its own.
JOB_EVENT = "job.event"
_LONGEST_LOG = 10_000


def record_of(parts: Parts, entry: Queued) -> Task | Job:
    """The task or job of an entry. Raises NotFound, Damaged."""
    return parts.tasks.get(entry.id) if entry.what == "task" else parts.jobs.get(entry.id)


def begin(parts: Parts, entry: Queued) -> None:
    """Raises Conflict unless an entry may be begun now; inside the transaction that begins it."""
    record = record_of(parts, entry)
    if not parts.queue.has(entry.id) or record.status != "queued":
        raise Conflict(f"{entry.what} {entry.id} is {record.status}, and does not wait any more")


def put_back(parts: Parts, entry: Queued, error: IntaglioError) -> bool:
    """Put back what was tried and ended in `error`, if that may go well later; inside the transaction that ends it.

    It waits a while first. Its tries are counted from the last time it got a step further.
    """
    waits, record = parts.queue.get(entry.id), record_of(parts, entry)
    if waits is None:
        return False
    tries = 1 if _got_further(parts, record) else waits.tries + 1
    pause = again_in(error, tries)
    if pause is None:
        return False
    again_at = clock.written(datetime.now(UTC) + timedelta(seconds=pause))
    what = attempt.LOST if isinstance(error, WorkerLost) else attempt.FAILED
    tell(parts, entry, what, error.step, {**_facts(record, error), "tries": tries, "again_at": again_at})
    parts.queue.postpone(entry.id, again_at, tries)
    _queued_again(parts, entry, record, error=Failure.of(error))
    return True


def stop(parts: Parts, entry: Queued) -> None:
    """Put back what its worker was told to stop; nothing went wrong with it, so it keeps its place."""
    with parts.database.write():
        record = record_of(parts, entry)
        if parts.queue.has(entry.id) and record.status == "running":
            tell(parts, entry, attempt.STOPPED, "", {"attempt": record.attempt})
            _queued_again(parts, entry, record)


def lost(parts: Parts, entry: Queued, error: IntaglioError) -> str:
    """End the attempt of a task or job that nobody is at any more: cancelled if somebody had asked for that, else put
    back, or failed when it was tried often enough. Its lock is held. Returns what it is now."""
    with parts.database.write():
        record = record_of(parts, entry)
        if not parts.queue.has(entry.id) or record.status not in ("running", "interrupted"):
            return record.status
        if cancel_path(parts, entry.id).exists():
            end(parts, entry, Cancelled("cancelled"))
        elif not put_back(parts, entry, error):
            end(parts, entry, error)
    disk.unlink(cancel_path(parts, entry.id))
    return record_of(parts, entry).status


def end(parts: Parts, entry: Queued, error: IntaglioError) -> None:
    """Write down how an attempt ended that is the last one; inside the caller's transaction."""
    record = record_of(parts, entry)
    if isinstance(error, Cancelled):
        tell(parts, entry, attempt.CANCELLED, "", {"attempt": record.attempt})
        advance(parts, entry, "cancelled", finished=clock.now())
        return
    what = attempt.LOST if isinstance(error, WorkerLost) else attempt.FAILED
    tell(parts, entry, what, error.step, _facts(record, error))
    advance(parts, entry, "failed", finished=clock.now(), error=Failure.of(error))


def set_aside(parts: Parts, entry: Queued, error: IntaglioError) -> None:
    """Take an entry out that nobody can carry out, because its record or log is damaged; it has failed if that can be
    written down."""
    with parts.database.write():
        with suppress(NotFound, Damaged, Conflict):
            if record_of(parts, entry).status in ("running", "interrupted"):
                advance(parts, entry, "failed", finished=clock.now(), error=Failure.of(error))
        parts.queue.remove(entry.id)


def advance(parts: Parts, entry: Queued, status: Any, **changes: Any) -> Task | Job:
    """Move the task or job of an entry forward. Raises Conflict, NotFound, Damaged."""
    store = parts.tasks if entry.what == "task" else parts.jobs
    return store.advance(entry.id, status, **changes)


def tell(parts: Parts, entry: Queued, what: str, step: str, facts: dict[str, Json]) -> None:
    """Add a line to the log of a task, or about a job to the journal."""
    if entry.what == "task":
        parts.tasks.log(entry.id, what, step, facts)
    else:
        parts.journal.note(JOB_EVENT, entry.id, {"what": what, **facts})


def started(number: int) -> dict[str, Json]:
    """What is told of an attempt that this process begins."""
    return {"attempt": number, "pid": os.getpid()}


def runner_of(parts: Parts, entry: Queued) -> int:
    """The process that began the last attempt at a task or job, 0 when nobody knows."""
    lines: list[Event] | list[Notice]
    if entry.what == "task":
        begun = [event.facts for event in parts.tasks.events(entry.id) if event.what == attempt.STARTED]
    else:
        lines = parts.journal.list(limit=_LONGEST_LOG, subject=entry.id, what=(JOB_EVENT,))
        begun = [line.facts for line in lines if line.facts.get("what") == attempt.STARTED]
    pid = begun[-1].get("pid") if begun else 0
    return pid if isinstance(pid, int) else 0


def _queued_again(parts: Parts, entry: Queued, record: Task | Job, **changes: Any) -> None:
    if record.status == "running":
        advance(parts, entry, "interrupted")
    advance(parts, entry, "queued", **changes)


def _facts(record: Task | Job, error: IntaglioError) -> dict[str, Json]:
    return {"attempt": record.attempt, "code": error.code, "message": str(error)}


def _begun(parts: Parts, job: Job) -> set[str]:
    """The tasks that the last attempt at a job began."""
    said = parts.journal.list(subject=job.id, what=["job.said"], limit=_LONGEST_LOG)
    began = [line for line in said if line.facts["callback"] == "began" and line.time >= job.started]
    return {str(line.facts["args"][0]) for line in began}


def _got_further(parts: Parts, record: Task | Job) -> bool:
    """Whether the last attempt at a task finished a step that was not finished before, or at a job one of its tasks."""
    if isinstance(record, Job):
        return any(parts.tasks.get(task).status in ("done", "waiting") for task in _begun(parts, record))
    steps = parts.tasks.steps(record.id)
    return any(step.attempt == record.attempt and not step.reused_from for step in steps)
