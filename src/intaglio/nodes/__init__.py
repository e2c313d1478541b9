"""The node types that come with Intaglio, and the finding of those that others add."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from intaglio.core.errors import Unavailable
from intaglio.core.nodetype import NodeType, NodeTypes

ENTRY_POINT = "intaglio.nodes"


def builtin_types() -> list[NodeType]:
    """The node types of this package."""
    from intaglio.nodes import between, generate, image, record, repaint, video

    return [found for module in (generate, between, repaint, image, video, record) for found in types_of(module)]


def types_of(module: object) -> list[NodeType]:
    """The node types a module declares."""
    return [value for value in vars(module).values() if isinstance(value, NodeType)]


def all_types() -> NodeTypes:
    """Ours, and those of installed packages with an `intaglio.nodes` entry point (a module, or one node type).

    Raises Unavailable naming the package whose entry point cannot be loaded.
    """
    found = builtin_types()
    for entry in entry_points(group=ENTRY_POINT):
        found.extend(_load(entry))
    try:
        return NodeTypes(found)
    except ValueError as error:
        raise Unavailable(str(error), hint="Uninstall one of the packages that declare it.") from error


def _load(entry: EntryPoint) -> list[NodeType]:
    try:
        loaded = entry.load()
    except Exception as error:
        # Somebody else's package: whatever its import raises, the user must learn which package it is.
        raise Unavailable(
            f"node package {entry.value!r} cannot be loaded: {type(error).__name__}: {error}",
            hint="Repair or uninstall it.",
        ) from error
    return [loaded] if isinstance(loaded, NodeType) else types_of(loaded)
