"""The journal: what happened in the library, written in the same transaction as what it tells of."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from contextlib import suppress

from sqlalchemy import Connection, bindparam, func, or_, select

from intaglio.core.errors import Damaged
from intaglio.core.journal import Notice
from intaglio.core.record import EMPTY, Json
from intaglio.store.counters import give
from intaglio.store.database import Database, now
from intaglio.store.rows import JOURNAL, starts_with
from intaglio.store.schema import journal

# Counts the lines.
COUNTER = "journal"
_LAST = select(func.max(journal.c.number))
_AFTER = (
    select(journal).where(journal.c.number > bindparam("after")).order_by(journal.c.number).limit(bindparam("limit"))
)


class Journal:
    """The lines of the journal, in order. They are added, never changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, what: str, subject: str, facts: Mapping[str, Json] = EMPTY) -> Notice:
        """Add a line."""
        with self._database.write() as connection:
            return note(connection, what, subject, facts)

    def list(
        self, after: int = 0, limit: int = 100, subject: str | None = None, what: Sequence[str] = ()
    ) -> builtins.list[Notice]:
        """The lines with numbers above `after`, in order: of one subject, those whose `what` begins with one of these.

        Raises Damaged.
        """
        statement = _AFTER if subject is None else _AFTER.where(journal.c.subject == subject)
        if what:
            statement = statement.where(or_(*(starts_with(journal.c.what, prefix) for prefix in what)))
        with self._database.read() as connection:
            return JOURNAL.all(connection, statement, after=after, limit=limit)

    def last(self) -> int:
        """The number of the last line, 0 while there is none."""
        with self._database.read() as connection:
            return connection.execute(_LAST).scalar() or 0


def note(connection: Connection, what: str, subject: str, facts: Mapping[str, Json]) -> Notice:
    """Add a line within a transaction.

    A writing transaction is alone from its first moment, so whoever sees a line sees all before it. Numbers are counted
    beside the lines: one whose line got lost is not given out again, and a lost end is noticed.
    """
    number = (connection.execute(_LAST).scalar() or 0) + 1
    with suppress(Damaged):  # the check names a broken counter; work goes on by the lines that are there
        number = give(connection, COUNTER, first=number)
    notice = Notice(number=number, time=now(), what=what, subject=subject, facts=facts)
    JOURNAL.add(connection, notice)
    return notice
