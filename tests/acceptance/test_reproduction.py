"""REP: brought back from an id alone, graded before, measured after, and the two agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from acceptance.conftest import Command, node, painting, ramp, write
from acceptance.models import copied, flipped
from acceptance.plugin import installer

from intaglio.core.context import Context
from intaglio.core.errors import CannotReproduce, NotFound, RecordMismatch
from intaglio.core.image import Image
from intaglio.core.nodetype import NodeType, node_type
from intaglio.imaging.decode import decode
from intaglio.imaging.png import encode
from intaglio.imaging.record import attach_claim, read_claim
from intaglio.studio.open import Studio, open_studio


def test_REP_1_two_discovery_runs_differ_and_each_comes_back_in_a_new_process(
    studio: Studio, chain: Path, command: Command
) -> None:
    tasks = [studio.tasks.run(chain, annotation=f"run {number}") for number in (1, 2)]
    outputs = [studio.tasks.snapshot(task.id).outputs[0].asset for task in tasks]
    assert outputs[0] != outputs[1]
    painted = [{r.step: r.outputs["image"] for r in studio.tasks.snapshot(task.id).results}["base"] for task in tasks]
    assert painted[0] != painted[1], "the drawn seed reaches the model"
    chain.unlink()
    for task, output in zip(tasks, outputs, strict=True):
        done = command("versions", "reproduce", task.version, "--json")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert set(report) >= {"version", "grade", "gaps", "task", "fidelity", "outputs"}
        assert (report["grade"], report["gaps"], report["fidelity"]) == ("full", [], "identical bytes")
        compared = report["outputs"][0]
        assert compared["stored"] == compared["produced"] == output
        assert set(compared) >= {
            *("node", "stored", "produced", "same_bytes", "same_pixels", "max_difference"),
            *("mean_difference", "changed_share", "psnr", "ssim"),
        }
        executed = [step.reused_from for step in studio.tasks.show(report["task"]).steps]
        assert executed == [""] * 4, "nothing was reused"
    assert [len(studio.versions.history(task.version)) for task in tasks] == [1, 1]


def test_REP_1_from_a_task_id_a_label_or_an_output_file(studio: Studio, plain_chain: Path, tmp_path: Path) -> None:
    task = studio.tasks.run(plain_chain, label="keeper", annotation="one")
    studio.versions.export(task.version, tmp_path / "out")
    for reference in (task.id, "keeper", "v1", tmp_path / "out" / "out.png"):
        assert studio.versions.reproduce(reference).fidelity.verdict == "identical bytes"


def test_REP_1_one_picture_of_a_batch_alone(studio: Studio, tmp_path: Path) -> None:
    workflow = write(
        tmp_path / "batch.json",
        "batch",
        {
            "base": node("text-to-image", count=3, **painting()),
            "grain": node("film-grain", "base", amount=0.2),
            "out": node("output", "grain"),
        },
    )
    task = studio.tasks.run(workflow, annotation="three at once")
    stored = {output.step: output.asset for output in studio.tasks.snapshot(task.id).outputs}
    assert len(set(stored.values())) == 3
    back = studio.versions.reproduce(task.version, only="out[2]")
    assert [(o.step, o.stored, o.verdict) for o in back.fidelity.outputs] == [
        ("out[2]", stored["out[2]"], "identical bytes")
    ]
    assert [step.step for step in studio.tasks.show(back.task.id).steps] == ["base[2]", "grain[2]", "out[2]"]
    inner = studio.versions.reproduce(task.version, only="base[1]").fidelity.outputs
    assert [(o.step, o.verdict) for o in inner] == [("base[1]", "identical bytes")]
    with pytest.raises(NotFound, match="out\\[7\\]"):
        studio.versions.reproduce(task.version, only="out[7]")


def test_REP_2_a_reference_deleted_from_disk_comes_from_the_store(
    studio: Studio, plain_chain: Path, tmp_path: Path
) -> None:
    task = studio.tasks.run(plain_chain, annotation="one")
    (tmp_path / "reference.png").unlink()
    back = studio.versions.reproduce(task.version)
    assert (back.grade.grade, back.fidelity.verdict) == ("full", "identical bytes")


def test_REP_2_partial_names_every_reason_and_runs_nothing(studio: Studio, chain: Path, tmp_path: Path) -> None:
    folder = copied(tmp_path / "own")
    studio.models.add(folder, name="own")
    picture = tmp_path / "reference.png"
    picture.write_bytes(encode(ramp(16, 16)))
    document = json.loads(chain.read_text())
    document["nodes"]["ref"] = node("reference-image", image="reference.png")
    document["nodes"]["both"] = {"type": "composite", "inputs": {"base": "grain", "overlay": "ref"}}
    document["nodes"]["out"]["inputs"] = {"image": "both"}
    for name in ("base", "refine"):
        document["nodes"][name]["params"]["model"] = "own"
    chain.write_text(json.dumps(document))
    task = studio.tasks.run(chain, annotation="all there")
    assert studio.versions.grade(task.version).grade == "full"
    flipped(folder)
    reference = studio.tasks.snapshot(task.id).plan.step("ref").assets["image"]
    blob = studio.root / "blobs" / reference.digest[7:9] / reference.digest[7:]
    blob.chmod(0o644)
    blob.write_bytes(b"spoiled")
    grade = studio.versions.grade(task.version)
    assert grade.grade == "partial"
    assert {gap.code: gap.subject for gap in grade.gaps} == {"model.changed": "own", "input.damaged": "ref.image"}
    assert all(gap.message and gap.remedy for gap in grade.gaps)
    before = len(studio.tasks.list())
    with pytest.raises(CannotReproduce):
        studio.versions.reproduce(task.version)
    assert len(studio.tasks.list()) == before
    studio.assets.add([picture])
    assert [gap.code for gap in studio.versions.grade(task.version).gaps] == ["model.changed"], "healed by adding it"


def test_REP_2_refusal_through_the_command(studio: Studio, chain: Path, tmp_path: Path, command: Command) -> None:
    folder = copied(tmp_path / "own")
    studio.models.add(folder, name="own")
    task = studio.tasks.run(chain, set=["base.model=own", "refine.model=own"], annotation="x")
    flipped(folder)
    done = command("versions", "reproduce", task.version, "--json")
    assert done.returncode == 4
    assert done.stdout == ""
    error = json.loads(done.stderr.strip().splitlines()[-1])["error"]
    assert error["code"] == "reproduce.refused"
    assert [gap["code"] for gap in error["grade"]["gaps"]] == ["model.changed"]


def _shaky(strength: int) -> NodeType:
    """A node type that claims to be the same and is not: it shifts every byte by a hidden amount."""

    def work(ctx: Context, image: Image) -> Image:
        """Shift."""
        return Image(image.mode, image.width, image.height, bytes((b + strength) % 256 for b in image.data))

    return node_type("shaky", version=1)(work)


def test_REP_4_a_difference_is_measured_and_shown(
    studio: Studio, plain_chain: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install = installer(monkeypatch)
    install(_shaky(0))
    document = json.loads(plain_chain.read_text())
    document["nodes"]["shaky"] = node("shaky", "in")
    document["nodes"]["grain"] = node("film-grain", "shaky", amount=0.0)
    plain_chain.write_text(json.dumps(document))
    grey = tmp_path / "reference.png"
    grey.write_bytes(encode(Image("RGB", 24, 16, bytes([100]) * (24 * 16 * 3))))
    task = studio.tasks.run(plain_chain, annotation="steady")
    install(_shaky(3))
    with open_studio(studio.root) as later:
        back = later.versions.reproduce(task.version)
        output = back.fidelity.outputs[0]
        assert back.grade.grade == "full", "nothing it could know of had changed"
        assert back.fidelity.first_difference == "shaky"
        assert (output.same_bytes, output.same_pixels) == (False, False)
        assert (output.max_difference, output.mean_difference, output.changed_share) == (3, 3.0, 1.0)
        assert output.psnr == pytest.approx(38.588, abs=0.001)
        assert output.ssim is not None
        assert 0.9 < output.ssim < 1
        assert back.fidelity.verdict == "similar"
        picture = decode(later.assets.get(output.difference))
        assert (picture.width, picture.height) == (48, 32)
        assert max(picture.data) > 50
        assert later.versions.history(task.version)[0].fidelity == back.fidelity


def test_REP_4_not_identical_is_exit_code_10(
    studio: Studio, plain_chain: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from intaglio.cli.main import main

    install = installer(monkeypatch)
    install(_shaky(0))
    (plain_chain.parent / "reference.png").write_bytes(encode(Image("RGB", 8, 8, bytes([100]) * 192)))
    document = json.loads(plain_chain.read_text())
    document["nodes"]["grain"] = node("shaky", "in")
    plain_chain.write_text(json.dumps(document))
    task = studio.tasks.run(plain_chain, annotation="steady")
    assert main(["--library", str(studio.root), "versions", "reproduce", task.version]) == 0
    install(_shaky(1))
    assert main(["--library", str(studio.root), "versions", "reproduce", task.version]) == 10
    assert "largest difference 1/255" in capsys.readouterr().out


def test_REP_4_same_pixels_in_other_bytes(studio: Studio, plain_chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another encoder, the same picture: said to be identical pixels, not identical bytes."""
    from intaglio.imaging import png

    task = studio.tasks.run(plain_chain, annotation="one")
    before = png.encode
    monkeypatch.setattr(png, "encode", lambda image: before(image, level=9))
    back = studio.versions.reproduce(task.version)
    output = back.fidelity.outputs[0]
    assert (back.fidelity.verdict, output.same_bytes, output.same_pixels) == ("identical pixels", False, True)
    assert output.stored != output.produced
    assert back.fidelity.first_difference == ""


