"""The engine alone: resolve, execute and freeze chains of cheap nodes, with nothing kept."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.measure import Measured, least
from intaglio.core.asset import Asset
from intaglio.core.canonical import digest_bytes
from intaglio.core.context import Context, Generation, Hooks, ModelFile
from intaglio.core.errors import NotFound
from intaglio.core.image import Image
from intaglio.core.model import ModelRef, ModelVersion
from intaglio.core.nodetype import NodeTypes, node_type
from intaglio.core.plan import AssetRef, WorkflowRef
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import Task
from intaglio.core.workflow import Workflow, parse_workflow
from intaglio.engine.environment import capture
from intaglio.engine.execute import Work, execute
from intaglio.engine.freeze import freeze
from intaglio.engine.resolve import resolve
from intaglio.engine.resources import Resources

LENGTHS = (10, 100, 500, 1000)
COMFYUI = "ComfyUI, measured earlier: 1.6 ms a node for 50 nodes, 24 ms a node for 500; it refuses 990"
NOTHING = digest_bytes(b"")


@node_type("begin", version=1)
def begin(ctx: Context) -> Image:
    """A picture of one pixel."""
    return Image("L", 1, 1, b"\0")


@node_type("nudge", version=1)
def nudge(ctx: Context, image: Image, *, by: int = 1, seed: int) -> Image:
    """A new picture for next to nothing."""
    return Image("L", 1, 1, bytes([(image.data[0] + by) % 256]))


TYPES = NodeTypes([begin, nudge])


def measure() -> Iterator[Measured]:
    """Cost per node for each length, and whether it grows with the length."""
    costs = {}
    for length in LENGTHS:
        workflow = chain(length)
        run_through(workflow)
        costs[length] = least(partial(run_through, workflow), 7 if length >= 500 else 15) / length
        yield Measured(
            f"engine, chain of {length:,}: CPU per node",
            costs[length] * 1000,
            "ms",
            target=1.0,
            note=COMFYUI if length == 500 else "",
        )
    yield Measured(
        "engine, growth: per node at 1,000",
        costs[1000] * 1000,
        "ms",
        "per node at 100",
        costs[100] * 1000,
        1.25,
        "ratio",
    )


def chain(length: int) -> Workflow:
    """A chain of cheap nodes with fixed seeds."""
    nodes: dict[str, object] = {"n0": {"type": "begin"}}
    for number in range(1, length):
        nodes[f"n{number}"] = {"type": "nudge", "inputs": {"image": f"n{number - 1}"}, "seed": str(number)}
    return parse_workflow({"name": "chain", "nodes": nodes})


def run_through(workflow: Workflow) -> Snapshot:
    """Resolve, execute and freeze."""
    reference = WorkflowRef(name=workflow.name, version=1, digest=NOTHING)
    plan = resolve(workflow, reference, _resources())
    results = execute(plan, _work())
    task = Task(id="t", status="running", workflow=reference, plan=NOTHING, author="", created="")
    return freeze(
        task=task,
        created="",
        workflow=workflow,
        plan=plan,
        results=results,
        environment=capture(threads=1, deterministic=True, backend={}),
        types=TYPES,
        find_asset=lambda digest: Asset(digest=digest, size=1, media_type="image/png", width=1, height=1),
        find_model=_no_model,
    )


def _resources() -> Resources:
    return Resources(
        types=TYPES,
        draw=lambda: 1,
        find_model=lambda reference, kind: _no_model(reference),
        is_exact=lambda reference: True,
        take_image=_no_image,
        settle={},
        threads=1,
        deterministic=True,
    )


def _work() -> Work:
    return Work(
        types=TYPES,
        environment=NOTHING,
        load=lambda digest: Image("L", 1, 1, b"\0"),
        find_model=_no_file,
        generate=_no_picture,
        encode=lambda image: (digest_bytes(image.data), image.data),
        keep=lambda finished, files: None,
    )


def _no_model(name: str) -> ModelVersion:
    raise NotFound("model", name)


def _no_image(name: str) -> AssetRef:
    raise NotFound("picture", name)


def _no_file(model: ModelRef) -> ModelFile:
    raise NotFound("model", model.name)


def _no_picture(request: Generation, hooks: Hooks) -> Image:
    raise NotFound("model", request.model.name)
