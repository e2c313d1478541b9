"""Previews: pictures of how a picture comes along, without a trace in it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from backends.adapters import model, stripes

from intaglio.backends import previews
from intaglio.backends.diffusers import DiffusersBackend
from intaglio.backends.quiet import library
from intaglio.backends.schedulers import known_schedulers
from intaglio.core.context import Generation, Hooks, Offer
from intaglio.core.image import Image

Ask = Callable[..., Generation]
SILENT = Hooks()
FLOW = {"flow_euler", "flow_heun", "flow_lcm"}
MASK = Image("L", 64, 64, bytes(64 * 32) + b"\xff" * 64 * 32)
FROM_PICTURE: dict[str, Any] = {"image": stripes(64, 64), "strength": 0.8}


class Looking:
    """Hooks that have a preview made of every step."""

    def __init__(self) -> None:
        self.seen: list[Image] = []
        self.hooks = Hooks(preview=self.look)

    def look(self, offer: Offer) -> None:
        picture = offer()
        assert picture is not None
        self.seen.append(picture)


def unchanged_by_previews(backend: DiffusersBackend, request: Generation) -> list[Image]:
    """The previews of a request, whose picture is the same to the bit as without any."""
    plain = backend.generate(request, SILENT)
    looking = Looking()
    watched = backend.generate(request, looking.hooks)
    assert watched.data == plain.data
    assert backend.generate(request, SILENT).data == plain.data, "nor does one leave a trace in the next picture"
    assert looking.seen
    return looking.seen


@pytest.mark.parametrize("name", [name for name in known_schedulers() if name not in FLOW])
@pytest.mark.parametrize("start", ["words", "picture", "mask"])
def test_pictures_are_the_same_to_the_bit_with_previews_and_without(
    backend: DiffusersBackend, ask: Ask, name: str, start: str
) -> None:
    changes: dict[str, Any] = {"words": {}, "picture": FROM_PICTURE, "mask": {**FROM_PICTURE, "mask": MASK}}[start]
    # PNDM's opening Runge-Kutta steps need at least four.
    unchanged_by_previews(backend, ask(scheduler=name, steps=5 if name == "pndm" else 2, **changes))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_number_formats(backend: DiffusersBackend, ask: Ask, tiny_sdxl: Path, dtype: str) -> None:
    """An SDXL's VAE in float16 is one that pipelines turn into float32 at the end; the preview must not."""
    size: dict[str, Any] = {"model": model(tiny_sdxl), "width": 32, "height": 32, "scheduler": "euler_a"}
    assert len(unchanged_by_previews(backend, ask(**size, dtype=dtype))) == 3


@pytest.mark.parametrize("name", ["flow_euler", "flow_lcm"])  # flow_heun takes no sigmas of Flux's
def test_flux(backend: DiffusersBackend, ask: Ask, tiny_flux: Path, name: str) -> None:
    flux: dict[str, Any] = {"model": model(tiny_flux), "width": 48, "height": 32, "negative_prompt": ""}
    seen = unchanged_by_previews(backend, ask(**flux, scheduler=name))
    assert {(each.width, each.height) for each in seen} == {(32, 22)}


