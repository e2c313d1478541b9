"""MODEL: exact content, aliases that resolve, and files that could run code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from acceptance.conftest import SCENES, Command, node, painting, write
from acceptance.hub_server import serving
from acceptance.models import WEIGHTS, copied, flipped

from intaglio.core.errors import Conflict, Invalid, ModelUnavailable, NotFound, UnpinnedModel, UnsafeModel
from intaglio.studio.open import Studio


def test_MODEL_1_a_model_is_its_content(studio: Studio, tmp_path: Path) -> None:
    original = studio.models.find("scenes")
    copy = studio.models.add(
        copied(tmp_path / "copy", note=""), name="copy", version="first", source="hub:me/scenes@abc"
    )
    assert copy.digest == original.digest
    assert copy.files == original.files
    assert (copy.model_kind, copy.layout, copy.version, copy.source) == (
        "checkpoint",
        "diffusers",
        "first",
        "hub:me/scenes@abc",
    )
    assert copy.size == sum(path.stat().st_size for path in (tmp_path / "copy").rglob("*") if path.is_file())
    (tmp_path / "copy" / WEIGHTS).with_name("extra.json").write_text("{}")
    assert studio.models.add(tmp_path / "copy", name="copy", version="second").digest != original.digest


def test_MODEL_1_one_byte_with_size_and_mtime_kept_is_noticed(
    studio: Studio, chain: Path, tmp_path: Path, command: Command
) -> None:
    folder = copied(tmp_path / "own")
    model = studio.models.add(folder, name="own")
    flipped(folder)
    checked = studio.models.check(model.digest)
    assert checked.state == "changed"
    assert WEIGHTS in checked.found
    with pytest.raises(ModelUnavailable, match="own v1 is changed"):
        studio.tasks.run(chain, set=["base.model=own"])
    assert studio.tasks.list() == [], "nothing was run with it"
    verified = command("models", "verify", "own")
    assert verified.returncode == 4
    assert WEIGHTS in verified.stderr


def test_MODEL_1_every_file_of_a_folder_counts(studio: Studio, tmp_path: Path) -> None:
    folder = copied(tmp_path / "own")
    model = studio.models.add(folder, name="own")
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert studio.models.check(model.digest).state == "changed", path
        path.write_bytes(content)
    assert studio.models.check(model.digest).state == "ok"


def test_MODEL_1_any_copy_of_the_content_will_do(studio: Studio, chain: Path, tmp_path: Path) -> None:
    first = studio.models.add(copied(tmp_path / "one"), name="one")
    studio.models.add(copied(tmp_path / "two"), name="two")
    task = studio.tasks.run(chain, set=["base.model=two", "refine.model=one"], annotation="two copies")
    flipped(tmp_path / "one")
    assert studio.models.verify("one").state == "changed"
    assert studio.models.check(first.digest).state == "ok", "the other copy is the same content"
    assert studio.versions.reproduce(task.version).fidelity.verdict == "identical bytes"
    flipped(tmp_path / "two")
    assert studio.versions.grade(task.version).grade == "partial"


def test_MODEL_5_latest_resolves_to_an_exact_version_and_that_is_recorded(studio: Studio, tmp_path: Path) -> None:
    folder = copied(tmp_path / "own")
    first = studio.models.add(folder, name="own")
    flipped(folder)
    second = studio.models.add(folder, name="own")
    assert (first.version, second.version) == ("v1", "v2")
    for reference in ("own", "own:latest", "own:v2", second.digest, second.digest[:20]):
        assert studio.models.find(reference) == second
    workflow = write(
        tmp_path / "w.json",
        "w",
        {"base": node("text-to-image", **painting(model="own:latest")), "out": node("output", "base")},
    )
    task = studio.tasks.run(workflow)
    assert studio.tasks.snapshot(task.id).plan.step("base").models["model"] == second.ref
    with pytest.raises(Conflict, match="v1"):
        studio.models.add(folder, name="own", version="v1")


def test_MODEL_5_production_takes_no_alias(studio: Studio, tmp_path: Path) -> None:
    nodes = {"base": node("text-to-image", seed=1, **painting()), "out": node("output", "base")}
    loose = write(tmp_path / "loose.json", "w", nodes, mode="production")
    with pytest.raises(UnpinnedModel, match="base"):
        studio.tasks.run(loose)
    nodes["base"]["params"]["model"] = "scenes:v1"
    assert studio.tasks.run(write(tmp_path / "exact.json", "w", nodes, mode="production")).status == "done"


def test_MODEL_5_a_name_nobody_knows_is_not_replaced(studio: Studio, chain: Path) -> None:
    with pytest.raises(NotFound, match="no model 'scene'"):
        studio.tasks.run(chain, set=["base.model=scene"])
    with pytest.raises(NotFound, match="scenes:v7"):
        studio.models.find("scenes:v7")


def _pickled(path: Path) -> Path:
    import torch
    from safetensors.torch import load_file

    path.parent.mkdir(exist_ok=True)
    torch.save({"state_dict": load_file(SCENES / WEIGHTS)}, path)
    return path


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.bin", "model.safetensors"])
def test_MODEL_6_a_file_that_could_run_code_is_refused(studio: Studio, tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeModel, match=name):
        studio.models.add(_pickled(tmp_path / "unsafe" / name), name="unsafe")
    assert [model.name for model, _ in studio.models.list()] == ["scenes"]


def test_MODEL_6_only_that_exact_file_can_be_allowed(studio: Studio, tmp_path: Path) -> None:
    path = _pickled(tmp_path / "unsafe" / "model.ckpt")
    with pytest.raises(UnsafeModel, match="not the file that was allowed"):
        studio.models.add(path, name="unsafe", allow_pickle="blake3:" + "0" * 64)
    assert [model.name for model, _ in studio.models.list()] == ["scenes"]


def test_MODEL_1_a_model_of_another_kind_is_refused_where_it_does_not_fit(
    studio: Studio, chain: Path, tmp_path: Path
) -> None:
    import shutil

    vae = tmp_path / "vae.safetensors"
    shutil.copy(SCENES / "vae/diffusion_pytorch_model.safetensors", vae)
    kind = studio.models.add(vae, name="vae").model_kind
    assert kind != "checkpoint"
    with pytest.raises(Invalid, match=f"is a {kind}, not a checkpoint"):
        studio.tasks.run(chain, set=["base.model=vae"])
    assert json.loads(chain.read_text())["nodes"]["base"]["params"]["model"] == "scenes"


def _single(path: Path, *, pickled: bool) -> Path:
    import torch
    from backends.single_file import one_file
    from safetensors.torch import save_file

    path.parent.mkdir(exist_ok=True)
    tensors = one_file(SCENES)
    if pickled:
        torch.save({"state_dict": tensors}, path)
    else:
        save_file(tensors, path)
    return path


def test_MODEL_6_an_allowed_pickle_runs_and_the_snapshot_says_so(studio: Studio, chain: Path, tmp_path: Path) -> None:
    from blake3 import blake3

    path = _single(tmp_path / "old.ckpt", pickled=True)
    digest = "blake3:" + blake3(path.read_bytes()).hexdigest()
    studio.models.add(path, name="old", config=SCENES, allow_pickle=digest)
    settings = ["base.seed=5", "refine.seed=6", "grain.seed=7"]
    task = studio.tasks.run(chain, set=[*settings, "base.model=old", "refine.model=old"], annotation="old friend")
    snapshot = studio.tasks.snapshot(task.id)
    assert snapshot.models[digest].pickle_allowed is True
    same = studio.tasks.snapshot(studio.tasks.run(chain, set=settings).id)
    assert snapshot.outputs[0].asset == same.outputs[0].asset, "the same weights give the same picture"
    assert studio.versions.reproduce(task.version).fidelity.verdict == "identical bytes"


def test_MODEL_1_a_single_file_and_the_folder_it_is_put_together_with(
    studio: Studio, chain: Path, tmp_path: Path
) -> None:
    import shutil

    config = tmp_path / "config"
    shutil.copytree(SCENES, config, ignore=shutil.ignore_patterns("*.safetensors"))
    path = _single(tmp_path / "one.safetensors", pickled=False)
    model = studio.models.add(path, name="one", config=config)
    assert (model.layout, model.defaults["width"]) == ("single-file", studio.models.find("scenes").defaults["width"])
    task = studio.tasks.run(chain, set=["base.model=one", "refine.model=one"], annotation="one file")
    assert studio.versions.reproduce(task.version).fidelity.verdict == "identical bytes"
    scheduler = config / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace("trailing", "leading"))
    assert "model.changed" in {gap.code for gap in studio.versions.grade(task.version).gaps}


def test_MODEL_5_the_hub_is_asked_for_exact_revisions_only(studio: Studio, tmp_path: Path, command: Command) -> None:
    revision = "0123456789abcdef0123456789abcdef01234567"
    folder = copied(tmp_path / "published")
    (folder / "unet" / "extra.bin").write_bytes(b"\x80\x04not wanted")
    (folder / "note.txt").unlink()
    with serving(folder, "ada/scenes", revision) as (address, asked):
        for vague in ("hub:ada/scenes", "hub:ada/scenes@main", f"hub:ada/scenes@{revision[:12]}", "hub:x@" + revision):
            refused = command("models", "add", vague, "--name", "fetched", HF_ENDPOINT=address)
            assert refused.returncode == 2, refused.stderr
            assert "exact revision" in refused.stderr
        assert asked == []
        exact = f"hub:ada/scenes@{revision}"
        done = command("models", "add", exact, "--name", "fetched", "--json", HF_ENDPOINT=address)
        assert done.returncode == 0, done.stderr
    model = json.loads(done.stdout)
    assert (model["digest"], model["source"]) == (studio.models.find("scenes").digest, exact)
    assert not any("extra.bin" in path for path in asked)
    gone = command("models", "add", exact, "--name", "again", HF_ENDPOINT="http://127.0.0.1:9")
    assert gone.returncode in (0, 4), "already fetched, or said to be out of reach"
    assert "Traceback" not in gone.stderr


def test_MODEL_1_a_file_that_changes_while_it_is_loaded_is_noticed(
    studio: Studio, chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intaglio.backends import loading

    folder = copied(tmp_path / "own")
    studio.models.add(folder, name="own")
    load = loading._from_folder

    def meddled(*arguments: object) -> object:
        pipeline = load(*arguments)  # type: ignore[arg-type]
        flipped(folder)
        return pipeline

    monkeypatch.setattr(loading, "_from_folder", meddled)
    with pytest.raises(ModelUnavailable, match="changed while it was in use"):
        studio.tasks.run(chain, set=["base.model=own"])
    assert studio.tasks.list()[0].status == "failed"
    assert studio.tasks.show(studio.tasks.list()[0].id).steps == []
