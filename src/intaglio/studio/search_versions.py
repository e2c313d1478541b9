"""Searching versions: what a query means in this library, and what holds of the versions that are found."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches

from intaglio.core.canonical import PREFIX
from intaglio.core.conditions import Known, condition, fields_of, parameters
from intaglio.core.errors import Invalid
from intaglio.core.query import Query, Term, hex_digits, parse
from intaglio.core.version import Standing, Version, standing
from intaglio.studio.drift import archived_of
from intaglio.studio.parts import Parts
from intaglio.studio.search import digests_of

MOST = 1000
_SHOWN = 8
_HASH = re.compile(r"(?:[a-z0-9-]+:)?[0-9a-f]{6,}")


def search(
    parts: Parts, text: str, *, workflow: str | None = None, limit: int = 50, before: str | None = None
) -> list[tuple[str, Version]]:
    """The newest versions that a query holds for, newest first, as `Versions.search` says."""
    if not 1 <= limit <= MOST:
        raise Invalid(f"a page of {limit} versions", hint=f"Ask for 1 to {MOST}.")
    query = parse(text)
    asked = condition(query, Known(lambda hash: _hashed(parts, hash), lambda: archived_of(parts)))
    _check_parameters(parts, query)
    found: list[tuple[str, Version]] = []
    while len(found) < limit:
        page = parts.search.find(asked, limit=limit, before=before)
        found += [pair for pair in page if workflow in (None, pair[1].workflow.name)]
        if len(page) < limit:
            break
        before = page[-1][0]
    return found[:limit]


def standings(parts: Parts, digests: Iterable[str]) -> dict[str, Standing]:
    """What holds of each of these versions now."""
    return {digest: standing(parts.remarks.of(digest)) for digest in digests}


def _hashed(parts: Parts, text: str) -> set[str]:
    """The digests of models that a text is the beginning of a hash of, and of folders that hold such a file."""
    if not _HASH.fullmatch(text.casefold()):
        return set()
    found = set(digests_of(parts, text))
    begins = PREFIX + hex_digits(text.casefold())
    folders = (model for model, _ in parts.models.list() if model.files)
    for model in folders:
        if any(part.digest in found or part.digest.startswith(begins) for part in model.files):
            found.add(model.digest)
    return {digest.removeprefix(PREFIX) for digest in found}


def _check_parameters(parts: Parts, query: Query) -> None:
    """Raises Invalid for a parameter that no version has, which is a slip of the pen; says which there are."""
    unknown = [term for term in parameters(query) if not parts.search.has_field(fields_of(term))]
    if not unknown or not parts.versions.list(limit=1):
        return
    declared = {param.name for kind in parts.types.values() for param in kind.params}
    for term in unknown:
        if "." in term.name or not declared & set(fields_of(term)):
            raise Invalid(f"term {str(term)!r}: no version has a parameter {term.name!r}", hint=_near(parts, term))


def _near(parts: Parts, term: Term) -> str:
    with suppress(IndexError):
        return f"Did you mean {get_close_matches(term.name, parts.search.fields(), 1)[0]}?"
    known = parts.search.fields()
    return f"There are: {', '.join(known[:_SHOWN])}{' and more' if len(known) > _SHOWN else ''}."
