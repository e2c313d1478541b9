from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.plan import AssetRef, Plan, Source, Step
from intaglio.core.seeds import ExecutedSeed
from intaglio.core.version_difference import Difference, PlanDifference, changed_words, plan_difference

from .samples import REF, name_of, plan_of, step
from .test_changes import BASE, CHAIN, MODELS, asset, plans, seed, wire
from .test_matching import names, renamed, reordered


def entries(found: PlanDifference) -> list[Any]:
    """Every single thing that differs."""
    single = [difference for node in found.nodes for difference in node.differences]
    return [*single, *found.settings, *found.added, *found.taken_away]


def mirrored(found: PlanDifference) -> PlanDifference:
    """What is found when the two are held the other way round, but for words and types."""

    def one(difference: Difference) -> Difference:
        return dataclasses.replace(difference, before=difference.after, after=difference.before)

    return PlanDifference(
        pairs={theirs: mine for mine, theirs in found.pairs.items()},
        taken_away=found.added,
        added=found.taken_away,
        nodes=tuple(
            dataclasses.replace(
                node, before=node.after, after=node.before, differences=tuple(map(one, node.differences))
            )
            for node in found.nodes
        ),
        settings=tuple(map(one, found.settings)),
        renamed=(),
    )


def sorted_out(found: PlanDifference) -> PlanDifference:
    """Without what depends on the order of one of the plans, or is told of one of the two."""
    nodes = (dataclasses.replace(node, type="") for node in found.nodes)
    return dataclasses.replace(found, nodes=tuple(sorted(nodes, key=lambda node: node.before)), renamed=())


@given(plans())
def test_a_plan_does_not_differ_from_itself(plan: Plan) -> None:
    found = plan_difference(plan, plan)
    assert (entries(found), found.renamed, found.same) == ([], (), True)


@given(plans(), names(), st.randoms(use_true_random=False))
def test_other_names_and_another_order_are_no_difference(
    plan: Plan, called: dict[str, str], chance: random.Random
) -> None:
    found = plan_difference(plan, reordered(renamed(plan, called), chance))
    assert entries(found) == []
    assert {one.what for one in found.renamed} <= {"node"}


@given(plans(), plans())
def test_the_other_way_round_it_says_the_same(one: Plan, other: Plan) -> None:
    there, back = plan_difference(one, other), plan_difference(other, one)
    assert sorted_out(mirrored(there)) == sorted_out(back)


def changed(plan: Plan, node: str, **more: Any) -> Plan:
    return dataclasses.replace(
        plan, steps=tuple(dataclasses.replace(one, **more) if one.node == node else one for one in plan.steps)
    )


def moved_seeds(plan: Plan, node: str) -> Plan:
    """Every seed of a node another one, as in a batch."""

    def other(one: Step) -> Step:
        return dataclasses.replace(one, seed=seed(str(1000 + one.index), "drawn")) if one.node == node else one

    return dataclasses.replace(plan, steps=tuple(map(other, plan.steps)))


def without_its_end(plan: Plan) -> Plan:
    """The plan without its last node, which feeds no other."""
    last = plan.steps[-1].node
    return dataclasses.replace(plan, steps=tuple(one for one in plan.steps if one.node != last))


def with_one_between(plan: Plan, node: str) -> Plan:
    """The plan with a node of its own type put before the first input of another."""
    steps: list[Step] = []
    for one in plan.steps:
        if one.node != node:
            steps.append(one)
            continue
        name, source = sorted(one.inputs.items())[0]
        between = step(one.id.replace(node, "new"), "fresh", node="new", index=one.index, inputs={"image": source})
        inputs = {**one.inputs, name: Source(step=between.id, output="image")}
        steps += [between, dataclasses.replace(one, inputs=inputs)]
    return dataclasses.replace(plan, steps=tuple(steps))


@st.composite
def single_changes(draw: st.DrawFn) -> tuple[Plan, Plan]:
    """A plan, and the same one with a single thing changed; the other may be called and ordered otherwise."""
    plan = draw(plans())
    node = draw(st.sampled_from(sorted({one.node for one in plan.steps})))
    first = next(one for one in plan.steps if one.node == node)
    ways: dict[str, Callable[[], Plan]] = {
        "parameter": lambda: changed(plan, node, params={**first.params, "x": 7}),
        "parameter taken away": lambda: changed(plan, node, params={"z": 1, **first.params}),
        "model": lambda: changed(
            plan, node, models={**first.models, "model": dataclasses.replace(REF, digest=name_of("7"))}
        ),
        "reference": lambda: changed(plan, node, assets={**first.assets, "image": asset("8")}),
        "type": lambda: changed(plan, node, type_version=9),
        "threads": lambda: dataclasses.replace(plan, threads=9),
        "deterministic": lambda: dataclasses.replace(plan, deterministic=not plan.deterministic),
        "added": lambda: dataclasses.replace(plan, steps=(*plan.steps, step("new", "fresh", inputs=wire(first.id)))),
    }
    if first.seed:
        ways["seed"] = lambda: moved_seeds(plan, node)
    if first.inputs:
        ways["between"] = lambda: with_one_between(plan, node)
    if len({one.node for one in plan.steps}) > 1:
        ways["taken away"] = lambda: without_its_end(plan)
    other = ways[draw(st.sampled_from(sorted(ways)))]()
    return draw(st.sampled_from([(plan, other), (other, plan)]))


