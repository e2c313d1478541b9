"""Approving a version: what it ran with becomes the pins of its workflow, and the workflow goes into production.

Also pinning by itself, switching modes, and going back to an earlier version. Each makes the next version of a
workflow; none is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from intaglio.core.errors import AnnotationMissing, Conflict, Invalid
from intaglio.core.pins import in_mode, left_out, pins_of
from intaglio.core.plan import Plan, WorkflowRef
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import Reason, Task
from intaglio.core.version import APPROVED, Remark, Version, standing
from intaglio.core.workflow import Mode, Node, Pin, Workflow
from intaglio.studio.branching import with_known_files
from intaglio.studio.deciding import keep_workflow
from intaglio.studio.drift import Warning, approved, configured, leaves_production, refuse_archived
from intaglio.studio.parts import Parts
from intaglio.studio.planning import check_alone
from intaglio.studio.remarks import say
from intaglio.studio.saving import check_reason, version_record


@dataclass(frozen=True)
class Approved:
    """A version that was approved. `workflow` is the version of its workflow that holds the pins, in production; None
    when nothing was captured. `superseded` is the newest version of the workflow before, where that said something else
    ("Summer@5"), "" where not."""

    digest: str
    version: Version
    remark: Remark
    workflow: WorkflowRef | None
    superseded: str = ""


@dataclass(frozen=True)
class Pinned:
    """A workflow with what a task ran with as its pins. `left` says in words what was not captured, and why."""

    workflow: WorkflowRef
    pins: dict[str, Pin]
    left: tuple[str, ...]


def approve(parts: Parts, digest: str, version: Version, *, note: str, author: str, pin: bool) -> Approved:
    """Approve a version; with `pin`, what it ran with becomes the production state of its workflow.

    Raises Conflict (approved already, an archived branch), Unfixed, UnpinnedSeed, UnpinnedModel (production would
    refuse it).
    """
    name = version.workflow.name
    snapshot = parts.documents.get(Snapshot, version.snapshot)
    with parts.database.write():
        refuse_archived(parts, name)
        newest, number, content = parts.workflows.get(name)
        reference = _into_production(parts, name, snapshot) if pin else None
        value = f"{reference.name}@{reference.version}" if reference else ""
        latest = approved(parts, name)
        is_it = latest is not None and latest[0] == digest and (reference is None or reference.digest == content)
        remark = say(parts, digest, APPROVED, value=value, note=note, author=author, refuse_if=_already(is_it))
    held = (
        reference is None
        or number <= version.workflow.version
        or parts.documents.get(Workflow, reference.digest).nodes == newest.nodes
    )
    return Approved(digest, version, remark, reference, "" if held else f"{name}@{number}")


def _already(is_it: bool) -> Callable[[Sequence[Remark]], str]:
    """Refuses to approve what is the approved version, and in production as it was captured."""

    def why(earlier: Sequence[Remark]) -> str:
        now = standing(earlier)
        if now.approval != APPROVED or not is_it:
            return ""
        return f"is approved already, by {now.by} on {now.when[:10]}"

    return why


def _into_production(parts: Parts, name: str, snapshot: Snapshot) -> WorkflowRef:
    """Keep what a run settled as the newest version of its workflow.

    Raises Conflict for a part of a run, Unfixed, UnpinnedSeed, UnpinnedModel.
    """
    document = parts.documents.get(Workflow, snapshot.plan.workflow.digest)
    _check_whole(snapshot.plan, document)
    fixed = replace(document, name=name, pins=pins_of(snapshot.plan, document), mode="production")
    try:
        check_alone(parts, fixed)
    except Invalid as error:
        error.hint = "Fix that first, or approve it without capturing anything: --no-pin"
        raise
    number, digest = keep_workflow(parts, fixed, newest=True)
    return WorkflowRef(name=name, version=number, digest=digest)


def _check_whole(plan: Plan, document: Workflow) -> None:
    if lacking := left_out(plan, document):
        raise Conflict(
            f"this run is a part of its workflow: it has not every picture of {', '.join(lacking)}",
            hint="Take the version or task that it is a part of.",
        )


def pin(parts: Parts, task: Task) -> Pinned:
    """Capture what a task ran with into its workflow as pins, as the workflow's next version; its mode stays.

    What a person changed in the workflow since stays changed: a seed is captured for a node that is still of its type,
    a model or file where the workflow still names it so. Raises NotFound, Conflict (it did not finish, or is a part).
    """
    if not task.snapshot:
        raise Conflict(
            f"task {task.id} is {task.status}; only what a finished run had can be pinned",
            hint=f"Go on with it first: intaglio tasks resume {task.id}",
        )
    plan = parts.documents.get(Plan, task.plan)
    ran = parts.documents.get(Workflow, plan.workflow.digest)
    _check_whole(plan, ran)
    with parts.database.write():
        refuse_archived(parts, task.workflow.name)
        latest, _, _ = parts.workflows.get(task.workflow.name)
        pins, left = dict(latest.pins), []
        for node, found in pins_of(plan, ran).items():
            if node not in latest.nodes or latest.nodes[node].type != ran.nodes[node].type:
                left.append(f"{node}: the workflow has no such node any more")
                continue
            pins[node], gone = _where_still_named(found, ran.nodes[node], latest.nodes[node])
            left += [f"{node}.{name}: the workflow names something else now" for name in gone]
        fixed = replace(latest, pins=pins)
        number, digest = keep_workflow(parts, fixed, newest=True)
    return Pinned(WorkflowRef(name=fixed.name, version=number, digest=digest), pins, tuple(left))


def _where_still_named(pin: Pin, ran: Node, latest: Node) -> tuple[Pin, list[str]]:
    """The pin without what the node names otherwise than when it ran, and the names of that."""
    models = {name: value for name, value in pin.models.items() if configured(ran, name) == configured(latest, name)}
    assets = {name: value for name, value in pin.assets.items() if ran.params.get(name) == latest.params.get(name)}
    gone = sorted((pin.models.keys() - models.keys()) | (pin.assets.keys() - assets.keys()))
    files = {name: file for name, file in pin.files.items() if name in assets}
    return Pin(seed=pin.seed, models=models, assets=assets, files=files), gone


def switch(parts: Parts, name: str, mode: Mode) -> WorkflowRef:
    """Put a workflow as a whole into a mode, as its next version. What a person typed and every pin stay.

    Raises NotFound, Conflict (it is in that mode), Unfixed, UnpinnedSeed, UnpinnedModel.
    """
    with parts.database.write():
        refuse_archived(parts, name)
        latest, number, _ = parts.workflows.get(name)
        if latest.mode == mode:
            raise Conflict(
                f"workflow {name} @{number} is in {mode} already", hint=f"See it with: intaglio workflows show {name}"
            )
        other = in_mode(latest, mode)
        check_alone(parts, other)
        number, digest = keep_workflow(parts, other, newest=True)
    return WorkflowRef(name=name, version=number, digest=digest)


def roll_back(
    parts: Parts, digest: str, version: Version, reason: Reason, warn: Callable[[Warning], None]
) -> tuple[str, Version]:
    """The next version, which is what an earlier one was: its workflow is the newest again, its snapshot is kept again.

    Nothing is run; reference files stay known, wherever they were. `warn` hears when production is left by it. Raises
    AnnotationMissing, Invalid, Conflict (it is the newest already, or the label is taken).
    """
    label = check_reason(reason)
    if not reason.given:
        raise AnnotationMissing("going back is a version too, and a version needs its reason")
    name = version.workflow.name
    snapshot = parts.documents.get(Snapshot, version.snapshot)
    ran = parts.tasks.get(version.task)
    document = with_known_files(parts, parts.documents.get(Workflow, snapshot.plan.workflow.digest), digest)
    with parts.database.write():
        refuse_archived(parts, name)
        latest, (newest, _, _) = parts.versions.latest(name), parts.workflows.get(name)
        is_it = latest is not None and digest in (latest[0], latest[1].restores)
        if is_it and (newest.nodes, newest.mode) == (document.nodes, document.mode):
            raise Conflict(
                f"{name} is at {version.name} already, and its workflow too: there is nothing to go back to",
                hint=f"See what there is with: intaglio versions list --workflow {name}",
            )
        for warning in leaves_production(parts, document, again=True):
            warn(warning)
        number, kept = keep_workflow(parts, document, newest=True)
        reference = WorkflowRef(name=name, version=number, digest=kept)

        def build(number: int) -> Version:
            made = version_record(
                replace(ran, workflow=reference, snapshot=version.snapshot),
                snapshot,
                number=number,
                label=label,
                annotation=reason.annotation.strip(),
                parent=latest[0] if latest else "",
                author=parts.settings.author,
                fields=version.fields,
            )
            return replace(made, restores=digest)

        return parts.versions.save(name, build)
