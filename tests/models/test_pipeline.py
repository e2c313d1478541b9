"""The shipped folder: it loads with plain diffusers, and prompt and seed decide the picture."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from train import assemble

FOLDER = Path(__file__).resolve().parents[2] / "models" / "scenes"


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    torch.set_num_threads(1)
    return assemble.load(FOLDER, torch.device("cpu"))


def test_the_folder_is_small_and_holds_only_the_pipeline() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20 * 1000 * 1000
    parts = {"model_index.json", "scheduler", "text_encoder", "tokenizer", "unet", "vae"}
    assert set(os.listdir(FOLDER)) == parts
    assert {path.suffix for path in files} == {".json", ".safetensors"}


def test_configurations_name_no_folder_of_the_training_machine() -> None:
    for path in FOLDER.rglob("*.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        assert "_name_or_path" not in config
        assert "/tmp" not in path.read_text(encoding="utf-8")


def test_the_same_prompt_and_seed_give_the_same_picture(pipeline: StableDiffusionPipeline) -> None:
    first, second = (assemble.paint(pipeline, ["a red house, day"], [7], steps=3) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.shape == (1, 64, 64, 3)


def test_prompt_and_seed_change_the_picture(pipeline: StableDiffusionPipeline) -> None:
    prompts = ["a red house, day", "a red house, day", "a white boat, night"]
    one, other_seed, other_prompt = assemble.paint(pipeline, prompts, [7, 8, 7], steps=4)
    assert np.abs(one.astype(int) - other_seed).mean() > 3
    assert np.abs(one.astype(int) - other_prompt).mean() > 20


def test_pictures_follow_the_prompt(pipeline: StableDiffusionPipeline) -> None:
    prompts = [
        "a castle, green grass, blue sky, day",
        "a castle, green grass, blue sky at night",
        "a castle on sand, pink sky, day",
    ]
    day, night, pink = assemble.paint(pipeline, prompts, [1, 1, 1], steps=6).astype(float)
    assert night.mean() < 0.7 * day.mean()
    assert day[:12, :, 2].mean() > day[:12, :, 0].mean() + 30
    assert pink[:12, :, 0].mean() > pink[:12, :, 1].mean() + 30
