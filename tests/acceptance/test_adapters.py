"""LoRAs, VAEs, textual inversions, ControlNets, masks and upscalers, from a workflow file to a picture and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import SCENES, Command, node, painting, ramp, write

from intaglio.core.errors import CannotReproduce, Invalid, InvalidWorkflow, ModelUnavailable, NotFound, UnpinnedModel
from intaglio.core.image import Image
from intaglio.core.plan import Plan
from intaglio.engine.resolve import resolve
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio
from intaglio.studio.planning import resources

SEED = 7
SHIPPED = SCENES.parent / "adapters"
ADAPTERS = {
    "ink": SHIPPED / "ink.safetensors",
    "dusk": SHIPPED / "dusk.safetensors",
    "lantern": SHIPPED / "lantern.safetensors",
    "vae-soft": SHIPPED / "vae-soft",
    "layout": SHIPPED / "layout",
    "upscale": SHIPPED / "upscale",
}
KINDS = {
    "ink": "lora",
    "dusk": "lora",
    "lantern": "textual-inversion",
    "vae-soft": "vae",
    "layout": "controlnet",
    "upscale": "upscaler",
}


@pytest.fixture
def shelf(studio: Studio) -> Studio:
    """A library with the bundled model and all adapters that ship beside it."""
    found = {name: studio.models.add(path, name=name).model_kind for name, path in ADAPTERS.items()}
    assert found == KINDS
    return studio


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a picture to follow and a mask whose right half is white."""
    (tmp_path / "guide.png").write_bytes(encode(ramp(64, 64)))
    mask = Image("L", 64, 64, (bytes(32) + b"\xff" * 32) * 64)
    (tmp_path / "mask.png").write_bytes(encode(mask))
    return tmp_path


def painted(source: Mapping[str, str] | None = None, kind: str = "text-to-image", **params: object) -> dict[str, Any]:
    """A node that paints with a fixed seed."""
    made_node = node(kind, seed=SEED, **painting(device="cpu", **params))
    return {**made_node, "inputs": dict(source or {})}


def assets(studio: Studio, task: str) -> dict[str, str]:
    """Node to the digest of its picture."""
    return {result.step: result.outputs["image"] for result in studio.tasks.snapshot(task).results}


def reference(name: str) -> dict[str, Any]:
    """A node that brings in a picture."""
    return node("reference-image", image=name)


EVERYTHING: dict[str, Any] = {
    "guide": reference("guide.png"),
    "mask": reference("mask.png"),
    "base": painted(
        loras=["ink", {"model": "dusk", "weight": 0.5}],
        embeddings=["lantern"],
        vae="vae-soft",
        prompt="a red house under a <lantern> sky",
    ),
    "drawn": painted({"control_image": "guide"}, controlnet="layout", control_strength=0.75),
    "redrawn": painted({"image": "base", "control_image": "guide"}, "image-to-image", controlnet="layout"),
    "patched": painted({"image": "base", "mask": "mask"}, "inpaint", loras=["dusk"]),
    "small": {**node("resize", width=16, height=16), "inputs": {"image": "patched"}},
    "big": {
        **node("model-upscale", seed=SEED, model="upscale", prompt="a red house", steps=2, device="cpu"),
        "inputs": {"image": "small"},
    },
    "out": node("output", "big"),
}


def test_MODEL_1_REP_1_everything_at_once_through_the_command_and_back(
    shelf: Studio, pictures: Path, command: Command
) -> None:
    workflow = write(pictures / "everything.json", "everything", EVERYTHING)
    done = command("tasks", "run", str(workflow), "--annotation", "all adapters", "--json")
    assert done.returncode == 0, done.stderr
    task = json.loads(done.stdout)["id"]
    plan = shelf.tasks.snapshot(task).plan
    base = plan.step("base")
    assert {name: ref.name for name, ref in base.models.items()} == {
        "model": "scenes", "loras[0]": "ink", "loras[1]": "dusk", "embeddings[0]": "lantern", "vae": "vae-soft",
    }  # fmt: skip
    assert (base.params["loras"], base.params["embeddings"]) == ((1.0, 0.5), ("<lantern>",))
    assert plan.step("drawn").params["control_strength"] == 0.75
    big = shelf.tasks.snapshot(task).assets[assets(shelf, task)["big"]]
    scale = shelf.models.find("upscale").defaults["scale"]
    assert (big.width, big.height) == (16 * scale, 16 * scale)
    back = command("versions", "reproduce", "everything/v1", "--json")
    assert back.returncode == 0, back.stderr
    report = json.loads(back.stdout)
    assert (report["grade"], report["fidelity"]) == ("full", "identical bytes")
    export = command("versions", "export", "everything/v1", "--to", str(pictures / "out"))
    assert export.returncode == 0, export.stderr
    seeds = json.loads((pictures / "out" / "seeds.json").read_text())["seeds"]
    assert seeds["base"]["models"]["loras[1]"]["digest"] == shelf.models.find("dusk").digest


