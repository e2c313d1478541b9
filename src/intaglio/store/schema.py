"""The tables, and how a row of one is sealed when it is written and checked whenever it is read.

A row holds its record as canonical JSON (`body`). The columns beside it are there to be searched by; they are taken
from the record, except for the few that no record holds (`seq`, the order in which rows were added; a model's `path`).
The `seal` is the digest over [kind, record, columns], so that no flipped bit, in a body or in a column, goes unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Executable,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    UniqueConstraint,
    func,
    insert,
    select,
)

from intaglio.core.asset import Asset
from intaglio.core.canonical import PREFIX, canonical
from intaglio.core.codec import decode, digest, digest_body, encode
from intaglio.core.errors import Damaged, InvalidRecord
from intaglio.core.fidelity import Reproduction
from intaglio.core.model import ModelVersion
from intaglio.core.record import record
from intaglio.core.task import Event, NodeRecord, Task
from intaglio.core.version import Version

# The name of the newest script in migrations/versions, which makes exactly the tables below.
REVISION = "2026_11_20_first_tables"

T = TypeVar("T")
Columns = dict[str, str | int | None]


class _Body(LargeBinary):
    """Bytes, handed over as they are: what a damaged file returns instead is for `RecordTable` to refuse."""

    cache_ok = True

    def result_processor(self, dialect: Any, coltype: Any) -> None:
        return None


# SQLite makes only a plain INTEGER the key its rows are stored under.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
# Ordered byte by byte everywhere, so that a prefix is a range.
_WORD = String().with_variant(String(collation="C"), "postgresql")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _word(name: str, *constraints: ForeignKey, **options: Any) -> Column[Any]:
    return Column(name, _WORD, *constraints, **{"nullable": False, **options})


def _number(name: str, **options: Any) -> Column[Any]:
    return Column(name, _NUMBER, **{"nullable": False, **options})


def _seq() -> Column[Any]:
    return _number("seq", primary_key=True, autoincrement=False)


def _sealed() -> tuple[Column[Any], Column[Any]]:
    return _word("seal"), Column("body", _Body, nullable=False)


# Alembic's own table, here so that a new library needs no Alembic.
alembic_version = Table(
    "alembic_version", metadata, Column("version_num", String(32), primary_key=True, nullable=False)
)
assert alembic_version.primary_key is not None
alembic_version.primary_key.name = "alembic_version_pkc"

documents = Table(
    "documents",
    metadata,
    _word("digest", primary_key=True),
    _word("kind"),
    Column("body", _Body, nullable=False),
)
workflows = Table(
    "workflows",
    metadata,
    _seq(),
    _word("name"),
    _number("version"),
    _word("digest", ForeignKey("documents.digest")),
    *_sealed(),
    UniqueConstraint("name", "version"),
    UniqueConstraint("name", "digest"),
)
tasks = Table(
    "tasks",
    metadata,
    _seq(),
    _word("id", unique=True),
    _word("status"),
    _word("plan", ForeignKey("documents.digest")),
    _word("snapshot", ForeignKey("documents.digest"), nullable=True),
    *_sealed(),
    Index(None, "status", "seq"),
)
node_records = Table(
    "node_records",
    metadata,
    _seq(),
    _word("task", ForeignKey("tasks.id")),
    _word("step"),
    _number("attempt"),
    _word("key"),
    *_sealed(),
    UniqueConstraint("task", "step", "attempt"),
    Index(None, "key", "seq"),
)
assets = Table(
    "assets",
    metadata,
    _seq(),
    _word("digest", unique=True),
    _word("pixels", nullable=True, index=True),
    *_sealed(),
)
# No body: each row is read together with the node record it comes from, and checked against it.
step_outputs = Table(
    "step_outputs",
    metadata,
    _word("task", primary_key=True),
    _word("step", primary_key=True),
    _number("attempt", primary_key=True, autoincrement=False),
    _word("output", primary_key=True),
    _word("asset", ForeignKey("assets.digest"), index=True),
    ForeignKeyConstraint(
        ["task", "step", "attempt"], ["node_records.task", "node_records.step", "node_records.attempt"]
    ),
)
events = Table(
    "events",
    metadata,
    _word("task", ForeignKey("tasks.id"), primary_key=True),
    _number("number", primary_key=True, autoincrement=False),
    *_sealed(),
)
versions = Table(
    "versions",
    metadata,
    _seq(),
    _word("digest", unique=True),
    _word("workflow"),
    _number("number"),
    _word("label", nullable=True),
    _word("task", index=True),
    _word("snapshot", ForeignKey("documents.digest"), index=True),
    *_sealed(),
    UniqueConstraint("workflow", "number"),
    UniqueConstraint("workflow", "label"),
)
# No body: read together with the version, and checked against it.
version_outputs = Table(
    "version_outputs",
    metadata,
    _word("version", ForeignKey("versions.digest"), primary_key=True),
    _word("asset", primary_key=True, index=True),
)
models = Table(
    "models",
    metadata,
    _seq(),
    _word("digest", index=True),
    _word("name"),
    _word("version"),
    _word("path"),
    *_sealed(),
    UniqueConstraint("name", "version"),
)
reproductions = Table(
    "reproductions",
    metadata,
    _seq(),
    _word("digest", unique=True),
    _word("version", ForeignKey("versions.digest"), index=True),
    *_sealed(),
)
counters = Table("counters", metadata, _word("name", primary_key=True), _number("value"), *_sealed())


@record
class WorkflowEntry:
    """A workflow's place in the library: its number under its name, the digest of its document, and when."""

    kind: Literal["workflow-entry"] = "workflow-entry"
    format: Literal[1] = 1
    name: str
    version: int
    digest: str
    created: str


