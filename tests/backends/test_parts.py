"""Another VAE and ControlNets: they take part in one picture and leave the model as it was."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from backends import adapters
from backends.adapters import adapter, control_net, edit, model, save, stripes
from backends.single_file import one_file
from PIL import Image as Pillow

from intaglio.backends.diffusers import DiffusersBackend
from intaglio.backends.quiet import library, quiet
from intaglio.core.context import Control, Generation, Hooks, ModelFile
from intaglio.core.errors import Invalid, InvalidModel, ModelUnavailable, UnsafeModel
from intaglio.core.image import Image

Ask = Callable[..., Generation]
SILENT = Hooks()
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def loaded() -> Any:
    return adapters.pipeline(Path(__file__).parents[2] / "models" / "scenes")


# -- VAE ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def other_vae(scenes: Path, tmp_path: Path) -> Path:
    """The bundled model's VAE with a decoder that makes everything brighter."""
    folder = Path(shutil.copytree(scenes / "vae", tmp_path / "bright"))
    tensors = library("safetensors.torch").load_file(folder / WEIGHTS)
    tensors["decoder.conv_out.bias"] = tensors["decoder.conv_out.bias"] + 0.2
    library("safetensors.torch").save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def test_another_vae_for_one_picture(backend: DiffusersBackend, ask: Ask, other_vae: Path, tmp_path: Path) -> None:
    bare = backend.generate(ask(), SILENT)
    bright = backend.generate(ask(vae=model(other_vae)), SILENT)
    assert sum(bright.data) > sum(bare.data)
    assert backend.generate(ask(), SILENT).data == bare.data
    assert backend.generate(ask(vae=model(other_vae)), SILENT).data == bright.data
    whole = Path(shutil.copytree(ask().model.path, tmp_path / "whole"))
    shutil.copy(other_vae / WEIGHTS, whole / "vae" / WEIGHTS)
    assert backend.generate(ask(model=model(whole)), SILENT).data == bright.data


@pytest.mark.parametrize("names", ["diffusers", "first"])
def test_a_vae_in_a_single_file(
    backend: DiffusersBackend, ask: Ask, scenes: Path, other_vae: Path, tmp_path: Path, names: str
) -> None:
    path = tmp_path / "vae.safetensors"
    if names == "diffusers":
        shutil.copy(other_vae / WEIGHTS, path)
    else:
        whole = Path(shutil.copytree(scenes, tmp_path / "whole"))
        shutil.copy(other_vae / WEIGHTS, whole / "vae" / WEIGHTS)
        start = "first_stage_model."
        save(path, {n.removeprefix(start): t for n, t in one_file(whole).items() if n.startswith(start)})
    expected = backend.generate(ask(vae=model(other_vae), steps=1), SILENT)
    assert backend.generate(ask(vae=adapter(path), steps=1), SILENT).data == expected.data


def test_with_a_picture_to_start_from(backend: DiffusersBackend, ask: Ask, other_vae: Path) -> None:
    request = ask(image=stripes(64, 64), strength=0.5, steps=4)
    bare = backend.generate(request, SILENT)
    assert backend.generate(replace(request, vae=model(other_vae)), SILENT).data != bare.data
    assert backend.generate(request, SILENT).data == bare.data


def test_a_vae_that_does_not_fit_is_refused(
    backend: DiffusersBackend, ask: Ask, tiny_sdxl: Path, other_vae: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidModel, match="for latents of 4 channels, this model's have 8"):
        backend.generate(ask(vae=model(tiny_sdxl / "vae")), SILENT)
    shutil.copy(tiny_sdxl / "vae" / WEIGHTS, tmp_path / "vae.safetensors")
    with pytest.raises(InvalidModel, match=r"vae\.safetensors"):
        backend.generate(ask(vae=adapter(tmp_path / "vae.safetensors")), SILENT)
    tensors = library("safetensors.torch").load_file(other_vae / WEIGHTS)
    tensors.pop("decoder.conv_in.weight")
    with pytest.raises(InvalidModel, match="does not hold all weights"):
        backend.generate(ask(vae=save(tmp_path / "holed.safetensors", tensors)), SILENT)
    with pytest.raises(InvalidModel, match="is of kind checkpoint, not a VAE"):
        backend.generate(ask(vae=ask().model), SILENT)
    with pytest.raises(ModelUnavailable, match="is not at"):
        backend.generate(ask(vae=model(tmp_path / "gone")), SILENT)
    config = json.loads((other_vae / "config.json").read_text())
    shallow = {
        name: value[1:] for name, value in config.items() if name.endswith(("_types", "out_channels")) and value != 3
    }
    with quiet():
        smaller = library("diffusers").AutoencoderKL.from_config(config | shallow)
        smaller.save_pretrained(tmp_path / "smaller", safe_serialization=True)
    with pytest.raises(InvalidModel, match="makes 2 pixels of a latent's side, this model's 4"):
        backend.generate(ask(vae=model(tmp_path / "smaller")), SILENT)
    pickled = Path(shutil.copytree(other_vae, tmp_path / "pickled"))
    (pickled / WEIGHTS).rename(pickled / "diffusion_pytorch_model.bin")
    with pytest.raises(UnsafeModel, match="pickle"):
        backend.generate(ask(vae=model(pickled)), SILENT)
    assert backend.generate(ask(steps=1), SILENT)


