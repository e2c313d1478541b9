"""What a hostile newcomer found, kept from coming back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from acceptance.conftest import Command, node, painting, ramp, write
from acceptance.models import copied
from PIL import Image as Pillow

from intaglio.core.errors import Cancelled, Invalid, InvalidWorkflow, ModelUnavailable, NotFound
from intaglio.core.plan import Step
from intaglio.imaging.png import encode
from intaglio.studio.carry_out import Watch
from intaglio.studio.open import Studio, open_studio


def test_SEED_5_no_two_exported_pictures_share_a_name(studio: Studio, plain_chain: Path, tmp_path: Path) -> None:
    nodes = json.loads(plain_chain.read_text())["nodes"]
    nodes["b"] = node("film-grain", "in", amount=0.9)
    nodes |= {"OUT": node("output", "b"), "x": node("output", "grain"), "X": node("output", "b")}
    task = studio.tasks.run(write(plain_chain, "clash", nodes), annotation="four outputs")
    files = studio.versions.export(task.version, tmp_path / "out")
    pictures = [path for path in files if path.suffix == ".png" and path.parent == tmp_path / "out"]
    assert len({path.name.casefold() for path in pictures}) == len(pictures) == 4
    claimed = {studio.assets.show(str(path)).digest for path in pictures}
    assert claimed == {output.asset for output in studio.tasks.snapshot(task.id).outputs}


@pytest.mark.parametrize("setting", ["base.seed=3", "base.model=scenes:v2"])
def test_SEED_7_production_refuses_a_setting_that_its_pins_would_override(
    studio: Studio, tmp_path: Path, setting: str
) -> None:
    pins = {"base": {"seed": "77", "models": {"model": studio.models.find("scenes").digest}}}
    nodes = {"base": node("text-to-image", **painting()), "out": node("output", "base")}
    workflow = write(tmp_path / "p.json", "p", nodes, mode="production", pins=pins)
    with pytest.raises(InvalidWorkflow, match="is pinned"):
        studio.tasks.run(workflow, set=[setting])
    assert studio.tasks.list() == []


def test_SNAP_2_a_relative_path_never_means_another_file(
    studio: Studio, plain_chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "reference.png").write_bytes(encode(ramp(9, 9)))
    task = studio.tasks.run(plain_chain, set=["grain.seed=1"])
    monkeypatch.chdir(elsewhere)
    with pytest.raises(Invalid, match="relative path"):
        studio.tasks.run("plain")
    again = studio.tasks.run(plain_chain, set=["grain.seed=1"])
    assert [o.asset for o in studio.tasks.snapshot(again.id).outputs] == [
        o.asset for o in studio.tasks.snapshot(task.id).outputs
    ]
    typed_here = studio.tasks.run(plain_chain, set=["in.image=reference.png"])
    taken = studio.tasks.snapshot(typed_here.id).plan.step("in").assets["image"].digest
    assert studio.assets.get(taken) == (elsewhere / "reference.png").read_bytes()


def test_RUN_4_a_cancelled_run_is_taken_up_with_its_seeds(studio: Studio, chain: Path) -> None:
    done: list[str] = []

    def progress(step: Step, count: int, total: int) -> None:
        done.append(step.id)

    with pytest.raises(Cancelled) as stopped:
        studio.tasks.run(chain, annotation="the long one", watch=Watch(progress, lambda: "refine" in done))
    task = studio.tasks.list()[0]
    assert f"intaglio tasks resume {task.id}" in stopped.value.hint
    before = {record.step: record for record in studio.tasks.show(task.id).steps}
    assert set(before) == {"base"}
    finished = studio.tasks.resume(task.id)
    assert finished.status == "done"
    assert studio.versions.find(finished.version)[1].annotation == "the long one"
    assert studio.tasks.snapshot(task.id).plan.step("base").seed == before["base"].seed


def test_RUN_1_a_failure_names_its_node_and_how_to_go_on(studio: Studio, chain: Path, command: Command) -> None:
    done = command("tasks", "run", str(chain), "--set", "refine.clip_skip=9", "--annotation", "x")
    assert done.returncode == 2
    task = studio.tasks.list()[0]
    assert "node 'refine': clip skip 9" in done.stderr
    assert f"intaglio tasks resume {task.id}" in done.stderr
    assert task.error is not None
    assert task.error.step == "refine"


def test_REP_1_a_lossless_copy_in_another_format_is_known(studio: Studio, plain_chain: Path, tmp_path: Path) -> None:
    task = studio.tasks.run(plain_chain, annotation="x")
    exported = next(p for p in studio.versions.export(task.version, tmp_path / "out") if p.suffix == ".png")
    with Pillow.open(exported) as picture:
        picture.save(tmp_path / "copy.webp", lossless=True)
        picture.rotate(180).save(tmp_path / "edited.png")
    assert studio.versions.find(tmp_path / "copy.webp")[0] == task.version
    with pytest.raises(NotFound) as unknown:
        studio.versions.find(tmp_path / "edited.png")
    assert "bytes or pixels" in unknown.value.hint


def test_RUN_3_a_copy_of_a_library_opens_under_any_name(studio: Studio, plain_chain: Path, tmp_path: Path) -> None:
    import shutil

    task = studio.tasks.run(plain_chain, annotation="x")
    backup = shutil.copytree(studio.root, tmp_path / "backup-of-friday")
    with open_studio(backup) as copy:
        assert copy.root == backup
        assert copy.versions.reproduce(task.version).fidelity.verdict == "identical bytes"


def test_MODEL_1_a_model_that_goes_away_while_it_is_loaded(
    studio: Studio, chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intaglio.backends import loading

    folder = copied(tmp_path / "own")
    studio.models.add(folder, name="own")
    load = loading._from_folder

    def moved(*arguments: object) -> object:
        folder.rename(tmp_path / "gone")
        return load(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "_from_folder", moved)
    with pytest.raises(ModelUnavailable, match="changed while it was in use"):
        studio.tasks.run(chain, set=["base.model=own"])


def test_REP_1_all_pictures_of_a_node_by_its_name(studio: Studio, plain_chain: Path) -> None:
    document = json.loads(plain_chain.read_text())
    document["nodes"]["base"] = node("text-to-image", count=2, **painting())
    document["nodes"]["all"] = node("output", "base")
    plain_chain.write_text(json.dumps(document))
    task = studio.tasks.run(plain_chain, annotation="x")
    back = studio.versions.reproduce(task.version, only="all")
    assert [output.step for output in back.fidelity.outputs] == ["all[0]", "all[1]"]
    assert back.fidelity.verdict == "identical bytes"
    assert {step.node for step in studio.tasks.show(back.task.id).steps} == {"base", "all"}


def test_SEED_1_text_that_looks_like_a_number_stays_text(studio: Studio, tmp_path: Path) -> None:
    workflow = write(
        tmp_path / "w.json", "w", {"base": node("text-to-image", **painting()), "out": node("output", "base")}
    )
    task = studio.tasks.run(workflow, set=["base.prompt=12", "base.negative_prompt=no", "base.seed=12"])
    base = studio.tasks.snapshot(task.id).plan.step("base")
    assert (base.params["prompt"], base.params["negative_prompt"]) == ("12", "no")
    assert base.seed is not None
    assert base.seed.number == 12


def test_REP_2_a_plugin_of_another_version_lowers_the_grade(
    studio: Studio, plain_chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intaglio.engine import environment

    installed = environment.library_versions()
    monkeypatch.setattr(environment, "library_versions", lambda: {**installed, "plugin:tints": "1.0"})
    task = studio.tasks.run(plain_chain, annotation="x")
    monkeypatch.setattr(environment, "library_versions", lambda: {**installed, "plugin:tints": "1.1"})
    gaps = studio.versions.grade(task.version).gaps
    assert [(gap.code, gap.subject) for gap in gaps] == [("library.changed", "plugin:tints")]
    assert "pip install tints==1.0" in gaps[0].remedy
