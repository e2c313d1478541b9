"""Remarks: what people say of versions after they were saved, dated and signed. All of them are written here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from intaglio.core.errors import Conflict, Invalid
from intaglio.core.version import ANNOTATION, COMMENT, LEGACY, REJECTED, TAG, Remark, slug, standing
from intaglio.studio import clock
from intaglio.studio.parts import Parts

MAX_NOTE = 10_000
MAX_NAME = 200


def say(
    parts: Parts,
    version: str,
    what: str,
    *,
    holds: bool = True,
    value: str = "",
    note: str = "",
    author: str = "",
    refuse_if: Callable[[Sequence[Remark]], str] = lambda earlier: "",
) -> Remark:
    """Keep a remark on a version (its digest); `what` and the rest are as in Remark, the author is by default ours.

    `refuse_if` is given what was said before, oldest first, and says why this may not be said ("is rejected already"),
    "" when it may. It is asked and the remark is kept in one transaction, whoever else speaks now; inside a transaction
    of the caller it is a part of that. Raises Conflict (refused), Invalid (too long, unsigned), NotFound.
    """
    note, signed = note.strip(), author.strip() or parts.settings.author
    if len(note) > MAX_NOTE:
        raise Invalid(f"a note of {len(note)} characters", hint=f"Use at most {MAX_NOTE}.")
    if not signed:
        raise Invalid("nobody signs this", hint="Say who with --as NAME, or set INTAGLIO_AUTHOR.")
    if len(signed) > MAX_NAME:
        raise Invalid(f"a name of {len(signed)} characters", hint=f"Use at most {MAX_NAME}.")
    with parts.database.write():
        about = parts.versions.get(version)
        why = refuse_if(parts.remarks.of(version))
        if why:
            name = f"{about.workflow.name}/{about.name}"
            raise Conflict(f"{name} {why}", hint=f"See it with: intaglio versions show {name}")
        remark = Remark(
            version=version, what=what, holds=holds, value=value, note=note, created=clock.now(), author=signed
        )
        parts.remarks.add(remark)
    return remark


def annotate(parts: Parts, version: str, text: str, *, author: str = "") -> Remark:
    """Add to the annotation of a version; what it says already stays. Raises as `say`, Invalid for no text."""
    return say(parts, version, ANNOTATION, note=_some(text), author=author)


def comment(parts: Parts, version: str, text: str, *, author: str = "") -> Remark:
    """Comment on a version. Raises as `say`, Invalid for no text."""
    return say(parts, version, COMMENT, note=_some(text), author=author)


def tag(parts: Parts, version: str, tags: Sequence[str], *, holds: bool = True, author: str = "") -> list[Remark]:
    """Give a version tags, or take them (`holds` False), all or none. A tag is written as a label is.

    Raises as `say`, Conflict for one that it has (or has not), Invalid for one without a letter or digit.
    """
    words = {slug(text): text for text in tags}
    if not all(words):
        raise Invalid(f"tag {words[''][:60]!r} has no letter or digit", hint="Use a word or two.")
    if not words:
        raise Invalid("no tag is given")

    def refuse_if(earlier: Sequence[Remark], word: str) -> str:
        if holds == (word in standing(earlier).tags):
            return f"has the tag {word!r} already" if holds else f"has no tag {word!r}"
        return ""

    with parts.database.write():
        return [
            say(parts, version, TAG, holds=holds, value=word, author=author, refuse_if=partial(refuse_if, word=word))
            for word in words
        ]


def reject(parts: Parts, version: str, *, note: str = "", holds: bool = True, author: str = "") -> Remark:
    """Reject a version, or (`holds` False) take that back. Raises as `say`, Conflict when it is so already."""

    def refuse_if(earlier: Sequence[Remark]) -> str:
        if holds == (standing(earlier).approval == REJECTED):
            return "is rejected already" if holds else "is not rejected"
        return ""

    return say(parts, version, REJECTED, holds=holds, note=note, author=author, refuse_if=refuse_if)


def mark_legacy(parts: Parts, version: str, *, note: str = "", holds: bool = True, author: str = "") -> Remark:
    """Mark a version as needing a model that is gone, or (`holds` False) take the mark back.

    Raises as `say`, Conflict when it is so already.
    """

    def refuse_if(earlier: Sequence[Remark]) -> str:
        if holds == standing(earlier).legacy:
            return "is marked already" if holds else "is not marked"
        return ""

    return say(parts, version, LEGACY, holds=holds, note=note, author=author, refuse_if=refuse_if)


def _some(text: str) -> str:
    if not text.strip():
        raise Invalid("there is nothing in it", hint="Say something.")
    return text