def test_flux_2(ask: Ask) -> None:
    """Its text encoder is too large for a test: the latents of a picture are put in the place of a pipeline's."""
    torch, diffusers = library("torch"), library("diffusers")
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLFlux2(
        block_out_channels=(8, 16), down_block_types=["DownEncoderBlock2D"] * 2, norm_num_groups=4, latent_channels=4,
        up_block_types=["UpDecoderBlock2D"] * 2, mid_block_add_attention=False, layers_per_block=1,
    ).eval()  # fmt: skip
    vae.bn.running_mean.normal_()
    vae.bn.running_var.uniform_(0.5, 2.0)
    kind: Any = diffusers.Flux2Pipeline
    pipeline = SimpleNamespace(
        vae=vae, scheduler=None, vae_scale_factor=2, _unpatchify_latents=kind._unpatchify_latents
    )  # fmt: skip
    latents = torch.randn(1, 4, 12, 16)
    with torch.no_grad():
        expected = (vae.decode(latents, return_dict=False)[0] / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    shape = (1, -1, 1, 1)
    spread = (vae.bn.running_var.view(shape) + vae.config.batch_norm_eps).sqrt()
    packed = kind._pack_latents((kind._patchify_latents(latents) - vae.bn.running_mean.view(shape)) / spread)
    picture = previews.preview(torch, pipeline, packed, ask(width=32, height=24))
    assert picture is not None
    assert (picture.width, picture.height) == (32, 24)
    wanted = expected[0].permute(1, 2, 0).numpy().astype(np.int16).ravel()
    assert abs(_values(picture) - wanted).max() <= 1


def test_an_upscaler(backend: DiffusersBackend, ask: Ask, tiny_upscaler: Path) -> None:
    request = ask(model=model(tiny_upscaler), image=stripes(24, 16, 4), width=48, height=32, noise_level=20)
    assert len(unchanged_by_previews(backend, request)) == 3


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpmpp_2m"])
def test_the_picture_emerges(backend: DiffusersBackend, ask: Ask, scheduler: str) -> None:
    words = "a red house on the left, green hills, blue sky, day"
    request = ask(steps=12, prompt=words, negative_prompt="", scheduler=scheduler)
    looking = Looking()
    picture = backend.generate(request, looking.hooks)
    far = [float(np.abs(_values(each) - _values(picture)).mean()) for each in looking.seen]
    assert far[0] > 30
    assert far[5] > far[8] > far[11]
    assert far[11] < 2


def _values(image: Image) -> Any:
    return np.frombuffer(image.data, np.uint8).astype(np.int16)


def test_making_one_leaves_generators_and_model_as_they_were(
    backend: DiffusersBackend, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = library("torch")
    made: list[Any] = []

    class Remembered(torch.Generator):  # type: ignore[misc, name-defined]  # torch is loaded when it is needed
        def __init__(self, *_: object) -> None:
            made.append(self)

    monkeypatch.setattr(torch, "Generator", Remembered)
    request = ask(scheduler="euler_a")
    backend.generate(request, SILENT)
    made.clear()
    base = next(entry.model for key, entry in backend._warm._entries.items() if key.digest == request.model.digest)
    base.vae.enable_slicing()
    looks = 0

    def look(offer: Offer) -> None:
        nonlocal looks
        before = _state(torch, base, made)
        assert offer() is not None
        assert _state(torch, base, made) == before
        looks += 1

    try:
        backend.generate(request, Hooks(preview=look))
    finally:
        base.vae.disable_slicing()
    assert (looks, len(made)) == (3, 1)


def _state(torch: Any, base: Any, generators: list[Any]) -> tuple[object, ...]:
    vae = base.vae
    hooks = [(len(part._forward_hooks), len(part._forward_pre_hooks), part.training) for part in vae.modules()]
    weights = [(name, value.dtype, value.float().sum().item()) for name, value in vae.state_dict().items()]
    return (
        torch.get_rng_state().tolist(), [each.get_state().tolist() for each in generators], random.getstate(),
        str(np.random.get_state()), vae.use_slicing, vae.use_tiling, dict(vae.config), hooks, weights,
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
    )  # fmt: skip


def test_one_that_cannot_be_made_is_none_and_the_picture_comes_all_the_same(
    backend: DiffusersBackend, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = backend.generate(ask(), SILENT)

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(previews, "_decoded", fail)
    got: list[Image | None] = []
    assert backend.generate(ask(), Hooks(preview=lambda offer: got.append(offer()))).data == plain.data
    assert got == [None] * 3


def test_no_picture_of_what_is_not_a_number(ask: Ask) -> None:
    torch = library("torch")
    vae = SimpleNamespace(
        config=type("Config", (dict,), {"scaling_factor": 1.0})(),
        dtype=torch.float32,
        decode=lambda latents, return_dict: (latents,),
    )
    pipeline = SimpleNamespace(vae=vae, scheduler=None)
    assert previews.preview(torch, pipeline, torch.zeros(1, 3, 4, 4), ask()) is not None
    assert previews.preview(torch, pipeline, torch.full((1, 3, 4, 4), float("nan")), ask()) is None


@pytest.mark.parametrize(("device", "longest"), [("cpu", 16), ("cuda", 32)])
def test_what_is_decoded_is_small_whatever_the_picture(device: str, longest: int) -> None:
    torch = library("torch")
    shrunk = previews._shrunk(torch, torch.randn(2, 4, 128, 192), device)
    assert tuple(shrunk.shape) == (1, 4, round(longest * 2 / 3), longest)
