"""A soft VAE: the same latents, decoded as an old, soft, brown photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from train.adapters.base import frozen, latents_of
from train.adapters.styles import soft
from train.assemble import tidy
from train.loop import Dice, LossFunction, Plan, Trainer, mixed_precision
from train.scenes import make
from train.vae import EDGE_WEIGHT, SQUARE_WEIGHT, reconstruction_losses, to_tensor

PLAN: Final = Plan(steps=500, batch=12, rate=5e-4, seed=23, turns=((19, 1.0), (300, 0.6)), averaging=0.98)
FIRST_SCENE: Final = 640_000_000
SCENES: Final = 2000
JITTER: Final = 0.1  # of noise on the latents, because a U-Net's latents are never quite clean


def loss_function(pipeline: Any, plan: Plan, device: torch.device, count: int = SCENES) -> LossFunction:
    """How far the decoded latents of scenes are from the softened scenes."""
    pictures = [make(FIRST_SCENE + i).image for i in range(count)]
    values = latents_of(pipeline, pictures, device)

    def loss(_step: int, dice: Dice) -> dict[str, Tensor]:
        chosen = dice.numbers.integers(0, count, plan.batch)
        target = to_tensor(np.stack([soft(pictures[i]) for i in chosen]), device)
        latents = values[torch.from_numpy(chosen)]
        latents = latents + JITTER * torch.randn(latents.shape, generator=dice.noise, device=device)
        with mixed_precision(device):
            output = pipeline.vae.decode(latents.contiguous(memory_format=torch.channels_last)).sample
        found = reconstruction_losses(output, target)
        found["loss"] = found["absolute"] + SQUARE_WEIGHT * found["square"] + EDGE_WEIGHT * found["edges"]
        return found

    return loss


def train(work: Path, device: torch.device) -> Path:
    """Train the decoder, or finish its training, and write the VAE folder in half precision."""
    pipeline = frozen(device)
    pipeline.vae.decoder.requires_grad_(True)
    trainer = Trainer(pipeline.vae.decoder, PLAN, work / "vae-soft.pt", device)
    trainer.run(loss_function(pipeline, PLAN, device))
    trainer.use_average()
    folder = work / "adapters" / "vae-soft"
    pipeline.vae.half().save_pretrained(folder)
    tidy(folder)
    return folder
