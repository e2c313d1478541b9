"""The queue: what waits until a worker takes it, in order."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from intaglio.core.errors import Conflict, Damaged, NotFound
from intaglio.core.queued import Queued, Reuse, What
from intaglio.store.database import Database
from intaglio.store.rows import QUEUE
from intaglio.store.schema import queue

# Between two places: so often can one be put between them by halving before all are numbered anew.
_STRIDE = 1 << 20
_ALL = select(queue).order_by(queue.c.place)
_GET = select(queue).where(queue.c.id == bindparam("wanted"))
_SET = update(queue).where(queue.c.id == bindparam("wanted"))
_REMOVE = delete(queue).where(queue.c.id == bindparam("wanted"))
_ADD = insert(queue)
_LAST = select(func.max(queue.c.place))
_COUNT = select(func.count()).select_from(queue)
_BEFORE = _COUNT.where(queue.c.place <= bindparam("place"))
_READY = _ALL.where(queue.c.not_before <= bindparam("now"))
# The places around the one to move to, as if the moved one were gone.
_AROUND = (
    select(queue.c.place)
    .where(queue.c.id != bindparam("wanted"))
    .order_by(queue.c.place)
    .limit(2)
    .offset(bindparam("skipped"))
)


class Queue:
    """Entries by the id of the task or job that waits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, id: str, what: What, *, reuse: Reuse = "any", paranoid: bool = False) -> Queued:
        """Put a task or a job at the end. Raises Conflict when it waits already."""
        with self._database.write() as connection:
            if connection.execute(_GET, {"wanted": id}).first() is not None:
                raise Conflict(f"{what} {id!r} is in the queue already")
            entry = Queued(id=id, what=what, place=_end(connection), reuse=reuse, paranoid=paranoid)
            QUEUE.add(connection, entry)
        return entry

    def get(self, id: str) -> Queued | None:
        """The entry of a task or job, None when it does not wait. Raises Damaged."""
        with self._database.read() as connection:
            return QUEUE.first(connection, _GET, wanted=id)

    def has(self, id: str) -> bool:
        """Whether a task or job is in the queue, even if its entry is damaged."""
        with self._database.read() as connection:
            return connection.execute(_GET, {"wanted": id}).first() is not None

    def list(self, limit: int = 50, after_place: int | None = None) -> builtins.list[Queued]:
        """The entries in order, those after the place `after_place`. Raises Damaged."""
        statement = _ALL if after_place is None else _ALL.where(queue.c.place > after_place)
        with self._database.read() as connection:
            return QUEUE.all(connection, statement.limit(limit))

    def ready(self, now: str, limit: int = 1) -> builtins.list[Queued]:
        """The first entries that may be taken at the time `now`, in order.

        A damaged one is passed over, so that it does not stop the others; `library check` names it.
        """
        with self._database.read() as connection:
            return builtins.list(_intact(connection, now, limit))

    def move(self, id: str, to: int) -> Queued:
        """Put an entry at a position, 1 being the front and more than there are the end; the others keep their order.

        Raises NotFound, Damaged.
        """
        with self._database.write() as connection:
            entry = _found(connection, id)
            return _change(connection, replace(entry, place=_place_at(connection, id, to)))

    def position(self, id: str) -> int | None:
        """How many are to be taken before it, and 1; None when it does not wait."""
        with self._database.read() as connection:
            row = connection.execute(_GET, {"wanted": id}).first()
            return None if row is None else connection.execute(_BEFORE, {"place": row.place}).scalar()

    def postpone(self, id: str, not_before: str, tries: int) -> Queued:
        """Let an entry wait until the time `not_before`; it was tried so often. Raises NotFound, Damaged."""
        with self._database.write() as connection:
            return _change(connection, replace(_found(connection, id), not_before=not_before, tries=tries))

    def remove(self, id: str) -> None:
        """Take an entry out, if it is there."""
        with self._database.write() as connection:
            leave(connection, id)

    def count(self) -> int:
        """How many entries there are."""
        with self._database.read() as connection:
            return connection.execute(_COUNT).scalar() or 0


def leave(connection: Connection, id: str) -> None:
    """Take an entry out within a transaction, if it is there."""
    connection.execute(_REMOVE, {"wanted": id})


def _intact(connection: Connection, now: str, limit: int) -> Iterator[Queued]:
    for row in connection.execute(_READY, {"now": now}):
        if limit <= 0:
            return
        with suppress(Damaged):
            yield QUEUE.read(row)
            limit -= 1


def _found(connection: Connection, id: str) -> Queued:
    entry = QUEUE.first(connection, _GET, wanted=id)
    if entry is None:
        raise NotFound("queue entry", id)
    return entry


def _change(connection: Connection, entry: Queued) -> Queued:
    connection.execute(_SET, {"wanted": entry.id, **QUEUE.row(entry)})
    return entry


def _end(connection: Connection) -> int:
    return (connection.execute(_LAST).scalar() or 0) + _STRIDE


def _place_at(connection: Connection, id: str, to: int) -> int:
    """A free place at the position `to`; when its neighbours leave no room, all are numbered anew."""
    skipped = max(to, 1) - 2
    around: Sequence[int] = connection.execute(_AROUND, {"wanted": id, "skipped": max(skipped, 0)}).scalars().all()
    if not around:
        return _end(connection)
    if skipped < 0:
        return around[0] - _STRIDE
    if len(around) == 1:
        return around[0] + _STRIDE
    if around[1] - around[0] > 1:
        return (around[0] + around[1]) // 2
    _number_anew(connection)
    return _place_at(connection, id, to)


def _number_anew(connection: Connection) -> None:
    """Give every entry a new place, in the same order, behind all the old ones."""
    entries, first = QUEUE.all(connection, _ALL), _end(connection)
    connection.execute(delete(queue))
    rows = [QUEUE.row(replace(entry, place=first + at * _STRIDE)) for at, entry in enumerate(entries)]
    connection.execute(_ADD, rows)
