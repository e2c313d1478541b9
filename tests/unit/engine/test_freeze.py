from __future__ import annotations

from typing import Any

import pytest

from intaglio.core.asset import Asset
from intaglio.core.codec import decode, digest, encode
from intaglio.core.environment import Cpu, Environment
from intaglio.core.errors import NotFound
from intaglio.core.model import ModelVersion
from intaglio.core.nodetype import NodeTypes, node_type
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import Task
from intaglio.engine.execute import execute
from intaglio.engine.freeze import freeze, outputs_of

from .fakes import DIGEST, MODEL, REFERENCE, TYPES, Bench, Desk, dot, look, start, workflow

TIME = "2026-11-20T12:00:00.000000Z"
SURROUNDINGS = Environment(
    intaglio="0",
    python="3",
    os="",
    machine="",
    cpu=Cpu(model="", instruction_set="", cores=1),
    libraries={},
    threads=2,
    deterministic=True,
)


def find_asset(name: str) -> Asset:
    """An asset of that digest."""
    return Asset(digest=name, size=1, media_type="image/png")


def frozen(nodes: dict[str, Any], find: Any = find_asset) -> Snapshot:
    """The snapshot of a run of these nodes."""
    bench = Bench()
    bench.images[DIGEST] = dot(5)
    plan = Desk().resolve(nodes)
    task = Task(id="t", status="running", workflow=REFERENCE, plan=digest(plan), author="Ada", created=TIME)

    def find_model(name: str) -> ModelVersion:
        assert name == MODEL.digest
        return MODEL

    return freeze(
        task=task,
        created=TIME,
        workflow=workflow(nodes),
        plan=plan,
        results=execute(plan, bench.work()),
        environment=SURROUNDINGS,
        types=TYPES,
        find_asset=find,
        find_model=find_model,
    )


NODES: dict[str, Any] = {
    "in": {"type": "bring", "params": {"image": "a.png"}},
    "base": {"type": "paint", "params": {"model": "m", "prompt": "sea"}, "count": 2},
    "both": {"type": "join", "inputs": {"a": "base", "b": "in"}},
}


def test_a_snapshot_names_everything_and_describes_it() -> None:
    snapshot = frozen(NODES)
    named = {d for result in snapshot.results for d in (*result.inputs.values(), *result.outputs.values())}
    assert set(snapshot.assets) == named | {DIGEST}
    assert set(snapshot.models) == {MODEL.digest}
    assert (snapshot.task, snapshot.author, snapshot.created, snapshot.gaps) == ("t", "Ada", TIME, ())
    assert snapshot.plan == Desk().resolve(NODES)
    assert decode(Snapshot, encode(snapshot)) == snapshot


def test_without_an_output_node_the_last_pictures_are_what_was_asked_for() -> None:
    assert [(output.node, output.step, output.index) for output in frozen(NODES).outputs] == [
        ("both", "both[0]", 0),
        ("both", "both[1]", 1),
    ]


def test_with_an_output_node_only_its_pictures_are() -> None:
    nodes = {
        "a": {"type": "start"},
        "out": {"type": "look", "inputs": {"image": "a"}},
        "more": {"type": "grain", "inputs": {"image": "a"}, "seed": 1},
    }
    snapshot = frozen(nodes)
    assert [output.step for output in snapshot.outputs] == ["out"]
    assert snapshot.outputs[0].address == f"intaglio:asset/{snapshot.outputs[0].asset}"


def test_a_run_that_names_what_nobody_knows_is_no_snapshot() -> None:
    def lost(name: str) -> Asset:
        raise NotFound("asset", name)

    with pytest.raises(NotFound):
        frozen(NODES, lost)


def test_an_old_output_node_is_still_one_where_its_type_moved_on() -> None:
    nodes = {"a": {"type": "start"}, "out": {"type": "look", "inputs": {"image": "a"}}, "b": {"type": "start"}}
    plan = Desk().resolve(nodes)
    results = {result.step: result for result in execute(plan, Bench().work())}
    newer = node_type("look", version=2, role="output", migrations={1: dict})(look.function)
    assert [output.node for output in outputs_of(plan, results, NodeTypes([start, newer]))] == ["out"]
