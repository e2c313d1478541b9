from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.changes import Change, Changes, downstream, with_fixed_seeds
from intaglio.core.isolate import Like, isolate, most_tries
from intaglio.core.plan import AssetRef, Plan, Source, Step
from intaglio.core.record import plain
from intaglio.core.seeds import ExecutedSeed

from .samples import REF, name_of, plan_of, step


def seed(value: str, origin: Any = "fixed") -> ExecutedSeed:
    return ExecutedSeed(value=value, origin=origin)


def wire(source: str) -> dict[str, Source]:
    return {"image": Source(step=source, output="image")}


def asset(letter: str) -> AssetRef:
    return AssetRef(digest=name_of(letter), media_type="image/png", address="", name=f"{letter}.png")


MODELS = [dataclasses.replace(REF, digest=name_of(letter), version=letter) for letter in "12"]
NODES = ("a", "b", "c", "d", "e")
SOURCES = {"one": 1, "two": 2, "reel": 3}


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Small plans of the same few nodes, in any wiring that has an order, with batches of one or two."""
    nodes = draw(st.permutations(NODES).map(lambda found: found[: draw(st.integers(1, 5))]))
    count = draw(st.integers(1, 2))
    steps: list[Step] = []
    for place, node in enumerate(nodes):
        kind = draw(st.sampled_from(["one", "two", "reel"]))
        sources = draw(st.lists(st.sampled_from(nodes[:place]), max_size=SOURCES[kind])) if place else []
        port = "frames[{}]" if kind == "reel" else "in{}"
        params = {"x": draw(st.integers(0, 1))} | ({"y": draw(st.booleans())} if kind == "two" else {})
        models = {f"loras[{index}]": MODELS[index] for index in range(draw(st.integers(0, 2)))}
        version, assets = draw(st.integers(1, 2)), draw(st.sampled_from([{}, {"mask": asset("3")}]))
        seeded = draw(st.sampled_from([None, "1", "2"]))
        for index in range(count):
            steps.append(
                step(
                    f"{node}[{index}]" if count > 1 else node,
                    kind,
                    node=node,
                    index=index,
                    type_version=version,
                    params=params,
                    seed=seed(seeded) if seeded else None,
                    models=models,
                    assets=assets,
                    inputs={
                        port.format(number): Source(step=f"{source}[{index}]" if count > 1 else source, output="image")
                        for number, source in enumerate(sources)
                    },
                )
            )
    return plan_of(*steps, threads=draw(st.integers(1, 2)), deterministic=draw(st.booleans()))


def work(plan: Plan) -> Any:
    """What a plan does, whatever it is called and in whichever order its steps stand."""
    return (plan.threads, plan.deterministic, {one.id: plain(one) for one in plan.steps})


@given(plans(), plans(), st.data())
def test_none_is_the_first_plan_all_is_the_second_and_any_are_a_plan_that_runs(
    good: Plan, bad: Plan, data: st.DataObject
) -> None:
    changes = Changes(good, bad)
    assert changes.plan(()) == good
    assert work(changes.plan(changes.all)) == work(bad)
    assert (changes.all == ()) == (work(good) == work(bad))
    assert len({(change.kind, change.node, change.name) for change in changes.all}) == len(changes.all)
    if changes.all:
        mixed = changes.plan(data.draw(st.sets(st.sampled_from(changes.all))))
        there: set[str] = set()
        for one in mixed.steps:
            assert {source.step for source in one.inputs.values()} <= there, "each comes after what it needs"
            there.add(one.id)
            gathered = [name for name in one.inputs if name.startswith("frames[")]
            assert sorted(gathered) == [f"frames[{number}]" for number in range(len(gathered))], "numbered without gaps"
        assert there in ({s.id for s in good.steps}, {s.id for s in bad.steps}), "none is lost on the way"


@given(plans(), plans())
def test_every_change_by_itself_makes_another_plan(good: Plan, bad: Plan) -> None:
    changes = Changes(good, bad)
    for change in changes.all:
        assert work(changes.plan([change])) != work(good), str(change)


BASE = step(
    "base",
    "text-to-image",
    params={"guidance": 4.0, "prompt": "sea", "loras": [0.8]},
    seed=seed("1", "drawn"),
    models={"model": MODELS[0], "loras[0]": REF},
)
CHAIN = (BASE, step("grain", inputs=wire("base")), step("out", "output", inputs=wire("grain")))
CASES: dict[str, tuple[Any, list[str]]] = {
    "a parameter": ({"params": {**BASE.params, "guidance": 7.0}}, ["base.guidance 4.0 -> 7.0"]),
    "a seed": ({"seed": seed("2")}, ["base.seed 1 -> 2"]),
    "only where a seed came from": ({"seed": seed("1")}, []),
    "a model": ({"models": {**BASE.models, "model": MODELS[1]}}, ["base.model scenes:1 -> scenes:2"]),
    "a model by content alone": (
        {"models": {**BASE.models, "model": dataclasses.replace(MODELS[0], digest=name_of("9"))}},
        ["base.model scenes:1 (blake3:111111111111) -> scenes:1 (blake3:999999999999)"],
    ),
    "a model of which only the name is known": (
        {"models": {**BASE.models, "model": dataclasses.replace(MODELS[0], digest="", name="x")}},
        ["base.model scenes:1 -> x:1"],
    ),
    "only a model's name": ({"models": {**BASE.models, "model": dataclasses.replace(MODELS[0], name="x")}}, []),
    "one of several models taken away": (
        {"models": {"model": MODELS[0]}, "params": {**BASE.params, "loras": []}},
        ["base.loras scenes:1 [0.8] -> []"],
    ),
    "a version of the type": ({"type_version": 2}, ["base.type text-to-image@1 -> text-to-image@2"]),
    "another type": (
        {"type": "noise", "params": {"scale": 1}, "seed": seed("5"), "models": {}},
        ["base.type text-to-image@1 -> noise@1"],
    ),
    "two at once": (
        {"params": {**BASE.params, "guidance": 7.0, "prompt": "hill"}, "seed": seed("2")},
        ["base.guidance 4.0 -> 7.0", 'base.prompt "sea" -> "hill"', "base.seed 1 -> 2"],
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_a_change_says_what_it_is(what: str) -> None:
    more, expected = CASES[what]
    bad = plan_of(dataclasses.replace(BASE, **more), *CHAIN[1:])
    assert [str(change) for change in Changes(plan_of(*CHAIN), bad).all] == expected


def test_settings_of_the_whole_plan_are_changes() -> None:
    found = Changes(plan_of(*CHAIN), plan_of(*CHAIN, threads=4, deterministic=False)).all
    assert [str(change) for change in found] == ["threads 2 -> 4", "deterministic true -> false"]


def test_a_wire_is_a_change_where_it_can_be_moved_alone() -> None:
    bad = plan_of(*CHAIN[:2], step("out", "output", inputs=wire("base")))
    assert [str(change) for change in Changes(plan_of(*CHAIN), bad).all] == ["out.image grain.image -> base.image"]


def test_wires_that_cross_and_nodes_that_come_are_one_change_of_structure() -> None:
    first = (step("a"), step("b", inputs=wire("a")), step("c", inputs=wire("b")))
    swapped = (step("a"), step("c", inputs=wire("a")), step("b", inputs=wire("c")))
    assert [str(change) for change in Changes(plan_of(*first), plan_of(*swapped)).all] == ["structure: rewired b, c"]
    longer = (*first[:2], step("new", inputs=wire("b")), step("c", inputs=wire("new"), params={"x": 1}))
    found = Changes(plan_of(*first), plan_of(*longer)).all
    assert [change.kind for change in found] == ["parameter", "structure"]
    assert str(found[1]) == "structure: added new; rewired c"


def test_a_batch_of_another_size_is_structure() -> None:
    batch = plan_of(step("a[0]", node="a"), step("a[1]", node="a", index=1))
    assert [str(change) for change in Changes(plan_of(step("a")), batch).all] == ["structure: other a"]


def reel(*sources: str) -> Step:
    """A step that gathers."""
    inputs = {f"frames[{number}]": Source(step=source, output="image") for number, source in enumerate(sources)}
    return step("clip", "reel", inputs=inputs)


def test_what_is_gathered_is_one_change_however_many_frames_differ() -> None:
    shots = [step(name) for name in "abcd"]
    good, bad = plan_of(*shots, reel("a", "b", "c", "d")), plan_of(*shots, reel("b", "a"))
    found = Changes(good, bad).all
    assert [str(change) for change in found] == ["clip.frames a.image, b.image, c.image, d.image -> b.image, a.image"]
    assert Changes(good, bad).plan(found).step("clip").inputs == bad.step("clip").inputs
    long = Changes(good, plan_of(*shots, reel(*"abcdabcdabcd"))).all
    assert str(long[0]).endswith("-> a.image to d.image (12)")


def test_downstream_is_a_node_and_what_follows() -> None:
    assert downstream(plan_of(*CHAIN), {"grain"}) == {"grain", "out"}
    assert downstream(plan_of(*CHAIN), ()) == set()


def test_a_drawn_seed_becomes_a_fixed_one() -> None:
    fixed = with_fixed_seeds(plan_of(*CHAIN))
    assert fixed.steps[0].seed == seed("1")
    assert fixed.steps[1:] == CHAIN[1:]


@given(st.integers(1, 9), st.randoms(use_true_random=False), st.booleans())
def test_the_search_finds_a_set_that_is_enough_and_of_which_all_is_needed(
    count: int, chance: random.Random, growing: bool
) -> None:
    """Whatever the changes do together: the answer holds, and takes no more tries than was said."""
    causes = [{one for one in range(count) if chance.random() < 0.4} for _ in range(2)]
    asked: dict[frozenset[int], Like] = {}

    def test(chosen: frozenset[int]) -> Like:
        assert chosen not in asked, "no set is tried twice"
        asked[chosen] = chance.choice(["good", "neither"])
        if any(cause <= chosen for cause in causes) if growing else chance.random() < 0.4:
            asked[chosen] = "bad"
        return asked[chosen]

    found = isolate(range(count), test)
    if found is None:
        assert asked[frozenset(range(count))] != "bad"
        return
    assert asked[frozenset(found)] == "bad"
    assert len({*asked, *(frozenset({one}) for one in found)}) <= most_tries(count)
    if growing and len(found) > 1:  # a change more never undoes the difference: then nothing in it can be spared
        assert set(found) in causes


@pytest.mark.parametrize("count", [1, 2, 5, 16])
@pytest.mark.parametrize("place", [0, -1])
def test_a_single_cause_is_found_by_halving(count: int, place: int) -> None:
    cause = range(count)[place]
    asked: list[frozenset[int]] = []

    def test(chosen: frozenset[int]) -> Like:
        asked.append(chosen)
        return "bad" if cause in chosen else "good"

    assert isolate(range(count), test) == (cause,)
    assert len(asked) <= (count - 1).bit_length() + 1


def test_what_works_only_together_is_found() -> None:
    def test(chosen: frozenset[str]) -> Like:
        return "bad" if {"b", "e"} <= chosen else "good"

    assert isolate(list("abcdef"), test) == ("b", "e")
    assert most_tries(0) == 0
    assert [most_tries(count) for count in (1, 2, 3, 20)] == [1, 3, 7, 47]


def test_a_change_reads_as_one_line() -> None:
    assert str(Change("structure", "", "structure", "", "added x")) == "structure: added x"
