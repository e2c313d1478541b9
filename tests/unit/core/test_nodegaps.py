from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import pytest

from intaglio.core.context import Context, Lora, ModelFile
from intaglio.core.gaps import node_gaps
from intaglio.core.grade import CODES
from intaglio.core.image import Image
from intaglio.core.nodegaps import step_gaps
from intaglio.core.nodetype import FromModel, Interval, Migration, NodeType, NodeTypes, node_type
from intaglio.core.plan import Source
from intaglio.core.video import Video
from intaglio.core.workflow import Node, Workflow

from .samples import REF, SEED, plan_of, step


def tint(version: int, migrations: dict[int, Migration] | None = None, **more: Any) -> NodeType:
    """A type that draws, with a parameter of every sort."""

    def work(
        ctx: Context,
        image: Image,
        mask: Image | None,
        *,
        model: ModelFile,
        loras: tuple[Lora, ...] = (),
        amount: Annotated[float, Interval(ge=0, le=4)] = 1.0,
        width: Annotated[int, FromModel("width")] = 0,
        seed: int,
    ) -> Image:
        return image

    return node_type("tint", version=version, migrations=migrations, **more)(work)


def recorded(**more: Any) -> Any:
    """A step of tint@2."""
    given: dict[str, Any] = {
        "type_version": 2,
        "params": {"amount": 1.0, "loras": [0.5], "width": 64},
        "inputs": {"image": Source(step="before", output="image")},
        "models": {"model": REF, "loras[0]": REF},
        "seed": SEED,
    }
    return step("n", "tint", **{**given, **more})


def said(found: Any) -> list[tuple[str, str]]:
    """Code and subject of each gap; every one must be a known one, and say something."""
    gaps = list(found)
    assert all(gap.code in CODES and gap.message and gap.remedy for gap in gaps)
    return [(gap.code, gap.subject) for gap in gaps]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"inputs": {"image": Source(step="a", output="image"), "mask": Source(step="b", output="image")}}, []),
        ({"models": {"loras[0]": REF}}, ["n.model"]),
        ({"models": {"model": REF}}, ["n.loras"]),
        ({"models": {"model": REF, "loras[1]": REF}}, ["n.loras"]),
        ({"models": {"model": REF, "loras[0]": REF, "loras[1]": REF}}, ["n.loras"]),
        ({"params": {"amount": 1.0, "loras": ["a"], "width": 64}}, ["n.loras"]),
        ({"params": {"amount": 1.0, "loras": 7, "width": 64}}, ["n.loras"]),
        ({"params": {"amount": 1.0, "width": 64}}, ["n.loras"]),
        ({"inputs": {}}, ["n.image"]),
        ({"inputs": {"picture": Source(step="a", output="image")}}, ["n.image", "n.picture"]),
    ],
)
def test_record_and_type_must_agree(changed: dict[str, Any], expected: list[str]) -> None:
    if changed.get("params") == {"amount": 1.0, "width": 64}:
        changed = {**changed, "models": {"model": REF}}
    types = NodeTypes([tint(2)])
    assert said(step_gaps(recorded(**changed), types)) == [("parameter.unknown", subject) for subject in expected]


def reel() -> NodeType:
    """A type that gathers."""

    def work(ctx: Context, frames: tuple[Image, ...]) -> Video:
        raise AssertionError

    return node_type("reel", version=1)(work)


@pytest.mark.parametrize(
    ("names", "subjects"),
    [
        (["frames[0]", "frames[1]"], []),
        (["frames[0]", "frames[2]"], ["n.frames", "n.frames[0]", "n.frames[2]"]),
        (["frames"], ["n.frames"]),
        ([], ["n.frames"]),
        (["frames[0]", "frames"], ["n.frames", "n.frames[0]"]),
    ],
)
def test_what_is_gathered_is_numbered_from_0_on(names: list[str], subjects: list[str]) -> None:
    found = step("n", "reel", inputs={name: Source(step="a", output="image") for name in names})
    assert said(step_gaps(found, NodeTypes([reel()]))) == [("parameter.unknown", subject) for subject in subjects]


def test_an_output_that_others_take_must_be_there() -> None:
    source = {"image": Source(step="n", output="left")}
    after = dataclasses.replace(recorded(inputs=source), id="after", node="after")
    found = said(node_gaps(plan_of(recorded(), after), NodeTypes([tint(2)])))
    assert found == [("parameter.unknown", "n.left")]


def test_a_step_that_draws_needs_its_seed() -> None:
    assert said(step_gaps(recorded(seed=None), NodeTypes([tint(2)]))) == [("seed.unknown", "n")]


@pytest.mark.parametrize(
    ("told", "codes"),
    [
        ({"deterministic": False}, ["nondeterministic"]),
        ({"networked": True}, ["hosted.unpinned"]),
        ({"deterministic": False, "networked": True}, ["nondeterministic", "hosted.unpinned"]),
    ],
)
def test_what_a_type_cannot_promise_is_a_gap(told: dict[str, Any], codes: list[str]) -> None:
    assert [code for code, _ in said(step_gaps(recorded(), NodeTypes([tint(2, **told)])))] == codes


def test_an_old_step_with_a_migration_has_no_gap() -> None:
    types = NodeTypes([tint(3, {2: dict})])
    assert said(step_gaps(recorded(), types)) == []
    assert said(step_gaps(recorded(seed=None), types)) == [("seed.unknown", "n")], "the rules hold for it too"


def test_a_migration_that_cannot_says_why() -> None:
    def refuse(params: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("tinting works in another colour space now")

    gap = next(step_gaps(recorded(), NodeTypes([tint(3, {2: refuse})])))
    assert gap.code == "node.version_changed"
    assert gap.message == (
        "node 'n' ran as tint@2, which is not installed; here it is tint@3, which cannot mean the same: "
        "tinting works in another colour space now"
    )
    assert "tint@2" in gap.remedy


def test_a_type_that_is_gone() -> None:
    assert said(step_gaps(recorded(), NodeTypes([]))) == [("node.unknown", "n")]


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({}, "which takes the same parameters and may do something else"),
        ({"params": {"loras": [0.5], "width": 64, "size": 2}}, "where parameter size went; parameter amount came"),
        (
            {"params": {"amount": 9.0, "loras": [0.5], "width": 64}},
            "parameter amount takes other values (9.0 is out",
        ),
        ({"models": {"loras[0]": REF, "net": REF}}, "where parameter net went; parameter model came"),
        ({"inputs": {"picture": Source(step="a", output="image")}}, "where input picture went; input image came"),
        ({"seed": None}, "where it draws from a seed"),
        ({"params": {"amount": 1.5, "loras": [0.5], "width": 64}}, "where the default of amount was 1.5 and is 1.0"),
    ],
)
def test_a_changed_version_says_what_changed(changed: dict[str, Any], what: str) -> None:
    types = NodeTypes([tint(5)])
    workflow = Workflow(name="w", nodes={"n": Node(type="tint", params={"loras": ["ink"]})})
    gap = next(node_gaps(plan_of(recorded(**changed)), types, workflow))
    assert gap.code == "node.version_changed"
    assert "which is not installed; here it is tint@5, " in gap.message
    assert what in gap.message


def test_what_a_person_gave_is_no_changed_default() -> None:
    plan = plan_of(recorded(params={"amount": 1.5, "loras": [0.5], "width": 99}))
    given = Workflow(name="w", nodes={"n": Node(type="tint", params={"loras": ["ink"], "amount": 1.5})})
    for workflow in (given, None):
        assert "default" not in next(node_gaps(plan, NodeTypes([tint(5)]), workflow)).message