@record
class Counter:
    """The number a counter gave out last."""

    kind: Literal["counter"] = "counter"
    format: Literal[1] = 1
    name: str
    value: int


class RecordTable(Generic[T]):
    """A table of sealed records. `columns` says what a record's columns hold; `named` is the column that names one."""

    def __init__(self, table: Table, cls: type[T], columns: Callable[[T], Columns], named: str) -> None:
        self.table = table
        self.kind: str = cls.kind  # type: ignore[attr-defined]  # every record that stands alone has one
        self._cls = cls
        self._columns = columns
        self._named = named
        self._insert = insert(table)
        self._last = select(func.max(table.c.seq)) if "seq" in table.c else None

    def row(self, value: T, **beside: str | int) -> dict[str, Any]:
        """The row that holds `value`, and `beside` it the columns that are not in the record."""
        columns = {**self._columns(value), **beside}
        body = encode(value)
        return {**columns, "body": body, "seal": _seal(self.kind, body, columns)}

    def add(self, connection: Connection, value: T, **beside: str | int) -> None:
        """Insert a row, numbered after all the others where the table has an order."""
        if self._last is not None:
            beside["seq"] = (connection.execute(self._last).scalar() or 0) + 1
        connection.execute(self._insert, self.row(value, **beside))

    def check(self, row: Row[Any]) -> dict[str, Any]:
        """The columns of a row that is as it was written. Raises Damaged."""
        columns = row._asdict()
        body, seal = columns.pop("body"), columns.pop("seal")
        try:
            intact = _seal(self.kind, body, columns) == seal
        except (InvalidRecord, TypeError):  # bytes where text was, text where bytes were
            intact = False
        if not intact:
            raise Damaged(f"{self.kind} {self.name(row)!r} is damaged: it is not what was written")
        return columns

    def read(self, row: Row[Any]) -> T:
        """The record in a row. Raises Damaged, and InvalidRecord for a format newer than this Intaglio."""
        columns = self.check(row)
        value = decode(self._cls, row.body)
        for column, expected in self._columns(value).items():
            if columns[column] != expected:
                raise Damaged(f"{self.kind} {self.name(row)!r} is damaged: column {column} is not its record's")
        return value

    def first(self, connection: Connection, statement: Executable, **values: object) -> T | None:
        """The record in the first row that `statement` finds. Raises Damaged."""
        row = connection.execute(statement, values).first()
        return None if row is None else self.read(row)

    def all(self, connection: Connection, statement: Executable, **values: object) -> list[T]:
        """The records in all rows that `statement` finds. Raises Damaged."""
        return [self.read(row) for row in connection.execute(statement, values)]

    def name(self, row: Row[Any]) -> str:
        """What a row is called in messages."""
        return str(row._mapping[self._named])


def _seal(kind: str, body: bytes, columns: Mapping[str, object]) -> str:
    return digest_body(kind, body + b"," + canonical(columns))


def starts_with(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Rows whose text begins with `prefix`, found through the index."""
    return column.between(prefix, prefix + "\U0010ffff")


def digest_starts_with(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Rows whose digest begins with `prefix`, given with or without "blake3:"."""
    return starts_with(column, PREFIX + prefix.removeprefix(PREFIX))


WORKFLOWS = RecordTable(
    workflows, WorkflowEntry, lambda w: {"name": w.name, "version": w.version, "digest": w.digest}, "name"
)
TASKS = RecordTable(
    tasks, Task, lambda t: {"id": t.id, "status": t.status, "plan": t.plan, "snapshot": t.snapshot or None}, "id"
)
NODE_RECORDS = RecordTable(
    node_records,
    NodeRecord,
    lambda n: {"task": n.task, "step": n.step, "attempt": n.attempt, "key": n.key},
    "step",
)
ASSETS = RecordTable(assets, Asset, lambda a: {"digest": a.digest, "pixels": a.pixels or None}, "digest")
EVENTS = RecordTable(events, Event, lambda e: {"task": e.task, "number": e.number}, "task")
VERSIONS = RecordTable(
    versions,
    Version,
    lambda v: {
        "digest": digest(v),
        "workflow": v.workflow.name,
        "number": v.number,
        "label": v.label or None,
        "task": v.task,
        "snapshot": v.snapshot,
    },
    "digest",
)
MODELS = RecordTable(
    models, ModelVersion, lambda m: {"digest": m.digest, "name": m.name, "version": m.version}, "digest"
)
REPRODUCTIONS = RecordTable(
    reproductions, Reproduction, lambda r: {"digest": digest(r), "version": r.version}, "digest"
)
COUNTERS = RecordTable(counters, Counter, lambda c: {"name": c.name, "value": c.value}, "name")
