"""Rows of records: sealed when they are written, checked whenever they are read.

The `seal` is the digest over [kind, record, columns], so that no flipped bit, in a body or in a column, goes unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, TypeVar

from sqlalchemy import ColumnElement, Connection, Executable, Row, Table, func, insert, select

from intaglio.core.asset import Asset
from intaglio.core.branch import Branch, WorkflowRemark
from intaglio.core.canonical import PREFIX, canonical
from intaglio.core.codec import decode, digest, digest_body, encode
from intaglio.core.envelope import Envelope
from intaglio.core.errors import Damaged, InvalidRecord
from intaglio.core.fidelity import Reproduction
from intaglio.core.job import Job
from intaglio.core.journal import Notice
from intaglio.core.model import KeptModel, ModelHashes, ModelPlace, ModelVersion
from intaglio.core.queued import Queued
from intaglio.core.record import record
from intaglio.core.task import Event, NodeRecord, Task
from intaglio.core.token import Token
from intaglio.core.variation import Variation, VariationRemark, VariationRun
from intaglio.core.version import Remark, Version
from intaglio.core.webhook import Webhook
from intaglio.store.schema import (
    assets,
    branches,
    counters,
    envelopes,
    events,
    jobs,
    journal,
    kept_models,
    model_hashes,
    model_places,
    models,
    node_records,
    queue,
    remarks,
    reproductions,
    tasks,
    tokens,
    variation_remarks,
    variation_runs,
    variations,
    versions,
    webhooks,
    workflow_remarks,
    workflows,
)

T = TypeVar("T")
Columns = dict[str, str | int | None]


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


# So many records that were read stay at hand, of each kind; a page holds at most 1,000.
_REMEMBERED = 2000


class RecordTable(Generic[T]):
    """A table of sealed records. `columns` says what a record's columns hold; `named` are what names one."""

    def __init__(self, table: Table, cls: type[T], columns: Callable[[T], Columns], *named: str) -> None:
        self.table = table
        self.kind: str = cls.kind  # type: ignore[attr-defined]  # every record that stands alone has one
        self._cls = cls
        self._columns = columns
        self._named = named
        self._read: dict[str, tuple[tuple[Any, ...], T]] = {}
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
        # A row that is to the byte one that was checked is as intact as that: who reads a page again pays next to
        # nothing for it.
        known = self._read.get(row.seal)
        if known is not None and known[0] == row:
            return known[1]
        columns = self.check(row)
        value = decode(self._cls, row.body)
        for column, expected in self._columns(value).items():
            if columns[column] != expected:
                raise Damaged(f"{self.kind} {self.name(row)!r} is damaged: column {column} is not its record's")
        if len(self._read) >= _REMEMBERED:
            self._read.clear()
        self._read[row.seal] = (tuple(row), value)
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
        return "/".join(str(row._mapping[column]) for column in self._named)


def _seal(kind: str, body: bytes, columns: Mapping[str, object]) -> str:
    return digest_body(kind, body + b"," + canonical(columns))


def starts_with(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Rows whose text begins with `prefix`, found through the index."""
    return column.between(prefix, prefix + "\U0010ffff")


def digest_starts_with(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Rows whose digest begins with `prefix`, given with or without "blake3:"."""
    return starts_with(column, PREFIX + prefix.removeprefix(PREFIX))


WORKFLOWS = RecordTable(
    workflows, WorkflowEntry, lambda w: {"name": w.name, "version": w.version, "digest": w.digest}, "name", "version"
)
TASKS = RecordTable(
    tasks, Task, lambda t: {"id": t.id, "status": t.status, "plan": t.plan, "snapshot": t.snapshot or None}, "id"
)
NODE_RECORDS = RecordTable(
    node_records,
    NodeRecord,
    lambda n: {"task": n.task, "step": n.step, "attempt": n.attempt, "key": n.key},
    "task",
    "step",
)
ASSETS = RecordTable(assets, Asset, lambda a: {"digest": a.digest, "pixels": a.pixels or None}, "digest")
EVENTS = RecordTable(events, Event, lambda e: {"task": e.task, "number": e.number}, "task", "number")
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
    models, ModelVersion, lambda m: {"digest": m.digest, "name": m.name, "version": m.version}, "name", "version"
)
REPRODUCTIONS = RecordTable(
    reproductions, Reproduction, lambda r: {"digest": digest(r), "version": r.version}, "digest"
)
COUNTERS = RecordTable(counters, Counter, lambda c: {"name": c.name, "value": c.value}, "name")
REMARKS = RecordTable(remarks, Remark, lambda r: {"digest": digest(r), "version": r.version, "what": r.what}, "digest")
ENVELOPES = RecordTable(envelopes, Envelope, lambda e: {"digest": digest(e), "model": e.model.digest}, "digest")
MODEL_PLACES = RecordTable(model_places, ModelPlace, lambda p: {"path": p.path, "digest": p.digest}, "path")
MODEL_HASHES = RecordTable(
    model_hashes,
    ModelHashes,
    lambda h: {"digest": h.digest, "sha256": h.sha256, "autov1": h.autov1, "tensors": h.tensors},
    "digest",
)
BRANCHES = RecordTable(branches, Branch, lambda b: {"name": b.name, "base": b.base.name}, "name")
WORKFLOW_REMARKS = RecordTable(
    workflow_remarks,
    WorkflowRemark,
    lambda r: {"digest": digest(r), "workflow": r.workflow, "what": r.what},
    "digest",
)
VARIATIONS = RecordTable(variations, Variation, lambda v: {"id": v.id, "version": v.version}, "id")
VARIATION_RUNS = RecordTable(
    variation_runs,
    VariationRun,
    lambda r: {"variation": r.variation, "cell": r.cell, "task": r.task},
    "variation",
    "cell",
)
VARIATION_REMARKS = RecordTable(
    variation_remarks,
    VariationRemark,
    lambda r: {"digest": digest(r), "variation": r.variation, "what": r.what, "value": r.value},
    "digest",
)
KEPT_MODELS = RecordTable(kept_models, KeptModel, lambda k: {"digest": k.digest}, "digest")
JOURNAL = RecordTable(journal, Notice, lambda n: {"number": n.number, "what": n.what, "subject": n.subject}, "number")
QUEUE = RecordTable(
    queue,
    Queued,
    lambda q: {"id": q.id, "what": q.what, "place": q.place, "not_before": q.not_before},
    "id",
)
JOBS = RecordTable(jobs, Job, lambda j: {"id": j.id, "status": j.status, "verb": j.verb}, "id")
TOKENS = RecordTable(tokens, Token, lambda t: {"id": t.id, "hash": t.hash}, "id")
WEBHOOKS = RecordTable(webhooks, Webhook, lambda w: {"id": w.id}, "id")
# Every table of sealed records.
SEALED: tuple[RecordTable[Any], ...] = (
    WORKFLOWS, TASKS, NODE_RECORDS, ASSETS, EVENTS, VERSIONS, MODELS, REPRODUCTIONS, REMARKS, ENVELOPES, MODEL_PLACES,
    MODEL_HASHES, KEPT_MODELS, COUNTERS, BRANCHES, WORKFLOW_REMARKS, VARIATIONS, VARIATION_RUNS, VARIATION_REMARKS,
    JOURNAL, QUEUE, JOBS, TOKENS, WEBHOOKS,
)  # fmt: skip
