"""Repainting under a mask, and enlarging."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from backends import adapters
from backends.adapters import model, stripes
from PIL import Image as Pillow

from intaglio.backends.diffusers import DiffusersBackend
from intaglio.backends.inspect import inspect_model
from intaglio.backends.quiet import library, quiet
from intaglio.core.context import Generation, Hooks
from intaglio.core.errors import Invalid
from intaglio.core.image import Image

Ask = Callable[..., Generation]
SILENT = Hooks()


def upper_half_black(width: int, height: int) -> Image:
    half = width * height // 2
    return Image("L", width, height, bytes(half) + b"\xff" * half)


# -- under a mask ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_black_keeps_every_pixel_and_white_is_repainted(
    backend: DiffusersBackend, ask: Ask, heard: Any, strength: float
) -> None:
    original = stripes(64, 64)
    request = ask(image=original, mask=upper_half_black(64, 64), strength=strength, steps=5)
    bare = backend.generate(ask(), SILENT)
    picture = backend.generate(request, heard.hooks)
    half = len(original.data) // 2
    assert picture.data[:half] == original.data[:half]
    assert picture.data[half:] != original.data[half:]
    assert heard.notes == ([] if strength == 1.0 else ["3 of 5 steps run at strength 0.6"])
    assert backend.generate(request, SILENT).data == picture.data
    assert backend.generate(replace(request, prompt="a dog"), SILENT).data != picture.data
    assert backend.generate(ask(), SILENT).data == bare.data


@pytest.mark.usefixtures("one_thread")
def test_under_a_white_mask_it_is_the_picture_of_a_bare_script(
    backend: DiffusersBackend, ask: Ask, tiny_sdxl: Path
) -> None:
    white = Image("L", 32, 32, b"\xff" * 32 * 32)
    size: dict[str, Any] = {"model": model(tiny_sdxl), "width": 32, "height": 32, "scheduler": "euler"}
    request = ask(**size, image=stripes(32, 32), mask=white, strength=0.75, steps=4)
    with quiet():
        torch = library("torch")
        base = adapters.pipeline(tiny_sdxl)
        picture = library("diffusers").AutoPipelineForInpainting.from_pipe(base)(
            prompt=request.prompt, negative_prompt=request.negative_prompt, num_inference_steps=4, strength=0.75,
            guidance_scale=request.guidance, generator=torch.Generator("cpu").manual_seed(request.seed),
            image=Pillow.frombytes("RGB", (32, 32), stripes(32, 32).data), width=32, height=32,
            mask_image=Pillow.frombytes("L", (32, 32), white.data),
        ).images[0]  # fmt: skip
    assert backend.generate(request, SILENT).data == picture.tobytes()


def test_the_models_own_channels_are_told_again_afterwards(backend: DiffusersBackend, ask: Ask) -> None:
    backend.generate(ask(image=stripes(64, 64), mask=upper_half_black(64, 64), steps=1), SILENT)
    base = next(entry.model for key, entry in backend._warm._entries.items() if key.digest == ask().model.digest)
    assert base.unet.config.in_channels == 8


def test_grey_blends(backend: DiffusersBackend, ask: Ask) -> None:
    original = stripes(64, 64)
    grey = Image("L", 64, 64, b"\x80" * 64 * 64)
    white = Image("L", 64, 64, b"\xff" * 64 * 64)
    blend, painted = (backend.generate(ask(image=original, mask=mask), SILENT).data for mask in (grey, white))
    expected = [(128 * new + 127 * old) / 255 for new, old in zip(painted, original.data, strict=True)]
    assert all(abs(a - b) <= 1 for a, b in zip(blend, expected, strict=True))


def test_mask_and_picture_are_fitted_and_said(backend: DiffusersBackend, ask: Ask, heard: Any) -> None:
    mask = Image("RGB", 32, 32, bytes(32 * 16 * 3) + b"\xff" * 32 * 16 * 3)
    original = stripes(128, 128, 32)
    picture = backend.generate(ask(image=original, mask=mask, steps=1), heard.hooks)
    assert heard.notes == ["picture resized from 128x128 to 64x64", "mask resized from 32x32 to 64x64"]
    small = Pillow.frombytes("RGB", (128, 128), original.data).resize((64, 64), Pillow.Resampling.LANCZOS)
    assert picture.data[: 64 * 24 * 3] == small.tobytes()[: 64 * 24 * 3]


def test_flux_under_a_mask(backend: DiffusersBackend, ask: Ask, tiny_flux: Path) -> None:
    flux: dict[str, Any] = {"model": model(tiny_flux), "width": 32, "height": 32, "negative_prompt": ""}
    original = stripes(32, 32)
    request = ask(**flux, scheduler="flow_euler", image=original, mask=upper_half_black(32, 32), strength=0.9, steps=3)
    picture = backend.generate(request, SILENT)
    assert picture.data[: 32 * 16 * 3] == original.data[: 32 * 16 * 3]
    assert picture.data != original.data


def test_a_model_made_for_masks(backend: DiffusersBackend, ask: Ask, tiny_sdxl: Path, tmp_path: Path) -> None:
    """Its U-Net reads the mask and the masked picture too: nine channels."""
    folder = Path(shutil.copytree(tiny_sdxl, tmp_path / "nine"))
    config = json.loads((folder / "unet" / "config.json").read_text()) | {"in_channels": 9}
    unet = library("diffusers").UNet2DConditionModel.from_config(config)
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet", safe_serialization=True)
    adapters.edit(folder / "model_index.json", _class_name="StableDiffusionXLInpaintPipeline")
    size: dict[str, Any] = {"model": model(folder), "width": 32, "height": 32, "scheduler": "euler"}
    original = stripes(32, 32)
    picture = backend.generate(ask(**size, image=original, mask=upper_half_black(32, 32)), SILENT)
    assert picture.data[: 32 * 16 * 3] == original.data[: 32 * 16 * 3]
    for changes in ({}, {"image": original}):
        with pytest.raises(Invalid, match="only repaints under a mask"):
            backend.generate(ask(**size, **changes), SILENT)


def test_masks_that_make_no_sense(backend: DiffusersBackend, ask: Ask) -> None:
    with pytest.raises(Invalid, match="a mask without a picture"):
        backend.generate(ask(mask=upper_half_black(64, 64)), SILENT)
    with pytest.raises(Invalid, match="black everywhere"):
        backend.generate(ask(image=stripes(64, 64), mask=Image("L", 64, 64, bytes(64 * 64))), SILENT)


# -- enlarging ------------------------------------------------------------------------------------------------------


def test_an_upscaler_says_how_many_times_it_enlarges(tiny_upscaler: Path) -> None:
    facts = inspect_model(tiny_upscaler)
    assert (facts.kind, facts.layout) == ("upscaler", "diffusers")
    assert facts.defaults == {"scale": 2, "scheduler": "DDIMScheduler"}


@pytest.mark.usefixtures("one_thread")
def test_an_upscaler_enlarges(backend: DiffusersBackend, ask: Ask, tiny_upscaler: Path, heard: Any) -> None:
    small = stripes(24, 16, 4)
    request = ask(model=model(tiny_upscaler), image=small, width=48, height=32, noise_level=20)
    picture = backend.generate(request, heard.hooks)
    assert (picture.width, picture.height) == (48, 32)
    assert heard.progress == [(1, 3), (2, 3), (3, 3)]
    assert heard.notes == []
    with quiet():
        plain = adapters.pipeline(tiny_upscaler)(
            prompt=request.prompt, negative_prompt=request.negative_prompt, num_inference_steps=request.steps,
            guidance_scale=request.guidance, noise_level=20,
            generator=library("torch").Generator("cpu").manual_seed(request.seed),
            image=Pillow.frombytes("RGB", (24, 16), small.data),
        ).images[0]  # fmt: skip
    assert picture.data == plain.tobytes()
    assert backend.generate(replace(request, noise_level=90), SILENT).data != picture.data
    assert backend.generate(replace(request, image=stripes(24, 16, 8)), SILENT).data != picture.data
    assert backend.generate(request, SILENT).data == picture.data


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 64}, "makes 48x32 of 24x16, not 64x32"),
        ({"image": stripes(25, 16), "width": 50}, "in multiples of 2"),
        ({"image": None}, "enlarges a picture and does nothing else"),
        ({"mask": upper_half_black(48, 32)}, "enlarges a picture and does nothing else"),
        ({"noise_level": None}, "noise level None is not between 0 and 99"),
        ({"noise_level": 100}, "noise level 100 is not between 0 and 99"),
        ({"noise_level": -1}, "noise level -1"),
    ],
)
def test_what_an_upscaler_cannot_do(
    backend: DiffusersBackend, ask: Ask, tiny_upscaler: Path, changes: dict[str, Any], message: str
) -> None:
    settings = {"image": stripes(24, 16), "width": 48, "height": 32, "noise_level": 20} | changes
    with pytest.raises(Invalid, match=message):
        backend.generate(ask(model=model(tiny_upscaler), **settings), SILENT)


def test_other_models_do_not_enlarge(backend: DiffusersBackend, ask: Ask) -> None:
    with pytest.raises(Invalid, match="StableDiffusionPipeline does not enlarge pictures"):
        backend.generate(ask(image=stripes(64, 64), noise_level=20), SILENT)
