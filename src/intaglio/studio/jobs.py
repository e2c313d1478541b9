"""Jobs: calls that take long, carried out by a worker."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import replace

from intaglio.core.errors import Conflict, NotFound, StorageFailed
from intaglio.core.job import PREFIX, Job, JobStatus
from intaglio.core.record import EMPTY, Json
from intaglio.store import disk
from intaglio.store.lock import TaskLock
from intaglio.studio import clock, queueing
from intaglio.studio.carry_out import cancel_path, lock_path
from intaglio.studio.parts import Parts
from intaglio.studio.queue import new_task_id
from intaglio.studio.verbs import check_call

UNFINISHED: tuple[JobStatus, ...] = ("interrupted", "failed", "cancelled")


class Jobs:
    """`studio.jobs`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def submit(self, verb: str, arguments: Mapping[str, Json] = EMPTY) -> Job:
        """Put a call of a verb ("versions.reproduce") in the queue; a worker carries it out (`intaglio worker`).

        The arguments are JSON values. Raises Invalid (not a verb that can be a job, or not its arguments), TooMany.
        """
        check_call(verb, arguments)
        with self._parts.database.write():
            self._parts.limits.check_room(self._parts.queue)
            job = Job(
                id=PREFIX + new_task_id(),
                verb=verb,
                arguments=arguments,
                status="queued",
                author=self._parts.settings.author,
                created=clock.now(),
            )
            self._parts.jobs.add(job)
            self._parts.queue.add(job.id, "job")
            self._parts.queued(job)
        return job

    def get(self, reference: str) -> Job:
        """A job by id or unique beginning of it. Raises NotFound, Conflict."""
        found = self._parts.jobs.find(reference) if reference else []
        if len(found) > 1 and reference not in found:
            raise Conflict(f"{reference!r} fits {len(found)} jobs", hint="Give more of the id.")
        if not found:
            raise NotFound("job", reference, hint="See them with: intaglio jobs list")
        return self._alive(self._parts.jobs.get(reference if reference in found else found[0]))

    def list(
        self, *, limit: int = 50, before: str | None = None, status: JobStatus | None = None
    ) -> builtins.list[Job]:
        """The newest jobs, `limit` at a time; `before` is the id where the last page ended. Raises NotFound."""
        if status == "interrupted":
            for job in self._parts.jobs.list(limit=limit, status="running"):  # may not be marked yet
                self._alive(job)
        found = [self._alive(job) for job in self._parts.jobs.list(limit=limit, before=before, status=status)]
        return [job for job in found if status is None or job.status == status]

    def cancel(self, reference: str) -> Job:
        """Ask a running job, and what it runs, to stop; one that waits is cancelled at once.

        What it finished is kept. Raises NotFound, Conflict (it has ended).
        """
        job_id = self.get(reference).id
        with self._parts.database.write():
            # A worker may have begun it since: whoever is at it is asked, and not contradicted.
            job = self._parts.jobs.get(job_id)
            if job.status != "running":
                return self._parts.jobs.advance(job_id, "cancelled", finished=clock.now())
            disk.touch(cancel_path(self._parts, job_id))
        return job

    def retry(self, reference: str) -> Job:
        """Put a job that did not finish in the queue again. Raises NotFound, Conflict (it did, or waits), TooMany."""
        job = self.get(reference)
        if job.status not in UNFINISHED:
            raise Conflict(
                f"job {job.id} is {job.status}; only one that did not finish is tried again",
                hint=f"See it with: intaglio jobs show {job.id}",
            )
        with self._parts.database.write():
            self._parts.limits.check_room(self._parts.queue)
            self._parts.queue.add(job.id, "job")
            job = self._parts.jobs.advance(job.id, "queued", finished="", error=None)
            self._parts.queued(job)
            return job

    def wait(self, reference: str, *, timeout: float = 60.0) -> Job:
        """The job as soon as it has ended, else as it is after `timeout` seconds. Raises NotFound, Conflict."""
        job_id = self.get(reference).id
        queueing.until(lambda: self._is_over(job_id), timeout)
        return self.get(job_id)

    def _is_over(self, job_id: str) -> bool:
        status = self._parts.jobs.get(job_id).status
        # One whose worker died is taken up by the next.
        return status not in ("queued", "running") and (status != "interrupted" or not self._parts.queue.has(job_id))

    def _alive(self, job: Job) -> Job:
        """The job, marked interrupted when it has not ended and nobody carries it out."""
        if job.status != "running" or TaskLock.is_held(lock_path(self._parts, job.id)):
            return job
        job = self._parts.jobs.get(job.id)  # it may have ended between the two looks
        if job.status != "running":
            return job
        try:
            return self._parts.jobs.advance(job.id, "interrupted")
        except Conflict:
            return self._parts.jobs.get(job.id)
        except StorageFailed:  # a library one can only read: said, though not written down
            return replace(job, status="interrupted")
