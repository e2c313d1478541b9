"""Tokens: who may ask a server for what."""

from __future__ import annotations

from typing import Literal

from intaglio.core.record import record

Scope = Literal["read", "run", "approve", "admin"]


@record
class Token:
    """What a person showed a server to be let in, kept as its `hash` alone; what they do is signed with `person`.

    It is good until the time `expires` ("" = for good), unless it was `revoked` (when, "" = it was not).
    """

    kind: Literal["token"] = "token"
    format: Literal[1] = 1
    id: str
    person: str
    scopes: tuple[Scope, ...]
    hash: str
    created: str
    author: str
    expires: str = ""
    revoked: str = ""
