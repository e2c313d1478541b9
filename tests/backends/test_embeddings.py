"""Textual inversions: the word works as typed while it is asked for, and is unknown again afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from backends import adapters
from backends.adapters import edit, model, save

from intaglio.backends.diffusers import DiffusersBackend
from intaglio.backends.quiet import library, quiet
from intaglio.core.context import Embedding, Generation, Hooks, ModelFile
from intaglio.core.errors import Cancelled, Invalid, InvalidModel

Ask = Callable[..., Generation]
SILENT = Hooks()
WIDTH = 128


def vectors(count: int, width: int = WIDTH, seed: int = 0) -> Any:
    torch = library("torch")
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def ink(tmp_path: Path) -> ModelFile:
    return save(tmp_path / "ink.safetensors", {"emb_params": vectors(3)})


def worded(ask: Ask, *pairs: tuple[ModelFile, str], **changes: Any) -> Generation:
    return ask(embeddings=tuple(Embedding(file, token) for file, token in pairs), **changes)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("side", ["prompt", "negative_prompt"])
def test_the_pixels_of_a_bare_script(
    backend: DiffusersBackend, ask: Ask, tmp_path: Path, count: int, side: str
) -> None:
    file = save(tmp_path / "ti.safetensors", {"<ink>": vectors(count)})
    request = worded(ask, (file, "<ink>"), **{side: "a house in <ink> style"})
    with quiet():
        torch, pipeline = library("torch"), adapters.pipeline(request.model.path)
        pipeline.load_textual_inversion(file.path, token="<ink>")
        picture = pipeline(
            prompt=request.prompt, negative_prompt=request.negative_prompt, num_inference_steps=request.steps,
            guidance_scale=request.guidance, generator=torch.Generator("cpu").manual_seed(request.seed),
        ).images[0]  # fmt: skip
    assert backend.generate(request, SILENT).data == picture.tobytes()


def test_the_word_is_gone_afterwards(backend: DiffusersBackend, ask: Ask, ink: ModelFile) -> None:
    prompt = "a house in <ink> style"
    bare = backend.generate(ask(prompt=prompt), SILENT)
    base = next(entry.model for key, entry in backend._warm._entries.items() if key.digest == ask().model.digest)
    table, words = base.text_encoder.get_input_embeddings(), len(base.tokenizer)
    with_it = backend.generate(worded(ask, (ink, "<ink>"), prompt=prompt), SILENT)
    assert with_it.data != bare.data
    assert base.text_encoder.get_input_embeddings() is table
    assert len(base.tokenizer) == words
    assert backend.generate(ask(prompt=prompt), SILENT).data == bare.data
    assert backend.generate(worded(ask, (ink, "<ink>"), prompt=prompt), SILENT).data == with_it.data


def test_cancelled_in_the_middle_it_is_gone_too(
    backend: DiffusersBackend, ask: Ask, ink: ModelFile, heard: Any
) -> None:
    prompt = "a house in <ink> style"
    bare = backend.generate(ask(prompt=prompt), SILENT)

    def check() -> None:
        if heard.progress:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        backend.generate(worded(ask, (ink, "<ink>"), prompt=prompt), Hooks(heard.hooks.progress, check))
    assert backend.generate(ask(prompt=prompt), SILENT).data == bare.data


@pytest.mark.parametrize("token", ["<ink>", "Ink", "my-style", "house", "(x)", "墨", "red house"])
def test_any_word_stands_for_the_same_vectors(
    backend: DiffusersBackend, ask: Ask, ink: ModelFile, token: str, heard: Any
) -> None:
    """Also one with capitals, of the model's own words, of several words, or with marks that patterns use."""
    expected = backend.generate(worded(ask, (ink, "<w>"), prompt="a big <w> here", steps=1), SILENT)
    request = worded(ask, (ink, token), prompt=f"a big {token} here", steps=1)
    assert backend.generate(request, heard.hooks).data == expected.data
    assert heard.notes == []


def test_a_word_is_known_only_where_it_stands_alone_and_as_typed(
    backend: DiffusersBackend, ask: Ask, ink: ModelFile, heard: Any
) -> None:
    prompt = "an Ink drinking inkwell"
    expected = backend.generate(ask(prompt=prompt, steps=1), SILENT)
    got = backend.generate(worded(ask, (ink, "ink"), prompt=prompt, steps=1), heard.hooks)
    assert got.data == expected.data
    assert heard.notes == ["textual inversion 'ink.safetensors' was not used: no prompt has the word 'ink'"]


def test_two_words_of_which_one_begins_the_other(
    backend: DiffusersBackend, ask: Ask, ink: ModelFile, tmp_path: Path
) -> None:
    oil = save(tmp_path / "oil.safetensors", {"emb_params": vectors(2, seed=9)})
    both = worded(ask, (ink, "*a"), (oil, "*a*"), prompt="one *a* and *a", steps=1)
    other = worded(ask, (oil, "<o>"), (ink, "<i>"), prompt="one <o> and <i>", steps=1)
    assert backend.generate(both, SILENT).data == backend.generate(other, SILENT).data


