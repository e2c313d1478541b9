"""A run becomes a version: the rules for its label and reason, its record, and the one transaction that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from intaglio.core.canonical import is_digest
from intaglio.core.errors import AnnotationMissing, Conflict, Damaged, Invalid
from intaglio.core.form import ANNOTATION, PLAIN, Form, merged
from intaglio.core.record import EMPTY
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import Reason, Task
from intaglio.core.version import Version, slug
from intaglio.studio import clock
from intaglio.studio.annotating import form_of_task
from intaglio.studio.parts import Parts


def check_reason(reason: Reason, form: Form = PLAIN) -> str:
    """The label of a version as it will be. Raises Invalid for a label, a contradiction or a field no version of a
    workflow with that form can have."""
    form.check(reason)
    return _label(reason.label)


def _label(text: str) -> str:
    label = slug(text)
    if text.strip() and not label:
        raise Invalid(f"label {text[:60]!r} has no letter or digit", hint="Use a word or two.")
    if label and (is_digest(label) or label.lstrip("v").isdecimal()):
        raise Invalid(f"label {label!r} would be taken for a number", hint="Use a word or two.")
    return label


def settle(parts: Parts, task: Task, snapshot: str, finished: str) -> Task:
    """The last word on a run whose snapshot (a digest) was put down, inside the caller's transaction.

    A run that becomes a version is done once it is one. It waits while what it asks for is not all given, or its label
    was taken meanwhile: so it loses nothing, whenever this process is killed.
    """
    if task.reason is None:
        return parts.tasks.advance(task.id, "done", finished=finished, snapshot=snapshot)
    parts.tasks.advance(task.id, "waiting", finished=finished, snapshot=snapshot)
    with suppress(Invalid, Conflict, Damaged):
        keep_version(parts, task.id, Reason())
    return parts.tasks.get(task.id)


def keep_version(parts: Parts, task_id: str, given: Reason, *, author: str = "") -> tuple[str, Version]:
    """Make a run that has its snapshot the next version of its workflow, for what was said before and `given` now.

    A waiting task is done with it. All that is looked at and written is one transaction, so of any number who try only
    one does. Raises AnnotationMissing, Invalid, Conflict (not finished, a version already, the label is taken).
    """
    with parts.database.write():
        task = parts.tasks.get(task_id)
        reason = merged(task.reason, given) if task.status == "waiting" else given
        label = _check_whole(reason, form_of_task(parts, task))
        _check_free(parts, task)
        snapshot = parts.documents.get(Snapshot, task.snapshot)
        latest = parts.versions.latest(task.workflow.name)

        def build(number: int) -> Version:
            return version_record(
                task,
                snapshot,
                number=number,
                label=label,
                annotation=reason.annotation.strip(),
                parent=latest[0] if latest else branched_from(parts, task.workflow.name),
                author=author or parts.settings.author,
                fields={name: answer.strip() for name, answer in reason.fields.items()},
            )

        saved = parts.versions.save(task.workflow.name, build, task=task.id)
        if task.status == "waiting":
            parts.tasks.advance(task.id, "done", reason=reason)
        return saved


def _check_free(parts: Parts, task: Task) -> None:
    """Raises Conflict for a run that is a version already, or cannot become one."""
    if task.version:
        version = parts.versions.get(task.version)
        name = f"{version.workflow.name}/{version.name}"
        raise Conflict(f"task {task.id} is a version already: {name}", hint=f"See: intaglio versions show {name}")
    if task.status not in ("done", "waiting"):
        way_on = "" if task.status in ("queued", "running") else f"Go on with: intaglio tasks resume {task.id}"
        raise Conflict(f"task {task.id} is {task.status}; only a finished one can become a version", hint=way_on)


def _check_whole(reason: Reason, form: Form) -> str:
    """The label of a version for that reason. Raises AnnotationMissing or Invalid, naming what is missing."""
    label = check_reason(reason, form)
    missing = form.missing(reason)
    fields = [name for name in missing if name != ANNOTATION]
    asked = f"the workflow's form asks for {', '.join(fields)}"
    if ANNOTATION in missing:
        raise AnnotationMissing("a version needs its reason" + (f", and {asked}" if fields else ""))
    if fields:
        raise Invalid(asked, hint=" ".join(["Give each:", *(f"--field '{name}=...'" for name in fields)]))
    return label


def version_record(
    task: Task,
    snapshot: Snapshot,
    *,
    number: int,
    label: str,
    annotation: str,
    parent: str,
    author: str,
    fields: Mapping[str, str] = EMPTY,
) -> Version:
    """The version record of a finished task; it says by itself what made the pictures, step by step."""
    steps = snapshot.plan.steps
    return Version(
        number=number,
        label=label,
        annotation=annotation,
        unannotated=not annotation,
        workflow=task.workflow,
        task=task.id,
        snapshot=task.snapshot,
        parent=parent,
        created=clock.now(),
        author=author,
        outputs=snapshot.outputs,
        parameters={step.id: step.params for step in steps},
        seeds={step.id: step.seed for step in steps if step.seed},
        models={
            step.id: {name: f"{model.name}:{model.version} {model.digest}" for name, model in step.models.items()}
            for step in steps
            if step.models
        },
        references={
            step.id: {name: asset.address for name, asset in step.assets.items()} for step in steps if step.assets
        },
        fields=fields,
    )


def branched_from(parts: Parts, workflow: str) -> str:
    """The version (digest) that a workflow's first version follows: where its branch was taken from, "" for none."""
    branch = parts.branches.get(workflow)
    return branch.version if branch else ""
