"""A workflow: what is wanted, as a person writes it, and the reading of it from plain JSON values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from intaglio.core.canonical import LARGEST_EXACT
from intaglio.core.errors import IntaglioError, InvalidWorkflow
from intaglio.core.record import EMPTY, Json, later, record
from intaglio.core.seeds import exact_seed

NODE_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}\Z")
MAX_NODES = 10_000
MAX_DEPTH = 16
Mode = Literal["discovery", "production"]


@record
class Node:
    """One use of a node type.

    `type` is a node type's name, or name@version to hold it to one version. `inputs` name their sources: "node" or
    "node.output", or several of them for an input that gathers pictures. `seed` is decimal, "" for none. `count` asks
    for that many pictures.
    """

    type: str
    inputs: Mapping[str, str | tuple[str, ...]] = EMPTY
    params: Mapping[str, Json] = EMPTY
    seed: str = ""
    count: int = 1
    title: str = ""

    def sources(self, name: str) -> tuple[str, ...]:
        """What an input names, one or several: "node" or "node.output". Raises KeyError."""
        named = self.inputs[name]
        return (named,) if isinstance(named, str) else named

    @property
    def origins(self) -> frozenset[str]:
        """The nodes that its inputs come from."""
        return frozenset(source.partition(".")[0] for name in self.inputs for source in self.sources(name))


@record
class Pin:
    """What an approval captured for a node: its seed, and its models by digest, where they stand ("model", "loras[0]").

    `assets` are its reference files by address, by parameter, and `files` what the workflow called them then: a pin of
    a file that it calls something else now is no answer to where that is. Production uses it.
    """

    seed: str = ""
    models: Mapping[str, str] = EMPTY
    assets: Mapping[str, str] = later(EMPTY)
    files: Mapping[str, str] = later(EMPTY)


@record
class Workflow:
    """A named graph of nodes by id. Edges are derived from the nodes' inputs, so an input cannot have two."""

    kind: Literal["workflow"] = "workflow"
    format: Literal[1] = 1
    name: str
    description: str = ""
    mode: Mode = "discovery"
    nodes: Mapping[str, Node]
    pins: Mapping[str, Pin] = EMPTY


_WORKFLOW_FIELDS = {"$schema", "kind", "format", "name", "description", "mode", "nodes", "pins"}
_NODE_FIELDS = {"type", "inputs", "params", "seed", "count", "title"}


def parse_workflow(value: object) -> Workflow:
    """A workflow from plain JSON values. Raises InvalidWorkflow naming the node and the field."""
    document = _mapping(value, "", "document")
    _known(document, _WORKFLOW_FIELDS, "")
    if document.get("kind", "workflow") != "workflow" or document.get("format", 1) != 1:
        raise InvalidWorkflow(
            f"kind {document.get('kind', 'workflow')!r}, format {document.get('format', 1)!r} is not one this Intaglio "
            "reads",
            field="format",
            hint="Upgrade Intaglio, or save the workflow in format 1.",
        )
    name = parse_name(document.get("name"))
    mode = document.get("mode", "discovery")
    if mode not in ("discovery", "production"):
        raise InvalidWorkflow(f"{mode!r} is neither discovery nor production", field="mode")
    nodes = _mapping(document.get("nodes"), "", "nodes")
    if not nodes or len(nodes) > MAX_NODES:
        raise InvalidWorkflow(f"{len(nodes)} nodes; it needs 1 to {MAX_NODES}", field="nodes")
    parsed = {node_id: parse_node(node_id, node) for node_id, node in nodes.items()}
    pins = _mapping(document.get("pins", {}), "", "pins")
    return Workflow(
        name=name,
        description=_text(document.get("description", ""), "", "description"),
        mode=mode,
        nodes=parsed,
        pins={node_id: _pin(node_id, pin, parsed) for node_id, pin in pins.items()},
    )


def parse_name(value: object) -> str:
    """The name of a workflow. Raises InvalidWorkflow."""
    name = _text(value, "", "name")
    if not NAME.match(name):
        raise InvalidWorkflow(f"{name[:120]!r} is not a name", field="name", hint="Use letters, digits, space . _ -")
    return name


