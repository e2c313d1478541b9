"""A node type of a third party, as an installed package would bring it; tests change it under old records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import pytest

import intaglio.nodes
from intaglio.core.context import Context
from intaglio.core.image import Image
from intaglio.core.nodetype import Interval, NodeType, node_type
from intaglio.imaging.adjust import colour_grade


def tint(default: float = 1.5, version: int = 1, name: str = "amount") -> NodeType:
    """The node type "tint", with this default, version, and name of its one parameter."""

    def work(ctx: Context, image: Image, *, amount: Annotated[float, Interval(ge=0, le=4)] = default) -> Image:
        """Tint a picture."""
        return colour_grade(image, brightness=amount, contrast=1.0, saturation=1.0, temperature=0.0, gamma=1.0)

    def renamed(ctx: Context, image: Image, *, strength: Annotated[float, Interval(ge=0, le=4)] = default) -> Image:
        """Tint a picture."""
        return work(ctx, image, amount=strength)

    return node_type("tint", version=version)(work if name == "amount" else renamed)


class _Entry:
    value = "tint_nodes"

    def __init__(self, loaded: object) -> None:
        self._loaded = loaded

    def load(self) -> object:
        return self._loaded


Installer = Callable[..., None]


def installer(monkeypatch: pytest.MonkeyPatch) -> Installer:
    """A function that makes these node types the ones that installed packages bring."""

    def install(*types: NodeType) -> None:
        monkeypatch.setattr(intaglio.nodes, "entry_points", lambda group: [_Entry(found) for found in types])

    return install
