"""A workflow becomes a plan: every default written out, every seed drawn, every model and reference file exact.

Pure, given what it is handed: it reads no settings, no clock and no store. The whole workflow is checked before
anything is drawn, so a refused workflow uses up no seed.
"""

from __future__ import annotations

import difflib
import graphlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from intaglio.core.errors import IntaglioError, Invalid, InvalidWorkflow, UnpinnedModel, UnpinnedSeed
from intaglio.core.model import ModelVersion
from intaglio.core.nodetype import NodeType, NodeTypes, Param
from intaglio.core.plan import AssetRef, Plan, Source, Step, WorkflowRef
from intaglio.core.record import Json
from intaglio.core.seeds import ExecutedSeed, derive, exact_seed, parse_seed
from intaglio.core.workflow import Node, Workflow

MAX_STEPS = 100_000


@dataclass(frozen=True)
class Resources:
    """What resolving asks others for.

    `draw()` gives a fresh seed; `find_model(reference, kind)` an exact model version; `take_image(path)` a stored
    reference picture. `settle` holds a rule for each kind of value that is settled while planning; a rule raises
    Invalid for a value it does not know. `is_exact(reference)` tells an exact model reference from an alias.
    """

    types: NodeTypes
    draw: Callable[[], int]
    find_model: Callable[[str, str], ModelVersion]
    is_exact: Callable[[str], bool]
    take_image: Callable[[str], AssetRef]
    settle: Mapping[str, Callable[[str], str]]
    threads: int
    deterministic: bool


@dataclass(frozen=True)
class _Checked:
    """A node that passed the checks: its type, its sources by input, and its parameters as the function takes them."""

    id: str
    node: Node
    type: NodeType
    sources: Mapping[str, tuple[str, str]]
    given: Mapping[str, Json]


@dataclass(frozen=True)
class _Settled:
    """A node whose models and files were found and whose parameters are all there: only its seed is still open."""

    node: _Checked
    models: Mapping[str, ModelVersion]
    assets: Mapping[str, AssetRef]
    params: Mapping[str, Json]


def resolve(workflow: Workflow, reference: WorkflowRef, resources: Resources) -> Plan:
    """The plan of a workflow. Raises InvalidWorkflow, UnpinnedSeed, UnpinnedModel, NotFound, ModelUnavailable."""
    checked = _check(workflow, resources)
    order = _order(checked)
    widths = _widths(order, checked)
    if workflow.mode == "production":
        _check_production(workflow, checked, resources)
    settled = [_settled(workflow, checked[node_id], resources) for node_id in order]
    steps = [step for item in settled for step in _steps(workflow, item, widths, resources)]
    return Plan(
        workflow=reference,
        mode=workflow.mode,
        threads=resources.threads,
        deterministic=resources.deterministic,
        steps=tuple(steps),
    )


def check(workflow: Workflow, resources: Resources) -> None:
    """Everything `resolve` checks without drawing a seed or touching a model or file."""
    checked = _check(workflow, resources)
    _widths(_order(checked), checked)
    if workflow.mode == "production":
        _check_production(workflow, checked, resources)


# -- checks -----------------------------------------------------------------------------------------------------------


def _check(workflow: Workflow, resources: Resources) -> dict[str, _Checked]:
    types = {node_id: _type(node_id, node, resources.types) for node_id, node in workflow.nodes.items()}
    return {
        node_id: _Checked(
            id=node_id,
            node=node,
            type=types[node_id],
            sources=_sources(node_id, node, types),
            given=_given(node_id, node, types[node_id], resources),
        )
        for node_id, node in workflow.nodes.items()
    }


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


def _sources(node_id: str, node: Node, types: Mapping[str, NodeType]) -> dict[str, tuple[str, str]]:
    ports = {port.name: port for port in types[node_id].inputs}
    sources: dict[str, tuple[str, str]] = {}
    for name, text in node.inputs.items():
        if name not in ports:
            raise InvalidWorkflow(
                f"{node.type} has no input {name!r}",
                node=node_id,
                field=f"inputs.{name}",
                hint=_nearest(name, ports) or f"Its inputs: {', '.join(ports) or 'none'}.",
            )
        sources[name] = _source(node_id, name, text, types)
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
    return given


def _checked_value(node_id: str, param: Param, value: Json, resources: Resources) -> Json:
    try:
        value = param.check(value)
        return resources.settle[param.settled_by](value) if param.settled_by and value != param.default else value
    except ValueError as error:
        raise InvalidWorkflow(str(error), node=node_id, field=f"params.{param.name}", hint=param.doc or None) from error
    except Invalid as error:
        raise InvalidWorkflow(str(error), node=node_id, field=f"params.{param.name}", hint=error.hint) from error


def _order(checked: Mapping[str, _Checked]) -> list[str]:
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for node_id, item in checked.items():
        sorter.add(node_id, *(origin for origin, _ in item.sources.values()))
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


