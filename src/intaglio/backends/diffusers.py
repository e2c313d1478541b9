"""Pictures from local diffusion models: any pipeline folder or single-file checkpoint that diffusers loads, with
LoRAs, textual inversions, ControlNets and another VAE, if wanted, for one picture and without a trace in the next.

Exact by default: noise comes from a CPU generator seeded per picture, one picture per forward pass, deterministic
algorithms, full float32 precision, fixed threads. Pixels are those of a plain diffusers script with a CPU generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image as Pillow

from intaglio.backends import between, calling, determinism, embeddings, loras
from intaglio.backends.loading import load
from intaglio.backends.parts import load_controlnet, load_vae
from intaglio.backends.previews import preview
from intaglio.backends.quiet import library, quiet
from intaglio.backends.schedulers import known_schedulers, scheduler_class, unknown_scheduler
from intaglio.backends.tasks import MASK, any_latents, make_scheduler, task_of, task_pipeline
from intaglio.backends.warm import Key, WarmModels
from intaglio.core.context import Generation, Hooks, ModelFile
from intaglio.core.errors import IntaglioError, Invalid, InvalidModel, Unavailable
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
        """The picture `request` asks for, 8-bit RGB. Under a mask, what is black there are the original's own pixels.

        `hooks.progress` gets the denoising passes (methods of second order take two a step). Raises Invalid for what
        the model or the pipeline cannot do, Unavailable and its kin for what is missing here, Cancelled when
        `hooks.check` says so, and IntaglioError when the model computes no picture.
        """
        calling.check(request)
        request = between.at_an_end(request)
        torch = library("torch")
        dtype = _dtype(torch, request.dtype)
        _check_device(torch, request.device)
        exact = determinism.exact(
            torch, threads=self._threads, deterministic=self._deterministic, seed=request.seed, device=request.device
        )
        with self._lock, quiet() as logged, exact:
            hooks.check()
            used: list[Key] = []
            try:
                base = self._model(request, dtype, logged, used)
                parts = self._parts(request, base, dtype, logged, used)
                return _paint(torch, base, parts, request, hooks)
            except IntaglioError as error:
                if isinstance(error, InvalidModel):
                    self._drop(used)  # an adapter that does not fit may be half attached
                raise
            except BaseException as error:
                # What failed half-way may have left a part in another number format.
                self._drop(used)
                explained = _explained(torch, error)
                if explained is None:
                    raise
                raise explained from error

    def _model(self, request: Generation, dtype: Any, logged: list[str], used: list[Key]) -> Any:
        model = request.model
        used.append(Key(model.digest, str(model.config or ""), request.dtype, request.device))
        return self._warm.get(
            used[-1], lambda: load(model, dtype, request.device, logged), lambda: _bytes_on_disk(model)
        )

    def _parts(self, request: Generation, base: Any, dtype: Any, logged: list[str], used: list[Key]) -> dict[str, Any]:
        """What takes a place in the model for this request, by component name; kept warm beside it."""

        def part(file: ModelFile, load_part: Callable[..., Any]) -> Any:
            # What a single file becomes depends on the model it is for.
            used.append(Key(file.digest, f"for {used[0].digest} {used[0].config}", request.dtype, request.device))
            return self._warm.get(
                used[-1], lambda: load_part(file, base, dtype, request.device, logged), lambda: _bytes_on_disk(file)
            )

        found: dict[str, Any] = {}
        if request.vae is not None:
            found["vae"] = part(request.vae, load_vae)
        nets = [part(control.file, load_controlnet) for control in request.controls]
        if nets:
            found["controlnet"] = nets[0] if len(nets) == 1 else nets
        return found

    def _drop(self, keys: list[Key]) -> None:
        for key in keys:
            self._warm.drop(key)

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

    def check_scheduler(self, name: str) -> None:
        """Whether the diffusers that is here has this scheduler. Raises Invalid, BackendMissing."""
        class_name, _ = scheduler_class(name)
        if not hasattr(library("diffusers"), class_name):
            raise unknown_scheduler(name, known_schedulers())

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


def _paint(torch: Any, base: Any, parts: Mapping[str, Any], request: Generation, hooks: Hooks) -> Image:
    loras.carry(base, request.loras, hooks)
    task = task_of(base, request)
    with embeddings.known(base, request, hooks) as words:
        pipeline = task_pipeline(base, task, {**parts, **words.tokenizers})
        pipeline.scheduler = make_scheduler(base, request.scheduler)
        given = calling.arguments(pipeline, task, words.request, hooks)
        calling.note_cuts(pipeline, given, words.written, hooks)
        if words.request.toward is not None:
            calling.note_cuts(pipeline, {"prompt": words.request.toward.prompt}, words.written, hooks)
        # Loading may have drawn from the process's generators, which some pipelines read.
        torch.manual_seed(request.seed)
        mixed = between.blended(pipeline, words.request)
        with calling.clip_skip_works(pipeline), any_latents(pipeline, task), mixed:
            picture = _called(torch, pipeline, given, request, hooks)
    _note_steps(pipeline, request, hooks)
    image = _to_image(picture, request)
    return _untouched(image, given["image"], given["mask_image"]) if task == MASK else image


def _called(torch: Any, pipeline: Any, given: Mapping[str, Any], request: Generation, hooks: Hooks) -> Any:
    passes = 0

    def step(index: int, running: Any, latents: Any) -> None:
        nonlocal passes
        passes += 1
        hooks.check()
        hooks.progress(index + 1, getattr(running, "num_timesteps", None) or len(running.scheduler.timesteps))
        hooks.preview(lambda: preview(torch, running, latents, request))

    def step_end(running: Any, index: int, timestep: Any, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        step(index, running, tensors["latents"])
        return tensors

    taken = signature(pipeline.__call__).parameters
    heard: dict[str, Any] = {"callback_on_step_end": step_end}
    if "callback_on_step_end" not in taken:
        # The older way, which enlarging pipelines still have.
        heard = {"callback": lambda index, timestep, latents: step(index, pipeline, latents)}
    generator = torch.Generator("cpu").manual_seed(request.seed)
    try:
        return pipeline(**given, **heard, generator=generator, output_type="np").images[0]
    except ValueError as error:
        if passes:
            raise
        hint = "Try more steps, another size or another scheduler."
        raise Invalid(f"{type(pipeline).__name__} refuses this: {str(error)[:300]}", hint=hint) from error


def _untouched(image: Image, original: Any, mask: Any) -> Image:
    """`image` where the mask is white, the original's own pixels where it is black, a blend where it is grey.

    diffusers gives back what the VAE makes of the original, which is not quite the original.
    """
    painted = Pillow.frombytes("RGB", (image.width, image.height), image.data)
    return Image("RGB", image.width, image.height, Pillow.composite(painted, original, mask).tobytes())


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
