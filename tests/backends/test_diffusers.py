"""Pictures from the bundled model: exact, repeatable, and leaving the process as it was found."""

from __future__ import annotations

import logging
import os
import random
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intaglio.backends import determinism, diffusers
from intaglio.backends.diffusers import DiffusersBackend
from intaglio.backends.quiet import library
from intaglio.backends.schedulers import known_schedulers
from intaglio.core.context import Generation, Hooks, ModelFile
from intaglio.core.errors import (
    BackendMissing,
    Cancelled,
    Invalid,
    Unavailable,
)
from intaglio.core.image import Image

Ask = Callable[..., Generation]
Plain = Callable[..., bytes]
SILENT = Hooks()
FLOW = {"flow_euler", "flow_heun", "flow_lcm"}


def model(path: Path, config: Path | None = None, layout: str = "diffusers") -> ModelFile:
    return ModelFile(path.name, f"blake3:{path}", layout, path, config)


def gradient(width: int, height: int, mode: str = "RGB") -> Image:
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    return Image(mode, width, height, bytes(i % 251 for i in range(width * height * channels)))


# -- exactness ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_thread")
def test_the_same_request_gives_the_same_pixels_as_a_bare_script(
    backend: DiffusersBackend, ask: Ask, plain: Plain
) -> None:
    first = backend.generate(ask(), SILENT)
    assert (first.mode, first.width, first.height) == ("RGB", ask().width, ask().height)
    assert backend.generate(ask(), SILENT).data == first.data
    assert plain(ask()) == first.data


def test_what_ran_in_between_leaves_no_trace(backend: DiffusersBackend, ask: Ask, tiny_sdxl: Path) -> None:
    first = backend.generate(ask(scheduler="dpmpp_2m"), SILENT)
    backend.generate(ask(model=model(tiny_sdxl), width=32, height=32), SILENT)
    backend.generate(ask(scheduler="euler_a", prompt="a dog", negative_prompt="", steps=2, seed=1), SILENT)
    backend.generate(ask(dtype="float16", clip_skip=1), SILENT)
    assert backend.generate(ask(scheduler="dpmpp_2m"), SILENT).data == first.data


def test_eviction_and_reload_change_nothing(backend: DiffusersBackend, ask: Ask) -> None:
    small = DiffusersBackend(threads=1, memory_limit=1)
    first = small.generate(ask(), SILENT)
    small.generate(ask(dtype="bfloat16"), SILENT)
    assert len(small._warm._entries) == 1
    assert small.generate(ask(), SILENT).data == first.data
    small.close()
    assert len(small._warm._entries) == 0
    assert small.generate(ask(), SILENT).data == first.data
    assert backend.generate(ask(), SILENT).data == first.data


