"""Pictures made of pictures: repainted under a mask, enlarged by a model."""

from __future__ import annotations

from typing import Annotated

from intaglio.core.context import Context, Generation
from intaglio.core.image import Image
from intaglio.core.nodetype import FromModel, Interval, node_type
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
    Steps,
    Strength,
    Upscaler,
    Vae,
    controls,
    painted,
)


@node_type("inpaint", version=1, batch=True, together=CONTROLLED)
def inpaint(
    ctx: Context,
    image: Image,
    mask: Image,
    control_image: Image | None,
    *,
    model: Checkpoint,
    prompt: Prompt,
    negative_prompt: NegativePrompt = "",
    strength: Strength = 1.0,
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
    """Repaint a picture where the mask is white, following a prompt."""
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
            mask=mask,
            strength=strength,
            loras=loras,
            embeddings=embeddings,
            vae=vae,
            controls=controls(controlnet, control_image, control_strength),
        ),
    )


@node_type("model-upscale", version=1, batch=True)
def model_upscale(
    ctx: Context,
    image: Image,
    *,
    model: Upscaler,
    prompt: Annotated[str, "What the picture shows."] = "",
    negative_prompt: NegativePrompt = "",
    scale: Annotated[
        int, Interval(ge=1, le=16), FromModel("scale"), "How many times larger; what the model does when left out."
    ] = 0,
    noise_level: Annotated[int, Interval(ge=0, le=1000), "Noise put on the picture first; more invents more."] = 20,
    steps: Steps = 20,
    guidance: Guidance = 7.0,
    scheduler: Scheduler = "",
    dtype: Dtype = "float32",
    device: Device = "auto",
    seed: int,
) -> Image:
    """Enlarge a picture with a model that paints the missing detail."""
    return painted(
        ctx,
        Generation(
            model=model,
            prompt=prompt,
            negative_prompt=negative_prompt,
            seed=seed,
            steps=steps,
            guidance=guidance,
            width=image.width * scale,
            height=image.height * scale,
            scheduler=scheduler,
            clip_skip=0,
            dtype=dtype,
            device=device,
            image=image,
            noise_level=noise_level,
        ),
    )
