from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.codec import digest
from intaglio.core.errors import IntaglioError, InvalidWorkflow, NotFound, UnpinnedModel, UnpinnedSeed
from intaglio.core.plan import Source
from intaglio.core.seeds import LARGEST
from intaglio.engine.resolve import check

from .fakes import DIGEST, MODEL, Desk, seeds_of, steps_of, workflow


def painting(**more: Any) -> dict[str, Any]:
    """A node that draws and needs a model."""
    return {"type": "paint", "params": {"model": "m", "prompt": "sea"}, **more}


def after(source: str, kind: str = "grain", **more: Any) -> dict[str, Any]:
    """A node fed by another one."""
    return {"type": kind, "inputs": {"image": source}, **more}


def test_a_plan_has_every_default_written_out() -> None:
    plan = Desk().resolve({"base": painting(), "grain": after("base"), "out": after("grain", "look")})
    base, grain, out = plan.steps
    assert base.params == {"prompt": "sea", "width": 64, "device": "cpu"}
    assert base.models == {"model": MODEL.ref}
    assert (grain.params, grain.type, grain.type_version) == ({"amount": 0.5}, "grain", 1)
    assert (out.params, out.seed) == ({}, None)
    assert grain.inputs == {"image": Source(step="base", output="image")}
    assert (plan.mode, plan.threads, plan.deterministic) == ("discovery", 2, True)
    assert seeds_of(plan) == {"base": ("1001", "drawn"), "grain": ("1002", "drawn")}


def test_what_a_person_gives_wins_and_is_settled_too() -> None:
    params = {"model": "m", "prompt": "sea", "width": 512, "device": "cpu"}
    step = Desk().resolve({"base": painting(params=params, seed="7")}).step("base")
    assert step.params == {"prompt": "sea", "width": 512, "device": "cpu"}
    assert step.seed is not None
    assert (step.seed.value, step.seed.origin) == ("7", "fixed")


def test_an_integer_for_a_number_and_minus_zero_become_plain_numbers() -> None:
    step = Desk().resolve({"s": {"type": "start"}, "g": after("s", params={"amount": -0.0})}).step("g")
    assert str(step.params["amount"]) == "0.0"


@pytest.mark.parametrize("seed", [0, "0", "", None])
def test_a_typed_zero_asks_for_a_draw(seed: object) -> None:
    assert seeds_of(Desk().resolve({"base": painting(seed=seed)})) == {"base": ("1001", "drawn")}


def test_a_drawn_zero_would_be_kept() -> None:
    assert seeds_of(Desk(seeds=[0]).resolve({"base": painting()})) == {"base": ("0", "drawn")}


def test_a_model_that_does_not_say_its_own_width_leaves_it_to_the_person() -> None:
    desk = Desk(model=dataclasses.replace(MODEL, defaults={}))
    with pytest.raises(InvalidWorkflow, match=r"node 'base', params\.width: the model does not say its own width"):
        desk.resolve({"base": painting()})
    assert "draw" not in desk.asked


def test_a_reference_picture_becomes_an_asset() -> None:
    desk = Desk()
    step = desk.resolve({"in": {"type": "bring", "params": {"image": "a.png"}}}).step("in")
    assert (step.params, step.assets["image"].name, step.assets["image"].digest) == ({}, "a.png", DIGEST)
    assert desk.asked == ["image a.png"]


# -- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_has_derived_seeds_and_flows_on() -> None:
    plan = Desk().resolve({"base": painting(seed=LARGEST, count=3), "grain": after("base", seed=5)})
    assert seeds_of(plan) == {
        "base[0]": (str(LARGEST), "fixed"),
        "base[1]": ("0", "derived"),
        "base[2]": ("1", "derived"),
        "grain[0]": ("5", "fixed"),
        "grain[1]": ("6", "derived"),
        "grain[2]": ("7", "derived"),
    }
    assert [step.index for step in plan.steps] == [0, 1, 2, 0, 1, 2]
    assert plan.step("grain[2]").inputs["image"].step == "base[2]"


