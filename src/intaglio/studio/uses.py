"""Which versions were made with which models."""

from __future__ import annotations

from collections.abc import Iterator

from intaglio.core.errors import Damaged, NotFound
from intaglio.core.snapshot import Snapshot
from intaglio.core.version import Version
from intaglio.studio.parts import Parts

PAGE = 200


def made_with(parts: Parts, digests: set[str]) -> Iterator[tuple[str, Version, Snapshot]]:
    """The versions, newest first, whose record names a model of that content, in whatever role: digest, version and
    snapshot. One whose snapshot is damaged is left out; `library check` names it."""
    before = None
    while digests and (page := parts.versions.list(limit=PAGE, before=before)):
        for digest, version in page:
            try:
                snapshot = parts.documents.get(Snapshot, version.snapshot)
            except (Damaged, NotFound):
                continue
            if digests & snapshot.models.keys():
                yield digest, version, snapshot
        before = page[-1][0]
