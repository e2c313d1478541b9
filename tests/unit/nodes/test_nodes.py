from __future__ import annotations

import types
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import intaglio.nodes
from intaglio.core.context import Context, Control, Embedding, Generation, Hooks, Lora, ModelFile, Toward
from intaglio.core.errors import BackendMissing, Invalid, Unavailable
from intaglio.core.image import Image
from intaglio.core.nodetype import NodeType, node_type
from intaglio.core.video import MP4, Media, Video
from intaglio.nodes import all_types, builtin_types

TYPES = {found.name: found for found in builtin_types()}
PICTURE = Image("RGB", 4, 3, bytes(range(36)))
MODEL = ModelFile(name="m", digest="blake3:" + "a" * 64, layout="diffusers", path=Path("nowhere"))
# What a node needs besides its defaults, and the size of what comes out of a picture of 4 x 3.
NEEDED: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "text-to-image": ({"model": MODEL, "prompt": "sea", "width": 16, "height": 8, "scheduler": "ddim"}, (16, 8)),
    "text-to-image-between": (
        {"model": MODEL, "prompt": "sea", "width": 16, "height": 8, "scheduler": "ddim"},
        (16, 8),
    ),
    "image-to-image": ({"model": MODEL, "prompt": "sea", "scheduler": "ddim"}, (4, 3)),
    "inpaint": ({"model": MODEL, "prompt": "sea", "scheduler": "ddim"}, (4, 3)),
    "model-upscale": ({"model": MODEL, "scale": 4, "scheduler": "ddim"}, (16, 12)),
    "reference-image": ({"image": PICTURE}, (4, 3)),
    "film-grain": ({}, (4, 3)),
    "colour-grade": ({"contrast": 1.5}, (4, 3)),
    "resize": ({"width": 2, "height": 5}, (2, 5)),
    "upscale": ({"factor": 3}, (12, 9)),
    "crop": ({"x": 1, "width": 2, "height": 3}, (2, 3)),
    "composite": ({"x": 1, "opacity": 0.5}, (4, 3)),
    "frames-to-video": ({"fps": Fraction(24), "pixel_format": "yuv444p"}, (4, 3)),
    "form": ({}, (4, 3)),
    "version-record": ({}, (4, 3)),
    "output": ({}, (4, 3)),
}


def generate(request: Generation, hooks: Hooks) -> Image:
    """A backend that paints everything in the seed's own grey."""
    hooks.progress(1, 1)
    return Image("L", request.width, request.height, bytes([request.seed]) * (request.width * request.height))


def called(name: str, context: Context, **more: object) -> Media:
    """Call a node type with its defaults, pictures for all inputs, and what it needs."""
    found = TYPES[name]
    defaults = {param.name: param.default for param in found.params if not param.required}
    seed = {"seed": 7} if found.draws else {}
    given = {port.name: (PICTURE, PICTURE) if port.gathers else PICTURE for port in found.inputs}
    inputs = {port.name: None if port.optional else given[port.name] for port in found.inputs}
    result = found.function(context, **(inputs | defaults | NEEDED[name][0] | seed | more))
    assert isinstance(result, Video if found.outputs[0].type == "video" else Image)
    return result


def test_every_node_type_is_tried_here() -> None:
    assert set(TYPES) == set(NEEDED)
    assert len(TYPES) == len(builtin_types())


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_node_type_is_documented(name: str) -> None:
    found = TYPES[name]
    assert found.doc.endswith(".")
    assert [param.name for param in found.params if not param.doc.strip()] == []
    assert found.version >= 1


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_default_is_a_value_the_node_takes(name: str) -> None:
    for param in TYPES[name].params:
        if not param.required and not param.from_model:
            assert param.check(param.default) == param.default


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_node_type_works_and_twice_the_same(name: str) -> None:
    context = Context(step="n", generate=generate)
    made = called(name, context)
    assert (made.width, made.height) == NEEDED[name][1]
    assert called(name, context) == made
    assert PICTURE.data == bytes(range(36))


@pytest.mark.parametrize("name", [name for name, found in TYPES.items() if found.draws])
def test_a_node_that_draws_follows_its_seed(name: str) -> None:
    context = Context(step="n", generate=generate)
    assert called(name, context, seed=8) != called(name, context, seed=7)


@pytest.mark.parametrize("name", ["form", "version-record", "output", "reference-image"])
def test_a_node_that_only_says_something_passes_its_picture_on(name: str) -> None:
    assert called(name, Context(step="n")) is PICTURE


@pytest.mark.parametrize("name", ["form", "version-record", "output"])
def test_a_node_that_only_says_something_passes_a_video_on(name: str) -> None:
    video = Video(b"film", MP4, 1, 1.0, 2, 2)
    defaults = {param.name: param.default for param in TYPES[name].params}
    assert TYPES[name].function(Context(step="n"), image=video, **defaults) is video


@pytest.mark.parametrize(
    "name", ["text-to-image", "text-to-image-between", "image-to-image", "inpaint", "model-upscale"]
)
def test_without_a_backend_nothing_is_generated(name: str) -> None:
    with pytest.raises(BackendMissing):
        called(name, Context(step="n"))


def test_a_generation_is_handed_exactly_what_the_node_was_given() -> None:
    asked: list[Generation] = []

    def keep(request: Generation, hooks: Hooks) -> Image:
        asked.append(request)
        return PICTURE

    called("image-to-image", Context(step="n", generate=keep), strength=0.25, clip_skip=2)
    request = asked[0]
    assert (request.image, request.width, request.height, request.strength) == (PICTURE, 4, 3, 0.25)
    assert (request.seed, request.clip_skip, request.steps, request.guidance) == (7, 2, 20, 7.0)


