from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import intaglio.nodes
from intaglio.core.context import Context, Generation, Hooks, ModelFile
from intaglio.core.errors import BackendMissing, Unavailable
from intaglio.core.image import Image
from intaglio.core.nodetype import NodeType, node_type
from intaglio.nodes import all_types, builtin_types

TYPES = {found.name: found for found in builtin_types()}
PICTURE = Image("RGB", 4, 3, bytes(range(36)))
MODEL = ModelFile(name="m", digest="blake3:" + "a" * 64, layout="diffusers", path=Path("nowhere"))
# What a node needs besides its defaults, and the size of what comes out of a picture of 4 x 3.
NEEDED: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "text-to-image": ({"model": MODEL, "prompt": "sea", "width": 16, "height": 8, "scheduler": "ddim"}, (16, 8)),
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
    "form": ({}, (4, 3)),
    "version-record": ({}, (4, 3)),
    "output": ({}, (4, 3)),
}


def generate(request: Generation, hooks: Hooks) -> Image:
    """A backend that paints everything in the seed's own grey."""
    hooks.progress(1, 1)
    return Image("L", request.width, request.height, bytes([request.seed]) * (request.width * request.height))


def called(name: str, context: Context, **more: object) -> Image:
    """Call a node type with its defaults, pictures for all inputs, and what it needs."""
    found = TYPES[name]
    defaults = {param.name: param.default for param in found.params if not param.required}
    seed = {"seed": 7} if found.draws else {}
    inputs = {port.name: None if port.optional else PICTURE for port in found.inputs}
    result = found.function(context, **inputs, **(defaults | NEEDED[name][0] | seed | more))
    assert isinstance(result, Image)
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


@pytest.mark.parametrize("name", ["text-to-image", "image-to-image", "inpaint", "model-upscale"])
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
