"""Bringing a version back: grade it, run its plan through the ordinary door with nothing reused, and compare."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from intaglio.core.codec import digest as digest_of
from intaglio.core.errors import CannotReproduce, InvalidModel, NotFound, Unavailable
from intaglio.core.fidelity import Fidelity, Reproduction
from intaglio.core.grade import Grade
from intaglio.core.model import ModelRef
from intaglio.core.plan import Plan, Step
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import Task
from intaglio.core.version import LEGACY, Version
from intaglio.studio import clock
from intaglio.studio.carry_out import Watch, carry_out
from intaglio.studio.grading import by_name, grade, part_of
from intaglio.studio.measure import measure
from intaglio.studio.models import Models
from intaglio.studio.parts import Parts
from intaglio.studio.queue import queue
from intaglio.studio.registry import identity, next_label

# What to do about a model that is not the recorded one: refuse, or run with the one that now goes by its name.
ModelChoice = Literal["exact", "current"]


@dataclass(frozen=True)
class Reproduced:
    """What a reproduction came to: the version, the prediction, the task that ran, and the measurement.

    `models` maps the digests of recorded models to those that took their place.
    """

    digest: str
    version: Version
    grade: Grade
    task: Task
    fidelity: Fidelity
    models: Mapping[str, str]


def reproduce(
    parts: Parts, digest: str, version: Version, *, only: str, models: ModelChoice, watch: Watch, full: bool
) -> Reproduced:
    """Run the version's plan again and hold the outputs against the stored ones. Raises CannotReproduce."""
    snapshot = parts.documents.get(Snapshot, version.snapshot)
    plan = part_of(snapshot, only)
    instead = current_models(parts, snapshot, plan, add=True) if models == "current" else {}
    predicted = grade(parts, snapshot, plan, full=full, version=digest, instead=instead)
    if predicted.grade == "partial":
        successors = models == "exact" and bool(current_models(parts, snapshot, plan, add=False))
        raise _refused(parts, digest, version, predicted, successors=successors)
    replaced = instead | {name: model for name, model in by_name(parts, plan).items()}
    task, lock = queue(parts, _with_models(plan, replaced), reproduces=digest)
    for old, new in replaced.items():
        parts.tasks.log(task.id, "model replaced", facts={"recorded": old, "used": new.digest})
    task = carry_out(parts, task.id, lock, reuse="none", watch=watch, paranoid=full)
    again = parts.documents.get(Snapshot, task.snapshot)
    fidelity = measure(parts, snapshot, again, only=only)
    used = {old: new.digest for old, new in replaced.items()}
    parts.reproductions.add(
        Reproduction(
            version=digest,
            task=task.id,
            created=clock.now(),
            grade=predicted,
            fidelity=fidelity,
            models=used,
            environment=digest_of(again.environment),
            host=platform.node(),
        )
    )
    return Reproduced(digest, version, predicted, task, fidelity, used)


def _refused(parts: Parts, digest: str, version: Version, predicted: Grade, *, successors: bool) -> CannotReproduce:
    """Why nothing is run, and the ways out; `successors`: there are models that one could run with instead."""
    lacking = [gap for gap in predicted.gaps if gap.best == "partial"]
    reasons = "; ".join(gap.message for gap in lacking[:3])
    hint = lacking[0].remedy
    if all(gap.code in ("model.missing", "model.changed") for gap in lacking):
        name = f"{version.workflow.name}/{version.name}"
        if successors:
            hint += f"\nOr run it with the model that is here now: intaglio versions reproduce {name} --models current"
        hint += f"\nOr note that it needs a model that is gone: intaglio versions legacy {name}"
    marks = [remark for remark in parts.remarks.of(digest) if remark.what == LEGACY]
    if marks and marks[-1].holds:
        reasons += f"; marked on {marks[-1].created[:10]} by {marks[-1].author} as needing a model that is gone"
    name = f"{version.workflow.name}/{version.name}"
    return CannotReproduce(f"{name} cannot be reproduced now: {reasons}", grade=predicted, hint=hint)


def current_models(parts: Parts, snapshot: Snapshot, plan: Plan, *, add: bool) -> dict[str, ModelRef]:
    """What goes now by the names of the models that are not what ran, by recorded digest.

    A file that was changed in place counts as the next version of its name; with `add` it is added as such. Models that
    are there as recorded stay; what has no successor is left out.
    """
    models, found = Models(parts), {}
    for model in {model for step in plan.steps for model in step.models.values() if model.digest}:
        for digest in model.digests:
            if digest not in snapshot.models or _is_here(models, digest):
                continue
            successor = _successor(parts, snapshot.models[digest].name, model.kind, add)
            if successor is not None and digest == model.digest:
                found[digest] = successor
    return found


def _is_here(models: Models, digest: str) -> bool:
    try:
        return models.check(digest).state == "ok"
    except NotFound:
        return False


def _successor(parts: Parts, name: str, kind: str, add: bool) -> ModelRef | None:
    """The newest model of a name whose file is there; when it was replaced in place, what is there now."""
    models = Models(parts)
    try:
        newest = models.find(name, kind)
        checked = models.verify(f"{newest.name}:{newest.version}")
        if checked.state == "changed":
            if not add:
                digest, _, _ = identity(parts, checked.path, None)
                return replace(newest.ref, version=next_label(parts, name, digest), digest=digest)
            newest = models.add(checked.path, name=name)
            checked = models.verify(f"{newest.name}:{newest.version}")
    except (NotFound, InvalidModel, Unavailable):
        return None  # nothing of that name, or nothing one could run
    return newest.ref if checked.state == "ok" and newest.model_kind == kind else None


def _with_models(plan: Plan, instead: Mapping[str, ModelRef]) -> Plan:
    """The plan with other models, and what was changed said in it. A model without a digest is replaced by name."""
    if not instead:
        return plan
    changes: list[str] = []

    def changed(step: Step) -> Step:
        models = dict(step.models)
        for param, model in step.models.items():
            new = instead.get(model.digest or model.name)
            if new is not None:
                models[param] = new
                changes.append(
                    f"{step.id}.{param}={new.name}:{new.version} (recorded: {model.digest or 'a name only'})"
                )
        return replace(step, models=models)

    steps = tuple(changed(step) for step in plan.steps)
    reference = replace(plan.workflow, changes=(*plan.workflow.changes, *changes))
    return replace(plan, workflow=reference, steps=steps)
