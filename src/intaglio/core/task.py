"""A task: one request to carry out a plan, from queue to end, and the record of each of its steps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from intaglio.core.errors import Conflict, IntaglioError
from intaglio.core.facts import facts
from intaglio.core.plan import WorkflowRef
from intaglio.core.record import EMPTY, Json, later, record
from intaglio.core.seeds import ExecutedSeed

# What `studio.queue` makes: sorts by time and reads as a date. Nothing else becomes part of a file's name.
TASK_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}", re.ASCII)

Status = Literal["queued", "running", "waiting", "done", "failed", "cancelled", "interrupted"]

# Only forward. A task that did not finish may be taken up again: that is a new attempt, and it is counted.
FORWARD: Mapping[Status, frozenset[Status]] = {
    "queued": frozenset({"running", "cancelled", "interrupted"}),
    "running": frozenset({"waiting", "done", "failed", "cancelled", "interrupted"}),
    # It has its snapshot, and is final once the reason for its version is given.
    "waiting": frozenset({"done", "cancelled"}),
    "interrupted": frozenset({"queued", "running", "failed", "cancelled"}),
    "failed": frozenset({"queued", "running"}),
    "cancelled": frozenset({"queued", "running"}),
    "done": frozenset(),
}


@record
class Failure:
    """Why a task ended badly: a stable code, the message, the way out, and the step where it happened.

    `facts` is what the error knows beside that, by the names its class gives it.
    """

    code: str
    message: str
    hint: str = ""
    step: str = ""
    facts: Mapping[str, Json] = later(EMPTY)

    @classmethod
    def of(cls, error: IntaglioError) -> Failure:
        """An error, as a record keeps it."""
        known = {name: value for name, value in facts(error).items() if name != "step"}
        return cls(code=error.code, message=str(error), hint=error.hint, step=error.step, facts=known)


@record
class Reason:
    """Why a version is made: its label and annotation; `none` is the explicit wish to go without an annotation.

    `fields` are the answers to what else the workflow's form asks for.
    """

    label: str = ""
    annotation: str = ""
    none: bool = False
    fields: Mapping[str, str] = later(EMPTY)

    @property
    def given(self) -> bool:
        """Whether it is enough for a version."""
        return bool(self.annotation.strip()) or self.none


@record
class Task:
    """One request to carry out a plan; or, with purpose "import", a run that was carried out elsewhere.

    `plan` and `snapshot` are digests; times are UTC, RFC 3339.

    `reason` is there when the run is to become a version; it is kept from the start, so that no kill loses it.
    """

    kind: Literal["task"] = "task"
    format: Literal[1] = 1
    id: str
    status: Status
    purpose: Literal["run", "reproduce", "import"] = "run"
    workflow: WorkflowRef
    plan: str
    reproduces: str = ""
    author: str
    created: str
    started: str = ""
    finished: str = ""
    attempt: int = 0
    snapshot: str = ""
    version: str = ""
    reason: Reason | None = None
    error: Failure | None = None


@record
class NodeRecord:
    """What one step did: its executed seed, its content key, inputs and outputs by digest, when, and what it noted.

    `assets` are the reference files it took, by parameter.
    `reused_from` names the task whose outputs were taken over, "" when the step really ran. Seconds are wall time,
    waiting for the backend and loading a model included.
    """

    kind: Literal["node-record"] = "node-record"
    format: Literal[1] = 1
    task: str
    step: str
    node: str
    type: str
    type_version: int
    seed: ExecutedSeed | None = None
    key: str
    inputs: Mapping[str, str] = EMPTY
    outputs: Mapping[str, str]
    started: str
    seconds: float
    attempt: int
    reused_from: str = ""
    notes: tuple[str, ...] = ()
    assets: Mapping[str, str] = later(EMPTY)


@record
class Event:
    """One line of a task's log, numbered without gaps within the task."""

    kind: Literal["event"] = "event"
    format: Literal[1] = 1
    task: str
    number: int
    time: str
    what: str
    step: str = ""
    facts: Mapping[str, Json] = EMPTY


# What a log says of a step that ended; each is written together with the step's record.
ENDED = ("done", "reused")


def is_whole(log: Sequence[Event], steps: Iterable[str]) -> bool:
    """Whether a task's log is all there: numbered without gaps, and every recorded step (of every attempt) in it."""
    ended = Counter(event.step for event in log if event.what in ENDED)
    return [event.number for event in log] == [*range(1, len(log) + 1)] and Counter(steps) <= ended


def check_forward(task: str, old: Status, new: Status) -> None:
    """Raises Conflict unless a task may go from `old` to `new`."""
    if new not in FORWARD[old]:
        raise Conflict(
            f"task {task!r} is {old}; it cannot become {new}", hint=f"See it with: intaglio tasks show {task}"
        )
