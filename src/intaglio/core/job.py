"""A job: one call of a verb that takes long and is not simply one task, carried out by a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from intaglio.core.errors import Conflict
from intaglio.core.record import EMPTY, Json, record
from intaglio.core.task import Failure

JobStatus = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]

# How the ids of jobs begin, which those of tasks do not.
PREFIX = "job-"

# Only forward. A job that did not finish may be taken up again: that is a new attempt, and it is counted.
FORWARD: Mapping[JobStatus, frozenset[JobStatus]] = {
    "queued": frozenset({"running", "cancelled", "interrupted"}),
    "running": frozenset({"done", "failed", "cancelled", "interrupted"}),
    "interrupted": frozenset({"queued", "running", "failed", "cancelled"}),
    "failed": frozenset({"queued", "running"}),
    "cancelled": frozenset({"queued", "running"}),
    "done": frozenset(),
}


@record
class Job:
    """One call of `verb` ("versions.reproduce") with `arguments`; `result` is what it gave back.

    Ids are "job-" and then as those of tasks; times are UTC, RFC 3339.
    """

    kind: Literal["job"] = "job"
    format: Literal[1] = 1
    id: str
    verb: str
    arguments: Mapping[str, Json] = EMPTY
    status: JobStatus
    author: str
    created: str
    started: str = ""
    finished: str = ""
    attempt: int = 0
    result: Json = None
    error: Failure | None = None


def check_forward(job: str, old: JobStatus, new: JobStatus) -> None:
    """Raises Conflict unless a job may go from `old` to `new`."""
    if new not in FORWARD[old]:
        raise Conflict(f"job {job!r} is {old}; it cannot become {new}", hint=f"See it with: intaglio jobs show {job}")
