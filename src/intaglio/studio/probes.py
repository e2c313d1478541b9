"""The pictures that an envelope is measured with: few, fixed, and as unlike each other as settings make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intaglio.core.errors import Invalid
from intaglio.core.image import Image
from intaglio.core.model import ModelVersion
from intaglio.core.nodetype import NodeType

BATCH = 3  # how many pictures the batch has in which a picture is made once more
REFERENCE = {"image": "picture.png", "mask": "mask.png"}
_PROMPTS = (
    "a red house on the left, green hills, blue sky, day",
    "a snowman in front of mountains, stars, night",
    "a small boat on the sea, clouds, sunset",
    "a castle on a hill, a tree on the right, moon",
)
# "" is the model's own. Ancestral and stochastic ones draw noise at every step; those of second order call the model
# twice; multistep ones carry every rounding error on.
_SAMPLERS = ("", "euler_a", "dpmpp_2m_sde", "heun", "kdpm_2_a", "unipc")
_FLOW_SAMPLERS = ("", "flow_euler", "flow_heun")
_STEPS, _GUIDANCE, _STRENGTH = 8, 6.0, 0.7
_FIRST_SEED = 1001
_NATIVE = 512  # the side of a model that does not say its own


@dataclass(frozen=True)
class Probe:
    """One picture to make: the parameters its node type takes, its seed, and its place in a batch (0 to BATCH - 1)."""

    params: Mapping[str, Any]
    seed: int
    place: int

    @property
    def words(self) -> str:
        """The settings in one line."""
        guidance = float(self.params.get("guidance", 1))
        facts = [
            f"seed {self.seed}",
            str(self.params.get("scheduler") or "own sampler"),
            f"{self.params['steps']} steps" if "steps" in self.params else "",
            f"guidance {guidance:g}" if guidance > 1 else "no guidance",
            f"{self.params['width']}x{self.params['height']}" if "width" in self.params else "",
            repr(self.params["prompt"]) if "prompt" in self.params else "",
        ]
        return ", ".join(filter(None, facts))


def check_takes(node_type: NodeType, model: ModelVersion) -> None:
    """Raises Invalid when the envelope of a model cannot be measured under a node type."""
    param = node_type.param("model")
    why = ""
    if param is None or param.type != "model" or not node_type.draws or not node_type.batch:
        why = "it makes no pictures from a model and a seed"
    elif param.model_kind != model.model_kind:
        why = f"its model is of kind {param.model_kind}, and {model.name} of kind {model.model_kind}"
    elif unknown := [port.name for port in node_type.inputs if not port.optional and port.name not in REFERENCE]:
        why = f"it needs {', '.join(unknown)}, for which there is no probe"
    if why:
        raise Invalid(
            f"no envelope can be measured under {node_type.name}: {why}",
            hint="An envelope is measured for a checkpoint, under nodes that draw with it: --nodes NAME,NAME",
        )


def probes(node_type: NodeType, model: ModelVersion, count: int) -> list[Probe]:
    """The first `count` probes for a model under a node type; the same ones for whoever asks."""
    width, height = native_size(model)
    flow = str(model.defaults.get("scheduler", "")).startswith(("FlowMatch", "flow_"))
    samplers = _FLOW_SAMPLERS if flow else _SAMPLERS
    taken = {param.name for param in node_type.params}
    found = []
    for number in range(count):
        small = number % 3 == 2
        params: dict[str, Any] = {
            "prompt": _PROMPTS[number % len(_PROMPTS)],
            "steps": _STEPS,
            "guidance": 1.0 if number % 4 == 3 else _GUIDANCE,
            "strength": _STRENGTH,
            "width": width,
            "height": _smaller(height) if small else height,
        }
        if sampler := samplers[number % len(samplers)]:
            params["scheduler"] = sampler
        # A prime step between seeds: a batch takes the seeds that follow, and no two probes may meet.
        seed = _FIRST_SEED + 7 * number
        found.append(Probe({name: value for name, value in params.items() if name in taken}, seed, number % BATCH))
    return found


def native_size(model: ModelVersion) -> tuple[int, int]:
    """The width and height in pixels that a model says it was made for."""
    width, height = (model.defaults.get(side) for side in ("width", "height"))
    return (width if isinstance(width, int) else _NATIVE, height if isinstance(height, int) else _NATIVE)


def _smaller(side: int) -> int:
    """Three quarters of a side, in steps of 16 pixels where that leaves any."""
    return max(side * 3 // 4 // 16 * 16, 16) if side >= 32 else side


def reference_pictures(model: ModelVersion) -> dict[str, Image]:
    """The pictures that inputs are given, by the input's name: bands of colour that turn, and a white disc as mask."""
    width, height = native_size(model)
    places = [(x, y) for y in range(height) for x in range(width)]
    colours = bytes(
        value
        for x, y in places
        for value in (x * 255 // width, y * 255 // height, 255 * ((x * 8 // width + y * 8 // height) % 2))
    )
    disc = bytes(255 * ((2 * x - width) ** 2 + (2 * y - height) ** 2 < (width * height) // 2) for x, y in places)
    return {"image": Image("RGB", width, height, colours), "mask": Image("L", width, height, disc)}


def document(
    node_type: NodeType, model: str, made: list[Probe], params: Mapping[str, Any], *, again: bool = False, batch: bool
) -> dict[str, Any]:
    """The workflow that makes the probes with one exact model (its digest), some parameters changed for all.

    `again`: each of them twice; `batch`: each as a picture of a batch, at its place. Nodes are called p0, p1, ... and
    r0, r1, ... the second time.
    """
    inputs = [port.name for port in node_type.inputs if port.name in REFERENCE and not port.optional]
    nodes: dict[str, Any] = {name: {"type": "reference-image", "params": {"image": REFERENCE[name]}} for name in inputs}
    for number, probe in enumerate(made):
        node = {
            "type": node_type.name,
            "params": {"model": model, **probe.params, **params},
            "inputs": {name: name for name in inputs},
            "seed": str(probe.seed - probe.place if batch else probe.seed),
            "count": BATCH if batch else 1,
        }
        nodes[f"p{number}"] = node
        if again:
            nodes[f"r{number}"] = node
    return {"name": "envelope", "nodes": nodes}
