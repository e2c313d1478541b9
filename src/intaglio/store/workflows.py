"""The workflows of a library: every content that a name has had, numbered."""

from __future__ import annotations

import builtins

from sqlalchemy import bindparam, func, select

from intaglio.core.errors import NotFound
from intaglio.core.workflow import Workflow
from intaglio.store.database import Database, now
from intaglio.store.documents import Documents
from intaglio.store.journal import note
from intaglio.store.rows import WORKFLOWS, WorkflowEntry
from intaglio.store.schema import workflows

Listed = tuple[str, int, str, str]

_NAMED = select(workflows).where(workflows.c.name == bindparam("wanted"))
_HISTORY = _NAMED.order_by(workflows.c.version.desc())
_LATEST = _HISTORY.limit(1)
_NUMBERED = _NAMED.where(workflows.c.version == bindparam("number"))
_SAME = _HISTORY.where(workflows.c.digest == bindparam("content")).limit(1)
_newest = select(workflows.c.name, func.max(workflows.c.version).label("version")).group_by(workflows.c.name).subquery()
_LIST = (
    select(workflows)
    .join(_newest, (workflows.c.name == _newest.c.name) & (workflows.c.version == _newest.c.version))
    .order_by(workflows.c.name)
)


class Workflows:
    """Workflows by name and number; the records themselves are documents."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._documents = Documents(database)

    def add(self, workflow: Workflow, *, newest: bool = False) -> tuple[int, str]:
        """Keep a workflow; its number under its name, and its digest. The same content keeps the number it has.

        With `newest` it is the latest of its name afterwards: content of an earlier number gets the next one too.
        """
        with self._database.write() as connection:
            digest = self._documents.put(workflow)
            latest = WORKFLOWS.first(connection, _LATEST, wanted=workflow.name)
            known = WORKFLOWS.first(connection, _SAME, wanted=workflow.name, content=digest)
            if newest and latest is not None and latest.digest != digest:
                known = None
            if known is not None:
                return known.version, digest
            version = latest.version + 1 if latest else 1
            entry = WorkflowEntry(name=workflow.name, version=version, digest=digest, created=now())
            WORKFLOWS.add(connection, entry)
            note(connection, "workflow.made", workflow.name, {"number": version, "digest": digest})
        return version, digest

    def get(self, name: str, version: int | None = None) -> tuple[Workflow, int, str]:
        """A workflow, its number and its digest; the latest when no number is given. Raises NotFound, Damaged."""
        with self._database.read() as connection:
            if version is None:
                entry = WORKFLOWS.first(connection, _LATEST, wanted=name)
            else:
                entry = WORKFLOWS.first(connection, _NUMBERED, wanted=name, number=version)
        if entry is None:
            raise NotFound("workflow", name if version is None else f"{name}@{version}")
        return self._documents.get(Workflow, entry.digest), entry.version, entry.digest

    def list(self) -> builtins.list[Listed]:
        """Name, number, digest and time of the latest of every name, ordered by name. Raises Damaged."""
        with self._database.read() as connection:
            return [_listed(entry) for entry in WORKFLOWS.all(connection, _LIST)]

    def history(self, name: str) -> builtins.list[Listed]:
        """The same for every number of one name, latest first. Raises NotFound, Damaged."""
        with self._database.read() as connection:
            found = [_listed(entry) for entry in WORKFLOWS.all(connection, _HISTORY, wanted=name)]
        if not found:
            raise NotFound("workflow", name)
        return found


def _listed(entry: WorkflowEntry) -> Listed:
    return entry.name, entry.version, entry.digest, entry.created
