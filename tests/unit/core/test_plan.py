from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.plan import AssetRef, Plan, Source, closure, content_key
from intaglio.core.seeds import ExecutedSeed

from .samples import REF, name_of, plan_of, step

ASSET = AssetRef(digest=name_of("1"), media_type="image/png", address="intaglio:asset/1", name="a.png")
STEP = step(
    "grain",
    params={"amount": 0.1, "size": 1},
    inputs={"image": Source(step="base", output="image")},
    seed=ExecutedSeed(value="7", origin="fixed"),
    models={"model": REF},
    assets={"picture": ASSET},
)
PLAN = plan_of(step("base"), STEP)
INPUTS = {"image": name_of("2")}
SURROUNDINGS = name_of("3")
KEY = content_key(PLAN, STEP, INPUTS, SURROUNDINGS)
OTHER = {
    "type": {"type": "other"},
    "type version": {"type_version": 2},
    "a parameter": {"params": {"amount": 0.2, "size": 1}},
    "a parameter's name": {"params": {"amount": 0.1, "dimension": 1}},
    "one parameter less": {"params": {"amount": 0.1}},
    "the seed": {"seed": ExecutedSeed(value="8", origin="fixed")},
    "no seed": {"seed": None},
    "the model": {"models": {"model": dataclasses.replace(REF, digest=name_of("4"))}},
    "the model's config": {"models": {"model": dataclasses.replace(REF, config=name_of("4"))}},
    "the model's parameter": {"models": {"other": REF}},
    "the asset": {"assets": {"picture": dataclasses.replace(ASSET, digest=name_of("4"))}},
    "the asset's parameter": {"assets": {"other": ASSET}},
}
SAME = {
    "the node's name": {"id": "other", "node": "other"},
    "the place in the batch": {"index": 5},
    "where the seed is from": {"seed": ExecutedSeed(value="7", origin="pinned")},
    "the model's name": {"models": {"model": dataclasses.replace(REF, name="other", version="9")}},
    "the asset's name": {"assets": {"picture": dataclasses.replace(ASSET, name="other.png")}},
    "whose output comes in": {"inputs": {"image": Source(step="other", output="left")}},
}


@pytest.mark.parametrize("what", OTHER)
def test_the_key_changes_with_everything_that_decides_pixels(what: str) -> None:
    assert content_key(PLAN, dataclasses.replace(STEP, **OTHER[what]), INPUTS, SURROUNDINGS) != KEY  # type: ignore[arg-type]


@pytest.mark.parametrize("what", SAME)
def test_the_key_does_not_change_with_names(what: str) -> None:
    assert content_key(PLAN, dataclasses.replace(STEP, **SAME[what]), INPUTS, SURROUNDINGS) == KEY  # type: ignore[arg-type]


def test_the_key_changes_with_inputs_and_surroundings() -> None:
    keys = {
        KEY,
        content_key(PLAN, STEP, {"image": name_of("9")}, SURROUNDINGS),
        content_key(PLAN, STEP, {"mask": name_of("2")}, SURROUNDINGS),
        content_key(PLAN, STEP, {}, SURROUNDINGS),
        content_key(PLAN, STEP, INPUTS, name_of("9")),
        content_key(dataclasses.replace(PLAN, threads=3), STEP, INPUTS, SURROUNDINGS),
        content_key(dataclasses.replace(PLAN, deterministic=False), STEP, INPUTS, SURROUNDINGS),
    }
    assert len(keys) == 7
    other = dataclasses.replace(PLAN.workflow, name="other", version=9, digest=name_of("9"))
    renamed = dataclasses.replace(PLAN, workflow=other, mode="production")
    assert content_key(renamed, STEP, INPUTS, SURROUNDINGS) == KEY


def test_the_key_is_pinned() -> None:
    assert KEY == "blake3:3f6da9648edac23710617ddf5cb8c8c29debd17ebbaa65e508899c17b21343de"


def chain(edges: dict[str, list[str]]) -> Plan:
    """A plan whose steps name their sources."""
    return plan_of(
        *(
            step(name, inputs={f"i{n}": Source(step=source, output="image") for n, source in enumerate(sources)})
            for name, sources in edges.items()
        )
    )


def test_a_closure_holds_what_the_wanted_step_needs_and_nothing_else() -> None:
    plan = chain({"a": [], "b": [], "c": ["a"], "d": ["a", "b"], "e": ["c"]})
    assert [found.id for found in closure(plan, {"e"}).steps] == ["a", "c", "e"]
    assert [found.id for found in closure(plan, {"d"}).steps] == ["a", "b", "d"]
    assert closure(plan, {"d", "e"}) == plan
    assert plan.step("c").inputs["i0"].step == "a"
    with pytest.raises(KeyError):
        plan.step("z")


@given(st.data())
def test_a_closure_is_closed_and_smallest(data: Any) -> None:
    count = data.draw(st.integers(1, 12))
    edges = {
        f"s{n}": [f"s{m}" for m in data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=3))] if n else []
        for n in range(count)
    }
    plan = chain(edges)
    wanted = {f"s{data.draw(st.integers(0, count - 1))}"}
    kept = closure(plan, wanted)
    ids = [found.id for found in kept.steps]
    assert wanted <= set(ids)
    assert ids == [found.id for found in plan.steps if found.id in ids], "in the order of the plan"
    sources = {source for name in ids for source in edges[name]}
    assert sources | wanted == set(ids)
    assert closure(kept, wanted) == kept
