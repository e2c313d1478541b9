from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.codec import decode, encode
from intaglio.core.errors import InvalidWorkflow
from intaglio.core.record import plain
from intaglio.core.workflow import MAX_DEPTH, MAX_NODES, Workflow, parse_workflow

from .samples import WORKFLOW


def document(**more: Any) -> dict[str, Any]:
    """A small workflow, with what is given changed."""
    return {"name": "w", "nodes": {"a": {"type": "x"}}, **more}


def with_node(**more: Any) -> dict[str, Any]:
    """A workflow of one node "a", with what is given in it."""
    return document(nodes={"a": {"type": "x", **more}})


def deep(levels: int) -> Any:
    """A list in a list in a list."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_left_out_is_at_its_default() -> None:
    assert parse_workflow(document()) == decode(
        Workflow, b'{"kind":"workflow","format":1,"name":"w","nodes":{"a":{"type":"x"}}}'
    )


def test_a_record_is_read_like_a_file() -> None:
    assert parse_workflow(plain(WORKFLOW)) == WORKFLOW
    assert parse_workflow({"$schema": "x.json", **plain(WORKFLOW)}) == WORKFLOW


@pytest.mark.parametrize(("seed", "written"), [(7, "7"), ("7", "7"), ("", ""), (None, ""), (0, "0"), ("007", "7")])
def test_a_seed_is_kept_as_decimal_text(seed: object, written: str) -> None:
    assert parse_workflow(with_node(seed=seed)).nodes["a"].seed == written
    assert parse_workflow(document(pins={"a": {"seed": seed}})).pins["a"].seed == written


REFUSED: dict[str, tuple[Any, str, str]] = {
    "a list": ([], "", "document"),
    "nothing": (None, "", "document"),
    "unknown field": (document(colour="red"), "", "colour"),
    "newer format": (document(format=2), "", "format"),
    "other kind": (document(kind="plan"), "", "format"),
    "no name": ({"nodes": {"a": {"type": "x"}}}, "", "name"),
    "name with a slash": (document(name="a/b"), "", "name"),
    "name with a line": (document(name="a\n"), "", "name"),
    "empty name": (document(name=""), "", "name"),
    "long name": (document(name="a" * 101), "", "name"),
    "number as name": (document(name=7), "", "name"),
    "other mode": (document(mode="wild"), "", "mode"),
    "no nodes": (document(nodes={}), "", "nodes"),
    "list of nodes": (document(nodes=[]), "", "nodes"),
    "number as description": (document(description=1), "", "description"),
    "half a character": (document(description="a\ud800"), "", "description"),
    "node that is text": (document(nodes={"a": "x"}), "a", ""),
    "node without type": (document(nodes={"a": {}}), "a", "type"),
    "unknown node field": (with_node(steps=3), "a", "steps"),
    "key that is no text": (with_node(params={1: 2}), "a", "params"),
    "list of inputs": (with_node(inputs=["b"]), "a", "inputs"),
    "no source of several": (with_node(inputs={"image": []}), "a", "inputs.image"),
    "a number among sources": (with_node(inputs={"image": ["b", 3]}), "a", "inputs.image[1]"),
    "NaN": (with_node(params={"x": float("nan")}), "a", "params.x"),
    "integer beyond 2^53": (with_node(params={"x": 2**53}), "a", "params.x"),
    "float beyond 2^53": (with_node(params={"x": {"y": [1e17]}}), "a", "params.x.y[0]"),
    "half a character inside": (with_node(params={"x": [{"y": "\udfff"}]}), "a", "params.x[0].y"),
    "too deep": (with_node(params={"x": deep(MAX_DEPTH + 1)}), "a", "params.x" + "[0]" * (MAX_DEPTH + 1)),
    "no JSON": (with_node(params={"x": b"bytes"}), "a", "params.x"),
    "negative seed": (with_node(seed=-1), "a", "seed"),
    "seed 2^64": (with_node(seed=2**64), "a", "seed"),
    "fractional seed": (with_node(seed=1.5), "a", "seed"),
    "boolean seed": (with_node(seed=True), "a", "seed"),
    "word as seed": (with_node(seed="abc"), "a", "seed"),
    "count 0": (with_node(count=0), "a", "count"),
    "count too large": (with_node(count=MAX_NODES + 1), "a", "count"),
    "boolean count": (with_node(count=True), "a", "count"),
    "text as count": (with_node(count="2"), "a", "count"),
    "number as title": (with_node(title=1), "a", "title"),
    "pin of no node": (document(pins={"b": {}}), "b", "pins"),
    "unknown field in a pin": (document(pins={"a": {"colour": 1}}), "a", "colour"),
    "number as a pinned model": (document(pins={"a": {"models": {"model": 1}}}), "a", "pins.models.model"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_node_and_field(case: str) -> None:
    value, node, field = REFUSED[case]
    with pytest.raises(InvalidWorkflow) as caught:
        parse_workflow(value)
    assert (caught.value.node, caught.value.field) == (node, field)
    assert str(caught.value).startswith(f"node '{node}'" if node else "workflow")


@pytest.mark.parametrize("node_id", ["", "1a", "a b", "a.b", "a[0]", "ä", "a" * 65, "a\n", "-a", 7])
def test_a_node_id_that_could_be_misread_is_refused(node_id: object) -> None:
    with pytest.raises(InvalidWorkflow, match=r"is not a node id|is not text"):
        parse_workflow(document(nodes={node_id: {"type": "x"}}))


def test_too_many_nodes_are_refused() -> None:
    with pytest.raises(InvalidWorkflow, match="10001 nodes"):
        parse_workflow(document(nodes={f"n{i}": {"type": "x"} for i in range(MAX_NODES + 1)}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["type", "inputs", "params", "seed", "count", "title", "models"])


@given(JSON | st.fixed_dictionaries({"name": JSON, "nodes": st.dictionaries(st.just("a"), JSON)}))
def test_any_document_is_read_or_refused(value: Any) -> None:
    _read_or_refused(value)


@given(st.dictionaries(FIELDS, JSON), st.dictionaries(FIELDS, JSON))
def test_any_node_is_read_or_refused(node: dict[str, Any], pin: dict[str, Any]) -> None:
    _read_or_refused(document(nodes={"a": {"type": "x", **node}}, pins={"a": pin} if pin else {}))


def _read_or_refused(value: Any) -> None:
    try:
        workflow = parse_workflow(value)
    except InvalidWorkflow:
        return
    assert decode(Workflow, encode(workflow)) == workflow
