"""Pictures between two: frames that lead from one seed, or from one prompt, to another."""

from __future__ import annotations

from typing import Annotated

from intaglio.core.context import Context, Generation, Toward
from intaglio.core.image import Image
from intaglio.core.nodetype import FromModel, Interval, Settle, node_type
from intaglio.core.seeds import exact_seed
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
    Vae,
    controls,
    painted,
)


@node_type("text-to-image-between", version=1, together=CONTROLLED)
def text_to_image_between(
    ctx: Context,
    control_image: Image | None,
    *,
    model: Checkpoint,
    prompt: Prompt,
    to_prompt: Annotated[str, "The prompt at the far end; the same one when left out."] = "",
    to_seed: Annotated[str, Settle("seed"), "The seed at the far end, in quotes; the same one when left out."] = "",
    position: Annotated[
        float, Interval(ge=0, le=1), "Where between: 0 is the picture of the near end, 1 that of the far end."
    ] = 0.5,
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
    """Make the picture that lies between two seeds, or between two prompts; at both ends it is text-to-image's."""
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
            toward=Toward(exact_seed(to_seed) if to_seed else seed, to_prompt or prompt, position),
        ),
    )
