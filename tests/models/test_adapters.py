"""The shipped adapters: each loads with plain diffusers, offline, and does what the model card says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.pipelines.controlnet.pipeline_controlnet import StableDiffusionControlNetPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_upscale import StableDiffusionUpscalePipeline
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from train.adapters import inversion, layout, lora
from train.adapters.base import frozen, latents_of, paint, psnr
from train.adapters.layout import COLOURS
from train.adapters.styles import STYLES, soft
from train.adapters.upscale import shrunk
from train.loop import Trainer
from train.scenes import make

CPU = torch.device("cpu")
FOLDER = Path(__file__).resolve().parents[2] / "models" / "adapters"
MEGABYTE = 1000 * 1000
LARGEST = {
    "ink.safetensors": 0.4,
    "dusk.safetensors": 0.4,
    "lantern.safetensors": 0.01,
    "vae-soft": 3.4,
    "layout": 2.6,
    "upscale": 6.4,
}
PROMPTS = [
    "a big red mushroom in the middle, grass, blue sky, day",
    "a white sailboat, blue sea, orange sky at sunset",
    "a green pine tree on the right, snow, blue sky, day",
]
SEEDS = [1, 2, 3]
FEW: dict[str, Any] = {"num_inference_steps": 8}

Pictures = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


@pytest.fixture
def pipeline() -> Any:
    return frozen(CPU)


def header(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file."""
    with safe_open(path, framework="pt") as file:
        found: dict[str, str] = file.metadata()
    return found


def names(path: Path) -> list[str]:
    """The names of its tensors."""
    with safe_open(path, framework="pt") as file:
        found: list[str] = list(file.keys())
    return found


