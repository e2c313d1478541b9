"""An upscaler: a small U-Net that paints 4x larger pictures from tiny ones.

It works in the latents of the scenes VAE, which are a quarter as wide as pictures: a
16x16 picture is laid beside 16x16 latents and becomes a 64x64 picture.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_upscale import StableDiffusionUpscalePipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from numpy.typing import NDArray
from torch import Tensor, nn

from train import assemble
from train import unet as denoising
from train.adapters.base import frozen, latents_of, states_of, tokens_of, velocity_loss
from train.captions import caption
from train.loop import Dice, LossFunction, Plan, Trainer
from train.loop import dice as dice_of
from train.scenes import make, sample_scene
from train.unet import LATENT_SIZE, SILENCE, WIDTH
from train.vae import CHANNELS, to_tensor

PLAN: Final = Plan(
    steps=500, batch=12, rate=3e-3, seed=26, turns=((9, 1.0), (300, 0.7)), averaging=0.95, save_every=50, log_every=25
)
FIRST_SCENE: Final = 680_000_000
SCENES: Final = 800
SETTLING: Final = 160
FACTOR: Final = 4
LATENT_SCALE: Final = 0.08333
MOST_NOISE: Final = 100  # the highest noise level that small pictures are trained with
NOISE: Final[dict[str, Any]] = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "scaled_linear"}


def scheduler() -> DDIMScheduler:
    """The usual noise, but the U-Net finds the latents themselves: that is learned in fewer steps."""
    noise: DDIMScheduler = DDIMScheduler(**denoising.NOISE | {"prediction_type": "sample"})
    return noise


def build(seed: int) -> Any:
    """An untrained U-Net: latents and small picture in, clean latents out; it reads the prompt at 4x4."""
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=CHANNELS + 3,
        out_channels=CHANNELS,
        cross_attention_dim=WIDTH,
        layers_per_block=1,
        norm_num_groups=4,
        block_out_channels=(32, 48, 48),
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        attention_head_dim=2,
        class_embed_type="timestep",
    )


def shrunk(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture a quarter as wide and high: means of 4x4 pixels."""
    side = picture.shape[0] // FACTOR
    blocks = picture.reshape(side, FACTOR, side, FACTOR, 3).astype(np.float32)
    small: NDArray[np.uint8] = blocks.mean((1, 3)).round().astype(np.uint8)
    return small


def loss_function(pipeline: Any, unet: Any, plan: Plan, device: torch.device, count: int = SCENES) -> LossFunction:
    """The error of the latents, with the small pictures laid beside the latents."""
    pictures = [make(FIRST_SCENE + i).image for i in range(count)]
    scenes = [sample_scene(np.random.default_rng(FIRST_SCENE + i)) for i in range(count)]
    values = latents_of(pipeline, pictures, device)
    small = torch.from_numpy(np.stack([shrunk(picture) for picture in pictures])).permute(0, 3, 1, 2)
    spoiler = DDPMScheduler(**NOISE)

    def loss(_step: int, dice: Dice) -> dict[str, Tensor]:
        chosen = torch.from_numpy(dice.numbers.integers(0, count, plan.batch))
        texts = [caption(scenes[int(i)], dice.numbers) for i in chosen]
        tokens = tokens_of(pipeline, texts, dice.numbers.random(plan.batch) < SILENCE, device)
        hints = small[chosen].to(device).float() / 127.5 - 1
        levels = torch.randint(0, MOST_NOISE, (plan.batch,), generator=dice.noise, device=device)
        grain = torch.randn(hints.shape, generator=dice.noise, device=device)
        spoilt = spoiler.add_noise(hints, grain, levels)
        with torch.no_grad():
            states = states_of(pipeline, tokens)

        def predict(noisy: Tensor, times: Tensor, read: Tensor) -> Tensor:
            found: Tensor = unet(torch.cat([noisy, spoilt], 1), times, read, class_labels=levels).sample
            return found

        return velocity_loss(predict, values[chosen.to(values.device)], states, dice, itself=True)

    return loss


@torch.no_grad()
def settle(pipeline: Any, unet: Any, device: torch.device, count: int = SETTLING) -> None:
    """Give the last layer the weights with the least squared error on more scenes, in closed form."""
    dice = dice_of(PLAN.seed, PLAN.steps, device)
    pictures = [make(FIRST_SCENE - 1 - i).image for i in range(count)]
    clean = latents_of(pipeline, pictures, device)
    hints = to_tensor(np.stack([shrunk(picture) for picture in pictures]), device)
    times = denoising.spread_times(count, dice, device)
    noisy, _ = denoising.add_noise(clean, times, scheduler().alphas_cumprod.to(device), dice)
    states = states_of(pipeline, tokens_of(pipeline, [""] * count, np.ones(count, bool), device))
    seen: list[Tensor] = []
    hook = unet.conv_out.register_forward_pre_hook(lambda _layer, given: seen.append(given[0]))
    unet(torch.cat([noisy, hints], 1), times, states, class_labels=torch.zeros_like(times))
    hook.remove()
    columns = nn.functional.unfold(seen[0], 3, padding=1).transpose(1, 2).flatten(0, 1).double()
    columns = torch.cat([columns, torch.ones_like(columns[:, :1])], 1)
    goal = clean.flatten(2).transpose(1, 2).flatten(0, 1).double()
    square = columns.T @ columns
    square += 1e-4 * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype, device=device)
    best = torch.linalg.solve(square, columns.T @ goal).T.float()
    unet.conv_out.weight.copy_(best[:, :-1].reshape(unet.conv_out.weight.shape))
    unet.conv_out.bias.copy_(best[:, -1])


@torch.no_grad()
def rescale(vae: Any) -> None:
    """Make the VAE's own latents twelve times as large: the upscale pipeline insists on this factor."""
    vae.post_quant_conv.weight.mul_(LATENT_SCALE)
    vae.quant_conv.weight[:CHANNELS].div_(LATENT_SCALE)
    vae.quant_conv.bias[:CHANNELS].div_(LATENT_SCALE)
    vae.quant_conv.bias[CHANNELS:].sub_(2 * math.log(LATENT_SCALE))
    vae.register_to_config(scaling_factor=LATENT_SCALE)


def write(pipeline: Any, unet: nn.Module, folder: Path) -> None:
    """Write the pipeline folder in half precision, with the scenes model's text encoder and VAE."""
    rescale(pipeline.vae)
    parts: dict[str, Any] = {"vae": pipeline.vae, "text_encoder": pipeline.text_encoder, "unet": unet}
    upscaler: Any = StableDiffusionUpscalePipeline(
        **{name: part.half() for name, part in parts.items()},
        tokenizer=pipeline.tokenizer,
        low_res_scheduler=DDPMScheduler(**NOISE),
        scheduler=scheduler(),
        max_noise_level=MOST_NOISE,
    )
    fresh = folder.with_name(f"{folder.name}.new")
    upscaler.save_pretrained(fresh, safe_serialization=True)
    assemble.tidy(fresh)
    assemble.swap(fresh, folder)


def train(work: Path, device: torch.device) -> Path:
    """Train the upscaler, or finish its training, and write its folder."""
    pipeline = frozen(device)
    unet = build(PLAN.seed)
    trainer = Trainer(unet, PLAN, work / "upscale.pt", device)
    trainer.run(loss_function(pipeline, unet, PLAN, device))
    trainer.use_average()
    settle(pipeline, unet, device)
    folder = work / "adapters" / "upscale"
    write(pipeline, unet, folder)
    return folder
