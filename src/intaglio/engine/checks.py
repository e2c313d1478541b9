"""Checks of a workflow that need no model, no file and no seed: types, edges, parameters, order and batch sizes."""

from __future__ import annotations

import difflib
import graphlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from intaglio.core.errors import Invalid, InvalidWorkflow
from intaglio.core.nodetype import NodeType, NodeTypes, Port
from intaglio.core.param import Param
from intaglio.core.record import Json
from intaglio.core.workflow import Node, Workflow
from intaglio.engine.resources import Resources

MAX_STEPS = 100_000
Origin = tuple[str, str]


@dataclass(frozen=True)
class Checked:
    """A node that passed the checks: its type, its sources by input (node and output, one unless the input gathers),
    and its parameters as the function takes them."""

    id: str
    node: Node
    type: NodeType
    sources: Mapping[str, tuple[Origin, ...]]
    given: Mapping[str, Json]

    @property
    def origins(self) -> list[str]:
        """The nodes that its inputs come from."""
        return sorted({origin for several in self.sources.values() for origin, _ in several})

    def gathers(self, name: str) -> bool:
        """Whether an input of it takes all the pictures of its sources at once."""
        port = self.type.port(name)
        return port is not None and port.gathers


def check_nodes(workflow: Workflow, resources: Resources) -> dict[str, Checked]:
    """Every node of a workflow, checked by itself. Raises InvalidWorkflow naming the node and the field."""
    types = {node_id: _type(node_id, node, resources.types) for node_id, node in workflow.nodes.items()}
    checked = {
        node_id: Checked(
            id=node_id,
            node=node,
            type=types[node_id],
            sources=_sources(node_id, node, types),
            given=_given(node_id, node, types[node_id], resources),
        )
        for node_id, node in workflow.nodes.items()
    }
    for item in checked.values():
        _check_together(item)
    return checked


def _type(node_id: str, node: Node, types: NodeTypes) -> NodeType:
    name, _, version = node.type.partition("@")
    if name not in types:
        raise InvalidWorkflow(
            f"there is no node type {name!r}",
            node=node_id,
            field="type",
            hint=_nearest(name, types) or "See them all with: intaglio nodes list",
        )
    if not version:
        node_type = types[name]
    else:
        found = types.exact(name, int(version)) if version.isdecimal() and len(version) < 12 else None
        if found is None:
            raise InvalidWorkflow(
                f"node type {name!r} has no version {version!r} here",
                node=node_id,
                field="type",
                hint=f"The newest is {name}@{types[name].version}.",
            )
        node_type = found
    if node.seed and not node_type.draws:
        raise InvalidWorkflow(
            f"{name} draws nothing, so it takes no seed", node=node_id, field="seed", hint="Take the seed away."
        )
    if node.count > 1 and not node_type.batch:
        raise InvalidWorkflow(
            f"{name} takes no count",
            node=node_id,
            field="count",
            hint="Put the count on the node that makes the pictures.",
        )
    return node_type


def _sources(node_id: str, node: Node, types: Mapping[str, NodeType]) -> dict[str, tuple[Origin, ...]]:
    ports = {port.name: port for port in types[node_id].inputs}
    sources: dict[str, tuple[Origin, ...]] = {}
    for name, given in node.inputs.items():
        if name not in ports:
            raise InvalidWorkflow(
                f"{node.type} has no input {name!r}",
                node=node_id,
                field=f"inputs.{name}",
                hint=_nearest(name, ports) or f"Its inputs: {', '.join(ports) or 'none'}.",
            )
        if not isinstance(given, str) and not ports[name].gathers:
            raise InvalidWorkflow(
                "takes one source, not a list",
                node=node_id,
                field=f"inputs.{name}",
                hint="Name one node; a node that gathers (frames-to-video) takes several.",
            )
        sources[name] = tuple(_source(node_id, name, text, types) for text in node.sources(name))
    for name, port in ports.items():
        if name not in sources and not port.optional:
            raise InvalidWorkflow(
                "is not connected", node=node_id, field=f"inputs.{name}", hint="Name the node it comes from."
            )
    return sources


def _source(node_id: str, name: str, text: str, types: Mapping[str, NodeType]) -> tuple[str, str]:
    origin, _, output = text.partition(".")
    if origin not in types:
        raise InvalidWorkflow(
            f"comes from {origin!r}, and there is no such node",
            node=node_id,
            field=f"inputs.{name}",
            hint=_nearest(origin, types) or f"The nodes are: {', '.join(sorted(types)[:20])}.",
        )
    outputs = [port.name for port in types[origin].outputs]
    output = output or outputs[0]
    if output not in outputs:
        raise InvalidWorkflow(
            f"{types[origin].name} has no output {output!r}",
            node=node_id,
            field=f"inputs.{name}",
            hint=f"Its outputs: {', '.join(outputs)}.",
        )
    return origin, output


