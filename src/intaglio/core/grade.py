"""The prediction before a reproduction: full, approximate or partial, and the gaps it follows from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from intaglio.core.record import later, record

GradeWord = Literal["full", "approximate", "partial"]
Measured = Literal["", "identical", "close", "different"]
_LOWEST_FIRST: tuple[GradeWord, ...] = ("partial", "approximate", "full")


@dataclass(frozen=True)
class Code:
    """What a gap's code means: the best grade it leaves possible, and why."""

    best: GradeWord
    why: str


# Every gap there is. `partial`: something needed is not there, so nothing is run. `approximate`: everything asked for
# is there, but what surrounds it changed, or it is not what the record names. `full`: it is made up for, and said.
CODES: dict[str, Code] = {
    "model.missing": Code("partial", "the model's file is not there, or not in this library"),
    "model.changed": Code("partial", "the file is other content now"),
    "model.unhashed": Code("partial", "the record names a model without a digest, and none of that name is here"),
    "model.name_only": Code("approximate", "only the model's name is known, and a name is no identity"),
    "model.substituted": Code("approximate", "the user chose to run with another model than the recorded one"),
    "model.restorable": Code("full", "the file is gone or changed, but its exact content is kept in the library"),
    "seed.unknown": Code("partial", "a node draws, and the record has no seed for it"),
    "parameter.unknown": Code("partial", "record and node type do not agree on a parameter"),
    "input.missing": Code("partial", "the store lost a reference file"),
    "input.damaged": Code("partial", "a reference file is not what was stored"),
    "node.unknown": Code("partial", "the node type is not installed"),
    "node.version_changed": Code("partial", "the node type is here, in a version that means something else"),
    "workflow.unreadable": Code("partial", "what was done cannot be read from the record"),
    "record.altered": Code("approximate", "the record is not as it was written: its digest is another"),
    "tool.unknown": Code("approximate", "the record does not say which tool, in which surroundings, made it"),
    "hosted.unpinned": Code("approximate", "a service made it, and may have changed since"),
    "batch.unknown": Code("approximate", "the place in a batch is not recorded, and can decide the noise"),
    "library.missing": Code("partial", "a library that took part is not installed"),
    "library.changed": Code("approximate", "a library has another version"),
    "python.changed": Code("approximate", "another Python, by its first two numbers"),
    "device.missing": Code("partial", "it ran on a kind of device there is none of"),
    "device.changed": Code("approximate", "another processor, instruction set, GPU, driver or CUDA"),
    "threads.changed": Code("approximate", "another number of threads"),
    "precision.changed": Code("approximate", "other precision or determinism switches"),
    "nondeterministic": Code("approximate", "it can come out differently from one run to the next"),
}

# Differences around a run. Only these can be measured to make none.
SURROUNDINGS = ("library.changed", "python.changed", "device.changed", "threads.changed", "precision.changed")


@record
class Gap:
    """Something reproduction needs and the record lacks, or the system no longer has, or has differently.

    `code` is one of CODES; `subject` is what it is about (a node, a model, a library); `remedy` is the way out.
    `measured` is what measurements say that this difference does to pixels, "" where nothing was measured: "identical"
    (in every comparison), "close" (within a few 8-bit steps) or "different"; `evidence` says how often and how far.
    """

    code: str
    subject: str
    message: str
    remedy: str
    measured: Measured = later("")
    evidence: str = later("")

    @property
    def best(self) -> GradeWord:
        """The best grade this gap leaves: its code's, or full for surroundings that were measured to change nothing.

        A code that only a later Intaglio knows leaves partial: nobody here can say what it lacks.
        """
        if self.code not in CODES:
            return "partial"
        return "full" if self.measured == "identical" and self.code in SURROUNDINGS else CODES[self.code].best


@record
class Grade:
    """The prediction, with every reason for it."""

    grade: GradeWord
    gaps: tuple[Gap, ...] = ()


def grade_of(gaps: Iterable[Gap]) -> Grade:
    """The grade that `gaps` leave: the lowest that any of them allows, full when there are none."""
    found = tuple(gaps)
    return Grade(grade=min((gap.best for gap in found), key=_LOWEST_FIRST.index, default="full"), gaps=found)
