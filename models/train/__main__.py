"""`python -m train STAGE --work DIR`: make the model, one stage or all of them, or its adapters.

Every stage takes up where it stopped, so the same command finishes a run that was
killed. Stages need the ones before them: vae, latents, unet, assemble, judge, sheet.
The stage "adapters" trains and measures the adapters on the model that lies beside
this code, all of them or those named with --only.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from train import assemble, judge, latents, loop, sheet, tokenizer, unet, vae
from train.adapters import stages
from train.scenes import make

STAGES: Final = ("vae", "latents", "unet", "assemble", "judge", "sheet")
HELD_OUT: Final = 500_000_000


@dataclass
class Run:
    """One run in a work folder; parts are trained, or their training finished, when needed."""

    work: Path
    device: torch.device

    @property
    def folder(self) -> Path:
        """Where the finished pipeline is written."""
        return self.work / "scenes"

    @cached_property
    def tokens(self) -> CLIPTokenizer:
        """The tokenizer."""
        return tokenizer.build(self.work / "tokenizer")

    @cached_property
    def autoencoder(self) -> AutoencoderKL:
        """The trained autoencoder."""
        return vae.train(self.work, self.device)

    def vae(self) -> None:
        """Train the autoencoder and measure it."""
        self.record("vae_psnr", round(reconstruction(self.autoencoder, self.device), 2))

    def latents(self) -> None:
        """Encode the training scenes."""
        latents.encode_all(self.autoencoder, self.work, self.device)

    def denoiser(self) -> unet.Denoiser:
        """The trained text encoder and U-Net."""
        return unet.train(self.work, self.tokens, latents.load(self.work), self.device)

    def unet(self) -> None:
        """Train the text encoder and the U-Net."""
        self.denoiser()

    def assemble(self) -> None:
        """Write the pipeline folder."""
        assemble.write(self.autoencoder, self.denoiser(), self.tokens, self.folder)

    def judge(self) -> None:
        """Measure how well pictures follow prompts."""
        pipeline = assemble.load(self.folder, self.device)

        def painter(prompts: list[str], seed: int) -> NDArray[np.uint8]:
            return assemble.paint(pipeline, prompts, [seed + i for i in range(len(prompts))])

        self.record("judge", judge.measure(judge.train(self.work, self.device), painter, self.device))

    def sheet(self) -> None:
        """Draw the contact sheet and time the pipeline."""
        pipeline = assemble.load(self.folder, self.device)
        sheet.make_sheet(pipeline, self.work / "contact_sheet.png")
        for threads in (1, 2):
            seconds = sheet.seconds_per_picture(pipeline, threads)
            self.record(f"seconds_per_picture_{threads}_threads", seconds)

    def adapters(self, names: Sequence[str] = tuple(stages.MAKERS)) -> None:
        """Train the adapters with these names and measure them."""
        for name in names:
            stages.MAKERS[name](self.work, self.device)
            self.record(name, stages.measurement(name, self.work / "adapters", self.work, self.device))

    def record(self, name: str, value: object) -> None:
        """Add a measured value to measured.json and print it."""
        path = self.work / "measured.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(known | {name: value}, indent=2) + "\n")
        print(json.dumps({name: value}), flush=True)


@torch.no_grad()
def reconstruction(autoencoder: AutoencoderKL, device: torch.device, count: int = 256) -> float:
    """The peak signal-to-noise ratio of held-out pictures, encoded and decoded, in decibels."""
    errors = []
    for start in range(0, count, 32):
        images = np.stack([make(HELD_OUT + start + i).image for i in range(32)])
        target = vae.to_tensor(images, device)
        output = autoencoder.decode(autoencoder.encode(target).latent_dist.mean).sample.clamp(-1, 1)
        errors.append(float((output - target).square().mean()))
    return 10 * math.log10(4 / (sum(errors) / len(errors)))


def main() -> None:
    """Run one stage, or all of them in order."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    parser.add_argument("stage", choices=(*STAGES, "all", "adapters"))
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and results")
    parser.add_argument("--only", nargs="+", choices=tuple(stages.MAKERS), help="which adapters, if not all")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    run = Run(arguments.work, loop.prepare())
    if arguments.stage == "adapters":
        run.adapters(arguments.only or tuple(stages.MAKERS))
        return
    for stage in STAGES if arguments.stage == "all" else (arguments.stage,):
        getattr(run, stage)()


if __name__ == "__main__":
    main()