# -- ControlNet -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory, loaded: Any) -> ModelFile:
    return control_net(tmp_path_factory.mktemp("nets") / "lines", loaded)


def controlled(ask: Ask, *controls: tuple[ModelFile, Image, float], **changes: Any) -> Generation:
    return ask(controls=tuple(Control(*control) for control in controls), **changes)


@pytest.mark.usefixtures("one_thread")
def test_a_control_net_gives_the_pixels_of_a_bare_script(backend: DiffusersBackend, ask: Ask, net: ModelFile) -> None:
    request = controlled(ask, (net, stripes(64, 64), 0.7))
    with quiet():
        torch, diffusers = library("torch"), library("diffusers")
        pipeline = diffusers.StableDiffusionControlNetPipeline.from_pretrained(
            request.model.path, dtype=torch.float32, controlnet=diffusers.ControlNetModel.from_pretrained(net.path)
        )
        picture = pipeline(
            prompt=request.prompt, negative_prompt=request.negative_prompt, num_inference_steps=request.steps,
            guidance_scale=request.guidance, generator=torch.Generator("cpu").manual_seed(request.seed),
            image=Pillow.frombytes("RGB", (64, 64), stripes(64, 64).data), controlnet_conditioning_scale=0.7,
        ).images[0]  # fmt: skip
    assert backend.generate(request, SILENT).data == picture.tobytes()


def test_the_picture_and_the_strength_matter_and_nothing_is_left(
    backend: DiffusersBackend, ask: Ask, net: ModelFile
) -> None:
    bare = backend.generate(ask(), SILENT)
    requests = [controlled(ask, (net, stripes(64, 64, every), strength)) for every, strength in
                ((8, 1.0), (4, 1.0), (8, 0.5))]  # fmt: skip
    pictures = [backend.generate(request, SILENT).data for request in requests]
    assert len({bare.data, *pictures}) == len(pictures) + 1
    assert backend.generate(ask(), SILENT).data == bare.data
    assert [backend.generate(request, SILENT).data for request in requests] == pictures
    assert backend.generate(controlled(ask, (net, stripes(64, 64), 0.0)), SILENT).data == bare.data


def test_several_at_once(backend: DiffusersBackend, ask: Ask, net: ModelFile, loaded: Any, tmp_path: Path) -> None:
    other = control_net(tmp_path / "depth", loaded, seed=5)
    one, two = (net, stripes(64, 64), 0.6), (other, stripes(64, 64, 4), 0.4)
    both = backend.generate(controlled(ask, one, two), SILENT)
    assert both.data not in {backend.generate(controlled(ask, each), SILENT).data for each in (one, two)}
    assert backend.generate(controlled(ask, one, two), SILENT).data == both.data
    nothing = (other, stripes(64, 64, 4), 0.0)
    assert (
        backend.generate(controlled(ask, one, nothing), SILENT).data
        == backend.generate(controlled(ask, one), SILENT).data
    )


def test_a_control_picture_is_fitted_and_said(backend: DiffusersBackend, ask: Ask, net: ModelFile, heard: Any) -> None:
    backend.generate(controlled(ask, (net, stripes(48, 32), 1.0), steps=1), heard.hooks)
    assert heard.notes == ["control picture resized from 48x32 to 64x64"]


def test_with_a_picture_to_start_from_and_under_a_mask(backend: DiffusersBackend, ask: Ask, net: ModelFile) -> None:
    control = (net, stripes(64, 64), 1.0)
    start = {"image": stripes(64, 64, 16), "strength": 0.75, "steps": 4}
    masked = start | {"mask": Image("L", 64, 64, bytes(32 * 64) + b"\xff" * 32 * 64)}
    for changes in (start, masked):
        bare = backend.generate(ask(**changes), SILENT)
        got = backend.generate(controlled(ask, control, **changes), SILENT)
        assert got.data != bare.data
        assert backend.generate(controlled(ask, control, **changes), SILENT).data == got.data
    assert got.data[: 32 * 64 * 3] == start["image"].data[: 32 * 64 * 3]  # type: ignore[attr-defined]