@given(single_changes())
def test_a_single_change_is_told_exactly_once(pair: tuple[Plan, Plan]) -> None:
    found = plan_difference(*pair)
    assert len(entries(found)) == 1, entries(found)


DISTINCT = [
    step("in", "reference", assets={"image": asset("1")}),
    step("base", "paint", params={"x": 1}, seed=seed("1"), inputs={"image": Source(step="in", output="image")}),
    step("grain", "grain", params={"x": 2}, seed=seed("2"), inputs=wire("base")),
    step("twice", "grain", params={"x": 3}, seed=seed("3"), inputs=wire("grain")),
    step("out", "output", inputs=wire("twice")),
]


@given(st.sampled_from([one.node for one in DISTINCT]), st.permutations(["k", "l", "m", "n", "o"]))
def test_a_single_change_is_told_once_though_every_node_is_renamed(node: str, called: list[str]) -> None:
    plan = plan_of(*DISTINCT)
    other = changed(plan, node, params={"x": 9})
    found = plan_difference(plan, renamed(other, dict(zip((one.node for one in DISTINCT), called, strict=True))))
    [entry] = entries(found)
    assert (entry.kind, entry.name, entry.after) == ("parameter", "x", 9)
    assert len(found.renamed) == len(DISTINCT)


def told(before: Plan, after: Plan) -> list[tuple[str, str, Any, Any]]:
    found = plan_difference(before, after)
    return [(one.kind, one.name, one.before, one.after) for node in found.nodes for one in node.differences]


def base(**more: Any) -> Plan:
    return plan_of(dataclasses.replace(BASE, **more), *CHAIN[1:])


def test_a_model_by_another_name_is_renamed_and_by_content_changed() -> None:
    found = plan_difference(base(), base(models={**BASE.models, "model": dataclasses.replace(MODELS[0], name="new")}))
    assert entries(found) == []
    assert [(one.what, one.where, one.before, one.after) for one in found.renamed] == [
        ("model", "base.model", "scenes:1", "new:1")
    ]
    [(kind, name, before, after)] = told(base(), base(models={**BASE.models, "model": MODELS[1]}))
    assert (kind, name, before["digest"], after["digest"]) == ("model", "model", name_of("1"), name_of("2"))


def test_of_several_models_a_weight_is_a_parameter_and_another_model_is_told_with_its_weight() -> None:
    lighter = base(params={**BASE.params, "loras": [0.5]})
    assert told(base(), lighter) == [("parameter", "loras", [0.8], [0.5])]
    [(kind, name, before, after)] = told(base(), base(models={"model": MODELS[0]}, params={**BASE.params, "loras": []}))
    assert (kind, name, after) == ("model", "loras", None)
    assert before == [{"name": REF.name, "version": REF.version, "digest": REF.digest, "with": 0.8}]


def test_a_seed_is_told_with_where_it_came_from_and_that_alone_is_no_difference() -> None:
    assert told(base(), base(seed=seed("2", "pinned"))) == [
        ("seed", "seed", {"value": "1", "origin": "drawn"}, {"value": "2", "origin": "pinned"})
    ]
    assert told(base(), base(seed=ExecutedSeed(value="1", origin="pinned"))) == []


def test_a_reference_by_another_name_is_renamed() -> None:
    def plan(one: AssetRef) -> Plan:
        return plan_of(step("in", "reference", assets={"image": one}))

    found = plan_difference(plan(asset("1")), plan(dataclasses.replace(asset("1"), name="other.png")))
    assert (entries(found), found.renamed[0].what, found.renamed[0].after) == ([], "reference", "other.png")


