"""SNAP: what is recorded at the moment of creation, and that it keeps its meaning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from acceptance.conftest import PROMPT, Command, node, painting, write
from acceptance.models import copied
from acceptance.plugin import installer, tint

from intaglio.core import codec
from intaglio.core.asset import ADDRESS
from intaglio.core.errors import CannotReproduce
from intaglio.core.snapshot import Snapshot
from intaglio.studio.open import Studio, init, open_studio
from intaglio.studio.settings import Settings


def test_SNAP_1_written_once_named_by_its_content(studio: Studio, plain_chain: Path) -> None:
    task = studio.tasks.run(plain_chain)
    snapshot = studio.tasks.snapshot(task.id)
    assert task.snapshot == codec.digest(snapshot)
    with pytest.raises((TypeError, AttributeError)):
        snapshot.plan.steps[0].params["x"] = 1  # type: ignore[index]
    with pytest.raises(AttributeError):
        snapshot.author = "somebody else"  # type: ignore[misc]


def test_SNAP_1_enough_for_somebody_who_never_saw_the_original(studio: Studio, chain: Path, tmp_path: Path) -> None:
    """Rebuilt from the exported record alone, in a fresh library that only has the model."""
    task = studio.tasks.run(chain, annotation="to be sent away")
    studio.versions.export(task.version, tmp_path / "sent")
    record = json.loads((tmp_path / "sent" / "record.json").read_text())
    snapshot = codec.from_plain(Snapshot, record["snapshot"])
    pinned = {
        "name": snapshot.workflow.name,
        "nodes": {
            step.id: {
                "type": f"{step.type}@{step.type_version}",
                "params": {**step.params, **{name: model.digest for name, model in step.models.items()}},
                "inputs": {name: f"{source.step}.{source.output}" for name, source in step.inputs.items()},
                "seed": step.seed.value if step.seed else "",
            }
            for step in snapshot.plan.steps
        },
    }
    (tmp_path / "again.json").write_text(json.dumps(pinned))
    with init(tmp_path / "elsewhere", Settings(author="Bob")) as other:
        other.models.add(copied(tmp_path / "copy", note=""), name="another-name")
        again = other.tasks.snapshot(other.tasks.run(tmp_path / "again.json").id)
    assert [o.asset for o in again.outputs] == [o.asset for o in snapshot.outputs]


def test_SNAP_2_every_resolved_parameter_defaults_written_out(studio: Studio, tmp_path: Path) -> None:
    workflow = write(
        tmp_path / "w.json",
        "w",
        {"base": node("text-to-image", **painting()), "out": node("output", "base")},
    )
    task = studio.tasks.run(workflow)
    snapshot = studio.tasks.snapshot(task.id)
    model = studio.models.find("scenes")
    base = snapshot.plan.step("base")
    assert base.params == {
        "prompt": PROMPT,
        "negative_prompt": "",
        "width": model.defaults["width"],
        "height": model.defaults["height"],
        "steps": 2,
        "guidance": 4,
        "scheduler": model.defaults["scheduler"],
        "clip_skip": 0,
        "loras": (),
        "embeddings": (),
        "control_strength": 1.0,
        "dtype": "float32",
        "device": "cpu",
    }
    assert base.models["model"] == model.ref
    assert snapshot.models[model.digest] == model
    assert (snapshot.author, snapshot.workflow.name, snapshot.plan.workflow.version) == ("Ada", "w", 1)
    results = {result.step: result for result in snapshot.results}
    assert results["out"].inputs["image"] == results["base"].outputs["image"] == snapshot.outputs[0].asset
    asset = snapshot.assets[snapshot.outputs[0].asset]
    assert (asset.width, asset.height) == (model.defaults["width"], model.defaults["height"])
    assert snapshot.outputs[0].address == ADDRESS + asset.digest


def test_SNAP_2_reference_pictures_by_digest_and_permanent_address(
    studio: Studio, plain_chain: Path, tmp_path: Path
) -> None:
    task = studio.tasks.run(plain_chain, annotation="with a reference")
    reference = studio.tasks.snapshot(task.id).plan.step("in").assets["image"]
    original = (tmp_path / "reference.png").read_bytes()
    (tmp_path / "reference.png").unlink()
    assert reference.name == "reference.png"
    assert studio.assets.get(reference.address) == original
    _, version = studio.versions.find(task.version)
    assert version.references == {"in": {"image": reference.address}}
    assert studio.versions.reproduce(task.version).fidelity.verdict == "identical bytes"


def test_SNAP_3_the_environment_explains_a_difference(studio: Studio, chain: Path) -> None:
    environment = studio.tasks.snapshot(studio.tasks.run(chain).id).environment
    import diffusers
    import numpy as np
    import PIL
    import torch
    import transformers

    assert environment.libraries["torch"] == torch.__version__
    assert environment.libraries["diffusers"] == diffusers.__version__
    assert environment.libraries["transformers"] == transformers.__version__
    assert environment.libraries["numpy"] == np.__version__
    assert environment.libraries["pillow"] == PIL.__version__
    assert environment.intaglio
    assert environment.python
    assert environment.os
    assert environment.cpu.model
    assert environment.cpu.instruction_set
    assert environment.cpu.cores >= 1
    assert environment.threads == studio.settings.threads
    assert environment.deterministic is True
    assert environment.backend["cpu_capability"] == torch.backends.cpu.get_cpu_capability()


def test_SNAP_3_a_changed_library_is_named_in_the_grade(
    studio: Studio, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intaglio.engine import environment

    task = studio.tasks.run(chain, annotation="before the update")
    versions = {**environment.library_versions(), "torch": "9.9.9"}
    monkeypatch.setattr(environment, "library_versions", lambda: versions)
    grade = studio.versions.grade(task.version)
    assert grade.grade == "approximate"
    assert [(gap.code, gap.subject) for gap in grade.gaps] == [("library.changed", "torch")]
    assert "9.9.9" in grade.gaps[0].message
    assert "pip install torch==" in grade.gaps[0].remedy
    assert studio.versions.reproduce(task.version).fidelity.verdict == "identical bytes"


@pytest.mark.parametrize("default", [1.5, 0.5])
def test_SNAP_4_a_changed_default_does_not_change_an_old_snapshot(
    studio: Studio, plain_chain: Path, monkeypatch: pytest.MonkeyPatch, default: float
) -> None:
    install = installer(monkeypatch)
    install(tint(default=1.5))
    document = json.loads(plain_chain.read_text())
    document["nodes"]["tint"] = node("tint", "big")
    document["nodes"]["out"]["inputs"] = {"image": "tint"}
    plain_chain.write_text(json.dumps(document))
    task = studio.tasks.run(plain_chain, annotation="default of that day")
    install(tint(default=default))
    with open_studio(studio.root) as later:
        back = later.versions.reproduce(task.version)
        assert (back.grade.grade, back.fidelity.verdict) == ("full", "identical bytes")
        fresh = later.tasks.run(plain_chain, set=["grain.seed=" + back.version.seeds["grain"].value])
        same = later.tasks.snapshot(fresh.id).outputs[0].asset == back.fidelity.outputs[0].stored
        assert same is (default == 1.5), "the new default means something else for a new run"


def test_SNAP_4_a_changed_interface_is_said_and_the_old_version_still_runs(
    studio: Studio, plain_chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = installer(monkeypatch)
    install(tint())
    document = json.loads(plain_chain.read_text())
    document["nodes"]["tint"] = node("tint", "big")
    document["nodes"]["out"]["inputs"] = {"image": "tint"}
    plain_chain.write_text(json.dumps(document))
    version = studio.tasks.run(plain_chain, annotation="interface of that day").version
    cases = {
        "node.version_changed": [tint(version=2, default=0.3)],
        "node.unknown": [],
        "parameter.unknown": [tint(name="strength")],
        "": [tint(version=2, default=0.3), tint(version=1, default=3.0)],
    }
    for code, types in cases.items():
        install(*types)
        with open_studio(studio.root) as later:
            if not code:
                assert later.versions.reproduce(version).fidelity.verdict == "identical bytes"
                continue
            with pytest.raises(CannotReproduce):
                later.versions.reproduce(version)
            assert code in {gap.code for gap in later.versions.grade(version).gaps}
            assert later.versions.snapshot(version).plan.step("tint").params == {"amount": 1.5}, "still readable"


def test_SNAP_4_a_renamed_or_moved_model_is_the_same_model(studio: Studio, chain: Path, tmp_path: Path) -> None:
    folder = copied(tmp_path / "own")
    studio.models.add(folder, name="own")
    task = studio.tasks.run(chain, set=["base.model=own", "refine.model=own"], annotation="before the move")
    folder.rename(tmp_path / "renamed")
    assert studio.versions.grade(task.version).gaps[0].code == "model.missing"
    studio.models.add(tmp_path / "renamed", name="a-new-name")
    back = studio.versions.reproduce(task.version)
    assert (back.grade.grade, back.fidelity.verdict) == ("full", "identical bytes")


def test_SNAP_2_every_command_shows_the_record_as_json(studio: Studio, plain_chain: Path, command: Command) -> None:
    task = studio.tasks.run(plain_chain, annotation="json")
    shown = json.loads(command("tasks", "show", task.id, "--json").stdout)
    assert shown["task"]["id"] == task.id
    assert [record["step"] for record in shown["nodes"]] == ["in", "grain", "big", "out"]
    assert shown["plan"]["steps"][1]["seed"]["origin"] == "drawn"
