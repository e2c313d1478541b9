"""Pictures between two seeds or two prompts: exactly the plain ones at the ends, in between something that moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.backends.between import slerp
from intaglio.backends.diffusers import DiffusersBackend
from intaglio.backends.quiet import library
from intaglio.core.context import Embedding, Generation, Hooks, ModelFile, Toward
from intaglio.core.errors import Invalid

Ask = Callable[..., Generation]
SILENT = Hooks()
OTHER = "a white sailboat in the middle, blue sea"


def made(backend: DiffusersBackend, request: Generation) -> bytes:
    return backend.generate(request, SILENT).data


def apart(a: bytes, b: bytes) -> float:
    return float(np.abs(np.frombuffer(a, np.uint8).astype(int) - np.frombuffer(b, np.uint8).astype(int)).mean())


@pytest.mark.parametrize("scheduler", ["ddim", "euler_a", "dpmpp_2m_sde"])
def test_the_ends_of_two_seeds_are_the_plain_pictures(backend: DiffusersBackend, ask: Ask, scheduler: str) -> None:
    """Also with samplers that draw more noise on the way."""
    near, far = (made(backend, ask(scheduler=scheduler, seed=seed)) for seed in (7, 8))
    frames = [
        made(backend, ask(scheduler=scheduler, toward=Toward(8, ask().prompt, position)))
        for position in (0.0, 1e-4, 0.5, 1.0)
    ]
    assert (frames[0], frames[3]) == (near, far)
    assert apart(frames[1], near) < 1 < apart(near, far), "it begins to move from where it stands"
    assert frames[2] not in (near, far)
    assert made(backend, ask(scheduler=scheduler)) == near, "nothing of it is left"


def test_the_ends_of_two_prompts_are_the_plain_pictures(backend: DiffusersBackend, ask: Ask) -> None:
    near, far = made(backend, ask()), made(backend, ask(prompt=OTHER))
    frames = [made(backend, ask(toward=Toward(7, OTHER, position))) for position in (0.0, 1e-4, 0.5, 0.9999, 1.0)]
    assert (frames[0], frames[4]) == (near, far)
    assert apart(frames[1], near) < 1 and apart(frames[3], far) < 1, "both ends are come to without a jump"
    assert frames[2] not in (near, far)
    assert made(backend, ask()) == near, "nothing of it is left"


def test_a_picture_between_is_the_same_every_time(ask: Ask) -> None:
    request = ask(toward=Toward(8, OTHER, 0.3))
    found = []
    for _ in range(2):
        backend = DiffusersBackend(threads=1)
        found.append(made(backend, request))
        backend.close()
    assert found[0] == found[1]


def test_two_ends_that_are_the_same_have_nothing_between(backend: DiffusersBackend, ask: Ask) -> None:
    assert made(backend, ask(toward=Toward(7, ask().prompt, 0.5))) == made(backend, ask())


@pytest.mark.parametrize("folder", ["tiny_sdxl", "tiny_flux"])
def test_other_families_have_ends_and_a_between(
    backend: DiffusersBackend, ask: Ask, folder: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(folder)
    model = ModelFile(folder, f"blake3:{folder}", "diffusers", path)
    scheduler = "FlowMatchEulerDiscreteScheduler" if folder == "tiny_flux" else "euler"
    how = {"model": model, "width": 32, "height": 32, "scheduler": scheduler, "negative_prompt": ""}
    near, far = made(backend, ask(**how)), made(backend, ask(**how, seed=8, prompt=OTHER))
    frames = [made(backend, ask(**how, toward=Toward(8, OTHER, position))) for position in (0.0, 0.5, 1.0)]
    assert (frames[0], frames[2]) == (near, far)
    assert frames[1] not in (near, far)


def test_an_end_no_generator_takes_is_refused(backend: DiffusersBackend, ask: Ask) -> None:
    for toward in (Toward(-1, "", 0.5), Toward(2**64, "", 0.5), Toward(8, "", 1.5), Toward(8, "\ud800", 0.5)):
        with pytest.raises(Invalid):
            made(backend, ask(toward=toward))


def test_what_the_far_prompt_loses_is_said(backend: DiffusersBackend, ask: Ask, heard: Any) -> None:
    backend.generate(ask(steps=1, toward=Toward(7, "house " * 200 + "UNSEEN", 0.5)), heard.hooks)
    assert len(heard.notes) == 1 and "was not seen" in heard.notes[0]


def test_the_far_prompt_knows_the_words_of_textual_inversions(
    backend: DiffusersBackend, ask: Ask, tmp_path: Path
) -> None:
    vectors = library("torch").full((1, 64), 0.5)
    width = library("json").loads((ask().model.path / "text_encoder" / "config.json").read_text())["hidden_size"]
    library("safetensors.torch").save_file({"emb_params": vectors[:, :1].repeat(1, width)}, tmp_path / "e.safetensors")
    word = Embedding(ModelFile("e", "blake3:e", "single-file", tmp_path / "e.safetensors"), "<e>")
    far = made(backend, ask(prompt="<e> house", embeddings=(word,)))
    assert made(backend, ask(embeddings=(word,), toward=Toward(7, "<e> house", 1.0))) == far
    near_far = made(backend, ask(embeddings=(word,), toward=Toward(7, "<e> house", 0.9999)))
    assert apart(near_far, far) < 1


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_mixed_noise_is_as_strong_as_its_ends(first: int, second: int, position: float) -> None:
    torch = library("torch")
    a, b = (torch.randn((1, 4, 32, 32), generator=torch.Generator("cpu").manual_seed(seed)) for seed in (first, second))
    mixed = slerp(a, b, position)
    assert mixed.dtype == a.dtype and mixed.shape == a.shape
    low, high = sorted((float(a.norm()), float(b.norm())))
    assert low * 0.97 <= float(mixed.norm()) <= high * 1.03
    assert torch.equal(slerp(a, a, position), a) or float((slerp(a, a, position) - a).abs().max()) < 1e-6
