"""Numbers that are given out once."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, update

from intaglio.store.database import Database
from intaglio.store.rows import COUNTERS, Counter
from intaglio.store.schema import counters

_ALL = select(counters)
_GET = _ALL.where(counters.c.name == bindparam("wanted"))
_SET = update(counters).where(counters.c.name == bindparam("wanted"))


class Counters:
    """Counters by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self, name: str, first: int) -> int:
        """The next number, beginning with `first`; no other process gets the same. Raises Damaged."""
        with self._database.write() as connection:
            return give(connection, name, first)


def give(connection: Connection, name: str, first: int) -> int:
    """The next number of a counter within a transaction, `first` at least. Raises Damaged."""
    last = COUNTERS.first(connection, _GET, wanted=name)
    if last is None:
        # Were this one there under a damaged name, it would begin again and give out a number twice.
        COUNTERS.all(connection, _ALL)
        COUNTERS.add(connection, Counter(name=name, value=first))
        return first
    counter = Counter(name=name, value=max(last.value + 1, first))
    connection.execute(_SET, {"wanted": name, **COUNTERS.row(counter)})
    return counter.value


def given(connection: Connection, name: str) -> int:
    """The last number that a counter gave out, 0 for none. Raises Damaged."""
    last = COUNTERS.first(connection, _GET, wanted=name)
    return last.value if last else 0
