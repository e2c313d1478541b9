"""Node types: what a node can be, here."""

from __future__ import annotations

import difflib

from intaglio.core.errors import NotFound
from intaglio.core.nodetype import NodeType
from intaglio.studio.parts import Parts


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else 0


class Nodes:
    """`studio.nodes`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def list(self) -> list[NodeType]:
        """Every node type, newest version of each, by name."""
        return list(self._parts.types.values())

    def show(self, name: str) -> NodeType:
        """The node type of a name, or name@version. Raises NotFound."""
        types = self._parts.types
        plain_name, _, version = name.partition("@")
        found = types.get(plain_name) if not version else types.exact(plain_name, _number(version))
        if found is None:
            near = difflib.get_close_matches(plain_name, list(types), n=1)
            raise NotFound(
                "node type",
                name,
                hint=f"Did you mean {near[0]!r}?" if near else "See them all with: intaglio nodes list",
            )
        return found
