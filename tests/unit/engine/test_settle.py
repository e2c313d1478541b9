from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import pytest

from intaglio.core.codec import decode, encode
from intaglio.core.context import Context, Embedding, Lora, ModelFile
from intaglio.core.errors import Invalid, InvalidWorkflow, NotFound, UnpinnedModel
from intaglio.core.image import Image
from intaglio.core.model import ModelVersion
from intaglio.core.nodetype import FromModel, Interval, ModelKind, NodeTypes, node_type
from intaglio.core.plan import Plan, content_key
from intaglio.core.record import plain
from intaglio.engine.execute import execute
from intaglio.engine.resolve import resolve

from .fakes import MODEL, REFERENCE, Bench, Desk, dot, start, workflow

Seen = list[dict[str, Any]]


def rich(seen: Seen) -> Any:
    """A node type that takes every sort of model and writes down what it was handed."""

    @node_type("rich", version=1, together=[("net", "guide")])
    def work(
        ctx: Context,
        guide: Image | None,
        *,
        model: Annotated[ModelFile, ModelKind("checkpoint")],
        vae: Annotated[ModelFile | None, ModelKind("vae")] = None,
        net: Annotated[ModelFile | None, ModelKind("controlnet")] = None,
        loras: Annotated[tuple[Lora, ...], ModelKind("lora"), Interval(ge=-2, le=2)] = (),
        words: Annotated[tuple[Embedding, ...], ModelKind("textual-inversion")] = (),
        width: Annotated[int, FromModel("width")] = 0,
    ) -> Image:
        seen.append({"model": model, "vae": vae, "net": net, "loras": loras, "words": words, "width": width})
        return dot(1)

    return work


def digest(letter: str) -> str:
    """A digest that is easy to tell from others."""
    return "blake3:" + letter * 64


SHELF = {
    name: dataclasses.replace(MODEL, name=name, digest=digest(letter), model_kind=kind, defaults=defaults)
    for name, letter, kind, defaults in [
        ("m", "a", "checkpoint", {"width": 64}),
        ("ink", "b", "lora", {"width": 8}),
        ("wash", "c", "lora", {}),
        ("my cat", "d", "textual-inversion", {}),
        ("dog", "e", "textual-inversion", {}),
        ("soft", "f", "vae", {"width": 9}),
        ("lines", "0", "controlnet", {}),
    ]
}


def find(reference: str, kind: str) -> ModelVersion:
    """A model of the shelf by name or digest."""
    model = next((m for m in SHELF.values() if reference in (m.name, m.digest, f"{m.name}:{m.version}")), None)
    if model is None:
        raise NotFound("model", reference)
    if model.model_kind != kind:
        raise Invalid(f"model {reference!r} is a {model.model_kind}, not a {kind}")
    return model


def planned(params: dict[str, Any], *, seen: Seen | None = None, **more: Any) -> Plan:
    """The plan of one such node; `more` goes to the workflow."""
    inputs = more.pop("inputs", {})
    nodes = {"a": {"type": "start"}, "n": {"type": "rich", "inputs": inputs, "params": {"model": "m", **params}}}
    types = NodeTypes([start, rich([] if seen is None else seen)])
    desk = dataclasses.replace(Desk(types=types).resources(), find_model=find)
    return resolve(workflow(nodes, **more), REFERENCE, desk)


def models(plan: Plan) -> dict[str, str]:
    """The names of the node's models by where they stand."""
    return {name: ref.name for name, ref in plan.step("n").models.items()}


def test_what_is_left_out_is_not_there_and_several_are_none() -> None:
    plan = planned({})
    assert models(plan) == {"model": "m"}
    assert plan.step("n").params == {"loras": (), "words": (), "width": 64}
    assert plan == planned({"vae": None, "net": None, "loras": [], "words": []}), "nothing is the same as none"


def test_each_model_stands_under_a_name_of_its_own_and_the_words_beside_it() -> None:
    plan = planned(
        {
            "vae": "soft",
            "loras": ["ink", {"model": digest("c"), "weight": 0.5}],
            "words": ["my cat", {"model": "dog", "token": "<it>"}],
        }
    )
    assert models(plan) == {
        "model": "m", "vae": "soft", "loras[0]": "ink", "loras[1]": "wash", "words[0]": "my cat", "words[1]": "dog",
    }  # fmt: skip
    assert plan.step("n").params == {"loras": (1.0, 0.5), "words": ("<my-cat>", "<it>"), "width": 64}


