"""A version: a snapshot kept together with the reason for it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from intaglio.core.plan import WorkflowRef
from intaglio.core.record import EMPTY, Json, later, record
from intaglio.core.seeds import ExecutedSeed
from intaglio.core.snapshot import Output

MAX_SLUG = 60
APPROVED, REJECTED, TAG, COMMENT, ANNOTATION = "approved", "rejected", "tag", "comment", "annotation"
LEGACY = "needs-legacy-model"


@record
class Version:
    """Number and label within its workflow's history, the annotation, and what it keeps.

    `unannotated` is True when going without an annotation was asked for explicitly. `snapshot`, `parent` are digests;
    `references` are the addresses of reference files, by step and parameter. `fields` are the answers to what else the
    workflow's form asked for. `restores` is the digest of the version that this one goes back to, "" for none.
    """

    kind: Literal["version"] = "version"
    format: Literal[1] = 1
    number: int
    label: str
    annotation: str
    unannotated: bool
    workflow: WorkflowRef
    task: str
    snapshot: str
    parent: str
    created: str
    author: str
    parameters: Mapping[str, Mapping[str, Json]]
    seeds: Mapping[str, ExecutedSeed]
    models: Mapping[str, Mapping[str, str]]
    references: Mapping[str, Mapping[str, str]]
    outputs: tuple[Output, ...]
    fields: Mapping[str, str] = later(EMPTY)
    restores: str = later("")

    @property
    def name(self) -> str:
        """The readable name: "v3-warmer-palette", or "v3" without a label."""
        return f"v{self.number}-{self.label}" if self.label else f"v{self.number}"


@record
class Remark:
    """What somebody said of a version later, with name and date; `version` is its digest. Said again, the last counts.

    `what` is "needs-legacy-model" (it cannot come back until a model that is gone returns), "approved", "rejected",
    "tag" (`value` is the tag), "comment" or "annotation" (`note` is what was added). `holds` False takes it back.
    """

    kind: Literal["remark"] = "remark"
    format: Literal[1] = 1
    version: str
    what: str
    holds: bool
    note: str = ""
    value: str = later("")
    created: str
    author: str


@dataclass(frozen=True)
class Standing:
    """What holds of a version now. `approval` is "approved", "rejected" or "", said by `by` at `when` ("" for nobody).

    `tags` in the order they were given; `comments` and `annotations` are the remarks that were not taken back, oldest
    first; `legacy` is whether it needs a model that is gone.
    """

    approval: Literal["approved", "rejected", ""] = ""
    by: str = ""
    when: str = ""
    tags: tuple[str, ...] = ()
    comments: tuple[Remark, ...] = ()
    annotations: tuple[Remark, ...] = ()
    legacy: bool = False


def standing(remarks: Iterable[Remark]) -> Standing:
    """What the remarks on one version, oldest first, come to.

    The last judgement counts; when it is taken back, the one before it stands again. A tag is there once, however often
    it was given. A comment or annotation is taken back by its own words. What else was said changes nothing.
    """
    judgements: list[Remark] = []
    legacy = False
    tags: dict[str, None] = {}
    said: dict[str, list[Remark]] = {COMMENT: [], ANNOTATION: []}
    for remark in remarks:
        if remark.what in (APPROVED, REJECTED):
            if remark.holds:
                judgements.append(remark)
            while not remark.holds and judgements and judgements[-1].what == remark.what:
                judgements.pop()
        elif remark.what == TAG:
            tags |= {remark.value: None}
            if not remark.holds:
                del tags[remark.value]
        elif remark.what == LEGACY:
            legacy = remark.holds
        elif remark.what in said:
            kept = said[remark.what]
            said[remark.what] = [*kept, remark] if remark.holds else [one for one in kept if one.note != remark.note]
    judged = judgements[-1] if judgements else None
    return Standing(
        approval="" if judged is None else "approved" if judged.what == APPROVED else "rejected",
        by=judged.author if judged else "",
        when=judged.created if judged else "",
        tags=tuple(tags),
        comments=tuple(said[COMMENT]),
        annotations=tuple(said[ANNOTATION]),
        legacy=legacy,
    )


def slug(text: str) -> str:
    """A label as it appears in names: lower case, words joined by "-", letters of any script kept."""
    folded = unicodedata.normalize("NFKC", text).lower()
    return re.sub(r"[\W_]+", "-", folded).strip("-")[:MAX_SLUG].strip("-")
