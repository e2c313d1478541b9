"""Interpolation: frames between two seeds or two prompts of one node, and the clip that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from intaglio.core.asset import ADDRESS
from intaglio.core.errors import Invalid
from intaglio.core.pins import pinned
from intaglio.core.record import Json, plain
from intaglio.core.seeds import exact_seed
from intaglio.core.snapshot import Snapshot
from intaglio.core.variation import Axis, Variation
from intaglio.core.workflow import Node, Workflow
from intaglio.studio.carry_out import Watch
from intaglio.studio.parts import Parts
from intaglio.studio.tasks import Tasks
from intaglio.studio.vary_check import affected
from intaglio.studio.vary_draft import MAX_CELLS, Draft, Wanted, drafted
from intaglio.studio.vary_plan import Ground, Planned
from intaglio.studio.vary_run import CellRun

PLAIN, BETWEEN = "text-to-image", "text-to-image-between"
_MOST_FPS = 120
_NAME_ROOM = 90


def interpolate(
    parts: Parts,
    ground: Ground,
    *,
    node: str,
    to_seed: str,
    to_prompt: str,
    frames: int,
    fps: str,
    note: str,
) -> Draft:
    """Frames from a node's seed or prompt to another; the first is the version's own picture. Raises Invalid."""
    if bool(to_seed) == bool(to_prompt):
        raise Invalid("an interpolation leads to one seed or to one prompt", hint="Give --to-seed or --to-prompt.")
    if not 2 <= frames <= MAX_CELLS:
        raise Invalid(f"{frames} frames; an interpolation has 2 to {MAX_CELLS}")
    node = _node(ground, node)
    speed = _speed(fps)
    ends: dict[str, Json] = {"to_seed": str(exact_seed(to_seed))} if to_seed else {"to_prompt": to_prompt}
    positions = [place / (frames - 1) for place in range(frames)]
    cells = []
    for place, position in enumerate(positions):
        words = {"type": BETWEEN, **ends, "position": position}
        settings = tuple(f"{node}.{name}={value}" for name, value in words.items())
        made = ground.changed(_between(parts, ground, node, {**ends, "position": position}), settings)
        cells.append((Wanted((place,), f"{position:.3g}", settings), made))
    axis = Axis(name=f"{node}.position", values=tuple(f"{position:.3g}" for position in positions))
    request = [node, *(f"{name}={value}" for name, value in ends.items()), str(frames), str(speed)]
    return drafted(parts, ground, "interpolate", [axis], cells, request, note)


def _node(ground: Ground, node: str) -> str:
    """The node whose pictures are led over: one that paints from words, one picture at a time. Raises Invalid."""
    found = {step.node: [each for each in ground.plan.steps if each.node == step.node] for step in ground.plan.steps}
    fit = [name for name, steps in found.items() if steps[0].type == PLAIN and len(steps) == 1]
    if not node and len(fit) == 1:
        return fit[0]
    if node not in fit:
        hint = f"There is: {', '.join(fit)}." if fit else f"It takes a {PLAIN} node that makes one picture."
        raise Invalid(
            f"node {node!r} of {ground.name} is not one to interpolate" if node else "which node is meant?", hint=hint
        )
    return node


def _speed(fps: str) -> Fraction:
    """Frames a second. Raises Invalid."""
    try:
        found = Fraction(fps)
    except (ValueError, ZeroDivisionError) as error:
        raise Invalid(f"{fps[:40]!r} is no number of frames a second") from error
    if not 1 <= found <= _MOST_FPS:
        raise Invalid(f"{fps[:40]} frames a second; a clip has 1 to {_MOST_FPS}")
    return found


def _between(parts: Parts, ground: Ground, node: str, ends: Mapping[str, Json]) -> Planned:
    """The version's plan with a node that lies between its own end and another; all it was given stays."""

    def changed(params: Mapping[str, Json]) -> dict[str, Json]:
        return {**params, "to_prompt": "", "to_seed": "", **ends}

    step = next(step for step in ground.plan.steps if step.node == node)
    params = parts.types[PLAIN].migrate(step.type_version, step.params)
    version = parts.types[BETWEEN].version
    other = replace(step, type=BETWEEN, type_version=version, params=changed(params))
    plan = replace(ground.plan, steps=tuple(other if each.id == step.id else each for each in ground.plan.steps))
    typed = ground.workflow.nodes[node]
    asked = replace(typed, type=BETWEEN, params=changed(typed.params))
    workflow = replace(ground.workflow, nodes={**ground.workflow.nodes, node: asked})
    return Planned(plan, pinned(workflow, plan))


def clip(
    parts: Parts, variation: Variation, name: str, base: Snapshot, states: Sequence[CellRun], watch: Watch
) -> str | None:
    """The MP4 of the frames, made by a task of its own; its asset's digest. None while a frame is missing.

    Raises BackendMissing without PyAV, Cancelled, and what else stops a run.
    """
    if not all(state.done for state in states):
        return None
    step = affected(variation, base)[0]
    frames = [_frame(parts, state, step) for state in states]
    workflow = _film(f"{name[:_NAME_ROOM]} clip", frames, Fraction(variation.request[-1]), parts)
    task = Tasks(parts).run(workflow, watch=watch)
    return parts.documents.get(Snapshot, task.snapshot).outputs[0].asset


def _frame(parts: Parts, state: CellRun, step: str) -> str:
    snapshot = parts.documents.get(Snapshot, parts.tasks.get(state.task).snapshot)
    return next(output.asset for output in snapshot.outputs if output.step == step)


def _film(name: str, frames: Sequence[str], fps: Fraction, parts: Parts) -> Workflow:
    """The workflow that makes a clip of kept pictures."""
    first = parts.assets.get(frames[0])
    # Colours at half the size, which every player shows, need an even size.
    colours = "yuv420p" if first.width % 2 == 0 and first.height % 2 == 0 else "yuv444p"
    pictures = {
        f"frame{place + 1:04}": Node(type="reference-image", params={"image": ADDRESS + digest})
        for place, digest in enumerate(frames)
    }
    params: dict[str, Any] = {"fps": str(fps), "crf": 12, "pixel_format": colours}
    film = Node(type="frames-to-video", inputs={"frames": tuple(pictures)}, params=plain(params))
    output = Node(type="output", inputs={"image": "clip"})
    return Workflow(name=name, nodes={**pictures, "clip": film, "out": output})
