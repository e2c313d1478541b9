"""MODEL 3 and 4: models that are kept, restored and used from the archive; what depends on a model; taking one out."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from acceptance.conftest import SCENES, Command, node, painting, write
from acceptance.models import WEIGHTS, copied, flipped
from acceptance.weights import weights

from intaglio.core.errors import Conflict, Invalid, ModelUnavailable, NotFound
from intaglio.studio.open import Studio

NOTE = "note.txt"


def picture(folder: Path, model: str, **more: object) -> Path:
    """A workflow with one small picture made with `model`."""
    return write(
        folder / "picture.json",
        "picture",
        {"base": node("text-to-image", seed=7, **painting(model=model, **more)), "out": node("output", "base")},
    )


def files(folder: Path) -> dict[str, bytes]:
    """All files of a folder by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def replaced(path: Path, text: str) -> None:
    """Another file in the place of `path`, as most tools save: under another name first, then renamed over it."""
    path.with_name("new").write_text(text)
    path.with_name("new").rename(path)


def codes(studio: Studio, version: str) -> list[str]:
    return [gap.code for gap in studio.versions.grade(version).gaps]


def test_MODEL_3_a_deleted_model_is_used_from_the_archive_and_restored(studio: Studio, tmp_path: Path) -> None:
    folder = copied(tmp_path / "own")
    model = studio.models.add(folder, name="own")
    right = files(folder)
    task = studio.tasks.run(picture(tmp_path, "own"), annotation="kept")
    archived = studio.models.keep("own")
    assert (archived.already, archived.kept.digest, archived.kept.size) == (False, model.digest, model.size)
    shutil.rmtree(folder)
    grade = studio.versions.grade(task.version)
    assert (grade.grade, codes(studio, task.version)) == ("full", ["model.restorable"])
    assert str(folder) in grade.gaps[0].message
    assert "models restore own" in grade.gaps[0].remedy
    done = studio.versions.reproduce(task.version)
    assert (done.grade.grade, done.fidelity.verdict) == ("full", "identical bytes")
    notes = [note for step in studio.tasks.show(done.task.id).steps for note in step.notes]
    assert any("own:v1 came from the archive" in note for note in notes), notes
    restored = studio.models.restore("own")
    assert (restored.path, restored.aside) == (str(folder), "")
    assert files(folder) == right
    assert codes(studio, task.version) == []


def test_MODEL_3_a_replaced_model_is_used_from_the_archive_and_restored(
    studio: Studio, tmp_path: Path, command: Command
) -> None:
    folder = copied(tmp_path / "own")
    right = files(folder)
    model = studio.models.add(folder, name="own")
    task = studio.tasks.run(picture(tmp_path, "own"), annotation="kept")
    studio.models.keep("own", copy=True)
    flipped(folder)
    changed = files(folder)
    reproduced = command("versions", "reproduce", task.version)
    assert reproduced.returncode == 0, reproduced.stderr
    for words in ("grade     full", "model.restorable", "is now blake3:", "fidelity  identical bytes"):
        assert words in reproduced.stdout
    assert "intaglio models restore own:v1" in command("models", "verify", "own").stderr
    refused = command("models", "restore", "own")
    assert refused.returncode == 2
    assert str(folder) in refused.stderr
    assert "--to PATH" in refused.stderr
    assert files(folder) == changed, "nothing was touched"
    done = command("models", "restore", "own", "--replace")
    assert done.returncode == 0, done.stderr
    (aside,) = [path for path in tmp_path.iterdir() if path.name.startswith("own.replaced-")]
    assert str(aside) in done.stdout
    assert (files(aside), files(folder)) == (changed, right)
    assert studio.models.check(model.digest).state == "ok"
    assert "unchanged" in command("models", "restore", "own").stdout


def test_MODEL_3_keeping_leaves_the_users_file_as_it_is(studio: Studio, tmp_path: Path, command: Command) -> None:
    folder = copied(tmp_path / "own")
    (folder / NOTE).chmod(0o640)
    studio.models.add(folder, name="own")
    before = {path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in folder.rglob("*")}
    kept = command("models", "keep", "own")
    assert kept.returncode == 0, kept.stderr
    if "hard link" in kept.stdout:
        assert "shared with your file" in kept.stdout
        assert "--copy" in kept.stdout
        assert (folder / WEIGHTS).stat().st_nlink == 2
    assert {path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in folder.rglob("*")} == before
    again = command("models", "keep", "own", "--json")
    assert json.loads(again.stdout)["already"] is True
    assert "kept" in next(line for line in command("models", "list").stdout.splitlines() if "own:v1" in line)
    copy = command("models", "keep", "own", "--copy")
    assert "as a copy" in copy.stdout
    assert (folder / WEIGHTS).stat().st_nlink == 1
    assert "kept already" in command("models", "keep", "own", "--copy").stdout