NET = ModelFile(name="net", digest="blake3:" + "b" * 64, layout="diffusers", path=Path("nowhere"))


@pytest.mark.parametrize("name", ["text-to-image", "text-to-image-between", "image-to-image", "inpaint"])
def test_adapters_are_handed_on(name: str) -> None:
    asked: list[Generation] = []

    def keep(request: Generation, hooks: Hooks) -> Image:
        asked.append(request)
        return PICTURE

    loras, embeddings = (Lora(NET, 0.5),), (Embedding(NET, "<x>"),)
    context = Context(step="n", generate=keep)
    followed = {"controlnet": NET, "control_image": PICTURE, "control_strength": 0.5}
    called(name, context, loras=loras, embeddings=embeddings, vae=NET, **followed)
    called(name, context)
    full, plain = asked
    assert (full.loras, full.embeddings, full.vae) == (loras, embeddings, NET)
    assert full.controls == (Control(NET, PICTURE, 0.5),)
    assert (plain.loras, plain.embeddings, plain.vae, plain.controls) == ((), (), None, ())


@pytest.mark.parametrize("name", ["text-to-image", "text-to-image-between", "image-to-image", "inpaint"])
@pytest.mark.parametrize("half", ["controlnet", "control_image"])
def test_a_controlnet_without_its_picture_is_refused_and_the_other_way_round(name: str, half: str) -> None:
    assert TYPES[name].together == (("controlnet", "control_image"),)
    given = {"controlnet": NET} if half == "controlnet" else {"control_image": PICTURE}
    with pytest.raises(Invalid, match="alone does nothing"):
        called(name, Context(step="n", generate=generate), **given)


def test_both_ends_of_a_between_reach_the_backend() -> None:
    asked: list[Generation] = []

    def keep(request: Generation, hooks: Hooks) -> Image:
        asked.append(request)
        return PICTURE

    context = Context(step="n", generate=keep)
    called("text-to-image-between", context, to_seed=str(2**64 - 1), position=0.25)
    called("text-to-image-between", context, to_prompt="hills")
    assert [request.toward for request in asked] == [Toward(2**64 - 1, "sea", 0.25), Toward(7, "hills", 0.5)]


def test_a_mask_and_an_enlargement_reach_the_backend() -> None:
    asked: list[Generation] = []

    def keep(request: Generation, hooks: Hooks) -> Image:
        asked.append(request)
        return PICTURE

    mask = Image("L", 4, 3, bytes(12))
    called("inpaint", Context(step="n", generate=keep), mask=mask)
    called("model-upscale", Context(step="n", generate=keep), noise_level=3)
    assert (asked[0].image, asked[0].mask, asked[0].noise_level) == (PICTURE, mask, None)
    assert (asked[1].image, asked[1].mask, asked[1].noise_level) == (PICTURE, None, 3)
    assert (asked[1].width, asked[1].height) == (16, 12)


@pytest.mark.parametrize("name", ["text-to-image", "image-to-image"])
def test_what_was_recorded_before_adapters_uses_none(name: str) -> None:
    recorded = {
        param.name: param.default if not param.from_model else 64 if param.type == "integer" else "ddim"
        for param in TYPES[name].params
        if param.type not in ("model", "loras", "embeddings") and param.name not in ("prompt", "control_strength")
    }
    migrated = TYPES[name].migrate(1, {**recorded, "prompt": "sea"})
    assert migrated == {**recorded, "prompt": "sea", "loras": [], "embeddings": [], "control_strength": 1.0}


# -- those of others --------------------------------------------------------------------------------------------------


@node_type("blur", version=4)
def blur(ctx: Context, image: Image) -> Image:
    """Blur a picture."""
    return image


class Entry:
    """An installed package's entry point, as far as finding node types looks at it."""

    def __init__(self, load: Callable[[], object]) -> None:
        self.value = "their_package.nodes"
        self.load = load


def installed(monkeypatch: pytest.MonkeyPatch, *loads: Callable[[], object]) -> None:
    """Pretend that packages with these entry points are installed."""
    entries = [Entry(load) for load in loads]

    def entry_points(group: str) -> list[Entry]:
        assert group == "intaglio.nodes"
        return entries

    monkeypatch.setattr(intaglio.nodes, "entry_points", entry_points)


def test_a_third_partys_module_brings_its_node_types(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("their_package.nodes")
    module.__dict__.update(blur=blur, helper=len, other=7)
    installed(monkeypatch, lambda: module)
    found = all_types()
    assert found["blur"] is blur
    assert set(found) == {*TYPES, "blur"}


def test_an_entry_point_may_be_one_node_type(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, lambda: blur)
    assert all_types()["blur"] is blur


@pytest.mark.parametrize("error", [ImportError("no module"), SyntaxError("bad"), ZeroDivisionError(), TypeError("x")])
def test_a_broken_package_is_named(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> object:
        raise error

    installed(monkeypatch, load)
    with pytest.raises(Unavailable, match=rf"'their_package.nodes' cannot be loaded: {type(error).__name__}") as caught:
        all_types()
    assert caught.value.hint


def test_two_packages_with_one_node_type_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    again: NodeType = node_type("output", version=1)(blur.function)
    installed(monkeypatch, lambda: again)
    with pytest.raises(Unavailable, match="output@1 is declared twice"):
        all_types()
