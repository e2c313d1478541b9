"""Node types without any arithmetic, and a store made of dicts, to run plans on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from intaglio.core.canonical import digest_bytes
from intaglio.core.context import Context, Generation, Hooks, ModelFile
from intaglio.core.errors import Invalid, NotFound
from intaglio.core.image import Image
from intaglio.core.model import ModelRef, ModelVersion
from intaglio.core.nodetype import FromModel, Interval, ModelKind, NodeTypes, Settle, node_type
from intaglio.core.plan import AssetRef, Plan, WorkflowRef
from intaglio.core.video import Media, Video
from intaglio.core.workflow import Workflow, parse_workflow
from intaglio.engine.execute import Finished, Reused, Work
from intaglio.engine.resolve import resolve
from intaglio.engine.resources import Resources

DIGEST = "blake3:" + "a" * 64
REFERENCE = WorkflowRef(name="w", version=1, digest=DIGEST)
MODEL = ModelVersion(
    name="m",
    version="1",
    digest=DIGEST,
    model_kind="checkpoint",
    layout="diffusers",
    family="sd",
    size=1,
    files=(),
    defaults={"width": 64},
    added="2026-11-20T12:00:00.000000Z",
)


class Pair(NamedTuple):
    """Two outputs."""

    left: Image
    right: Image


def dot(*values: int) -> Image:
    """A picture of one row of grey pixels."""
    return Image("L", len(values), 1, bytes(values))


@node_type("paint", version=1, batch=True)
def paint(
    ctx: Context,
    *,
    model: Annotated[ModelFile, ModelKind("checkpoint")],
    prompt: Annotated[str, "What to show."],
    width: Annotated[int, Interval(ge=8), FromModel("width")] = 0,
    device: Annotated[str, Settle("device")] = "auto",
    seed: int,
) -> Image:
    """Make a picture from a seed."""
    return dot(seed % 256, width % 256)


@node_type("grain", version=1)
def grain(ctx: Context, image: Image, *, amount: Annotated[float, Interval(ge=0, le=1)] = 0.5, seed: int) -> Image:
    """Change a picture by a seed."""
    return Image(image.mode, image.width, image.height, bytes((v + seed) % 256 for v in image.data))


@node_type("start", version=1, batch=True)
def start(ctx: Context, *, value: int = 1) -> Image:
    """Begin with nothing."""
    return dot(value)


@node_type("join", version=1)
def join(ctx: Context, a: Image, b: Image | None, c: Image | None) -> Image:
    """Put pictures side by side."""
    return dot(*(value for image in (a, b, c) if image is not None for value in image.data))


@node_type("split", version=1)
def split(ctx: Context, image: Image) -> Pair:
    """Make two of one."""
    return Pair(dot(image.data[0]), dot(image.data[-1]))


@node_type("look", version=1, role="output")
def look(ctx: Context, image: Image) -> Image:
    """Pass a picture on."""
    return image


@node_type("bring", version=1)
def bring(ctx: Context, *, image: Image) -> Image:
    """Bring in a reference picture."""
    return image


TYPES = NodeTypes([paint, grain, start, join, split, look, bring])


def _device(asked: str) -> str:
    if asked not in ("auto", "cpu"):
        raise Invalid(f"no device {asked!r}", hint="Give auto or cpu.")
    return "cpu"


@dataclass
class Desk:
    """Resources that count what is asked of them."""

    seeds: list[int] = field(default_factory=lambda: list(range(1001, 2001)))
    asked: list[str] = field(default_factory=list)
    model: ModelVersion = MODEL
    missing: str = ""
    types: NodeTypes = field(default_factory=lambda: TYPES)

    def resources(self) -> Resources:
        """What resolving is handed."""
        return Resources(
            types=self.types,
            draw=self._draw,
            find_model=self._find_model,
            is_exact=lambda reference: reference.startswith("blake3:"),
            take_image=self._take_image,
            settle={"device": _device},
            threads=2,
            deterministic=True,
        )

    def resolve(self, nodes: Mapping[str, Any], **more: Any) -> Plan:
        """The plan of a workflow of these nodes."""
        return resolve(workflow(nodes, **more), REFERENCE, self.resources())

    def _draw(self) -> int:
        self.asked.append("draw")
        return self.seeds.pop(0)

    def _find_model(self, reference: str, kind: str) -> ModelVersion:
        self.asked.append(f"{kind} {reference}")
        self._look(reference)
        return self.model

    def _look(self, name: str) -> None:
        if name == self.missing:
            raise NotFound("thing", name)

    def _take_image(self, path: str) -> AssetRef:
        self.asked.append(f"image {path}")
        self._look(path)
        return AssetRef(digest=DIGEST, media_type="image/png", address=f"intaglio:asset/{DIGEST}", name=path)


def workflow(nodes: Mapping[str, Any], **more: Any) -> Workflow:
    """A workflow of these nodes."""
    return parse_workflow({"name": "w", "nodes": nodes, **more})


class Bench:
    """Everything that carrying out asks for, in memory: what was kept, in order, and what was asked."""

    def __init__(self, types: NodeTypes = TYPES, **more: Any) -> None:
        self.types = types
        self.more = more
        self.files: dict[str, bytes] = {}
        self.images: dict[str, Media] = {}
        self.kept: list[Finished] = []
        self.loads: list[str] = []
        self.began: list[str] = []
        self.earlier: dict[str, Reused] = {}
        self.check: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def work(self) -> Work:
        """What the engine is handed."""
        given: dict[str, Any] = {
            "types": self.types,
            "environment": DIGEST,
            "load": self._load,
            "find_model": self._find_model,
            "generate": self._generate,
            "encode": self._encode,
            "keep": self._keep,
            "reuse": lambda step, key: self.earlier.get(step.id),
            "started": lambda step: self.began.append(step.id),
            "check": self.check,
            "workers": 4,
        }
        return Work(**(given | self.more))

    def _load(self, digest: str) -> Media:
        self.loads.append(digest)
        return self.images[digest]

    def _find_model(self, ref: ModelRef) -> ModelFile:
        from pathlib import Path

        return ModelFile(name=ref.name, digest=ref.digest, layout="diffusers", path=Path("nowhere"))

    def _generate(self, request: Generation, hooks: Hooks) -> Image:
        return dot(request.seed % 256)

    def _encode(self, image: Media) -> tuple[str, bytes]:
        if isinstance(image, Video):
            self.images[image.digest] = image
            return image.digest, image.data
        data = f"{image.mode} {image.width} ".encode() + image.data
        digest = digest_bytes(data)
        self.images[digest] = Image(image.mode, image.width, image.height, image.data)
        return digest, data

    def _keep(self, finished: Finished, files: Mapping[str, bytes]) -> None:
        with self._lock:
            self.files.update(files)
            self.kept.append(finished)


def steps_of(plan: Plan) -> list[str]:
    """The ids of a plan's steps."""
    return [step.id for step in plan.steps]


def seeds_of(plan: Plan) -> dict[str, tuple[str, str]]:
    """The seed and its origin of each step that has one."""
    return {step.id: (step.seed.value, step.seed.origin) for step in plan.steps if step.seed}
