"""Style LoRAs: low-rank changes to the U-Net that draw the same scenes in another look."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn

from train.adapters.base import LICENCE, frozen, latents_of, states_of, tokens_of, velocity_loss
from train.adapters.styles import STYLES
from train.captions import caption
from train.loop import Dice, LossFunction, Plan, Trainer
from train.scenes import make, sample_scene
from train.unet import SILENCE

RANK: Final = 8
# The text is read at 8x8 and 4x4; lines and colours are settled in the layers at 16x16.
LAYERS: Final = (
    r"(conv_in|conv_out|.*attn[12]\.to_(q|k|v|out\.0)"
    r"|(down_blocks\.0|up_blocks\.2)\.resnets\.\d\.(conv1|conv2|time_emb_proj))"
)
PLANS: Final = {
    "ink": Plan(steps=1000, batch=16, rate=3e-3, seed=21, turns=((29, 1.0), (600, 0.5)), averaging=0.99),
    "dusk": Plan(steps=400, batch=16, rate=3e-3, seed=22, turns=((29, 1.0), (280, 0.5)), averaging=0.99),
}
TITLES: Final = {"ink": "Ink on paper", "dusk": "Warm dusk light"}
FIRST_SCENE: Final = 600_000_000
SCENES: Final = 4000


def attach(pipeline: Any, seed: int) -> nn.ParameterList:
    """Add an untrained LoRA to the U-Net; its parameters, in order of their names."""
    torch.manual_seed(seed)
    pipeline.unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=LAYERS))
    return nn.ParameterList([p for _, p in sorted(pipeline.unet.named_parameters()) if p.requires_grad])


def loss_function(pipeline: Any, values: Tensor, plan: Plan, device: torch.device) -> LossFunction:
    """The error of the velocity towards restyled scenes, under their ordinary captions."""
    scenes = [sample_scene(np.random.default_rng(FIRST_SCENE + i)) for i in range(len(values))]

    def loss(_step: int, dice: Dice) -> dict[str, Tensor]:
        chosen = dice.numbers.integers(0, len(scenes), plan.batch)
        texts = [caption(scenes[i], dice.numbers) for i in chosen]
        tokens = tokens_of(pipeline, texts, dice.numbers.random(plan.batch) < SILENCE, device)
        with torch.no_grad():
            states = states_of(pipeline, tokens)

        def predict(noisy: Tensor, times: Tensor, read: Tensor) -> Tensor:
            found: Tensor = pipeline.unet(noisy, times, read).sample
            return found

        return velocity_loss(predict, values[torch.from_numpy(chosen)], states, dice)

    return loss


def header(name: str, plan: Plan) -> dict[str, str]:
    """What the file says about itself."""
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "intaglio-scenes/lora",
        "modelspec.title": TITLES[name],
        "modelspec.license": LICENCE,
        "modelspec.resolution": "64x64",
        "ss_output_name": name,
        "ss_base_model_version": "intaglio-scenes",
        "ss_network_dim": str(RANK),
        "ss_network_alpha": str(RANK),
        "ss_steps": str(plan.steps),
        "ss_seed": str(plan.seed),
        "format": "pt",
    }


def diffusers_layout(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as diffusers and peft write them."""
    return {f"unet.{name}": value for name, value in state.items()}


def kohya_layout(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as most shared LoRA files have them: underscores, down and up, and an alpha."""
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        module, part = name.removesuffix(".weight").rsplit(".", 1)
        stem = "lora_unet_" + module.replace(".", "_")
        renamed[f"{stem}.{'lora_down' if part == 'lora_A' else 'lora_up'}.weight"] = value
        renamed[f"{stem}.alpha"] = torch.tensor(float(RANK), dtype=torch.float16)
    return renamed


LAYOUTS: Final = {"ink": diffusers_layout, "dusk": kohya_layout}


def train(name: str, work: Path, device: torch.device) -> Path:
    """Train the style called `name`, or finish its training, and write its file."""
    plan, pipeline = PLANS[name], frozen(device)
    pictures = [STYLES[name](make(FIRST_SCENE + i).image) for i in range(SCENES)]
    values = latents_of(pipeline, pictures, device)
    trainer = Trainer(attach(pipeline, plan.seed), plan, work / f"{name}.pt", device)
    trainer.run(loss_function(pipeline, values, plan, device))
    trainer.use_average()
    state = {key: value.half().contiguous() for key, value in sorted(get_peft_model_state_dict(pipeline.unet).items())}
    folder = work / "adapters"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file(LAYOUTS[name](state), path, metadata=header(name, plan))
    path.chmod(0o644)
    return path
