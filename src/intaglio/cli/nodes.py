"""intaglio nodes ..."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from intaglio.cli.app import App, common, say, table

if TYPE_CHECKING:
    from intaglio.core.nodetype import NodeType, Port
    from intaglio.core.param import Param


@click.group()
def nodes() -> None:
    """What a node can be."""


@nodes.command("list")
@common
def list_(app: App) -> None:
    """Node types at hand."""
    with app.open() as studio:
        found = studio.nodes.list()
    rows = [(t.name, f"@{t.version}", ", ".join(_flags(t)), t.doc.splitlines()[0]) for t in found]
    app.show([described(t) for t in found], lambda: table(rows))


@nodes.command()
@click.argument("name")
@common
def show(app: App, name: str) -> None:
    """Inputs, parameters and outputs of a node type."""
    with app.open() as studio:
        found = studio.nodes.show(name)
    app.show(described(found), lambda: _words(found))


def described(node_type: NodeType) -> dict[str, Any]:
    """A node type as JSON values."""
    return {
        "name": node_type.name,
        "version": node_type.version,
        "doc": node_type.doc,
        "role": node_type.role,
        "draws": node_type.draws,
        "batch": node_type.batch,
        "deterministic": node_type.deterministic,
        "networked": node_type.networked,
        "migrations": sorted(node_type.migrations),
        "together": [list(group) for group in node_type.together],
        "inputs": [{"name": p.name, "type": p.type, "optional": p.optional} for p in node_type.inputs],
        "outputs": [{"name": p.name, "type": p.type} for p in node_type.outputs],
        "params": [_param(param) for param in node_type.params],
    }


def _flags(node_type: NodeType) -> list[str]:
    """What sets a node type apart, in words."""
    flags = {
        "seeded": node_type.draws,
        "not deterministic": not node_type.deterministic,
        "asks a service": node_type.networked,
    }
    return [name for name, so in flags.items() if so]


def _param(param: Param) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": param.name, "type": param.type, "required": param.required, "doc": param.doc}
    if not param.required:
        facts["default"] = param.default
    facts |= {name: value for name in ("ge", "le") if (value := getattr(param, name)) is not None}
    facts |= {name: value for name in ("model_kind", "from_model") if (value := getattr(param, name))}
    return facts | ({"choices": list(param.choices)} if param.choices else {})


def _words(node_type: NodeType) -> None:
    say(f"{node_type.name}@{node_type.version}  {node_type.doc}", keep="\n")
    for line in _facts(node_type):
        say(f"  {line}")
    say()
    rows = [_input(port) for port in node_type.inputs]
    if node_type.draws:
        rows.append(("seed", "seed", "integer", "0 to 18446744073709551615", "Drawn when left out or 0."))
    if node_type.batch:
        rows.append(("count", "count", "integer", "", "How many pictures; each has a seed of its own."))
    for param in node_type.params:
        limits = param.bounds or " | ".join(param.choices)
        if limits and param.several:
            limits = f"weight {limits}"
        shown = f"{_default(param)}{'; ' if limits else ''}{limits}"
        kind = f"{param.type} ({param.model_kind})" if param.type == "model" and param.model_kind else param.type
        rows.append(("param", param.name, kind, shown, param.doc))
    rows += [("output", p.name, p.type, "", "what came in" if p.type == "media" else "") for p in node_type.outputs]
    table(rows, "  ")


def _input(port: Port) -> tuple[str, str, str, str, str]:
    doc = {"media": "A picture or a video.", "images": "All pictures of a node, or of a list of nodes, in order."}
    return "input", port.name, port.type, "optional" if port.optional else "", doc.get(port.type, "")


def _facts(node_type: NodeType) -> list[str]:
    """What else there is to know: older versions it runs, what goes together, what it cannot promise."""
    facts = []
    older = [number for number in range(1, node_type.version) if node_type.runs(number)]
    if older:
        facts.append(f"runs what was recorded as {', '.join(f'@{number}' for number in older)}, as it meant then")
    facts += [f"give {' and '.join(group)} together, or none of them" for group in node_type.together]
    if not node_type.deterministic:
        facts.append("not deterministic: the same seed and inputs may give another picture; no use in production")
    if node_type.networked:
        facts.append("asks a service, which may change; no use in production")
    return facts


def _default(param: Param) -> str:
    if param.required:
        return "required"
    if param.from_model:
        return "the model's own"
    return "none" if param.default is None or param.several else repr(param.default)
