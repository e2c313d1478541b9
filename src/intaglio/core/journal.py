"""The journal: everything that happened in a library, in one line of numbers, for whoever follows it from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from intaglio.core.record import EMPTY, Json, record


@record
class Notice:
    """One line of the journal, numbered 1, 2, 3... within the library, in the order in which things were written.

    `what` is a word like "task.done" or "version.made", `subject` what it is about: the id of a task, job or variation,
    the digest of a version, the name of a workflow.
    """

    kind: Literal["notice"] = "notice"
    format: Literal[1] = 1
    number: int
    time: str
    what: str
    subject: str
    facts: Mapping[str, Json] = EMPTY