def test_REP_4_a_lost_output_is_still_told_by_its_digest(studio: Studio, plain_chain: Path) -> None:
    task = studio.tasks.run(plain_chain, annotation="one")
    asset = studio.tasks.snapshot(task.id).outputs[0].asset
    (studio.root / "blobs" / asset[7:9] / asset[7:]).unlink()
    assert any(problem.id == asset and problem.versions for problem in studio.library.check().problems)
    assert studio.versions.reproduce(task.version).fidelity.verdict == "identical bytes"
    assert studio.library.check().problems == (), "bringing it back healed the library"


@pytest.mark.parametrize("scheduler", ["ddim", "euler_a", "dpmpp_2m_sde", "unipc"])
def test_REP_7_full_comes_back_identical(studio: Studio, chain: Path, scheduler: str, command: Command) -> None:
    settings = [f"base.scheduler={scheduler}", f"refine.scheduler={scheduler}", "base.steps=3", "base.clip_skip=1"]
    task = studio.tasks.run(chain, set=settings, annotation=scheduler)
    report = json.loads(command("versions", "reproduce", task.version, "--paranoid", "--json").stdout)
    assert (report["grade"], report["fidelity"]) == ("full", "identical bytes")


def test_REP_7_other_work_in_between_changes_nothing(studio: Studio, chain: Path) -> None:
    task = studio.tasks.run(chain, annotation="one")
    for scheduler in ("euler_a", "lcm"):
        studio.tasks.run(chain, set=[f"base.scheduler={scheduler}", "base.guidance=1", "refine.dtype=bfloat16"])
    assert studio.versions.reproduce(task.version).fidelity.verdict == "identical bytes"


def test_REP_1_a_record_on_another_picture_is_not_accepted(
    studio: Studio, plain_chain: Path, tmp_path: Path, command: Command
) -> None:
    task = studio.tasks.run(plain_chain, annotation="the real one")
    files = studio.versions.export(task.version, tmp_path / "out")
    picture = next(path for path in files if path.name == "out.png")
    data = picture.read_bytes()
    claim = read_claim(data)
    assert claim is not None
    assert claim["version"] == task.version
    start = data.index(b"iTXt") - 4
    length = int.from_bytes(data[start : start + 4])
    chunk = data[start : start + 12 + length]
    other = encode(ramp(48, 32))
    forged = tmp_path / "forged.png"
    forged.write_bytes(other[:33] + chunk + other[33:])
    with pytest.raises(RecordMismatch, match="other pixels"):
        studio.versions.find(forged)
    done = command("versions", "reproduce", str(forged))
    assert done.returncode == 2
    assert "other pixels" in done.stderr
    unclaimed = tmp_path / "unclaimed.png"
    unclaimed.write_bytes(attach_claim(other, {"version": task.version}))
    with pytest.raises(NotFound):
        studio.versions.find(unclaimed)  # its claim fits its pixels, but nobody here made these pixels
