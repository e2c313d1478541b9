"""Measures every shipped adapter on scenes and prompts that none of them was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.pipelines.controlnet.pipeline_controlnet import StableDiffusionControlNetPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_upscale import StableDiffusionUpscalePipeline
from numpy.typing import NDArray
from PIL import Image

from train import judge
from train.adapters import layout
from train.adapters.base import frozen, latents_of, paint, psnr
from train.adapters.inversion import TOKEN
from train.adapters.styles import STYLES, soft
from train.adapters.upscale import FACTOR, shrunk
from train.captions import Writer, full_caption
from train.scenes import Scene, make, sample_scene
from train.vae import to_tensor

HELD_OUT: Final = 700_000_000
WORDS: Final = "purple sky at night, a big orange full moon, stars"

Pictures = NDArray[np.uint8]


def prompts_of(count: int) -> tuple[list[str], list[Scene]]:
    """Held-out prompts that name everything, and their scenes."""
    found = []
    for i in range(count):
        dice = np.random.default_rng(HELD_OUT + i)
        scene = sample_scene(dice)
        found.append((full_caption(scene, dice), scene))
    return [text for text, _ in found], [scene for _, scene in found]


def difference(a: Pictures, b: Pictures) -> float:
    """The mean absolute difference, in steps of 255."""
    return round(float(np.abs(a.astype(np.float32) - b).mean()), 2)


def style(name: str, folder: Path, device: torch.device, count: int = 20) -> dict[str, Any]:
    """How far pictures are from the restyled picture that the same seed gives without the LoRA."""
    pipeline = frozen(device)
    prompts, _ = prompts_of(count)
    seeds = list(range(count))
    plain = paint(pipeline, prompts, seeds)
    pipeline.load_lora_weights(folder / f"{name}.safetensors", adapter_name=name)
    goal = np.stack([STYLES[name](picture) for picture in plain])
    found: dict[str, Any] = {}
    for weight in (0.0, 0.5, 1.0):
        pipeline.set_adapters([name], [weight])
        found[f"weight {weight}"] = difference(paint(pipeline, prompts, seeds), goal)
    return found


@torch.no_grad()
def decoder(folder: Path, device: torch.device, count: int = 128) -> dict[str, Any]:
    """Peak signal-to-noise ratio against softened scenes, with the soft VAE and with the usual one."""
    pipeline = frozen(device)
    other: Any = AutoencoderKL.from_pretrained(folder / "vae-soft", dtype=torch.float32)
    pictures = [make(HELD_OUT + i).image for i in range(count)]
    values, goal = latents_of(pipeline, pictures, device), np.stack([soft(picture) for picture in pictures])
    found = {}
    for name, vae in (("usual", pipeline.vae), ("soft", other.to(device))):
        decoded = torch.cat([vae.decode(values[i : i + 32]).sample for i in range(0, count, 32)])
        pixels = ((decoded.clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1).cpu().numpy().astype(np.uint8)
        found[name] = round(psnr(pixels, goal), 2)
    return found


def inversion(folder: Path, reader: judge.Judge, device: torch.device, count: int = 30) -> dict[str, Any]:
    """How often the judge sees a night, a purple sky and a moon: with nothing, the word, or all the words."""
    pipeline = frozen(device)
    _, scenes = prompts_of(count)
    dice = np.random.default_rng(HELD_OUT)
    things = [" and ".join(Writer(dice, thorough=True).thing(thing) for thing in scene.things) for scene in scenes]
    pipeline.load_textual_inversion(folder / "lantern.safetensors")
    asked = {"time": "night", "sky": "purple", "body": "moon"}
    found: dict[str, Any] = {}
    for name, more in (("nothing", ""), ("word", f", {TOKEN}"), ("words", f", {WORDS}")):
        pictures = paint(pipeline, [f"{thing}{more}" for thing in things], list(range(count)))
        with torch.no_grad():
            answers = reader(to_tensor(pictures, device))
        found[name] = {
            what: round(float((answers[what].argmax(2) == judge.ATTRIBUTES[what].index(value)).float().mean()), 3)
            for what, value in asked.items()
        }
        found[name]["things"] = judge.score(reader, pictures, scenes, device)["object"]
    return found


def hints_of(count: int) -> tuple[list[str], list[Scene], list[Image.Image]]:
    """Held-out prompts, scenes, and their exact layouts."""
    texts, scenes, hints = [], [], []
    for i in range(count):
        dice = np.random.default_rng(HELD_OUT + i)
        scene = sample_scene(dice)
        hints.append(Image.fromarray(layout.coloured(layout.draw(scene, dice)[1])))
        scenes.append(scene)
        texts.append(full_caption(scene, dice))
    return texts, scenes, hints


def control(folder: Path, reader: judge.Judge, device: torch.device, count: int = 200) -> dict[str, Any]:
    """What the judge reads in pictures from full prompts, without and with the layout."""
    usual = frozen(device)
    texts, scenes, hints = hints_of(count)
    seeds = list(range(count))
    net: Any = ControlNetModel.from_pretrained(folder / "layout", dtype=torch.float32)
    steered: Any = StableDiffusionControlNetPipeline(
        **usual.components, controlnet=net.to(device), requires_safety_checker=False
    )
    steered.set_progress_bar_config(disable=True)
    return {
        "without": judge.score(reader, paint(usual, texts, seeds), scenes, device),
        "with": judge.score(reader, paint(steered, texts, seeds, image=hints), scenes, device),
    }


def upscale(folder: Path, device: torch.device, count: int = 40) -> dict[str, Any]:
    """Peak signal-to-noise ratio of held-out scenes, made small and large again."""
    pipeline: Any = StableDiffusionUpscalePipeline.from_pretrained(folder / "upscale", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(device)
    texts, _ = prompts_of(count)
    real = np.stack([make(HELD_OUT + i).image for i in range(count)])
    small = [Image.fromarray(shrunk(picture)) for picture in real]
    found: dict[str, Any] = {}
    for name, way in (("nearest", Image.Resampling.NEAREST), ("bicubic", Image.Resampling.BICUBIC)):
        large = [np.asarray(picture.resize((16 * FACTOR, 16 * FACTOR), way)) for picture in small]
        found[name] = round(psnr(np.stack(large), real), 2)
    for name, prompts, guidance in (("empty prompt", [""] * count, 1.0), ("prompt", texts, 1.0)):
        made = paint(pipeline, prompts, list(range(count)), image=small, guidance_scale=guidance, noise_level=0)
        found[name] = round(psnr(made, real), 2)
    return found
