"""A textual inversion: `<lantern>`, one word for a light that otherwise takes a sentence.

The word stands for a purple night under a big orange full moon, with stars. Only the
word's vectors are trained; text encoder and U-Net stay as they are.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from train.adapters.base import LICENCE, frozen, latents_of, states_of, tokens_of, velocity_loss
from train.captions import Writer
from train.loop import Dice, LossFunction, Plan, Trainer
from train.scenes import Scene, render, sample_scene

TOKEN: Final = "<lantern>"
PLAN: Final = Plan(steps=160, batch=12, rate=2e-2, seed=25, turns=((9, 1.0), (90, 0.6)), averaging=0.95)
FIRST_SCENE: Final = 660_000_000
SCENES: Final = 400
START: Final = ("purple", "moon")  # the words whose vectors it starts from, one each
VECTORS: Final = len(START)
LIGHT: Final[dict[str, Any]] = {
    "time": "night",
    "sky": "purple",
    "body": "moon",
    "body_colour": "orange",
    "body_size": "big",
    "crescent": False,
    "stars": True,
    "clouds": 0,
}


def scene_of(rng: np.random.Generator) -> Scene:
    """Any scene, in that light."""
    return replace(sample_scene(rng), **LIGHT)


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Objects, maybe ground and backdrop, and the word, which is never first."""
    writer = Writer(rng, thorough=False)
    parts = []
    if writer.keep(0.6):
        parts.append(writer.ground(scene))
    if scene.backdrop != "none" and writer.keep(0.5):
        parts.append(f"{writer.colour(scene.backdrop_colour)} {scene.backdrop}")
    parts.insert(int(rng.integers(len(parts) + 1)), TOKEN)
    return ", ".join([" and ".join(writer.thing(thing) for thing in scene.things), *parts])


class Word(nn.Module):
    """The text encoder's table of tokens, with the trained vectors of the new word."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__()
        names = [TOKEN, *(f"{TOKEN}_{i}" for i in range(1, VECTORS))]
        pipeline.tokenizer.add_tokens(names)
        pipeline.text_encoder.resize_token_embeddings(len(pipeline.tokenizer), mean_resizing=False)
        self.numbers: list[int] = pipeline.tokenizer.convert_tokens_to_ids(names)
        self.table: nn.Embedding = pipeline.text_encoder.get_input_embeddings().requires_grad_(False)
        starts = pipeline.tokenizer.convert_tokens_to_ids([f"{word}</w>" for word in START])
        self.vectors = nn.Parameter(self.table.weight[starts].clone())
        pipeline.text_encoder.set_input_embeddings(self)

    def forward(self, tokens: Tensor) -> Tensor:
        """The embeddings of token numbers."""
        found: Tensor = self.table(tokens)
        for number, vector in zip(self.numbers, self.vectors, strict=True):
            found = torch.where((tokens == number)[..., None], vector, found)
        return found


def loss_function(pipeline: Any, plan: Plan, device: torch.device, count: int = SCENES) -> LossFunction:
    """The error of the velocity towards scenes in that light, under captions with the word."""
    scenes, pictures = [], []
    for i in range(count):
        rng = np.random.default_rng(FIRST_SCENE + i)
        scenes.append(scene_of(rng))
        pictures.append(render(scenes[-1], rng))
    values = latents_of(pipeline, pictures, device)
    loud = np.zeros(plan.batch, bool)

    def loss(_step: int, dice: Dice) -> dict[str, Tensor]:
        chosen = dice.numbers.integers(0, count, plan.batch)
        texts = [pipeline.maybe_convert_prompt(caption(scenes[i], dice.numbers), pipeline.tokenizer) for i in chosen]
        states = states_of(pipeline, tokens_of(pipeline, texts, loud, device))

        def predict(noisy: Tensor, times: Tensor, read: Tensor) -> Tensor:
            velocity: Tensor = pipeline.unet(noisy, times, read).sample
            return velocity

        return velocity_loss(predict, values[torch.from_numpy(chosen)], states, dice)

    return loss


def train(work: Path, device: torch.device) -> Path:
    """Train the word, or finish its training, and write its file."""
    pipeline = frozen(device)
    word = Word(pipeline)
    trainer = Trainer(nn.ParameterList([word.vectors]), PLAN, work / "lantern.pt", device)
    trainer.run(loss_function(pipeline, PLAN, device))
    trainer.use_average()
    folder = work / "adapters"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lantern.safetensors"
    header = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "intaglio-scenes/textual-inversion",
        "modelspec.title": "Lantern light",
        "modelspec.license": LICENCE,
        "modelspec.trigger_phrase": TOKEN,
        "format": "pt",
    }
    save_file({TOKEN: word.vectors.detach().contiguous()}, path, metadata=header)
    path.chmod(0o644)
    return path
