"""What is asked for in a run, checked and planned before any work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from intaglio.core.errors import AnnotationMissing, Conflict
from intaglio.core.form import PLAIN
from intaglio.core.plan import Plan
from intaglio.core.task import Reason, Task
from intaglio.core.workflow import Mode, Workflow
from intaglio.engine.resolve import resolve
from intaglio.studio import annotating
from intaglio.studio.drift import Warning, facts_of
from intaglio.studio.parts import Parts
from intaglio.studio.planning import resources
from intaglio.studio.saving import check_reason
from intaglio.studio.workflows import Workflows


@dataclass(frozen=True)
class Wanted:
    """A plan, the reason for the version it is to become as far as it is known (None: it becomes none), and what is to
    be known before it runs."""

    plan: Plan
    reason: Reason | None
    warnings: tuple[Warning, ...]

    def log(self, parts: Parts, task: Task) -> None:
        """Write down with the task what was to be known before it."""
        for warning in self.warnings:
            parts.tasks.log(task.id, warning.code, facts=facts_of(warning))


def wanted(
    parts: Parts,
    workflow: Workflow | str | Path,
    given: Reason,
    *,
    set: Sequence[str],
    mode: Mode | None,
    can_ask: bool,
    paranoid: bool,
    warn: Callable[[Warning], None] = lambda warning: None,
) -> Wanted:
    """What a run of a workflow comes to; `can_ask`: somebody can be asked for what is missing of its reason.

    Raises Invalid, Conflict, NotFound and Unavailable: what cannot be, is taken, or is not there.
    """
    found = Workflows(parts).find(workflow, set, mode=mode)
    for warning in found.warnings:
        warn(warning)
    reason = _reason(parts, found.workflow, given, can_ask=can_ask)
    plan = resolve(found.workflow, found.reference, resources(parts, found.base, paranoid=paranoid))
    return Wanted(plan, reason, found.warnings)


def _reason(parts: Parts, workflow: Workflow, given: Reason, *, can_ask: bool) -> Reason | None:
    """The reason for the version that the run is to become, as far as it is known; None when it becomes none."""
    types = parts.types
    form = annotating.form_of_workflow(types, workflow)
    slug = check_reason(given, form or PLAIN)
    if form is None and not (given.label or given.given):
        return None
    if form is None and not (given.given or can_ask):
        raise AnnotationMissing("this run ends in a version, and a version needs its reason")
    if form is not None and not given.label:
        given = replace(given, label=annotating.label_in(types, workflow))
        slug = check_reason(given, form)
    taken = parts.versions.find(label=slug, workflow=workflow.name) if slug else []
    if taken:
        raise Conflict(f"label {slug!r} is that of {taken[0][1].name} already", hint="Choose another label.")
    return given
