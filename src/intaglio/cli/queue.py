"""intaglio tasks submit, retry, wait, queue, move: runs that a worker carries out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from intaglio.cli.app import App, common, say, table
from intaglio.cli.asking import fields_of, reason_options

if TYPE_CHECKING:
    from intaglio.core.task import Task
    from intaglio.studio.queueing import Place

# The exit code of a task that was waited for and has not ended, or ended badly.
NOT_DONE = 1


@click.command()
@click.argument("workflow")
@click.option("--set", "settings", multiple=True, metavar="NODE.PARAM=VALUE", help="Change a parameter, seed or count.")
@click.option("--mode", type=click.Choice(["discovery", "production"]), help="In this mode, for this run only.")
@reason_options
@click.option("--no-reuse", is_flag=True, help="Run every node, even one whose result is already there.")
@click.option("--paranoid", is_flag=True, help="Read every byte of the models again before using them.")
@common
def submit(
    app: App,
    workflow: str,
    settings: tuple[str, ...],
    mode: Any,
    label: str,
    annotation: str,
    no_annotation: bool,
    fields: tuple[str, ...],
    no_reuse: bool,
    paranoid: bool,
) -> None:
    """Put a run of WORKFLOW in the queue: a worker carries it out (intaglio worker, intaglio serve).

    With a form or Version Record in it, and no annotation yet, it waits for that in the end: tasks annotate.
    """
    with app.open() as studio:
        task = studio.tasks.submit(
            workflow,
            set=settings,
            mode=mode,
            label=label,
            annotation=annotation,
            no_annotation=no_annotation,
            fields=fields_of(fields),
            reuse=not no_reuse,
            paranoid=paranoid,
        )
    app.show(task, lambda: say(f"task {task.id} is in the queue"))


@click.command()
@click.argument("task")
@common
def retry(app: App, task: str) -> None:
    """Put an interrupted, failed or cancelled TASK in the queue again; its drawn seeds stay, finished nodes too."""
    with app.open() as studio:
        found = studio.tasks.retry(task)
    app.show(found, lambda: say(f"task {found.id} is in the queue again"))


@click.command()
@click.argument("task")
@click.option("--timeout", default=60.0, show_default=True, type=click.FloatRange(0, 86400), help="Seconds to wait.")
@common
def wait(app: App, task: str, timeout: float) -> int:
    """Wait until TASK has ended, or waits for its annotation. Exit code 1 when it failed, or has not ended."""
    with app.open() as studio:
        found = studio.tasks.wait(task, timeout=timeout)
    app.show(found, lambda: _say_end(found))
    return 0 if found.status in ("done", "waiting") else NOT_DONE


@click.command()
@click.option("--limit", default=20, type=click.IntRange(1, 1000), help="How many.")
@click.option("--before", metavar="ID", help="Only what comes after this one.")
@common
def queue(app: App, limit: int, before: str | None) -> None:
    """What waits for a worker or is with one, first to be taken first."""
    with app.open() as studio:
        found = studio.tasks.queue(limit=limit, before=before)
    app.show(found, lambda: table([_row(place) for place in found]))


@click.command()
@click.argument("task")
@click.option("--to", default=1, show_default=True, type=click.IntRange(1), help="The position; 1 is the front.")
@common
def move(app: App, task: str, to: int) -> None:
    """Put a TASK, or a job, that waits at another position of the queue."""
    with app.open() as studio:
        place = studio.tasks.move(task, to=to)
    app.show(place, lambda: say(f"{place.what} {place.id} is at position {place.position}"))


def _say_end(task: Task) -> None:
    say(f"task    {task.id}  {task.status}  {task.workflow.name} @{task.workflow.version}")
    if task.error:
        say(f"        {task.error.message}")
        say(f"        {task.error.hint}")


def _row(place: Place) -> tuple[str, ...]:
    what, status = "damaged", ""
    if place.task is not None:
        what, status = f"{place.task.workflow.name} @{place.task.workflow.version}", place.task.status
    elif place.job is not None:
        what, status = place.job.verb, place.job.status
    later = f"again at {place.not_before[11:19]}, tried {place.tries} times" if place.not_before else ""
    return (str(place.position), place.id, status, what, later)
