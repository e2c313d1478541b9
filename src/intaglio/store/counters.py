"""Numbers that are given out once."""

from __future__ import annotations

from sqlalchemy import bindparam, select, update

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
            last = COUNTERS.first(connection, _GET, wanted=name)
            if last is None:
                # Were this one there under a damaged name, it would begin again and give out a number twice.
                COUNTERS.all(connection, _ALL)
                COUNTERS.add(connection, Counter(name=name, value=first))
                return first
            counter = Counter(name=name, value=last.value + 1)
            connection.execute(_SET, {"wanted": name, **COUNTERS.row(counter)})
            return counter.value
