"""Keeping workflows: who may not decide changes nothing that is in production, and puts nothing there."""

from __future__ import annotations

from intaglio.core.codec import digest
from intaglio.core.errors import Forbidden, NotFound
from intaglio.core.workflow import Workflow
from intaglio.studio.parts import Parts


def keep_workflow(parts: Parts, workflow: Workflow, *, newest: bool = False) -> tuple[int, str]:
    """Keep a workflow: its number under its name, and its digest. With `newest` it is the latest of its name
    afterwards; else content that the name had before keeps its number, and nothing changes.

    Raises Forbidden when whoever asks may not decide (`Parts.decides`) and it is, or takes the place of one that is, in
    production.
    """
    with parts.database.write():
        if not parts.decides:
            _check(parts, workflow, newest)
        return parts.workflows.add(workflow, newest=newest)


def _check(parts: Parts, workflow: Workflow, newest: bool) -> None:
    name, content = workflow.name, digest(workflow)
    try:
        latest, _, current = parts.workflows.get(name)
    except NotFound:
        latest, current = None, ""
    if content == current or (not newest and content in {known for _, _, known, _ in _history(parts, name)}):
        return
    if workflow.mode == "production" or (latest is not None and latest.mode == "production"):
        raise Forbidden(
            f"workflow {name} is in production; to change it takes the scope 'approve'"
            if latest is not None and latest.mode == "production"
            else f"to put workflow {name} into production takes the scope 'approve'",
            scope="approve",
            hint="Work in a branch of it (intaglio workflows branch), or ask somebody who approves.",
        )


def _history(parts: Parts, name: str) -> list[tuple[str, int, str, str]]:
    try:
        return parts.workflows.history(name)
    except NotFound:
        return []
