"""intaglio tasks ..."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intaglio.cli.app import NOT_IDENTICAL, App, common, say, short, table
from intaglio.cli.approval import pin
from intaglio.cli.asking import ask as ask_here
from intaglio.cli.asking import can_ask, fields_of, reason_options, say_waiting, signed, watching_and_asking
from intaglio.cli.fidelity import output_words
from intaglio.cli.queue import move, queue, retry, submit, wait
from intaglio.core.errors import NotFound
from intaglio.core.record import plain

if TYPE_CHECKING:
    from intaglio.core.attempt import Attempt
    from intaglio.core.progress import Progress
    from intaglio.core.task import NodeRecord, Task
    from intaglio.studio.annotating import Waiting
    from intaglio.studio.diff import TaskDifference
    from intaglio.studio.open import Studio

STATUSES = ("queued", "running", "waiting", "done", "failed", "cancelled", "interrupted")


@click.group()
def tasks() -> None:
    """Runs of workflows."""


@tasks.command()
@click.argument("workflow")
@click.option("--set", "settings", multiple=True, metavar="NODE.PARAM=VALUE", help="Change a parameter, seed or count.")
@click.option("--mode", type=click.Choice(["discovery", "production"]), help="In this mode, for this run only.")
@reason_options
@click.option("--to", "folder", metavar="DIR", help="Also export the version's pictures and records into DIR.")
@click.option("--no-reuse", is_flag=True, help="Run every node, even one whose result is already there.")
@click.option("--paranoid", is_flag=True, help="Read every byte of the models again before using them.")
@common
def run(
    app: App,
    workflow: str,
    settings: tuple[str, ...],
    mode: Any,
    label: str,
    annotation: str,
    no_annotation: bool,
    fields: tuple[str, ...],
    folder: str | None,
    no_reuse: bool,
    paranoid: bool,
) -> None:
    """Run WORKFLOW: a file, or the NAME (or NAME@VERSION) of one in the library.

    With a form or Version Record in it, it is final once its annotation is given: here, when it asks, or by tasks
    annotate.
    """
    with app.open() as studio:
        with watching_and_asking(app) as (watch, ask):
            task = studio.tasks.run(
                workflow,
                set=settings,
                mode=mode,
                label=label,
                annotation=annotation,
                no_annotation=no_annotation,
                fields=fields_of(fields),
                ask=ask,
                watch=watch,
                reuse=not no_reuse,
                paranoid=paranoid,
            )
        if folder and not task.version:
            wait = studio.tasks.waits_for(task.id)
            way_on = f"first: {wait.way_on}, then: intaglio versions export {task.id}" if wait else "give --annotation."
            raise NotFound("version", task.id, hint=f"Only a run that became a version is exported; {way_on}")
        files = []
        if folder:
            files = studio.versions.export(task.version, folder, told=lambda text: say(text, err=True))
        _show(app, studio, task, files)


for command in (pin, submit, retry, wait, queue, move):
    tasks.add_command(command)


@tasks.command("list")
@click.option("--limit", default=20, type=click.IntRange(1, 1000), help="How many.")
@click.option("--before", metavar="ID", help="Only tasks older than this one.")
@click.option("--status", type=click.Choice(STATUSES), help="Only tasks in this state.")
@click.option("--since", default="", metavar="DATE", help="Only tasks of this day, month or year (UTC), and later.")
@click.option("--until", default="", metavar="DATE", help="Only tasks of this day, month or year, and earlier.")
@common
def list_(app: App, limit: int, before: str | None, status: Any, since: str, until: str) -> None:
    """The newest tasks."""
    with app.open() as studio:
        found = studio.tasks.list(limit=limit, before=before, status=status, since=since, until=until)
    app.show(found, lambda: table([_row(task) for task in found]))


@tasks.command()
@click.argument("task")
@common
def show(app: App, task: str) -> None:
    """A task, its nodes with their executed seeds, and its log."""
    with app.open() as studio:
        view = studio.tasks.show(task)
        record = {
            "task": view.task,
            "plan": view.plan,
            "nodes": view.steps,
            "events": view.events,
            "waits_for": view.waits_for,
            "progress": view.progress,
            "attempts": view.attempts,
        }

        def words() -> None:
            _words(studio, view.task, view.steps, view.waits_for)
            table([_attempt_row(attempt) for attempt in view.attempts[:-1]])
            if view.progress:
                say(f"now     {_how_far(view.progress)}")

        app.show(record, words)


@tasks.command()
@click.argument("task")
@reason_options
@signed
@common
def annotate(
    app: App, task: str, label: str, annotation: str, no_annotation: bool, fields: tuple[str, ...], author: str
) -> None:
    """Give a waiting TASK its annotation, and what else its form asks for: it becomes a version and is done."""
    with app.open() as studio:
        done = studio.tasks.annotate(
            task,
            label=label,
            annotation=annotation,
            no_annotation=no_annotation,
            fields=fields_of(fields),
            author=author,
            ask=ask_here if can_ask(app) else None,
        )
        _show(app, studio, done, [])


@tasks.command()
@click.argument("task")
@common
def resume(app: App, task: str) -> None:
    """Take up an interrupted, failed or cancelled task; its drawn seeds stay, finished nodes are not run again."""
    with app.open() as studio:
        with watching_and_asking(app) as (watch, ask):
            done = studio.tasks.resume(task, watch=watch, ask=ask)
        _show(app, studio, done, [])


@tasks.command()
@click.argument("task")
@common
def cancel(app: App, task: str) -> None:
    """Ask a running task to stop, or cancel one that waits; what it finished is kept."""
    with app.open() as studio:
        found = studio.tasks.cancel(task)
    stopped = "is asked to stop" if found.status == "running" else "is cancelled; what it finished is kept"
    app.show(found, lambda: say(f"task {found.id} {stopped}"))


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


def _show(app: App, studio: Studio, task: Task, files: list[Path]) -> None:
    """A task as it ended: final, or waiting."""
    view = studio.tasks.show(task.id)
    record = {**plain(task), "waits_for": plain(view.waits_for)} if view.waits_for else task

    def words() -> None:
        _words(studio, task, view.steps, view.waits_for)
        for file in files:
            say(f"wrote   {file}")

    app.show(record, words)


def _words(studio: Studio, task: Task, steps: list[NodeRecord], waiting: Waiting | None) -> None:
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
    if waiting:
        say_waiting(waiting)


def _attempt_row(attempt: Attempt) -> tuple[str, ...]:
    """An attempt that was not the last: when it began, how it ended and why."""
    why = attempt.error.message if attempt.error else ""
    return ("attempt", str(attempt.number), attempt.started[:19], attempt.how, why)


def _how_far(progress: Progress) -> str:
    return f"{progress.step}  {progress.done} of {progress.total}" if progress.total else progress.step


def _row(task: Task) -> tuple[str, ...]:
    return (task.id, task.status, task.purpose, f"{task.workflow.name} @{task.workflow.version}", short(task.snapshot))
