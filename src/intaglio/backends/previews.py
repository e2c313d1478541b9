"""A small picture of how a picture in progress stands, made of its latents, which leaves no trace in the result."""

from __future__ import annotations

import math
from contextlib import ExitStack
from copy import deepcopy
from typing import Any

from PIL import Image as Pillow

from intaglio.core.context import Generation
from intaglio.core.image import Image

# Pixels of the longest side, and latents: few enough that decoding them costs little of a denoising pass.
LONGEST = 256
CELLS = 32
CELLS_ON_CPU = 16
_PICTURE_AXES = 4
# The noise that a sampler which scales latents down begins with is about 1.
_SCALED = 2.0


def preview(torch: Any, pipeline: Any, latents: Any, request: Generation) -> Image | None:
    """What `pipeline` would make of `latents` if they were done, at most 256 pixels long, 8-bit RGB.

    None when there is none: the pipeline's latents are no single picture's, or decoding fails, as it may for want of
    memory. The latents are read, not kept; generators and the VAE are afterwards as they were.
    """
    cuda = [torch.device(request.device)] if request.device.startswith("cuda") else []
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.random.fork_rng(devices=cuda))
        try:
            found = _laid_out(pipeline, latents.detach().clone(), request)
            small = _shrunk(torch, found, request.device) / _swollen(pipeline.scheduler)
            return _picture(torch, _decoded(torch, pipeline.vae, small))
        except Exception:  # a preview never stops what it is a preview of, whatever model that is
            return None


def _laid_out(pipeline: Any, latents: Any, request: Generation) -> Any:
    """The latents as batch, channels, rows and columns, as the VAE takes them but for their scale."""
    if latents.ndim == _PICTURE_AXES:
        return latents
    # Flux packs every two by two latents into one of a row of tokens.
    if not hasattr(pipeline.vae, "bn"):
        return pipeline._unpack_latents(latents, request.height, request.width, pipeline.vae_scale_factor)
    # FLUX.2 brings each channel of that to one strength, too.
    rows, columns = (side // (2 * pipeline.vae_scale_factor) for side in (request.height, request.width))
    packed = latents[:, : rows * columns].float().permute(0, 2, 1).unflatten(2, (rows, columns))
    norm, shape = pipeline.vae.bn, (1, -1, 1, 1)
    deviation = (norm.running_var.float() + pipeline.vae.config.batch_norm_eps).sqrt()
    return pipeline._unpatchify_latents(packed * deviation.view(shape) + norm.running_mean.float().view(shape))


def _shrunk(torch: Any, latents: Any, device: str) -> Any:
    """The first picture's latents in float32, as few of them as a preview needs."""
    latents = latents[:1].float()
    share = (CELLS_ON_CPU if device == "cpu" else CELLS) / max(latents.shape[-2:])
    if share >= 1:
        return latents
    size = [max(1, round(side * share)) for side in latents.shape[-2:]]
    return torch.nn.functional.interpolate(latents, size=size, mode="area")


def _swollen(scheduler: Any) -> float:
    """How many times too strong for the VAE latents are: some samplers do not scale them down as they add noise."""
    sigmas, index = getattr(scheduler, "sigmas", None), getattr(scheduler, "step_index", None)
    if sigmas is None or index is None or float(getattr(scheduler, "init_noise_sigma", 1.0)) <= _SCALED:
        return 1.0
    return math.hypot(1.0, float(sigmas[min(index, len(sigmas) - 1)]))


def _decoded(torch: Any, vae: Any, latents: Any) -> Any:
    """The pixels of latents, -1 to 1."""
    config = vae.config
    mean, deviation = config.get("latents_mean"), config.get("latents_std")
    latents = latents / config.get("scaling_factor", 1.0)
    if mean is not None and deviation is not None:
        shape = (1, -1, 1, 1)
        latents = latents * latents.new_tensor(deviation).view(shape) + latents.new_tensor(mean).view(shape)
    elif config.get("shift_factor") is not None:
        latents = latents + config.shift_factor
    if vae.dtype == torch.float16 and config.get("force_upcast"):
        # Such a VAE goes beyond float16. Pipelines turn it into float32 at the end, which must stay theirs to do.
        vae = deepcopy(vae).float()
    return vae.decode(latents.to(vae.dtype), return_dict=False)[0]


def _picture(torch: Any, pixels: Any) -> Image | None:
    shown = (pixels[0].float() / 2 + 0.5).cpu()
    if not torch.isfinite(shown).all():
        return None
    rows = (shown.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    small = Pillow.fromarray(rows.numpy(), "RGB")
    small.thumbnail((LONGEST, LONGEST))
    return Image("RGB", small.width, small.height, small.tobytes())
