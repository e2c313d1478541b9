"""The version record of a finished run, and the rules for its label and reason."""

from __future__ import annotations

from intaglio.core.canonical import is_digest
from intaglio.core.errors import Invalid
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import Reason, Task
from intaglio.core.version import Version, slug
from intaglio.studio import clock


def check_reason(reason: Reason) -> str:
    """The label of a version as it will be. Raises Invalid for a label or a contradiction no version can have."""
    if reason.annotation.strip() and reason.none:
        raise Invalid("an annotation and going without one were both asked for", hint="Give one of the two.")
    return _label(reason.label)


def _label(text: str) -> str:
    label = slug(text)
    if text.strip() and not label:
        raise Invalid(f"label {text[:60]!r} has no letter or digit", hint="Use a word or two.")
    if label and (is_digest(label) or label.lstrip("v").isdecimal()):
        raise Invalid(f"label {label!r} would be taken for a number", hint="Use a word or two.")
    return label


def version_record(
    task: Task, snapshot: Snapshot, *, number: int, label: str, annotation: str, parent: str, author: str
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
    )