def test_a_batch_draws_one_seed() -> None:
    desk = Desk()
    assert list(seeds_of(desk.resolve({"base": painting(count=3)})).values()) == [
        ("1001", "drawn"),
        ("1002", "derived"),
        ("1003", "derived"),
    ]
    assert desk.asked.count("draw") == 1


def test_a_single_picture_joins_every_picture_of_a_batch() -> None:
    nodes = {
        "many": {"type": "start", "count": 2},
        "single": {"type": "start"},
        "both": {"type": "join", "inputs": {"a": "many", "b": "single"}},
    }
    plan = Desk().resolve(nodes)
    assert [plan.step(f"both[{n}]").inputs["b"].step for n in range(2)] == ["single", "single"]
    assert [plan.step(f"both[{n}]").inputs["a"].step for n in range(2)] == ["many[0]", "many[1]"]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            {
                "two": {"type": "start", "count": 2},
                "three": {"type": "start", "count": 3},
                "both": {"type": "join", "inputs": {"a": "two", "b": "three"}},
            },
            r"node 'both': its inputs bring different numbers of pictures \(a: 2, b: 3\)",
        ),
        ({"s": {"type": "start", "count": 2}, "g": after("s", count=2)}, "node 'g', count: grain takes no count"),
        (
            {f"s{n}": {"type": "start", "count": 10_000} for n in range(11)},
            "with it the workflow makes more than 100000 pictures",
        ),
    ],
)
def test_batches_that_do_not_fit_are_refused(nodes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidWorkflow, match=message):
        Desk().resolve(nodes)


# -- production -------------------------------------------------------------------------------------------------------


def test_production_names_all_nodes_without_a_seed() -> None:
    desk = Desk()
    nodes = {"a": painting(), "b": painting(seed=7), "c": after("a", seed=0), "d": after("b", "look")}
    with pytest.raises(UnpinnedSeed) as caught:
        desk.resolve(nodes, mode="production")
    assert caught.value.nodes == ("a", "c")
    assert desk.asked == []


def test_production_names_all_nodes_with_a_model_that_is_not_exact() -> None:
    exact = {"model": DIGEST, "prompt": "sea"}
    nodes = {"a": painting(seed=1), "b": painting(seed=2, params=exact), "c": painting(seed=3)}
    with pytest.raises(UnpinnedModel) as caught:
        Desk().resolve(nodes, mode="production")
    assert caught.value.nodes == ("a", "c")


def test_production_uses_the_pins_zero_included_and_discovery_ignores_them() -> None:
    pins = {"base": {"seed": "0", "models": {"model": DIGEST}}}
    desk = Desk()
    assert seeds_of(desk.resolve({"base": painting(seed=7)}, mode="production", pins=pins)) == {"base": ("0", "pinned")}
    assert seeds_of(desk.resolve({"base": painting(seed=7)}, pins=pins)) == {"base": ("7", "fixed")}
    assert desk.asked == [f"checkpoint {DIGEST}", "checkpoint m"]


def test_production_takes_a_typed_seed_where_nothing_is_pinned() -> None:
    nodes = {"base": painting(seed=9, params={"model": DIGEST, "prompt": "sea"})}
    assert seeds_of(Desk().resolve(nodes, mode="production")) == {"base": ("9", "fixed")}


# -- refusals ---------------------------------------------------------------------------------------------------------