def test_MODEL_1_the_example_that_ships_runs_as_it_is_written(shelf: Studio) -> None:
    example = SCENES.parents[1] / "examples" / "ink.yaml"
    task = shelf.tasks.run(example, annotation="as written")
    snapshot = shelf.tasks.snapshot(task.id)
    assert {model.name for model in snapshot.models.values()} == {"scenes", "ink", "dusk", "lantern", "vae-soft"}
    assert [output.node for output in snapshot.outputs] == ["drawing", "evening"]
    assert shelf.versions.reproduce(task.version).fidelity.verdict == "identical bytes"


def test_MODEL_1_each_adapter_takes_part_and_a_weight_counts(shelf: Studio, pictures: Path) -> None:
    lantern = "a red house under a <lantern> sky"
    nodes = {
        "guide": reference("guide.png"),
        "bare": painted(),
        "ink": painted(loras=["ink"]),
        "ink_half": painted(loras=[{"model": "ink", "weight": 0.5}]),
        "ink_none": painted(loras=[{"model": "ink", "weight": 0}]),
        "both": painted(loras=["ink", "dusk"]),
        "vae": painted(vae="vae-soft"),
        "word": painted(prompt=lantern),
        "lantern": painted(prompt=lantern, embeddings=["lantern"]),
        "drawn": painted({"control_image": "guide"}, controlnet="layout"),
        "drawn_little": painted({"control_image": "guide"}, controlnet="layout", control_strength=0.5),
        "bare_again": painted(),
    }
    found = assets(shelf, shelf.tasks.run(write(pictures / "each.json", "each", nodes), reuse=False).id)
    assert found["bare_again"] == found["bare"], "nothing stays behind in the model"
    assert found["ink_none"] == found["bare"], "weight 0 is without it"
    several = {name: asset for name, asset in found.items() if name not in ("bare_again", "ink_none")}
    assert len(set(several.values())) == len(several)


