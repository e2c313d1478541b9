"""The contact sheet: prompts down, seeds across, and how long pictures take."""

from __future__ import annotations

import statistics
import textwrap
import time
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import (
    StableDiffusionPipeline,
)
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from train.assemble import paint

SEEDS: Final = (1, 2, 3, 4, 5, 6)
PROMPTS: Final = (
    "a red house on the left, green hills, a yellow moon, blue sky at night, stars",
    "a red house on the right, green hills, a yellow sun, blue sky, day",
    "a white sailboat, blue sea, orange sky at sunset",
    "a big red mushroom in the middle, grass, blue sky, day",
    "a blue mushroom on the left and a yellow house on the right, purple sky at night",
    "a grey castle in the middle, snow, mountains, pink sky",
    "a snowman with a green scarf on the left and a green pine tree on the right, snow, blue sky, day",
    "a pink tree on sand, teal sky, clouds",
    "an orange flower, purple hills, a big white moon, night",
    "a castle",
)
_TILE: Final = 128
_GAP: Final = 4
_MARGIN: Final = 300


def draw(pictures: NDArray[np.uint8], prompts: tuple[str, ...], columns: int, path: Path) -> None:
    """Draw the pictures, twice their size, beside their prompts."""
    side = _TILE + _GAP
    sheet = Image.new("RGB", (_MARGIN + columns * side, len(prompts) * side), "white")
    pen = ImageDraw.Draw(sheet)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        tile = Image.fromarray(picture).resize((_TILE, _TILE), Image.Resampling.NEAREST)
        sheet.paste(tile, (_MARGIN + column * side, row * side))
    for row, prompt in enumerate(prompts):
        pen.multiline_text((6, row * side + 40), "\n".join(textwrap.wrap(prompt, 44)), fill="black")
    sheet.save(path, optimize=True)


def make_sheet(pipeline: StableDiffusionPipeline, path: Path) -> None:
    """Paint every prompt with every seed."""
    prompts = [prompt for prompt in PROMPTS for _ in SEEDS]
    seeds = [seed for _ in PROMPTS for seed in SEEDS]
    draw(paint(pipeline, prompts, seeds), PROMPTS, len(SEEDS), path)


def seconds_per_picture(pipeline: StableDiffusionPipeline, threads: int, repeats: int = 5) -> float:
    """The median time of one picture with the default steps and guidance."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    times = []
    for seed in range(repeats + 1):
        began = time.perf_counter()
        paint(pipeline, [PROMPTS[0]], [seed])
        times.append(time.perf_counter() - began)
    torch.set_num_threads(before)
    return round(statistics.median(times[1:]), 3)