def _given(node_id: str, node: Node, node_type: NodeType, resources: Resources) -> dict[str, Json]:
    known = [param.name for param in node_type.params]
    for name in node.params:
        if name not in known:
            beside = name in ("seed", "count", "title")
            hint = f"Give the {name} beside params, not inside." if beside else _nearest(name, known)
            raise InvalidWorkflow(
                f"{node_type.name} has no parameter {name!r}",
                node=node_id,
                field=f"params.{name}",
                hint=hint or f"Its parameters: {', '.join(known) or 'none'}.",
            )
    given: dict[str, Json] = {}
    for param in node_type.params:
        if param.name in node.params:
            given[param.name] = _checked_value(node_id, param, node.params[param.name], resources)
        elif param.required:
            raise InvalidWorkflow("is missing", node=node_id, field=f"params.{param.name}", hint=param.doc or None)
    return {name: value for name, value in given.items() if value is not None}


def _checked_value(node_id: str, param: Param, value: Json, resources: Resources) -> Json:
    try:
        value = param.check(value)
        return resources.settle[param.settled_by](value) if param.settled_by and value != param.default else value
    except ValueError as error:
        place = f"params.{param.name}{getattr(error, 'part', '')}"
        raise InvalidWorkflow(str(error), node=node_id, field=place, hint=param.doc or None) from error
    except Invalid as error:
        raise InvalidWorkflow(str(error), node=node_id, field=f"params.{param.name}", hint=error.hint) from error


def _check_together(item: Checked) -> None:
    """Refuse one of several things that make sense only together: a ControlNet without the picture it follows."""
    places = {name: f"inputs.{name}" for name in item.sources} | {name: f"params.{name}" for name in item.given}
    for group in item.type.together:
        missing = [name for name in group if name not in places]
        if missing and len(missing) < len(group):
            there = next(name for name in group if name in places)
            raise InvalidWorkflow(
                f"goes with {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not given",
                node=item.id,
                field=places[there],
                hint=f"Give {' and '.join(group)}, or none of them.",
            )


def order_of(checked: Mapping[str, Checked]) -> list[str]:
    """An order in which the nodes can work, always the same one. Raises InvalidWorkflow for a circle."""
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for node_id, item in checked.items():
        sorter.add(node_id, *item.origins)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise InvalidWorkflow(
            f"goes in a circle: {' -> '.join(reversed(error.args[1]))}",
            field="inputs",
            hint="Take one of these inputs away; a node cannot wait for its own output.",
        ) from error
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order.extend(ready)
        sorter.done(*ready)
    return order


def widths_of(order: Iterable[str], checked: Mapping[str, Checked]) -> dict[str, int]:
    """How many times each node works: its count, or once for each picture that reaches it; all those that an input
    gathers count as one. Raises InvalidWorkflow."""
    widths: dict[str, int] = {}
    total = 0
    for node_id in order:
        item = checked[node_id]
        singles = {name: several[0][0] for name, several in item.sources.items() if not item.gathers(name)}
        arriving = {name: widths[origin] for name, origin in singles.items() if widths[origin] > 1}
        if len(set(arriving.values())) > 1:
            sizes = ", ".join(f"{name}: {width}" for name, width in arriving.items())
            raise InvalidWorkflow(f"its inputs bring different numbers of pictures ({sizes})", node=node_id)
        incoming = next(iter(arriving.values()), 1)
        if incoming > 1 and item.node.count > 1:
            raise InvalidWorkflow(
                f"{incoming} pictures reach it already, so it cannot make {item.node.count} of each",
                node=node_id,
                field="count",
                hint="Leave count at 1 here; the node works on each picture that reaches it.",
            )
        widths[node_id] = incoming * item.node.count
        gathered = (origin for name, several in item.sources.items() if item.gathers(name) for origin, _ in several)
        total += widths[node_id] * (1 + sum(widths[origin] for origin in gathered))
        if total > MAX_STEPS:
            raise InvalidWorkflow(
                f"with it the workflow makes more than {MAX_STEPS} pictures",
                node=node_id,
                field="count",
                hint="Lower the count, or run it in parts.",
            )
    return widths


def check_kinds(order: Iterable[str], checked: Mapping[str, Checked]) -> None:
    """Refuse an edge that carries a picture where a video is wanted, or a video where a picture is."""
    # What comes out of each output: what it is declared as, or what the node was handed.
    kinds: dict[Origin, str] = {}
    for node_id in order:
        item = checked[node_id]
        handed = ""
        for name, several in item.sources.items():
            port = item.type.port(name)
            assert port is not None  # `_sources` refuses others
            for index, origin in enumerate(several):
                if not port.takes(kinds[origin]):
                    raise _wrong_kind(item, port, f"[{index}]" if len(several) > 1 else "", origin, kinds[origin])
            handed = kinds[several[0]] if port.type == "media" else handed
        for output in item.type.outputs:
            kinds[node_id, output.name] = (handed or "image") if output.type == "media" else output.type


def _wrong_kind(item: Checked, port: Port, place: str, origin: Origin, kind: str) -> InvalidWorkflow:
    words = {"image": "a picture", "images": "pictures", "video": "a video"}
    ways = {
        "video": "Make one of pictures with frames-to-video.",
        "image": "Name a node that gives a picture; work on the pictures before they become a video.",
    }
    return InvalidWorkflow(
        f"takes {words[port.type]}, and {origin[0]} gives {words[kind]}",
        node=item.id,
        field=f"inputs.{port.name}{place}",
        hint=ways.get(port.type, ways["image"]),
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else ""
