"""Puts the trained parts together as a Stable Diffusion pipeline folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import (
    StableDiffusionPipeline,
)
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from train.unet import Denoiser, scheduler

STEPS: Final = 15
GUIDANCE: Final = 4.0


def write(vae: AutoencoderKL, denoiser: Denoiser, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the pipeline with half-precision weights, beside the old one, then swap them."""
    parts: dict[str, Any] = {
        "vae": vae,
        "text_encoder": denoiser.text_encoder,
        "tokenizer": tokenizer,
        "unet": denoiser.unet,
        "scheduler": scheduler(),
        "safety_checker": None,
        "feature_extractor": None,
    }
    pipeline = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    for name in ("vae", "text_encoder", "unet"):
        parts[name].half()
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    pipeline.save_pretrained(fresh, safe_serialization=True)
    tidy(fresh)
    swap(fresh, folder)


def swap(fresh: Path, folder: Path) -> None:
    """Move `fresh` to where `folder` was."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def tidy(folder: Path) -> None:
    """Drop the names of folders on the machine where it was trained; let everybody read the files."""
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)
    for path in folder.rglob("*config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        for name in ("_name_or_path", "is_local", "local_files_only"):
            config.pop(name, None)
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load(folder: Path, device: torch.device) -> StableDiffusionPipeline:
    """The finished pipeline, in single precision."""
    pipeline: Any = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    loaded: StableDiffusionPipeline = pipeline.to(device)
    return loaded


def paint(
    pipeline: StableDiffusionPipeline,
    prompts: list[str],
    seeds: list[int],
    steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> NDArray[np.uint8]:
    """One picture for each prompt and seed; noise always comes from the CPU."""
    pictures = []
    for start in range(0, len(prompts), 10):
        dice = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + 10]]
        found = pipeline(
            prompts[start : start + 10],
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=dice,
            output_type="np",
        ).images
        pictures.append((found * 255).round().astype(np.uint8))
    return np.concatenate(pictures)
