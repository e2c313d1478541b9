"""Measured envelopes, by model."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from intaglio.core.codec import digest
from intaglio.core.envelope import Envelope
from intaglio.store.database import Database
from intaglio.store.rows import ENVELOPES
from intaglio.store.schema import envelopes

_GET = select(envelopes).where(envelopes.c.digest == bindparam("wanted"))
_OF = select(envelopes).where(envelopes.c.model == bindparam("wanted")).order_by(envelopes.c.seq.desc())


class Envelopes:
    """Envelopes by the digest of the model they were measured for. They are added, never changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, envelope: Envelope) -> str:
        """Keep an envelope and return its digest."""
        name = digest(envelope)
        with self._database.write() as connection:
            if ENVELOPES.first(connection, _GET, wanted=name) is None:
                ENVELOPES.add(connection, envelope)
        return name

    def of(self, model: str) -> list[Envelope]:
        """The envelopes of a model (its digest), newest first. Raises Damaged."""
        with self._database.read() as connection:
            return ENVELOPES.all(connection, _OF, wanted=model)
