"""Variations: what is to be run, which tasks carried it out, and what came of it."""

from __future__ import annotations

import builtins

from sqlalchemy import bindparam, select

from intaglio.core.codec import digest
from intaglio.core.errors import Conflict, NotFound
from intaglio.core.variation import Variation, VariationRemark, VariationRun
from intaglio.store.database import Database
from intaglio.store.journal import note
from intaglio.store.rows import VARIATION_REMARKS, VARIATION_RUNS, VARIATIONS, starts_with
from intaglio.store.schema import variation_remarks, variation_runs, variations

_GET = select(variations).where(variations.c.id == bindparam("wanted"))
_NEWEST = select(variations).order_by(variations.c.seq.desc())
_RUNS = select(variation_runs).where(variation_runs.c.variation == bindparam("wanted")).order_by(variation_runs.c.seq)
_RUN_OF = select(variation_runs).where(variation_runs.c.task == bindparam("wanted"))
_REMARKS = (
    select(variation_remarks)
    .where(variation_remarks.c.variation == bindparam("wanted"))
    .order_by(variation_remarks.c.seq)
)
_VALUED = select(variation_remarks).where(variation_remarks.c.value == bindparam("wanted")).order_by("seq")
_SAME = select(variation_remarks).where(variation_remarks.c.digest == bindparam("wanted"))


class Variations:
    """Variations by id. They, their runs and the remarks on them are added, never changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, variation: Variation) -> None:
        """Keep a new variation. Raises Conflict when its id is taken or its version is not in the library."""
        with self._database.write() as connection:
            if VARIATIONS.first(connection, _GET, wanted=variation.id) is not None:
                raise Conflict(f"variation {variation.id!r} is already there")
            VARIATIONS.add(connection, variation)
            facts = {"what": variation.what, "version": variation.version, "author": variation.author}
            note(connection, "variation.made", variation.id, facts)

    def get(self, id: str) -> Variation:
        """The variation of that id. Raises NotFound, Damaged."""
        with self._database.read() as connection:
            found = VARIATIONS.first(connection, _GET, wanted=id)
        if found is None:
            raise NotFound("variation", id)
        return found

    def find(self, prefix: str) -> builtins.list[str]:
        """The ids that begin with `prefix`."""
        statement = select(variations.c.id).where(starts_with(variations.c.id, prefix)).order_by(variations.c.id)
        with self._database.read() as connection:
            return builtins.list(connection.execute(statement).scalars())

    def list(
        self, *, limit: int = 50, before: str | None = None, version: str | None = None
    ) -> builtins.list[Variation]:
        """The newest, newest first: those made before the variation `before`, those of a version (its digest).

        Raises NotFound, Damaged.
        """
        statement = _NEWEST if version is None else _NEWEST.where(variations.c.version == version)
        with self._database.read() as connection:
            if before is not None:
                row = connection.execute(_GET, {"wanted": before}).first()
                if row is None:
                    raise NotFound("variation", before)
                statement = statement.where(variations.c.seq < row.seq)
            return VARIATIONS.all(connection, statement.limit(limit))

    def add_run(self, run: VariationRun) -> None:
        """Note that a task carries out a cell. Raises Conflict for a task that carries out another."""
        with self._database.write() as connection:
            VARIATION_RUNS.add(connection, run)

    def runs(self, id: str) -> builtins.list[VariationRun]:
        """The tasks of a variation, oldest first; the last of a cell counts. Raises Damaged."""
        with self._database.read() as connection:
            return VARIATION_RUNS.all(connection, _RUNS, wanted=id)

    def run_of(self, task: str) -> VariationRun | None:
        """The cell that a task carried out, None for an ordinary one. Raises Damaged."""
        with self._database.read() as connection:
            return VARIATION_RUNS.first(connection, _RUN_OF, wanted=task)

    def remark(self, remark: VariationRemark) -> None:
        """Keep what came of a variation."""
        with self._database.write() as connection:
            if VARIATION_REMARKS.first(connection, _SAME, wanted=digest(remark)) is None:
                VARIATION_REMARKS.add(connection, remark)
                facts = {name: getattr(remark, name) for name in ("what", "value", "note", "author")}
                note(connection, "variation.remark", remark.variation, facts)

    def remarks(self, id: str) -> builtins.list[VariationRemark]:
        """What came of a variation, oldest first. Raises Damaged."""
        with self._database.read() as connection:
            return VARIATION_REMARKS.all(connection, _REMARKS, wanted=id)

    def valued(self, value: str) -> builtins.list[VariationRemark]:
        """The remarks with that value, as an asset's digest: which variation a sheet belongs to. Raises Damaged."""
        with self._database.read() as connection:
            return VARIATION_REMARKS.all(connection, _VALUED, wanted=value)
