"""VER 3, 4, 6 and SEED 3: one switch for the whole workflow, pins, approval, warnings, and going back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from acceptance.conftest import SCENES, Command, node, painting, write

from intaglio.core.errors import AnnotationMissing, Cancelled, Conflict, Unfixed, UnpinnedModel, UnpinnedSeed
from intaglio.core.record import plain
from intaglio.core.version import standing
from intaglio.core.workflow import parse_workflow
from intaglio.studio.carry_out import Watch
from intaglio.studio.drift import Warning
from intaglio.studio.open import Studio


@pytest.fixture
def painted(tmp_path: Path) -> Path:
    """A small painting, and grain over it: two nodes that draw."""
    nodes = {"base": node("text-to-image", **painting()), "grain": node("film-grain", "base", amount=0.2)}
    return write(tmp_path / "painted.json", "painted", nodes)


def seeds(studio: Studio, task: str) -> dict[str, str]:
    return {step.id: step.seed.value for step in studio.tasks.snapshot(task).plan.steps if step.seed}


def test_VER_3_discovery_draws_and_ignores_pins_production_uses_them(studio: Studio, painted: Path) -> None:
    first = studio.tasks.run(painted, annotation="the one")
    approved = studio.versions.approve(first.version)
    assert approved.workflow is not None
    workflow, reference = studio.workflows.show("painted")
    assert (workflow.mode, reference) == ("production", approved.workflow)
    model = studio.models.find("scenes").digest
    assert plain(workflow.pins) == {
        "base": {"seed": seeds(studio, first.id)["base"], "models": {"model": model}},
        "grain": {"seed": seeds(studio, first.id)["grain"], "models": {}},
    }
    again = studio.tasks.run("painted")
    assert seeds(studio, again.id) == seeds(studio, first.id)
    assert studio.tasks.snapshot(again.id).outputs[0].asset == studio.tasks.snapshot(first.id).outputs[0].asset
    exploring = studio.tasks.run("painted", mode="discovery")
    assert not set(seeds(studio, exploring.id).values()) & set(seeds(studio, first.id).values())
    assert studio.tasks.get(exploring.id).workflow.changes == ("mode=discovery",)
    assert studio.workflows.show("painted")[1] == reference, "a mode for one run changes no workflow"


def test_VER_3_production_refuses_what_is_not_fixed_naming_each(
    studio: Studio, painted: Path, command: Command
) -> None:
    studio.workflows.add(painted)
    with pytest.raises(UnpinnedSeed, match="base, grain"):
        studio.workflows.mode("painted", "production")
    with pytest.raises(UnpinnedSeed, match="base, grain"):
        studio.tasks.run("painted", mode="production")
    with pytest.raises(UnpinnedModel, match="base"):
        studio.tasks.run("painted", mode="production", set=["base.seed=1", "grain.seed=2"])
    assert studio.tasks.list() == [], "before any work"
    refused = command("tasks", "run", "painted", "--mode", "production")
    assert refused.returncode == 2
    assert "base, grain" in refused.stderr and "tasks pin" in refused.stderr


def test_VER_3_switching_back_and_forth_loses_nothing(studio: Studio, painted: Path) -> None:
    studio.versions.approve(studio.tasks.run(painted, annotation="the one").version)
    production, first = studio.workflows.show("painted")
    studio.workflows.mode("painted", "discovery")
    with pytest.raises(Conflict, match="in discovery already"):
        studio.workflows.mode("painted", "discovery")
    studio.workflows.mode("painted", "production")
    back, last = studio.workflows.show("painted")
    assert back == production
    assert last.version == first.version + 2
    assert [version for _, version, *_ in studio.workflows.history("painted")] == [4, 3, 2, 1]


def test_VER_3_a_typed_seed_stays_beside_the_pin(studio: Studio, plain_chain: Path) -> None:
    document = json.loads(plain_chain.read_text())
    document["nodes"]["grain"]["seed"] = 11
    plain_chain.write_text(json.dumps(document))
    run = studio.tasks.run(plain_chain, set=["grain.seed=42"], annotation="with another seed")
    studio.tasks.run(plain_chain)
    pinned = studio.tasks.pin(run.id)
    workflow, _ = studio.workflows.show("plain")
    assert (workflow.nodes["grain"].seed, workflow.pins["grain"].seed, workflow.mode) == ("11", "42", "discovery")
    assert pinned.left == ()
    assert seeds(studio, studio.tasks.run("plain").id) == {"grain": "11"}
    assert seeds(studio, studio.tasks.run("plain", mode="production").id) == {"grain": "42"}


def test_SEED_3_one_action_locks_the_seeds_of_a_task(studio: Studio, plain_chain: Path, command: Command) -> None:
    task = studio.tasks.run(plain_chain)
    done = json.loads(command("tasks", "pin", task.id, "--json").stdout)
    assert done["pins"]["grain"]["seed"] == seeds(studio, task.id)["grain"]
    assert done["workflow"]["version"] == 2
    studio.workflows.mode("plain", "production")
    again = studio.tasks.run("plain")
    assert seeds(studio, again.id) == seeds(studio, task.id)
    assert [step.seed.origin for step in studio.tasks.snapshot(again.id).plan.steps if step.seed] == ["pinned"]


def test_SEED_3_a_pin_is_not_put_on_what_was_changed_since(studio: Studio, plain_chain: Path, tmp_path: Path) -> None:
    task = studio.tasks.run(plain_chain)
    document = json.loads(plain_chain.read_text())
    shutil.copy(tmp_path / "reference.png", tmp_path / "other.png")
    document["nodes"]["in"]["params"]["image"] = "other.png"
    plain_chain.write_text(json.dumps(document))
    studio.workflows.add(plain_chain)
    pinned = studio.tasks.pin(task.id)
    assert pinned.left == ("in.image: the workflow names something else now",)
    assert studio.workflows.show("plain")[0].pins["in"].assets == {}


def test_VER_3_reference_pictures_are_captured_too(studio: Studio, plain_chain: Path, tmp_path: Path) -> None:
    first = studio.tasks.run(plain_chain, annotation="the one")
    studio.versions.approve(first.version)
    (tmp_path / "reference.png").unlink()
    again = studio.tasks.run("plain")
    assert studio.tasks.snapshot(again.id).outputs[0].asset == studio.tasks.snapshot(first.id).outputs[0].asset


def test_VER_3_approval_is_dated_and_signed_and_said_once(studio: Studio, plain_chain: Path, command: Command) -> None:
    first = studio.tasks.run(plain_chain, annotation="one")
    second = studio.tasks.run(plain_chain, annotation="two")
    done = command("versions", "approve", "v1", "--as", "Mara", "--note", "client said yes")
    assert "plain/v1 is approved by Mara" in done.stdout
    now = standing(studio.versions.remarks(first.version))
    assert (now.approval, now.by) == ("approved", "Mara")
    with pytest.raises(Conflict, match="approved already, by Mara"):
        studio.versions.approve(first.version)
    assert len(studio.workflows.history("plain")) == 2, "what was refused left no workflow behind"
    only_said = studio.versions.approve(second.version, pin=False)
    assert only_said.workflow is None
    assert len(studio.workflows.history("plain")) == 2


def test_VER_3_what_cannot_be_fixed_cannot_go_into_production(
    tmp_path: Path, painted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intaglio.studio.open import init
    from intaglio.studio.settings import Settings

    with init(tmp_path / "loose", Settings(author="Ada", deterministic=False)) as studio:
        studio.models.add(SCENES, name="scenes")
        run = studio.tasks.run(painted, annotation="with fast algorithms")
        with pytest.raises(Unfixed, match="deterministic is off"):
            studio.versions.approve(run.version)
        assert standing(studio.versions.remarks(run.version)).approval == ""


def replaced_model(studio: Studio, tmp_path: Path) -> str:
    """Another model under the name that the workflow says: a copy with another file in it."""
    other = tmp_path / "other"
    shutil.copytree(SCENES, other)
    config = other / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("{", '{"_note": "retrained",', 1))
    return studio.models.add(other, name="scenes").digest


def test_VER_4_a_model_that_differs_is_named_old_and_new(
    studio: Studio, painted: Path, tmp_path: Path, command: Command
) -> None:
    first = studio.tasks.run(painted, annotation="the one")
    studio.versions.approve(first.version)
    assert studio.workflows.warnings("painted") == []
    new = replaced_model(studio, tmp_path)
    (warning,) = studio.workflows.warnings("painted")
    assert (warning.code, warning.node, warning.name) == ("model.differs", "base", "model")
    assert "scenes:v1" in warning.old and "scenes:v2" in warning.new and new[:19] in warning.new
    assert "production runs the pinned one" in warning.message
    heard: list[Warning] = []
    again = studio.tasks.run("painted", watch=Watch(warn=heard.append))
    assert heard == [warning]
    assert studio.tasks.snapshot(again.id).outputs[0].asset == studio.tasks.snapshot(first.id).outputs[0].asset
    assert "model.differs" in [event.what for event in studio.tasks.show(again.id).events]
    for words in (("workflows", "show", "painted"), ("workflows", "check", "painted"), ("tasks", "run", "painted")):
        said = command(*words)
        assert said.returncode == 0, said.stderr
        assert "warning: node 'base', model: painted/v1 was made with scenes:v1" in said.stderr
    said = command("workflows", "show", "painted", "--json")
    assert json.loads(said.stderr)["warning"]["code"] == "model.differs"
    assert json.loads(said.stdout)["name"] == "painted"
    studio.workflows.mode("painted", "discovery")
    assert studio.workflows.warnings("painted") == [], "exploring is for trying other models"


def test_VER_4_a_file_that_was_replaced_in_place_is_seen(studio: Studio, painted: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(SCENES, own)
    studio.models.add(own, name="mine")
    run = studio.tasks.run(painted, set=["base.model=mine"], annotation="the one")
    studio.versions.approve(run.version)
    assert studio.workflows.warnings("painted") == []
    config = own / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text() + "\n")
    (warning,) = studio.workflows.warnings("painted")
    assert "another one now" in warning.new


def test_VER_6_going_back_is_a_new_version(studio: Studio, plain_chain: Path, command: Command) -> None:
    first = studio.tasks.run(plain_chain, set=["grain.amount=0.5"], annotation="strong")
    studio.tasks.run(plain_chain, set=["grain.amount=0.1"], annotation="weak")
    with pytest.raises(AnnotationMissing):
        studio.versions.roll_back("v1")
    done = command("versions", "rollback", "v1", "--annotation", "the client changed their mind", "--label", "back")
    assert "plain/v3-back is what v1 was" in done.stdout
    versions = dict(studio.versions.list())
    assert [version.number for version in versions.values()] == [3, 2, 1]
    newest = studio.versions.find("v3")[1]
    old = versions[first.version]
    assert (newest.restores, newest.snapshot, newest.outputs) == (first.version, old.snapshot, old.outputs)
    assert studio.versions.find(newest.parent)[1].number == 2
    workflow, reference = studio.workflows.show("plain")
    assert workflow.nodes["grain"].params["amount"] == 0.5
    assert newest.workflow == reference
    assert studio.versions.reproduce("v3").fidelity.verdict == "identical bytes"
    with pytest.raises(Conflict, match="nothing to go back to"):
        studio.versions.roll_back("v3", annotation="again")
    assert studio.library.check().problems == ()


def test_MODEL_4_what_would_be_lost_names_approved_versions_first(
    studio: Studio, painted: Path, command: Command
) -> None:
    for annotation in ("one", "two", "three"):
        studio.tasks.run(painted, annotation=annotation)
    studio.versions.approve("v2", pin=False)
    hits = studio.library.impact("scenes").versions
    assert [(hit.version, hit.approved) for hit in hits] == [
        ("painted/v2", True),
        ("painted/v3", False),
        ("painted/v1", False),
    ]
    assert "painted/v2 (approved)" in command("models", "impact", "scenes").stdout


def test_VER_3_editing_what_is_in_production_says_that_it_leaves_it(
    studio: Studio, plain_chain: Path, command: Command
) -> None:
    studio.versions.approve(studio.tasks.run(plain_chain, annotation="one").version)
    said = command("tasks", "run", str(plain_chain)).stderr
    assert "warning" not in said, "the very workflow that was approved is known"
    plain_chain.write_text(plain_chain.read_text().replace("0.3", "0.4"))
    for words in (("workflows", "check"), ("workflows", "add")):
        said = command(*words, str(plain_chain)).stderr
        assert "warning: plain @2 is in production; this becomes plain @3, in discovery" in said
    assert "warning" not in command("tasks", "run", str(plain_chain)).stderr
    assert studio.tasks.run("plain@2").status == "done"


def test_VER_3_a_part_of_a_run_is_not_approved(studio: Studio, tmp_path: Path) -> None:
    nodes = {"base": node("text-to-image", count=3, **painting())}
    whole = studio.tasks.run(write(tmp_path / "batch.json", "batch", nodes), annotation="three")
    part = studio.versions.reproduce(whole.version, only="base[2]").task
    digest, _ = studio.versions.save(part.id, annotation="one of them")
    with pytest.raises(Conflict, match="not every picture of base"):
        studio.versions.approve(digest)
    with pytest.raises(Conflict, match="not every picture of base"):
        studio.tasks.pin(part.id)
    assert studio.workflows.show("batch")[1].version == 1


def test_SEED_3_only_what_a_finished_run_had_is_pinned(studio: Studio, plain_chain: Path) -> None:
    with pytest.raises(Cancelled):
        studio.tasks.run(plain_chain, watch=Watch(cancelled=lambda: True))
    with pytest.raises(Conflict, match="only what a finished run had"):
        studio.tasks.pin(studio.tasks.list()[0].id)


def test_VER_4_a_reference_picture_that_is_called_something_else_is_named(studio: Studio, plain_chain: Path) -> None:
    studio.versions.approve(studio.tasks.run(plain_chain, annotation="one").version)
    document = plain(studio.workflows.show("plain")[0])
    document["nodes"]["in"]["params"]["image"] = "other.png"
    studio.workflows.add(parse_workflow(document))
    (warning,) = studio.workflows.warnings("plain")
    assert (warning.code, warning.node, warning.new) == ("file.differs", "in", "other.png")


def test_VER_4_production_without_an_approved_version_is_said(studio: Studio, plain_chain: Path) -> None:
    run = studio.tasks.run(plain_chain, annotation="one")
    studio.versions.approve(run.version)
    studio.versions.reject(run.version, note="too loud after all")
    (warning,) = studio.workflows.warnings("plain")
    assert warning.code == "approval.gone" and "rejected" in warning.message
    studio.versions.reject(run.version, holds=False)
    assert standing(studio.versions.remarks(run.version)).approval == "approved", "the approval stands again"
    assert studio.workflows.warnings("plain") == []


def test_VER_6_an_approved_version_is_approved_again_to_return_to_it(studio: Studio, plain_chain: Path) -> None:
    first = studio.tasks.run(plain_chain, annotation="one")
    second = studio.tasks.run(plain_chain, set=["grain.amount=0.5"], annotation="two")
    studio.versions.approve(first.version)
    assert studio.versions.approve(second.version).superseded == "plain@2"
    back = studio.versions.approve(first.version)
    assert back.workflow is not None and studio.workflows.show("plain")[1] == back.workflow
    assert studio.workflows.tree()[0].approved == "v1"
    assert seeds(studio, studio.tasks.run("plain").id) == seeds(studio, first.id)
    with pytest.raises(Conflict, match="approved already"):
        studio.versions.approve(first.version)


def test_VER_6_going_back_out_of_production_is_said_and_runs_anywhere(
    studio: Studio, plain_chain: Path, tmp_path: Path, command: Command
) -> None:
    studio.tasks.run(plain_chain, annotation="one")
    studio.versions.approve(studio.tasks.run(plain_chain, set=["grain.amount=0.5"], annotation="two").version)
    done = command("versions", "rollback", "v1", "--annotation", "back")
    assert "warning: plain @2 is in production; this becomes plain @3, in discovery" in done.stderr
    (tmp_path / "reference.png").unlink()
    assert studio.tasks.run("plain").status == "done", "its reference picture is known"
    with pytest.raises(Conflict, match="nothing to go back to"):
        studio.versions.roll_back("v1", annotation="and again")


def test_VER_6_adding_earlier_content_makes_it_the_newest(studio: Studio, plain_chain: Path) -> None:
    first = studio.workflows.add(plain_chain)
    text = plain_chain.read_text()
    plain_chain.write_text(text.replace("0.3", "0.4"))
    studio.workflows.add(plain_chain)
    plain_chain.write_text(text)
    back = studio.workflows.add(plain_chain)
    assert (back.version, back.digest) == (3, first.digest)
    assert studio.workflows.show("plain")[1] == back
    assert studio.tasks.run(plain_chain).workflow.version == 3
