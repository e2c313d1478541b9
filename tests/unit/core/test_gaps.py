from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest

from intaglio.core.context import Context
from intaglio.core.environment import Cpu
from intaglio.core.gaps import AssetState, ModelState, environment_gaps, input_gaps, model_gaps, node_gaps
from intaglio.core.grade import CODES, Gap
from intaglio.core.image import Image
from intaglio.core.nodetype import NodeTypes, node_type
from intaglio.core.plan import AssetRef, Source

from .samples import MODEL, REF, SEED, environment, name_of, plan_of, step


def work(ctx: Context, image: Image, *, amount: float = 1.0, picture: Image, seed: int) -> Image:
    """Do a little."""
    return image


TYPES = NodeTypes([node_type("little", version=2)(work)])
PICTURE = AssetRef(digest=name_of("1"), media_type="image/png", address="", name="a.png")
NOW = environment()
CPU: set[str] = {"cpu"}


def found(gaps: Iterable[Gap]) -> list[tuple[str, str]]:
    """Code and subject of each gap; every one must be declared and say something."""
    known = list(gaps)
    for gap in known:
        assert gap.code in CODES
        assert gap.message
        assert gap.remedy
    return [(gap.code, gap.subject) for gap in known]


def little(**more: Any) -> Any:
    """A step of the type that is there."""
    given = {
        "type_version": 2,
        "params": {"amount": 1.0},
        "assets": {"picture": PICTURE},
        "inputs": {"image": Source(step="before", output="image")},
        "seed": SEED,
    }
    return step("n", "little", **{**given, **more})


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"assets": {}}, [("parameter.unknown", "n.picture")]),
        ({"inputs": {}}, [("parameter.unknown", "n.image")]),
        ({"seed": None}, [("seed.unknown", "n")]),
        ({"type": "gone"}, [("node.unknown", "n")]),
        ({"type_version": 1}, [("node.version_changed", "n")]),
        ({"params": {"amount": 1.0, "size": 2}}, [("parameter.unknown", "n.size")]),
        ({"params": {}}, [("parameter.unknown", "n.amount")]),
        ({"params": {"strength": 1}}, [("parameter.unknown", "n.amount"), ("parameter.unknown", "n.strength")]),
        ({"assets": {"photo": PICTURE}}, [("parameter.unknown", "n.photo"), ("parameter.unknown", "n.picture")]),
        ({"models": {"model": REF}}, [("parameter.unknown", "n.model")]),
    ],
)
def test_node_gaps(changed: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    kind = changed.pop("type", "little") if "type" in changed else "little"
    plan = plan_of(dataclasses.replace(little(**changed), type=kind))
    assert found(node_gaps(plan, TYPES)) == expected


def test_a_changed_node_names_the_version_that_is_here() -> None:
    gap = next(node_gaps(plan_of(little(type_version=1)), TYPES))
    assert "little@1, which is not installed; here it is little@2" in gap.message
    assert "takes the same parameters" in gap.message


MODEL_STATES: list[ModelState] = ["missing", "changed", "restorable"]


@pytest.mark.parametrize("state", MODEL_STATES)
def test_a_model_that_is_not_what_ran_is_one_gap_whoever_uses_it(state: ModelState) -> None:
    plan = plan_of(step("a", models={"model": REF}), step("b", models={"model": REF}))
    config = dataclasses.replace(MODEL, name="config", digest=REF.config)
    models = {REF.digest: MODEL, REF.config: config}
    states: dict[str, tuple[ModelState, str]] = {REF.digest: (state, "so it is"), REF.config: ("ok", "")}
    gaps = list(model_gaps(plan, models, states))
    assert found(gaps) == [(f"model.{state}", "scenes")]
    assert "used by a, b" in gaps[0].message
    assert found(model_gaps(plan, models, {REF.digest: ("ok", "")})) == [("model.missing", "config")]
    assert found(model_gaps(plan, models, dict.fromkeys(models, ("ok", "")))) == []


ASSET_STATES: list[AssetState] = ["ok", "missing", "damaged"]


@pytest.mark.parametrize("state", ASSET_STATES)
def test_input_gaps(state: AssetState) -> None:
    plan = plan_of(step("a", assets={"image": PICTURE}))
    expected = [] if state == "ok" else [(f"input.{state}", "a.image")]
    assert found(input_gaps(plan, {PICTURE.digest: state})) == expected


def test_an_input_of_which_nothing_is_known_is_missing() -> None:
    assert found(input_gaps(plan_of(step("a", assets={"image": PICTURE})), {})) == [("input.missing", "a.image")]


def libraries(**more: str) -> dict[str, str]:
    """The installed libraries, with these changed."""
    return {**NOW.libraries, **more}


def backend(**more: Any) -> dict[str, Any]:
    """What the backend says, with this changed."""
    return {**NOW.backend, **more}


CHANGED: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "nothing": ({}, []),
    "numpy": ({"libraries": libraries(numpy="2.5")}, [("library.changed", "numpy")]),
    "numpy gone": ({"libraries": libraries(numpy="")}, [("library.missing", "numpy")]),
    "pillow new": ({"libraries": libraries(pillow="13")}, [("library.changed", "pillow")]),
    "torch": ({"libraries": libraries(torch="2.14.0")}, [("library.changed", "torch")]),
    "peft now there": ({"libraries": libraries(peft="1")}, [("library.changed", "peft")]),
    "torch gone": ({"libraries": libraries(torch="")}, [("library.missing", "torch")]),
    "one that draws nothing": ({"libraries": libraries(click="9")}, []),
    "python": ({"python": "3.12.0"}, [("python.changed", "python")]),
    "python's last number": ({"python": "3.11.10"}, []),
    "operating system": ({"os": "Linux 7"}, []),
    "processor": ({"cpu": Cpu(model="EPYC", instruction_set="avx512f", cores=2)}, [("device.changed", "cpu")]),
    "instruction set": ({"cpu": Cpu(model="Xeon", instruction_set="avx2", cores=2)}, [("device.changed", "cpu")]),
    "cores": ({"cpu": Cpu(model="Xeon", instruction_set="avx512f", cores=64)}, []),
    "threads": ({"threads": 4}, [("threads.changed", "threads")]),
    "capability": ({"backend": backend(cpu_capability="AVX2")}, [("device.changed", "cpu_capability")]),
    "mkl": ({"backend": backend(mkl="2026")}, [("device.changed", "mkl")]),
    "precision": ({"backend": backend(float32_precision="high")}, [("precision.changed", "float32_precision")]),
    "switch": ({"backend": backend(deterministic_algorithms=0)}, [("precision.changed", "deterministic_algorithms")]),
    "a GPU nobody used": ({"backend": backend(gpus=["H200"], cuda="13")}, []),
}
WITHOUT_MODELS = ("numpy", "numpy gone", "pillow new", "python")


