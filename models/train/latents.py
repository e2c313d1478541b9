"""Scenes encoded once and kept, so that the U-Net never waits for the autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from train.scenes import Scene, make, sample_scene
from train.vae import encode

FIRST_SCENE: Final = 200_000_000
COUNT: Final = 24_000
SHARD: Final = 2_000
BATCH: Final = 40


@dataclass(frozen=True)
class Latents:
    """The latents, in half precision, and the scenes they show."""

    values: Tensor
    scenes: list[Scene]


def encode_shard(vae: AutoencoderKL, first: int, count: int, device: torch.device) -> NDArray[np.float16]:
    """The latents of `count` scenes from seed `first` on."""
    found = []
    for start in range(first, first + count, BATCH):
        images = np.stack([make(seed).image for seed in range(start, min(start + BATCH, first + count))])
        found.append(encode(vae, images, device).cpu().numpy().astype(np.float16))
    return np.concatenate(found)


def save_shard(values: NDArray[np.float16], path: Path) -> None:
    """Write a shard whole or not at all."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.save(file, values)
    temporary.replace(path)


def encode_all(vae: AutoencoderKL, work: Path, device: torch.device, count: int = COUNT) -> None:
    """Encode every shard that is not there yet."""
    folder = work / "latents"
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, count, SHARD)):
        path = folder / f"{number:03d}.npy"
        if not path.exists():
            size = min(SHARD, count - start)
            save_shard(encode_shard(vae, FIRST_SCENE + start, size, device), path)


def load(work: Path) -> Latents:
    """All latents, with their scenes drawn again from the same seeds."""
    shards = [np.load(path) for path in sorted((work / "latents").glob("*.npy"))]
    values = torch.from_numpy(np.concatenate(shards))
    scenes = [sample_scene(np.random.default_rng(FIRST_SCENE + i)) for i in range(len(values))]
    return Latents(values, scenes)
