"""The models of a library: exact content under a name and a version label, and where its files are."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Executable, Row, bindparam, delete, select, update

from intaglio.core.errors import Conflict, Damaged, Invalid, NotFound
from intaglio.core.model import ModelVersion
from intaglio.store.database import Database
from intaglio.store.rows import MODELS, digest_starts_with
from intaglio.store.schema import models

LATEST = "latest"
Placed = tuple[ModelVersion, Path]


class Labelled(NamedTuple):
    """A model in brief: its name, version label, digest, and the path it was placed at last."""

    name: str
    version: str
    digest: str
    path: str


_LIST = select(models).order_by(models.c.seq.desc())
_NEWEST = select(models).where(models.c.name == bindparam("wanted")).order_by(models.c.seq.desc()).limit(1)
_EXACT = select(models).where(models.c.name == bindparam("wanted"), models.c.version == bindparam("labelled"))
_CONTENT = select(models).where(models.c.digest == bindparam("wanted")).order_by(models.c.seq.desc())
_LABELS = select(models.c.name, models.c.version, models.c.digest, models.c.path).order_by(models.c.seq)
_REMOVE = delete(models).where(models.c.name == bindparam("wanted"), models.c.version == bindparam("labelled"))
_SET = update(models).where(models.c.seq == bindparam("at"))


class Models:
    """Models by name and version, and by digest."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, model: ModelVersion, path: Path) -> None:
        """Keep a model and where it is. The same content again only notes the new place.

        Raises Conflict when the name and version are taken by other content, Invalid for the version "latest".
        """
        if model.version == LATEST:
            raise Invalid(f"model version {LATEST!r} always means the one added last", hint="Choose another label.")
        with self._database.write() as connection:
            row = connection.execute(_EXACT, {"wanted": model.name, "labelled": model.version}).first()
            if row is None:
                MODELS.add(connection, model, path=str(path))
                return
            known = MODELS.read(row)
            if (known.digest, known.config) != (model.digest, model.config):
                raise Conflict(
                    f"model {model.name}:{model.version} is {known.digest}; this one is {model.digest}",
                    hint="Add it under another version label (--version LABEL) or another name.",
                )
            _place(connection, row, path)

    def get(self, name: str, version: str | None = None) -> Placed:
        """A model and where it is; the one added last under the name when no version (or "latest") is given.

        Raises NotFound, Damaged.
        """
        if version is None or version == LATEST:
            return self._one(_NEWEST, name, wanted=name)
        return self._one(_EXACT, f"{name}:{version}", wanted=name, labelled=version)

    def by_digest(self, digest: str) -> Placed:
        """The model with that content, under the name it was added with last. Raises NotFound, Damaged."""
        return self._one(_CONTENT, digest, wanted=digest)

    def find(self, prefix: str) -> builtins.list[str]:
        """The digests of models that begin with `prefix` (with or without "blake3:")."""
        matching = digest_starts_with(models.c.digest, prefix)
        statement = select(models.c.digest).where(matching).distinct().order_by(models.c.digest)
        with self._database.read() as connection:
            return builtins.list(connection.execute(statement).scalars())

    def list(self) -> builtins.list[Placed]:
        """Every model and where it is, the one added last first. Raises Damaged."""
        with self._database.read() as connection:
            return [_placed(row) for row in connection.execute(_LIST)]

    def under_digest(self, digest: str) -> builtins.list[Placed]:
        """Every name that content has, with where it is, the one added last first. Raises Damaged."""
        with self._database.read() as connection:
            return [_placed(row) for row in connection.execute(_CONTENT, {"wanted": digest})]

    def labels(self) -> builtins.list[Labelled]:
        """Every model in brief, the one added first first: from the columns alone, which nobody checked."""
        with self._database.read() as connection:
            return [Labelled(*row) for row in connection.execute(_LABELS)]

    def sealed(self, digests: Iterable[str]) -> builtins.list[Labelled]:
        """The models of this content in brief, but for those whose row is not as it was written."""
        wanted, found = builtins.list(digests), builtins.list[Labelled]()
        with self._database.read() as connection:
            for start in range(0, len(wanted), 500):
                statement = select(models).where(models.c.digest.in_(wanted[start : start + 500]))
                for row in connection.execute(statement):
                    with suppress(Damaged):
                        MODELS.check(row)
                        found.append(Labelled(row.name, row.version, row.digest, row.path))
        return found

    def remove(self, name: str, version: str) -> None:
        """Take a model out. Snapshots that name it have its record in them."""
        with self._database.write() as connection:
            connection.execute(_REMOVE, {"wanted": name, "labelled": version})

    def move(self, digest: str, path: Path, *, left: Path | None = None) -> None:
        """Note the new place of a model, under every name it has (or had at `left`). Raises NotFound, Damaged."""
        with self._database.write() as connection:
            rows = connection.execute(_CONTENT, {"wanted": digest}).all()
            if not rows:
                raise NotFound("model", digest)
            for row in rows:
                if left is None or row.path == str(left):
                    _place(connection, row, path)

    def _one(self, statement: Executable, name: str, **values: str) -> Placed:
        with self._database.read() as connection:
            row = connection.execute(statement, values).first()
        if row is None:
            raise NotFound("model", name)
        return _placed(row)


def _placed(row: Row[Any]) -> Placed:
    return MODELS.read(row), Path(row.path)


def _place(connection: Connection, row: Row[Any], path: Path) -> None:
    changed = MODELS.row(MODELS.read(row), seq=row.seq, path=str(path))
    connection.execute(_SET, {"at": row.seq, **changed})
