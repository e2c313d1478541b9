"""Remarks: what people say of versions after they were saved, dated and signed. All of them are written here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from intaglio.core.errors import Conflict, Invalid
from intaglio.core.version import Remark
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