def test_MODEL_1_only_the_white_of_a_mask_is_repainted(shelf: Studio, pictures: Path) -> None:
    from intaglio.imaging.decode import decode

    nodes = {
        "base": painted(),
        "mask": reference("mask.png"),
        "patched": painted({"image": "base", "mask": "mask"}, "inpaint", prompt="a white sailboat, blue sea"),
        "out": node("output", "patched"),
    }
    task = shelf.tasks.run(write(pictures / "patch.json", "patch", nodes))
    before, after = (decode(shelf._parts.blobs.read(assets(shelf, task.id)[name])) for name in ("base", "patched"))
    left = [before.data[i] == after.data[i] for i in range(len(before.data)) if i // 3 % 64 < 32]
    right = [before.data[i] == after.data[i] for i in range(len(before.data)) if i // 3 % 64 >= 32]
    assert all(left)
    assert not all(right)


# -- what settings and records say ------------------------------------------------------------------------------------


def inked(tmp_path: Path, **more: Any) -> Path:
    """A workflow of one node with two LoRAs."""
    nodes = {"base": painted(loras=["ink", {"model": "dusk", "weight": 0.5}])}
    return write(tmp_path / "inked.json", "inked", nodes, **more)


def planned(studio: Studio, path: Path, settings: list[str]) -> Plan:
    """The plan of a workflow file with these settings; nothing is run."""
    found = studio.workflows.find(path, settings)
    return resolve(found.workflow, found.reference, resources(studio._parts, found.base))


def weights(plan: Plan) -> list[tuple[str, float]]:
    """The LoRAs of the node and their weights."""
    step = plan.step("base")
    return [(step.models[f"loras[{n}]"].name, weight) for n, weight in enumerate(step.params["loras"])]


SETTINGS: list[tuple[list[str], list[tuple[str, float]]]] = [
    (["base.loras[0].weight=0.25"], [("ink", 0.25), ("dusk", 0.5)]),
    (["base.loras[1].weight=1", "base.loras[0].weight=-1"], [("ink", -1.0), ("dusk", 1.0)]),
    (["base.loras[0]=dusk:v1", "base.loras[1].model=ink"], [("dusk", 1.0), ("ink", 0.5)]),
    (["base.loras=[dusk, {model: ink, weight: 0.5}]"], [("dusk", 1.0), ("ink", 0.5)]),
    (['base.loras=[{"model": "ink", "weight": 2}]'], [("ink", 2.0)]),
    (["base.loras=ink"], [("ink", 1.0)]),
    (["base.loras=[]"], []),
]
NONSENSE = {
    "base.loras[2].weight=1": r"node 'base', params\.loras: there is no loras\[2\] to set",
    "base.loras[0].wieght=1": r"node 'base', params\.loras\[0\]: 'wieght' is unknown; it takes: model, weight",
    "base.loras[0].weight=much": r"node 'base', params\.loras\[0\]\.weight: needs a number, not 'much'",
    "base.loras[1].weight=11": r"node 'base', params\.loras\[1\]\.weight: 11 is out of range \(-10 to 10\)",
    "base.loras=7": r"node 'base', params\.loras: needs a list",
    "base.vae[0]=x": r"node 'base', params\.vae: there is no vae\[0\] to set",
}


def test_VAR_1_a_setting_reaches_into_the_loras(shelf: Studio, tmp_path: Path) -> None:
    for settings, expected in SETTINGS:
        assert weights(planned(shelf, inked(tmp_path), settings)) == expected


def test_VAR_1_a_setting_that_makes_no_sense_is_named_by_node_and_field(shelf: Studio, tmp_path: Path) -> None:
    for setting, message in NONSENSE.items():
        with pytest.raises(InvalidWorkflow, match=message):
            shelf.tasks.run(inked(tmp_path), set=[setting])
    assert shelf.tasks.list() == []


def test_VER_3_production_pins_each_lora_and_its_weight_may_be_set(shelf: Studio, tmp_path: Path) -> None:
    pins = {"base": {"models": {name: shelf.models.find(model).digest for name, model in PINNED.items()}}}
    workflow = inked(tmp_path, mode="production", pins=pins)
    assert weights(planned(shelf, workflow, ["base.loras[1].weight=1"])) == [("ink", 1.0), ("dusk", 1.0)]
    for setting in ("base.loras=[dusk]", "base.loras[0]=dusk", "base.loras[0].model=dusk"):
        with pytest.raises(InvalidWorkflow, match="is pinned, and production runs what is pinned"):
            shelf.tasks.run(workflow, set=[setting])
    del pins["base"]["models"]["loras[1]"]
    with pytest.raises(UnpinnedModel, match="base"):
        shelf.tasks.run(inked(tmp_path, mode="production", pins=pins))


PINNED = {"model": "scenes", "loras[0]": "ink", "loras[1]": "dusk"}


def test_MODEL_2_a_renamed_lora_is_the_same_and_its_work_is_reused(shelf: Studio, tmp_path: Path) -> None:
    first = shelf.tasks.run(inked(tmp_path))
    shelf.models.add(ADAPTERS["ink"], name="tusche")
    again = shelf.tasks.run(inked(tmp_path), set=["base.loras[0].model=tusche"])
    assert weights(shelf.tasks.snapshot(again.id).plan) == [("tusche", 1.0), ("dusk", 0.5)]
    assert shelf.tasks.show(again.id).steps[0].reused_from == first.id
    keys = {task.id: shelf.tasks.snapshot(task.id).results[0].key for task in (first, again)}
    assert len(set(keys.values())) == 1, "the key holds digests and weights, not names"


def test_MODEL_2_a_changed_lora_is_named_and_never_used(shelf: Studio, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(altered(ADAPTERS["dusk"].read_bytes()))
    shelf.models.add(own, name="own")
    task = shelf.tasks.run(inked(tmp_path), set=["base.loras=[ink, own]"], annotation="before")
    assert shelf.versions.grade(task.version).grade == "full"
    own.write_bytes(ADAPTERS["dusk"].read_bytes())
    grade = shelf.versions.grade(task.version)
    assert (grade.grade, [(gap.code, gap.subject) for gap in grade.gaps]) == ("partial", [("model.changed", "own")])
    with pytest.raises(CannotReproduce):
        shelf.versions.reproduce(task.version)
    own.write_bytes(altered(ADAPTERS["dusk"].read_bytes()))
    assert shelf.versions.reproduce(task.version).fidelity.verdict == "identical bytes"


def altered(data: bytes) -> bytes:
    """A safetensors file with the last byte of its last weight changed."""
    return data[:-1] + bytes([data[-1] ^ 1])


ABSENT: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"loras": ["ink", "inkk"]}, NotFound, "params.loras[1]"),
    ({"loras": ["scenes"]}, Invalid, "params.loras[0]"),
    ({"vae": "ink"}, Invalid, "params.vae"),
    ({"embeddings": ["nothing"]}, NotFound, "params.embeddings[0]"),
]


