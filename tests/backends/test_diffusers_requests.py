"""What a request may ask for, and what is refused or remarked on."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from intaglio.backends.diffusers import DiffusersBackend
from intaglio.backends.quiet import library, quiet
from intaglio.core.context import Generation, Hooks
from intaglio.core.errors import (
    Invalid,
    Unavailable,
)
from intaglio.core.image import Image

Ask = Callable[..., Generation]
Plain = Callable[..., bytes]
SILENT = Hooks()
SHORT = 200


def gradient(width: int, height: int, mode: str = "RGB") -> Image:
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    return Image(mode, width, height, bytes(i % 251 for i in range(width * height * channels)))


# -- prompts --------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_said(backend: DiffusersBackend, ask: Ask, heard: Any, scenes: Path) -> None:
    limit = library("json").loads((scenes / "tokenizer" / "tokenizer_config.json").read_text())["model_max_length"]
    backend.generate(ask(steps=1, prompt="a red house"), heard.hooks)
    assert heard.notes == []
    prompt = "house " * (limit - 2) + "UNSEEN words"
    backend.generate(ask(steps=1, prompt=prompt), heard.hooks)
    assert heard.notes == [f"prompt cut to {limit} tokens: 'UNSEEN words' was not seen"]
    heard.notes.clear()
    backend.generate(ask(steps=1, negative_prompt=prompt), heard.hooks)
    assert heard.notes == [f"negative prompt cut to {limit} tokens: 'UNSEEN words' was not seen"]


@pytest.mark.parametrize(
    "prompt", ["", "a\0red\0house", "🏠🌊🦄" * 50, "\x1b[31m", " " * 100_000 + "cat", "e\u0301" * 200]
)
def test_odd_prompts(backend: DiffusersBackend, ask: Ask, prompt: str) -> None:
    backend.generate(ask(steps=1, prompt=prompt), SILENT)


def test_a_megabyte_of_prompt(backend: DiffusersBackend, ask: Ask, heard: Any) -> None:
    backend.generate(ask(steps=1, prompt="word " * 200_000), heard.hooks)
    assert len(heard.notes) == 1
    assert len(heard.notes[0]) < SHORT


def test_half_a_character_is_refused(backend: DiffusersBackend, ask: Ask) -> None:
    with pytest.raises(Invalid, match="surrogate"):
        backend.generate(ask(prompt="\ud83c"), SILENT)


# -- parameters -----------------------------------------------------------------------------------------------------


def skipping_one_layer(request: Generation) -> bytes:
    """The same by hand: a bare script cannot, since diffusers 0.42 and transformers 5 disagree about it."""
    with quiet():
        torch, library_ = library("torch"), library("diffusers")
        pipeline = library_.DiffusionPipeline.from_pretrained(request.model.path, dtype=torch.float32)
        words = [pipeline.tokenizer(text, padding="max_length", return_tensors="pt").input_ids
                 for text in (request.prompt, request.negative_prompt)]  # fmt: skip
        with torch.no_grad():
            hidden = pipeline.text_encoder(words[0], output_hidden_states=True).hidden_states[-2]
            positive = pipeline.text_encoder.final_layer_norm(hidden)
            negative = pipeline.text_encoder(words[1])[0]
        picture = pipeline(
            prompt_embeds=positive, negative_prompt_embeds=negative, num_inference_steps=request.steps,
            guidance_scale=request.guidance, generator=torch.Generator("cpu").manual_seed(request.seed),
        ).images[0]  # fmt: skip
        return bytes(picture.tobytes())


@pytest.mark.usefixtures("one_thread")
def test_clip_skip(backend: DiffusersBackend, ask: Ask) -> None:
    skipped = backend.generate(ask(clip_skip=1), SILENT)
    assert skipped.data != backend.generate(ask(), SILENT).data
    assert skipped.data == skipping_one_layer(ask())
    with pytest.raises(Invalid, match="clip skip 99"):
        backend.generate(ask(clip_skip=99), SILENT)


def test_guidance_of_one_turns_the_negative_prompt_off(backend: DiffusersBackend, ask: Ask, heard: Any) -> None:
    first = backend.generate(ask(guidance=1.0, negative_prompt="night"), heard.hooks)
    assert heard.notes == ["the negative prompt was not used: guidance 1.0 turns it off"]
    assert first.data == backend.generate(ask(guidance=1.0, negative_prompt=""), SILENT).data
    assert first.data != backend.generate(ask(), SILENT).data


def test_image_to_image(backend: DiffusersBackend, ask: Ask, heard: Any, one_thread: Any, plain: Plain) -> None:
    request = ask(steps=8, image=gradient(ask().width, ask().height), strength=0.55)
    first = backend.generate(request, heard.hooks)
    assert heard.notes == ["4 of 8 steps run at strength 0.55"]
    assert heard.progress[-1] == (4, 4)
    assert backend.generate(request, SILENT).data == first.data
    picture = Pillow.frombytes("RGB", (ask().width, ask().height), gradient(ask().width, ask().height).data)
    assert plain(request, image=picture, strength=0.55) == first.data


def test_a_picture_of_another_size_or_mode_is_fitted_and_said(backend: DiffusersBackend, ask: Ask, heard: Any) -> None:
    image = gradient(20, 30, "RGBA")
    picture = backend.generate(ask(image=image, strength=1.0, width=32, height=48), heard.hooks)
    assert (picture.width, picture.height) == (32, 48)
    assert heard.notes == ["the picture's transparency was not seen", "picture resized from 20x30 to 32x48"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"image": gradient(64, 64), "strength": 0.0}, "strength 0.0"),
    ({"image": gradient(64, 64), "strength": 1.5}, "strength 1.5"),
    ({"image": gradient(64, 64), "strength": math.nan}, "strength nan"),
    ({"image": gradient(64, 64), "strength": 0.1}, "leaves none of 3 steps"),
    ({"steps": 0}, "0 steps"),
    ({"width": 33}, "multiples of"),
    ({"height": 0}, "multiples of"),
    ({"dtype": "int8"}, "no number format"),
    ({"device": "toaster"}, "no device"),
    ({"scheduler": "flow_euler"}, "flow-matching"),
    ({"scheduler": "NoSuchScheduler"}, "no scheduler"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_makes_no_sense_is_refused(
    backend: DiffusersBackend, ask: Ask, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        backend.generate(ask(**changes), SILENT)


def test_a_device_that_is_not_here(backend: DiffusersBackend, ask: Ask) -> None:
    with pytest.raises(Unavailable, match="'cuda:99' is not available") as caught:
        backend.generate(ask(device="cuda:99"), SILENT)
    assert "cpu" in caught.value.hint


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(backend: DiffusersBackend, ask: Ask, dtype: str) -> None:
    first = backend.generate(ask(dtype=dtype), SILENT)
    assert backend.generate(ask(dtype=dtype), SILENT).data == first.data
    assert first.data != backend.generate(ask(), SILENT).data
