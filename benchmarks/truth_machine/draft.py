"""What a trial runs: a random small workflow, decided by the trial's seed and by what its perturbation needs."""

from __future__ import annotations

import json
import random
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Role = Literal["model", "loras", "vae", "controlnet"]
ROLES: tuple[Role, ...] = ("model", "loras", "vae", "controlnet")
# The models every trial may use as they are; those it spoils are copies of its own.
SHARED: dict[Role, tuple[str, ...]] = {
    "model": ("scenes",),
    "loras": ("ink", "dusk"),
    "vae": ("vae-soft",),
    "controlnet": ("layout",),
}
SCHEDULERS = ("ddim", "euler", "euler_a", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "lcm", "kdpm_2_a", "heun", "deis")
THINGS = ("a red house", "a white sailboat", "a green tree", "a yellow moon", "two hills", "a snowy mountain")
PLACES = ("on the left, blue sky, day", "in the middle, orange sky at sunset", "on the right, night")


@dataclass
class Draft:
    """A workflow as its file has it. `own` is the model role of which the trial has a copy of its own, "" for none."""

    name: str
    nodes: dict[str, dict[str, Any]]
    own: Role | Literal[""]
    reference: str

    @property
    def uses_models(self) -> bool:
        """Whether a diffusion model takes part."""
        return "scheduler" in self.nodes["base"]["params"]

    def model(self, role: Role) -> str:
        """The name of the model in a role, as the file has it."""
        value = self.nodes["base"]["params"][role]
        return str(value[0]["model"]) if role == "loras" else str(value)

    def steps(self, node: str) -> list[str]:
        """The steps that a node becomes: itself, or each picture of the batch that it makes or is handed."""
        count = int(self.nodes["base"].get("count", 1))
        return [node] if count == 1 or node == "ref" else [f"{node}[{index}]" for index in range(count)]

    def words(self) -> str:
        """The workflow in a line."""
        parts = []
        for name, node in self.nodes.items():
            told = {key: value for key, value in node.get("params", {}).items() if key != "prompt"}
            seed = f" seed={node['seed']}" if "seed" in node else ""
            parts.append(f"{name}: {node['type']}{' x2' if node.get('count') else ''} {told}{seed}")
        return "; ".join(parts)

    def write(self, folder: Path) -> Path:
        """The workflow file."""
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps({"name": self.name, "nodes": self.nodes}, indent=1))
        return path


def own_name(seed: int) -> str:
    """What a trial calls its own copy of a model."""
    return f"own-{seed}"


def draw(source: random.Random, seed: int, wants: AbstractSet[str]) -> Draft:
    """A workflow. `wants` may hold "models", "own" (a copied model), a role, "reference", "tint" (the node type that
    others change) and "fixed" (all seeds given)."""
    painted = bool(wants & {"models", "own", *ROLES}) or source.random() < 0.8
    nodes: dict[str, dict[str, Any]] = {}
    own: Role | Literal[""] = ""
    if painted:
        base = _painting(source, wants)
        if "own" in wants:
            role = source.choice([role for role in ROLES if role in (wants & {*ROLES} or ("model", "loras", "vae"))])
            own = role
            _own(base, role, own_name(seed))
        nodes["base"] = base
    else:
        nodes["base"] = {"type": "film-grain", "params": {"amount": 0.3}, "inputs": {"image": "ref"}}
    last = _post(source, nodes, wants)
    nodes["out"] = {"type": "output", "inputs": {"image": last}}
    referred = {name for node in nodes.values() for name in node.get("inputs", {}).values()}
    if "ref" in referred:
        nodes["ref"] = {"type": "reference-image", "params": {"image": "reference.png"}}
    _seeds(source, nodes, wants)
    return Draft(f"trial-{seed}", nodes, own, "reference.png" if "ref" in referred else "")


def _painting(source: random.Random, wants: AbstractSet[str]) -> dict[str, Any]:
    repaints = "reference" in wants or source.random() < 0.4
    params: dict[str, Any] = {
        "model": "scenes",
        "prompt": f"{source.choice(THINGS)} {source.choice(PLACES)}",
        "steps": source.choice((2, 2, 3)),
        "guidance": source.choice((1.0, 2.5, 4.0)),
        "scheduler": source.choice(SCHEDULERS),
    }
    node: dict[str, Any] = {"type": "image-to-image" if repaints else "text-to-image", "params": params}
    if repaints:
        params["strength"] = source.choice((0.6, 0.8, 1.0))
        node["inputs"] = {"image": "ref"}
    else:
        params |= {"width": source.choice((32, 40, 48)), "height": source.choice((32, 40))}
    if "loras" in wants or source.random() < 0.3:
        params["loras"] = [{"model": source.choice(SHARED["loras"]), "weight": source.choice((0.5, 0.8, 1.0))}]
    if "vae" in wants or source.random() < 0.12:
        params["vae"] = "vae-soft"
    if "controlnet" in wants or (repaints and source.random() < 0.15):
        params["controlnet"] = "layout"
        node.setdefault("inputs", {})["control_image"] = "ref"
    if source.random() < 0.15:
        params["dtype"] = "bfloat16"
    if source.random() < 0.25:
        node["count"] = 2
    return node


def _own(base: dict[str, Any], role: Role, name: str) -> None:
    """Have the trial's own copy in the place of a shared model."""
    if role == "loras":
        base["params"]["loras"] = [{"model": name, "weight": 0.8}]
    else:
        base["params"][role] = name
    if role == "controlnet":
        base.setdefault("inputs", {})["control_image"] = "ref"


def _post(source: random.Random, nodes: dict[str, dict[str, Any]], wants: AbstractSet[str]) -> str:
    last = "base"
    kinds = [kind for kind in ("grain", "big", "graded", "both") if source.random() < 0.35]
    for name in kinds + (["tint"] if "tint" in wants else []):
        nodes[name] = {
            "grain": {"type": "film-grain", "params": {"amount": source.choice((0.05, 0.2))}},
            "big": {"type": "upscale", "params": {"factor": 2}},
            "graded": {"type": "colour-grade", "params": {"contrast": 1.1, "temperature": 0.2}},
            "both": {"type": "composite", "params": {"opacity": 0.5, "x": 4}},
            "tint": {"type": "tint", "params": {}},
        }[name]
        nodes[name]["inputs"] = {"base": last, "overlay": "ref"} if name == "both" else {"image": last}
        last = name
    return last


def _seeds(source: random.Random, nodes: dict[str, dict[str, Any]], wants: AbstractSet[str]) -> None:
    for node in nodes.values():
        if node["type"] in ("text-to-image", "image-to-image", "film-grain"):
            asked = source.randrange(1, 2**32)
            if "fixed" in wants or source.random() >= 0.5:
                node["seed"] = asked
