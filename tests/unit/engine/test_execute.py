from __future__ import annotations

import dataclasses
import gc
import threading
import time
import weakref
from typing import Any

import pytest

from intaglio.core.canonical import digest_bytes
from intaglio.core.context import Context, Lora
from intaglio.core.errors import Cancelled, ModelUnavailable, NodeFailed
from intaglio.core.image import Image
from intaglio.core.nodetype import NodeType, NodeTypes, node_type
from intaglio.core.plan import content_key
from intaglio.core.video import Media
from intaglio.engine.execute import Reused, execute

from .fakes import DIGEST, Bench, Desk, bring, dot, grain, join, look, paint, split, start

BUILT_IN = [paint, grain, start, join, split, look, bring]


def types_with(*extra: NodeType) -> NodeTypes:
    """The fake types and some more."""
    return NodeTypes([*BUILT_IN, *extra])


def run(nodes: dict[str, Any], bench: Bench | None = None) -> Bench:
    """Resolve and execute these nodes."""
    bench = bench or Bench()
    execute(Desk(types=bench.types).resolve(nodes), bench.work())
    return bench


def after(source: str, kind: str, **more: Any) -> dict[str, Any]:
    """A node fed by another one."""
    return {"type": kind, "inputs": {"image": source}, **more}


def outputs(bench: Bench) -> dict[str, bytes]:
    """The pixels of each step's first output."""
    return {done.step.id: bench.images[next(iter(done.outputs.values()))].data for done in bench.kept}


def test_values_flow_along_the_edges() -> None:
    nodes = {
        "a": {"type": "start", "params": {"value": 3}},
        "b": {"type": "start", "params": {"value": 4}},
        "both": {"type": "join", "inputs": {"a": "a", "c": "b"}},
        "two": after("both", "split"),
        "right": after("two.right", "grain", seed=10),
    }
    assert outputs(run(nodes))["both"] == bytes([3, 4])
    assert outputs(run(nodes))["right"] == bytes([14])


def test_a_step_is_kept_with_its_key_inputs_and_files() -> None:
    bench = Bench()
    plan = Desk().resolve({"a": {"type": "start"}, "g": after("a", "grain", seed=2)})
    results = execute(plan, bench.work())
    done = {item.step.id: item for item in bench.kept}
    a = done["a"].outputs["image"]
    assert done["g"].inputs == {"image": a}
    assert done["g"].key == content_key(plan, plan.step("g"), {"image": a}, DIGEST)
    assert {digest_bytes(data) for data in bench.files.values()} == set(bench.files) == set(bench.images)
    assert [(result.step, result.key) for result in results] == [(k, v.key) for k, v in done.items()]
    assert bench.loads == [], "pixels at hand are not read back"


def test_independent_steps_overlap() -> None:
    meeting = threading.Barrier(3, timeout=20)

    @node_type("meet", version=1)
    def meet(ctx: Context) -> Image:
        meeting.wait()
        return dot(1)

    run({name: {"type": "meet"} for name in "abc"}, Bench(types_with(meet)))


def test_results_come_in_plan_order_whoever_finishes_first() -> None:
    quick_done = threading.Event()

    @node_type("slow", version=1)
    def slow(ctx: Context) -> Image:
        assert quick_done.wait(20)
        return dot(1)

    @node_type("quick", version=1)
    def quick(ctx: Context) -> Image:
        quick_done.set()
        return dot(2)

    bench = Bench(types_with(slow, quick))
    plan = Desk(types=bench.types).resolve({"a": {"type": "slow"}, "b": {"type": "quick"}})
    assert [result.step for result in execute(plan, bench.work())] == ["a", "b"]
    assert [done.step.id for done in bench.kept] == ["b", "a"]


def test_a_failing_node_stops_what_has_not_begun() -> None:
    @node_type("fail", version=1)
    def fail(ctx: Context, image: Image) -> Image:
        raise ZeroDivisionError("no luck")

    bench = Bench(types_with(fail))
    with pytest.raises(NodeFailed, match="node 'b': ZeroDivisionError: no luck") as caught:
        run({"a": {"type": "start"}, "b": after("a", "fail"), "c": after("b", "look")}, bench)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert [done.step.id for done in bench.kept] == ["a"]
    assert bench.began == ["a", "b"]


