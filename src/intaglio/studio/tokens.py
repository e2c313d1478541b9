"""Tokens: who may ask a server of this library for what, and in whose name."""

from __future__ import annotations

import builtins
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from intaglio.core.errors import Invalid, Unauthorized
from intaglio.core.scope import SCOPES
from intaglio.core.token import Scope, Token
from intaglio.studio import clock
from intaglio.studio.parts import Parts

PREFIX = "intaglio_"
LONGEST_NAME = 100
MOST_DAYS = 3650
_TOKEN = re.compile(PREFIX + "[A-Za-z0-9_-]{43}")
_NEW = "Ask for a new one: intaglio tokens create."


@dataclass(frozen=True)
class Grant:
    """What a token grants: all that is kept of it but its hash. `expires` and `revoked` are times, "" for never.

    `author` is who made the token, `person` who signs with it.
    """

    id: str
    person: str
    scopes: tuple[Scope, ...]
    created: str
    author: str
    expires: str
    revoked: str


@dataclass(frozen=True)
class Created:
    """A new token, shown this once, and what it grants."""

    token: str
    record: Grant


class Tokens:
    """`studio.tokens`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def create(
        self, person: str, scopes: Sequence[Scope], *, expires_days: int | None = None, author: str = ""
    ) -> Created:
        """Make a token with which a person may ask a server of this library, and signs what is done with it.

        `scopes` are of read, run, approve and admin: run and approve hold read, admin holds all. The token is good for
        so many days, or until it is revoked. It is given here and never again: only its hash is kept. Raises Invalid.
        """
        token = PREFIX + secrets.token_urlsafe(32)
        record = Token(
            id=f"token-{secrets.token_hex(6)}",
            person=_person(person),
            scopes=_scopes(scopes),
            hash=_hash(token),
            created=clock.now(),
            author=author.strip() or self._parts.settings.author,
            expires=_expiry(expires_days),
        )
        self._parts.tokens.add(record)
        return Created(token, _grant(record))

    def list(self) -> builtins.list[Grant]:
        """Every token, revoked and expired ones too, oldest first; never the token itself, nor its hash."""
        return [_grant(record) for record in self._parts.tokens.list()]

    def revoke(self, id: str) -> Grant:
        """Let a token be good for nothing from now on; one that was revoked stays so. Raises NotFound."""
        return _grant(self._parts.tokens.revoke(id))

    def identify(self, token: str) -> Grant:
        """What a token grants that somebody shows. Raises Unauthorized: not one of ours, revoked, or expired."""
        record = self._parts.tokens.by_hash(_hash(token)) if _TOKEN.fullmatch(token) else None
        if record is None or not hmac.compare_digest(record.hash, _hash(token)):
            raise Unauthorized("this is no token of this server")
        if record.revoked:
            raise Unauthorized(f"token {record.id!r} was revoked on {record.revoked[:10]}", hint=_NEW)
        if record.expires and record.expires <= clock.now():
            raise Unauthorized(f"token {record.id!r} expired on {record.expires[:10]}", hint=_NEW)
        return _grant(record)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _grant(record: Token) -> Grant:
    return Grant(
        id=record.id,
        person=record.person,
        scopes=record.scopes,
        created=record.created,
        author=record.author,
        expires=record.expires,
        revoked=record.revoked,
    )


def _person(name: str) -> str:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Invalid(
            f"{name[:40]!r} is no name of a person", hint=f"Give at most {LONGEST_NAME} characters that can be printed."
        )
    return name


def _scopes(scopes: Sequence[Scope]) -> tuple[Scope, ...]:
    """The scopes once each, in their order."""
    unknown = [each for each in scopes if each not in SCOPES]
    if unknown or not scopes:
        asked = f"there is no scope {unknown[0][:40]!r}" if unknown else "no scope is given"
        raise Invalid(asked, hint=f"Give some of: {', '.join(SCOPES)}.")
    return tuple(each for each in SCOPES if each in scopes)


def _expiry(days: int | None) -> str:
    if days is None:
        return ""
    if not 1 <= days <= MOST_DAYS:
        raise Invalid(
            f"a token for {days} days", hint=f"Give 1 to {MOST_DAYS} days, or none for a token without an end."
        )
    return clock.written(datetime.now(UTC) + timedelta(days=days))
