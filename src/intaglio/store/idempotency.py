"""Answers to requests that may come again: the second time nothing is done, and the first answer is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from intaglio.core.canonical import canonical, digest_bytes
from intaglio.core.errors import Conflict, Damaged, InvalidRecord, NotFound, StillAtWork
from intaglio.store.database import Database, now
from intaglio.store.schema import idempotency

_ALL = select(idempotency)
_MINE = (idempotency.c.person == bindparam("who"), idempotency.c.key == bindparam("wanted"))
_GET = _ALL.where(*_MINE)
_ADD = insert(idempotency)
_SET = update(idempotency).where(*_MINE)
_REMOVE = delete(idempotency).where(*_MINE)
_RELEASE = delete(idempotency).where(idempotency.c.status == 0)
_PURGE = delete(idempotency).where(idempotency.c.created < bindparam("before"))


@dataclass(frozen=True)
class Answer:
    """What a request was answered with: the status and the bytes."""

    status: int
    body: bytes


class Idempotency:
    """Answers by person and by the key that the person gave the request."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, person: str, key: str, request: str, forget_before: str = "") -> Answer | None:
        """The answer that this request (its digest) had before; None for a new one, whose key is taken from now on.

        What was begun before the time `forget_before` is forgotten. Raises Conflict when the key came with another
        request, or that one has no answer yet; Damaged.
        """
        with self._database.write() as connection:
            connection.execute(_PURGE, {"before": forget_before})
            row = _found(connection, person, key)
            if row is None:
                columns = {"person": person, "key": key, "request": request, "status": 0, "created": now()}
                connection.execute(_ADD, _sealed(columns, b""))
                return None
        if row.request != request:
            raise Conflict(f"key {key!r} came with another request before", hint="Give each request a key of its own.")
        if row.status == 0:
            raise StillAtWork(f"the request with key {key!r} is still being worked on")
        return Answer(row.status, row.body)

    def finish(self, person: str, key: str, status: int, body: bytes) -> None:
        """Keep the answer to a request that was begun. Raises NotFound, Damaged."""
        with self._database.write() as connection:
            row = _found(connection, person, key)
            if row is None:
                raise NotFound("request", key)
            columns = {"person": person, "key": key, "request": row.request, "status": status, "created": row.created}
            connection.execute(_SET, {"who": person, "wanted": key, **_sealed(columns, body)})

    def forget(self, person: str, key: str) -> None:
        """Let a key be free again, as for a request that came to nothing."""
        with self._database.write() as connection:
            connection.execute(_REMOVE, {"who": person, "wanted": key})

    def release(self) -> int:
        """Let every key be free again whose request has no answer: whoever was at it is gone. How many there were."""
        with self._database.write() as connection:
            return connection.execute(_RELEASE).rowcount


def broken_answers(connection: Connection) -> Iterator[tuple[str, str]]:
    """The kept answers that are not what was written: their names, and what is wrong."""
    for row in connection.execute(_ALL):
        try:
            _check(row)
        except Damaged as error:
            yield f"{row.person}/{row.key}", str(error)


def _found(connection: Connection, person: str, key: str) -> Row[Any] | None:
    row = connection.execute(_GET, {"who": person, "wanted": key}).first()
    if row is not None:
        _check(row)
    return row


def _check(row: Row[Any]) -> None:
    columns = row._asdict()
    body, seal = columns.pop("body"), columns.pop("seal")
    try:
        intact = _seal(columns, body) == seal
    except (InvalidRecord, TypeError):  # bytes where text was, text where bytes were
        intact = False
    if not intact:
        raise Damaged(f"the answer to request {row.key!r} is damaged: it is not what was written")


def _sealed(columns: dict[str, Any], body: bytes) -> dict[str, Any]:
    return {**columns, "body": body, "seal": _seal(columns, body)}


def _seal(columns: dict[str, Any], body: bytes) -> str:
    return digest_bytes(canonical(columns) + b"," + body)
