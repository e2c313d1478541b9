"""Webhooks, and how far each has been told."""

from __future__ import annotations

import builtins
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from intaglio.core.codec import decode, encode
from intaglio.core.errors import Conflict, NotFound
from intaglio.core.webhook import Webhook
from intaglio.store.database import Database
from intaglio.store.rows import WEBHOOKS
from intaglio.store.schema import webhooks

_ALL = select(webhooks)
_GET = _ALL.where(webhooks.c.id == bindparam("wanted"))
_SET = update(webhooks).where(webhooks.c.id == bindparam("wanted"))
_REMOVE = delete(webhooks).where(webhooks.c.id == bindparam("wanted"))


class Webhooks:
    """Webhooks by id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, webhook: Webhook) -> None:
        """Keep a new webhook. Raises Conflict when its id is taken."""
        with self._database.write() as connection:
            if connection.execute(_GET, {"wanted": webhook.id}).first() is not None:
                raise Conflict(f"webhook {webhook.id!r} is already there")
            WEBHOOKS.add(connection, webhook)

    def get(self, id: str) -> Webhook:
        """The webhook of that id. Raises NotFound, Damaged."""
        with self._database.read() as connection:
            webhook = WEBHOOKS.first(connection, _GET, wanted=id)
        if webhook is None:
            raise NotFound("webhook", id)
        return webhook

    def list(self) -> builtins.list[Webhook]:
        """Every webhook, oldest first. Raises Damaged."""
        with self._database.read() as connection:
            return sorted(WEBHOOKS.all(connection, _ALL), key=lambda webhook: (webhook.created, webhook.id))

    def change(self, id: str, **changes: Any) -> Webhook:
        """Change fields. Raises NotFound, Damaged, InvalidRecord."""
        with self._database.write() as connection:
            # Read back before it is written: a value of the wrong type would make the webhook unreadable.
            changed = decode(Webhook, encode(replace(self.get(id), **changes)))
            connection.execute(_SET, {"wanted": id, **WEBHOOKS.row(changed)})
        return changed

    def remove(self, id: str) -> None:
        """Forget a webhook. Raises NotFound."""
        with self._database.write() as connection:
            if connection.execute(_REMOVE, {"wanted": id}).rowcount == 0:
                raise NotFound("webhook", id)
