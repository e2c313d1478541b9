"""Pictures out of diffusion models: from words, and from another picture."""

from __future__ import annotations

from typing import Annotated

from intaglio.core.context import Context, Generation
from intaglio.core.image import Image
from intaglio.core.nodetype import FromModel, node_type
from intaglio.nodes.painting import (
    CONTROLLED,
    Checkpoint,
    ClipSkip,
    ControlNet,
    ControlStrength,
    Device,
    Dtype,
    Embeddings,
    Guidance,
    Loras,
    NegativePrompt,
    Prompt,
    Scheduler,
    Side,
    Steps,
    Strength,
    Vae,
    controls,
    painted,
    without_adapters,
)


@node_type("text-to-image", version=2, batch=True, migrations={1: without_adapters}, together=CONTROLLED)
def text_to_image(
    ctx: Context,
    control_image: Image | None,
    *,
    model: Checkpoint,
    prompt: Prompt,
    negative_prompt: NegativePrompt = "",
    width: Annotated[int, Side, FromModel("width"), "Pixels; the model's own size when left out."] = 0,
    height: Annotated[int, Side, FromModel("height"), "Pixels; the model's own size when left out."] = 0,
    steps: Steps = 20,
    guidance: Guidance = 7.0,
    scheduler: Scheduler = "",
    clip_skip: ClipSkip = 0,
    loras: Loras = (),
    embeddings: Embeddings = (),
    vae: Vae = None,
    controlnet: ControlNet = None,
    control_strength: ControlStrength = 1.0,
    dtype: Dtype = "float32",
    device: Device = "auto",
    seed: int,
) -> Image:
    """Make a picture from a prompt."""
    return painted(
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
            loras=loras,
            embeddings=embeddings,
            vae=vae,
            controls=controls(controlnet, control_image, control_strength),
        ),
    )


@node_type("image-to-image", version=2, batch=True, migrations={1: without_adapters}, together=CONTROLLED)
def image_to_image(
    ctx: Context,
    image: Image,
    control_image: Image | None,
    *,
    model: Checkpoint,
    prompt: Prompt,
    negative_prompt: NegativePrompt = "",
    strength: Strength = 0.6,
    steps: Steps = 20,
    guidance: Guidance = 7.0,
    scheduler: Scheduler = "",
    clip_skip: ClipSkip = 0,
    loras: Loras = (),
    embeddings: Embeddings = (),
    vae: Vae = None,
    controlnet: ControlNet = None,
    control_strength: ControlStrength = 1.0,
    dtype: Dtype = "float32",
    device: Device = "auto",
    seed: int,
) -> Image:
    """Repaint a picture at its own size, following a prompt."""
    return painted(
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
            loras=loras,
            embeddings=embeddings,
            vae=vae,
            controls=controls(controlnet, control_image, control_strength),
        ),
    )