def test_MODEL_3_a_hard_link_survives_replacement_and_a_change_inside_is_noticed(
    studio: Studio, tmp_path: Path
) -> None:
    folder = copied(tmp_path / "own")
    model = studio.models.add(folder, name="own")
    task = studio.tasks.run(picture(tmp_path, "own"), annotation="kept")
    if studio.models.keep("own").kept.how != "hard link":
        pytest.skip("this file system shares bytes in a better way")
    right = (folder / NOTE).read_bytes()
    replaced(folder / NOTE, "another")
    assert studio.models.check(model.digest).state == "restorable"
    replaced(folder / NOTE, right.decode())
    assert studio.models.check(model.digest).state == "ok"
    flipped(folder)
    checked = studio.models.check(model.digest)
    assert checked.state == "changed"
    assert "the kept copy is damaged too" in checked.found
    assert (studio.versions.grade(task.version).grade, codes(studio, task.version)) == ("partial", ["model.changed"])
    (problem,) = studio.library.check().problems
    assert (problem.kind, problem.versions) == ("kept-model", ("picture/v1",))
    with pytest.raises(ModelUnavailable, match="cannot be kept"):
        studio.models.keep("own")


def test_MODEL_3_a_damaged_copy_is_never_promised_and_there_is_a_way_out(
    studio: Studio, tmp_path: Path, command: Command
) -> None:
    folder = copied(tmp_path / "own")
    studio.models.add(folder, name="own")
    if studio.models.keep("own").kept.how != "hard link":
        pytest.skip("this file system shares bytes in a better way")
    right = (folder / WEIGHTS).read_bytes()
    flipped(folder)
    said = command("models", "verify", "own")
    assert (said.returncode, "models restore" in said.stderr) == (4, False)
    assert "the kept copy is damaged too" in said.stderr
    before = files(folder)
    for more in ([], ["--replace"], ["--to", str(tmp_path / "there")]):
        refused = command("models", "restore", "own", *more)
        assert (refused.returncode, "its kept copy is damaged" in refused.stderr) == (4, True)
        assert f"Put the true content back at {folder}" in refused.stderr
    assert (files(folder), (tmp_path / "there").exists()) == (before, False)
    (folder / WEIGHTS).write_bytes(right)
    assert command("models", "keep", "own:v1", "--copy").returncode == 0
    flipped(folder)
    assert (
        "Its content is kept; put it back with: intaglio models restore own:v1"
        in command("models", "verify", "own").stderr
    )
    assert command("models", "restore", "own", "--replace").returncode == 0
    assert command("models", "verify", "own").returncode == 0


def test_MODEL_3_a_model_is_restored_to_a_whole_path_and_never_into_another_models_folder(
    studio: Studio, tmp_path: Path
) -> None:
    studio.models.add(weights(tmp_path / "ink.safetensors", b"ink"), name="ink")
    studio.models.keep("ink")
    (tmp_path / "a" / "b").mkdir(parents=True)
    folder = copied(tmp_path / "own")
    for to in (folder, folder / "ink.safetensors", folder / "unet" / "deep" / "ink.safetensors"):
        with pytest.raises(Invalid, match="holds one model"):
            studio.models.restore("ink", to=to)
    assert not list(folder.rglob("ink*"))
    restored = studio.models.restore("ink", to=tmp_path / "a" / "b" / "..")
    assert restored.path == str(tmp_path / "a" / "ink.safetensors")
    assert studio.models.about("ink").places[0] == tmp_path / "a" / "ink.safetensors"
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    assert studio.models.restore("ink", to=tmp_path / "link" / ".." / "i").path == str(tmp_path / "a" / "i")


def test_MODEL_3_a_file_and_the_folder_it_is_put_together_with_are_kept_together(
    studio: Studio, tmp_path: Path
) -> None:
    vae = tmp_path / "vae.safetensors"
    shutil.copy(SCENES / "vae/diffusion_pytorch_model.safetensors", vae)
    config = tmp_path / "config"
    shutil.copytree(SCENES, config, ignore=shutil.ignore_patterns("*.safetensors"))
    (config / NOTE).write_text("mine")
    model = studio.models.add(vae, name="vae", config=config)
    right = (vae.read_bytes(), files(config))
    archived = studio.models.keep("vae")
    assert archived.config is not None
    assert archived.config.model.digest == model.config
    vae.unlink()
    shutil.rmtree(config)
    used = studio.models.file(model.ref)
    assert used.config is not None
    assert (used.path.name, used.path.read_bytes(), files(used.config)) == ("vae.safetensors", *right)
    used.check()
    restored = studio.models.restore("vae", to=tmp_path)
    assert restored.path == str(vae), "into the folder that was named"
    assert not config.exists(), "elsewhere is for the file that was asked for"
    studio.models.restore("vae")
    assert (vae.read_bytes(), files(config)) == right