def test_what_does_not_fit_is_said_in_the_words_typed(
    backend: DiffusersBackend, ask: Ask, ink: ModelFile, heard: Any
) -> None:
    prompt = "house " * 45 + "<ink> and more"
    backend.generate(worded(ask, (ink, "<ink>"), prompt=prompt, steps=1), heard.hooks)
    (note,) = heard.notes
    assert "and more' was not seen" in note
    assert note.isascii()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"emb_params": (2, 64)}, "vectors of 64 numbers, this model's have 128"),
        ({"clip_l": (2, WIDTH), "clip_g": (2, WIDTH)}, "for 2 text encoders, this model has 1"),
    ],
)
def test_vectors_for_another_model_are_refused(
    backend: DiffusersBackend, ask: Ask, tmp_path: Path, tensors: dict[str, tuple[int, int]], message: str
) -> None:
    file = save(tmp_path / "ti.safetensors", {name: vectors(*shape) for name, shape in tensors.items()})
    with pytest.raises(InvalidModel, match=message) as caught:
        backend.generate(worded(ask, (file, "<ink>"), prompt="<ink>"), SILENT)
    assert "ti.safetensors" in str(caught.value)


def test_other_kinds_and_words_are_refused(
    backend: DiffusersBackend, ask: Ask, ink: ModelFile, scenes: Path, tiny_flux: Path
) -> None:
    with pytest.raises(InvalidModel, match="of kind vae, not a textual inversion"):
        backend.generate(worded(ask, (model(scenes / "vae"), "<ink>")), SILENT)
    for tokens in (["", "b"], ["a ", "b"], ["a", "a"]):
        with pytest.raises(Invalid, match="cannot be the word"):
            backend.generate(worded(ask, *((ink, token) for token in tokens)), SILENT)
    flux: dict[str, Any] = {"width": 32, "height": 32, "negative_prompt": "", "scheduler": "flow_euler"}
    with pytest.raises(Invalid, match="not CLIP's"):
        backend.generate(worded(ask, (ink, "<ink>"), model=model(tiny_flux), **flux), SILENT)


def test_a_pickle_of_the_first_trainers(backend: DiffusersBackend, ask: Ask, ink: ModelFile, tmp_path: Path) -> None:
    library("torch").save({"string_to_param": {"*": vectors(3)}, "name": "ink"}, tmp_path / "ink.pt")
    old = replace(model(tmp_path / "ink.pt", layout="single-file"), pickle_allowed=True)
    expected = backend.generate(worded(ask, (ink, "<ink>"), prompt="<ink>", steps=1), SILENT)
    assert backend.generate(worded(ask, (old, "<ink>"), prompt="<ink>", steps=1), SILENT).data == expected.data


@pytest.fixture
def old_sdxl(tiny_sdxl: Path, tmp_path: Path) -> Path:
    """As published: its text encoders find the end of a text by its being the highest number there is."""
    folder = Path(shutil.copytree(tiny_sdxl, tmp_path / "old"))
    end = json.loads((folder / "text_encoder_2" / "config.json").read_text())["eos_token_id"]
    assert end == len(json.loads((folder / "tokenizer" / "tokenizer.json").read_text())["model"]["vocab"]) - 1
    for name in ("text_encoder", "text_encoder_2"):
        edit(folder / name / "config.json", eos_token_id=2)
    return folder


def test_sdxl_with_both_encoders(
    backend: DiffusersBackend, ask: Ask, tiny_sdxl: Path, old_sdxl: Path, tmp_path: Path
) -> None:
    file = save(tmp_path / "xl.safetensors", {"clip_l": vectors(2, 32), "clip_g": vectors(2, 32, 1)})
    size: dict[str, Any] = {"width": 32, "height": 32, "scheduler": "euler", "prompt": "a <x> house"}
    bare = backend.generate(ask(model=model(tiny_sdxl), **size), SILENT)
    got = backend.generate(worded(ask, (file, "<x>"), model=model(tiny_sdxl), **size), SILENT)
    assert got.data != bare.data
    assert backend.generate(ask(model=model(tiny_sdxl), **size), SILENT).data == bare.data
    assert backend.generate(ask(model=model(old_sdxl), **size), SILENT).data == bare.data
    # A word with a number above the end's must not be taken for the end.
    assert backend.generate(worded(ask, (file, "<x>"), model=model(old_sdxl), **size), SILENT).data == got.data
    assert backend.generate(ask(model=model(old_sdxl), **size), SILENT).data == bare.data
    one = save(tmp_path / "one.safetensors", {"emb_params": vectors(2, 32)})
    with pytest.raises(InvalidModel, match="for 1 text encoders, this model has 2"):
        backend.generate(worded(ask, (one, "<x>"), model=model(tiny_sdxl), **size), SILENT)