def test_what_waits_in_the_queue_never_begins_after_a_failure() -> None:
    @node_type("fail", version=1)
    def fail(ctx: Context, *, number: int) -> Image:
        time.sleep(0.01)
        raise ValueError

    bench = Bench(types_with(fail), workers=1)
    with pytest.raises(NodeFailed):
        run({f"n{n:03}": {"type": "fail", "params": {"number": n}} for n in range(50)}, bench)
    assert len(bench.began) < 10


@pytest.mark.parametrize("raised", [KeyError("x"), SystemError(), MemoryError(), StopIteration(), AssertionError("y")])
def test_whatever_a_third_party_node_raises_is_a_failed_node(raised: Exception) -> None:
    @node_type("raise", version=1)
    def work(ctx: Context) -> Image:
        raise raised

    with pytest.raises(NodeFailed, match=f"node 'a': {type(raised).__name__}"):
        run({"a": {"type": "raise"}}, Bench(types_with(work)))


def test_our_own_errors_come_through_as_they_are() -> None:
    @node_type("raise", version=1)
    def work(ctx: Context) -> Image:
        raise ModelUnavailable("gone")

    with pytest.raises(ModelUnavailable, match="gone"):
        run({"a": {"type": "raise"}}, Bench(types_with(work)))


GARBAGE: list[Any] = [None, 7, "picture", [dot(1)], (dot(1), dot(2)), (), {"image": dot(1)}, object()]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda value: type(value).__name__)
def test_a_node_that_returns_garbage_fails(garbage: Any) -> None:
    @node_type("garbage", version=1)
    def work(ctx: Context) -> Image:
        return garbage  # type: ignore[no-any-return]

    bench = Bench(types_with(work))
    with pytest.raises(NodeFailed, match=r"garbage did not return what it declares \(image\)"):
        run({"a": {"type": "garbage"}}, bench)
    assert bench.kept == []


def test_a_type_that_is_gone_fails_the_node() -> None:
    plan = Desk().resolve({"a": {"type": "start"}})
    with pytest.raises(NodeFailed, match="node type start@1 is not installed"):
        execute(plan, Bench(NodeTypes([])).work())


def test_cancelling_between_steps() -> None:
    bench = Bench()

    def check() -> None:
        if bench.kept:
            raise Cancelled("enough")

    bench.check = check
    with pytest.raises(Cancelled):
        run({"a": {"type": "start"}, "b": after("a", "look"), "c": after("b", "look")}, bench)
    assert [done.step.id for done in bench.kept] == ["a"]


def test_cancelling_inside_a_node() -> None:
    @node_type("long", version=1)
    def long(ctx: Context) -> Image:
        for done in range(1000):
            ctx.hooks.progress(done, 1000)
            ctx.hooks.check()
        raise AssertionError

    bench = Bench(types_with(long))
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) > 5:
            raise Cancelled("enough")

    bench.check = check
    with pytest.raises(Cancelled):
        run({"a": {"type": "long"}}, bench)
    assert len(calls) == 6


def test_an_earlier_result_stands_for_a_step() -> None:
    earlier = Bench()
    run({"a": {"type": "start", "params": {"value": 9}}}, earlier)
    bench = Bench()
    bench.images = dict(earlier.images)
    bench.earlier["a"] = Reused(earlier.kept[0].outputs, "old-task")
    run({"a": {"type": "start"}, "g": after("a", "grain", seed=1)}, bench)
    first, second = bench.kept
    assert (first.reused_from, first.made, first.seconds) == ("old-task", {}, 0.0)
    assert (second.reused_from, outputs(bench)["g"]) == ("", bytes([10]))
    assert bench.began == ["g"]
    assert bench.loads == [first.outputs["image"]], "its pixels are read only because the next step needs them"


def test_a_picture_that_is_passed_on_keeps_its_digest_and_makes_no_file() -> None:
    bench = Bench()
    bench.images[DIGEST] = dot(5)
    run({"a": {"type": "bring", "params": {"image": "x.png"}}, "b": after("a", "look")}, bench)
    assert [dict(done.outputs) for done in bench.kept] == [{"image": DIGEST}, {"image": DIGEST}]
    assert bench.files == {}
    assert all(not done.made for done in bench.kept)


