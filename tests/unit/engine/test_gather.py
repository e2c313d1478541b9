from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.codec import decode, digest, encode
from intaglio.core.context import Context
from intaglio.core.errors import InvalidWorkflow, NodeFailed
from intaglio.core.image import Image
from intaglio.core.nodetype import NodeTypes, node_type
from intaglio.core.plan import Plan, Source
from intaglio.core.record import plain
from intaglio.core.video import MP4, Media, Video
from intaglio.core.workflow import Workflow, parse_workflow
from intaglio.engine.execute import execute

from .fakes import TYPES, Bench, Desk, dot, steps_of


@node_type("reel", version=1)
def reel(ctx: Context, frames: tuple[Image, ...], *, note: Annotated[str, "A word."] = "") -> Video:
    """One byte for each picture, and the word."""
    return Video(bytes(frame.data[0] for frame in frames) + note.encode(), MP4, len(frames), 1.0, 1, 1)


@node_type("still", version=1)
def still(ctx: Context, video: Video) -> Image:
    """The first frame."""
    return dot(video.data[0])


@node_type("hand-on", version=1)
def hand_on(ctx: Context, image: Media) -> Media:
    """Hand on whatever comes."""
    return image


@node_type("beside", version=1)
def beside(ctx: Context, image: Image, frames: tuple[Image, ...] | None) -> Image:
    """A picture, and as many dots as there are frames."""
    return dot(*image.data, *(0 for _ in frames or ()))


REELS = NodeTypes([*TYPES.values(), reel, still, hand_on, beside])


def desk() -> Desk:
    """Resources with the node types of this file."""
    return Desk(types=REELS)


def plan_of(nodes: dict[str, Any]) -> Plan:
    """The plan of these nodes."""
    return desk().resolve(nodes)


