"""The pipeline for a task, made from a warm model's parts: from words, from a picture, under a mask, enlarging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from typing import Any
from weakref import WeakKeyDictionary

from intaglio.backends.families import ENLARGERS
from intaglio.backends.quiet import library
from intaglio.backends.schedulers import scheduler_class, unknown_scheduler
from intaglio.core.context import Generation
from intaglio.core.errors import Invalid

WORDS, PICTURE, MASK, ENLARGE = "words", "picture", "mask", "enlarge"
_AUTO = {
    WORDS: "AutoPipelineForText2Image",
    PICTURE: "AutoPipelineForImage2Image",
    MASK: "AutoPipelineForInpainting",
}
_CANNOT = {PICTURE: "cannot start from a picture", MASK: "cannot repaint under a mask"}
# The channels by which diffusers' inpaint pipelines know a U-Net that takes latents and nothing else.
_LATENTS = 4
# The flow-matching scheduler of the same method, for field names on a flow-matching model.
_FLOW_TWINS = {
    "EulerDiscreteScheduler": "FlowMatchEulerDiscreteScheduler",
    "HeunDiscreteScheduler": "FlowMatchHeunDiscreteScheduler",
    "LCMScheduler": "FlowMatchLCMScheduler",
}


def task_of(base: Any, request: Generation) -> str:
    """What `request` asks of the model `base`. Raises Invalid when the model is for another task."""
    name = type(base).__name__
    if name in ENLARGERS:
        if request.image is None or request.mask is not None or request.controls:
            raise Invalid(f"{name} enlarges a picture and does nothing else", hint="Give it a picture, and no mask.")
        return ENLARGE
    if request.noise_level is not None:
        raise Invalid(f"{name} does not enlarge pictures", hint="Use a model of kind upscaler, or no noise level.")
    if request.mask is not None:
        return MASK
    if _needs_mask(base):
        raise Invalid("this model only repaints under a mask", hint="Give it a picture and a mask.")
    return WORDS if request.image is None else PICTURE


def _needs_mask(base: Any) -> bool:
    """Whether the U-Net reads mask and masked picture beside the latents."""
    unet, vae = getattr(base, "unet", None), getattr(base, "vae", None)
    if unet is None or vae is None:
        return False
    latents = vae.config.get("latent_channels")
    return latents is not None and unet.config.get("in_channels") == 2 * latents + 1


# Pipelines by the warm model whose parts they share; they go when it goes.
_tasks: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def task_pipeline(base: Any, task: str, parts: Mapping[str, Any]) -> Any:
    """A pipeline for `task` that shares `base`'s parts, except for `parts` (a VAE, ControlNets, tokenizers).

    Without `parts` it is kept as long as `base` is. Raises Invalid when the model has no pipeline for the task.
    """
    if parts:
        return _task_pipeline(base, task, parts)
    made = _tasks.setdefault(base, {})
    if task not in made:
        made[task] = _task_pipeline(base, task, {})
    return made[task]


def _task_pipeline(base: Any, task: str, parts: Mapping[str, Any]) -> Any:
    pipeline = _built_anew(base, parts) if task == ENLARGE else _auto_pipeline(base, task, parts)
    if hasattr(pipeline, "watermark"):
        # SDXL marks pictures when another package happens to be installed.
        pipeline.watermark = None
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _auto_pipeline(base: Any, task: str, parts: Mapping[str, Any]) -> Any:
    try:
        return getattr(library("diffusers"), _AUTO[task]).from_pipe(base, **parts)
    except ValueError as error:
        if "controlnet" in parts:
            raise Invalid(f"{type(base).__name__} takes no ControlNet here") from error
        if task != WORDS:
            raise Invalid(f"{type(base).__name__} {_CANNOT[task]}") from error
        return _built_anew(base, parts)


def _built_anew(base: Any, parts: Mapping[str, Any]) -> Any:
    """For a pipeline that is not one of several for its model: a shallow copy keeps the warm one's scheduler."""
    taken = signature(type(base).__init__).parameters
    settings = {name: value for name, value in base.config.items() if name in taken and name not in base.components}
    return type(base)(**{**base.components, **settings, **parts})


@contextmanager
def any_latents(pipeline: Any, task: str) -> Iterator[None]:
    """While it runs, a U-Net that takes latents of any depth, and nothing else, can repaint under a mask.

    diffusers 0.42 knows such U-Nets by their 4 channels and refuses all others; what it computes fits them all.
    """
    unet: Any = getattr(pipeline, "unet", None)
    latents = pipeline.vae.config.get("latent_channels") if unet is not None and task == MASK else None
    if latents in {None, _LATENTS} or unet.config.in_channels != latents:
        yield
        return
    told = unet.config
    unet.register_to_config(in_channels=_LATENTS)
    try:
        yield
    finally:
        unet._internal_dict = told


def make_scheduler(base: Any, name: str) -> Any:
    """A fresh scheduler `name` with the model's own noise schedule. Raises Invalid when the two do not go together."""
    diffusers = library("diffusers")
    class_name, settings = scheduler_class(name)
    config = base.scheduler.config
    flow = _is_flow(type(base.scheduler).__name__, config)
    if flow and class_name != name:
        class_name = _FLOW_TWINS.get(class_name, class_name)
    cls: Any = getattr(diffusers, class_name, None)
    if not (isinstance(cls, type) and issubclass(cls, diffusers.SchedulerMixin)):
        raise unknown_scheduler(name, tuple(entry for entry in dir(diffusers) if entry.endswith("Scheduler")))
    changes = dict(settings)
    if flow and not _is_flow(class_name, {}):
        if "use_flow_sigmas" not in signature(cls).parameters:
            raise Invalid(f"scheduler {name!r} does not go with this model, which was trained by flow matching")
        shift = config.get("shift", 1.0)
        changes |= {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": shift}
    if not flow and _is_flow(class_name, {}):
        raise Invalid(f"scheduler {name!r} is for flow-matching models, which this is not")
    return _built(cls, config, changes)


def _built(cls: Any, config: Any, changes: dict[str, Any]) -> Any:
    return cls.from_config(config, **changes)


def _is_flow(class_name: str, config: Any) -> bool:
    return "FlowMatch" in class_name or bool(config.get("use_flow_sigmas", False))