def test_MODEL_1_an_adapter_that_is_not_there_is_named_by_node_and_field(
    shelf: Studio, tmp_path: Path, command: Command
) -> None:
    for params, error, field in ABSENT:
        with pytest.raises(error) as caught:
            shelf.tasks.run(write(tmp_path / "w.json", "w", {"base": painted(**params)}))
        assert (getattr(caught.value, "step", ""), getattr(caught.value, "field", "")) == ("base", field)
    workflow = write(tmp_path / "w.json", "w", {"base": painted(loras=["ink", "inkk"])})
    assert "node 'base', params.loras[1]: no model 'inkk'" in command("tasks", "run", str(workflow)).stderr


def test_MODEL_1_a_check_looks_the_models_up(shelf: Studio, tmp_path: Path, command: Command) -> None:
    twice: dict[str, Any] = {"embeddings": ["lantern", "lantern"]}
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        *ABSENT,
        (twice, InvalidWorkflow, ""),
        ({"model": "nope"}, NotFound, ""),
    ]
    for params, error, _ in wrong:
        workflow = write(tmp_path / "w.json", "w", {"base": painted(**params)})
        with pytest.raises(error):
            shelf.workflows.check(workflow)
        with pytest.raises(error):
            shelf.workflows.lint(workflow)
    assert "params.model: no model 'nope'" in command("workflows", "check", str(workflow)).stderr
    assert shelf.workflows.list() == []
    own = tmp_path / "own.safetensors"
    own.write_bytes((SHIPPED / "ink.safetensors").read_bytes()[:-1] + b"\x01")
    shelf.models.add(own, name="own")
    workflow = write(tmp_path / "w.json", "w", {"base": painted(loras=["own", "ink"], embeddings=["lantern"])})
    shelf.workflows.check(workflow)
    own.unlink()
    with pytest.raises(ModelUnavailable, match="own:v1 is missing"):
        shelf.workflows.check(workflow)


CASES: dict[str, dict[str, Any]] = {
    r"params\.controlnet: goes with control_image": {"n": painted(controlnet="layout")},
    r"inputs\.control_image: goes with controlnet": {
        "guide": reference("guide.png"),
        "n": painted({"control_image": "guide"}),
    },
    r"inputs\.mask: is not connected": {"base": painted(), "n": painted({"image": "base"}, "inpaint")},
}


def test_MODEL_1_what_goes_only_together_is_refused_before_anything_runs(shelf: Studio, pictures: Path) -> None:
    for said, nodes in CASES.items():
        with pytest.raises(InvalidWorkflow, match=rf"node 'n', {said}"):
            shelf.tasks.run(write(pictures / "w.json", "w", nodes))
    assert shelf.tasks.list() == []