def test_MODEL_3_restored_elsewhere_it_is_looked_for_there(studio: Studio, tmp_path: Path) -> None:
    folder = copied(tmp_path / "own")
    right = files(folder)
    model = studio.models.add(folder, name="own")
    studio.models.keep("own")
    shutil.rmtree(folder)
    studio.models.restore("own", to=tmp_path / "new" / "place")
    checked = studio.models.check(model.digest)
    assert (checked.state, checked.path) == ("ok", tmp_path / "new" / "place")
    assert files(checked.path) == right
    assert not folder.exists()
    with pytest.raises(NotFound, match="scenes:v1"):
        studio.models.restore("scenes", to=tmp_path / "never-kept")
    os.symlink(tmp_path / "nothing", tmp_path / "link")
    with pytest.raises(Conflict, match="link"):
        studio.models.restore("own", to=tmp_path / "link")


def test_MODEL_3_a_run_takes_it_from_the_archive_only_when_it_is_named_exactly(
    studio: Studio, tmp_path: Path, command: Command
) -> None:
    folder = copied(tmp_path / "own")
    studio.models.add(folder, name="own")
    studio.models.keep("own")
    shutil.rmtree(folder)
    vague = command("tasks", "run", str(picture(tmp_path, "own")))
    assert vague.returncode == 4
    assert "intaglio models restore own" in vague.stderr
    assert studio.tasks.list() == []
    exact = command("tasks", "run", str(picture(tmp_path, "own:v1")))
    assert exact.returncode == 0, exact.stderr
    assert "own:v1 came from the archive" in exact.stdout


def test_MODEL_3_gc_leaves_what_is_kept_and_takes_what_is_not_kept_any_more(studio: Studio, tmp_path: Path) -> None:
    folder = copied(tmp_path / "own")
    model = studio.models.add(folder, name="own")
    studio.models.keep("own")
    aside = folder.rename(tmp_path / "aside")
    studio.models.file(model.ref)
    shelf = studio.root / "models" / "kept"
    gone = studio.library.gc(dry_run=False, grace_seconds=-1)
    assert (gone.blobs, gone.laid_out) == ((), 0), "it is used from there"
    assert studio.models.check(model.digest).state == "restorable"
    aside.rename(folder)
    assert studio.library.gc(dry_run=False, grace_seconds=-1).laid_out == 1, "the model is back in its place"
    assert list(shelf.iterdir()) == []
    assert studio.library.check().problems == ()
    studio.library.remove_model("own")
    loose = {digest for digest, _ in studio.library.gc(dry_run=False, grace_seconds=-1).blobs}
    assert loose == {part.digest for part in model.files}
    assert files(folder), "the user's files stay"
    assert studio.library.check().problems == ()


# -- MODEL 4 ----------------------------------------------------------------------------------------------------------


def test_MODEL_4_impact_names_the_versions_and_the_fall_of_their_grades(
    studio: Studio, chain: Path, tmp_path: Path, command: Command
) -> None:
    folder = copied(tmp_path / "own")
    model = studio.models.add(folder, name="own")
    studio.tasks.run(chain, set=["base.model=own"], annotation="one of two")
    studio.tasks.run(chain, annotation="without it")
    studio.tasks.run(picture(tmp_path, "own"), annotation="alone")
    found = studio.library.impact("own")
    assert [(hit.version, hit.steps, hit.now, hit.then) for hit in found.versions] == [
        ("picture/v1", ("base",), "full", "partial"),
        ("chain/v1", ("base",), "full", "partial"),
    ]
    said = command("models", "impact", "own")
    assert "picture/v1  full -> partial" in said.stdout
    assert "chain/v2" not in said.stdout
    assert "2 would fall" in said.stdout
    studio.models.keep("own", copy=True)
    assert {hit.then for hit in studio.library.impact("own").versions} == {"full"}
    assert "full -> full (kept)" in command("models", "impact", model.digest).stdout
    flipped(folder)
    assert {(hit.now, hit.then) for hit in studio.library.impact("own").versions} == {("full", "full")}
    kept = studio._parts.blobs._path(next(part.digest for part in model.files if part.path == WEIGHTS))
    kept.chmod(0o644)
    kept.write_bytes(b"damaged")
    assert {(hit.now, hit.then) for hit in studio.library.impact("own").versions} == {("partial", "partial")}


