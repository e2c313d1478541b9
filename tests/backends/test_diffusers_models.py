"""Models of other layouts and families, and models that are damaged."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intaglio.backends.diffusers import DiffusersBackend
from intaglio.backends.quiet import library
from intaglio.core.context import Generation, Hooks, ModelFile
from intaglio.core.errors import (
    IntaglioError,
    Invalid,
    InvalidModel,
    ModelUnavailable,
    UnsafeModel,
)
from intaglio.core.image import Image

Ask = Callable[..., Generation]
Plain = Callable[..., bytes]
SILENT = Hooks()


def model(path: Path, config: Path | None = None, layout: str = "diffusers") -> ModelFile:
    return ModelFile(path.name, f"blake3:{path}", layout, path, config)


def gradient(width: int, height: int, mode: str = "RGB") -> Image:
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    return Image(mode, width, height, bytes(i % 251 for i in range(width * height * channels)))


# -- models ---------------------------------------------------------------------------------------------------------


def test_a_single_file_gives_the_picture_of_its_folder(
    backend: DiffusersBackend, ask: Ask, single_file: Path, scenes: Path, tmp_path: Path
) -> None:
    folder = backend.generate(ask(), SILENT)
    assert backend.generate(ask(model=model(single_file, scenes, "single-file")), SILENT).data == folder.data
    unnamed = tmp_path / "b5d4045c3f466fa9"
    shutil.copy(single_file, unnamed)
    assert backend.generate(ask(model=model(unnamed, scenes, "single-file")), SILENT).data == folder.data


def tampered(scenes: Path, to: Path, part: str, change: Callable[[dict[str, Any]], None]) -> ModelFile:
    weights = library("safetensors.torch")
    folder = Path(shutil.copytree(scenes, to / part))
    file = next((folder / part).glob("*.safetensors"))
    tensors = weights.load_file(file)
    change(tensors)
    weights.save_file(tensors, file, metadata={"format": "pt"})
    return model(folder)


def test_a_picture_of_nothing_is_an_error(backend: DiffusersBackend, ask: Ask, scenes: Path, tmp_path: Path) -> None:
    def spoil(tensors: dict[str, Any]) -> None:
        tensors["conv_out.weight"] = tensors["conv_out.weight"] * math.nan

    broken = tampered(scenes, tmp_path, "unet", spoil)
    with pytest.raises(IntaglioError, match="computed no picture: not-a-number in float16") as caught:
        backend.generate(ask(model=broken, dtype="float16"), SILENT)
    assert "float32" in caught.value.hint


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_weights_with_holes_are_refused(
    backend: DiffusersBackend, ask: Ask, scenes: Path, tmp_path: Path, part: str
) -> None:
    holed = tampered(scenes, tmp_path, part, lambda tensors: tensors.pop(sorted(tensors)[5]))
    with pytest.raises(InvalidModel, match="does not hold all weights"):
        backend.generate(ask(model=holed), SILENT)


def test_a_single_file_with_holes_is_refused(
    backend: DiffusersBackend, ask: Ask, scenes: Path, single_file: Path, tmp_path: Path
) -> None:
    weights = library("safetensors.torch")
    for start in ("model.diffusion_model.", "first_stage_model.", "cond_stage_model."):
        tensors = weights.load_file(single_file)
        tensors.pop(sorted(name for name in tensors if name.startswith(start))[5])
        holed = tmp_path / f"{start}safetensors"
        weights.save_file(tensors, holed)
        with pytest.raises(InvalidModel, match="does not hold all weights"):
            backend.generate(ask(model=model(holed, scenes, "single-file")), SILENT)


def test_an_extra_tensor_does_no_harm(backend: DiffusersBackend, ask: Ask, scenes: Path, tmp_path: Path) -> None:
    torch = library("torch")
    more = tampered(scenes, tmp_path, "text_encoder", lambda tensors: tensors.update(extra=torch.zeros(1)))
    assert backend.generate(ask(model=more), SILENT).data == backend.generate(ask(), SILENT).data


def test_weights_that_come_only_as_a_variant(backend: DiffusersBackend, ask: Ask, scenes: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(scenes, tmp_path / "variant"))
    for file in [*folder.glob("*/*.safetensors")]:
        file.rename(file.with_name(f"{file.stem}.fp16.safetensors"))
    assert backend.generate(ask(model=model(folder)), SILENT).data == backend.generate(ask(), SILENT).data


def test_a_folder_as_the_hub_has_them(backend: DiffusersBackend, ask: Ask, scenes: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(scenes, tmp_path / "hub"))
    index = json.loads((folder / "model_index.json").read_text())
    index |= {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "requires_safety_checker": True,
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "feature_extractor").mkdir()
    (folder / "feature_extractor" / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "CLIPImageProcessor", "feature_extractor_type": "CLIPFeatureExtractor"})
    )
    assert backend.generate(ask(model=model(folder)), SILENT).data == backend.generate(ask(), SILENT).data


def test_models_that_cannot_be_loaded(backend: DiffusersBackend, ask: Ask, scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable):
        backend.generate(ask(model=model(tmp_path / "gone")), SILENT)
    with pytest.raises(InvalidModel, match="not a checkpoint"):
        backend.generate(ask(model=model(scenes / "vae")), SILENT)
    folder = Path(shutil.copytree(scenes, tmp_path / "changed"))
    index = (folder / "model_index.json").read_text()
    (folder / "model_index.json").write_text(index.replace("StableDiffusionPipeline", "AutoencoderKL"))
    with pytest.raises(InvalidModel, match="asks for 'AutoencoderKL'"):
        backend.generate(ask(model=model(folder)), SILENT)
    (folder / "model_index.json").write_text(index.replace('"diffusers",', '"os",'))
    with pytest.raises(UnsafeModel):
        backend.generate(ask(model=model(folder)), SILENT)


@pytest.mark.usefixtures("one_thread")
def test_sdxl(backend: DiffusersBackend, ask: Ask, heard: Any, tiny_sdxl: Path, plain: Plain) -> None:
    request = ask(model=model(tiny_sdxl), width=32, height=32, steps=2, scheduler="euler")
    first = backend.generate(request, heard.hooks)
    assert first.data == plain(request)
    assert heard.progress == [(1, 2), (2, 2)]
    assert backend.generate(ask(model=model(tiny_sdxl), width=32, height=32, clip_skip=1), SILENT).data != first.data
    repainted = ask(model=model(tiny_sdxl), width=32, height=32, steps=4, image=gradient(32, 32), strength=0.5)
    backend.generate(repainted, heard.hooks)
    assert heard.notes == ["2 of 4 steps run at strength 0.5"]


def test_flux(backend: DiffusersBackend, ask: Ask, heard: Any, tiny_flux: Path) -> None:
    quick: dict[str, Any] = {"model": model(tiny_flux), "width": 32, "height": 32, "steps": 2, "negative_prompt": ""}
    first = backend.generate(ask(**quick, scheduler="flow_euler"), heard.hooks)
    assert heard.progress == [(1, 2), (2, 2)]
    assert backend.generate(ask(**quick, scheduler="euler"), SILENT).data == first.data
    backend.generate(ask(**quick, scheduler="flow_lcm"), SILENT)
    backend.generate(ask(**quick | {"steps": 4}, scheduler="euler", image=gradient(32, 32), strength=0.5), heard.hooks)
    assert heard.notes == ["2 of 4 steps run at strength 0.5"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"negative_prompt": "night"}, "FluxPipeline heeds no negative prompt"),
        ({"clip_skip": 1}, "FluxPipeline takes no clip skip"),
        ({"scheduler": "euler_a"}, "does not go with this model"),
        ({"width": 34}, "multiples of 4"),
    ],
)
def test_what_flux_has_no_place_for_is_refused(
    backend: DiffusersBackend, ask: Ask, tiny_flux: Path, changes: dict[str, Any], message: str
) -> None:
    settings = {"width": 32, "height": 32, "negative_prompt": "", "scheduler": "flow_euler"} | changes
    with pytest.raises(Invalid, match=message):
        backend.generate(ask(model=model(tiny_flux), **settings), SILENT)
