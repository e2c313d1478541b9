"""What stands between one recorded step and the node types at hand: pure rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from intaglio.core.entries import WORDS, owner, slot
from intaglio.core.errors import InvalidSeed
from intaglio.core.grade import Gap
from intaglio.core.nodetype import NodeType, NodeTypes
from intaglio.core.plan import Step
from intaglio.core.record import Json, plain
from intaglio.core.seeds import exact_seed
from intaglio.core.workflow import Node


def step_gaps(
    step: Step, types: NodeTypes, node: Node | None = None, asked: AbstractSet[str] = frozenset()
) -> Iterator[Gap]:
    """Why a step cannot run here as it meant then, or may come out differently.

    With the workflow's `node` the step came from, defaults that changed are known and named. `asked` are the outputs
    that other steps take from it.
    """
    found = types.meaning(step.type, step.type_version)
    if found is None:
        yield _other_version(step, types[step.type], node) if step.type in types else _gone(step)
        return
    try:
        params = found.migrate(step.type_version, step.params)
    except ValueError as error:
        yield _version_changed(step, found, f"which cannot mean the same: {error}")
        return
    yield from _disagreements(step, found, params)
    for name in sorted(asked - {port.name for port in found.outputs}):
        yield _disagreement(step, "output", name)
    yield from _seed(step, found)
    yield from _nature(step, found)


def _gone(step: Step) -> Gap:
    return Gap(
        code="node.unknown",
        subject=step.id,
        message=f"node {step.id!r} ran as {step.type}@{step.type_version}, which is not installed",
        remedy=_install(step),
    )


def _other_version(step: Step, newest: NodeType, node: Node | None) -> Gap:
    changes = list(_changes(step, newest, node))
    what = f"where {'; '.join(changes)}" if changes else "which takes the same parameters and may do something else"
    return _version_changed(step, newest, what)


def _version_changed(step: Step, here: NodeType, what: str) -> Gap:
    then, now = f"{step.type}@{step.type_version}", f"{here.name}@{here.version}"
    return Gap(
        code="node.version_changed",
        subject=step.id,
        message=f"node {step.id!r} ran as {then}, which is not installed; here it is {now}, {what}",
        remedy=_install(step),
    )


def _install(step: Step) -> str:
    return f"Install the Intaglio or plug-in version that has {step.type}@{step.type_version}."


def _changes(step: Step, newest: NodeType, node: Node | None) -> Iterator[str]:
    """How the interface of the newest version differs from what the step was handed."""
    handed = _handed(step, step.params)
    for name in sorted(handed - {param.name for param in newest.params}):
        yield f"parameter {name} went"
    for param in newest.params:
        if param.name not in handed and param.default is not None:
            yield f"parameter {param.name} came"
        elif param.name in step.params:
            yield from _changed_value(param.name, step.params[param.name], newest, node)
    ports, connected = {port.name for port in newest.inputs}, _connected(step, newest)
    for name in sorted(connected - ports):
        yield f"input {name} went"
    for port in newest.inputs:
        if port.name not in connected and not port.optional:
            yield f"input {port.name} came"
    if newest.draws != (step.seed is not None):
        yield "it draws from a seed" if newest.draws else "it draws no longer"


def _changed_value(name: str, recorded: Json, newest: NodeType, node: Node | None) -> Iterator[str]:
    param = newest.param(name)
    if param is None:
        return
    try:
        param.check_recorded(recorded)
    except ValueError as error:
        yield f"parameter {name} takes other values ({error})"
        return
    settled = param.required or param.from_model or param.settled_by
    if node is not None and name not in node.params and not settled and plain(recorded) != plain(param.default):
        yield f"the default of {name} was {plain(recorded)!r} and is {plain(param.default)!r}"


def _handed(step: Step, params: Mapping[str, Json]) -> set[str]:
    return {*params, *map(owner, step.models), *step.assets}


def _disagreements(step: Step, found: NodeType, params: Mapping[str, Json]) -> Iterator[Gap]:
    handed = _handed(step, params)
    declared = {param.name for param in found.params}
    required = {param.name for param in found.params if param.default is not None}
    for name in sorted((handed - declared) | (required - handed)):
        yield _disagreement(step, "parameter", name)
    for param in found.params:
        if param.name not in params or param.type in ("model", "image"):
            continue
        if param.several and not _fits(step, param.name, param.type, params[param.name]):
            yield _disagreement(step, "parameter", param.name)
            continue
        try:
            param.check_recorded(params[param.name])
        except ValueError as error:
            yield _disagreement(step, "parameter", param.name, f": {error}")
    ports = {port.name for port in found.inputs}
    needed, connected = {port.name for port in found.inputs if not port.optional}, _connected(step, found)
    for name in sorted((connected - ports) | (needed - connected)):
        yield _disagreement(step, "input", name)


def _connected(step: Step, found: NodeType) -> set[str]:
    """The inputs that a step's edges lead to: one name for all that is gathered, if it is numbered from 0 on."""
    connected = set(step.inputs)
    for port in (port for port in found.inputs if port.gathers):
        held = {name for name in step.inputs if owner(name) == port.name}
        connected.discard(port.name)
        if held and held == {slot(port.name, index) for index in range(len(held))}:
            connected = (connected - held) | {port.name}
    return connected


def _fits(step: Step, name: str, kind: str, words: Json) -> bool:
    """Whether a step holds one model for each of a parameter's weights or tokens, and nothing else."""
    held = {model for model in step.models if owner(model) == name}
    right = str if WORDS[kind][0] == "token" else (int, float)
    return (
        isinstance(words, (list, tuple))
        and all(isinstance(word, right) for word in words)
        and held == {slot(name, index) for index in range(len(words))}
    )


def _disagreement(step: Step, what: str, name: str, why: str = "") -> Gap:
    kind = f"{step.type}@{step.type_version}"
    return Gap(
        code="parameter.unknown",
        subject=f"{step.id}.{name}",
        message=f"{kind} and the record of node {step.id!r} do not agree on {what} {name!r}{why}",
        remedy=f"Install the version that has {kind} as it was recorded.",
    )


def _seed(step: Step, found: NodeType) -> Iterator[Gap]:
    if found.draws and step.seed is None:
        yield Gap(
            code="seed.unknown",
            subject=step.id,
            message=f"node {step.id!r} draws, and the record has no seed for it",
            remedy="None for this version; run a new one, which records every seed.",
        )
    if step.seed is not None and not found.draws:
        yield _disagreement(step, "the", "seed")
    elif step.seed is not None:
        try:
            exact_seed(step.seed.value)
        except InvalidSeed as error:
            yield _disagreement(step, "the", "seed", f": {error}")


def _nature(step: Step, found: NodeType) -> Iterator[Gap]:
    if not found.deterministic:
        yield Gap(
            code="nondeterministic",
            subject=step.id,
            message=f"{found.name} says of itself that it is not deterministic",
            remedy="None for this version; use a node type that is, in a new one.",
        )
    if found.networked:
        yield Gap(
            code="hosted.unpinned",
            subject=step.id,
            message=f"{found.name} asks a service, which may have changed since",
            remedy="None for this version; use a model that runs here, in a new one.",
        )
