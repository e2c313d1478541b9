"""The rules of mode and pin, for any mixture of what a person typed and what an approval captured."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.errors import UnpinnedModel, UnpinnedSeed
from intaglio.core.pins import in_mode, pinned
from intaglio.core.plan import Plan
from intaglio.core.seeds import LARGEST
from intaglio.engine.resolve import resolve

from .fakes import DIGEST, REFERENCE, Desk, workflow

NODES = ("a", "b", "c")
SEEDS = st.just("") | st.integers(0, LARGEST).map(str)
MODELS = st.sampled_from(["m", DIGEST])
PINS = st.fixed_dictionaries({}, optional={"seed": SEEDS, "models": st.just({"model": DIGEST})})


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Nodes that draw, each with or without a seed and an exact model, some of them pinned."""
    nodes = {
        name: {
            "type": "paint",
            "seed": draw(SEEDS),
            "count": draw(st.integers(1, 3)),
            "params": {"model": draw(MODELS), "prompt": "sea"},
        }
        for name in NODES
    }
    pins = draw(st.dictionaries(st.sampled_from(NODES), PINS))
    return {"nodes": nodes, "pins": pins}


def first_seeds(plan: Plan) -> dict[str, tuple[str, str]]:
    return {step.node: (step.seed.value, step.seed.origin) for step in plan.steps if step.seed and step.index == 0}


def typed(document: dict[str, Any], node: str) -> str:
    """The seed a person gave: 0 asks for a draw."""
    seed: str = document["nodes"][node]["seed"]
    return "" if seed == "0" else seed


@given(documents())
def test_discovery_takes_what_was_typed_draws_the_rest_and_looks_at_no_pin(document: dict[str, Any]) -> None:
    desk = Desk()
    found = first_seeds(desk.resolve(document["nodes"], pins=document["pins"]))
    for node in NODES:
        seed = typed(document, node)
        assert found[node][1] == ("fixed" if seed else "drawn")
        assert not seed or found[node][0] == seed
    assert [asked for asked in desk.asked if asked.startswith("checkpoint")] == [
        f"checkpoint {document['nodes'][node]['params']['model']}" for node in NODES
    ]


@given(documents())
def test_production_takes_pins_then_what_was_typed_and_refuses_the_rest_before_any_draw(
    document: dict[str, Any],
) -> None:
    desk, pins = Desk(), document["pins"]
    seeds = {node: pins.get(node, {}).get("seed") or typed(document, node) for node in NODES}
    models = {
        node: "models" in pins.get(node, {}) or document["nodes"][node]["params"]["model"] == DIGEST for node in NODES
    }
    loose = tuple(node for node in NODES if not seeds[node])
    inexact = tuple(node for node in NODES if not models[node])
    if loose or inexact:
        with pytest.raises(UnpinnedSeed if loose else UnpinnedModel) as caught:
            desk.resolve(document["nodes"], mode="production", pins=pins)
        assert isinstance(caught.value, UnpinnedSeed | UnpinnedModel) and caught.value.nodes == (loose or inexact)
        assert desk.asked == []
        return
    found = first_seeds(desk.resolve(document["nodes"], mode="production", pins=pins))
    assert {node: value for node, (value, _) in found.items()} == seeds
    for node, (_, origin) in found.items():
        assert origin == ("pinned" if pins.get(node, {}).get("seed") else "fixed")
    assert set(desk.asked) == {f"checkpoint {DIGEST}"}


@given(documents())
def test_what_a_run_in_discovery_had_is_what_production_runs_once_it_is_pinned(document: dict[str, Any]) -> None:
    found = workflow(document["nodes"], pins=document["pins"])
    explored = resolve(found, REFERENCE, Desk().resources())
    fixed = in_mode(pinned(found, explored), "production")
    again = resolve(fixed, REFERENCE, Desk(seeds=[]).resources())
    assert [(step.id, step.seed and step.seed.value, step.models) for step in again.steps] == [
        (step.id, step.seed and step.seed.value, step.models) for step in explored.steps
    ]
