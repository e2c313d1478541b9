"""Tasks from queue to end: their states, the records of their steps, and their logs."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from intaglio.core.asset import Asset
from intaglio.core.codec import decode, encode
from intaglio.core.errors import Conflict, NotFound
from intaglio.core.record import EMPTY, Json, plain
from intaglio.core.task import Event, NodeRecord, Status, Task, check_forward
from intaglio.store.assets import add_asset
from intaglio.store.database import Database, now
from intaglio.store.journal import note
from intaglio.store.queue import leave
from intaglio.store.rows import EVENTS, NODE_RECORDS, TASKS, starts_with
from intaglio.store.schema import events, node_records, step_inputs, step_outputs, tasks

# A task that became one of these is not in the queue any more.
ENDED: frozenset[Status] = frozenset({"waiting", "done", "failed", "cancelled"})

# What happened, at which step ("" = the whole task), and facts about it.
Happening = tuple[str, str, Mapping[str, Json]]

_GET = select(tasks).where(tasks.c.id == bindparam("wanted"))
_SEQ = select(tasks.c.seq).where(tasks.c.id == bindparam("wanted"))
_SET = update(tasks).where(tasks.c.seq == bindparam("at"))
_NEWEST = select(tasks).order_by(tasks.c.seq.desc()).limit(bindparam("limit"))
_STEPS = select(node_records).where(node_records.c.task == bindparam("wanted")).order_by(node_records.c.seq)
_REUSABLE = (
    select(node_records).where(node_records.c.key == bindparam("wanted")).order_by(node_records.c.seq.desc()).limit(1)
)
_REUSABLE_IN = _REUSABLE.where(node_records.c.task == bindparam("within"))
_SAME_KEY = select(node_records).where(node_records.c.key == bindparam("wanted")).order_by(node_records.c.seq)
# So many values are asked for in one statement; SQLite takes 32,766.
_AT_ONCE = 500
_ADD_OUTPUT = insert(step_outputs)
_ADD_INPUT = insert(step_inputs)
_LAST_EVENT = select(func.max(events.c.number)).where(events.c.task == bindparam("wanted"))
_EVENTS = (
    select(events)
    .where(events.c.task == bindparam("wanted"), events.c.number > bindparam("after"))
    .order_by(events.c.number)
)


class Tasks:
    """Tasks by id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, task: Task) -> None:
        """Keep a new task. Raises Conflict when its id is taken, or its plan is not in the library."""
        with self._database.write() as connection:
            if connection.execute(_SEQ, {"wanted": task.id}).first() is not None:
                raise Conflict(f"task {task.id!r} is already there")
            TASKS.add(connection, task)
            _note_status(connection, task)

    def get(self, id: str) -> Task:
        """The task of that id. Raises NotFound, Damaged."""
        with self._database.read() as connection:
            task = TASKS.first(connection, _GET, wanted=id)
        if task is None:
            raise NotFound("task", id)
        return task

    def find(self, prefix: str) -> builtins.list[str]:
        """The ids that begin with `prefix`."""
        statement = select(tasks.c.id).where(starts_with(tasks.c.id, prefix)).order_by(tasks.c.id)
        with self._database.read() as connection:
            return builtins.list(connection.execute(statement).scalars())

    def list(
        self,
        *,
        limit: int = 50,
        before: str | None = None,
        status: Status | None = None,
        first: str = "",
        last: str = "",
    ) -> builtins.list[Task]:
        """The newest tasks, newest first: those added before the task `before`, those of a status, those whose ids lie
        between two beginnings of ids, both included.

        Raises NotFound, Damaged.
        """
        statement = _NEWEST if status is None else _NEWEST.where(tasks.c.status == status)
        if first or last:
            statement = statement.where(tasks.c.id.between(first, f"{last}\U0010ffff"))
        with self._database.read() as connection:
            if before is not None:
                statement = statement.where(tasks.c.seq < _seq(connection, before))
            return TASKS.all(connection, statement, limit=limit)

    def advance(self, id: str, status: Status, *, told: bool = True, **changes: Any) -> Task:
        """Move a task forward, changing other fields with it; the journal says so, unless it is not `told`.

        Raises Conflict when it may not, NotFound, Damaged.
        """
        with self._database.write() as connection:
            return change_task(connection, id, told=told, status=status, **changes)

    def tell(self, id: str) -> None:
        """Say in the journal how a task stands: of one that was moved without. Raises NotFound, Damaged."""
        with self._database.write() as connection:
            _note_status(connection, self.get(id))

    def update(self, id: str, **changes: Any) -> Task:
        """Change fields other than the status. Raises NotFound, Damaged."""
        if changes.keys() & {"id", "status"}:
            raise TypeError("update changes neither id nor status")
        with self._database.write() as connection:
            return change_task(connection, id, **changes)

    def add_step(self, record: NodeRecord, assets: Sequence[Asset], events: Sequence[Happening]) -> None:
        """Keep what a step did, its new assets and what to log of it, all or nothing.

        Raises NotFound for an unknown task, Conflict for a step recorded before in this attempt or an output that is
        neither in `assets` nor in the library.
        """
        with self._database.write() as connection:
            _seq(connection, record.task)
            NODE_RECORDS.add(connection, record)
            for asset in assets:
                add_asset(connection, asset)
            at = {"task": record.task, "step": record.step, "attempt": record.attempt}
            made = [{**at, "output": name, "asset": digest} for name, digest in record.outputs.items()]
            taken = [{**at, "input": name, "asset": digest} for name, digest in inputs_of(record).items()]
            for statement, rows in ((_ADD_OUTPUT, made), (_ADD_INPUT, taken)):
                if rows:
                    connection.execute(statement, rows)
            for what, step, facts in events:
                _log(connection, record.task, what, step, facts)

    def steps(self, id: str) -> builtins.list[NodeRecord]:
        """What the steps of a task did, in the order recorded. Raises Damaged."""
        with self._database.read() as connection:
            return NODE_RECORDS.all(connection, _STEPS, wanted=id)

    def reusable(self, key: str, *, task: str | None = None) -> NodeRecord | None:
        """The newest record of a step with that content key, of one task or of any. Raises Damaged."""
        with self._database.read() as connection:
            if task is None:
                return NODE_RECORDS.first(connection, _REUSABLE, wanted=key)
            return NODE_RECORDS.first(connection, _REUSABLE_IN, wanted=key, within=task)

    def contradictions(self, keys: Sequence[str]) -> dict[str, set[str]]:
        """Of these content keys, those under which steps gave different outputs; each output set as one word."""
        found: dict[str, set[str]] = {}
        with self._database.read() as connection:
            for start in range(0, len(keys), _AT_ONCE):
                wanted = node_records.c.key.in_(keys[start : start + _AT_ONCE])
                several = select(node_records.c.key).where(wanted).group_by(node_records.c.key).having(func.count() > 1)
                for record in NODE_RECORDS.all(connection, select(node_records).where(node_records.c.key.in_(several))):
                    found.setdefault(record.key, set()).add(" ".join(sorted(record.outputs.values())))
        return {key: results for key, results in found.items() if len(results) > 1}

    def same_key(self, key: str) -> builtins.list[NodeRecord]:
        """Every record of a step with that content key, oldest first. Raises Damaged."""
        with self._database.read() as connection:
            return NODE_RECORDS.all(connection, _SAME_KEY, wanted=key)

    def log(self, id: str, what: str, step: str = "", facts: Mapping[str, Json] = EMPTY) -> Event:
        """Add a line to a task's log. Raises NotFound."""
        with self._database.write() as connection:
            return _log(connection, id, what, step, facts)

    def events(self, id: str, after: int = 0) -> builtins.list[Event]:
        """The lines of a task's log with numbers above `after`, in order. Raises Damaged."""
        with self._database.read() as connection:
            return EVENTS.all(connection, _EVENTS, wanted=id, after=after)


