"""The finished model that adapters are trained on, with all its weights held still."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor, nn

from train import tokenizer as words
from train import unet as denoising
from train.assemble import load
from train.loop import Dice, mixed_precision
from train.vae import encode

SHIPPED: Final = Path(__file__).resolve().parents[2]
BASE: Final = SHIPPED / "scenes"
LICENCE: Final = "Apache-2.0"
BATCH: Final = 40

Predict = Callable[[Tensor, Tensor, Tensor], Tensor]


def frozen(device: torch.device, folder: Path = BASE) -> Any:
    """The shipped pipeline in single precision; nothing in it is trained unless asked for."""
    pipeline: Any = load(folder, device)
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        part.requires_grad_(False).eval()
    pipeline.unet.to(memory_format=torch.channels_last)
    return pipeline


def latents_of(pipeline: Any, pictures: list[NDArray[np.uint8]], device: torch.device) -> Tensor:
    """The latents of 64x64 pictures."""
    parts = [np.stack(pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)]
    return torch.cat([encode(pipeline.vae, part, device) for part in parts])


def tokens_of(pipeline: Any, texts: list[str], silent: NDArray[np.bool_], device: torch.device) -> Tensor:
    """Token numbers of the texts, where `silent` those of the empty text."""
    said = ["" if quiet else text for quiet, text in zip(silent, texts, strict=True)]
    return torch.tensor(words.numbers(pipeline.tokenizer, said), device=device)


def states_of(pipeline: Any, tokens: Tensor) -> Tensor:
    """What the text encoder makes of token numbers."""
    states: Tensor = pipeline.text_encoder(tokens)[0]
    return states


def velocity_loss(
    predict: Predict, clean: Tensor, states: Tensor, dice: Dice, itself: bool = False
) -> dict[str, Tensor]:
    """The squared error of the velocity, or of the picture `itself`, that `predict` finds in noisy latents."""
    device = clean.device
    levels = denoising.scheduler().alphas_cumprod.to(device)
    times = denoising.spread_times(len(clean), dice, device)
    noisy, velocity = denoising.add_noise(clean, times, levels, dice)
    with mixed_precision(device), denoising.fast_attention(device):
        found = predict(noisy, times, states)
    return {"loss": nn.functional.mse_loss(found.float(), clean if itself else velocity)}


def paint(pipeline: StableDiffusionPipeline, prompts: list[str], seeds: list[int], **more: Any) -> NDArray[np.uint8]:
    """Pictures with the settings of the model card: 15 steps, guidance 4, noise from the CPU."""
    drawing: Any = pipeline
    made = []
    for start in range(0, len(prompts), 10):
        part = slice(start, start + 10)
        own = {name: value[part] if isinstance(value, list) else value for name, value in more.items()}
        dice = [torch.Generator().manual_seed(seed) for seed in seeds[part]]
        settings = {"num_inference_steps": 15, "guidance_scale": 4.0} | own
        pictures = drawing(prompts[part], generator=dice, output_type="np", **settings).images
        made.append((pictures * 255).round().astype(np.uint8))
    return np.concatenate(made)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two sets of pictures, in decibels."""
    error = np.square(a.astype(np.float64) - b).mean()
    return float(10 * np.log10(255**2 / error))