def test_only_the_main_model_speaks_for_defaults() -> None:
    SHELF["m"] = dataclasses.replace(SHELF["m"], defaults={})
    try:
        with pytest.raises(InvalidWorkflow, match=r"params\.width: the model does not say its own width"):
            planned({"vae": "soft", "loras": ["ink"]})
    finally:
        SHELF["m"] = dataclasses.replace(SHELF["m"], defaults={"width": 64})


@pytest.mark.parametrize(
    ("params", "field", "message"),
    [
        ({"loras": ["ink", {"model": "wash", "weight": 3}]}, "params.loras[1].weight", r"out of range \(-2 to 2\)"),
        ({"loras": {"weight": 1}}, "params.loras[0].model", "needs the name"),
        ({"loras": 7}, "params.loras", "needs a list"),
        ({"words": ["dog", {"model": "my cat", "token": "<dog>"}]}, "params.words[1].token", r"token of words\[0\]"),
        ({"words": ["dog", "dog"]}, "params.words[1].token", "'<dog>' is the token of"),
        ({"net": "lines"}, "params.net", "goes with guide, which is not given"),
        ({"vae": 7}, "params.vae", "needs text"),
    ],
)
def test_what_is_wrong_is_named_by_node_and_field(params: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidWorkflow, match=message) as caught:
        planned(params)
    assert (caught.value.node, caught.value.field) == ("n", field)


@pytest.mark.parametrize(
    ("params", "field"),
    [({"model": "x"}, "params.model"), ({"loras": ["ink", "x"]}, "params.loras[1]"), ({"vae": "ink"}, "params.vae")],
)
def test_a_model_that_is_not_there_or_of_another_kind_is_named_by_node_and_field(
    params: dict[str, Any], field: str
) -> None:
    with pytest.raises((NotFound, Invalid)) as caught:
        planned(params)
    assert (caught.value.step, caught.value.field) == ("n", field)


def test_a_picture_to_follow_and_a_controlnet_go_together() -> None:
    with pytest.raises(InvalidWorkflow, match=r"inputs\.guide: goes with net, which is not given"):
        planned({}, inputs={"guide": "a"})
    assert models(planned({"net": "lines"}, inputs={"guide": "a"})) == {"model": "m", "net": "lines"}


def test_pins_name_the_place_and_count_in_production_only() -> None:
    pins = {"n": {"models": {"model": digest("a"), "loras[0]": digest("c")}}}
    params = {"loras": [{"model": "ink", "weight": 0.5}]}
    assert models(planned(params, pins=pins, mode="production")) == {"model": "m", "loras[0]": "wash"}
    assert models(planned(params, pins=pins)) == {"model": "m", "loras[0]": "ink"}
    with pytest.raises(UnpinnedModel) as caught:
        planned({"loras": ["ink", "wash"]}, pins=pins, mode="production")
    assert caught.value.nodes == ("n",)


def test_the_function_gets_files_with_their_words() -> None:
    seen: Seen = []
    plan = planned({"loras": [{"model": "ink", "weight": 1}, "wash"], "words": ["dog"], "vae": "soft"}, seen=seen)
    bench = Bench(NodeTypes([start, rich(seen)]))
    execute(decode(Plan, encode(plan)), bench.work())  # as it is read back, where 1.0 is 1
    (handed,) = seen
    assert (handed["vae"].name, handed["net"], handed["width"]) == ("soft", None, 64)
    assert [(lora.file.name, lora.weight, type(lora.weight)) for lora in handed["loras"]] == [
        ("ink", 1.0, float), ("wash", 1.0, float),
    ]  # fmt: skip
    assert [(word.file.name, word.token) for word in handed["words"]] == [("dog", "<dog>")]


def key(plan: Plan) -> str:
    """The content key of the node."""
    return content_key(plan, plan.step("n"), {}, "e")


CHANGES: dict[str, Callable[[], Plan]] = {
    "another weight": lambda: planned({"loras": [{"model": "ink", "weight": 0.5}]}),
    "another file": lambda: planned({"loras": ["wash"]}),
    "one more": lambda: planned({"loras": ["ink", "wash"]}),
    "another order": lambda: planned({"loras": ["wash", "ink"]}),
    "none": lambda: planned({}),
}


def test_every_change_of_adapters_is_another_content_key_and_a_name_is_none() -> None:
    keys = [key(make()) for make in CHANGES.values()] + [key(planned({"loras": ["ink"]}))]
    assert len(set(keys)) == len(keys)
    assert key(planned({"loras": ["ink"]})) == key(planned({"loras": [digest("b")]}))
    assert plain(planned({"loras": ["ink"]}).step("n").params)["loras"] == [1.0]
