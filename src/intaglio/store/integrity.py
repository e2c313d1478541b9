"""Looking at every row of the database: is it what was written, and is what it names there?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Table, and_, func, select
from sqlalchemy.schema import ForeignKeyConstraint

from intaglio.core.errors import Damaged, InvalidRecord
from intaglio.store.counters import given
from intaglio.store.database import Database
from intaglio.store.documents import document_problem
from intaglio.store.idempotency import broken_answers
from intaglio.store.journal import COUNTER
from intaglio.store.pictures import broken_hashes
from intaglio.store.rows import JOURNAL, NODE_RECORDS, SEALED, VERSIONS
from intaglio.store.schema import (
    documents,
    jobs,
    journal,
    metadata,
    queue,
    step_inputs,
    step_outputs,
    tasks,
    version_outputs,
)
from intaglio.store.search_blocks import REPAIR
from intaglio.store.search_index import differences
from intaglio.store.tasks import inputs_of

_NAMES = {records.table.name: records for records in SEALED}


@dataclass(frozen=True)
class Problem:
    """Something wrong with one row: its kind, its id, and what in words."""

    kind: str
    id: str
    message: str


def check_rows(database: Database) -> Iterator[Problem]:
    """Everything wrong with the rows of a library, of one state of it; nothing when all is well."""
    try:
        with database.read() as connection:
            yield from _check_pages(connection)
            for row in connection.execute(select(documents)):
                message = document_problem(row)
                if message:
                    yield Problem(str(row.kind), str(row.digest), message)
            yield from _check_outputs(connection)
            yield from _check_journal(connection)
            yield from _check_queue(connection)
            for request, message in broken_answers(connection):
                yield Problem("request", request, message)
            for version, message in differences(connection):
                yield Problem("search", version, f"{message}. {REPAIR}")
            for asset in broken_hashes(connection):
                yield Problem("search", asset, f"its perceptual hash is damaged. {REPAIR}")
            for table in metadata.sorted_tables:
                yield from _check_references(connection, table)
    except Damaged as error:  # so damaged that no more can be read
        yield Problem("database", database.path.name, str(error))


def _check_pages(connection: Connection) -> Iterator[Problem]:
    if connection.dialect.name != "sqlite":  # other servers check their own pages
        return
    for (message,) in connection.exec_driver_sql("PRAGMA integrity_check"):
        if message != "ok":
            yield Problem("database", "pages", message)


def _check_outputs(connection: Connection) -> Iterator[Problem]:
    """Every sealed row, and the tables of inputs and outputs against the records they are taken from."""
    steps: set[tuple[object, ...]] = set()
    taken: set[tuple[object, ...]] = set()
    kept: set[tuple[object, ...]] = set()
    for records in SEALED:
        for row in connection.execute(select(records.table)):
            try:
                record = records.read(row)
            except (Damaged, InvalidRecord) as error:
                yield Problem(records.kind, records.name(row), str(error))
                continue
            if records is NODE_RECORDS:
                at = (record.task, record.step, record.attempt)
                steps.update((*at, *output) for output in record.outputs.items())
                taken.update((*at, *each) for each in inputs_of(record).items())
            elif records is VERSIONS:
                kept.update((row.digest, output.asset) for output in record.outputs)
    for table, kind, what, named, expected in (
        (step_outputs, "node-record", "output", 2, steps),
        (step_inputs, "node-record", "input", 2, taken),
        (version_outputs, "version", "output", 1, kept),
    ):
        there = {tuple(row) for row in connection.execute(select(table))}
        for output in sorted(there ^ expected, key=str):
            state = "is in no readable record" if output in there else f"is missing from the table of {what}s"
            words = [str(word) for word in output]
            yield Problem(kind, "/".join(words[:named]), f"{what} {' '.join(words[named:])} {state}")


def _check_journal(connection: Connection) -> Iterator[Problem]:
    """The numbers that are missing: whoever follows the journal counts on there being none."""
    expected = 1
    for number in connection.execute(select(journal.c.number).order_by(journal.c.number)).scalars():
        if isinstance(number, int) and number > expected:
            missing = f"line {expected} is" if number == expected + 1 else f"lines {expected} to {number - 1} are"
            yield Problem("notice", str(expected), f"{missing} missing from the journal")
        expected = number + 1 if isinstance(number, int) else expected
    try:
        last = given(connection, COUNTER)
    except Damaged:  # named with the other records
        last = 0
    if last >= expected:
        missing = f"line {last} is" if last == expected else f"lines {expected} to {last} are"
        yield Problem("notice", str(expected), f"{missing} missing from the end of the journal")


def _check_queue(connection: Connection) -> Iterator[Problem]:
    """Entries that nothing stands behind."""
    for what, table in (("task", tasks), ("job", jobs)):
        there = select(table.c.id).where(table.c.id == queue.c.id).exists()
        for name in connection.execute(select(queue.c.id).where(queue.c.what == what, ~there)).scalars():
            yield Problem("queued", str(name), f"the {what} that waits is not there")


def _check_references(connection: Connection, table: Table) -> Iterator[Problem]:
    for constraint in table.constraints:
        if not isinstance(constraint, ForeignKeyConstraint):
            continue
        parent = constraint.referred_table.alias()
        pairs = [(key.parent, parent.c[key.column.name]) for key in constraint.elements]
        missing = (
            select(table)
            .select_from(table.outerjoin(parent, and_(*(mine == theirs for mine, theirs in pairs))))
            .where(pairs[0][0].is_not(None), pairs[0][1].is_(None))
        )
        for row in connection.execute(missing):
            kind, name = _named(table, row)
            named = " ".join(str(row._mapping[mine.name]) for mine, _ in pairs)
            yield Problem(kind, name, f"names {named}, which is not in {constraint.referred_table.name}")


def _named(table: Table, row: Row[Any]) -> tuple[str, str]:
    records = _NAMES.get(table.name)
    return (table.name, str(row[0])) if records is None else (records.kind, records.name(row))


def count_rows(database: Database) -> int:
    """How many records a library holds; the lines of the journal only tell of them."""
    with database.read() as connection:
        tables = (documents, *(records.table for records in SEALED if records is not JOURNAL))
        return sum(connection.execute(select(func.count()).select_from(table)).scalar() or 0 for table in tables)
