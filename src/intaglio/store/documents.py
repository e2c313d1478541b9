"""Records that are never changed, named by their digest: workflows, plans, snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from sqlalchemy import Row, bindparam, insert, select, update

from intaglio.core.codec import decode, digest_body, encode
from intaglio.core.environment import Environment
from intaglio.core.errors import Damaged, InvalidRecord, NotFound
from intaglio.core.plan import Plan
from intaglio.core.snapshot import Snapshot
from intaglio.core.workflow import Workflow
from intaglio.store.database import Database
from intaglio.store.rows import digest_starts_with
from intaglio.store.schema import documents

T = TypeVar("T")

_CLASSES: dict[str, type[Any]] = {cls.kind: cls for cls in (Workflow, Plan, Snapshot, Environment)}
_GET = select(documents).where(documents.c.digest == bindparam("wanted"))
_ADD = insert(documents)
_REPAIR = update(documents).where(documents.c.digest == bindparam("wanted"))
_ALL = select(documents.c.digest, documents.c.kind).order_by(documents.c.digest)


class Documents:
    """Records by digest. What is put twice is there once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, record: Any) -> str:
        """Keep a record and return its digest. One that was damaged on disk is whole again afterwards."""
        body = encode(record)
        digest = digest_body(record.kind, body)
        with self._database.write() as connection:
            row = connection.execute(_GET, {"wanted": digest}).first()
            if row is None:
                connection.execute(_ADD, {"digest": digest, "kind": record.kind, "body": body})
            elif (row.kind, row.body) != (record.kind, body):
                connection.execute(_REPAIR, {"wanted": digest, "kind": record.kind, "body": body})
        return digest

    def get(self, cls: type[T], digest: str) -> T:
        """The record of type `cls` with that digest. Raises NotFound, Damaged, InvalidRecord for a newer format."""
        kind: str = cls.kind  # type: ignore[attr-defined]  # every record that stands alone has one
        row = self._row(digest)
        if row is None:
            raise NotFound(kind, digest)
        check_document(row)
        if row.kind != kind:
            raise NotFound(kind, digest)
        return decode(cls, row.body)

    def find(self, kind: str, prefix: str) -> list[str]:
        """The digests of records of that kind that begin with `prefix` (with or without "blake3:")."""
        wanted = _ALL.where(documents.c.kind == kind, digest_starts_with(documents.c.digest, prefix))
        with self._database.read() as connection:
            return [row.digest for row in connection.execute(wanted)]

    def iter(self) -> Iterator[tuple[str, str]]:
        """Digest and kind of every document, ordered by digest."""
        with self._database.read() as connection:
            for row in connection.execute(_ALL):
                yield row.digest, row.kind

    def verify(self, digest: str) -> str | None:
        """What is wrong with a document, in words; None when nothing is."""
        row = self._row(digest)
        return f"no document {digest!r}" if row is None else document_problem(row)

    def _row(self, digest: str) -> Row[Any] | None:
        with self._database.read() as connection:
            return connection.execute(_GET, {"wanted": digest}).first()


def document_problem(row: Row[Any]) -> str | None:
    """What is wrong with a row of `documents`, in words; None when nothing is."""
    try:
        check_document(row)
        if row.kind in _CLASSES:
            decode(_CLASSES[row.kind], row.body)
    except (Damaged, InvalidRecord) as error:
        return str(error)
    return None


def check_document(row: Row[Any]) -> None:
    """Raises Damaged unless a row of `documents` holds what its digest says."""
    try:
        intact = digest_body(row.kind, row.body) == row.digest
    except (InvalidRecord, TypeError):  # bytes where text was, text where bytes were
        intact = False
    if not intact:
        raise Damaged(f"{row.kind} {row.digest!r} is damaged: it is not what was written")
