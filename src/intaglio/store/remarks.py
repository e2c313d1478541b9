"""What people said of versions later."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from intaglio.core.codec import digest
from intaglio.core.version import APPROVED, Remark
from intaglio.store.database import Database
from intaglio.store.journal import note
from intaglio.store.rows import REMARKS
from intaglio.store.schema import remarks, versions
from intaglio.store.search_index import Changing

_GET = select(remarks).where(remarks.c.digest == bindparam("wanted"))
_APPROVED = (
    select(remarks)
    .join(versions, versions.c.digest == remarks.c.version)
    .where(versions.c.workflow == bindparam("wanted"), remarks.c.what == APPROVED)
    .order_by(remarks.c.seq)
)
_OF = select(remarks).where(remarks.c.version == bindparam("wanted")).order_by(remarks.c.seq)


class Remarks:
    """Remarks by the version they are about. They are added, never changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, remark: Remark) -> None:
        """Keep a remark. Raises Conflict when its version is not in the library."""
        with self._database.write() as connection:
            if REMARKS.first(connection, _GET, wanted=digest(remark)) is None:
                with Changing(connection, remark.version):
                    REMARKS.add(connection, remark)
                facts = {name: getattr(remark, name) for name in ("what", "holds", "note", "value", "author")}
                note(connection, "version.remark", remark.version, facts)

    def of(self, version: str) -> list[Remark]:
        """The remarks on a version (its digest), oldest first. Raises Damaged."""
        with self._database.read() as connection:
            return REMARKS.all(connection, _OF, wanted=version)

    def approved_of(self, workflow: str) -> list[str]:
        """The versions (digests) of a workflow that were ever approved, in the order they were. Raises Damaged."""
        with self._database.read() as connection:
            said = REMARKS.all(connection, _APPROVED, wanted=workflow)
        return list(dict.fromkeys(remark.version for remark in said))