def test_sdxl_with_a_control_net(backend: DiffusersBackend, ask: Ask, tiny_sdxl: Path, tmp_path: Path) -> None:
    net = control_net(tmp_path / "xl", adapters.pipeline(tiny_sdxl))
    size: dict[str, Any] = {"model": model(tiny_sdxl), "width": 32, "height": 32, "scheduler": "euler"}
    bare = backend.generate(ask(**size), SILENT)
    assert backend.generate(controlled(ask, (net, stripes(32, 32), 1.0), **size), SILENT).data != bare.data
    assert backend.generate(ask(**size), SILENT).data == bare.data


def test_a_control_net_in_a_single_file(backend: DiffusersBackend, ask: Ask, net: ModelFile, tmp_path: Path) -> None:
    file = adapter(Path(shutil.copy(net.path / WEIGHTS, tmp_path / "lines.safetensors")))
    expected = backend.generate(controlled(ask, (net, stripes(64, 64), 1.0)), SILENT)
    assert backend.generate(controlled(ask, (file, stripes(64, 64), 1.0)), SILENT).data == expected.data


def test_a_control_net_for_another_model_is_refused(
    backend: DiffusersBackend, ask: Ask, net: ModelFile, loaded: Any, tiny_sdxl: Path, tiny_flux: Path, tmp_path: Path
) -> None:
    xl = control_net(tmp_path / "xl", adapters.pipeline(tiny_sdxl))
    picture = stripes(64, 64)
    with pytest.raises(InvalidModel, match="made for another model: its in_channels is 4, not 8"):
        backend.generate(controlled(ask, (xl, picture, 1.0)), SILENT)
    single = adapter(Path(shutil.copy(xl.path / WEIGHTS, tmp_path / "xl.safetensors")))
    with pytest.raises(InvalidModel, match=r"xl\.safetensors"):
        backend.generate(controlled(ask, (single, picture, 1.0)), SILENT)
    with pytest.raises(InvalidModel, match="is of kind checkpoint, not a ControlNet"):
        backend.generate(controlled(ask, (ask().model, picture, 1.0)), SILENT)
    union = Path(shutil.copytree(net.path, tmp_path / "union"))
    edit(union / "config.json", _class_name="ControlNetUnionModel")
    with pytest.raises(InvalidModel, match="only ControlNetModel works here"):
        backend.generate(controlled(ask, (model(union), picture, 1.0)), SILENT)
    eye = control_net(tmp_path / "eye", loaded, more=1)
    with pytest.raises(InvalidModel, match="shrinks its picture 8 times, this model's VAE 4 times"):
        backend.generate(controlled(ask, (eye, picture, 1.0)), SILENT)
    flux: dict[str, Any] = {"model": model(tiny_flux), "negative_prompt": "", "scheduler": "flow_euler"}
    with pytest.raises(Invalid, match="takes no ControlNet"):
        backend.generate(controlled(ask, (net, picture, 1.0), **flux), SILENT)
    for strength in (-0.1, 2.1, float("nan")):
        with pytest.raises(Invalid, match="is not between 0 and 2"):
            backend.generate(controlled(ask, (net, picture, strength)), SILENT)


def test_nothing_is_fetched(
    ask: Ask, net: ModelFile, other_vae: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    vae = adapter(Path(shutil.copy(other_vae / WEIGHTS, tmp_path / "vae.safetensors")))
    lines = adapter(Path(shutil.copy(net.path / WEIGHTS, tmp_path / "lines.safetensors")))
    fresh = DiffusersBackend(threads=1)
    for file in (lines, net):
        fresh.generate(controlled(ask, (file, stripes(64, 64), 1.0), vae=vae, steps=1), SILENT)
    fresh.close()


def test_parts_are_checked_before_and_after_loading(
    ask: Ask, net: ModelFile, other_vae: Path, backend: DiffusersBackend
) -> None:
    for field, file in (("vae", model(other_vae)), ("controls", net)):
        calls: list[int] = []

        def check(calls: list[int] = calls) -> None:
            calls.append(1)
            if len(calls) == 2:
                raise ModelUnavailable("changed meanwhile")

        watched = replace(file, digest=f"blake3:{field}", check=check)
        changes = {"vae": watched} if field == "vae" else {"controls": (Control(watched, stripes(64, 64)),)}
        with pytest.raises(ModelUnavailable, match="changed meanwhile"):
            backend.generate(ask(**changes), SILENT)