def test_pixels_are_let_go_after_their_last_use() -> None:
    alive: list[weakref.ref[Image]] = []
    counts: list[int] = []

    @node_type("copy", version=1)
    def copy(ctx: Context, image: Image) -> Image:
        gc.collect()
        counts.append(sum(ref() is not None for ref in alive))
        made = dot(image.data[0] + 1)
        alive.append(weakref.ref(made))
        return made

    class Forgetful(Bench):
        def _keep(self, finished: Any, files: Any) -> None:
            self.files.update(files)

        def _encode(self, image: Media) -> tuple[str, bytes]:
            return digest_bytes(image.data), image.data

    nodes: dict[str, Any] = {"n0": {"type": "start"}}
    nodes |= {f"n{n}": after(f"n{n - 1}", "copy") for n in range(1, 9)}
    run(nodes, Forgetful(types_with(copy)))
    assert max(counts) <= 1, "only the picture that comes in is still there"
    gc.collect()
    assert not any(ref() is not None for ref in alive)


def test_notes_progress_and_the_declared_types_of_numbers() -> None:
    seen: list[tuple[str, int, int]] = []

    @node_type("note", version=1)
    def work(ctx: Context, *, amount: float = 4.0) -> Image:
        assert type(amount) is float
        ctx.hooks.note("prompt cut")
        ctx.hooks.progress(1, 2)
        return dot(1)

    bench = Bench(types_with(work), progress=lambda step, done, total: seen.append((step.id, done, total)))
    run({"a": {"type": "note", "params": {"amount": 4}}}, bench)
    assert bench.kept[0].notes == ("prompt cut",)
    assert seen == [("a", 1, 2)]


def test_a_step_that_cannot_be_kept_stops_the_run() -> None:
    def full(finished: Any, files: Any) -> None:
        raise OSError(28, "no space left")

    with pytest.raises(OSError, match="no space left"):
        run({"a": {"type": "start"}}, Bench(keep=full))


# -- older versions of a type -----------------------------------------------------------------------------------------


def value(version: int, **more: Any) -> NodeType:
    """A type of one parameter, which version 2 calls `amount` and counts in tens."""

    def first(ctx: Context, *, value: int = 1) -> Image:
        return dot(value)

    def second(ctx: Context, *, amount: float = 0.5) -> Image:
        return dot(round(amount * 10))

    return node_type("value", version=version, **more)(first if version == 1 else second)


def test_an_old_step_is_run_as_it_meant_then_and_keeps_its_key() -> None:
    old = NodeTypes([value(1)])
    plan = Desk(types=old).resolve({"a": {"type": "value", "params": {"value": 30}}})
    new = NodeTypes([value(2, migrations={1: lambda params: {"amount": params["value"] / 10}})])
    then, now = Bench(old), Bench(new)
    assert execute(plan, then.work()) == execute(plan, now.work()), "same key, same outputs"
    assert outputs(now)["a"] == bytes([30])
    assert (then.kept[0].notes, now.kept[0].notes) == ((), ("run by value@2, which does what 1 did",))


def test_a_step_whose_migration_refuses_fails_with_the_reason() -> None:
    def refuse(params: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("there are no values any more")

    plan = Desk(types=NodeTypes([value(1)])).resolve({"a": {"type": "value"}})
    with pytest.raises(NodeFailed, match="node 'a': value@2 cannot mean what was recorded: there are no values"):
        execute(plan, Bench(NodeTypes([value(2, migrations={1: refuse})])).work())
    with pytest.raises(NodeFailed, match="value@1 is not installed"):
        execute(plan, Bench(NodeTypes([value(2)])).work())


def test_a_record_that_holds_too_few_models_fails_in_words() -> None:
    @node_type("many", version=1)
    def many(ctx: Context, *, loras: tuple[Lora, ...] = ()) -> Image:
        raise AssertionError

    types = NodeTypes([many])
    plan = Desk(types=types).resolve({"a": {"type": "many", "params": {"loras": ["m"]}}})
    broken = dataclasses.replace(plan, steps=(dataclasses.replace(plan.steps[0], models={}),))
    with pytest.raises(NodeFailed, match="does not hold one model for each of its loras"):
        execute(broken, Bench(types).work())
