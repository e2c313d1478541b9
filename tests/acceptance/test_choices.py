"""REP 2, 3, 5, 7, SEED 7: what is said before, what one may choose, and what is told of the cause after."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import Command, node, painting, write
from acceptance.models import copied, flipped
from acceptance.plugin import installer

from intaglio.core.context import Context
from intaglio.core.difference import in_words
from intaglio.core.errors import CannotReproduce, Conflict, ModelUnavailable
from intaglio.core.image import Image
from intaglio.core.nodetype import NodeType, node_type
from intaglio.engine import environment as surroundings
from intaglio.imaging.decode import decode
from intaglio.studio.open import Studio, open_studio


@pytest.fixture
def owned(studio: Studio, tmp_path: Path) -> tuple[str, Path]:
    """A version made with a model of its own, and the folder of that model."""
    folder = copied(tmp_path / "own")
    studio.models.add(folder, name="own")
    workflow = write(
        tmp_path / "owned.json",
        "owned",
        {"base": node("text-to-image", **painting(model="own"), seed=5), "out": node("output", "base")},
    )
    return studio.tasks.run(workflow, label="first", annotation="with the model of then").version, folder


def test_REP_3_exact_or_nothing_unless_the_current_model_is_asked_for(
    studio: Studio, owned: tuple[str, Path], command: Command
) -> None:
    version, folder = owned
    recorded = studio.models.find("own").digest
    flipped(folder)
    with pytest.raises(CannotReproduce, match="is changed") as refused:
        studio.versions.reproduce(version)
    assert "--models current" in refused.value.hint
    assert "versions legacy" in refused.value.hint
    predicted = studio.versions.grade(version, models="current")
    assert (predicted.grade, [gap.code for gap in predicted.gaps]) == ("approximate", ["model.substituted"])
    assert studio.models.find("own").version == "v1", "grading changes nothing"
    done = command("versions", "reproduce", version, "--models", "current", "--json")
    assert done.returncode in (0, 10), done.stderr
    report = json.loads(done.stdout)
    now = studio.models.find("own")
    assert (now.version, report["models"]) == ("v2", {recorded: now.digest})
    assert [gap["code"] for gap in report["gaps"]] == ["model.substituted"]
    again = studio.tasks.snapshot(report["task"])
    assert again.plan.step("base").models["model"].digest == now.digest, "the record names what ran"
    assert recorded in " ".join(again.plan.workflow.changes), "and what it took the place of"
    assert again.plan.step("base").seed == studio.versions.snapshot(version).plan.step("base").seed
    (attempt,) = studio.versions.history(version)
    assert dict(attempt.models) == {recorded: now.digest}
    assert any(event.what == "model replaced" for event in studio.tasks.show(report["task"]).events)


def test_MODEL_2_a_name_never_means_another_file_than_the_one_that_is_there(
    studio: Studio, owned: tuple[str, Path], tmp_path: Path
) -> None:
    """The file was replaced, taken up as v2, and put back: v2 is elsewhere too, but `own` is not that any more."""
    _, folder = owned
    aside = folder.rename(tmp_path / "aside")
    other = copied(tmp_path / "other", note="other")
    shutil.copytree(other, folder)
    studio.models.add(folder, name="own")
    studio.models.add(other, name="other")
    shutil.rmtree(folder)
    aside.rename(folder)
    workflow = tmp_path / "owned.json"
    with pytest.raises(ModelUnavailable, match="its file is another one now") as refused:
        studio.tasks.run(workflow)
    assert "models scan" in refused.value.hint
    task = studio.tasks.run(workflow, set=["base.model=own:v1"])
    assert studio.tasks.snapshot(task.id).plan.step("base").models["model"].version == "v1"


def test_SEED_7_with_another_model_the_report_says_which(studio: Studio, owned: tuple[str, Path]) -> None:
    version, folder = owned
    other = copied(folder.parent / "newer", note="newer")
    flipped(other)
    data = bytearray((other / "vae" / "diffusion_pytorch_model.safetensors").read_bytes())
    data[-9] ^= 0x40  # a high bit of a weight of the decoder: every picture comes out differently
    (other / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(data)
    studio.models.add(other, name="own")
    shutil.rmtree(folder)
    done = studio.versions.reproduce(version, models="current")
    assert done.grade.gaps[0].code == "model.substituted"
    if done.fidelity.first_difference:
        assert done.fidelity.cause is not None
        assert "own:v1" in in_words(done.fidelity.cause)
        assert "own:v2" in in_words(done.fidelity.cause)
    assert studio.versions.grade(version).grade == "partial", (
        "one attempt with another model proves nothing of this one"
    )


def test_REP_3_without_a_model_of_that_name_there_is_nothing_to_choose(studio: Studio, owned: tuple[str, Path]) -> None:
    version, folder = owned
    shutil.rmtree(folder)
    assert [gap.code for gap in studio.versions.grade(version, models="current").gaps] == ["model.missing"]
    with pytest.raises(CannotReproduce, match="is not there"):
        studio.versions.reproduce(version, models="current")


def test_REP_3_a_version_is_marked_as_needing_a_model_that_is_gone_and_the_mark_is_taken_back(
    studio: Studio, owned: tuple[str, Path], command: Command
) -> None:
    version, folder = owned
    shutil.rmtree(folder)
    done = command("versions", "legacy", version, "--note", "deleted by the vendor", "--json")
    assert done.returncode == 0, done.stderr
    mark = json.loads(done.stdout)
    assert (mark["what"], mark["holds"], mark["note"]) == ("needs-legacy-model", True, "deleted by the vendor")
    assert mark["created"]
    assert mark["author"]
    with pytest.raises(CannotReproduce, match="needing a model that is gone"):
        studio.versions.reproduce(version)
    shown = command("versions", "show", version).stdout
    assert "marked needs-legacy-model: deleted by the vendor" in shown
    copied(folder)
    assert studio.versions.reproduce(version).fidelity.verdict == "identical bytes", "a mark is a note, not a lock"
    with pytest.raises(Conflict, match="marked already"):
        studio.versions.legacy(version)
    studio.versions.legacy(version, holds=False)
    with pytest.raises(Conflict, match="not marked"):
        studio.versions.legacy(version, holds=False)
    assert [remark.holds for remark in studio.versions.remarks(version)] == [True, False]
    assert "no longer marked" in command("versions", "show", version).stdout


def test_REP_2_changed_surroundings_are_unmeasured_until_they_were_tried(
    studio: Studio, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = studio.tasks.run(chain, annotation="before the upgrade")
    now = {**surroundings.library_versions(), "torch": "99.0"}
    monkeypatch.setattr(surroundings, "library_versions", lambda: now)
    (gap,) = studio.versions.grade(task.version).gaps
    assert (gap.code, gap.subject, gap.measured) == ("library.changed", "torch", "")
    assert "not measured" in gap.evidence
    done = studio.versions.reproduce(task.version)
    assert (done.grade.grade, done.fidelity.verdict) == ("approximate", "identical bytes")
    after = studio.versions.grade(task.version)
    assert (after.grade, after.gaps[0].code, after.gaps[0].measured) == ("full", "library.changed", "identical")
    assert "came back identical in these surroundings once" in after.gaps[0].evidence
    assert studio.versions.reproduce(task.version).grade.grade == "full"
    monkeypatch.setattr(surroundings, "library_versions", lambda: {**now, "numpy": "99.0"})
    assert studio.versions.grade(task.version).grade == "approximate", "other surroundings were not tried"


def drifting(offset: int) -> NodeType:
    """A node type that says it is the same every time, and adds a hidden amount."""

    def work(ctx: Context, image: Image) -> Image:
        """Drift."""
        return Image(image.mode, image.width, image.height, bytes((b + offset) % 256 for b in image.data))

    return node_type("drifting", version=1)(work)


@pytest.fixture
def drifted(plain_chain: Path) -> Path:
    """A workflow with a node that drifts in the middle."""
    document = json.loads(plain_chain.read_text())
    document["nodes"]["drift"] = node("drifting", "in")
    document["nodes"]["grain"] = node("film-grain", "drift", amount=0.3, seed=3)
    plain_chain.write_text(json.dumps(document))
    return plain_chain


def test_REP_7_a_step_that_came_out_differently_is_reported_and_both_results_are_kept(
    studio: Studio, drifted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from intaglio.cli.main import main

    install = installer(monkeypatch)
    install(drifting(1))
    first = studio.tasks.run(drifted, annotation="one")
    install(drifting(2))
    with open_studio(studio.root) as later:
        second = later.tasks.run(drifted, reuse=False)
        alarms = [event for event in later.tasks.show(second.id).events if event.what == "nondeterministic"]
        assert [event.step for event in alarms] == ["drift"], "only the node itself, not what is after it"
        results = [
            next(one for one in later.tasks.snapshot(task.id).results if one.step == "drift")
            for task in (first, second)
        ]
        assert results[0].key == results[1].key
        pictures = [decode(later.assets.get(result.outputs["image"])) for result in results]
        assert pictures[0] != pictures[1], "both are kept"
        gaps = {gap.code: gap for gap in later.versions.grade(first.version).gaps}
        assert gaps["nondeterministic"].subject == "drift"
        assert later.versions.grade(first.version).grade == "approximate"
        third = later.tasks.run(drifted)
        reused = {step.step: step.reused_from for step in later.tasks.show(third.id).steps}
        assert reused["drift"] == "", "of two results none is the one"
    assert main(["--library", str(studio.root), "tasks", "show", second.id]) == 0
    assert "not deterministic: node 'drift'" in capsys.readouterr().out


def test_REP_5_tasks_diff_names_the_first_node_and_why(
    studio: Studio, plain_chain: Path, command: Command, tmp_path: Path
) -> None:
    one = studio.tasks.run(plain_chain, set=["grain.seed=1"], label="one", annotation="one")
    two = studio.tasks.run(plain_chain, set=["grain.seed=2", "big.factor=3"], annotation="two")
    found = studio.tasks.diff(one.id, two.id)
    assert found.first is not None
    assert (found.first.step, found.first.changes) == ("grain", ("seed 1 -> 2",))
    assert {"inputs", "parameters", "environment"} <= set(found.first.same)
    assert [step.step for step in found.steps] == ["grain", "big"]
    assert found.outputs[0].note == "48x32 became 72x48"
    done = command("tasks", "diff", "one", two.id)
    assert done.returncode == 10, done.stderr
    assert "first difference at node grain: same inputs, same parameters" in done.stdout
    assert "seed 1 -> 2" in done.stdout
    assert "also changed: node big" in done.stdout
    same = studio.tasks.run(plain_chain, set=["grain.seed=1"], reuse=False)
    assert studio.tasks.diff("one", same.id).verdict == "identical bytes"
    assert command("tasks", "diff", one.id, same.id, "--json").returncode == 0
    assert command("tasks", "diff", one.id, "nothing").returncode == 3


def test_REP_5_tasks_diff_of_runs_of_other_shapes(studio: Studio, plain_chain: Path, tmp_path: Path) -> None:
    one = studio.tasks.run(plain_chain, set=["grain.seed=1"])
    document: dict[str, Any] = json.loads(plain_chain.read_text())
    document["nodes"]["big"]["inputs"]["image"] = "in"
    del document["nodes"]["grain"]
    plain_chain.write_text(json.dumps(document))
    two = studio.tasks.run(plain_chain)
    found = studio.tasks.diff(one.id, two.id)
    assert (found.only_before, found.only_after) == (("grain",), ())
    assert found.first is not None
    assert found.first.step == "big"
    assert any(change.startswith("input image") for change in found.first.changes)


def test_REP_4_a_version_shows_its_reproductions(studio: Studio, plain_chain: Path, command: Command) -> None:
    task = studio.tasks.run(plain_chain, annotation="one")
    for _ in range(2):
        studio.versions.reproduce(task.version)
    attempts = studio.versions.history(task.version)
    assert [(one.grade.grade, one.fidelity.verdict) for one in attempts] == [("full", "identical bytes")] * 2
    assert all(one.host and one.environment and one.created for one in attempts)
    shown = command("versions", "show", task.version).stdout
    assert shown.count("graded full") == 2
    assert attempts[0].host in shown
