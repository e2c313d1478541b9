from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.plan import Plan, Source, Step, WorkflowRef
from intaglio.core.seeds import LARGEST, ExecutedSeed
from intaglio.core.variation_rules import (
    drawing,
    full_grid,
    in_recorded_terms,
    one_at_a_time,
    split_values,
    target,
    walked,
    with_pinned_seeds,
    with_seeds,
)

SEEDS = st.integers(0, LARGEST)
WORDS = st.lists(st.text("abc0.", min_size=1, max_size=4), min_size=1, max_size=4, unique=True)


def step(node: str, index: int = 0, *, seed: ExecutedSeed | None = None, **more: Any) -> Step:
    given: dict[str, Any] = {"type": "film-grain", "type_version": 1, "params": {"amount": 0.1}, **more}
    return Step(id=node if index == 0 else f"{node}[{index}]", node=node, index=index, seed=seed, **given)


def plan(*steps: Step) -> Plan:
    reference = WorkflowRef(name="w", version=1, digest="blake3:" + "0" * 64)
    return Plan(workflow=reference, mode="discovery", threads=1, deterministic=True, steps=steps)


def drawn(value: int, origin: Any = "drawn") -> ExecutedSeed:
    return ExecutedSeed(value=str(value), origin=origin)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("base.guidance=3", ("base", "guidance")),
        ("base.prompt=a=b.c", ("base", "prompt")),
        ("base.loras[0].weight=1", ("base", "loras")),
        ("base.seed=0", ("base", "seed")),
    ],
)
def test_what_a_setting_is_about(change: str, expected: tuple[str, str]) -> None:
    assert target(change) == expected


@pytest.mark.parametrize(
    ("text", "separator", "expected"),
    [
        ("3,5, 7", ",", ["3", "5", "7"]),
        ("[],[{model: ink, weight: 0.5}, dusk]", ",", ["[]", "[{model: ink, weight: 0.5}, dusk]"]),
        ("'a,b',c", ",", ["'a,b'", "c"]),
        ("a\\,b,c", ",", ["a,b", "c"]),
        ("a red house, day|a blue house (tall, thin", "|", ["a red house, day", "a blue house (tall, thin"]),
        ("it's one|two\\|three", "|", ["it's one", "two|three"]),
        ("a\\nb", "|", ["a\\nb"]),
        ("", ",", [""]),
    ],
)
def test_values_are_split_where_a_person_means_it(text: str, separator: str, expected: list[str]) -> None:
    assert split_values(text, separator) == expected


@given(WORDS)
def test_plain_values_come_apart_as_they_were_put_together(words: list[str]) -> None:
    assert split_values(",".join(words), ",") == words
    assert split_values("|".join(words), "|") == words


@given(st.lists(WORDS, min_size=1, max_size=3))
def test_one_at_a_time_is_the_base_and_each_value_once(axes: list[list[str]]) -> None:
    found = list(one_at_a_time(axes))
    assert found[0] == ((-1,) * len(axes), ())
    assert len(found) == 1 + sum(map(len, axes))
    assert len({place for place, _ in found}) == len(found)
    for place, changes in found[1:]:
        [which] = [axis for axis, at in enumerate(place) if at >= 0]
        assert changes == (axes[which][place[which]],)


@given(st.lists(WORDS, min_size=1, max_size=3))
def test_a_grid_is_every_combination_once(axes: list[list[str]]) -> None:
    found = list(full_grid(axes))
    places = 1
    for axis in axes:
        places *= len(axis)
    assert len({place for place, _ in found}) == len(found) == places
    for place, changes in found:
        assert changes == tuple(axis[at] for axis, at in zip(axes, place, strict=True))


@given(SEEDS, st.integers(1, 20), st.integers(-5, 5).filter(bool))
def test_a_walk_holds_its_distance_and_stays_in_range(first: int, count: int, distance: int) -> None:
    found = walked(first, count, distance)
    assert found[0] == first and len(set(found)) == count
    assert all(0 <= seed <= LARGEST for seed in found)
    assert {(b - a - distance) % (LARGEST + 1) for a, b in itertools.pairwise(found)} <= {0}


@given(SEEDS, SEEDS, st.integers(1, 5))
def test_new_seeds_go_to_their_node_only_and_batches_derive_theirs(old: int, new: int, width: int) -> None:
    batch = [step("a", index, seed=drawn(old)) for index in range(width)]
    found = with_seeds(plan(*batch, step("b", seed=drawn(old)), step("c")), {"a": new})
    mine = [each.seed for each in found.steps if each.node == "a"]
    assert [seed.number for seed in mine if seed] == [(new + index) % (LARGEST + 1) for index in range(width)]
    assert [seed.origin for seed in mine if seed] == ["pinned", *["derived"] * (width - 1)]
    others = {each.node: each.seed for each in found.steps if each.node != "a"}
    assert others == {"b": drawn(old), "c": None}
    assert drawing(found) == {"a": new, "b": old}


def test_what_was_drawn_is_pinned_and_what_was_derived_stays() -> None:
    found = with_pinned_seeds(plan(step("a", seed=drawn(0)), step("a", 1, seed=drawn(1, "derived")), step("c")))
    assert [each.seed for each in found.steps] == [drawn(0, "pinned"), drawn(1, "derived"), None]
    assert found.mode == "production"


def test_a_newer_type_is_told_in_the_terms_of_the_recorded_one() -> None:
    old = plan(step("a", params={"amount": 0.1}))
    new = plan(step("a", type_version=2, params={"amount": 0.4, "size": 2}))
    found = in_recorded_terms(old, new).step("a")
    assert (found.type_version, dict(found.params)) == (1, {"amount": 0.4})
    other = plan(step("a", type="upscale", type_version=2, inputs={"image": Source(step="x", output="image")}))
    assert in_recorded_terms(old, other) == other
    same = replace(new, steps=(replace(new.steps[0], type_version=1),))
    assert in_recorded_terms(old, same) == same