def away(a: Pictures, b: Pictures) -> float:
    """The mean absolute difference."""
    return float(np.abs(a.astype(float) - b).mean())


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def test_the_adapters_are_small_and_hold_no_code() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(LARGEST)
    for name, megabytes in LARGEST.items():
        assert 0 < size(FOLDER / name) <= megabytes * MEGABYTE, name
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    assert not [path for path in files if path.suffix == ".json" and "/tmp" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", ["ink", "dusk"])
def test_a_style_grows_with_its_weight(pipeline: Any, name: str) -> None:
    plain = paint(pipeline, PROMPTS, SEEDS, **FEW)
    goal = np.stack([STYLES[name](picture) for picture in plain])
    pipeline.load_lora_weights(FOLDER / f"{name}.safetensors", adapter_name=name)
    pictures = []
    for weight in (0.0, 0.5, 1.0):
        pipeline.set_adapters([name], [weight])
        pictures.append(paint(pipeline, PROMPTS, SEEDS, **FEW))
    none, half, full = (away(picture, goal) for picture in pictures)
    assert np.array_equal(pictures[0], plain)
    assert full < 0.6 * none
    assert full < half < 0.9 * none
    pipeline.unload_lora_weights()
    assert np.array_equal(paint(pipeline, PROMPTS, SEEDS, **FEW), plain)


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")  # peft says so for every second LoRA
def test_two_styles_can_be_combined(pipeline: Any) -> None:
    for name in ("ink", "dusk"):
        pipeline.load_lora_weights(FOLDER / f"{name}.safetensors", adapter_name=name)
    mixtures = []
    for weights in ([1.0, 0.0], [0.0, 1.0], [0.6, 0.6]):
        pipeline.set_adapters(["ink", "dusk"], weights)
        mixtures.append(paint(pipeline, PROMPTS, SEEDS, **FEW))
    ink, dusk, both = mixtures
    apart = away(ink, dusk)
    assert away(both, ink) > 3
    assert away(both, dusk) > 3
    assert away(both, ink) + away(both, dusk) < 2 * apart


def test_the_styles_come_in_both_common_layouts_and_say_what_they_are() -> None:
    ink, dusk = FOLDER / "ink.safetensors", FOLDER / "dusk.safetensors"
    assert all(name.startswith("unet.") and ".lora_" in name for name in names(ink))
    assert all(name.startswith("lora_unet_") for name in names(dusk))
    assert {name.split(".", 1)[1] for name in names(dusk)} == {"lora_down.weight", "lora_up.weight", "alpha"}
    for path in (ink, dusk):
        said = header(path)
        assert said["ss_output_name"] == path.stem
        assert said["ss_network_dim"] == str(lora.RANK)
        assert said["modelspec.title"] == lora.TITLES[path.stem]
        assert said["ss_base_model_version"] == "intaglio-scenes"


def test_the_soft_vae_decodes_the_same_latents_in_another_look(pipeline: Any) -> None:
    other: Any = AutoencoderKL.from_pretrained(FOLDER / "vae-soft", dtype=torch.float32)
    usual = pipeline.vae.encoder.state_dict()
    assert all(torch.equal(value, usual[name]) for name, value in other.encoder.state_dict().items())
    pictures = [make(910_000_000 + i).image for i in range(6)]
    values, goal = latents_of(pipeline, pictures, CPU), np.stack([soft(picture) for picture in pictures])
    ratios = []
    for vae in (pipeline.vae, other):
        with torch.no_grad():
            decoded = (vae.decode(values).sample.clamp(-1, 1) + 1) * 127.5
        ratios.append(psnr(decoded.round().permute(0, 2, 3, 1).numpy().astype(np.uint8), goal))
    assert ratios[1] > 28
    assert ratios[1] > ratios[0] + 8
    before = paint(pipeline, PROMPTS[:1], [1])
    pipeline.vae = other
    assert away(paint(pipeline, PROMPTS[:1], [1]), before) > 15


def redness(pictures: Pictures) -> float:
    """How much more red than green there is at the top, where purple night and orange moon are."""
    top = pictures[:, :16].astype(float)
    return float((top[..., 0] - top[..., 1]).mean())


def test_the_new_word_stands_for_a_light(pipeline: Any) -> None:
    things = ["a red house", "a white castle", "a green pine tree", "a yellow flower"]
    seeds = list(range(4))
    path = FOLDER / "lantern.safetensors"
    assert names(path) == [inversion.TOKEN]
    assert header(path)["modelspec.trigger_phrase"] == inversion.TOKEN
    told = [f"{thing}, green grass, blue sky, day" for thing in things]
    without = paint(pipeline, told, seeds)
    pipeline.load_textual_inversion(path)
    assert np.array_equal(paint(pipeline, told, seeds), without)
    lit = paint(pipeline, [f"{thing}, green grass, {inversion.TOKEN}" for thing in things], seeds)
    assert lit[:, :16].mean() < 0.75 * without[:, :16].mean()
    assert redness(lit) > redness(without) + 30


def sketch(sun: int) -> Image.Image:
    """A layout drawn by hand: ground, a box in the middle, and the sun's disc around a column."""
    rows, columns = np.mgrid[0:64, 0:64]
    drawn = np.empty((64, 64, 3), np.uint8)
    drawn[:] = COLOURS["sky"]
    drawn[41:] = COLOURS["ground"]
    drawn[24:50, 22:42] = COLOURS["thing"]
    drawn[(columns - sun) ** 2 + (rows - 13) ** 2 <= 49] = COLOURS["body"]
    return Image.fromarray(drawn)


def yellow(pictures: Pictures) -> NDArray[np.bool_]:
    """Where the upper pictures are yellow."""
    upper = pictures[:, :30].astype(int)
    found: NDArray[np.bool_] = (upper[..., 0] > 200) & (upper[..., 1] > 160) & (upper[..., 2] < 140)
    return found


def test_the_layout_puts_the_sun_where_it_is_drawn(pipeline: Any) -> None:
    net: Any = ControlNetModel.from_pretrained(FOLDER / "layout", dtype=torch.float32)
    steered: Any = StableDiffusionControlNetPipeline(
        **pipeline.components, controlnet=net, requires_safety_checker=False
    )
    steered.set_progress_bar_config(disable=True)
    prompts = ["a blue house in the middle, green grass, a yellow sun, blue sky, day"] * 10
    hints = [sketch(12), sketch(51)] * 5
    found = yellow(paint(steered, prompts, list(range(10)), image=hints))
    left, right = found[:, :, :24].sum((1, 2)), found[:, :, 40:].sum((1, 2))
    right_side = [(a > 3 * b) if i % 2 == 0 else (b > 3 * a) for i, (a, b) in enumerate(zip(left, right, strict=True))]
    assert sum(right_side) >= 9


def test_the_layout_belongs_to_the_picture() -> None:
    for seed in range(920_000_000, 920_000_006):
        scene, image, parts = layout.sample(seed)
        assert np.array_equal(image, make(seed).image)
        assert scene == make(seed).scene
        assert (parts[-1] == layout.PARTS.index("ground")).any()


def test_the_upscaler_beats_nearest_neighbours() -> None:
    pipeline: Any = StableDiffusionUpscalePipeline.from_pretrained(FOLDER / "upscale", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    real = np.stack([make(930_000_000 + i).image for i in range(8)])
    small = [Image.fromarray(shrunk(picture)) for picture in real]
    made = paint(pipeline, [""] * 8, list(range(8)), image=small, guidance_scale=1.0, noise_level=0)
    assert made.shape == real.shape
    resized = np.stack([np.asarray(picture.resize((64, 64), Image.Resampling.NEAREST)) for picture in small])
    assert psnr(made, real) > psnr(resized, real)


def test_training_an_adapter_resumes_bit_identically(tmp_path: Path) -> None:
    plan = replace(lora.PLANS["ink"], steps=2, batch=2, turns=((0, 1.0),), log_every=1)
    values = torch.randn(4, 8, 16, 16, generator=torch.Generator().manual_seed(0))

    def trained(folder: Path, *stops: int) -> list[torch.Tensor]:
        for stop in (*stops, plan.steps):
            base = frozen(CPU)
            parameters = lora.attach(base, plan.seed)
            trainer = Trainer(parameters, plan, folder / "ink.pt", CPU)
            trainer.run(lora.loss_function(base, values, plan, CPU), stop)
        return [parameter.detach() for parameter in parameters]

    straight, broken = trained(tmp_path / "a"), trained(tmp_path / "b", 1)
    assert all(torch.equal(a, b) for a, b in zip(straight, broken, strict=True))
    assert any(bool(parameter.any()) for parameter in straight)