@pytest.mark.parametrize("what", CHANGED)
def test_environment_gaps_where_models_ran(what: str) -> None:
    changed, expected = CHANGED[what]
    assert found(environment_gaps(NOW, environment(**changed), devices=CPU)) == expected


@pytest.mark.parametrize("what", CHANGED)
def test_without_models_only_what_every_node_uses_counts(what: str) -> None:
    changed, expected = CHANGED[what]
    gaps = found(environment_gaps(NOW, environment(**changed), devices=set()))
    assert gaps == (expected if what in WITHOUT_MODELS else [])


FILM = {"av": "18.1.0", "av:libavcodec": "62.28.102", "av:libx264": "165"}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (FILM, []),
        ({**FILM, "av": "18.2.0"}, [("library.changed", "av")]),
        ({**FILM, "av:libx264": "164"}, [("library.changed", "av:libx264")]),
        (dict.fromkeys(FILM, ""), [("library.missing", "av")]),
        ({}, []),
    ],
    ids=["the same", "PyAV", "x264", "none here", "no video is graded"],
)
def test_another_encoder_is_a_gap_where_a_video_was_made(now: dict[str, str], expected: list[tuple[str, str]]) -> None:
    then, here = environment(libraries=libraries(**FILM)), environment(libraries=libraries(**now))
    gaps = list(environment_gaps(then, here, devices=set()))
    assert [(gap.code, gap.subject) for gap in gaps] == expected
    assert all(gap.remedy.endswith("pip install av==18.1.0") for gap in gaps)


def test_a_device_that_is_not_here() -> None:
    then = environment(backend=backend(devices=["cpu", "cuda:0"], gpus=["H200"]))
    gaps = found(environment_gaps(then, NOW, devices={"cuda:0", "cuda:1"}))
    assert gaps == [("device.missing", "cuda"), ("device.changed", "gpus")]
    assert found(environment_gaps(then, then, devices={"cuda:0"})) == []
    assert found(environment_gaps(NOW, environment(backend={}), devices=CPU))[0] == ("device.changed", "cpu_capability")


def test_what_ran_with_exact_algorithms_off_can_never_be_full() -> None:
    loose = environment(deterministic=False)
    assert found(environment_gaps(loose, loose, devices=CPU)) == [("nondeterministic", "deterministic")]


def test_every_declared_gap_is_found_by_some_test_here() -> None:
    seen = {code for _, gaps in CHANGED.values() for code, _ in gaps}
    seen |= {f"model.{state}" for state in MODEL_STATES} | {"input.missing", "input.damaged", "device.missing"}
    seen |= {"node.unknown", "node.version_changed", "parameter.unknown", "nondeterministic"}
    seen |= {
        "model.unhashed",
        "model.name_only",
        "model.substituted",
        "workflow.unreadable",
        "tool.unknown",
        "record.altered",
    }
    seen |= {"seed.unknown", "hosted.unpinned", "batch.unknown"}
    assert seen == set(CODES)
