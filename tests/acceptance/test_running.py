"""RUN: what is finished stays, what was stopped is taken up again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from acceptance.conftest import node
from acceptance.plugin import installer, tint

from intaglio.core.context import Context
from intaglio.core.errors import Cancelled, Conflict, NodeFailed
from intaglio.core.image import Image
from intaglio.core.nodetype import NodeType, node_type
from intaglio.core.plan import Step
from intaglio.studio.carry_out import Watch
from intaglio.studio.open import Studio, open_studio


def _failing(fails: bool) -> NodeType:
    def work(ctx: Context, image: Image) -> Image:
        """Fail, or not."""
        if fails:
            raise ZeroDivisionError("no luck today")
        return image

    return node_type("moody", version=1)(work)


@pytest.fixture
def moody_chain(plain_chain: Path) -> Path:
    document = json.loads(plain_chain.read_text())
    document["nodes"]["moody"] = node("moody", "big")
    document["nodes"]["out"]["inputs"] = {"image": "moody"}
    plain_chain.write_text(json.dumps(document))
    return plain_chain


def test_RUN_4_a_failed_task_keeps_what_it_finished_and_is_resumed_with_its_seeds(
    studio: Studio, moody_chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = installer(monkeypatch)
    install(_failing(True))
    with pytest.raises(NodeFailed, match="node 'moody': ZeroDivisionError: no luck today"):
        studio.tasks.run(moody_chain)
    task = studio.tasks.list()[0]
    assert task.status == "failed"
    assert task.error is not None
    assert task.error.step == "moody"
    before = {record.step: record for record in studio.tasks.show(task.id).steps}
    assert set(before) == {"in", "grain", "big"}
    install(_failing(False))
    with open_studio(studio.root) as later:
        done = later.tasks.resume(task.id)
        assert (done.status, done.attempt) == ("done", 2)
        records = later.tasks.show(task.id).steps
        again = {record.step: record for record in records if record.attempt == 2}
        assert again["grain"].reused_from == task.id
        assert again["grain"].outputs == before["grain"].outputs
        assert later.tasks.snapshot(task.id).plan.step("grain").seed == before["grain"].seed
        with pytest.raises(Conflict, match="is done"):
            later.tasks.resume(task.id)


def test_RUN_4_cancel_inside_a_node_keeps_what_was_finished(studio: Studio, chain: Path) -> None:
    seen: list[tuple[str, int]] = []

    def progress(step: Step, done: int, total: int) -> None:
        seen.append((step.id, done))

    watch = Watch(progress=progress, cancelled=lambda: ("refine", 1) in seen)
    with pytest.raises(Cancelled):
        studio.tasks.run(chain, set=["refine.strength=1", "refine.steps=50"], watch=watch)
    task = studio.tasks.list()[0]
    assert task.status == "cancelled"
    assert [record.step for record in studio.tasks.show(task.id).steps] == ["base"]
    assert max(done for step, done in seen if step == "refine") < 50
    assert studio.library.check().problems == ()
    assert studio.tasks.run(chain).status == "done", "the model is still usable"


def test_RUN_4_cancel_from_another_process(studio: Studio, chain: Path) -> None:
    with open_studio(studio.root) as other:

        def progress(step: Step, done: int, total: int) -> None:
            if (step.id, done) == ("base", 1):
                other.tasks.cancel(other.tasks.list()[0].id)

        with pytest.raises(Cancelled):
            studio.tasks.run(chain, set=["base.steps=200"], watch=Watch(progress=progress))
        assert other.tasks.list()[0].status == "cancelled"


def test_RUN_2_a_fixed_chain_is_reused_and_a_drawn_seed_never_is(
    studio: Studio, plain_chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intaglio.core import seeds

    first = studio.tasks.run(plain_chain, set=["grain.seed=9"])
    again = studio.tasks.run(plain_chain, set=["grain.seed=9"])
    assert {r.step: r.reused_from for r in studio.tasks.show(again.id).steps} == dict.fromkeys(
        ("in", "grain", "big", "out"), first.id
    )
    monkeypatch.setattr(seeds, "draw_random", lambda: 9)
    drawn = studio.tasks.run(plain_chain)
    reused = {r.step: bool(r.reused_from) for r in studio.tasks.show(drawn.id).steps}
    assert reused["in"] is True
    assert reused["grain"] is False, "drawn by chance the same, and still really run"
    fresh = studio.tasks.run(plain_chain, set=["grain.seed=9"], reuse=False)
    assert not any(r.reused_from for r in studio.tasks.show(fresh.id).steps)


def test_RUN_2_a_spoiled_result_is_made_again_not_reused(studio: Studio, plain_chain: Path) -> None:
    first = studio.tasks.run(plain_chain, set=["grain.seed=9"])
    digest = {r.step: r.outputs["image"] for r in studio.tasks.show(first.id).steps}["grain"]
    path = studio.root / "blobs" / digest[7:9] / digest[7:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    again = studio.tasks.run(plain_chain, set=["grain.seed=9"])
    reused = {r.step: bool(r.reused_from) for r in studio.tasks.show(again.id).steps}
    assert reused == {"in": True, "grain": False, "big": True, "out": True}
    assert studio.library.check().problems == ()


def test_RUN_1_a_plugin_node_runs_like_any_other(
    studio: Studio, plain_chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installer(monkeypatch)(tint())
    document = json.loads(plain_chain.read_text())
    document["nodes"]["out"] = node("tint", "big")
    plain_chain.write_text(json.dumps(document))
    task = studio.tasks.run(plain_chain)
    assert [output.node for output in studio.tasks.snapshot(task.id).outputs] == ["out"]


def test_REP_1_an_interrupted_reproduction_is_begun_again_not_resumed(studio: Studio, plain_chain: Path) -> None:
    """It would end without a grade and without a comparison."""
    version = studio.tasks.run(plain_chain, annotation="x").version
    with pytest.raises(Cancelled) as stopped:
        studio.versions.reproduce(version, watch=Watch(cancelled=lambda: True))
    assert f"intaglio versions reproduce {version}" in stopped.value.hint
    task = studio.tasks.list()[0]
    assert (task.purpose, task.status) == ("reproduce", "cancelled")
    with pytest.raises(Conflict, match="in one go") as refused:
        studio.tasks.resume(task.id)
    assert f"versions reproduce {version}" in refused.value.hint
    assert studio.versions.history(version) == []
    assert studio.versions.reproduce(version).fidelity.verdict == "identical bytes"
    assert len(studio.versions.history(version)) == 1
