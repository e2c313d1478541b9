from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.lineage import MOST_THINGS, Around, Kind, Lineage, Link, Near, Thing, closure, dot

Edges = set[tuple[str, str]]


def thing(name: str, kind: Kind = "asset") -> Thing:
    return Thing(name, kind, name)


def around(
    edges: Edges, root: str, *, kind: Kind = "asset", depth: int | None = None, most: int = MOST_THINGS
) -> Lineage:
    """The closure in a graph of these edges, from cause to effect."""

    def causes(one: Thing) -> Around:
        return Around(tuple(Near(thing(cause, kind), "r") for cause, effect in sorted(edges) if effect == one.id))

    def effects(one: Thing) -> Around:
        return Around(tuple(Near(thing(effect, kind), "r") for cause, effect in sorted(edges) if cause == one.id))

    return closure(thing(root, kind), causes, effects, depth=depth, most=most)


def reached(edges: Edges, start: str) -> set[str]:
    found = {start}
    while more := {effect for cause, effect in edges if cause in found} - found:
        found |= more
    return found


GRAPHS = st.sets(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")))


@given(GRAPHS)
def test_it_is_all_that_came_before_and_all_that_came_after_and_it_ends(edges: Edges) -> None:
    found = around(edges, "a")
    backwards = {(effect, cause) for cause, effect in edges}
    above, below = reached(backwards, "a"), reached(edges, "a")
    assert set(found.things) == above | below
    assert {(link.cause, link.effect) for link in found.links} == {
        (cause, effect) for cause, effect in edges if effect in above or cause in below
    }
    assert found.cut == ()


@given(GRAPHS, st.integers(1, 5))
def test_of_a_large_graph_the_nearest_are_kept_and_that_is_said(edges: Edges, most: int) -> None:
    whole, found = around(edges, "a"), around(edges, "a", most=most)
    assert len(found.things) == min(most, len(whole.things))
    assert bool(found.cut) == (len(whole.things) > most)


CHAIN = {("a", "b"), ("b", "c"), ("c", "d")}


def test_so_many_steps_away_and_no_further() -> None:
    assert set(around(CHAIN, "b", kind="step", depth=1).things) == {"a", "b", "c"}
    assert around(CHAIN, "b", kind="step", depth=1).cut == ("what is more than 1 step away",)
    assert around(CHAIN, "b", kind="step", depth=2).cut == ()
    assert len(around(CHAIN, "b", kind="model", depth=1).things) == 4, "what belongs to a step is no further away"


def test_what_ends_is_named_and_not_followed() -> None:
    def effects(one: Thing) -> Around:
        return Around((Near(thing(one.id + "x"), "next", ends=True),), "the rest")

    found = closure(thing("a"), lambda one: Around(), effects)
    assert (set(found.things), found.cut) == ({"a", "ax"}, ("the rest",))


def test_causes_and_effects_are_told_from_each_other() -> None:
    found = around(CHAIN, "b")
    assert found.causes("b") == [Link("a", "b", "r")]
    assert found.effects("b") == [Link("b", "c", "r")]


QUOTED = r'"(?:[^"\\\n]|\\["\\n])*"'
STATEMENT = re.compile(
    rf"  (?:rankdir=LR|label={QUOTED}|(?:node|edge) \[[^\]]*\]"
    rf"|{QUOTED} \[shape=\w+, label={QUOTED}(?:, penwidth=2\.5)?\]|{QUOTED} -> {QUOTED} \[label={QUOTED}\]);"
)


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_nothing_that_is_written_on_it_breaks_the_graph(name: str, role: str, cut: str) -> None:
    one, other = Thing("a", "asset", name, {"type": role}), Thing(name, "step", "b", {"task": cut, "seed": "1"})
    lines = dot(Lineage("a", {"a": one, name: other}, (Link("a", name, role),), (cut,))).split("\n")
    assert (lines[0], lines[-2:]) == ("digraph lineage {", ["}", ""])
    for line in lines[1:-2]:
        assert STATEMENT.fullmatch(line), line


def test_a_quote_in_a_name_stays_a_quote() -> None:
    found = dot(Lineage("a", {"a": thing('a "b" \\ c'), "b": thing("b\nc")}, (), ()))
    assert r'label="a \"b\" \\ c"' in found and 'label="bc"' in found
