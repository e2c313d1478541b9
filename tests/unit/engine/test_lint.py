from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.context import Context, Lora, ModelFile
from intaglio.core.errors import InvalidWorkflow, Unfixed, UnpinnedModel, UnpinnedSeed
from intaglio.core.image import Image
from intaglio.core.nodetype import ModelKind, NodeTypes, Settle, node_type
from intaglio.engine.lint import Finding
from intaglio.engine.resolve import check, lint, resolve

from .fakes import DIGEST, REFERENCE, Desk, bring, dot, grain, join, look, start, workflow


@node_type("paint", version=1)
def paint(
    ctx: Context,
    *,
    model: Annotated[ModelFile, ModelKind("checkpoint")],
    loras: Annotated[tuple[Lora, ...], ModelKind("lora")] = (),
    dtype: Literal["float32", "float16"] = "float32",
    device: Annotated[str, Settle("device")] = "auto",
    seed: int,
) -> Image:
    """Make a picture with a model."""
    return dot(1)


@node_type("dice", version=1, deterministic=False)
def dice(ctx: Context) -> Image:
    """Never the same twice."""
    return dot(1)


@node_type("cloud", version=1, networked=True)
def cloud(ctx: Context) -> Image:
    """Ask somebody else."""
    return dot(1)


TYPES = NodeTypes([paint, dice, cloud, start, grain, join, look, bring])
EXACT = {"model": DIGEST, "device": "cpu"}


def found(nodes: Mapping[str, Any], *, deterministic: bool = True, **more: Any) -> list[Finding]:
    """What the lint says of these nodes."""
    resources = dataclasses.replace(Desk(types=TYPES).resources(), deterministic=deterministic)
    findings = lint(workflow(nodes, **more), resources)
    assert all(finding.message and finding.remedy for finding in findings)
    return findings


def codes(findings: list[Finding]) -> list[tuple[str, str, str]]:
    """Level, code and node of each finding."""
    return [(finding.level, finding.code, finding.node) for finding in findings]


