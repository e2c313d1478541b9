"""Production against its approved version: is what is configured now what that version was made with?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from intaglio.core.codec import digest as digest_of
from intaglio.core.errors import Conflict, IntaglioError
from intaglio.core.plan import Plan, Step
from intaglio.core.record import Json, plain
from intaglio.core.snapshot import Snapshot
from intaglio.core.version import Version, standing
from intaglio.core.workflow import Node, Workflow
from intaglio.studio.models import Models
from intaglio.studio.parts import Parts

CODES = ("model.differs", "file.differs", "approval.gone", "archived", "production.left")
_SHOWN = 19  # of a digest: "blake3:" and twelve digits


@dataclass(frozen=True)
class Warning:
    """One thing about a workflow that its user should know before it runs; `code` is "model.differs",
    "file.differs", "approval.gone", "archived" or "production.left".

    For a model that differs `node` and `name` say where it stands, `old` is what the approved version was made with and
    `new` what is configured now, in words.
    """

    code: str
    node: str
    name: str
    old: str
    new: str
    message: str
    remedy: str


def facts_of(warning: Warning) -> dict[str, Json]:
    """What the log of a task says of a warning, beside its code."""
    return {name: value for name, value in asdict(warning).items() if name != "code" and value}


def warning_of(code: str, facts: Mapping[str, Any]) -> Warning | None:
    """The warning that a line of a task's log is; None for any other line."""
    if code not in CODES:
        return None
    return Warning(code, *(str(facts.get(field.name, "")) for field in fields(Warning)[1:]))


def approved(parts: Parts, workflow: str) -> tuple[str, Version] | None:
    """The version of a workflow that was approved last and still is, with its digest; None when there is none."""
    latest: tuple[str, str] | None = None
    for digest in parts.remarks.approved_of(workflow):
        now = standing(parts.remarks.of(digest))
        if now.approval == "approved" and (latest is None or now.when >= latest[0]):
            latest = (now.when, digest)
    return None if latest is None else (latest[1], parts.versions.get(latest[1]))


def warnings(parts: Parts, workflow: Workflow) -> list[Warning]:
    """What is to be known about a workflow before it runs: that its branch is archived, and, in production, each model
    and reference file that is now another than the one its approved version was made with."""
    found = list(_archived(parts, workflow.name))
    if workflow.mode == "production":
        base = approved(parts, workflow.name)
        found += _models(parts, workflow, *base) if base else _disowned(parts, workflow)
    return found


def _disowned(parts: Parts, workflow: Workflow) -> Iterator[Warning]:
    """That what is in production was approved, and is not any more."""
    for digest in parts.remarks.approved_of(workflow.name)[-1:]:
        version, now = parts.versions.get(digest), standing(parts.remarks.of(digest))
        name = f"{version.workflow.name}/{version.name}"
        yield Warning(
            "approval.gone",
            "",
            "",
            name,
            now.approval or "not approved",
            f"workflow {workflow.name} is in production, but {name} is {now.approval or 'no longer approved'}",
            f"Approve a version, or put it into discovery: intaglio workflows mode {workflow.name} discovery",
        )


def leaves_production(parts: Parts, workflow: Workflow, *, again: bool = False) -> list[Warning]:
    """What is to be known before a workflow in discovery becomes the newest of a name that is in production; content
    that its name had before does so only when it is added `again`."""
    if workflow.mode == "production" or all(name != workflow.name for name, *_ in parts.workflows.list()):
        return []
    newest, number, _ = parts.workflows.get(workflow.name)
    known = {digest for _, _, digest, _ in parts.workflows.history(workflow.name)}
    if newest.mode != "production" or (digest_of(workflow) in known and not again):
        return []
    name = workflow.name
    return [
        Warning(
            "production.left",
            "",
            "",
            f"{name} @{number}, production",
            f"{name} @{number + 1}, discovery",
            f"{name} @{number} is in production; this becomes {name} @{number + 1}, in discovery and without its pins",
            f"Run production with {name}@{number}, or approve a version of the new one.",
        )
    ]


def refuse_archived(parts: Parts, name: str) -> None:
    """Raises Conflict for a workflow that was put away."""
    if is_archived(parts, name):
        raise Conflict(f"workflow {name} is archived", hint=f"Bring it back first: intaglio workflows revive {name}")


def is_archived(parts: Parts, workflow: str) -> bool:
    """Whether a workflow was put away, and not brought back."""
    said = [remark for remark in parts.branches.remarks(workflow) if remark.what == "archived"]
    return bool(said) and said[-1].holds


