"""The layout ControlNet: it puts sun, moon, hills and objects where a flat picture has them.

A copy of the first half of the U-Net without its attention: what is painted is said
by the prompt, only where it goes is said by the layout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from train.adapters import layout
from train.adapters.base import frozen, latents_of, states_of, tokens_of, velocity_loss
from train.assemble import tidy
from train.captions import caption
from train.loop import Dice, LossFunction, Plan, Trainer
from train.unet import SILENCE

PLAN: Final = Plan(steps=1600, batch=16, rate=1e-3, seed=24, turns=((49, 1.0), (1000, 0.7)), averaging=0.99)
FIRST_SCENE: Final = 620_000_000
SCENES: Final = 6000


def build(pipeline: Any, seed: int) -> Any:
    """A ControlNet that changes nothing yet, with the U-Net's own first layers."""
    torch.manual_seed(seed)
    config = pipeline.unet.config
    control: Any = ControlNetModel(
        in_channels=config.in_channels,
        down_block_types=("DownBlock2D",) * len(config.block_out_channels),
        mid_block_type="UNetMidBlock2D",
        block_out_channels=config.block_out_channels,
        layers_per_block=config.layers_per_block,
        norm_num_groups=config.norm_num_groups,
        cross_attention_dim=config.cross_attention_dim,
        attention_head_dim=config.attention_head_dim,
        # Two halvings: latents are a quarter as wide as pictures.
        conditioning_embedding_out_channels=(16, 32, 64),
    )
    known = pipeline.unet.state_dict()
    own = control.state_dict()
    control.load_state_dict({name: known.get(name, value) for name, value in own.items()})
    return control


def steered(pipeline: Any, control: Any, noisy: Tensor, times: Tensor, states: Tensor, hints: Tensor) -> Tensor:
    """The velocity that the U-Net finds with the ControlNet's help."""
    down, middle = control(noisy, times, states, hints, return_dict=False)
    found: Tensor = pipeline.unet(
        noisy, times, states, down_block_additional_residuals=down, mid_block_additional_residual=middle
    ).sample
    return found


def loss_function(pipeline: Any, control: Any, plan: Plan, device: torch.device, count: int = SCENES) -> LossFunction:
    """The error of the velocity, with the layouts of the scenes given."""
    found = [layout.sample(FIRST_SCENE + i) for i in range(count)]
    values = latents_of(pipeline, [image for _, image, _ in found], device)

    def loss(_step: int, dice: Dice) -> dict[str, Tensor]:
        chosen = dice.numbers.integers(0, count, plan.batch)
        texts = [caption(found[i][0], dice.numbers) for i in chosen]
        tokens = tokens_of(pipeline, texts, dice.numbers.random(plan.batch) < SILENCE, device)
        pictures = np.stack([layout.coloured(found[i][2]) for i in chosen])
        hints = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            states = states_of(pipeline, tokens)

        def predict(noisy: Tensor, times: Tensor, read: Tensor) -> Tensor:
            return steered(pipeline, control, noisy, times, read, hints)

        return velocity_loss(predict, values[torch.from_numpy(chosen)], states, dice)

    return loss


def train(work: Path, device: torch.device) -> Path:
    """Train the ControlNet, or finish its training, and write its folder in half precision."""
    pipeline = frozen(device)
    control = build(pipeline, PLAN.seed)
    trainer = Trainer(control, PLAN, work / "layout.pt", device)
    trainer.run(loss_function(pipeline, control, PLAN, device))
    trainer.use_average()
    folder = work / "adapters" / "layout"
    control.half().save_pretrained(folder)
    tidy(folder)
    return folder
