"""A node type as an installed package would bring it, in the forms it may have later."""

from __future__ import annotations

from typing import Annotated, Any

from intaglio.core.context import Context
from intaglio.core.image import Image
from intaglio.core.nodetype import Interval, NodeType, node_type
from intaglio.imaging.adjust import colour_grade

DEFAULT = 1.5


def tint(default: float = DEFAULT, version: int = 1) -> NodeType:
    """The node type "tint", with this default and version."""

    def work(ctx: Context, image: Image, *, amount: Annotated[float, Interval(ge=0, le=4)] = default) -> Image:
        """Tint a picture."""
        return _tinted(image, amount)

    return node_type("tint", version=version)(work)


def tint_in_percent(*, migrates: bool, refuses: bool = False) -> NodeType:
    """Version 2: the amount is called `percent`, and is one. With a migration it does what version 1 did."""

    def work(ctx: Context, image: Image, *, percent: Annotated[float, Interval(ge=0, le=400)] = 30.0) -> Image:
        """Tint a picture."""
        return _tinted(image, percent / 100)

    def migrate(params: dict[str, Any]) -> dict[str, Any]:
        if refuses:
            raise ValueError("it tints in another colour space now")
        return {"percent": params["amount"] * 100}

    return node_type("tint", version=2, migrations={1: migrate} if migrates or refuses else {})(work)


def tint_by_another_name() -> NodeType:
    """Version 1 still, with its parameter renamed: what a careless author does."""

    def work(ctx: Context, image: Image, *, strength: Annotated[float, Interval(ge=0, le=4)] = DEFAULT) -> Image:
        """Tint a picture."""
        return _tinted(image, strength)

    return node_type("tint", version=1)(work)


def _tinted(image: Image, amount: float) -> Image:
    return colour_grade(image, brightness=amount, contrast=1.0, saturation=1.0, temperature=0.0, gamma=1.0)
