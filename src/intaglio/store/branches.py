"""Branches, and what people said and did about workflows as a whole."""

from __future__ import annotations

import builtins

from sqlalchemy import bindparam, select

from intaglio.core.branch import Branch, WorkflowRemark
from intaglio.core.codec import digest
from intaglio.core.errors import Conflict
from intaglio.store.database import Database
from intaglio.store.journal import note
from intaglio.store.rows import BRANCHES, WORKFLOW_REMARKS
from intaglio.store.schema import branches, workflow_remarks

_GET = select(branches).where(branches.c.name == bindparam("wanted"))
_ALL = select(branches).order_by(branches.c.seq)
_REMARKS = select(workflow_remarks).order_by(workflow_remarks.c.seq)
_OF = _REMARKS.where(workflow_remarks.c.workflow == bindparam("wanted"))
_SAME = select(workflow_remarks).where(workflow_remarks.c.digest == bindparam("wanted"))


class Branches:
    """Branches by the name of their workflow. They are added, never changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, branch: Branch) -> None:
        """Keep a new branch. Raises Conflict when its name is one already."""
        with self._database.write() as connection:
            if BRANCHES.first(connection, _GET, wanted=branch.name) is not None:
                raise Conflict(f"there is a branch {branch.name!r} already", hint="Choose another name.")
            BRANCHES.add(connection, branch)

    def get(self, name: str) -> Branch | None:
        """The branch of that name; None for a workflow that was not derived from another. Raises Damaged."""
        with self._database.read() as connection:
            return BRANCHES.first(connection, _GET, wanted=name)

    def list(self) -> builtins.list[Branch]:
        """Every branch, oldest first. Raises Damaged."""
        with self._database.read() as connection:
            return BRANCHES.all(connection, _ALL)

    def remark(self, remark: WorkflowRemark) -> None:
        """Keep a remark on a workflow."""
        with self._database.write() as connection:
            if WORKFLOW_REMARKS.first(connection, _SAME, wanted=digest(remark)) is None:
                WORKFLOW_REMARKS.add(connection, remark)
                facts = {name: getattr(remark, name) for name in ("what", "holds", "note", "value", "author")}
                note(connection, "workflow.remark", remark.workflow, facts)

    def remarks(self, workflow: str | None = None) -> builtins.list[WorkflowRemark]:
        """The remarks on a workflow, or on all of them, oldest first. Raises Damaged."""
        with self._database.read() as connection:
            if workflow is None:
                return WORKFLOW_REMARKS.all(connection, _REMARKS)
            return WORKFLOW_REMARKS.all(connection, _OF, wanted=workflow)
