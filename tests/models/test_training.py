"""Training: the tokenizer, and steps that stop and go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn
from train import judge, latents, loop, tokenizer, unet, vae
from train.muon import Muon, orthogonalised
from train.scenes import make
from transformers import CLIPTokenizer

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return tokenizer.build(tmp_path_factory.mktemp("tokenizer"))


def test_every_word_of_a_caption_is_one_token(words: CLIPTokenizer) -> None:
    text = "a tiny crimson toadstool in the middle, on meadow, under an azure sky at midnight"
    assert [piece.removesuffix("</w>") for piece in words.tokenize(text)] == text.replace(",", " ,").split()


@pytest.mark.parametrize("text", ["a red house, at night", "ein rotes haus 42", "日本 🍄 é", ""])
def test_any_text_survives_the_tokenizer(words: CLIPTokenizer, text: str) -> None:
    numbers = words(text).input_ids
    back = words.decode(numbers, skip_special_tokens=True)
    assert back.replace(" ", "") == text.replace(" ", "")


def test_texts_are_filled_up_and_cut_to_one_length(words: CLIPTokenizer) -> None:
    rows = tokenizer.numbers(words, ["", "a castle", "a red house " * 50])
    assert {len(row) for row in rows} == {tokenizer.LENGTH}
    assert all(row[0] == words.bos_token_id and words.eos_token_id in row for row in rows)


def test_muon_makes_matrices_orthogonal() -> None:
    torch.manual_seed(0)
    found = orthogonalised(torch.randn(2, 16, 64))
    values = torch.linalg.svdvals(found)
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.5


def test_muon_leaves_word_tables_to_adamw() -> None:
    model = nn.Sequential(nn.Embedding(40, 32), nn.Linear(32, 32))
    assert len(Muon(model).matrices) == 1


def same(a: nn.Module, b: nn.Module) -> bool:
    """Whether two models have the same bits."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def trained_vae(folder: Path, plan: loop.Plan, *stops: int) -> AutoencoderKL:
    """A tiny training, interrupted at the given steps."""
    model = vae.build(plan.seed)
    for stop in (*stops, plan.steps):
        model = vae.build(plan.seed)
        trainer = loop.Trainer(model, plan, folder / "vae.pt", CPU)
        trainer.run(vae.loss_function(model, plan, CPU), stop)
        trainer.use_average()
    return model


def test_autoencoder_training_resumes_bit_identically(tmp_path: Path) -> None:
    plan = replace(vae.PLAN, steps=3, batch=2, turns=((1, 1.0),), log_every=1)
    straight = trained_vae(tmp_path / "a", plan)
    broken = trained_vae(tmp_path / "b", plan, 1, 2)
    assert same(straight, broken)
    assert not same(straight, vae.build(plan.seed))


def some_latents(count: int) -> latents.Latents:
    """Latents that are only noise, with real scenes."""
    values = torch.randn(count, 8, 16, 16, generator=torch.Generator().manual_seed(0)).half()
    return latents.Latents(values, [make(seed).scene for seed in range(count)])


def trained_unet(folder: Path, words: CLIPTokenizer, plan: loop.Plan, *stops: int) -> nn.Module:
    """A tiny training, interrupted at the given steps."""
    model = unet.build(words, plan.seed)
    for stop in (*stops, plan.steps):
        model = unet.build(words, plan.seed)
        trainer = loop.Trainer(model, plan, folder / "unet.pt", CPU)
        trainer.run(unet.loss_function(model, words, some_latents(8), plan, CPU), stop)
        trainer.use_average()
    return model


def test_unet_training_resumes_bit_identically(tmp_path: Path, words: CLIPTokenizer) -> None:
    plan = replace(unet.PLAN, steps=2, batch=2, turns=((1, 1.0),), log_every=1)
    straight = trained_unet(tmp_path / "a", words, plan)
    broken = trained_unet(tmp_path / "b", words, plan, 1)
    assert same(straight, broken)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    model = nn.Linear(32, 32)
    goal = torch.eye(32)

    def loss(_step: int, dice: loop.Dice) -> dict[str, Tensor]:
        batch = torch.randn(16, 32, generator=dice.noise)
        return {"loss": (model(batch) - batch @ goal).square().mean()}

    plan = loop.Plan(steps=150, batch=16, rate=0.05, seed=1, turns=((5, 1.0),))
    before = float(loss(0, loop.dice(1, 0, CPU))["loss"].detach())
    trainer = loop.Trainer(model, plan, tmp_path / "linear.pt", CPU)
    trainer.run(loss)
    assert float(loss(0, loop.dice(1, 0, CPU))["loss"].detach()) < before / 5


def test_a_checkpoint_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    for value in (1, 2):
        loop.save_atomically({"value": value}, path)
        assert torch.load(path) == {"value": value}
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_normalising_keeps_pictures_and_evens_latents() -> None:
    model = vae.build().eval()
    images = np.stack([make(seed).image for seed in range(4)])
    with torch.no_grad():
        before = model.decode(vae.encode(model, images, CPU)).sample
        vae.normalise(model, CPU, count=32)
        after = vae.encode(model, images, CPU)
        assert float((model.decode(after).sample - before).abs().max()) < 0.15
    assert abs(float(after.mean())) < 0.5
    assert 0.5 < float(after.std()) < 2


def test_latents_are_encoded_once_and_belong_to_their_scenes(tmp_path: Path) -> None:
    model = vae.build().eval()
    latents.encode_all(model, tmp_path, CPU, count=3)
    shard = tmp_path / "latents" / "000.npy"
    written = shard.stat().st_mtime_ns
    latents.encode_all(model, tmp_path, CPU, count=3)
    found = latents.load(tmp_path)
    assert shard.stat().st_mtime_ns == written
    assert found.scenes == [make(latents.FIRST_SCENE + i).scene for i in range(3)]
    assert found.values.shape == (3, 8, 16, 16)


def test_the_judge_asks_only_about_what_is_there() -> None:
    scenes = [make(seed).scene for seed in range(40)]
    right = judge.answers(scenes, CPU)
    for row, scene in enumerate(scenes):
        assert int((right["object"][row] != judge.NOTHING).sum()) == len(scene.things)
        assert bool((right["body_place"][row] == judge.UNKNOWN).all()) == (scene.body == "none")
    shares = judge.score(judge.Judge(), np.stack([make(s).image for s in range(40)]), scenes, CPU)
    assert set(shares) == set(right)
    assert all(0 <= share <= 1 for share in shares.values())


def test_the_rate_goes_through_its_turns() -> None:
    plan = loop.Plan(steps=100, batch=1, rate=2.0, seed=0, turns=((9, 1.0), (60, 1.0), (80, 0.25)))
    rates = [loop.rate_at(step, plan) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[30] == rates[60] == 2.0
    assert rates[70] == pytest.approx(1.25)
    assert rates[90] == pytest.approx(0.25)
    assert 0 < rates[99] < rates[98]
