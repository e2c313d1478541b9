"""The training loop that all stages share: seeded, resumable, with averaged weights.

Every random number of a step comes from generators seeded by (seed, step), and a
checkpoint holds everything else, so a run that was killed and started again does
exactly what an undisturbed run does. Checkpoints replace each other atomically.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from train.muon import Muon


@dataclass(frozen=True)
class Plan:
    """How long and how fast one stage trains.

    The rate goes in straight lines through the `turns`, pairs of a step and a share
    of the full rate, from almost nothing at the start to nothing at the end.
    """

    steps: int
    batch: int
    rate: float
    seed: int
    turns: tuple[tuple[int, float], ...]
    averaging: float = 0.998
    save_every: int = 250
    log_every: int = 50


@dataclass
class Dice:
    """The random numbers of one step."""

    numbers: np.random.Generator
    noise: torch.Generator


LossFunction = Callable[[int, Dice], dict[str, Tensor]]


def prepare() -> torch.device:
    """Set up arithmetic for training; the GPU if there is one, else one CPU thread."""
    torch.set_flush_denormal(True)
    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(1)
    return torch.device("cpu")


@contextmanager
def mixed_precision(device: torch.device) -> Iterator[None]:
    """Convolutions and products in bfloat16, the rest in float32."""
    with torch.autocast(device.type, torch.bfloat16):
        yield


def dice(seed: int, step: int, device: torch.device) -> Dice:
    """The generators that belong to a step, whatever happened before it."""
    numbers = np.random.default_rng((seed, step))
    noise = torch.Generator(device).manual_seed(int(numbers.integers(2**62)))
    return Dice(numbers, noise)


def rate_at(step: int, plan: Plan) -> float:
    """The learning rate of a step, on the straight lines between the turns of the plan."""
    steps, shares = zip((-1, 0.0), *plan.turns, (plan.steps, 0.0), strict=True)
    return plan.rate * float(np.interp(step, steps, shares))


def save_atomically(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint that is either the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@dataclass
class Journal:
    """Averages of what the loss function reports, one JSON line every so often."""

    path: Path
    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    count: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, values: dict[str, Tensor]) -> None:
        """Take one step's values in."""
        self.count += 1
        for name, value in values.items():
            self.sums[name] += float(value.detach())

    def write(self, step: int) -> None:
        """Append the averages since the last line."""
        seconds = (time.monotonic() - self.began) / self.count
        line = {"step": step, "seconds_per_step": round(seconds, 4)}
        averages = {name: round(total / self.count, 5) for name, total in self.sums.items()}
        with self.path.open("a") as file:
            file.write(json.dumps(line | averages) + "\n")
        self.sums.clear()
        self.count, self.began = 0, time.monotonic()


class Trainer:
    """Trains `model` by minimising the "loss" that a loss function reports."""

    def __init__(self, model: nn.Module, plan: Plan, checkpoint: Path, device: torch.device) -> None:
        self.model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.plan, self.checkpoint, self.device = plan, checkpoint, device
        self.parameters = list(self.model.parameters())
        self.optimiser = Muon(self.model)
        self.average = [p.detach().clone() for p in self.parameters]
        self.step = 0
        if checkpoint.exists():
            self._load(torch.load(checkpoint, map_location=device))

    def run(self, loss_function: LossFunction, stop_at: int | None = None) -> None:
        """Train to the planned end, or to `stop_at`; go on from where it stopped."""
        journal = Journal(self.checkpoint.with_suffix(".jsonl"))
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        end = min(self.plan.steps, stop_at if stop_at is not None else self.plan.steps)
        self.model.train()
        while self.step < end:
            values = loss_function(self.step, dice(self.plan.seed, self.step, self.device))
            self._update(values["loss"])
            self.step += 1
            journal.add(values)
            if self.step % self.plan.log_every == 0 or self.step == end:
                journal.write(self.step)
            if self.step % self.plan.save_every == 0 or self.step == end:
                save_atomically(self._state(), self.checkpoint)

    def use_average(self) -> None:
        """Give the model its averaged weights, which are better than the last ones."""
        with torch.no_grad():
            for parameter, average in zip(self.parameters, self.average, strict=True):
                parameter.copy_(average)
        self.model.eval()

    def _update(self, loss: Tensor) -> None:
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step(rate_at(self.step, self.plan))
        share = min(self.plan.averaging, (1 + self.step) / (10 + self.step))
        current = [p.detach() for p in self.parameters]
        torch._foreach_lerp_(self.average, current, 1 - share)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "model": [p.detach() for p in self.parameters],
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }

    def _load(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.optimiser.load_state_dict(state["optimiser"])
        with torch.no_grad():
            for name, mine in (("model", self.parameters), ("average", self.average)):
                for parameter, saved in zip(mine, state[name], strict=True):
                    parameter.copy_(saved)
