"""The autoencoder: 64x64 pictures to 16x16 latents of 8 channels, and back.

Pixel art is flat areas and hard edges, so besides the absolute error of pixels the
loss counts that of the differences between neighbours, which keeps edges sharp.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn

from train.canvas import SIZE
from train.loop import Dice, LossFunction, Plan, Trainer, mixed_precision
from train.scenes import make

CHANNELS: Final = 8
PLAN: Final = Plan(steps=4500, batch=12, rate=2.5e-3, seed=11, turns=((99, 1.0), (2925, 1.0)))
FIRST_SCENE: Final = 100_000_000
KL_WEIGHT: Final = 4e-4
EDGE_WEIGHT: Final = 0.25
SQUARE_WEIGHT: Final = 0.5


def build(seed: int = PLAN.seed) -> AutoencoderKL:
    """An untrained autoencoder. Few groups: on a CPU many small ones are slow."""
    torch.manual_seed(seed)
    vae: AutoencoderKL = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=CHANNELS,
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=2,
        sample_size=SIZE,
        mid_block_add_attention=False,
        force_upcast=False,
    )
    return vae


def to_tensor(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Bytes, rows by columns by colours, to numbers from -1 to 1, colours first."""
    pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels.contiguous(memory_format=torch.channels_last)


def reconstruction_losses(output: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Absolute and squared errors of pixels, and absolute errors at edges."""
    error = output.float() - target
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return {"absolute": error.abs().mean(), "square": error.square().mean(), "edges": across + down}


def loss_function(vae: AutoencoderKL, plan: Plan, device: torch.device) -> LossFunction:
    """What the autoencoder minimises; step n sees the scenes from n * batch on."""

    def loss(step: int, dice: Dice) -> dict[str, Tensor]:
        first = FIRST_SCENE + step * plan.batch
        images = to_tensor(np.stack([make(first + i).image for i in range(plan.batch)]), device)
        with mixed_precision(device):
            posterior = vae.encode(images).latent_dist
            output = vae.decode(posterior.sample(generator=dice.noise)).sample
        values = reconstruction_losses(output, images)
        values["kl"] = posterior.kl().mean() / posterior.mean[0].numel()
        values["loss"] = (
            values["absolute"]
            + SQUARE_WEIGHT * values["square"]
            + EDGE_WEIGHT * values["edges"]
            + KL_WEIGHT * values["kl"]
        )
        return values

    return loss


@torch.no_grad()
def encode(vae: AutoencoderKL, images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """The latents of the pictures: the means, without the noise of the posterior."""
    with mixed_precision(device):
        latents: Tensor = vae.encode(to_tensor(images, device)).latent_dist.mean
    return latents.float()


@dataclass(frozen=True)
class _Pointwise:
    """The weights of a 1x1 convolution."""

    weight: Tensor
    bias: Tensor


def _pointwise(layer: nn.Conv2d | None) -> _Pointwise:
    if layer is None or layer.bias is None:
        raise TypeError("the autoencoder has no 1x1 convolutions around its latents")
    return _Pointwise(layer.weight.data, layer.bias.data)


@torch.no_grad()
def normalise(vae: AutoencoderKL, device: torch.device, count: int = 512) -> None:
    """Give every latent channel mean 0 and deviation 1, and undo that when decoding.

    Both are folded into the 1x1 convolutions around the latents, so pictures stay
    the same and the pipeline needs no scaling factor.
    """
    first = FIRST_SCENE - count
    images = np.stack([make(first + i).image for i in range(count)])
    latents = torch.cat([encode(vae, images[i : i + 32], device) for i in range(0, count, 32)])
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    into, out = _pointwise(vae.quant_conv), _pointwise(vae.post_quant_conv)
    out.bias.add_(out.weight[:, :, 0, 0] @ mean)
    out.weight.mul_(deviation[None, :, None, None])
    into.weight[:CHANNELS].div_(deviation[:, None, None, None])
    into.bias[:CHANNELS].sub_(mean).div_(deviation)
    into.bias[CHANNELS:].sub_(2 * deviation.log())
    configurable: Any = vae
    configurable.register_to_config(scaling_factor=1.0)


def train(work: Path, device: torch.device, plan: Plan = PLAN) -> AutoencoderKL:
    """Train the autoencoder, or finish its training, and return it."""
    vae = build(plan.seed)
    trainer = Trainer(vae, plan, work / "vae.pt", device)
    trainer.run(loss_function(vae, plan, device))
    trainer.use_average()
    normalise(vae, device)
    return vae
