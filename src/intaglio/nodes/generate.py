"""Pictures out of diffusion models."""

from __future__ import annotations

from typing import Annotated, Literal

from intaglio.core.context import Context, Generation, ModelFile
from intaglio.core.errors import BackendMissing
from intaglio.core.image import Image
from intaglio.core.nodetype import FromModel, Interval, ModelKind, Settle, node_type

Checkpoint = Annotated[ModelFile, ModelKind("checkpoint"), "The model: name, name:label, or digest."]
Steps = Annotated[int, Interval(ge=1, le=1000), "Denoising steps."]
Guidance = Annotated[float, Interval(ge=0, le=100), "How strongly the prompt steers (CFG); 1 or less switches it off."]
Scheduler = Annotated[
    str,
    FromModel("scheduler"),
    Settle("scheduler"),
    "Sampler by its field name (euler_a, dpmpp_2m_k, ...) or diffusers class; the model's own when left out.",
]
ClipSkip = Annotated[int, Interval(ge=0, le=12), "Last text-encoder layers left out; 0 for none."]
Dtype = Annotated[Literal["float32", "float16", "bfloat16"], "Precision of the model's arithmetic."]
Device = Annotated[str, Settle("device"), "auto, cpu, cuda, cuda:N or mps."]
Side = Interval(ge=8, le=16384)


@node_type("text-to-image", version=1, batch=True)
def text_to_image(
    ctx: Context,
    *,
    model: Checkpoint,
    prompt: Annotated[str, "What to show."],
    negative_prompt: Annotated[str, "What to avoid."] = "",
    width: Annotated[int, Side, FromModel("width"), "Pixels; the model's own size when left out."] = 0,
    height: Annotated[int, Side, FromModel("height"), "Pixels; the model's own size when left out."] = 0,
    steps: Steps = 20,
    guidance: Guidance = 7.0,
    scheduler: Scheduler = "",
    clip_skip: ClipSkip = 0,
    dtype: Dtype = "float32",
    device: Device = "auto",
    seed: int,
) -> Image:
    """Make a picture from a prompt."""
    return _generate(
        ctx,
        Generation(
            model=model,
            prompt=prompt,
            negative_prompt=negative_prompt,
            seed=seed,
            steps=steps,
            guidance=guidance,
            width=width,
            height=height,
            scheduler=scheduler,
            clip_skip=clip_skip,
            dtype=dtype,
            device=device,
        ),
    )


@node_type("image-to-image", version=1, batch=True)
def image_to_image(
    ctx: Context,
    image: Image,
    *,
    model: Checkpoint,
    prompt: Annotated[str, "What to show."],
    negative_prompt: Annotated[str, "What to avoid."] = "",
    strength: Annotated[float, Interval(ge=0.01, le=1), "How much is repainted; 1 starts from noise alone."] = 0.6,
    steps: Steps = 20,
    guidance: Guidance = 7.0,
    scheduler: Scheduler = "",
    clip_skip: ClipSkip = 0,
    dtype: Dtype = "float32",
    device: Device = "auto",
    seed: int,
) -> Image:
    """Repaint a picture at its own size, following a prompt."""
    return _generate(
        ctx,
        Generation(
            model=model,
            prompt=prompt,
            negative_prompt=negative_prompt,
            seed=seed,
            steps=steps,
            guidance=guidance,
            width=image.width,
            height=image.height,
            scheduler=scheduler,
            clip_skip=clip_skip,
            dtype=dtype,
            device=device,
            image=image,
            strength=strength,
        ),
    )


def _generate(ctx: Context, request: Generation) -> Image:
    if ctx.generate is None:
        raise BackendMissing("nothing here can run a diffusion model")
    return ctx.generate(request, ctx.hooks)