def node(kind: str, inputs: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """One node."""
    return {"type": kind, "inputs": inputs or {}, **more}


def start(value: int, count: int = 1) -> dict[str, Any]:
    """A node that makes dots of that value."""
    return {"type": "start", "params": {"value": value}, "count": count}


def ran(plan: Plan) -> dict[str, bytes]:
    """The bytes of what each step made or handed on."""
    bench = Bench(REELS)
    execute(plan, bench.work())
    return {done.step.id: bench.files[next(iter(done.outputs.values()))] for done in bench.kept}


SHOTS = {"a": start(1), "b": start(2), "c": start(3)}


def test_a_batch_is_gathered_in_order_by_one_step() -> None:
    plan = plan_of({"base": start(7, count=12), "clip": node("reel", {"frames": "base"})})
    clip = plan.step("clip")
    assert steps_of(plan)[-1] == "clip" and len(plan.steps) == 13
    assert list(clip.inputs) == [f"frames[{place}]" for place in range(12)]
    assert [source.step for source in clip.inputs.values()] == [f"base[{place}]" for place in range(12)]


@given(st.lists(st.sampled_from(["a", "b", "c", "many"]), min_size=1, max_size=6))
def test_sources_are_gathered_in_the_order_listed_each_as_often_as_it_is_named(listed: list[str]) -> None:
    plan = plan_of({**SHOTS, "many": start(9, count=2), "clip": node("reel", {"frames": listed})})
    meant = {"a": [1], "b": [2], "c": [3], "many": [9, 9]}
    assert ran(plan)["clip"] == bytes(value for name in listed for value in meant[name])


def test_one_name_and_a_list_of_it_gather_the_same() -> None:
    one, listed = (plan_of({**SHOTS, "clip": node("reel", {"frames": given})}) for given in ("b.image", ["b"]))
    assert one.step("clip") == listed.step("clip")


def test_a_workflow_with_a_list_is_a_record_and_one_without_stays_what_it_was() -> None:
    nodes = {**SHOTS, "clip": node("reel", {"frames": ["a", "b"]})}
    written = parse_workflow({"name": "w", "nodes": nodes})
    assert decode(Workflow, encode(written)) == written
    assert plain(written)["nodes"]["clip"]["inputs"] == {"frames": ["a", "b"]}
    single = parse_workflow({"name": "w", "nodes": {"a": start(1), "b": node("look", {"image": "a"})}})
    assert plain(single)["nodes"]["b"]["inputs"] == {"image": "a"}
    assert digest(single) == digest(decode(Workflow, encode(single)))


def test_a_gathering_node_beside_a_batch_works_on_each_with_all_that_is_gathered() -> None:
    inputs = {"image": "each", "frames": ["a", "b"]}
    plan = plan_of({**SHOTS, "each": start(5, count=2), "both": node("beside", inputs)})
    assert [name for name in steps_of(plan) if name.startswith("both")] == ["both[0]", "both[1]"]
    assert set(plan.step("both[1]").inputs) == {"image", "frames[0]", "frames[1]"}
    assert ran(plan)["both[0]"].endswith(bytes([5, 0, 0]))


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a video for a picture": (
        {"clip": node("reel", {"frames": "a"}), "out": node("grain", {"image": "clip"})},
        r"node 'out', inputs\.image: takes a picture, and clip gives a video",
        "before they become a video",
    ),
    "a picture for a video": (
        {"out": node("still", {"video": "a"})},
        r"node 'out', inputs\.video: takes a video, and a gives a picture",
        "frames-to-video",
    ),
    "a video among pictures": (
        {"clip": node("reel", {"frames": "a"}), "out": node("reel", {"frames": ["a", "clip"]})},
        r"node 'out', inputs\.frames\[1\]: takes pictures, and clip gives a video",
        "before they become a video",
    ),
    "a video that was handed on": (
        {
            "clip": node("reel", {"frames": "a"}),
            "on": node("hand-on", {"image": "clip"}),
            "out": node("look", {"image": "on"}),
        },
        r"takes a picture, and on gives a video",
        "",
    ),
    "a list for one picture": (
        {"out": node("look", {"image": ["a", "b"]})},
        r"node 'out', inputs\.image: takes one source, not a list",
        "frames-to-video",
    ),
    "an unknown node in a list": (
        {"out": node("reel", {"frames": ["a", "bb"]})},
        r"node 'out', inputs\.frames: comes from 'bb', and there is no such node",
        "",
    ),
    "a circle": (
        {"x": node("look", {"image": "y"}), "y": node("beside", {"image": "a", "frames": ["b", "x"]})},
        "goes in a circle",
        "",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_edge_is_refused_in_plain_words(case: str) -> None:
    nodes, message, hint = WRONG[case]
    with pytest.raises(InvalidWorkflow, match=message) as caught:
        plan_of({**SHOTS, **nodes})
    assert hint in caught.value.hint


def test_what_may_be_either_hands_on_what_it_gets() -> None:
    plan = plan_of(
        {
            **SHOTS,
            "clip": node("reel", {"frames": ["c", "a"]}),
            "on": node("hand-on", {"image": "clip"}),
            "first": node("still", {"video": "on"}),
            "on2": node("hand-on", {"image": "first"}),
            "last": node("look", {"image": "on2"}),
        }
    )
    bench = Bench(REELS)
    execute(plan, bench.work())
    outputs = {done.step.id: next(iter(done.outputs.values())) for done in bench.kept}
    assert outputs["on"] == outputs["clip"] and outputs["last"] == outputs["on2"] == outputs["first"]
    assert bench.files[outputs["clip"]] == bytes([3, 1])


def test_so_many_pictures_that_nobody_means_it_are_refused() -> None:
    gathering = {f"clip{number}": node("reel", {"frames": "base"}) for number in range(10)}
    with pytest.raises(InvalidWorkflow, match="more than 100000 pictures"):
        plan_of({"base": start(1, count=10_000), **gathering})


def sources(**steps: str) -> dict[str, Source]:
    """Inputs by name; "frames_2" stands for "frames[2]"."""
    names = {name: name.replace("_", "[") + "]" if "_" in name else name for name in steps}
    return {names[name]: Source(step=step, output="video" if step == "d" else "image") for name, step in steps.items()}


HOSTILE: dict[str, tuple[dict[str, Source], str]] = {
    "a gap in the numbers": (sources(frames_0="a", frames_2="b"), r"no place for what the record gives it as frames"),
    "a number written oddly": (sources(frames_00="a"), "no place"),
    "no number": (sources(frames="a"), "no place"),
    "another input": (sources(frames_0="a", mask="b"), "as mask"),
    "a video among pictures": (sources(frames_0="a", frames_1="d"), "takes images as its frames"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_plan_from_elsewhere_that_gathers_oddly_fails_its_step(case: str) -> None:
    inputs, message = HOSTILE[case]
    plan = plan_of({**SHOTS, "d": node("reel", {"frames": "c"}), "z": node("reel", {"frames": ["a", "b"]})})
    bad = replace(plan, steps=tuple(replace(s, inputs=inputs) if s.id == "z" else s for s in plan.steps))
    with pytest.raises(NodeFailed, match=message) as caught:
        ran(bad)
    assert caught.value.node == "z"


def test_a_node_that_gives_a_picture_for_a_video_fails() -> None:
    @node_type("liar", version=1)
    def liar(ctx: Context) -> Video:
        """Say video, give a picture."""
        return dot(1)  # type: ignore[return-value]

    with pytest.raises(NodeFailed, match=r"liar did not return what it declares \(video\)"):
        execute(Desk(types=NodeTypes([liar])).resolve({"a": {"type": "liar"}}), Bench(NodeTypes([liar])).work())