START = {"type": "start"}
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no such type": ({"a": {"type": "grian"}}, "a", "type"),
    "no such version": ({"a": {"type": "start@2"}}, "a", "type"),
    "a version that is no number": ({"a": {"type": "start@²"}}, "a", "type"),
    "a seed for what draws nothing": ({"a": {"type": "start", "seed": 7}}, "a", "seed"),
    "no such input": ({"a": {"type": "start", "inputs": {"image": "b"}}}, "a", "inputs.image"),
    "not connected": ({"a": {"type": "grain"}}, "a", "inputs.image"),
    "no such node": ({"a": after("b")}, "a", "inputs.image"),
    "no such output": ({"s": START, "a": after("s.left")}, "a", "inputs.image"),
    "no such parameter": ({"a": {"type": "start", "params": {"vlaue": 1}}}, "a", "params.vlaue"),
    "a seed among the parameters": ({"s": START, "a": after("s", params={"seed": 7})}, "a", "params.seed"),
    "a missing parameter": ({"a": {"type": "paint", "params": {"model": "m"}}}, "a", "params.prompt"),
    "out of range": ({"s": START, "a": after("s", params={"amount": 2})}, "a", "params.amount"),
    "no such device": (
        {"a": painting(params={"model": "m", "prompt": "sea", "device": "tpu"})},
        "a",
        "params.device",
    ),
    "itself": ({"a": after("a")}, "", "inputs"),
    "a circle": ({"a": after("b"), "b": after("a")}, "", "inputs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_workflow_draws_nothing_and_touches_nothing(case: str) -> None:
    nodes, node, field = REFUSED[case]
    desk = Desk()
    with pytest.raises(InvalidWorkflow) as caught:
        desk.resolve({"first": painting(), **nodes})
    assert (caught.value.node, caught.value.field) == (node, field)
    assert desk.asked == []
    with pytest.raises(IntaglioError, match="^" + str(caught.value)[:20]):
        check(workflow({"first": painting(), **nodes}), desk.resources())


@pytest.mark.parametrize("missing", ["model", "file"])
def test_a_model_or_file_that_is_not_there_is_missed_before_anything_is_drawn(missing: str) -> None:
    desk = Desk(missing=missing)
    nodes = {"a": painting(params={"model": "m", "prompt": "sea"}), "z": after("a", "grain"), "b": painting()}
    if missing == "file":
        nodes["in"] = {"type": "bring", "params": {"image": "file"}}
    else:
        nodes["c"] = painting(params={"model": "model", "prompt": "sea"})
    with pytest.raises(NotFound):
        desk.resolve(nodes)
    assert "draw" not in desk.asked


def test_a_misspelled_name_gets_a_hint() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        Desk().resolve({"a": {"type": "grian"}})
    assert caught.value.hint == "Did you mean 'grain'?"


def test_checking_draws_nothing() -> None:
    desk = Desk()
    check(workflow({"base": painting(), "grain": after("base")}), desk.resources())
    with pytest.raises(UnpinnedSeed):
        check(workflow({"base": painting()}, mode="production"), desk.resources())
    assert desk.asked == []


# -- order ------------------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Random graphs without circles; every node draws or joins up to three others."""
    nodes: dict[str, dict[str, Any]] = {}
    count: int = draw(st.integers(1, 10))
    names: list[str] = draw(st.permutations([f"n{n}" for n in range(count)]))
    for name in names:
        sources: list[str] = draw(st.lists(st.sampled_from(sorted(nodes)), max_size=3)) if nodes else []
        joins: bool = draw(st.booleans())
        kind = "join" if sources and joins else "grain" if sources else "start"
        inputs = dict(zip("abc", sources, strict=False)) if kind == "join" else {"image": sources[0]} if sources else {}
        nodes[name] = {"type": kind, "inputs": inputs}
    return nodes


@given(graphs(), st.randoms())
def test_a_plan_is_in_an_order_that_can_run_whatever_the_order_of_writing(graph: Any, random: Any) -> None:
    plan = Desk().resolve(graph)
    place = {step_id: index for index, step_id in enumerate(steps_of(plan))}
    assert set(place) == set(graph)
    assert all(place[source.step] < place[step.id] for step in plan.steps for source in step.inputs.values())
    shuffled = list(graph.items())
    random.shuffle(shuffled)
    assert digest(Desk().resolve(dict(shuffled))) == digest(plan), "the same draws go to the same nodes"


def test_resolving_twice_gives_the_same_plan() -> None:
    nodes = {"base": painting(count=2), "grain": after("base")}
    assert Desk().resolve(nodes) == Desk().resolve(nodes)
