"""How far running work is at this moment. Nobody keeps it: what lasts is said by records and the log."""

from __future__ import annotations

from typing import Literal

from intaglio.core.record import record


@record
class Progress:
    """How far a task or a job is: `done` units of `total` of the step it is at; a `total` of 0 is one not known yet.

    A job names the task that it is at, if it is at one. `time` is when it was so: UTC, RFC 3339. `preview` is "" when
    there is no picture of how the step stands; else the name of its file in the library's folder of locks, or an
    address where it left a server.
    """

    kind: Literal["progress"] = "progress"
    format: Literal[1] = 1
    task: str = ""
    job: str = ""
    step: str
    done: int
    total: int
    time: str
    preview: str = ""
