"""intaglio jobs ..."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from intaglio.cli.app import App, common, say, table
from intaglio.cli.queue import NOT_DONE

if TYPE_CHECKING:
    from intaglio.core.job import Job

STATUSES = ("queued", "running", "done", "failed", "cancelled", "interrupted")


@click.group()
def jobs() -> None:
    """Calls that take long, carried out by a worker."""


@jobs.command("list")
@click.option("--limit", default=20, type=click.IntRange(1, 1000), help="How many.")
@click.option("--before", metavar="ID", help="Only jobs older than this one.")
@click.option("--status", type=click.Choice(STATUSES), help="Only jobs in this state.")
@common
def list_(app: App, limit: int, before: str | None, status: Any) -> None:
    """The newest jobs."""
    with app.open() as studio:
        found = studio.jobs.list(limit=limit, before=before, status=status)
    app.show(found, lambda: table([(job.id, job.status, job.verb, job.author) for job in found]))


@jobs.command()
@click.argument("job")
@common
def show(app: App, job: str) -> None:
    """A job: what was called, how it stands, and what it gave or why it failed."""
    with app.open() as studio:
        found = studio.jobs.get(job)
    app.show(found, lambda: _words(found))


@jobs.command()
@click.argument("job")
@common
def cancel(app: App, job: str) -> None:
    """Ask a running job, and what it runs, to stop, or cancel one that waits; what it finished is kept."""
    with app.open() as studio:
        found = studio.jobs.cancel(job)
    stopped = "is asked to stop" if found.status == "running" else "is cancelled"
    app.show(found, lambda: say(f"job {found.id} {stopped}"))


@jobs.command()
@click.argument("job")
@common
def retry(app: App, job: str) -> None:
    """Put an interrupted, failed or cancelled job in the queue again."""
    with app.open() as studio:
        found = studio.jobs.retry(job)
    app.show(found, lambda: say(f"job {found.id} is in the queue again"))


@jobs.command()
@click.argument("job")
@click.option("--timeout", default=60.0, show_default=True, type=click.FloatRange(0, 86400), help="Seconds to wait.")
@common
def wait(app: App, job: str, timeout: float) -> int:
    """Wait until JOB has ended. Exit code 1 when it failed, or has not ended."""
    with app.open() as studio:
        found = studio.jobs.wait(job, timeout=timeout)
    app.show(found, lambda: _words(found))
    return 0 if found.status == "done" else NOT_DONE


def _words(job: Job) -> None:
    say(f"job     {job.id}  {job.status}  {job.verb}")
    for name, value in job.arguments.items():
        say(f"  {name}  {json.dumps(value, ensure_ascii=False)}")
    if job.error:
        say(f"        {job.error.message}")
        say(f"        {job.error.hint}")
    if job.result is not None:
        say("        See what it gave with --json.")
