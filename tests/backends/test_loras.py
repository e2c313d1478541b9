"""LoRAs: they change the picture as their file says, and leave nothing behind."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from backends import adapters
from backends.adapters import diffusers_lora, kohya_lora, model, save

from intaglio.backends import diffusers
from intaglio.backends.diffusers import DiffusersBackend
from intaglio.backends.loading import load
from intaglio.backends.loras import _carried
from intaglio.backends.quiet import library, quiet
from intaglio.core.context import Generation, Hooks, Lora, ModelFile
from intaglio.core.errors import Cancelled, Invalid, InvalidModel, ModelUnavailable, UnsafeModel

Ask = Callable[..., Generation]
SILENT = Hooks()


@pytest.fixture(scope="module")
def loaded() -> Any:
    return adapters.pipeline(Path(__file__).parents[2] / "models" / "scenes")


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory, loaded: Any) -> list[ModelFile]:
    folder = tmp_path_factory.mktemp("loras")
    return [kohya_lora(folder / "ink.safetensors", loaded, 1), diffusers_lora(folder / "oil.safetensors", loaded, 2)]


@pytest.fixture
def fresh() -> Iterator[DiffusersBackend]:
    backend = DiffusersBackend(threads=1)
    yield backend
    backend.close()


def with_loras(ask: Ask, *pairs: tuple[ModelFile, float], **changes: Any) -> Generation:
    return ask(loras=tuple(Lora(file, weight) for file, weight in pairs), **changes)


def plain_lora(request: Generation) -> bytes:
    """The picture of a bare diffusers script that loads the same LoRAs."""
    with quiet():
        torch, pipeline = library("torch"), adapters.pipeline(request.model.path)
        names = [f"adapter{index}" for index, _ in enumerate(request.loras)]
        for name, lora in zip(names, request.loras, strict=True):
            pipeline.load_lora_weights(lora.file.path, adapter_name=name)
        pipeline.set_adapters(names, [lora.weight for lora in request.loras])
        picture = pipeline(
            prompt=request.prompt, negative_prompt=request.negative_prompt, num_inference_steps=request.steps,
            guidance_scale=request.guidance, generator=torch.Generator("cpu").manual_seed(request.seed),
        ).images[0]  # fmt: skip
        return bytes(picture.tobytes())


@pytest.mark.usefixtures("one_thread")
def test_a_lora_gives_the_pixels_of_a_bare_script(backend: DiffusersBackend, ask: Ask, loras: list[ModelFile]) -> None:
    for file in loras:
        request = with_loras(ask, (file, 0.75))
        picture = backend.generate(request, SILENT)
        assert picture.data == plain_lora(request)
        assert picture.data != backend.generate(ask(), SILENT).data


def test_nothing_is_left_of_a_lora(backend: DiffusersBackend, ask: Ask, loras: list[ModelFile]) -> None:
    bare = backend.generate(ask(), SILENT).data
    requests = [with_loras(ask, *pairs) for pairs in (
        [(loras[0], 1.0)], [(loras[0], 0.3)], [(loras[1], 1.0)], [(loras[0], 0.3), (loras[1], -0.5)],
    )]  # fmt: skip
    alone = []
    for request in requests:
        new = DiffusersBackend(threads=1)
        alone.append(new.generate(request, SILENT).data)
        new.close()
    assert len({bare, *alone}) == len(alone) + 1
    for request, expected in [*zip(requests, alone, strict=True)][::-1]:
        assert backend.generate(request, SILENT).data == expected
    assert backend.generate(ask(), SILENT).data == bare


def test_the_very_layers_come_back(fresh: DiffusersBackend, ask: Ask, loras: list[ModelFile]) -> None:
    fresh.generate(ask(steps=1), SILENT)
    (base,) = [entry.model for entry in fresh._warm._entries.values()]
    parts = {"unet": base.unet, "text_encoder": base.text_encoder}
    before = [(part, name, module) for part in parts for name, module in parts[part].named_modules()]
    values = [tensor.clone() for part in parts.values() for tensor in part.parameters()]
    fresh.generate(with_loras(ask, (loras[0], 1.0), (loras[1], 0.5), steps=1), SILENT)
    assert len(list(base.unet.named_modules())) > len(before)
    fresh.generate(ask(steps=1), SILENT)
    after = [(part, name, module) for part in parts for name, module in parts[part].named_modules()]
    assert all(a[:2] == b[:2] and a[2] is b[2] for a, b in zip(before, after, strict=True))
    now = [tensor for part in parts.values() for tensor in part.parameters()]
    assert all(bool((a == b).all()) for a, b in zip(values, now, strict=True))
    assert base not in _carried


def test_other_weights_do_not_load_the_file_again(
    fresh: DiffusersBackend, ask: Ask, loras: list[ModelFile], tmp_path: Path
) -> None:
    copy = model(Path(shutil.copy(loras[0].path, tmp_path)), layout="single-file")
    first = fresh.generate(with_loras(ask, (copy, 0.5), steps=1), SILENT)
    copy.path.unlink()
    assert fresh.generate(with_loras(ask, (copy, 1.0), steps=1), SILENT).data != first.data
    assert fresh.generate(with_loras(ask, (copy, 0.5), steps=1), SILENT).data == first.data


def test_the_order_of_loras_does_not_count(backend: DiffusersBackend, ask: Ask, loras: list[ModelFile]) -> None:
    pairs = [(loras[0], 0.7), (loras[1], 0.4)]
    first = backend.generate(with_loras(ask, *pairs), SILENT)
    assert backend.generate(with_loras(ask, *pairs[::-1]), SILENT).data == first.data
    swapped = [(loras[0], 0.4), (loras[1], 0.7)]
    assert backend.generate(with_loras(ask, *swapped), SILENT).data != first.data


def test_weight_zero_is_without_it(backend: DiffusersBackend, ask: Ask, loras: list[ModelFile]) -> None:
    assert backend.generate(with_loras(ask, (loras[0], 0.0)), SILENT).data == backend.generate(ask(), SILENT).data


def test_what_the_process_would_draw_does_not_depend_on_loading(
    ask: Ask, fresh: DiffusersBackend, loras: list[ModelFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some pipelines read the process's generator. The first run loads, by a way that reads it too; the second not."""
    torch = library("torch")

    def drawing(*given: Any) -> Any:
        torch.rand(7)
        return load(*given)

    monkeypatch.setattr(diffusers, "load", drawing)
    drawn: list[float] = []
    for _ in range(2):
        fresh.generate(
            with_loras(ask, (loras[0], 0.5), steps=1), Hooks(progress=lambda *_: drawn.append(float(torch.rand(1))))
        )
    assert drawn[0] == drawn[1]


