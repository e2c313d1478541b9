"""A small classifier that reads scenes, to measure how well pictures follow prompts.

It is trained on the generator, where the truth is known, then shown what the
pipeline made from held-out prompts. How often it is right on real held-out
pictures is the most that the pipeline could score; what it scores against the
prompts of other pictures is chance.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from train import palette
from train.captions import full_caption
from train.loop import Dice, LossFunction, Plan, Trainer, mixed_precision
from train.scenes import Scene, make, sample_scene
from train.vae import to_tensor

PLAN: Final = Plan(steps=1500, batch=64, rate=1e-3, seed=13, turns=((49, 1.0), (975, 1.0)))
FIRST_SCENE: Final = 300_000_000
HELD_OUT: Final = 400_000_000
UNKNOWN: Final = -100
COLOURS: Final = tuple(palette.COLOURS)
NOTHING: Final = len(palette.OBJECTS)

Images = NDArray[np.uint8]
Painter = Callable[[list[str], int], Images]

ATTRIBUTES: Final[dict[str, tuple[str, ...]]] = {
    "time": palette.TIMES,
    "sky": palette.SKY_COLOURS,
    "ground": palette.GROUNDS,
    "ground_colour": COLOURS,
    "backdrop": palette.BACKDROPS,
    "body": palette.BODIES,
    "body_place": palette.PLACES,
}


class Judge(nn.Module):
    """A convolutional network with one answer for every attribute and every place."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 96, 128)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(2, after), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 192), nn.SiLU())
        sizes = {name: len(options) for name, options in ATTRIBUTES.items()}
        sizes["object"] = len(palette.PLACES) * (NOTHING + 1)
        sizes["object_colour"] = len(palette.PLACES) * len(COLOURS)
        self.heads = nn.ModuleDict({name: nn.Linear(192, size) for name, size in sizes.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Scores per question: pictures by places by options."""
        state = self.body(images)
        places = {"object": len(palette.PLACES), "object_colour": len(palette.PLACES)}
        return {name: head(state).float().unflatten(1, (places.get(name, 1), -1)) for name, head in self.heads.items()}


def truth(scene: Scene) -> dict[str, list[int]]:
    """The right answers; UNKNOWN where there is nothing to ask."""
    answers = {name: [options.index(getattr(scene, name))] for name, options in ATTRIBUTES.items()}
    if scene.body == "none":
        answers["body_place"] = [UNKNOWN]
    kinds, colours = [NOTHING] * 3, [UNKNOWN] * 3
    for thing in scene.things:
        place = palette.PLACES.index(thing.place)
        kinds[place] = palette.OBJECTS.index(thing.kind)
        colours[place] = COLOURS.index(thing.colour)
    return answers | {"object": kinds, "object_colour": colours}


def answers(scenes: list[Scene], device: torch.device) -> dict[str, Tensor]:
    """The right answers for many scenes: scenes by places."""
    rows = [truth(scene) for scene in scenes]
    return {name: torch.tensor([row[name] for row in rows], device=device) for name in rows[0]}


def blurred(images: Tensor, dice: Dice) -> Tensor:
    """Pictures with some blur and noise, so that soft pictures are read as well."""
    share, noise = dice.numbers.random(2)
    if dice.numbers.random() < 0.6:
        images = torch.lerp(images, functional.avg_pool2d(images, 3, 1, 1), float(share))
    grain = torch.randn(images.shape, generator=dice.noise, device=images.device)
    return images + grain * 0.08 * float(noise)


def loss_function(judge: Judge, plan: Plan, device: torch.device) -> LossFunction:
    """Cross-entropy over all questions."""

    def loss(step: int, dice: Dice) -> dict[str, Tensor]:
        first = FIRST_SCENE + step * plan.batch
        examples = [make(first + i) for i in range(plan.batch)]
        images = to_tensor(np.stack([example.image for example in examples]), device)
        right = answers([example.scene for example in examples], device)
        with mixed_precision(device):
            scores = judge(blurred(images, dice))
        losses = [
            functional.cross_entropy(score.flatten(0, 1), right[name].flatten(), ignore_index=UNKNOWN)
            for name, score in scores.items()
        ]
        return {"loss": torch.stack(losses).sum()}

    return loss


def train(work: Path, device: torch.device, plan: Plan = PLAN) -> Judge:
    """Train the judge, or finish its training, and return it."""
    torch.manual_seed(plan.seed)
    judge = Judge()
    trainer = Trainer(judge, plan, work / "judge.pt", device)
    trainer.run(loss_function(judge, plan, device))
    trainer.use_average()
    return judge


@torch.no_grad()
def score(judge: Judge, images: Images, scenes: list[Scene], device: torch.device) -> dict[str, float]:
    """How often the judge sees what the scenes say; objects count where one should be."""
    right = answers(scenes, device)
    found = judge(to_tensor(images, device))
    shares = {}
    for name, answer in right.items():
        asked = answer != (NOTHING if name == "object" else UNKNOWN)
        hits = found[name].argmax(2) == answer
        shares[name] = round(float(hits[asked].float().mean()), 3)
    return shares


def measure(judge: Judge, painter: Painter, device: torch.device, count: int = 200) -> dict[str, dict[str, float]]:
    """Scores of held-out real pictures, of pictures painted from held-out prompts, and of chance."""
    real = [make(HELD_OUT + i) for i in range(count)]
    pictures = np.stack([example.image for example in real])
    scenes, prompts = [], []
    for i in range(count):
        dice = np.random.default_rng(HELD_OUT + count + i)
        scenes.append(sample_scene(dice))
        prompts.append(full_caption(scenes[-1], dice))
    painted = painter(prompts, HELD_OUT)
    return {
        "real": score(judge, pictures, [example.scene for example in real], device),
        "painted": score(judge, painted, scenes, device),
        "chance": score(judge, painted, scenes[1:] + scenes[:1], device),
    }
