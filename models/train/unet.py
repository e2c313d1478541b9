"""The text encoder and the U-Net, trained together to take noise out of latents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from train import tokenizer as words
from train.captions import caption
from train.latents import Latents
from train.loop import Dice, LossFunction, Plan, Trainer, mixed_precision
from train.vae import CHANNELS

PLAN: Final = Plan(
    steps=5300,
    batch=32,
    rate=2e-3,
    seed=12,
    # Down to nothing at 3,850, then up and down once more.
    turns=((149, 1.0), (1517, 1.0), (2500, 0.55), (3250, 0.292), (3850, 0.0), (3950, 0.6), (4600, 0.55), (5000, 0.381)),
)
WIDTH: Final = 128
TEXT_LAYERS: Final = 3
LATENT_SIZE: Final = 16
SILENCE: Final = 0.1  # share of captions left empty, so that guidance works
NOISE: Final[dict[str, Any]] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


class Denoiser(nn.Module):
    """The two networks as one."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text_encoder = build_text_encoder(tokenizer)
        self.unet = build_unet()

    def forward(self, noisy: Tensor, times: Tensor, tokens: Tensor) -> Tensor:
        """The velocity that leads from the noisy latents to clean ones."""
        states = self.text_encoder(tokens)[0]
        velocity: Tensor = self.unet(noisy, times, states).sample
        return velocity


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A small untrained CLIP text encoder."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=TEXT_LAYERS,
            num_attention_heads=4,
            max_position_embeddings=words.LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_unet() -> UNet2DConditionModel:
    """A small untrained U-Net; it reads the text at 8x8 and at 4x4."""
    unet: UNet2DConditionModel = UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        cross_attention_dim=WIDTH,
        layers_per_block=1,
        norm_num_groups=4,
        block_out_channels=(64, 96, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 3, 4),
    )
    return unet


def build(tokenizer: CLIPTokenizer, seed: int = PLAN.seed) -> Denoiser:
    """Both networks, untrained."""
    torch.manual_seed(seed)
    return Denoiser(tokenizer)


def scheduler() -> DDIMScheduler:
    """The noise schedule, for training and for making pictures."""
    noise: DDIMScheduler = DDIMScheduler(**NOISE)
    return noise


@contextmanager
def fast_attention(device: torch.device) -> Iterator[None]:
    """On a CPU the plain attention trains faster than the fused one."""
    if device.type == "cpu":
        with sdpa_kernel(SDPBackend.MATH):
            yield
    else:
        yield


def spread_times(batch: int, dice: Dice, device: torch.device) -> Tensor:
    """Times from 0 to 999, one from each of `batch` equal parts, in random order."""
    order = torch.from_numpy(dice.numbers.permutation(batch)).to(device)
    offsets = torch.rand(batch, generator=dice.noise, device=device)
    return ((order + offsets) / batch * 1000).long().clamp(0, 999)


def add_noise(clean: Tensor, times: Tensor, levels: Tensor, dice: Dice) -> tuple[Tensor, Tensor]:
    """Noisy latents, and the velocity that a denoiser should find in them."""
    noise = torch.randn(clean.shape, generator=dice.noise, device=clean.device)
    signal = levels[times].sqrt()[:, None, None, None]
    spoil = (1 - levels[times]).sqrt()[:, None, None, None]
    noisy = (signal * clean + spoil * noise).contiguous(memory_format=torch.channels_last)
    return noisy, signal * noise - spoil * clean


def loss_function(
    denoiser: Denoiser, tokenizer: CLIPTokenizer, latents: Latents, plan: Plan, device: torch.device
) -> LossFunction:
    """What the denoiser minimises: the squared error of the velocity."""
    levels = scheduler().alphas_cumprod.to(device)
    empty = words.numbers(tokenizer, [""])[0]

    def loss(step: int, dice: Dice) -> dict[str, Tensor]:
        chosen = dice.numbers.integers(0, len(latents.scenes), plan.batch)
        texts = [caption(latents.scenes[i], dice.numbers) for i in chosen]
        silent = dice.numbers.random(plan.batch) < SILENCE
        rows = words.numbers(tokenizer, texts)
        tokens = torch.tensor([empty if s else row for s, row in zip(silent, rows, strict=True)])
        clean = latents.values[torch.from_numpy(chosen)].to(device).float()
        times = spread_times(plan.batch, dice, device)
        noisy, velocity = add_noise(clean, times, levels, dice)
        with mixed_precision(device), fast_attention(device):
            found = denoiser(noisy, times, tokens.to(device))
        return {"loss": nn.functional.mse_loss(found.float(), velocity)}

    return loss


def train(work: Path, tokenizer: CLIPTokenizer, latents: Latents, device: torch.device, plan: Plan = PLAN) -> Denoiser:
    """Train both networks, or finish their training, and return them."""
    denoiser = build(tokenizer, plan.seed)
    trainer = Trainer(denoiser, plan, work / "unet.pt", device)
    trainer.run(loss_function(denoiser, tokenizer, latents, plan, device))
    trainer.use_average()
    return denoiser