def test_MODEL_4_the_impact_is_what_then_happens(studio: Studio, chain: Path, tmp_path: Path) -> None:
    folder = copied(tmp_path / "own")
    studio.models.add(folder, name="own")
    task = studio.tasks.run(chain, set=["base.model=own"], annotation="a prophecy")
    two = copied(tmp_path / "two")
    studio.models.add(two, name="two")
    foretold = studio.library.impact("own")
    assert (foretold.versions[0].then, str(two) in foretold.instead) == ("full", True)
    shutil.rmtree(folder)
    assert studio.versions.grade(task.version).grade == "full"
    assert studio.library.impact("two").versions[0].then == "partial"
    shutil.rmtree(two)
    assert studio.versions.grade(task.version).grade == "partial"


def test_MODEL_4_a_model_is_taken_out_only_when_that_is_agreed(
    studio: Studio, tmp_path: Path, command: Command
) -> None:
    folder = copied(tmp_path / "own")
    model = studio.models.add(folder, name="own")
    task = studio.tasks.run(picture(tmp_path, "own"), annotation="needed")
    studio.models.keep("own")
    right = files(folder)
    looked = command("models", "rm", "own", "--dry-run")
    assert looked.returncode == 0
    assert "full -> partial" in looked.stdout
    assert "nothing was changed" in looked.stdout
    refused = command("models", "rm", "own")
    assert refused.returncode == 2
    assert "picture/v1" in refused.stderr
    assert "--yes" in refused.stderr
    assert studio.models.find("own") == model
    done = command("models", "rm", "own", "--yes", "--json")
    assert json.loads(done.stdout)["removed"] is True
    with pytest.raises(NotFound):
        studio.models.find("own")
    assert files(folder) == right
    assert (studio.versions.grade(task.version).grade, codes(studio, task.version)) == ("partial", ["model.missing"])
    assert studio.versions.snapshot(task.version).models[model.digest] == model
    assert "own:v1" in command("versions", "show", task.version).stdout
    assert studio.library.check().problems == ()
    studio.models.add(folder, name="own")
    assert studio.versions.grade(task.version).grade == "full", "adding it again undoes it"


def test_MODEL_4_other_versions_and_other_names_stay(studio: Studio, tmp_path: Path) -> None:
    folder = copied(tmp_path / "own")
    first = studio.models.add(folder, name="own")
    task = studio.tasks.run(picture(tmp_path, "own"), annotation="needed")
    studio.models.add(copied(tmp_path / "two"), name="two")
    flipped(folder)
    second = studio.models.add(folder, name="own")
    with pytest.raises(Conflict, match="2 versions"):
        studio.library.remove_model("own")
    removed = studio.library.remove_model("own:v1")
    assert "two:v1" in removed.instead
    assert [(hit.now, hit.then) for hit in removed.versions] == [("full", "full")]
    assert (studio.models.find("own"), studio.models.find("two").digest) == (second, first.digest)
    assert studio.versions.grade(task.version).grade == "full"
    with pytest.raises(Conflict, match="picture/v1"):
        studio.library.remove_model(first.digest)
    studio.library.remove_model(first.digest, agreed=True)
    assert {entry.name for entry, _ in studio.models.list()} == {"own", "scenes"}


def test_LIN_1_what_was_made_from_a_model_and_what_made_a_picture(studio: Studio, tmp_path: Path) -> None:
    folder = copied(tmp_path / "own")
    studio.models.add(folder, name="own")
    made = {}
    for name in ("own", "scenes"):
        workflow = write(
            tmp_path / f"{name}.json",
            name,
            {"base": node("text-to-image", **painting(model=name), seed=3), "out": node("output", "base")},
        )
        made[name] = studio.tasks.run(workflow, annotation=f"made with {name}")
    versions = {name: studio.versions.find(task.version)[1] for name, task in made.items()}
    from_own = studio.library.impact("own").versions
    assert [hit.version for hit in from_own] == ["own/v1"], "what was made from it, and nothing else"
    snapshot = studio.versions.snapshot("own/v1")
    (output,) = versions["own"].outputs
    assert {model.name for model in snapshot.models.values()} == {"own"}
    assert snapshot.models[studio.models.find("own").digest].files, "down to every file of it"
    assert studio.versions.find(made["own"].id)[1] == versions["own"]
    assert output.asset in snapshot.assets
