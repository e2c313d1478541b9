"""What a node's function is given besides its inputs and parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from intaglio.core.image import Image


@dataclass(frozen=True)
class ModelFile:
    """An exact model, found and checked, ready to be loaded.

    `layout` is "diffusers" (a pipeline folder) or "single-file" (one checkpoint, which needs `config`: the pipeline
    folder that says how it is put together). `pickle_allowed`: the user allowed this very file to be unpickled.
    `check()` raises ModelUnavailable when the file is not the recorded content; whoever loads it calls that right
    before and right after, so that what is in memory is what the digest says. `note` says where it came from,
    if not from the model's own place.
    """

    name: str
    digest: str
    layout: str
    path: Path
    config: Path | None = None
    pickle_allowed: bool = False
    check: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)
    note: str = field(default="", compare=False)


@dataclass(frozen=True)
class Lora:
    """A low-rank adapter on the model's U-Net and text encoders; `weight` 1 is as it was trained, 0 is without it."""

    file: ModelFile
    weight: float = 1.0


@dataclass(frozen=True)
class Embedding:
    """A textual inversion; `token` is the word in the prompt that stands for it."""

    file: ModelFile
    token: str


@dataclass(frozen=True)
class Control:
    """A ControlNet and the picture it follows, with how strongly (0 to 2)."""

    file: ModelFile
    image: Image
    strength: float = 1.0


@dataclass(frozen=True)
class Toward:
    """The far end of an interpolation, and where the picture lies: position 0 is the near end, 1 the far one."""

    seed: int
    prompt: str
    position: float


@dataclass(frozen=True)
class Generation:
    """One picture to be made by a diffusion model; everything is settled, nothing is left to a default.

    Sizes are pixels. `scheduler` is a field name ("euler_a") or a diffusers class name ("DDIMScheduler"). `clip_skip`
    counts the text-encoder layers left out, 0 for none. With `image`, it is repainted with `strength` in (0, 1]; with
    a `mask` as well, only where that is white. `vae` takes the place of the model's own. `noise_level` is for models
    that enlarge `image`: how much noise is put on it first, None for all other models. `toward` is another
    seed or prompt that the picture lies between.
    """

    model: ModelFile
    prompt: str
    negative_prompt: str
    seed: int
    steps: int
    guidance: float
    width: int
    height: int
    scheduler: str
    clip_skip: int
    dtype: str
    device: str
    image: Image | None = None
    strength: float = 1.0
    mask: Image | None = None
    loras: tuple[Lora, ...] = ()
    embeddings: tuple[Embedding, ...] = ()
    controls: tuple[Control, ...] = ()
    vae: ModelFile | None = None
    noise_level: int | None = None
    toward: Toward | None = None


# Makes a small picture of how work in progress stands; None where that cannot be. It is to be made at once or never.
Offer = Callable[[], Image | None]


@dataclass(frozen=True)
class Hooks:
    """How running code speaks to whoever waits for it.

    `progress(done, total)` after each unit of work; `check()` raises Cancelled when the user asked to stop;
    `note(text)` keeps a remark in the node's record ("prompt cut to 77 tokens"); `preview(offer)` lets whoever looks on
    have a picture made of how the work stands.
    """

    progress: Callable[[int, int], None] = lambda done, total: None
    check: Callable[[], None] = lambda: None
    note: Callable[[str], None] = lambda text: None
    preview: Callable[[Offer], None] = lambda offer: None


@dataclass(frozen=True)
class Context:
    """One step's surroundings: its id, how to speak to whoever waits, and the way to a backend that makes pixels."""

    step: str
    hooks: Hooks = field(default_factory=Hooks)
    generate: Callable[[Generation, Hooks], Image] | None = None
