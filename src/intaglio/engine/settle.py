"""Settling a node: its models and files found, its defaults written out; only the seed is drawn later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from intaglio.core.entries import Entry, slot
from intaglio.core.errors import IntaglioError, InvalidWorkflow
from intaglio.core.model import ModelVersion
from intaglio.core.param import Param
from intaglio.core.plan import AssetRef
from intaglio.core.record import Json
from intaglio.core.seeds import ExecutedSeed, exact_seed, parse_seed
from intaglio.core.workflow import Workflow
from intaglio.engine.checks import Checked
from intaglio.engine.resources import Resources


@dataclass(frozen=True)
class Settled:
    """A node whose models and files were found and whose parameters are all there: only its seed is still open.

    Of several models each stands under a name of its own ("loras[0]"), and the parameter holds their words.
    """

    node: Checked
    models: Mapping[str, ModelVersion]
    assets: Mapping[str, AssetRef]
    params: Mapping[str, Json]


def settled(workflow: Workflow, item: Checked, resources: Resources) -> Settled:
    """The node, settled. Raises InvalidWorkflow, NotFound, ModelUnavailable, naming the node and the field."""
    models = models_of(workflow, item, resources)
    assets: dict[str, AssetRef] = {}
    for param in item.type.params:
        if param.type == "image" and param.name in item.given:
            with _located(item, param.name):
                assets[param.name] = resources.take_image(file_or_pin(workflow, item, param.name, resources))
    params = {
        param.name: _value(item, param, models, resources)
        for param in item.type.params
        if param.type not in ("model", "image")
    }
    return Settled(item, models, assets, params)


def models_of(workflow: Workflow, item: Checked, resources: Resources) -> dict[str, ModelVersion]:
    """The models of a node by where it names them. Raises NotFound, Invalid, ModelUnavailable, naming the node."""
    models: dict[str, ModelVersion] = {}
    for name, param, typed in model_references(item):
        with _located(item, name):
            models[name] = resources.find_model(pinned_or(workflow, item, name, typed), param.model_kind)
    return models


def look_up(workflow: Workflow, item: Checked, resources: Resources) -> None:
    """All that is wrong with a node's models and what follows from them. Raises as `settled`; takes no file."""
    models = models_of(workflow, item, resources)
    for param in item.type.params:
        if param.type not in ("model", "image"):
            _value(item, param, models, resources)


def model_references(item: Checked) -> Iterator[tuple[str, Param, str]]:
    """Every model that a node names: where it stands ("model", "loras[0]"), its parameter, and the reference typed."""
    for param in item.type.params:
        if param.name not in item.given:
            continue
        if param.type == "model":
            yield param.name, param, str(item.given[param.name])
        elif param.several:
            for index, entry in enumerate(item.given[param.name]):
                yield slot(param.name, index), param, entry.model


def pinned_or(workflow: Workflow, item: Checked, name: str, typed: str) -> str:
    """The reference that counts: in production what an approval captured, where it did."""
    pin = workflow.pins.get(item.id)
    if workflow.mode == "production" and pin is not None and name in pin.models:
        return pin.models[name]
    return typed


def file_or_pin(workflow: Workflow, item: Checked, name: str, resources: Resources) -> str:
    """The reference file that counts: in production the one an approval captured, where it did.

    So it is in discovery for a relative path when there is no folder that it could start from, and the path is the one
    that it was captured for.
    """
    pin, typed = workflow.pins.get(item.id), str(item.given[name])
    if pin is None or name not in pin.assets:
        return typed
    same = pin.files.get(name) == typed and not resources.is_file(typed)
    return pin.assets[name] if workflow.mode == "production" or same else typed


def fixed_seed(workflow: Workflow, item: Checked) -> ExecutedSeed | None:
    """The seed a person typed or an approval captured. A captured one may be 0; a typed 0 asks for a draw."""
    pin = workflow.pins.get(item.id)
    if workflow.mode == "production" and pin is not None and pin.seed:
        return ExecutedSeed(value=str(exact_seed(pin.seed)), origin="pinned")
    typed = parse_seed(item.node.seed)
    return None if typed is None else ExecutedSeed(value=str(typed), origin="fixed")


@contextmanager
def _located(item: Checked, name: str) -> Iterator[None]:
    """Whatever is wrong with a model or a file is wrong at this node, in this parameter."""
    try:
        yield
    except IntaglioError as error:
        error.step = error.step or item.id
        error.field = error.field or f"params.{name}"
        raise


def _value(item: Checked, param: Param, models: Mapping[str, ModelVersion], resources: Resources) -> Json:
    given = item.given.get(param.name)
    if param.type == "embeddings":
        return _tokens(item, param.name, given or (), models)
    if param.several:
        return tuple(entry.word for entry in given or ())
    if param.name in item.given:
        return given
    return _default(item, param, models, resources)


def _tokens(item: Checked, name: str, entries: Iterable[Entry], models: Mapping[str, ModelVersion]) -> tuple[Json, ...]:
    """The word of each embedding: the given one, else the model's name in angle brackets. No two are the same."""
    tokens: list[str] = []
    for index, entry in enumerate(entries):
        token = str(entry.word) or f"<{'-'.join(models[slot(name, index)].name.split())}>"
        if token in tokens:
            raise InvalidWorkflow(
                f"{token!r} is the token of {slot(name, tokens.index(token))} already",
                node=item.id,
                field=f"params.{slot(name, index)}.token",
                hint="Give each embedding a token of its own: {model: NAME, token: <word>}.",
            )
        tokens.append(token)
    return tuple(tokens)


def _default(item: Checked, param: Param, models: Mapping[str, ModelVersion], resources: Resources) -> Json:
    if param.settled_by and not param.from_model:
        return resources.settle[param.settled_by](param.default)
    if not param.from_model:
        return param.default
    for main in item.type.params:
        if main.type == "model" and main.required and param.from_model in models[main.name].defaults:
            return param.check(models[main.name].defaults[param.from_model])
    raise InvalidWorkflow(
        f"the model does not say its own {param.from_model}",
        node=item.id,
        field=f"params.{param.name}",
        hint="Give it a value.",
    )
