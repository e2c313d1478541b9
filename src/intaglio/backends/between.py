"""A picture between two: the noise of two seeds, or the words of two prompts, mixed for the length of one generation.

At both ends nothing is mixed and nothing is replaced: there it is the plain picture, to the bit.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from inspect import signature
from typing import Any

from intaglio.backends.quiet import library
from intaglio.core.context import Generation
from intaglio.core.errors import Invalid

# Where two noises point in nearly the same direction, the way between them is straight.
_STRAIGHT = 1e-6


def at_an_end(request: Generation) -> Generation:
    """The request; at one of its two ends, or between two that are the same, the plain one for that end."""
    toward = request.toward
    if toward is None:
        return request
    if toward.position == 1:
        return replace(request, seed=toward.seed, prompt=toward.prompt, toward=None)
    same = (toward.seed, toward.prompt) == (request.seed, request.prompt)
    return replace(request, toward=None) if same or toward.position == 0 else request


@contextmanager
def blended(pipeline: Any, request: Generation) -> Iterator[None]:
    """While it runs, what `pipeline` draws and reads lies between the two ends of the request. Raises Invalid."""
    toward = request.toward
    with ExitStack() as stack:
        if toward is not None and toward.seed != request.seed:
            stack.enter_context(_noise(pipeline, toward.seed, toward.position))
        if toward is not None and toward.prompt != request.prompt:
            stack.enter_context(_words(pipeline, toward.prompt, toward.position))
        yield


@contextmanager
def _noise(pipeline: Any, seed: int, position: float) -> Iterator[None]:
    """All noise is drawn twice, from the pipeline's generator and from one of `seed`, and mixed on the sphere: the
    first of it, and what some samplers add on the way."""
    other = library("torch").Generator("cpu").manual_seed(seed)
    classes = (*type(pipeline).__mro__, *type(pipeline.scheduler).__mro__)
    modules = {cls.__module__: sys.modules[cls.__module__] for cls in classes}
    drawing = [module for module in modules.values() if hasattr(module, "randn_tensor")]
    if not drawing:
        raise Invalid(f"{type(pipeline).__name__} draws its noise in a way that cannot be mixed")

    def mixing(draw: Callable[..., Any]) -> Callable[..., Any]:
        def both(*args: Any, **kwargs: Any) -> Any:
            bound = signature(draw).bind(*args, **kwargs)
            first = draw(*bound.args, **bound.kwargs)
            if bound.arguments.get("generator") is None:
                return first
            bound.arguments["generator"] = other
            return slerp(first, draw(*bound.args, **bound.kwargs), position)

        return both

    own = [(module, module.randn_tensor) for module in drawing]
    for module, draw in own:
        module.randn_tensor = mixing(draw)  # type: ignore[attr-defined]  # a module of diffusers
    try:
        yield
    finally:
        for module, draw in own:
            module.randn_tensor = draw  # type: ignore[attr-defined]  # as above


def slerp(first: Any, second: Any, position: float) -> Any:
    """The noise at `position` (0 to 1) on the great circle between two: as strong as they are, at every position.

    Computed on the processor, where the noise comes from, so that it is the same whatever device takes it.
    """
    a, b = first.cpu().double(), second.cpu().double()
    cosine = float((a * b).sum() / (a.norm() * b.norm()))
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    near, far = 1 - position, position
    if math.sin(angle) >= _STRAIGHT:
        near, far = (math.sin(share * angle) / math.sin(angle) for share in (near, far))
    return (near * a + far * b).to(first)


@contextmanager
def _words(pipeline: Any, prompt: str, position: float) -> Iterator[None]:
    """Both prompts are read, and the pipeline gets what lies between them on a straight line."""
    read = getattr(pipeline, "encode_prompt", None)
    if read is None or "prompt" not in signature(read).parameters:
        raise Invalid(f"{type(pipeline).__name__} reads its prompt in a way that cannot be mixed")

    def both(*args: Any, **kwargs: Any) -> Any:
        bound = signature(read).bind(*args, **kwargs)
        first = read(*bound.args, **bound.kwargs)
        typed = bound.arguments["prompt"]
        bound.arguments["prompt"] = [prompt] * len(typed) if isinstance(typed, list) else prompt
        second = read(*bound.args, **bound.kwargs)
        if not isinstance(first, tuple):
            return _mixed(first, second, position)
        return tuple(_mixed(a, b, position) for a, b in zip(first, second, strict=True))

    pipeline.encode_prompt = both
    try:
        yield
    finally:
        del pipeline.encode_prompt


def _mixed(first: Any, second: Any, position: float) -> Any:
    torch = library("torch")
    if not isinstance(first, torch.Tensor) or not first.is_floating_point():
        return first
    if first.shape != second.shape:
        raise Invalid(
            f"the prompts come to {tuple(first.shape)} and {tuple(second.shape)} numbers, which cannot be mixed",
            hint="Give prompts of about the same length.",
        )
    return torch.lerp(first, second, position)