def test_a_batch_is_one_difference_however_many_nodes_it_runs_through() -> None:
    def batch(count: int) -> Plan:
        def of(node: str, kind: str, source: str = "") -> list[Step]:
            places = [f"[{index}]" for index in range(count)] if count > 1 else [""]
            return [
                step(node + place, kind, node=node, index=index, inputs=wire(source + place) if source else {})
                for index, place in enumerate(places)
            ]

        return plan_of(*of("base", "noise"), *of("grain", "grain", "base"), *of("out", "output", "grain"))

    for pair in ((1, 3), (4, 2)):
        assert told(batch(pair[0]), batch(pair[1])) == [("count", "count", *pair)]


def test_an_input_that_comes_from_elsewhere_is_told_and_one_put_between_is_told_as_the_node() -> None:
    before = plan_of(*CHAIN)
    other_wire = plan_of(*CHAIN[:2], step("out", "output", inputs=wire("base")))
    assert told(before, other_wire) == [("input", "image", "grain.image", "base.image")]
    between = plan_of(*CHAIN[:2], step("big", "upscale", params={"factor": 2}, inputs=wire("grain")), CHAIN[2])
    between = changed(between, "out", inputs=wire("big"))
    found = plan_difference(before, between)
    [added] = entries(found)
    assert (added.node, added.type, added.settings) == ("big", "upscale@1", {"factor": 2})
    assert (added.takes, added.feeds) == (("grain.image",), ("out.image",))


def gathered(*sources: str, count: int = 1) -> Plan:
    """Nodes whose pictures one node gathers, the first of them a batch."""
    steps: list[Step] = []
    for place, node in enumerate(sources):
        number = count if place == 0 else 1
        ids = [f"{node}[{index}]" for index in range(number)] if number > 1 else [node]
        steps += [step(id, "noise", node=node, index=i, seed=seed(str(9 * place + i))) for i, id in enumerate(ids)]
    frames = {f"frames[{place}]": Source(step=one.id, output="image") for place, one in enumerate(steps)}
    return plan_of(*steps, step("clip", "clip", inputs=frames))


def test_what_an_input_gathers_is_told_as_a_count_as_a_node_or_as_an_order() -> None:
    assert told(gathered("a", "b", count=2), gathered("a", "b", count=12)) == [("count", "count", 2, 12)]
    [added] = entries(plan_difference(gathered("a", "b"), gathered("a", "b", "c")))
    assert (added.node, added.feeds) == ("c", ("clip.frames",))
    plan = gathered("a", "b")
    twice = {**plan.step("clip").inputs, "frames[2]": Source(step="b", output="image")}
    assert len(told(plan, changed(plan, "clip", inputs=twice))) == 1, "the same picture once more is no count"
    turned = {"frames[0]": Source(step="b", output="image"), "frames[1]": Source(step="a", output="image")}
    assert told(plan, changed(plan, "clip", inputs=turned)) == [
        ("input", "frames", "a.image, b.image", "b.image, a.image")
    ]


PROMPT = "a small red house on the left, green hills, a blue sky with one white cloud, day"


def test_of_a_long_text_the_words_that_changed_are_shown() -> None:
    other = PROMPT.replace("red house", "barn").replace("white", "grey")
    assert changed_words(PROMPT, other) == (
        "a small [-red house-]{+barn+} on the left, ... sky with one [-white-]{+grey+} cloud, day"
    )
    assert changed_words("a", "a  ") == "only spaces and line ends"
    assert changed_words("one two", "one two three") == "one two {+three+}"


@given(*[st.lists(st.sampled_from("abcd"), max_size=12).map(" ".join)] * 2)
def test_both_texts_can_be_read_from_their_difference(before: str, after: str) -> None:
    said = changed_words(before, after)
    if before != after and "..." not in said:
        for text, left_out, kept in ((before, r"\{\+.*?\+\}", r"\[-(.*?)-\]"), (after, r"\[-.*?-\]", r"\{\+(.*?)\+\}")):
            assert re.sub(kept, r" \1 ", re.sub(left_out, " ", said)).split() == text.split()


@given(*[st.lists(st.sampled_from("abcd"), max_size=12).map(" ".join)] * 2)
def test_the_words_that_changed_are_the_same_the_other_way_round(before: str, after: str) -> None:
    there, back = changed_words(before, after), changed_words(after, before)
    assert re.findall(r"\[-(.*?)-\]", there) == re.findall(r"\{\+(.*?)\+\}", back)
    assert re.findall(r"\{\+(.*?)\+\}", there) == re.findall(r"\[-(.*?)-\]", back)


def test_a_very_long_text_is_not_compared_word_by_word() -> None:
    old = " ".join(f"w{number}" for number in range(5_000))
    new = old.replace("w2500 ", "x y ")
    assert changed_words(old, new) == "... w2497 w2498 w2499 [-1 words-]{+2 words+} w2501 w2502 w2503 ..."
