"""The models whose content the library keeps."""

from __future__ import annotations

import builtins

from sqlalchemy import bindparam, delete, select

from intaglio.core.model import KeptModel
from intaglio.store.database import Database
from intaglio.store.rows import KEPT_MODELS
from intaglio.store.schema import kept_models

_GET = select(kept_models).where(kept_models.c.digest == bindparam("wanted"))
_LIST = select(kept_models).order_by(kept_models.c.digest)
_REMOVE = delete(kept_models).where(kept_models.c.digest == bindparam("wanted"))


class Kept:
    """Kept models by digest; their bytes are blobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, kept: KeptModel) -> None:
        """Note that a model is kept. One that was kept already is noted anew: it may be kept in another way now."""
        with self._database.write() as connection:
            connection.execute(_REMOVE, {"wanted": kept.digest})
            KEPT_MODELS.add(connection, kept)

    def get(self, digest: str) -> KeptModel | None:
        """The kept model of that digest, None when it is not kept. Raises Damaged."""
        with self._database.read() as connection:
            return KEPT_MODELS.first(connection, _GET, wanted=digest)

    def list(self) -> builtins.list[KeptModel]:
        """Every kept model, ordered by digest. Raises Damaged."""
        with self._database.read() as connection:
            return KEPT_MODELS.all(connection, _LIST)

    def digests(self) -> set[str]:
        """The digests of all blobs that kept models are made of. Raises Damaged."""
        return {digest for kept in self.list() for digest in ([part.digest for part in kept.files] or [kept.digest])}

    def remove(self, digest: str) -> None:
        """Let go of a model; its bytes stay until they are collected."""
        with self._database.write() as connection:
            connection.execute(_REMOVE, {"wanted": digest})
