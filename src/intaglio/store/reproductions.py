"""What came of bringing versions back."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from intaglio.core.codec import digest
from intaglio.core.fidelity import Reproduction
from intaglio.store.database import Database
from intaglio.store.rows import REPRODUCTIONS
from intaglio.store.schema import reproductions
from intaglio.store.search_index import Changing

_GET = select(reproductions).where(reproductions.c.digest == bindparam("wanted"))
_OF = select(reproductions).where(reproductions.c.version == bindparam("wanted")).order_by(reproductions.c.seq)


class Reproductions:
    """Reproductions by the version they were of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, reproduction: Reproduction) -> str:
        """Keep a reproduction and return its digest. Raises Conflict when its version is not in the library."""
        name = digest(reproduction)
        with self._database.write() as connection:
            if REPRODUCTIONS.first(connection, _GET, wanted=name) is None:
                with Changing(connection, reproduction.version):
                    REPRODUCTIONS.add(connection, reproduction)
        return name

    def of(self, version: str) -> list[Reproduction]:
        """The reproductions of a version (its digest), oldest first. Raises Damaged."""
        with self._database.read() as connection:
            return REPRODUCTIONS.all(connection, _OF, wanted=version)
