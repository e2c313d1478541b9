"""What the nodes that paint with a diffusion model have in common: their parameters, and the way to a backend."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from intaglio.core.context import Context, Control, Embedding, Generation, Lora, ModelFile
from intaglio.core.errors import BackendMissing, Invalid
from intaglio.core.image import Image
from intaglio.core.nodetype import FromModel, Interval, ModelKind, Settle

Checkpoint = Annotated[ModelFile, ModelKind("checkpoint"), "The model: name, name:label, or digest."]
Upscaler = Annotated[ModelFile, ModelKind("upscaler"), "The model: name, name:label, or digest."]
Loras = Annotated[
    tuple[Lora, ...],
    ModelKind("lora"),
    Interval(ge=-10, le=10),
    "LoRAs, each a model or {model: NAME, weight: 0.8}; weight 1 is as it was trained.",
]
Embeddings = Annotated[
    tuple[Embedding, ...],
    ModelKind("textual-inversion"),
    "Textual inversions, each a model or {model: NAME, token: <word>}; the prompt says the token, <NAME> if not given.",
]
Vae = Annotated[ModelFile | None, ModelKind("vae"), "In the place of the model's own VAE."]
ControlNet = Annotated[ModelFile | None, ModelKind("controlnet"), "Follows the picture at the input control_image."]
ControlStrength = Annotated[float, Interval(ge=0, le=2), "How strongly the ControlNet's picture is followed."]
Strength = Annotated[float, Interval(ge=0.01, le=1), "How much is repainted; 1 starts from noise alone."]
Prompt = Annotated[str, "What to show."]
NegativePrompt = Annotated[str, "What to avoid."]
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

# A ControlNet and the picture it follows make sense only together.
CONTROLLED = [("controlnet", "control_image")]


def without_adapters(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters from before there were adapters, as they are with them: none of them is used."""
    return {**params, "loras": [], "embeddings": [], "control_strength": 1.0}


def controls(net: ModelFile | None, image: Image | None, strength: float) -> tuple[Control, ...]:
    """The ControlNet with its picture, or none. Raises Invalid when one is there without the other."""
    if net is None and image is None:
        return ()
    if net is None or image is None:
        raise Invalid(
            f"a {'picture to follow' if net is None else 'ControlNet'} alone does nothing",
            hint="Give controlnet and control_image, or neither.",
        )
    return (Control(net, image, strength),)


def painted(ctx: Context, request: Generation) -> Image:
    """The picture a backend makes. Raises BackendMissing, and what the backend raises."""
    if ctx.generate is None:
        raise BackendMissing("nothing here can run a diffusion model")
    return ctx.generate(request, ctx.hooks)
