"""Jobs from queue to end."""

from __future__ import annotations

import builtins
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from intaglio.core.codec import decode, encode
from intaglio.core.errors import Conflict, NotFound
from intaglio.core.job import Job, JobStatus, check_forward
from intaglio.core.record import plain
from intaglio.store.database import Database
from intaglio.store.journal import note
from intaglio.store.queue import leave
from intaglio.store.rows import JOBS, starts_with
from intaglio.store.schema import jobs

# A job that became one of these is not in the queue any more.
ENDED: frozenset[JobStatus] = frozenset({"done", "failed", "cancelled"})

_GET = select(jobs).where(jobs.c.id == bindparam("wanted"))
_SEQ = select(jobs.c.seq).where(jobs.c.id == bindparam("wanted"))
_SET = update(jobs).where(jobs.c.seq == bindparam("at"))
_NEWEST = select(jobs).order_by(jobs.c.seq.desc()).limit(bindparam("limit"))


class Jobs:
    """Jobs by id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job: Job) -> None:
        """Keep a new job. Raises Conflict when its id is taken."""
        with self._database.write() as connection:
            if connection.execute(_SEQ, {"wanted": job.id}).first() is not None:
                raise Conflict(f"job {job.id!r} is already there")
            JOBS.add(connection, job)
            _note(connection, job)

    def get(self, id: str) -> Job:
        """The job of that id. Raises NotFound, Damaged."""
        with self._database.read() as connection:
            job = JOBS.first(connection, _GET, wanted=id)
        if job is None:
            raise NotFound("job", id)
        return job

    def find(self, prefix: str) -> builtins.list[str]:
        """The ids that begin with `prefix`."""
        statement = select(jobs.c.id).where(starts_with(jobs.c.id, prefix)).order_by(jobs.c.id)
        with self._database.read() as connection:
            return builtins.list(connection.execute(statement).scalars())

    def list(
        self, *, limit: int = 50, before: str | None = None, status: JobStatus | None = None
    ) -> builtins.list[Job]:
        """The newest jobs, newest first: those added before the job `before`, those of a status.

        Raises NotFound, Damaged.
        """
        statement = _NEWEST if status is None else _NEWEST.where(jobs.c.status == status)
        with self._database.read() as connection:
            if before is not None:
                seq = connection.execute(_SEQ, {"wanted": before}).scalar()
                if seq is None:
                    raise NotFound("job", before)
                statement = statement.where(jobs.c.seq < seq)
            return JOBS.all(connection, statement, limit=limit)

    def advance(self, id: str, status: JobStatus, **changes: Any) -> Job:
        """Move a job forward, changing other fields with it; one that ended leaves the queue.

        Raises Conflict when it may not, NotFound, Damaged, InvalidRecord.
        """
        with self._database.write() as connection:
            row = connection.execute(_GET, {"wanted": id}).first()
            if row is None:
                raise NotFound("job", id)
            job = JOBS.read(row)
            check_forward(id, job.status, status)
            # Read back before it is written: a value of the wrong type would make the job unreadable.
            changed = decode(Job, encode(replace(job, status=status, **changes)))
            connection.execute(_SET, {"at": row.seq, **JOBS.row(changed, seq=row.seq)})
            _note(connection, changed)
            if status in ENDED:
                leave(connection, id)
        return changed


def _note(connection: Connection, job: Job) -> None:
    facts = {"status": job.status, "verb": job.verb, "attempt": job.attempt, "error": plain(job.error)}
    note(connection, f"job.{job.status}", job.id, facts)
