"""The determinism lint: why two runs of a workflow may give different pictures, before any of them is made. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from intaglio.core.asset import ADDRESS
from intaglio.core.canonical import PREFIX
from intaglio.core.record import record
from intaglio.core.workflow import Workflow
from intaglio.engine.checks import Checked
from intaglio.engine.resources import Resources
from intaglio.engine.settle import file_or_pin, fixed_seed, model_references, pinned_or

Level = Literal["error", "remark"]
EXACT_DTYPE = "float32"
_MOST_NAMED = 5


@record
class Finding:
    """One reason why a workflow is not fixed.

    An "error" lets the pictures differ from run to run, and production refuses it; a "remark" lets them differ where
    the machine or a file does. `code` is one of seed.unpinned, model.unpinned, nondeterministic, hosted.unpinned,
    upstream.unpinned, algorithms.unpinned, input.unpinned, device.unpinned and precision.lowered; `node` is "" for the
    whole workflow.
    """

    level: Level
    code: str
    node: str
    message: str
    remedy: str


def findings_of(
    workflow: Workflow, checked: Mapping[str, Checked], order: Iterable[str], resources: Resources
) -> list[Finding]:
    """Every reason, node by node in the order they work, what holds for the whole workflow first."""
    found = list(_algorithms(checked, resources))
    # Node -> a few nodes at or above it whose pictures are not the same every time.
    loose: dict[str, list[str]] = {}
    for node_id in order:
        item = checked[node_id]
        own = [*_seed(workflow, item), *_nature(item)]
        above = sorted({name for origin in item.origins for name in loose[origin]})[: _MOST_NAMED + 1]
        loose[node_id] = [node_id, *above] if own else above
        found += [
            *own,
            *_models(workflow, item, resources),
            *_upstream(item, above),
            *_files(workflow, item, resources),
            *_backend(item),
        ]
    return found


def _seed(workflow: Workflow, item: Checked) -> Iterator[Finding]:
    if not item.type.draws or fixed_seed(workflow, item) is not None:
        return
    pin = workflow.pins.get(item.id)
    remedy = "Give it a seed."
    if pin is not None and pin.seed:
        remedy = f"Its pin {pin.seed} counts in production only: set mode to production, or give it as seed."
    yield Finding(
        level="error",
        code="seed.unpinned",
        node=item.id,
        message=f"node {item.id!r} ({item.type.name}) has no seed of its own, so every run draws another one",
        remedy=remedy,
    )


def _nature(item: Checked) -> Iterator[Finding]:
    if not item.type.deterministic:
        yield Finding(
            level="error",
            code="nondeterministic",
            node=item.id,
            message=f"node {item.id!r}: {item.type.name} says of itself that it is not deterministic",
            remedy="Bring its picture in as a reference-image instead, or use another node type.",
        )
    if item.type.networked:
        yield Finding(
            level="error",
            code="hosted.unpinned",
            node=item.id,
            message=f"node {item.id!r}: {item.type.name} asks a service, which may change",
            remedy="Bring its picture in as a reference-image instead, or use a model that runs here.",
        )


def _models(workflow: Workflow, item: Checked, resources: Resources) -> Iterator[Finding]:
    for name, _, typed in model_references(item):
        reference = pinned_or(workflow, item, name, typed)
        if not resources.is_exact(reference):
            yield Finding(
                level="error",
                code="model.unpinned",
                node=item.id,
                message=f"node {item.id!r}, {name}: {reference!r} means whatever is newest under that name",
                remedy="Name an exact version (name:label or a digest).",
            )


def _upstream(item: Checked, above: list[str]) -> Iterator[Finding]:
    if above:
        named = ", ".join(above[:_MOST_NAMED]) + (", ..." if len(above) > _MOST_NAMED else "")
        yield Finding(
            level="error",
            code="upstream.unpinned",
            node=item.id,
            message=f"node {item.id!r} works on what is not the same every time: {named}",
            remedy=f"Fix {above[0]!r} first.",
        )


def _files(workflow: Workflow, item: Checked, resources: Resources) -> Iterator[Finding]:
    for param in item.type.params:
        if param.type != "image" or item.given.get(param.name) is None:
            continue
        given = file_or_pin(workflow, item, param.name, resources)
        if not given.startswith((ADDRESS, PREFIX)):
            yield Finding(
                level="remark",
                code="input.unpinned",
                node=item.id,
                message=f"node {item.id!r}, {param.name}: what the file {given!r} holds can change",
                remedy="Keep it with: intaglio assets add FILE, and give its digest.",
            )


def _backend(item: Checked) -> Iterator[Finding]:
    for param in item.type.params:
        value = item.given.get(param.name, param.default)
        if param.settled_by == "device" and value == "auto":
            yield Finding(
                level="remark",
                code="device.unpinned",
                node=item.id,
                message=f"node {item.id!r}: device auto is another device on another machine",
                remedy=f"Give {param.name}: cpu, or the device that is meant.",
            )
        if param.name == "dtype" and value != EXACT_DTYPE:
            yield Finding(
                level="remark",
                code="precision.lowered",
                node=item.id,
                message=f"node {item.id!r} computes in {value}, which differs more between machines than {EXACT_DTYPE}",
                remedy=f"Give dtype: {EXACT_DTYPE}, if it fits.",
            )


def _algorithms(checked: Mapping[str, Checked], resources: Resources) -> Iterator[Finding]:
    if not resources.deterministic and any(any(model_references(item)) for item in checked.values()):
        yield Finding(
            level="error",
            code="algorithms.unpinned",
            node="",
            message="the setting deterministic is off, so models may use algorithms that differ from run to run",
            remedy="Set INTAGLIO_DETERMINISTIC=true, or take the setting away.",
        )
