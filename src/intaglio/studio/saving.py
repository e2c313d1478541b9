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
    # Whether it really waits is not known yet; who listens hears how it ended, once.
    parts.tasks.advance(task.id, "waiting", told=False, finished=finished, snapshot=snapshot)
    with suppress(Invalid, Conflict, Damaged):
        keep_version(parts, task.id, Reason())
    ended = parts.tasks.get(task.id)
    if ended.status == "waiting":
        parts.tasks.tell(task.id)
    return ended


def keep_version(
    parts: Parts, task_id: str, given: Reason, *, author: str = "", waits: bool = False
) -> tuple[str, Version]:
    """Make a run that has its snapshot the next version of its workflow, for what was said before and `given` now.

    A waiting task is done with it; with `waits` only a waiting one is taken. One that goes on waiting, because
    something is missing or its label is taken, keeps what was given: nobody has to say it again. All that is looked at
    and written is one transaction, so of any number who try only one does. Raises AnnotationMissing, Invalid (naming
    what is missing or cannot be), Conflict (not finished, a version already, the label is taken).
    """
    with parts.database.write():
        task = parts.tasks.get(task_id)
        if waits:
            _check_waits(task)
        waiting = task.status == "waiting"
        reason, form = merged(task.reason, given) if waiting else given, form_of_task(parts, task)
        label = check_reason(reason, form)
        stopped: Invalid | Conflict | None = _lacking(form, reason, kept=waiting and given != Reason())
        if stopped is None:
            try:
                return _become(parts, task, reason, label, author)
            except Conflict as error:
                stopped = error
        if waiting:
            parts.tasks.update(task.id, reason=reason)
    # Only now: an exception inside would undo what was just kept.
    raise stopped


def remember(parts: Parts, task_id: str, given: Reason) -> None:
    """Keep what was said of a task that still waits, so that nobody has to say it again.

    Raises Invalid for what it cannot have; then nothing of it is kept.
    """
    with parts.database.write():
        task = parts.tasks.get(task_id)
        if task.status == "waiting":
            reason = merged(task.reason, given)
            check_reason(reason, form_of_task(parts, task))
            parts.tasks.update(task_id, reason=reason)


def _become(parts: Parts, task: Task, reason: Reason, label: str, author: str) -> tuple[str, Version]:
    """The version of a run whose reason is whole. Raises Conflict, and then nothing was written."""
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


def _check_waits(task: Task) -> None:
    """Raises Conflict for a task that waits for nothing."""
    if task.status == "waiting":
        return
    hint = f"See it with: intaglio tasks show {task.id}"
    if task.status == "done" and not task.version:
        hint = f"Make it a version with: intaglio versions save {task.id}"
    became = f", and a version already ({task.version})" if task.version else ""
    raise Conflict(f"task {task.id} is {task.status}{became}; it waits for nothing", hint=hint)


def _check_free(parts: Parts, task: Task) -> None:
    """Raises Conflict for a run that is a version already, or cannot become one."""
    if task.version:
        version = parts.versions.get(task.version)
        name = f"{version.workflow.name}/{version.name}"
        raise Conflict(f"task {task.id} is a version already: {name}", hint=f"See: intaglio versions show {name}")
    if task.status not in ("done", "waiting"):
        way_on = "" if task.status in ("queued", "running") else f"Go on with: intaglio tasks resume {task.id}"
        raise Conflict(f"task {task.id} is {task.status}; only a finished one can become a version", hint=way_on)


def _lacking(form: Form, reason: Reason, *, kept: bool) -> Invalid | None:
    """What to say of what is still missing, None when nothing is; `kept` is whether something was given and is kept."""
    missing = form.missing(reason)
    fields = [name for name in missing if name != ANNOTATION]
    asked = f"the workflow's form asks for {', '.join(fields)}"
    kept_in_words = "; what was given is kept" if kept else ""
    if ANNOTATION in missing:
        return AnnotationMissing("a version needs its reason" + (f", and {asked}" if fields else "") + kept_in_words)
    if fields:
        hint = " ".join(["Give each:", *(f"--field '{name}=...'" for name in fields)])
        return Invalid(asked + kept_in_words, hint=hint)
    return None


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