def test_in_a_new_process(backend: DiffusersBackend, ask: Ask, loras: list[ModelFile]) -> None:
    request = with_loras(ask, (loras[0], 0.7), (loras[1], 0.4))
    code = (
        "import sys; from pathlib import Path; from intaglio.core.context import *;"
        "from intaglio.backends.diffusers import DiffusersBackend as B;"
        "m = lambda p, l: ModelFile('x', 'blake3:' + p, l, Path(p));"
        "a, b, c = sys.argv[1:];"
        f"r = Generation(m(a, 'diffusers'), {request.prompt!r}, {request.negative_prompt!r}, {request.seed},"
        f" {request.steps}, {request.guidance}, {request.width}, {request.height}, 'ddim', 0, 'float32', 'cpu',"
        " loras=(Lora(m(c, 'single-file'), 0.4), Lora(m(b, 'single-file'), 0.7)));"
        "print(B(threads=1).generate(r, Hooks()).digest)"
    )
    paths = [str(request.model.path), str(loras[0].path), str(loras[1].path)]
    out = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == backend.generate(request, SILENT).digest
    assert out.stderr == ""


# -- what the file says is what is done ---------------------------------------------------------------------------


def merged(request: Generation, tmp_path: Path, loaded: Any, seed: int, alpha: Callable[[int], float]) -> ModelFile:
    """The model with the LoRA worked into its weights by the definition: W + weight * alpha / rank * up @ down."""
    weights = library("safetensors.torch")
    folder = Path(shutil.copytree(request.model.path, tmp_path / "merged"))
    for part in adapters.KOHYA:
        file = next((folder / part).glob("*.safetensors"))
        tensors = {name: tensor.float() for name, tensor in weights.load_file(file).items()}
        for index, (name, (down, up)) in enumerate(adapters.lora_layers(loaded, seed, part).items()):
            own = next(key for key in (f"{name}.weight", f"text_model.{name}.weight") if key in tensors)
            tensors[own] = tensors[own] + request.loras[0].weight * alpha(index) / down.shape[0] * (up @ down)
        weights.save_file(tensors, file, metadata={"format": "pt"})
    return model(folder)


@pytest.mark.parametrize("alpha", [lambda index: 1.0, lambda index: 0.25 + index % 3], ids=["even", "uneven"])
def test_layers_have_the_strength_their_file_says(
    backend: DiffusersBackend, ask: Ask, loaded: Any, tmp_path: Path, alpha: Callable[[int], float]
) -> None:
    """diffusers 0.42 gives all layers of an uneven file the same strength; the definition is the measure here."""
    file = kohya_lora(tmp_path / "uneven.safetensors", loaded, 5, alpha)
    request = with_loras(ask, (file, 0.8))
    expected = backend.generate(ask(model=merged(request, tmp_path, loaded, 5, alpha)), SILENT).data
    got = backend.generate(request, SILENT).data
    assert max(abs(a - b) for a, b in zip(expected, got, strict=True)) <= 1
    assert got != backend.generate(ask(), SILENT).data


