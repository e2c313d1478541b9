"""Where model files were seen, what they held, and the names that other tools have for that content."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, or_, select, update

from intaglio.core.model import ModelHashes, ModelPlace
from intaglio.store.database import Database
from intaglio.store.rows import MODEL_HASHES, MODEL_PLACES, starts_with
from intaglio.store.schema import model_hashes, model_places

# The SHA-256 of nothing. Tools stamp it on files whose data they failed to read, so it names none.
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
AUTOV1_DIGITS = 8

_PLACES = select(model_places).order_by(model_places.c.seq)
_AT = _PLACES.where(model_places.c.path == bindparam("wanted"))
_OF = _PLACES.where(model_places.c.digest == bindparam("wanted"))
_ADD = insert(model_places)
_LAST = select(func.max(model_places.c.seq))
_DIGESTS = select(model_places.c.digest).distinct()
_SET = update(model_places).where(model_places.c.seq == bindparam("at"))
_HASHES = select(model_hashes).where(model_hashes.c.digest == bindparam("wanted"))
_HASHED = select(model_hashes.c.digest)
_ADD_HASHES = insert(model_hashes)


@dataclass(frozen=True)
class Seen:
    """What was found at a path: the digest and size in bytes of its content, and what that is."""

    path: str
    digest: str
    size: int
    what: str


class ModelIndex:
    """Places of models by path and by digest, and other tools' hashes of their content."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def places(self) -> builtins.list[ModelPlace]:
        """Every place that was ever seen, the oldest first. Raises Damaged."""
        with self._database.read() as connection:
            return MODEL_PLACES.all(connection, _PLACES)

    def under(self, paths: Iterable[str]) -> builtins.list[ModelPlace]:
        """The places at these paths and in the folders they name, the oldest first. Raises Damaged."""
        found: dict[int, ModelPlace] = {}
        with self._database.read() as connection:
            for path in paths:
                inside = starts_with(model_places.c.path, path.rstrip("/") + "/")
                wanted = _PLACES.where(or_(model_places.c.path == path, inside))
                found |= {row.seq: MODEL_PLACES.read(row) for row in connection.execute(wanted)}
        return [found[seq] for seq in sorted(found)]

    def at(self, path: str) -> builtins.list[ModelPlace]:
        """All that was ever seen at a path, the oldest first. Raises Damaged."""
        with self._database.read() as connection:
            return MODEL_PLACES.all(connection, _AT, wanted=path)

    def of(self, digest: str) -> builtins.list[ModelPlace]:
        """The places where this content was ever seen, those where it still is first. Raises Damaged."""
        with self._database.read() as connection:
            found = MODEL_PLACES.all(connection, _OF, wanted=digest)
        return sorted(found, key=lambda place: place.gone != "")

    def digests(self) -> set[str]:
        """All content that was ever seen anywhere."""
        with self._database.read() as connection:
            return set(connection.execute(_DIGESTS).scalars())

    def note(self, seen: Iterable[Seen], gone: Iterable[str], at: str) -> None:
        """Keep what was seen at paths, and which paths hold nothing any more, at the time `at`; one transaction.

        A place whose content is another one than before ends, and a new one begins; a place is never forgotten.
        """
        held = {each.path: each for each in seen}
        gone = set(gone) - held.keys()
        with self._database.write() as connection:
            rows = self._current([*held, *gone])
            added, changed = [], []
            for path, each in held.items():
                row = rows.pop(path, None)
                place = None if row is None else MODEL_PLACES.read(row)
                if row is not None and place is not None:
                    same = place.digest == each.digest
                    ended = replace(place, last_seen=at, what=each.what) if same else replace(place, gone=at)
                    changed.append({"at": row.seq, **MODEL_PLACES.row(ended, seq=row.seq)})
                    if same:
                        continue
                added.append(_place(each, at))
            for row in rows.values():
                ended = replace(MODEL_PLACES.read(row), gone=at)
                changed.append({"at": row.seq, **MODEL_PLACES.row(ended, seq=row.seq)})
            if changed:
                connection.execute(_SET, changed)
            if added:
                last = connection.execute(_LAST).scalar() or 0
                rows_added = [MODEL_PLACES.row(place, seq=last + 1 + number) for number, place in enumerate(added)]
                connection.execute(_ADD, rows_added)

    def _current(self, paths: builtins.list[str]) -> dict[str, Row[Any]]:
        """The newest row of each path, where it is not gone."""
        found: dict[str, Row[Any]] = {}
        with self._database.read() as connection:
            for start in range(0, len(paths), 500):
                wanted = _PLACES.where(model_places.c.path.in_(paths[start : start + 500]))
                found |= {row.path: row for row in connection.execute(wanted)}
        return {path: row for path, row in found.items() if not MODEL_PLACES.read(row).gone}

    def hashes(self, digest: str) -> ModelHashes | None:
        """Other tools' names for this content; None while nobody has computed them. Raises Damaged."""
        with self._database.read() as connection:
            return MODEL_HASHES.first(connection, _HASHES, wanted=digest)

    def hashed(self) -> set[str]:
        """The digests of the content whose other hashes are known."""
        with self._database.read() as connection:
            return set(connection.execute(_HASHED).scalars())

    def add_hashes(self, computed: Iterable[ModelHashes]) -> None:
        """Keep other tools' hashes, in one transaction; what is there already stays."""
        with self._database.write() as connection:
            for each in computed:
                if MODEL_HASHES.first(connection, _HASHES, wanted=each.digest) is None:
                    connection.execute(_ADD_HASHES, MODEL_HASHES.row(each))

    def find_hash(self, column: str, prefix: str) -> builtins.list[str]:
        """The digests of content whose "sha256", "autov1" or "tensors" begins with these hexadecimal digits."""
        if not prefix or NOTHING.startswith(prefix):
            return []
        wanted = select(model_hashes).where(starts_with(model_hashes.c[column], prefix))
        with self._database.read() as connection:
            return [each.digest for each in MODEL_HASHES.all(connection, wanted)]

    def find_digest(self, prefix: str) -> builtins.list[str]:
        """The digests of indexed content that begin with `prefix` ("blake3:..."), in order."""
        statement = select(model_places.c.digest).where(starts_with(model_places.c.digest, prefix)).distinct()
        with self._database.read() as connection:
            return sorted(connection.execute(statement).scalars())


def _place(seen: Seen, at: str) -> ModelPlace:
    return ModelPlace(path=seen.path, digest=seen.digest, size=seen.size, what=seen.what, first_seen=at, last_seen=at)
