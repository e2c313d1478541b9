"""Pictures from local diffusion models: any pipeline folder or single-file checkpoint that diffusers loads.

Exact by default: noise comes from a CPU generator seeded per picture, one picture per forward pass, deterministic
algorithms, full float32 precision, fixed threads. Pixels are those of a plain diffusers script with a CPU generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from intaglio.backends import calling, determinism
from intaglio.backends.loading import load, make_scheduler, task_pipeline
from intaglio.backends.quiet import library, quiet
from intaglio.backends.warm import Key, WarmModels
from intaglio.core.context import Generation, Hooks, ModelFile
from intaglio.core.errors import IntaglioError, Invalid, Unavailable
from intaglio.core.image import Image

DTYPES = ("float32", "float16", "bfloat16")
RGB = 3


class DiffusersBackend:
    """Makes pictures, one at a time, on the processor or a GPU of this machine.

    `threads` is the number of threads torch computes with; `memory_limit` the bytes of parameters that stay loaded on
    each device (None: half of what the device has). `deterministic=False` leaves torch's flags as the process has
    them: faster on some GPUs, and pictures may differ from run to run.

    torch's CPU generator reads only the low 32 bits of a seed: seeds that are equal modulo 2**32 give equal noise.
    """

    def __init__(self, *, threads: int, deterministic: bool = True, memory_limit: int | None = None) -> None:
        if threads < 1:
            raise Invalid(f"{threads} threads cannot compute")
        self._threads = threads
        self._deterministic = deterministic
        self._memory_limit = memory_limit
        self._lock = Lock()
        self._warm = WarmModels(self._limit, _empty_gpu_cache)

    def generate(self, request: Generation, hooks: Hooks) -> Image:
        """The picture `request` asks for, 8-bit RGB.

        `hooks.progress` gets the denoising passes (methods of second order take two a step). Raises Invalid for what
        the model or the pipeline cannot do, Unavailable and its kin for what is missing here, Cancelled when
        `hooks.check` says so, and IntaglioError when the model computes no picture.
        """
        calling.check(request)
        torch = library("torch")
        dtype = _dtype(torch, request.dtype)
        _check_device(torch, request.device)
        exact = determinism.exact(
            torch, threads=self._threads, deterministic=self._deterministic, seed=request.seed, device=request.device
        )
        with self._lock, quiet() as logged, exact:
            hooks.check()
            model = request.model
            key = Key(model.digest, str(model.config or ""), request.dtype, request.device)
            try:
                base = self._warm.get(
                    key, lambda: load(model, dtype, request.device, logged), lambda: _bytes_on_disk(model)
                )
                return _paint(torch, base, request, hooks)
            except IntaglioError:
                raise
            except BaseException as error:
                # What failed half-way may have left a part in another number format.
                self._warm.drop(key)
                explained = _explained(torch, error)
                if explained is None:
                    raise
                raise explained from error

    def environment(self) -> dict[str, object]:
        """Versions, devices, threads and flags that decide pixels here. Raises BackendMissing."""
        return determinism.environment(threads=self._threads, deterministic=self._deterministic)

    def default_device(self) -> str:
        """ "cuda", "mps" or "cpu": the fastest there is. Raises BackendMissing."""
        torch = library("torch")
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"

    def check_device(self, name: str) -> str:
        """`name`, when there is such a device here. Raises Invalid, Unavailable, BackendMissing."""
        _check_device(library("torch"), name)
        return name

    def close(self) -> None:
        """Let go of all models. The backend can still be used; it loads them again."""
        with self._lock:
            self._warm.clear()

    def _limit(self, device: str) -> int:
        if self._memory_limit is not None:
            return self._memory_limit
        if device.startswith("cuda"):
            return int(library("torch").cuda.mem_get_info(device)[1]) // 2
        return int(library("psutil").virtual_memory().total) // 2


def _paint(torch: Any, base: Any, request: Generation, hooks: Hooks) -> Image:
    pipeline = task_pipeline(base, from_image=request.image is not None)
    pipeline.scheduler = make_scheduler(base, request.scheduler)
    given = calling.arguments(pipeline, request, hooks)
    passes = 0

    def step_end(running: Any, index: int, timestep: Any, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        nonlocal passes
        passes += 1
        hooks.check()
        hooks.progress(index + 1, getattr(running, "num_timesteps", None) or len(running.scheduler.timesteps))
        return tensors

    generator = torch.Generator("cpu").manual_seed(request.seed)
    try:
        with calling.clip_skip_works(pipeline):
            result = pipeline(**given, generator=generator, output_type="np", callback_on_step_end=step_end)
    except ValueError as error:
        if passes:
            raise
        hint = "Try more steps, another size or another scheduler."
        raise Invalid(f"{type(pipeline).__name__} refuses this: {str(error)[:300]}", hint=hint) from error
    _note_steps(pipeline, request, hooks)
    return _to_image(result.images[0], request)


def _note_steps(pipeline: Any, request: Generation, hooks: Hooks) -> None:
    """Say how many of the steps ran when a picture was repainted. The scheduler is used up, so it may be asked."""
    if request.image is None or not hasattr(pipeline, "get_timesteps"):
        return
    run = int(pipeline.get_timesteps(request.steps, request.strength, request.device)[1])
    if run != request.steps:
        hooks.note(f"{run} of {request.steps} steps run at strength {request.strength:g}")


def _to_image(array: Any, request: Generation) -> Image:
    """8-bit pixels from 0..1: times 255, rounded half to even, in float32, as diffusers' own Pillow conversion does."""
    if not np.isfinite(array).all():
        half = request.dtype == "float16"
        hint = "Use dtype float32 or bfloat16." if half else "Try other settings, or a sound model."
        raise IntaglioError(f"the model computed no picture: not-a-number in {request.dtype}", hint=hint)
    pixels = (array * 255).round().astype("uint8")
    height, width, channels = pixels.shape
    if (width, height, channels) != (request.width, request.height, RGB):
        raise Invalid(f"the model makes {width}x{height}x{channels}, not {request.width}x{request.height}x{RGB}")
    return Image("RGB", width, height, pixels.tobytes())


