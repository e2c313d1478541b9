"""The prediction before a reproduction: full, approximate or partial, and the gaps it follows from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from intaglio.core.record import record

GradeWord = Literal["full", "approximate", "partial"]

# The best grade each gap leaves possible. `partial`: something needed is not there, so nothing is run.
# `approximate`: everything asked for is there, but what surrounds it changed, and what that does is not measured.
CEILING: dict[str, GradeWord] = {
    "model.missing": "partial",
    "model.changed": "partial",
    "model.unhashed": "partial",
    "input.missing": "partial",
    "input.damaged": "partial",
    "node.unknown": "partial",
    "node.version_changed": "partial",
    "parameter.unknown": "partial",
    "library.changed": "approximate",
    "library.missing": "partial",
    "python.changed": "approximate",
    "device.changed": "approximate",
    "device.missing": "partial",
    "threads.changed": "approximate",
    "precision.changed": "approximate",
    "nondeterministic": "approximate",
}


@record
class Gap:
    """Something reproduction needs and the record lacks, or the system no longer has, or has differently.

    `code` is one of CEILING; `subject` is what it is about (a node, a model, a library); `remedy` is the way out.
    """

    code: str
    subject: str
    message: str
    remedy: str


@record
class Grade:
    """The prediction, with every reason for it."""

    grade: GradeWord
    gaps: tuple[Gap, ...] = ()


def grade_of(gaps: Iterable[Gap]) -> Grade:
    """The grade that `gaps` leave: the lowest of their ceilings, full when there are none."""
    found = tuple(gaps)
    ceilings = {CEILING[gap.code] for gap in found}
    word: GradeWord = "partial" if "partial" in ceilings else "approximate" if ceilings else "full"
    return Grade(grade=word, gaps=found)
