"""Node types change; what was recorded with them keeps its meaning, or says what stands in its way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from acceptance.conftest import Command, node, painting, write
from acceptance.plugin import installer, tint

import intaglio.nodes
from intaglio.cli.main import main
from intaglio.core.context import Context, Generation
from intaglio.core.errors import CannotReproduce, InvalidWorkflow, Unfixed, UnpinnedModel, UnpinnedSeed
from intaglio.core.image import Image
from intaglio.core.nodetype import FromModel, Interval, Migration, NodeType, node_type
from intaglio.imaging.adjust import colour_grade
from intaglio.nodes import painting as words
from intaglio.studio.open import Studio, open_studio
from intaglio.studio.settings import Settings

Migrations = Mapping[int, Migration]


def tint_in_percent(migrations: Migrations) -> NodeType:
    """Version 2 of the node type "tint": the amount is called `percent`, and is one."""

    def work(ctx: Context, image: Image, *, percent: Annotated[float, Interval(ge=0, le=400)] = 30.0) -> Image:
        """Tint a picture."""
        return colour_grade(image, brightness=percent / 100, contrast=1.0, saturation=1.0, temperature=0.0, gamma=1.0)

    return node_type("tint", version=2, migrations=migrations)(work)


def in_percent(params: dict[str, Any]) -> dict[str, Any]:
    """From version 1 to version 2."""
    return {"percent": params["amount"] * 100}


def tinted(plain_chain: Path) -> Path:
    """The plain chain with a tint at its end."""
    document = json.loads(plain_chain.read_text())
    document["nodes"]["tint"] = node("tint", "big")
    document["nodes"]["out"]["inputs"] = {"image": "tint"}
    plain_chain.write_text(json.dumps(document))
    return plain_chain


def test_SNAP_4_an_old_step_runs_as_it_meant_by_migration(
    studio: Studio, plain_chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = installer(monkeypatch)
    install(tint(default=1.5))
    task = studio.tasks.run(tinted(plain_chain), annotation="when it was called amount")
    install(tint_in_percent({1: in_percent}))
    with open_studio(studio.root) as later:
        back = later.versions.reproduce(task.version)
        assert (back.grade.grade, back.grade.gaps, back.fidelity.verdict) == ("full", (), "identical bytes")
        step = later.tasks.snapshot(back.task.id).plan.step("tint")
        assert (step.type_version, step.params) == (1, {"amount": 1.5}), "the record stays what it was"
        record = next(record for record in later.tasks.show(back.task.id).steps if record.step == "tint")
        assert record.notes == ("run by tint@2, which does what 1 did",)
        keys = {result.step: result.key for result in later.versions.snapshot(task.version).results}
        assert record.key == keys["tint"], "the same content key, whichever version does the work"


def _refuse(params: dict[str, Any]) -> dict[str, Any]:
    raise ValueError("it tints in another colour space now")


def _break(params: dict[str, Any]) -> dict[str, Any]:
    return {"percent": params["no such thing"]}


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ([tint_in_percent({1: _refuse})], "it tints in another colour space now"),
        ([tint_in_percent({1: _break})], "its migration failed: KeyError: 'no such thing'"),
        ([tint_in_percent({1: lambda params: {"percent": 4000}})], "parameter 'percent': 4000 is out of range"),
        ([tint_in_percent({})], "where parameter amount went; parameter percent came"),
        ([tint(version=2, default=0.25)], "where the default of amount was 1.5 and is 0.25"),
        ([tint(version=2, default=1.5)], "takes the same parameters and may do something else"),
    ],
)
def test_REP_2_a_version_that_cannot_mean_the_same_says_what_changed(
    studio: Studio, plain_chain: Path, monkeypatch: pytest.MonkeyPatch, types: list[NodeType], said: str
) -> None:
    install = installer(monkeypatch)
    install(tint(default=1.5))
    task = studio.tasks.run(tinted(plain_chain), annotation="x")
    install(*types)
    with open_studio(studio.root) as later:
        grade = later.versions.grade(task.version)
        assert (grade.grade, [(gap.code, gap.subject) for gap in grade.gaps]) == (
            "partial", [("node.version_changed", "tint")],
        )  # fmt: skip
        assert said in grade.gaps[0].message
        with pytest.raises(CannotReproduce, match="node 'tint' ran as tint@1"):
            later.versions.reproduce(task.version)


def test_SNAP_4_with_its_type_gone_a_snapshot_is_readable_exportable_and_comparable(
    studio: Studio, plain_chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = installer(monkeypatch)
    install(tint())
    one = studio.tasks.run(tinted(plain_chain), set=["grain.seed=1"], annotation="one")
    two = studio.tasks.run(plain_chain, set=["grain.seed=1", "tint.amount=0.5"], annotation="two")
    install()
    with open_studio(studio.root) as later:
        assert later.versions.grade(one.version).gaps[0].code == "node.unknown"
        assert later.versions.snapshot(one.version).plan.step("tint").params == {"amount": 1.5}
        files = {path.name for path in later.versions.export(one.version, tmp_path / "out")}
        picture = later.versions.snapshot(one.version).plan.step("in").assets["image"].digest.removeprefix("blake3:")
        assert files == {"out.png", "seeds.json", "record.json", f"{picture}.png"}
        assert later.versions.find(tmp_path / "out" / "out.png")[0] == one.version
        found = later.tasks.diff(one.version, two.version)
        assert found.first is not None
        assert found.first.step == "tint"


@node_type("text-to-image", version=1, batch=True)
def text_to_image_1(
    ctx: Context,
    *,
    model: words.Checkpoint,
    prompt: words.Prompt,
    negative_prompt: words.NegativePrompt = "",
    width: Annotated[int, words.Side, FromModel("width")] = 0,
    height: Annotated[int, words.Side, FromModel("height")] = 0,
    steps: words.Steps = 20,
    guidance: words.Guidance = 7.0,
    scheduler: words.Scheduler = "",
    clip_skip: words.ClipSkip = 0,
    dtype: words.Dtype = "float32",
    device: words.Device = "auto",
    seed: int,
) -> Image:
    """Make a picture, as the first release did."""
    request = Generation(
        model, prompt, negative_prompt, seed, steps, guidance, width, height, scheduler, clip_skip, dtype, device
    )
    assert ctx.generate is not None
    return ctx.generate(request, ctx.hooks)


def test_REP_1_a_picture_of_the_first_release_comes_back(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = installer(monkeypatch)
    install(text_to_image_1)
    workflow = write(tmp_path / "w.json", "w", {"base": node("text-to-image@1", count=2, **painting())})
    task = studio.tasks.run(workflow, annotation="of the first release")
    recorded = studio.versions.snapshot(task.version).plan
    assert (recorded.steps[0].type_version, "loras" in recorded.steps[0].params) == (1, False)
    install()
    assert intaglio.nodes.all_types().exact("text-to-image", 1) is None
    with open_studio(studio.root) as later:
        back = later.versions.reproduce(task.version)
        assert (back.grade.grade, back.fidelity.verdict) == ("full", "identical bytes")
        with pytest.raises(InvalidWorkflow, match="'text-to-image' has no version '1' here") as refused:
            later.workflows.check(workflow)
        assert "text-to-image@2" in refused.value.hint


# -- types that promise less ------------------------------------------------------------------------------------------


def promising(**told: Any) -> NodeType:
    """A node type "maybe" that says this of itself."""

    def work(ctx: Context) -> Image:
        """Make a grey picture."""
        return Image("L", 2, 2, bytes([7] * 4))

    return node_type("maybe", version=1, **told)(work)


@pytest.mark.parametrize(
    ("told", "code"), [({"deterministic": False}, "nondeterministic"), ({"networked": True}, "hosted.unpinned")]
)
def test_REP_2_a_type_that_cannot_promise_is_approximate_at_best_and_refused_in_production(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, bool], code: str
) -> None:
    installer(monkeypatch)(promising(**told))
    nodes = {"m": node("maybe"), "big": node("upscale", "m")}
    with open_studio(studio.root) as later:
        task = later.tasks.run(write(tmp_path / "w.json", "w", nodes), annotation="x")
        grade = later.versions.grade(task.version)
        assert (grade.grade, [(gap.code, gap.subject) for gap in grade.gaps]) == ("approximate", [(code, "m")])
        assert later.versions.reproduce(task.version).fidelity.verdict == "identical bytes"
        found = later.workflows.lint(tmp_path / "w.json")
        assert [(finding.code, finding.node) for finding in found] == [(code, "m"), ("upstream.unpinned", "big")]
        with pytest.raises(Unfixed, match="node 'm'"):
            later.tasks.run(write(tmp_path / "p.json", "p", nodes, mode="production"))


# -- the lint ---------------------------------------------------------------------------------------------------------


def loose(tmp_path: Path, **more: Any) -> Path:
    """A workflow with everything in it that could come out otherwise."""
    nodes = {
        "base": node("text-to-image", **painting()),
        "grain": node("film-grain", "base", seed=3),
        "out": node("output", "grain"),
    }
    return write(tmp_path / "loose.json", "loose", nodes, **more)


def test_SEED_4_the_lint_names_what_is_not_fixed(studio: Studio, tmp_path: Path, command: Command) -> None:
    done = command("workflows", "check", str(loose(tmp_path)), "--strict", "--json")
    assert done.returncode == 2
    findings = json.loads(done.stdout)["findings"]
    assert [(f["level"], f["code"], f["node"]) for f in findings] == [
        ("error", "seed.unpinned", "base"),
        ("error", "model.unpinned", "base"),
        ("remark", "device.unpinned", "base"),
        ("error", "upstream.unpinned", "grain"),
        ("error", "upstream.unpinned", "out"),
    ]
    assert all(finding["message"] and finding["remedy"] for finding in findings)
    shown = command("workflows", "check", str(loose(tmp_path)), "--strict")
    assert shown.returncode == 2
    assert "upstream.unpinned" in shown.stdout
    assert "node 'grain' works on what is not the same every time: base" in shown.stdout


def test_VER_3_a_workflow_without_findings_is_one_that_production_runs_always_the_same(
    studio: Studio, tmp_path: Path, command: Command
) -> None:
    nodes = {"base": node("text-to-image", seed=7, **painting(model="scenes:v1", device="cpu"))}
    workflow = write(tmp_path / "w.json", "w", nodes, mode="production")
    done = command("workflows", "check", str(workflow), "--strict")
    assert (done.returncode, done.stdout) == (0, "fixed: every run gives the same pictures\n")
    tasks = [studio.tasks.run(workflow, reuse=False) for _ in range(2)]
    assert len({studio.tasks.snapshot(task.id).outputs[0].asset for task in tasks}) == 1


def test_VER_3_production_refuses_each_reason_by_name(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(UnpinnedSeed, match="base"):
        studio.workflows.check(loose(tmp_path, mode="production"))
    pins: dict[str, Any] = {"base": {"seed": "5"}}
    with pytest.raises(UnpinnedModel, match="base"):
        studio.workflows.check(loose(tmp_path, mode="production", pins=pins))
    pins = {"base": {"seed": "5", "models": {"model": studio.models.find("scenes").digest}}}
    workflow = loose(tmp_path, mode="production", pins=pins)
    studio.workflows.check(workflow)
    with (
        open_studio(studio.root, Settings(deterministic=False)) as fast,
        pytest.raises(Unfixed, match="deterministic is off"),
    ):
        fast.tasks.run(workflow)


def test_VER_3_the_lint_reads_what_the_library_holds_and_refuses_what_is_no_workflow(
    studio: Studio, tmp_path: Path, command: Command
) -> None:
    studio.workflows.add(loose(tmp_path))
    assert command("workflows", "check", "loose", "--strict").returncode == 2
    assert command("workflows", "check", "nothing", "--strict").returncode == 3
    broken = write(tmp_path / "broken.json", "broken", {"a": node("film-grain", "nobody")})
    assert "there is no such node" in command("workflows", "check", str(broken), "--strict").stderr
    assert [name for name, *_ in studio.workflows.list()] == ["loose"], "looking keeps nothing"


# -- what a node can be -----------------------------------------------------------------------------------------------


def shown(capsys: pytest.CaptureFixture[str], studio: Studio, *arguments: str) -> str:
    """What a command prints, run in this process, where the plug-in is installed."""
    assert main(["--library", str(studio.root), "nodes", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "facts", "lines"),
    [
        (
            lambda: tint_in_percent({1: in_percent}),
            {"version": 2, "migrations": [1], "deterministic": True, "networked": False},
            ["runs what was recorded as @1, as it meant then"],
        ),
        (
            lambda: promising(deterministic=False, networked=True),
            {"version": 1, "migrations": [], "deterministic": False, "networked": True},
            ["not deterministic: the same seed", "asks a service"],
        ),
    ],
)
def test_RUN_1_a_node_type_shows_its_version_migrations_and_promises(
    studio: Studio,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[], NodeType],
    facts: dict[str, Any],
    lines: list[str],
) -> None:
    found = make()
    installer(monkeypatch)(found)
    described = json.loads(shown(capsys, studio, "show", found.name, "--json"))
    assert {name: described[name] for name in facts} == facts
    text = shown(capsys, studio, "show", found.name)
    assert all(line in text for line in lines)


def test_RUN_1_optional_and_several_models_are_shown(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    described = json.loads(shown(capsys, studio, "show", "text-to-image", "--json"))
    params = {param["name"]: param for param in described["params"]}
    assert (params["loras"]["type"], params["loras"]["default"], params["loras"]["model_kind"]) == ("loras", [], "lora")
    assert (params["vae"]["type"], params["vae"]["required"], params["vae"]["default"]) == ("model", False, None)
    assert described["together"] == [["controlnet", "control_image"]]
    text = shown(capsys, studio, "show", "text-to-image")
    assert "none; weight -10 to 10" in text
    assert "give controlnet and control_image together, or none of them" in text