def inputs_of(record: NodeRecord) -> dict[str, str]:
    """What went into a step: over edges, and its reference files under "params.NAME"."""
    return {**record.inputs, **{f"params.{name}": digest for name, digest in record.assets.items()}}


def change_task(connection: Connection, id: str, *, told: bool = True, **changes: Any) -> Task:
    """Change a task's fields within a transaction; one that ended, or waits for its reason, leaves the queue.

    Raises NotFound, Damaged, Conflict, InvalidRecord."""
    row = connection.execute(_GET, {"wanted": id}).first()
    if row is None:
        raise NotFound("task", id)
    task = TASKS.read(row)
    if "status" in changes:
        check_forward(id, task.status, changes["status"])
    # Read back before it is written: a value of the wrong type would make the task unreadable.
    changed = decode(Task, encode(replace(task, **changes)))
    connection.execute(_SET, {"at": row.seq, **TASKS.row(changed, seq=row.seq)})
    if changed.status != task.status:
        if told:
            _note_status(connection, changed)
        if changed.status in ENDED:
            leave(connection, id)
    return changed


def _note_status(connection: Connection, task: Task) -> None:
    facts = {
        "status": task.status,
        "workflow": task.workflow.name,
        "purpose": task.purpose,
        "attempt": task.attempt,
        "version": task.version,
        "error": plain(task.error),
    }
    note(connection, f"task.{task.status}", task.id, facts)


def _seq(connection: Connection, task: str) -> int:
    seq: int | None = connection.execute(_SEQ, {"wanted": task}).scalar()
    if seq is None:
        raise NotFound("task", task)
    return seq


def _log(connection: Connection, task: str, what: str, step: str, facts: Mapping[str, Json]) -> Event:
    last = connection.execute(_LAST_EVENT, {"wanted": task}).scalar()
    if last is None:
        _seq(connection, task)
    event = Event(task=task, number=(last or 0) + 1, time=now(), what=what, step=step, facts=facts)
    EVENTS.add(connection, event)
    note(connection, "task.event", task, {"number": event.number, "what": what, "step": step, "facts": facts})
    return event
