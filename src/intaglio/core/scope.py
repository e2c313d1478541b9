"""Scopes: what somebody may ask of a server, and which of them holds which."""

from __future__ import annotations

from collections.abc import Collection
from typing import get_args

from intaglio.core.token import Scope

SCOPES: tuple[Scope, ...] = get_args(Scope)
_HOLDS: dict[Scope, frozenset[Scope]] = {
    "read": frozenset({"read"}),
    "run": frozenset({"read", "run"}),
    "approve": frozenset({"read", "approve"}),
    "admin": frozenset(SCOPES),
}


def allows(scopes: Collection[Scope], needed: Scope) -> bool:
    """Whether one of `scopes` holds what is needed: admin holds all, run and approve hold read."""
    return any(needed in _HOLDS[scope] for scope in scopes)
