"""Tokens that let people in at a server."""

from __future__ import annotations

import builtins
from dataclasses import replace

from sqlalchemy import bindparam, select, update

from intaglio.core.errors import Conflict, NotFound
from intaglio.core.token import Token
from intaglio.store.database import Database, now
from intaglio.store.rows import TOKENS
from intaglio.store.schema import tokens

_ALL = select(tokens)
_GET = _ALL.where(tokens.c.id == bindparam("wanted"))
_BY_HASH = _ALL.where(tokens.c.hash == bindparam("wanted"))
_SET = update(tokens).where(tokens.c.id == bindparam("wanted"))


class Tokens:
    """Tokens by id. They are revoked, never removed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, token: Token) -> None:
        """Keep a new token. Raises Conflict when its id or hash is taken."""
        with self._database.write() as connection:
            if connection.execute(_GET, {"wanted": token.id}).first() is not None:
                raise Conflict(f"token {token.id!r} is already there")
            TOKENS.add(connection, token)

    def get(self, id: str) -> Token:
        """The token of that id. Raises NotFound, Damaged."""
        with self._database.read() as connection:
            token = TOKENS.first(connection, _GET, wanted=id)
        if token is None:
            raise NotFound("token", id)
        return token

    def by_hash(self, hash: str) -> Token | None:
        """The token with that hash, revoked or expired ones too; None for a stranger. Raises Damaged."""
        with self._database.read() as connection:
            return TOKENS.first(connection, _BY_HASH, wanted=hash)

    def list(self) -> builtins.list[Token]:
        """Every token, oldest first. Raises Damaged."""
        with self._database.read() as connection:
            return sorted(TOKENS.all(connection, _ALL), key=lambda token: (token.created, token.id))

    def revoke(self, id: str) -> Token:
        """Let a token be good for nothing from now on; once revoked it stays so. Raises NotFound, Damaged."""
        with self._database.write() as connection:
            token = self.get(id)
            if not token.revoked:
                token = replace(token, revoked=now())
                connection.execute(_SET, {"wanted": id, **TOKENS.row(token)})
        return token
