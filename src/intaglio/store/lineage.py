"""Questions about what came from what, answered through indexes, and with no more rows than are asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import Connection, Table, and_, bindparam, func, select

from intaglio.core.branch import Branch
from intaglio.core.codec import digest as digest_of
from intaglio.core.errors import Damaged
from intaglio.core.task import NodeRecord
from intaglio.core.variation import VariationRun
from intaglio.core.version import Version
from intaglio.store.database import Database
from intaglio.store.rows import BRANCHES, NODE_RECORDS, VARIATION_RUNS, VERSIONS
from intaglio.store.schema import (
    branches,
    node_records,
    step_inputs,
    step_outputs,
    variation_runs,
    version_outputs,
    versions,
)
from intaglio.store.tasks import inputs_of

_STEP = ("task", "step", "attempt")
_FROM = select(branches).where(branches.c.base == bindparam("wanted")).order_by(branches.c.seq)
_KEEPING = (
    select(versions)
    .where(
        versions.c.digest.in_(select(version_outputs.c.version).where(version_outputs.c.asset == bindparam("wanted")))
    )
    .order_by(versions.c.seq)
    .limit(bindparam("most"))
)
_NUMBERED = (
    select(versions)
    .where(versions.c.workflow == bindparam("wanted"), versions.c.number >= bindparam("first"))
    .order_by(versions.c.number)
    .limit(bindparam("most"))
)
_ALL_NAMING = select(versions).order_by(versions.c.seq).limit(bindparam("most"))


@dataclass(frozen=True)
class Records:
    """Records of steps, the oldest task first, and how many there are in all."""

    records: list[NodeRecord]
    total: int


class Lineage:
    """What came from what, by digest. Nothing is ever written here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def makers(self, asset: str, most: int) -> Records:
        """The steps that an asset came out of, whether they ran, took it over or passed it on. Raises Damaged."""
        with self._database.read() as connection:
            found = _records(connection, step_outputs, asset, most)
        _check(found, asset, lambda record: list(record.outputs.values()))
        return found

    def takers(self, asset: str, most: int) -> Records:
        """The steps that an asset went into, over an edge or as a reference file. Raises Damaged."""
        with self._database.read() as connection:
            found = _records(connection, step_inputs, asset, most)
        _check(found, asset, lambda record: list(inputs_of(record).values()))
        return found

    def keeping(self, asset: str, most: int) -> list[tuple[str, Version]]:
        """The versions that keep an asset as an output, oldest first. Raises Damaged."""
        with self._database.read() as connection:
            found = VERSIONS.all(connection, _KEEPING, wanted=asset, most=most)
        return [(digest_of(one), one) for one in found if any(output.asset == asset for output in one.outputs)]

    def naming(self, asset: str, most: int) -> list[tuple[str, Version]]:
        """The versions with an asset among their reference files, oldest first. Raises Damaged.

        There is no index of those, so every version's body is looked through: ask it only of what nothing here made.
        """
        statement = _ALL_NAMING.where(func.instr(versions.c.body, asset.encode()) > 0)
        with self._database.read() as connection:
            found = VERSIONS.all(connection, statement, most=most)
        named = [
            one
            for one in found
            if any(asset in address for held in one.references.values() for address in held.values())
        ]
        return [(digest_of(one), one) for one in named]

    def numbered(self, workflow: str, first: int, most: int) -> list[tuple[str, Version]]:
        """The versions of a workflow from a number on. Raises Damaged."""
        with self._database.read() as connection:
            found = VERSIONS.all(connection, _NUMBERED, wanted=workflow, first=first, most=most)
        return [(digest_of(one), one) for one in found]

    def runs_of(self, tasks: Collection[str]) -> list[VariationRun]:
        """The cells of variations that these tasks carried out. Raises Damaged."""
        statement = select(variation_runs).where(variation_runs.c.task.in_(tasks)).order_by(variation_runs.c.seq)
        with self._database.read() as connection:
            return VARIATION_RUNS.all(connection, statement)

    def branches_of(self, workflow: str) -> list[Branch]:
        """The branches that were taken from a workflow or its versions, oldest first. Raises Damaged."""
        with self._database.read() as connection:
            return BRANCHES.all(connection, _FROM, wanted=workflow)


def _records(connection: Connection, table: Table, asset: str, most: int) -> Records:
    """The records of the steps that a table of edges names beside an asset."""
    total = connection.execute(select(func.count()).select_from(table).where(table.c.asset == asset)).scalar()
    # Chosen among the edges alone, so that of the records only those are read that are wanted.
    columns = [table.c[name] for name in _STEP]
    chosen = select(*columns).distinct().where(table.c.asset == asset).order_by(*columns).limit(most).subquery()
    same = and_(*(node_records.c[name] == chosen.c[name] for name in _STEP))
    return Records(
        NODE_RECORDS.all(connection, select(node_records).join(chosen, same).order_by(node_records.c.seq)), total or 0
    )


def _check(found: Records, asset: str, held: Callable[[NodeRecord], Collection[str]]) -> None:
    """The tables of edges have no seal of their own, so the record has the last word. Raises Damaged."""
    for record in found.records:
        if asset not in held(record):
            raise Damaged(f"node-record {record.step!r} of task {record.task!r} does not name {asset!r}")