def _widths(order: Iterable[str], checked: Mapping[str, _Checked]) -> dict[str, int]:
    """How many pictures each node makes: its count, or as many as reach it."""
    widths: dict[str, int] = {}
    total = 0
    for node_id in order:
        item = checked[node_id]
        arriving = {name: widths[origin] for name, (origin, _) in item.sources.items() if widths[origin] > 1}
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
        total += widths[node_id]
        if total > MAX_STEPS:
            raise InvalidWorkflow(
                f"with it the workflow makes more than {MAX_STEPS} pictures",
                node=node_id,
                field="count",
                hint="Lower the count, or run it in parts.",
            )
    return widths


def _check_production(workflow: Workflow, checked: Mapping[str, _Checked], resources: Resources) -> None:
    loose = [item.id for item in checked.values() if item.type.draws and _fixed_seed(workflow, item) is None]
    if loose:
        raise UnpinnedSeed(loose)
    vague = [
        item.id
        for item in checked.values()
        for param in item.type.params
        if param.type == "model"
        and param.name in item.given
        and not resources.is_exact(_model_reference(workflow, item, param.name))
    ]
    if vague:
        raise UnpinnedModel(vague)


# -- steps ------------------------------------------------------------------------------------------------------------


def _settled(workflow: Workflow, item: _Checked, resources: Resources) -> _Settled:
    try:
        return _found(workflow, item, resources)
    except IntaglioError as error:
        error.step = error.step or item.id
        raise


def _found(workflow: Workflow, item: _Checked, resources: Resources) -> _Settled:
    models = {
        param.name: resources.find_model(_model_reference(workflow, item, param.name), param.model_kind)
        for param in item.type.params
        if param.type == "model" and param.name in item.given
    }
    assets = {
        param.name: resources.take_image(item.given[param.name])
        for param in item.type.params
        if param.type == "image" and param.name in item.given
    }
    params = {
        param.name: item.given[param.name] if param.name in item.given else _default(item, param, models, resources)
        for param in item.type.params
        if param.type not in ("model", "image")
    }
    return _Settled(item, models, assets, params)


def _steps(workflow: Workflow, settled: _Settled, widths: Mapping[str, int], resources: Resources) -> Iterable[Step]:
    item = settled.node
    seed = _seed(workflow, item, resources)
    width = widths[item.id]
    for index in range(width):
        yield Step(
            id=_step_id(item.id, index, width),
            node=item.id,
            index=index,
            type=item.type.name,
            type_version=item.type.version,
            params=settled.params,
            inputs={
                name: Source(step=_step_id(origin, index, widths[origin]), output=output)
                for name, (origin, output) in item.sources.items()
            },
            seed=_seed_of_picture(seed, index),
            models={name: model.ref for name, model in settled.models.items()},
            assets=settled.assets,
        )


def _step_id(node_id: str, index: int, width: int) -> str:
    return node_id if width == 1 else f"{node_id}[{index}]"


def _default(item: _Checked, param: Param, models: Mapping[str, ModelVersion], resources: Resources) -> Json:
    if param.settled_by and not param.from_model:
        return resources.settle[param.settled_by](param.default)
    if not param.from_model:
        return param.default
    for model in models.values():
        if param.from_model in model.defaults:
            return param.check(model.defaults[param.from_model])
    raise InvalidWorkflow(
        f"the model does not say its own {param.from_model}",
        node=item.id,
        field=f"params.{param.name}",
        hint="Give it a value.",
    )


def _seed(workflow: Workflow, item: _Checked, resources: Resources) -> ExecutedSeed | None:
    if not item.type.draws:
        return None
    fixed = _fixed_seed(workflow, item)
    return fixed or ExecutedSeed(value=str(resources.draw()), origin="drawn")


def _fixed_seed(workflow: Workflow, item: _Checked) -> ExecutedSeed | None:
    """The seed a person typed or an approval captured. A captured one may be 0; a typed 0 asks for a draw."""
    pin = workflow.pins.get(item.id)
    if workflow.mode == "production" and pin is not None and pin.seed:
        return ExecutedSeed(value=str(exact_seed(pin.seed)), origin="pinned")
    typed = parse_seed(item.node.seed)
    return None if typed is None else ExecutedSeed(value=str(typed), origin="fixed")


def _seed_of_picture(seed: ExecutedSeed | None, index: int) -> ExecutedSeed | None:
    if seed is None or index == 0:
        return seed
    return ExecutedSeed(value=str(derive(seed.number, index)), origin="derived")


def _model_reference(workflow: Workflow, item: _Checked, param: str) -> str:
    pin = workflow.pins.get(item.id)
    if workflow.mode == "production" and pin is not None and param in pin.models:
        return pin.models[param]
    return str(item.given[param])


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else ""