def test_a_folder_as_diffusers_saves_it(
    backend: DiffusersBackend, ask: Ask, loras: list[ModelFile], tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    shutil.copy(loras[1].path, folder / "pytorch_lora_weights.safetensors")
    expected = backend.generate(with_loras(ask, (loras[1], 1.0), steps=1), SILENT)
    assert backend.generate(with_loras(ask, (model(folder), 1.0), steps=1), SILENT).data == expected.data


def test_a_file_under_any_name(backend: DiffusersBackend, ask: Ask, loras: list[ModelFile], tmp_path: Path) -> None:
    unnamed = model(Path(shutil.copy(loras[0].path, tmp_path / "0a1b2c")), layout="single-file")
    expected = backend.generate(with_loras(ask, (loras[0], 1.0), steps=1), SILENT)
    assert backend.generate(with_loras(ask, (unnamed, 1.0), steps=1), SILENT).data == expected.data


def test_parts_of_their_own(backend: DiffusersBackend, ask: Ask, loaded: Any, tmp_path: Path) -> None:
    text = kohya_lora(tmp_path / "text.safetensors", loaded, 6, parts=("text_encoder",))
    unet = kohya_lora(tmp_path / "unet.safetensors", loaded, 7, parts=("unet",))
    digests = {backend.generate(with_loras(ask, *pairs), SILENT).digest for pairs in (
        [], [(text, 1.0)], [(unet, 1.0)], [(text, 1.0), (unet, 1.0)], [(text, 0.5), (unet, 1.0)],
    )}  # fmt: skip
    assert len(digests) == 5


def test_sdxl(backend: DiffusersBackend, ask: Ask, tiny_sdxl: Path, tmp_path: Path) -> None:
    sdxl = adapters.pipeline(tiny_sdxl)
    file = diffusers_lora(tmp_path / "xl.safetensors", sdxl, 3, ("unet", "text_encoder", "text_encoder_2"))
    size: dict[str, Any] = {"model": model(tiny_sdxl), "width": 32, "height": 32, "scheduler": "euler"}
    bare = backend.generate(ask(**size), SILENT)
    assert backend.generate(with_loras(ask, (file, 1.0), **size), SILENT).data != bare.data
    assert backend.generate(ask(**size), SILENT).data == bare.data


# -- refused ------------------------------------------------------------------------------------------------------


def renamed(file: ModelFile, path: Path, change: Callable[[str], str]) -> ModelFile:
    tensors = library("safetensors.torch").load_file(file.path)
    return save(path, {change(name): tensor for name, tensor in tensors.items()})


def wrong(tmp_path: Path, loras: list[ModelFile], scenes: Path) -> Iterator[tuple[str, ModelFile]]:
    torch = library("torch")
    flux = "transformer.single_transformer_blocks.0.attn.to_q.lora_"
    yield (
        "fits nothing in this model",
        save(tmp_path / "flux.safetensors", {f"{flux}A.weight": torch.ones(2, 8), f"{flux}B.weight": torch.ones(8, 2)}),
    )
    yield (
        "does not fit this model as a LoRA",
        renamed(
            loras[0],
            tmp_path / "blocks.safetensors",
            lambda name: name.replace("_blocks_", "_blocks_7").replace("s_", "s_9"),
        ),
    )
    tensors = library("safetensors.torch").load_file(loras[1].path)
    wide = {name: torch.cat([t, t], 1) if "lora_A" in name else t for name, t in tensors.items()}
    yield "does not fit this model as a LoRA: .*size", save(tmp_path / "wide.safetensors", wide)
    half = {name: tensor for name, tensor in tensors.items() if not name.endswith("attn1.to_q.lora_B.weight")}
    yield "holds only half of 'unet", save(tmp_path / "half.safetensors", half)
    stem = "lora_unet_mid_block_attentions_0_proj_in"
    yield "diffusers does not load here", save(tmp_path / "loha.safetensors", {f"{stem}.hada_w1_a": torch.ones(2, 2)})
    kohya = library("safetensors.torch").load_file(loras[0].path)
    yield "is a DoRA", save(tmp_path / "dora.safetensors", kohya | {f"{stem}.dora_scale": torch.ones(1, 2)})
    yield "is of kind vae, not a LoRA", model(scenes / "vae")


def test_a_lora_that_does_not_fit_is_refused(
    fresh: DiffusersBackend, ask: Ask, loras: list[ModelFile], scenes: Path, tmp_path: Path
) -> None:
    expected = fresh.generate(with_loras(ask, (loras[0], 1.0), steps=1), SILENT)
    for message, file in wrong(tmp_path, loras, scenes):
        with pytest.raises(InvalidModel, match=message) as caught:
            fresh.generate(with_loras(ask, (file, 1.0), (loras[0], 1.0), steps=1), SILENT)
        assert file.name in str(caught.value)
        assert fresh.generate(with_loras(ask, (loras[0], 1.0), steps=1), SILENT).data == expected.data


def test_one_that_fits_in_part_is_remarked_on_each_time(
    backend: DiffusersBackend, ask: Ask, heard: Any, loras: list[ModelFile], tmp_path: Path
) -> None:
    part = renamed(loras[1], tmp_path / "part.safetensors", lambda name: name.replace("mid_block", "no_such_block"))
    for _ in range(2):
        backend.generate(with_loras(ask, (part, 1.0), steps=1), heard.hooks)
    assert len(heard.notes) == 2
    assert heard.notes[0] == heard.notes[1]
    assert "of its 56 layers fit this model" in heard.notes[0]


def test_flux_with_a_lora_for_another_family(
    backend: DiffusersBackend, ask: Ask, loras: list[ModelFile], tiny_flux: Path
) -> None:
    settings: dict[str, Any] = {"width": 32, "height": 32, "negative_prompt": "", "scheduler": "flow_euler"}
    with pytest.raises(InvalidModel):
        backend.generate(with_loras(ask, (loras[0], 1.0), model=model(tiny_flux), **settings), SILENT)


def test_a_pickle_is_refused_unless_it_was_allowed(
    backend: DiffusersBackend, ask: Ask, loras: list[ModelFile], tmp_path: Path
) -> None:
    path = tmp_path / "lora.pt"
    library("torch").save(library("safetensors.torch").load_file(loras[1].path), path)
    file = model(path, layout="single-file")
    with pytest.raises(UnsafeModel, match="can run code"):
        backend.generate(with_loras(ask, (file, 1.0), steps=1), SILENT)
    allowed = replace(file, pickle_allowed=True)
    expected = backend.generate(with_loras(ask, (loras[1], 1.0), steps=1), SILENT)
    assert backend.generate(with_loras(ask, (allowed, 1.0), steps=1), SILENT).data == expected.data


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return __import__("os").system, ("touch /tmp/intaglio-lora-was-run",)


def test_an_allowed_pickle_still_runs_nothing(backend: DiffusersBackend, ask: Ask, tmp_path: Path) -> None:
    library("torch").save({"lora": Evil()}, tmp_path / "evil.pt")
    file = replace(model(tmp_path / "evil.pt", layout="single-file"), pickle_allowed=True)
    with pytest.raises(InvalidModel, match="cannot be loaded"):
        backend.generate(with_loras(ask, (file, 1.0), steps=1), SILENT)
    assert not Path("/tmp/intaglio-lora-was-run").exists()


def test_a_file_that_is_no_longer_what_was_recorded(
    fresh: DiffusersBackend, ask: Ask, loras: list[ModelFile], tmp_path: Path
) -> None:
    gone = model(tmp_path / "gone.safetensors", layout="single-file")
    with pytest.raises(ModelUnavailable, match="is not at"):
        fresh.generate(with_loras(ask, (gone, 1.0), steps=1), SILENT)
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise ModelUnavailable("changed meanwhile")

    with pytest.raises(ModelUnavailable, match="changed meanwhile"):
        fresh.generate(with_loras(ask, (replace(loras[0], check=check), 1.0), steps=1), SILENT)


def test_a_weight_that_is_no_number(backend: DiffusersBackend, ask: Ask, loras: list[ModelFile]) -> None:
    with pytest.raises(Invalid, match="is no number"):
        backend.generate(with_loras(ask, (loras[0], float("nan"))), SILENT)


def test_cancelled_in_the_middle_nothing_is_left(
    backend: DiffusersBackend, ask: Ask, loras: list[ModelFile], heard: Any
) -> None:
    bare = backend.generate(ask(), SILENT)

    def check() -> None:
        if heard.progress:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        backend.generate(with_loras(ask, (loras[0], 1.0)), Hooks(progress=heard.hooks.progress, check=check))
    assert backend.generate(ask(), SILENT).data == bare.data


def test_nothing_is_fetched(ask: Ask, loras: list[ModelFile], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    new = DiffusersBackend(threads=1)
    new.generate(with_loras(ask, (loras[0], 1.0), (loras[1], 1.0), steps=1), SILENT)
    new.close()


def test_nothing_is_printed(ask: Ask, loras: list[ModelFile], capfd: pytest.CaptureFixture[str]) -> None:
    new = DiffusersBackend(threads=1)
    new.generate(with_loras(ask, (loras[0], 1.0), (loras[1], 1.0), steps=1), SILENT)
    new.close()
    assert capfd.readouterr() == ("", "")
