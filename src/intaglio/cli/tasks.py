"""intaglio tasks ..."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intaglio.cli.app import NOT_IDENTICAL, App, common, is_terminal, say, short, table, watching
from intaglio.cli.fidelity import output_words
from intaglio.core.errors import NotFound

if TYPE_CHECKING:
    from intaglio.core.task import NodeRecord, Reason, Task
    from intaglio.studio.diff import TaskDifference
    from intaglio.studio.open import Studio

STATUSES = ("queued", "running", "done", "failed", "cancelled", "interrupted")


@click.group()
def tasks() -> None:
    """Runs of workflows."""


@tasks.command()
@click.argument("workflow")
@click.option("--set", "settings", multiple=True, metavar="NODE.PARAM=VALUE", help="Change a parameter, seed or count.")
@click.option("--label", default="", help="Label of the version this run becomes.")
@click.option("--annotation", default="", help="Why this version is made.")
@click.option("--no-annotation", is_flag=True, help="Save the version without a reason; that is recorded.")
@click.option("--to", "folder", metavar="DIR", help="Also export the version's pictures and records into DIR.")
@click.option("--no-reuse", is_flag=True, help="Run every node, even one whose result is already there.")
@click.option("--paranoid", is_flag=True, help="Read every byte of the models again before using them.")
@common
def run(
    app: App,
    workflow: str,
    settings: tuple[str, ...],
    label: str,
    annotation: str,
    no_annotation: bool,
    folder: str | None,
    no_reuse: bool,
    paranoid: bool,
) -> None:
    """Run WORKFLOW: a file, or the NAME (or NAME@VERSION) of one in the library."""
    with app.open() as studio:
        with watching() as watch:
            task = studio.tasks.run(
                workflow,
                set=settings,
                label=label,
                annotation=annotation,
                no_annotation=no_annotation,
                ask=_ask if is_terminal(sys.stdin) and not app.as_json else None,
                watch=watch,
                reuse=not no_reuse,
                paranoid=paranoid,
            )
        if folder and not task.version:
            raise NotFound("version", task.id, hint="Only a run that became a version is exported; give --annotation.")
        files = []
        if folder:
            files = studio.versions.export(task.version, folder, told=lambda text: say(text, err=True))
        app.show(task, lambda: _ended(studio, task, files))


@tasks.command("list")
@click.option("--limit", default=20, type=click.IntRange(1, 1000), help="How many.")
@click.option("--before", metavar="ID", help="Only tasks older than this one.")
@click.option("--status", type=click.Choice(STATUSES), help="Only tasks in this state.")
@common
def list_(app: App, limit: int, before: str | None, status: Any) -> None:
    """The newest tasks."""
    with app.open() as studio:
        found = studio.tasks.list(limit=limit, before=before, status=status)
    app.show(found, lambda: table([_row(task) for task in found]))


@tasks.command()
@click.argument("task")
@common
def show(app: App, task: str) -> None:
    """A task, its nodes with their executed seeds, and its log."""
    with app.open() as studio:
        view = studio.tasks.show(task)
        record = {"task": view.task, "plan": view.plan, "nodes": view.steps, "events": view.events}
        app.show(record, lambda: _words(studio, view.task, view.steps))


@tasks.command()
@click.argument("task")
@common
def resume(app: App, task: str) -> None:
    """Take up an interrupted, failed or cancelled task; its drawn seeds stay, finished nodes are not run again."""
    with app.open() as studio:
        with watching() as watch:
            done = studio.tasks.resume(task, watch=watch)
        app.show(done, lambda: _ended(studio, done, []))


@tasks.command()
@click.argument("task")
@common
def cancel(app: App, task: str) -> None:
    """Ask a running task to stop; what it finished is kept."""
    with app.open() as studio:
        found = studio.tasks.cancel(task)
    app.show(found, lambda: say(f"task {found.id} is asked to stop"))


@tasks.command()
@click.argument("before")
@click.argument("after")
@common
def diff(app: App, before: str, after: str) -> int:
    """How two runs differ (tasks or versions): outputs, the first node that came out differently, and why.

    Exit code 10 when their pictures are not identical.
    """
    with app.open() as studio:
        found = studio.tasks.diff(before, after)
    app.show(found, lambda: _difference(found))
    return 0 if found.verdict.startswith("identical") and found.first is None else NOT_IDENTICAL


def _difference(found: TaskDifference) -> None:
    from intaglio.core.difference import in_words

    say(f"before  {found.before}")
    say(f"after   {found.after}")
    for output in found.outputs:
        say(f"  {output.step}: {output_words(output)}")
    for name, steps in (("before", found.only_before), ("after", found.only_after)):
        if steps:
            say(f"  only in {name}: {', '.join(steps)}")
    say(
        f"  first difference at {found.first_in_words}"
        if found.first
        else "  every node that both have came out the same"
    )
    for step in found.steps:
        if found.first is None or step.step != found.first.step:
            say(f"  also changed: {in_words(step)}")


def node_rows(steps: list[NodeRecord]) -> list[tuple[str, ...]]:
    """One row for each step: its seed and where it came from, how long it took, what it noted."""
    return [
        (
            step.step,
            step.type,
            f"seed {step.seed.value} ({step.seed.origin})" if step.seed else "",
            "reused" if step.reused_from else f"{step.seconds:.2f} s",
            "; ".join(step.notes),
        )
        for step in steps
    ]


def _ask(question: str, task: Task) -> Reason:
    from intaglio.core.task import Reason

    say()
    say(f"Task {task.id} is done. {question}", keep="\n")
    say(f"(Ctrl-C leaves it without a version; intaglio versions save {task.id} makes it one later.)")
    annotation = click.prompt("Annotation (empty to go without)", default="", show_default=False).strip()
    if not annotation:
        click.confirm("Save the version without a reason?", abort=True)
        return Reason(none=True)
    label = click.prompt("Label", default="", show_default=False).strip()
    return Reason(label=label, annotation=annotation)


def _ended(studio: Studio, task: Task, files: list[Path]) -> None:
    _words(studio, task, studio.tasks.show(task.id).steps)
    for file in files:
        say(f"wrote   {file}")


def _words(studio: Studio, task: Task, steps: list[NodeRecord]) -> None:
    say(f"task    {task.id}  {task.status}  {task.workflow.name} @{task.workflow.version}")
    if task.error:
        say(f"        {task.error.message}")
        say(f"        {task.error.hint}")
    table(node_rows(steps), "  ")
    if task.version:
        _, version = studio.versions.find(task.version)
        say(f"version {version.workflow.name}/{version.name}  {version.annotation or '(without annotation)'}")
    if task.snapshot:
        for output in studio.tasks.snapshot(task.id).outputs:
            say(f"output  {output.step}  {output.asset}")


def _row(task: Task) -> tuple[str, ...]:
    what = "reproduce" if task.purpose == "reproduce" else "run"
    return (task.id, task.status, what, f"{task.workflow.name} @{task.workflow.version}", short(task.snapshot))
