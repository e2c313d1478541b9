from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.merge import ancestor_of, edits, merge
from intaglio.core.record import plain
from intaglio.core.workflow import Node, Pin, Workflow, parse_workflow


def workflow(**nodes: Any) -> Workflow:
    return Workflow(name="poster", nodes={name: Node(**node) for name, node in nodes.items()})


PHOTO: dict[str, Any] = {"type": "reference-image", "params": {"image": "a.png"}}
GRADE: dict[str, Any] = {"type": "colour-grade", "inputs": {"image": "photo"}, "params": {"gamma": 1.0}}
BASE = workflow(photo=PHOTO, grade=GRADE)


def with_param(document: Workflow, node: str, **params: Any) -> Workflow:
    held = document.nodes[node]
    return replace(document, nodes={**document.nodes, node: replace(held, params={**held.params, **params})})


# Small graphs: every wire leads from an earlier letter to a later one, so that any mixture has an order.
LETTERS = "abcd"
VALUES = st.integers(0, 2)


@st.composite
def graphs(draw: st.DrawFn) -> Workflow:
    names = draw(st.sets(st.sampled_from(LETTERS), min_size=1))
    nodes = {}
    for name in sorted(names):
        inputs = {"image": draw(st.sampled_from("a"))} if name != "a" and draw(st.booleans()) and "a" in names else {}
        params = draw(st.dictionaries(st.sampled_from(["x", "y"]), VALUES, max_size=2))
        seed = draw(st.sampled_from(["", "7"]))
        nodes[name] = Node(
            type=draw(st.sampled_from(["one", "two"])),
            params=params,
            inputs=inputs,
            seed=seed,
            count=draw(st.integers(1, 2)),
        )
    return Workflow(name="poster", nodes=nodes)


@given(graphs())
def test_nothing_leads_from_a_workflow_to_itself(one: Workflow) -> None:
    assert edits(one, one) == ()
    assert merge(one, one, one).workflow == one


@given(graphs(), graphs())
def test_the_edits_between_two_workflows_lead_from_one_to_the_other(one: Workflow, other: Workflow) -> None:
    merged = merge(one, one, other)
    assert not merged.clashes
    assert merged.workflow.nodes == other.nodes


@given(graphs(), graphs())
def test_what_was_taken_is_not_there_to_be_taken_again(one: Workflow, other: Workflow) -> None:
    taken = merge(one, one, other).workflow
    again = merge(one, taken, other)
    assert not again.taken and not again.clashes
    assert again.workflow == taken


@given(graphs(), graphs(), graphs())
def test_a_conflict_changes_nothing_and_choosing_a_side_settles_it(
    one: Workflow, ours: Workflow, theirs: Workflow
) -> None:
    merged = merge(one, ours, theirs)
    if merged.clashes:
        assert merged.workflow == ours
    clashing = {clash.edit.node for clash in merged.clashes}
    mine = merge(one, ours, theirs, choices=dict.fromkeys(clashing, "ours"))
    assert not [clash for clash in mine.clashes if "both" in str(clash)]
    if not mine.clashes and mine.workflow.nodes:
        parse_workflow(plain(mine.workflow))
        for node in clashing & ours.nodes.keys() & mine.workflow.nodes.keys():
            kept = [edit for edit in mine.kept if edit.node == node]
            assert kept


@given(graphs(), graphs(), graphs())
def test_neither_side_loses_a_change_that_nothing_stands_against(
    one: Workflow, ours: Workflow, theirs: Workflow
) -> None:
    merged = merge(one, ours, theirs)
    if merged.clashes:
        return
    made = set(map(str, edits(one, merged.workflow)))
    for edit in edits(one, ours):
        assert str(edit) in made or (edit.setting and edit.node not in merged.workflow.nodes)


def test_changes_of_both_sides_meet_in_one_node() -> None:
    ours = with_param(BASE, "grade", gamma=1.5)
    theirs = with_param(BASE, "grade", contrast=1.2)
    merged = merge(BASE, ours, theirs)
    assert plain(merged.workflow.nodes["grade"].params) == {"gamma": 1.5, "contrast": 1.2}
    assert [str(edit) for edit in merged.taken] == ["grade.contrast not set -> 1.2"]


def test_one_setting_changed_on_both_sides_is_a_conflict_until_a_side_is_chosen() -> None:
    ours, theirs = with_param(BASE, "grade", gamma=1.5), with_param(BASE, "grade", gamma=2.0)
    merged = merge(BASE, ours, theirs)
    assert [str(clash) for clash in merged.clashes] == ["grade.gamma 1.0 -> 2.0; here it is 1.5"]
    assert merged.workflow == ours
    assert merge(BASE, ours, theirs, choices={"grade": "theirs"}).workflow.nodes["grade"].params["gamma"] == 2.0
    assert merge(BASE, ours, theirs, choices={"grade": "ours"}).workflow == ours