def parse_node(node_id: str, value: object) -> Node:
    """One node from plain JSON values. Raises InvalidWorkflow."""
    if not isinstance(node_id, str) or not NODE_ID.match(node_id):
        raise InvalidWorkflow(
            f"{str(node_id)[:80]!r} is not a node id", hint="Begin with a letter; use letters, digits, _ and -."
        )
    node = _mapping(value, node_id, "")
    _known(node, _NODE_FIELDS, node_id)
    inputs = _mapping(node.get("inputs", {}), node_id, "inputs")
    params = _mapping(node.get("params", {}), node_id, "params")
    for key, item in params.items():
        _json(item, node_id, f"params.{key}")
    count = node.get("count", 1)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_NODES:
        raise InvalidWorkflow(
            f"{repr(count)[:40]} is not a whole number from 1 to {MAX_NODES}", node=node_id, field="count"
        )
    return Node(
        type=_text(node.get("type"), node_id, "type"),
        inputs={key: _source(source, node_id, f"inputs.{key}") for key, source in inputs.items()},
        params=params,
        seed=_seed(node.get("seed", ""), node_id),
        count=count,
        title=_text(node.get("title", ""), node_id, "title"),
    )


def _source(value: object, node_id: str, field: str) -> str | tuple[str, ...]:
    """What an input names: one source, or a list of them."""
    if not isinstance(value, (list, tuple)):
        return _text(value, node_id, field)
    if not 1 <= len(value) <= MAX_NODES:
        raise InvalidWorkflow(f"lists {len(value)} sources; it needs 1 to {MAX_NODES}", node=node_id, field=field)
    return tuple(_text(source, node_id, f"{field}[{index}]") for index, source in enumerate(value))


def _pin(node_id: str, value: object, nodes: Mapping[str, Node]) -> Pin:
    if node_id not in nodes:
        raise InvalidWorkflow("is pinned, but is not a node of this workflow", node=node_id, field="pins")
    pin = _mapping(value, node_id, "pins")
    _known(pin, {"seed", "models", "assets", "files"}, node_id)
    held = {name: _mapping(pin.get(name, {}), node_id, f"pins.{name}") for name in ("models", "assets", "files")}
    texts = {
        name: {key: _text(value, node_id, f"pins.{name}.{key}") for key, value in values.items()}
        for name, values in held.items()
    }
    return Pin(seed=_seed(pin.get("seed", ""), node_id), **texts)


def _seed(value: object, node_id: str) -> str:
    if value is None or value == "":
        return ""
    try:
        return str(exact_seed(value))
    except IntaglioError as error:
        raise InvalidWorkflow(str(error), node=node_id, field="seed", hint=error.hint) from error


def _mapping(value: object, node: str, field: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidWorkflow(f"needs a mapping, not {_kind(value)}", node=node, field=field)
    for key in value:
        if not isinstance(key, str):
            raise InvalidWorkflow(f"key {key!r} is not text; put it in quotes", node=node, field=field)
    return dict(value)


def _text(value: object, node: str, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidWorkflow(f"needs text, not {_kind(value)}", node=node, field=field)
    half = next((at for at, character in enumerate(value) if "\ud800" <= character <= "\udfff"), None)
    if half is not None:
        raise InvalidWorkflow(
            f"holds half a character at position {half} (a lone surrogate)",
            node=node,
            field=field,
            hint="Write the character out, or take it away.",
        )
    return value


def _known(value: Mapping[str, object], known: set[str], node: str) -> None:
    for key in value:
        if key not in known:
            hint = f"It takes: {', '.join(sorted(known - {'$schema'}))}."
            if node and key not in ("params", "inputs"):
                hint += " Parameters of the node type go under params."
            raise InvalidWorkflow(f"{key!r} is unknown", node=node, field=key, hint=hint)


def _json(value: object, node: str, field: str, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise InvalidWorkflow(f"is nested deeper than {MAX_DEPTH} levels", node=node, field=field)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidWorkflow(f"{value} has no place in a record", node=node, field=field)
    if isinstance(value, Mapping):
        for key, item in _mapping(value, node, field).items():
            _json(item, node, f"{field}.{key}", depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _json(item, node, f"{field}[{index}]", depth + 1)
    elif isinstance(value, str):
        _text(value, node, field)
    elif isinstance(value, (int, float)) and abs(value) > LARGEST_EXACT:
        raise InvalidWorkflow("is out of range: the number is beyond 2^53", node=node, field=field)
    elif value is not None and not isinstance(value, (int, float)):
        raise InvalidWorkflow(f"{_kind(value)} has no place in a workflow; put it in quotes", node=node, field=field)


def _kind(value: object) -> str:
    names = {type(None): "nothing", dict: "a mapping", list: "a list", str: "text", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
