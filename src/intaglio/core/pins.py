"""Pins: what a run settled, captured into the workflow it came from. Pure rules.

A pin never replaces what a person typed: it stands beside it, and counts in production only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from intaglio.core.entries import owner
from intaglio.core.plan import Plan, Step
from intaglio.core.seeds import derive
from intaglio.core.workflow import Mode, Node, Pin, Workflow


def pinned(workflow: Workflow, plan: Plan) -> Workflow:
    """The workflow with the seeds, models and reference files that `plan` ran with as its pins; its mode stays.

    `plan` is one that was made of this workflow. Pins of nodes that it does not have are taken away.
    """
    return replace(workflow, pins=pins_of(plan, workflow))


def pins_of(plan: Plan, workflow: Workflow) -> dict[str, Pin]:
    """What each node of a plan of that workflow was settled on, without those that had nothing to settle.

    The seed of a node is that of its first picture; those of the others are derived from it. Where they are not (a plan
    that was put together by hand), the node has no one seed, and gets no pin for it.
    """
    by_node: dict[str, list[Step]] = {}
    for step in plan.steps:
        by_node.setdefault(step.node, []).append(step)
    found = {
        node: _pin(sorted(steps, key=lambda step: step.index), workflow.nodes.get(node))
        for node, steps in by_node.items()
    }
    return {node: pin for node, pin in found.items() if pin != Pin()}


def left_out(plan: Plan, workflow: Workflow) -> list[str]:
    """The nodes of a workflow that a plan lacks pictures of: it is a part of one, as a single picture of a batch."""
    places: dict[str, set[int]] = {}
    for step in plan.steps:
        places.setdefault(step.node, set()).add(step.index)
    return [
        name
        for name, node in workflow.nodes.items()
        if places.get(name, set()) != set(range(len(places.get(name, ())))) or len(places.get(name, ())) < node.count
    ]


def _pin(steps: list[Step], node: Node | None) -> Pin:
    first = steps[0]
    return Pin(
        seed=_seed(steps),
        models={name: model.digest for name, model in first.models.items() if model.digest},
        assets={name: asset.address for name, asset in first.assets.items()},
        files={name: str(node.params[name]) for name in first.assets if node is not None and name in node.params},
    )


def _seed(steps: list[Step]) -> str:
    first = steps[0].seed
    if first is None:
        return ""
    held = all(
        step.seed is not None and step.seed.number == derive(first.number, step.index - steps[0].index)
        for step in steps
    )
    return first.value if held else ""


def without_pins(workflow: Workflow, changed: Mapping[str, set[str]]) -> Workflow:
    """The workflow without the pins of what was changed: node id to "seed", or the name of a parameter.

    A pin that stayed would run in the place of the change, unseen.
    """
    pins = dict(workflow.pins)
    for node, names in changed.items():
        if node in pins:
            pins[node] = _loosened(pins[node], names)
    return replace(workflow, pins={node: pin for node, pin in pins.items() if pin != Pin() and node in workflow.nodes})


def _loosened(pin: Pin, names: set[str]) -> Pin:
    return Pin(
        seed="" if "seed" in names else pin.seed,
        models={name: digest for name, digest in pin.models.items() if owner(name) not in names},
        assets={name: address for name, address in pin.assets.items() if name not in names},
        files={name: file for name, file in pin.files.items() if name not in names},
    )


def in_mode(workflow: Workflow, mode: Mode) -> Workflow:
    """The workflow in that mode. Nothing that a person typed, and no pin, is lost by it."""
    return replace(workflow, mode=mode)