def test_a_node_taken_away_there_and_changed_here_is_a_conflict() -> None:
    theirs = workflow(photo=PHOTO)
    merged = merge(BASE, with_param(BASE, "grade", gamma=1.5), theirs)
    assert [str(clash) for clash in merged.clashes] == ["grade taken away; here grade.gamma 1.0 -> 1.5"]


def test_a_node_changed_there_and_taken_away_here_is_a_conflict() -> None:
    merged = merge(BASE, workflow(photo=PHOTO), with_param(BASE, "grade", gamma=2.0))
    assert "the node was taken away" in str(merged.clashes[0])


def test_a_wire_is_never_left_hanging() -> None:
    ours = workflow(photo=PHOTO, grade=GRADE, own={"type": "resize", "inputs": {"image": "grade"}})
    merged = merge(BASE, ours, workflow(photo=PHOTO))
    assert "own.image comes from 'grade', which would not be there" in str(merged.clashes[0])
    assert merged.workflow == ours


def test_wires_never_run_in_a_circle() -> None:
    def pair(a: dict[str, str], b: dict[str, str]) -> Workflow:
        return workflow(a={"type": "x", "inputs": a}, b={"type": "x", "inputs": b})

    merged = merge(pair({}, {}), pair({"image": "b"}, {}), pair({}, {"image": "a"}))
    assert "circle" in str(merged.clashes[0])


def test_only_the_nodes_asked_for_are_taken() -> None:
    theirs = with_param(with_param(BASE, "grade", gamma=2.0), "photo", image="b.png")
    merged = merge(BASE, BASE, theirs, nodes=["photo"])
    assert merged.workflow.nodes["photo"].params["image"] == "b.png"
    assert merged.workflow.nodes["grade"].params["gamma"] == 1.0


def test_a_pin_does_not_run_in_the_place_of_what_was_taken() -> None:
    pins = {"grade": Pin(seed="5", models={"model": "blake3:1", "loras[0]": "blake3:2"}, assets={"image": "a"})}
    ours = replace(BASE, pins=pins, mode="production")
    merged = merge(BASE, ours, with_param(with_param(BASE, "grade", model="other"), "grade", loras=["ink"]))
    assert merged.workflow.pins["grade"] == Pin(seed="5", assets={"image": "a"})
    assert set(merged.unpinned) == {"grade.model", "grade.loras[0]"}
    assert merged.workflow.mode == "production"


def test_the_common_ancestor_moves_node_by_node() -> None:
    later = with_param(with_param(BASE, "grade", gamma=2.0), "photo", image="b.png")
    found = ancestor_of(BASE, [(later, ["grade"])])
    assert found.nodes["grade"] == later.nodes["grade"]
    assert found.nodes["photo"] == BASE.nodes["photo"]
    assert "grade" not in ancestor_of(BASE, [(workflow(photo=PHOTO), ["grade"])]).nodes


@pytest.mark.parametrize("title", ["Hero", ""])
def test_a_title_is_taken_like_any_setting(title: str) -> None:
    theirs = workflow(photo={**PHOTO, "title": title}, grade=GRADE)
    assert merge(BASE, BASE, theirs).workflow == theirs


def test_a_side_can_always_be_chosen_where_a_wire_would_hang() -> None:
    ours = workflow(photo=PHOTO, grade=GRADE, own={"type": "resize", "inputs": {"image": "grade"}})
    kept = merge(BASE, ours, workflow(photo=PHOTO), choices={"grade": "ours"})
    assert not kept.clashes and kept.workflow == ours


def test_a_node_of_another_type_is_taken_or_left_as_a_whole() -> None:
    theirs = workflow(photo=PHOTO, grade={"type": "resize", "inputs": {"image": "photo"}, "params": {"width": 8}})
    ours = with_param(BASE, "grade", gamma=1.5)
    for one, other in ((ours, theirs), (theirs, ours)):
        assert {clash.edit.node for clash in merge(BASE, one, other).clashes} == {"grade"}
        assert merge(BASE, one, other, choices={"grade": "ours"}).workflow == one
        assert merge(BASE, one, other, choices={"grade": "theirs"}).workflow.nodes == other.nodes
    assert merge(BASE, BASE, theirs).workflow.nodes == theirs.nodes