def archived_of(parts: Parts) -> set[str]:
    """The names of all workflows that are archived now."""
    said = {remark.workflow: remark.holds for remark in parts.branches.remarks() if remark.what == "archived"}
    return {name for name, holds in said.items() if holds}


def _archived(parts: Parts, name: str) -> Iterator[Warning]:
    if is_archived(parts, name):
        yield Warning(
            "archived",
            "",
            "",
            "",
            "",
            f"workflow {name} is archived",
            f"Bring it back with: intaglio workflows revive {name}",
        )


def _models(parts: Parts, workflow: Workflow, digest: str, version: Version) -> Iterator[Warning]:
    plan = parts.documents.get(Snapshot, version.snapshot).plan
    name = f"{version.workflow.name}/{version.name}"
    yield from _files(workflow, plan, name)
    for node_id, step in _first_steps(plan).items():
        node = workflow.nodes.get(node_id)
        if node is None:
            continue
        pins = workflow.pins[node_id].models if node_id in workflow.pins else {}
        for slot, model in step.models.items():
            old = f"{model.name}:{model.version} ({model.digest[:_SHOWN]})"
            typed = configured(node, slot)
            for reference, runs in ((typed, slot not in pins), (pins.get(slot, ""), True)):
                new = _differs(parts, reference, model.digest) if reference else ""
                if new:
                    yield _warning(node_id, slot, old, new, name, runs=runs, pinned=pins.get(slot, ""))


def _files(workflow: Workflow, plan: Plan, version: str) -> Iterator[Warning]:
    """Reference files that the workflow calls something else than when they were captured: production runs the old."""
    for node_id, step in _first_steps(plan).items():
        node, pin = workflow.nodes.get(node_id), workflow.pins.get(node_id)
        for name, asset in step.assets.items():
            typed = str(node.params.get(name, "")) if node is not None else ""
            if pin is None or name not in pin.assets or not typed or typed == pin.files.get(name, typed):
                continue
            yield Warning(
                "file.differs",
                node_id,
                name,
                f"{pin.files[name]} ({asset.digest[:_SHOWN]})",
                typed,
                f"node {node_id!r}, {name}: {version} was made with {pin.files[name]}; configured now is {typed}; "
                "production runs the pinned one",
                "To change over, run it in discovery and approve the version that it makes.",
            )


def configured(node: Node, slot: str) -> str:
    """The reference to a model that a person typed where a step holds one ("model", "loras[0]"); "" for none."""
    parameter, _, index = slot.partition("[")
    value = plain(node.params.get(parameter))
    if index:
        items = value if isinstance(value, list) else [value]
        place = int(index.rstrip("]"))
        value = items[place] if place < len(items) else None
    if isinstance(value, dict):
        value = value.get("model")
    return value if isinstance(value, str) else ""


def _first_steps(plan: Plan) -> dict[str, Step]:
    found: dict[str, Step] = {}
    for step in plan.steps:
        found.setdefault(step.node, step)
    return found


def _differs(parts: Parts, reference: str, recorded: str) -> str:
    """What a reference means now, in words, if that is not the recorded content; "" if it is."""
    models = Models(parts)
    try:
        model = models.find(reference)
        if models.is_exact(reference):
            return "" if model.digest == recorded else f"{model.name}:{model.version} ({model.digest[:_SHOWN]})"
        checked = models.verify(f"{model.name}:{model.version}")
    except IntaglioError as error:
        return f"{reference} ({error})"
    if checked.state == "changed":
        return f"{reference}, whose file is another one now: {checked.found}"
    return "" if model.digest == recorded else f"{model.name}:{model.version} ({model.digest[:_SHOWN]})"


def _warning(node: str, slot: str, old: str, new: str, version: str, *, runs: bool, pinned: str) -> Warning:
    use = "and that is what runs" if runs else "production runs the pinned one"
    remedy = (
        f"To stay with it, name {old.partition(' ')[0]} in the workflow; to change over, run it in discovery and "
        "approve the version that it makes."
    )
    if runs and pinned:
        remedy = f"Approve {version} again to capture its model, or approve a version that was made with the new one."
    return Warning(
        "model.differs",
        node,
        slot,
        old,
        new,
        f"node {node!r}, {slot}: {version} was made with {old}; configured now is {new}; {use}",
        remedy,
    )