def _explained(torch: Any, error: BaseException) -> IntaglioError | None:
    """The error to raise instead of one that torch raised, where there is a way out; None for any other."""
    text = str(error)
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in text:
        return Unavailable("not enough memory for this picture", hint="Make it smaller, or use dtype float16 on a GPU.")
    if isinstance(error, RuntimeError) and "deterministic" in text:
        return Unavailable(f"no exact algorithm on this device: {text[:200]}", hint="Run it on the CPU.")
    return None


def _dtype(torch: Any, name: str) -> Any:
    if name not in DTYPES:
        raise Invalid(f"no number format {name[:40]!r}", hint=f"Use one of: {', '.join(DTYPES)}.")
    return getattr(torch, name)


def _check_device(torch: Any, name: str) -> None:
    kind, _, index = name.partition(":")
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    counts = {"cpu": 1, "mps": int(torch.backends.mps.is_available()), "cuda": cuda}
    if kind not in counts or (index and not index.isdecimal()):
        raise Invalid(f"no device {name[:40]!r}", hint="Use cpu, mps, cuda or cuda:N.")
    if int(index or 0) >= counts[kind]:
        there = ", ".join(device for device, count in counts.items() if count)
        raise Unavailable(f"device {name!r} is not available here", hint=f"There is: {there}.")


def _bytes_on_disk(model: ModelFile) -> int:
    path: Path = model.path
    files = path.rglob("*.safetensors") if path.is_dir() else iter([path])
    return sum(file.stat().st_size for file in files if file.is_file())


def _empty_gpu_cache() -> None:
    torch = library("torch")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
