"""What a request means to a particular pipeline class: its arguments, and remarks on what it will not heed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from typing import Any

from PIL import Image as Pillow

from intaglio.backends.tasks import ENLARGE, MASK, PICTURE
from intaglio.core.context import Generation, Hooks
from intaglio.core.errors import Invalid
from intaglio.core.image import Image

# Enough text to fill every tokenizer known many times over; the rest is only read when this did not.
NOTE_CHARS = 50_000
SHOWN_CHARS = 80
SEED_LIMIT = 2**64
CONTROL_LIMIT = 2


def arguments(pipeline: Any, task: str, request: Generation, hooks: Hooks) -> dict[str, Any]:
    """The keyword arguments for `pipeline`. Raises Invalid for a setting the pipeline has no place for."""
    taken = signature(pipeline.__call__).parameters
    given: dict[str, Any] = {"prompt": request.prompt, "num_inference_steps": request.steps}
    given |= _enlarging(pipeline, request) if task == ENLARGE else _size(pipeline, request, taken)
    given |= _guidance(pipeline, request, taken, hooks)
    if request.clip_skip:
        given["clip_skip"] = _clip_skip(pipeline, request.clip_skip, taken)
    if task in {PICTURE, MASK}:
        if "strength" not in taken or "image" not in taken:
            raise Invalid(f"{type(pipeline).__name__} cannot repaint a picture with a strength")
        given |= {"image": _original(request, hooks), "strength": request.strength}
    if task == MASK:
        given["mask_image"] = _mask(request, hooks)
    if request.controls:
        given |= _controls(request, taken, hooks)
    return given


def note_cuts(pipeline: Any, given: Mapping[str, Any], written: Callable[[str], str], hooks: Hooks) -> None:
    """Say which ends of the prompts in `given` are not seen; `written` turns them back into what was typed."""
    _note_cut(pipeline, given["prompt"], "prompt", hooks, written)
    if given.get("negative_prompt"):
        _note_cut(pipeline, given["negative_prompt"], "negative prompt", hooks, written)


def check(request: Generation) -> None:
    """Refuse what no pipeline takes. Raises Invalid."""
    if not 0 <= request.seed < SEED_LIMIT:
        raise Invalid(f"seed {request.seed} is not between 0 and {SEED_LIMIT - 1}")
    if request.steps < 1:
        raise Invalid(f"{request.steps} steps make no picture")
    if request.image is not None and not 0 < request.strength <= 1:
        raise Invalid(f"strength {request.strength} is not above 0 and at most 1")
    if request.image is not None and request.steps * request.strength < 1:
        raise Invalid(f"strength {request.strength} leaves none of {request.steps} steps to run")
    if request.mask is not None and request.image is None:
        raise Invalid("a mask without a picture to repaint")
    _check_adapters(request)
    toward = request.toward
    if toward is not None and not (0 <= toward.seed < SEED_LIMIT and 0 <= toward.position <= 1):
        raise Invalid(f"position {toward.position} toward seed {toward.seed} is not between two seeds")
    for text in (request.prompt, request.negative_prompt, toward.prompt if toward is not None else ""):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Invalid("the prompt holds half a character (a lone surrogate)") from None


def _check_adapters(request: Generation) -> None:
    for lora in request.loras:
        if not math.isfinite(lora.weight):
            raise Invalid(f"the weight {lora.weight} of {lora.file.name!r} is no number")
    for control in request.controls:
        if not 0 <= control.strength <= CONTROL_LIMIT:
            raise Invalid(
                f"the strength {control.strength} of {control.file.name!r} is not between 0 and {CONTROL_LIMIT}"
            )
    tokens = [each.token for each in request.embeddings]
    for token in tokens:
        if not token.strip() or token != token.strip() or tokens.count(token) > 1:
            raise Invalid(
                f"{token[:80]!r} cannot be the word for one textual inversion", hint="Give each its own word."
            )


def _size(pipeline: Any, request: Generation, taken: Mapping[str, Any]) -> dict[str, int]:
    processor = getattr(pipeline, "image_processor", None)
    unit = processor.config.get("vae_scale_factor", 1) if processor is not None else 1
    if request.width < unit or request.height < unit or request.width % unit or request.height % unit:
        size = f"{request.width}x{request.height}"
        raise Invalid(f"size {size}: this model needs width and height to be multiples of {unit}")
    return {"width": request.width, "height": request.height} if {"width", "height"} <= set(taken) else {}


def _guidance(pipeline: Any, request: Generation, taken: Mapping[str, Any], hooks: Hooks) -> dict[str, Any]:
    name = type(pipeline).__name__
    if "guidance_scale" not in taken:
        if request.guidance > 1:
            raise Invalid(f"{name} takes no guidance")
    elif _ignores_guidance(pipeline):
        hooks.note("guidance has no effect on this model")
    given: dict[str, Any] = {"guidance_scale": request.guidance} if "guidance_scale" in taken else {}
    if not request.negative_prompt:
        return given
    if "negative_prompt" not in taken or "true_cfg_scale" in taken:
        raise Invalid(f"{name} heeds no negative prompt")
    if request.guidance <= 1:
        hooks.note(f"the negative prompt was not used: guidance {request.guidance} turns it off")
    else:
        given["negative_prompt"] = request.negative_prompt
    return given


def _ignores_guidance(pipeline: Any) -> bool:
    transformer = getattr(pipeline, "transformer", None)
    return transformer is not None and transformer.config.get("guidance_embeds") is False


def _clip_skip(pipeline: Any, skip: int, taken: Mapping[str, Any]) -> int:
    if "clip_skip" not in taken:
        raise Invalid(f"{type(pipeline).__name__} takes no clip skip")
    layers = pipeline.text_encoder.config.num_hidden_layers
    if not 0 < skip < layers:
        raise Invalid(f"clip skip {skip} is not between 0 and {layers - 1}: the text encoder has {layers} layers")
    return skip


@contextmanager
def clip_skip_works(pipeline: Any) -> Iterator[None]:
    """While it runs, text encoders are their own `text_model`.

    diffusers 0.42 reaches for that attribute when layers are skipped; transformers 5 no longer has it.
    """
    encoders = [part for name, part in pipeline.components.items() if name.startswith("text_encoder")]
    patched = [part for part in encoders if hasattr(part, "final_layer_norm") and not hasattr(part, "text_model")]
    for encoder in patched:
        # Past torch's own __setattr__, which would make the module a part of itself.
        object.__setattr__(encoder, "text_model", encoder)
    try:
        yield
    finally:
        for encoder in patched:
            object.__delattr__(encoder, "text_model")


def _original(request: Generation, hooks: Hooks) -> Any:
    """The picture to be repainted, RGB, in the size of the result."""
    assert request.image is not None
    return _fitted(request.image, "picture", request, hooks).convert("RGB")


def _mask(request: Generation, hooks: Hooks) -> Any:
    """Where to repaint, mode L, in the size of the result. Raises Invalid when it is black everywhere."""
    assert request.mask is not None
    found = _fitted(request.mask, "mask", request, hooks).convert("L")
    if found.getbbox() is None:
        raise Invalid("the mask is black everywhere: nothing would be repainted", hint="White is repainted.")
    return found


def _controls(request: Generation, taken: Mapping[str, Any], hooks: Hooks) -> dict[str, Any]:
    """Pictures and strengths of the ControlNets; single ones when there is one, as for a single ControlNet."""
    pictures = [_fitted(each.image, "control picture", request, hooks).convert("RGB") for each in request.controls]
    strengths = [each.strength for each in request.controls]
    name = "control_image" if "control_image" in taken else "image"
    one = len(pictures) == 1
    return {
        name: pictures[0] if one else pictures,
        "controlnet_conditioning_scale": strengths[0] if one else strengths,
    }


def _enlarging(pipeline: Any, request: Generation) -> dict[str, Any]:
    """The small picture and its noise. Raises Invalid when the size asked for is not what the model makes of it."""
    image, unit = request.image, pipeline.vae_scale_factor
    assert image is not None
    if request.noise_level is None or not 0 <= request.noise_level <= pipeline.config.max_noise_level:
        limit = pipeline.config.max_noise_level
        raise Invalid(f"noise level {request.noise_level} is not between 0 and {limit}, which this model needs")
    if image.width % unit or image.height % unit:
        raise Invalid(f"picture {image.width}x{image.height}: this model needs width and height in multiples of {unit}")
    if (request.width, request.height) != (image.width * unit, image.height * unit):
        raise Invalid(
            f"this model makes {image.width * unit}x{image.height * unit} of {image.width}x{image.height}, "
            f"not {request.width}x{request.height}",
            hint=f"It enlarges {unit} times; resize the picture before or after.",
        )
    return {"image": _pixels(image).convert("RGB"), "noise_level": request.noise_level}


def _fitted(image: Image, label: str, request: Generation, hooks: Hooks) -> Any:
    """The picture in the size of the result, with remarks on what that changed."""
    picture = _pixels(image)
    if image.mode == "RGBA":
        hooks.note(f"the {label}'s transparency was not seen")
    if picture.size != (request.width, request.height):
        hooks.note(f"{label} resized from {image.width}x{image.height} to {request.width}x{request.height}")
        picture = picture.resize((request.width, request.height), Pillow.Resampling.LANCZOS)
    return picture


def _pixels(image: Image) -> Any:
    return Pillow.frombytes(image.mode, (image.width, image.height), image.data)


def _note_cut(pipeline: Any, text: str, label: str, hooks: Hooks, written: Callable[[str], str]) -> None:
    """Say which end of `text` the pipeline's tokenizers leave out, once for each different cut."""
    said: set[str] = set()
    for name, tokenizer in pipeline.components.items():
        if not name.startswith("tokenizer") or not hasattr(tokenizer, "model_max_length"):
            continue
        limit = _token_limit(pipeline, tokenizer)
        unseen = written(_unseen(tokenizer, text, limit))
        remark = f"{label} cut to {limit} tokens: {unseen!r} was not seen"
        if unseen and remark not in said:
            said.add(remark)
            hooks.note(remark)


def _token_limit(pipeline: Any, tokenizer: Any) -> int:
    limit = int(tokenizer.model_max_length)
    longest = signature(pipeline.__call__).parameters.get("max_sequence_length")
    if longest is None or not isinstance(longest.default, int) or "CLIP" in type(tokenizer).__name__:
        return limit
    return min(limit, longest.default)


def _unseen(tokenizer: Any, text: str, limit: int) -> str:
    """The beginning of what is left of `text` after `limit` tokens, special ones included; "" when all is seen."""
    if not getattr(tokenizer, "is_fast", False):
        tokens = tokenizer(text[:NOTE_CHARS])["input_ids"]
        return "the end" if len(tokens) > limit else ""
    for part in (text[:NOTE_CHARS], text):
        found = tokenizer(part, return_offsets_mapping=True, return_special_tokens_mask=True)
        if len(found["input_ids"]) > limit:
            special = found["special_tokens_mask"]
            # A word that the vocabulary lacks can carry a special id without being a special token.
            spans = [span for span, mark in zip(found["offset_mapping"], special, strict=True) if not mark or span[1]]
            start = spans[limit - (len(special) - len(spans))][0]
            return text[start : start + SHOWN_CHARS]
        if len(part) == len(text):
            break
    return ""
