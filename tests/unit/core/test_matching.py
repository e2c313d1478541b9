from __future__ import annotations

import dataclasses
import random

from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.matching import match
from intaglio.core.plan import Plan, Source, Step

from .samples import plan_of, step
from .test_changes import NODES, plans, seed, wire


def renamed(plan: Plan, names: dict[str, str]) -> Plan:
    """The plan with its nodes called otherwise."""

    def called(step_id: str) -> str:
        node, bracket, place = step_id.partition("[")
        return names.get(node, node) + bracket + place

    def one(step: Step) -> Step:
        inputs = {name: Source(step=called(source.step), output=source.output) for name, source in step.inputs.items()}
        return dataclasses.replace(step, id=called(step.id), node=called(step.node), inputs=inputs)

    return dataclasses.replace(plan, steps=tuple(map(one, plan.steps)))


def reordered(plan: Plan, chance: random.Random) -> Plan:
    """The plan with its steps in another order in which they can run."""
    waiting, done = list(plan.steps), list[Step]()
    while waiting:
        there = {one.id for one in done}
        ready = [one for one in waiting if {source.step for source in one.inputs.values()} <= there]
        done.append(chance.choice(ready))
        waiting.remove(done[-1])
    return dataclasses.replace(plan, steps=tuple(done))


@st.composite
def names(draw: st.DrawFn) -> dict[str, str]:
    """Other names for the nodes: new ones, or each other's."""
    return dict(zip(NODES, draw(st.permutations([*NODES, "hero", "final", "x"])), strict=False))


@given(plans())
def test_each_node_is_itself(plan: Plan) -> None:
    assert match(plan, plan) == {one.node: one.node for one in plan.steps}


@given(plans(), plans())
def test_pairs_are_the_same_both_ways_and_no_node_is_in_two(one: Plan, other: Plan) -> None:
    found = match(one, other)
    assert len(set(found.values())) == len(found)
    assert match(other, one) == {theirs: mine for mine, theirs in found.items()}


def test_a_renamed_node_is_found_by_what_it_does_and_hangs_on() -> None:
    before = plan_of(step("base", "noise", params={"x": 1}, seed=seed("1")), step("out", "output", inputs=wire("base")))
    after = plan_of(step("hero", "noise", params={"x": 2}, seed=seed("2")), step("end", "output", inputs=wire("hero")))
    assert match(before, after) == {"base": "hero", "out": "end"}


def test_an_output_is_known_as_the_only_one_left() -> None:
    before = plan_of(step("base", "noise", params={"x": 1}), step("out", "output", inputs=wire("base")))
    big = step("big", "upscale", inputs=wire("hero"))
    after = plan_of(step("hero", "noise", params={"x": 1}), big, step("end", "output", inputs=wire("big")))
    assert match(before, after) == {"base": "hero", "out": "end"}
    two = dataclasses.replace(after, steps=(*after.steps, step("other", "output", inputs=wire("big"))))
    assert match(before, two) == {"base": "hero"}, "of two, none is the one"


def test_an_id_that_went_over_to_another_node_misleads_nobody() -> None:
    chain = plan_of(
        step("in", "reference"),
        step("a", params={"x": 1}, inputs=wire("in")),
        step("b", params={"x": 2}, inputs=wire("a")),
    )
    swapped = renamed(chain, {"a": "b", "b": "a"})
    assert match(chain, swapped) == {"in": "in", "a": "b", "b": "a"}
    grown = dataclasses.replace(swapped, steps=(*swapped.steps, step("out", "output", inputs=wire("a"))))
    assert match(chain, grown) == {"in": "in", "a": "a", "b": "b"}, "where the surroundings differ, the id counts"


def test_what_does_the_same_at_the_same_place_is_the_same_though_its_surroundings_changed() -> None:
    def chain(first: str, second: str, x: int) -> Plan:
        return plan_of(
            step("in", "reference", params={"x": x}),
            step(first, params={"x": 1}, inputs=wire("in")),
            step(second, params={"x": 2}, inputs=wire(first)),
        )

    assert match(chain("a", "b", 0), chain("b", "a", 5)) == {"in": "in", "a": "b", "b": "a"}


def test_parameters_that_changed_places_stay_with_their_ids() -> None:
    def chain(first: int, second: int) -> Plan:
        return plan_of(step("a", params={"x": first}), step("b", params={"x": second}, inputs=wire("a")))

    assert match(chain(1, 2), chain(2, 1)) == {"a": "a", "b": "b"}


def test_a_node_of_the_same_type_far_away_is_another_one() -> None:
    before = plan_of(step("in", "reference"), step("a", params={"x": 1}, inputs=wire("in")))
    after = plan_of(step("in", "reference"), step("b", params={"x": 2}))
    assert match(before, after) == {"in": "in"}


def test_the_same_id_with_another_type_is_the_same_node_as_a_last_resort() -> None:
    before = plan_of(step("a", "grain"), step("b", "output", inputs=wire("a")))
    after = plan_of(step("a", "grade"), step("b", "output", inputs=wire("a")))
    assert match(before, after) == {"a": "a", "b": "b"}


def test_many_equal_nodes_are_settled_by_position() -> None:
    before = plan_of(*(step(f"n{number}") for number in range(300)))
    after = renamed(before, {f"n{number}": f"m{number}" for number in range(300)})
    assert match(before, after) == {f"n{number}": f"m{number}" for number in range(300)}
