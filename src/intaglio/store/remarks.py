"""What people said of versions later."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from intaglio.core.codec import digest
from intaglio.core.version import Remark
from intaglio.store.database import Database
from intaglio.store.rows import REMARKS
from intaglio.store.schema import remarks

_GET = select(remarks).where(remarks.c.digest == bindparam("wanted"))
_OF = select(remarks).where(remarks.c.version == bindparam("wanted")).order_by(remarks.c.seq)


class Remarks:
    """Remarks by the version they are about. They are added, never changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, remark: Remark) -> None:
        """Keep a remark. Raises Conflict when its version is not in the library."""
        with self._database.write() as connection:
            if REMARKS.first(connection, _GET, wanted=digest(remark)) is None:
                REMARKS.add(connection, remark)

    def of(self, version: str) -> list[Remark]:
        """The remarks on a version (its digest), oldest first. Raises Damaged."""
        with self._database.read() as connection:
            return REMARKS.all(connection, _OF, wanted=version)