def test_a_model_stays_warm(backend: DiffusersBackend, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    backend.generate(ask(steps=1), SILENT)
    monkeypatch.setattr(diffusers, "load", lambda *_: pytest.fail("loaded again"))
    backend.generate(ask(steps=1, scheduler="euler", image=gradient(64, 64)), SILENT)


@pytest.mark.parametrize("name", [name for name in known_schedulers() if name not in FLOW])
def test_every_scheduler_makes_a_picture_and_repeats_it(backend: DiffusersBackend, ask: Ask, name: str) -> None:
    # PNDM's opening Runge-Kutta steps need at least four.
    request = ask(scheduler=name, steps=4 if name == "pndm" else 2)
    first = backend.generate(request, SILENT)
    assert len(set(first.data)) > 1
    assert backend.generate(request, SILENT).data == first.data


def test_a_class_name_is_the_scheduler_of_its_field_name(backend: DiffusersBackend, ask: Ask) -> None:
    named = backend.generate(ask(scheduler="EulerAncestralDiscreteScheduler"), SILENT)
    assert named.data == backend.generate(ask(scheduler="euler_a"), SILENT).data
    assert named.data != backend.generate(ask(scheduler="euler"), SILENT).data


def test_a_scheduler_that_draws_from_the_process_repeats_too(backend: DiffusersBackend, ask: Ask) -> None:
    torch = library("torch")
    pictures = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        pictures.append(backend.generate(ask(scheduler="tcd"), SILENT).data)
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("seed", [0, 2**53 + 1, 2**64 - 1])
def test_seeds_up_to_the_largest(backend: DiffusersBackend, ask: Ask, seed: int) -> None:
    first = backend.generate(ask(seed=seed), SILENT)
    assert backend.generate(ask(seed=seed), SILENT).data == first.data
    assert backend.generate(ask(seed=(seed + 1) % 2**64), SILENT).data != first.data


def test_only_the_low_32_bits_of_a_seed_count(backend: DiffusersBackend, ask: Ask) -> None:
    # A property of torch's CPU generator that the seeds drawn elsewhere have to know; a change in torch shows here.
    assert backend.generate(ask(seed=5), SILENT).data == backend.generate(ask(seed=5 + 2**32), SILENT).data


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range_are_refused(backend: DiffusersBackend, ask: Ask, seed: int) -> None:
    with pytest.raises(Invalid, match="seed"):
        backend.generate(ask(seed=seed), SILENT)


# -- the process is left as it was ----------------------------------------------------------------------------------


def flags(torch: Any) -> tuple[object, ...]:
    root, filters = logging.getLogger("diffusers"), __import__("warnings").filters
    bars = [library(f"{name}.utils.logging").is_progress_bar_enabled() for name in ("diffusers", "transformers")]
    return (
        torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype(),
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.get_float32_matmul_precision(),
        [switch.fp32_precision for switch in determinism._switches(torch)], determinism._legacy_cudnn(torch),
        torch.get_rng_state().tolist(), random.getstate(), os.environ.get("CUBLAS_WORKSPACE_CONFIG"), root.level,
        list(root.handlers), root.propagate, list(filters), bars, library("huggingface_hub.constants").HF_HUB_OFFLINE,
    )  # fmt: skip


@pytest.mark.parametrize("changed", [False, True])
def test_flags_are_restored(backend: DiffusersBackend, ask: Ask, one_thread: Any, changed: bool) -> None:
    backend.generate(ask(steps=1), SILENT)
    precision = one_thread.get_float32_matmul_precision()
    if changed:
        one_thread.set_num_threads(2)
        one_thread.set_float32_matmul_precision("high")
    before = flags(one_thread)
    backend.generate(ask(steps=1), SILENT)
    assert flags(one_thread) == before
    with pytest.raises(Invalid):
        backend.generate(ask(scheduler="flow_euler"), SILENT)
    assert flags(one_thread) == before
    one_thread.set_float32_matmul_precision(precision)


def test_settings_in_force_while_it_runs(ask: Ask, one_thread: Any) -> None:
    seen: list[tuple[object, ...]] = []

    def look(done: int, total: int) -> None:
        precisions = {switch.fp32_precision for switch in determinism._switches(one_thread)}
        deterministic = one_thread.are_deterministic_algorithms_enabled()
        seen.append((one_thread.get_num_threads(), deterministic, precisions, os.environ["CUBLAS_WORKSPACE_CONFIG"]))

    threads = 2
    two = DiffusersBackend(threads=threads)
    two.generate(ask(steps=1), Hooks(progress=look))
    assert seen == [(threads, True, {"ieee"}, ":4096:8")]
    assert two.environment()["threads"] == threads
    two.close()


def test_nothing_is_printed(ask: Ask, capfd: pytest.CaptureFixture[str]) -> None:
    fresh = DiffusersBackend(threads=1)
    fresh.generate(ask(steps=1, dtype="float16", prompt="word " * 500), SILENT)
    fresh.environment()
    assert capfd.readouterr() == ("", "")


def test_nothing_is_fetched(ask: Ask, monkeypatch: pytest.MonkeyPatch, single_file: Path, scenes: Path) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    fresh = DiffusersBackend(threads=1)
    fresh.generate(ask(steps=1), SILENT)
    fresh.generate(ask(steps=1, model=model(single_file, scenes, "single-file")), SILENT)
    with pytest.raises(Unavailable, match="needs a pipeline folder that says how it is put together") as caught:
        fresh.generate(ask(model=model(single_file, None, "single-file")), SILENT)
    assert "--config FOLDER" in caught.value.hint


def test_environment(backend: DiffusersBackend) -> None:
    facts = backend.environment()
    assert facts["deterministic_algorithms"] is True
    assert facts["cpu_capability"]
    assert facts["threads"] == 1
    assert "cpu" in facts["devices"]  # type: ignore[operator]
    loose = DiffusersBackend(threads=3, deterministic=False).environment()
    assert (loose["deterministic"], loose["deterministic_algorithms"], loose["threads"]) == (False, False, 3)


def test_the_default_device_is_there(backend: DiffusersBackend, ask: Ask) -> None:
    backend.generate(ask(steps=1, device=backend.default_device()), SILENT)


def test_without_the_libraries(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendMissing, match="torch"):
        DiffusersBackend(threads=1).generate(ask(), SILENT)


# -- hooks ----------------------------------------------------------------------------------------------------------


def test_progress_on_every_step(backend: DiffusersBackend, ask: Ask, heard: Any) -> None:
    backend.generate(ask(steps=4), heard.hooks)
    assert heard.progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    heard.progress.clear()
    backend.generate(ask(steps=4, scheduler="heun"), heard.hooks)
    assert heard.progress == [(i, 7) for i in range(1, 8)]


def test_cancelled_in_the_middle_it_works_again(backend: DiffusersBackend, ask: Ask, heard: Any) -> None:
    first = backend.generate(ask(), SILENT)

    def check() -> None:
        if len(heard.progress) == 1:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        backend.generate(ask(), Hooks(progress=heard.hooks.progress, check=check))
    assert len(heard.progress) == 1
    assert backend.generate(ask(), SILENT).data == first.data


def test_a_failing_hook_is_not_taken_for_a_bad_request(backend: DiffusersBackend, ask: Ask) -> None:
    def fail(done: int, total: int) -> None:
        raise ValueError("mine")

    first = backend.generate(ask(), SILENT)
    with pytest.raises(ValueError, match="mine"):
        backend.generate(ask(), Hooks(progress=fail))
    assert backend.generate(ask(), SILENT).data == first.data
