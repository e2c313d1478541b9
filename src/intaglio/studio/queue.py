"""Putting a plan in line: the record of a task comes into being."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

from intaglio.core.errors import Invalid
from intaglio.core.plan import Plan
from intaglio.core.task import Reason, Task
from intaglio.store.lock import TaskLock
from intaglio.studio import clock
from intaglio.studio.carry_out import lock_path
from intaglio.studio.parts import Parts

_DATE = re.compile(r"\d{4}(-\d\d){0,2}", re.ASCII)


def queue(parts: Parts, plan: Plan, *, reproduces: str = "", reason: Reason | None = None) -> tuple[Task, TaskLock]:
    """Record a task for a plan; `reproduces` is the digest of the version it brings back, "" for a first run.

    The returned lock is held before the task can be seen, so that it never looks abandoned.
    """
    task_id = new_task_id()
    lock = TaskLock.hold(lock_path(parts, task_id))
    try:
        with parts.database.write():
            task = recorded(parts, task_id, plan, reproduces=reproduces, reason=reason)
    except BaseException:
        lock.release()
        raise
    return task, lock


def recorded(parts: Parts, task_id: str, plan: Plan, *, reproduces: str = "", reason: Reason | None = None) -> Task:
    """The record of a new task and its plan, written inside the caller's transaction."""
    task = Task(
        id=task_id,
        status="queued",
        purpose="reproduce" if reproduces else "run",
        workflow=plan.workflow,
        plan=parts.documents.put(plan),
        reproduces=reproduces,
        reason=reason,
        author=parts.settings.author,
        created=clock.now(),
    )
    parts.tasks.add(task)
    return task


def id_on(date: str) -> str:
    """How the ids of tasks of a day, month or year begin. Raises Invalid for what is no date."""
    if date and not _DATE.fullmatch(date):
        raise Invalid(f"{date[:40]!r} is no date", hint="Write a day, a month or a year: 2026-11-21, 2026-11 or 2026.")
    return date.replace("-", "")


def new_task_id() -> str:
    """An id that sorts by time and reads as a date: 20261120-204501-7f3a9c12."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