def after(source: str, kind: str = "grain", **more: Any) -> dict[str, Any]:
    """A node fed by another one."""
    return {"type": kind, "inputs": {"image": source}, **more}


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"type": "paint", "seed": 7, "params": EXACT}, []),
        ({"type": "paint", "params": EXACT}, [("error", "seed.unpinned", "n")]),
        ({"type": "paint", "seed": 0, "params": EXACT}, [("error", "seed.unpinned", "n")]),
        ({"type": "paint", "seed": 7, "params": {**EXACT, "model": "m"}}, [("error", "model.unpinned", "n")]),
        ({"type": "paint", "seed": 7, "params": {**EXACT, "loras": ["a", DIGEST]}}, [("error", "model.unpinned", "n")]),
        ({"type": "paint", "seed": 7, "params": {"model": DIGEST}}, [("remark", "device.unpinned", "n")]),
        (
            {"type": "paint", "seed": 7, "params": {**EXACT, "dtype": "float16"}},
            [("remark", "precision.lowered", "n")],
        ),
        ({"type": "dice"}, [("error", "nondeterministic", "n")]),
        ({"type": "cloud"}, [("error", "hosted.unpinned", "n")]),
        ({"type": "bring", "params": {"image": "a.png"}}, [("remark", "input.unpinned", "n")]),
        ({"type": "bring", "params": {"image": DIGEST}}, []),
        ({"type": "bring", "params": {"image": f"intaglio:asset/{DIGEST}"}}, []),
        ({"type": "start"}, []),
    ],
)
def test_each_reason_has_its_code(node: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert codes(found({"n": node})) == expected


def test_the_place_of_an_alias_is_named() -> None:
    (finding,) = found({"n": {"type": "paint", "seed": 7, "params": {**EXACT, "loras": [DIGEST, "ink:latest"]}}})
    assert "node 'n', loras[1]: 'ink:latest' means whatever is newest" in finding.message


def test_exact_algorithms_switched_off_matter_where_a_model_runs() -> None:
    fixed = {"n": {"type": "paint", "seed": 7, "params": EXACT}}
    assert codes(found(fixed, deterministic=False)) == [("error", "algorithms.unpinned", "")]
    assert codes(found({"n": {"type": "start"}}, deterministic=False)) == []


def test_randomness_above_is_named_at_any_distance() -> None:
    nodes = {
        "a": {"type": "paint", "params": EXACT},
        "b": after("a", seed=1),
        "c": after("b", seed=2),
        "d": {"type": "dice"},
        "both": {"type": "join", "inputs": {"a": "c", "b": "d"}},
        "aside": {"type": "start"},
    }
    upstream = {f.node: f.message for f in found(nodes) if f.code == "upstream.unpinned"}
    assert upstream == {
        "b": "node 'b' works on what is not the same every time: a",
        "c": "node 'c' works on what is not the same every time: a",
        "both": "node 'both' works on what is not the same every time: a, d",
    }


def test_many_sources_are_not_all_named() -> None:
    nodes = {f"n{i}": {"type": "start"} if i == 0 else after(f"n{i - 1}") for i in range(12)}
    message = found(nodes)[-1].message
    assert message.count(",") == 5
    assert message.endswith(", ...")


def test_a_pin_counts_in_production_and_elsewhere_the_lint_says_so() -> None:
    nodes = {"n": {"type": "paint", "params": {"model": "m", "device": "cpu"}}}
    pins = {"n": {"seed": "5", "models": {"model": DIGEST}}}
    assert found(nodes, pins=pins, mode="production") == []
    loose = found(nodes, pins=pins)
    assert [finding.code for finding in loose] == ["seed.unpinned", "model.unpinned"]
    assert "pin 5 counts in production only" in loose[0].remedy


def test_a_broken_workflow_is_refused_as_ever() -> None:
    with pytest.raises(InvalidWorkflow):
        found({"n": after("nobody")})


@pytest.mark.parametrize(
    ("node", "refusal", "words"),
    [
        ({"type": "dice"}, Unfixed, "dice says of itself that it is not deterministic"),
        ({"type": "cloud"}, Unfixed, "cloud asks a service"),
        ({"type": "paint", "params": EXACT}, UnpinnedSeed, "needs a seed on: n"),
        ({"type": "paint", "seed": 1, "params": {**EXACT, "loras": ["a"]}}, UnpinnedModel, "exact model on: n"),
    ],
)
def test_production_refuses_what_the_lint_calls_an_error(
    node: dict[str, Any], refusal: type[Exception], words: str
) -> None:
    desk = Desk(types=TYPES)
    for act in (check, lambda given, resources: resolve(given, REFERENCE, resources)):
        with pytest.raises(refusal, match=words):
            act(workflow({"n": node}, mode="production"), desk.resources())
    assert desk.asked == []


def test_production_refuses_algorithms_that_differ_and_lets_remarks_pass() -> None:
    nodes = {"n": {"type": "paint", "seed": 7, "params": {"model": DIGEST, "dtype": "float16"}}}
    given, resources = workflow(nodes, mode="production"), Desk(types=TYPES).resources()
    check(given, resources)
    with pytest.raises(Unfixed, match="the setting deterministic is off") as caught:
        check(given, dataclasses.replace(resources, deterministic=False))
    assert "INTAGLIO_DETERMINISTIC" in caught.value.hint


# -- what holds for every graph ---------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Random graphs without circles of nodes that are fixed or not, each in its own way."""
    nodes: dict[str, dict[str, Any]] = {}
    for number in range(draw(st.integers(1, 9))):
        kind = draw(st.sampled_from(["start", "dice", "cloud", "paint", "grain", "look", "join"]))
        sources = draw(st.lists(st.sampled_from(sorted(nodes)), max_size=3)) if nodes else []
        if kind in ("grain", "look", "join") and not sources:
            kind = "start"
        node: dict[str, Any] = {"type": kind}
        if kind == "join":
            node["inputs"] = dict(zip("abc", sources, strict=False))
        elif kind in ("grain", "look"):
            node["inputs"] = {"image": sources[0]}
        if kind in ("grain", "paint"):
            node["seed"] = draw(st.sampled_from([0, 7]))
        if kind == "paint":
            node["params"] = {"model": draw(st.sampled_from(["m", DIGEST]))}
        nodes[f"n{number}"] = node
    return nodes


def loose(nodes: Mapping[str, Any], name: str) -> bool:
    """Whether a node itself is not the same every time."""
    node = nodes[name]
    return node["type"] in ("dice", "cloud") or node.get("seed") == 0


def above(nodes: Mapping[str, Any], name: str) -> set[str]:
    """Every node that a node works on, at any distance."""
    direct = set(nodes[name].get("inputs", {}).values())
    return direct.union(*(above(nodes, source) for source in direct))


@given(graphs())
def test_a_node_has_randomness_above_it_exactly_when_something_above_it_is_random(
    nodes: dict[str, dict[str, Any]],
) -> None:
    said = {finding.node for finding in found(nodes) if finding.code == "upstream.unpinned"}
    assert said == {name for name in nodes if any(loose(nodes, other) for other in above(nodes, name))}


@given(graphs())
def test_production_runs_exactly_what_has_no_error(nodes: dict[str, dict[str, Any]]) -> None:
    errors = [finding for finding in found(nodes, mode="production") if finding.level == "error"]
    resources = Desk(types=TYPES).resources()
    try:
        check(workflow(nodes, mode="production"), resources)
        refused = False
    except (UnpinnedSeed, UnpinnedModel, Unfixed):
        refused = True
    assert refused is bool(errors)


@given(graphs())
def test_without_an_unpinned_seed_other_draws_give_the_same_plan(nodes: dict[str, dict[str, Any]]) -> None:
    plans = [Desk(types=TYPES, seeds=list(range(first, first + 20))).resolve(nodes) for first in (100, 500)]
    drawn = any(finding.code == "seed.unpinned" for finding in found(nodes))
    assert (plans[0] != plans[1]) is drawn
