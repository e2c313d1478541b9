"""intaglio versions approve, rollback; intaglio tasks pin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from intaglio.cli.app import App, common, say, warn

if TYPE_CHECKING:
    from intaglio.core.workflow import Pin


@click.command()
@click.argument("version")
@click.option("--note", default="", help="Why it is the one.")
@click.option("--as", "author", default="", metavar="NAME", help="Who approves; else the author of the settings.")
@click.option("--no-pin", is_flag=True, help="Only say so; leave the workflow as it is.")
@common
def approve(app: App, version: str, note: str, author: str, no_pin: bool) -> None:
    """Approve a version: its seeds and models become pins of its workflow, which goes into production."""
    with app.open() as studio:
        done = studio.versions.approve(version, note=note, author=author, pin=not no_pin)
        pins = studio.workflows.show(f"{done.workflow.name}@{done.workflow.version}")[0].pins if done.workflow else {}

    def words() -> None:
        say(f"{done.version.workflow.name}/{done.version.name} is approved by {done.remark.author}")
        if done.workflow is None:
            return
        say(f"workflow {done.workflow.name} @{done.workflow.version} is in production, with these pins:")
        _pins(pins)
        if done.superseded:
            say(f"{done.superseded}, which was newer, says something else; it is kept, and no longer the newest")

    record = {"version": done.digest, "remark": done.remark, "workflow": done.workflow, "pins": pins}
    app.show({**record, "superseded": done.superseded}, words)


@click.command()
@click.argument("version")
@click.option("--label", default="", help="A word or two.")
@click.option("--annotation", default="", help="Why it is gone back to.")
@click.option("--no-annotation", is_flag=True, help="Go without a reason; that is recorded.")
@common
def rollback(app: App, version: str, label: str, annotation: str, no_annotation: bool) -> None:
    """Go back to an earlier version: the next version is what that was, and so is the workflow. Nothing is run."""
    with app.open() as studio:
        digest, made = studio.versions.roll_back(
            version,
            label=label,
            annotation=annotation,
            no_annotation=no_annotation,
            warn=lambda warning: warn(app, [warning]),
        )
        earlier = studio.versions.find(made.restores)[1]

    def words() -> None:
        say(f"{made.workflow.name}/{made.name} is what {earlier.name} was")
        say(f"workflow {made.workflow.name} @{made.workflow.version} is the newest; run it, or go on from there")

    app.show({"digest": digest, "version": made}, words)


@click.command()
@click.argument("task")
@common
def pin(app: App, task: str) -> None:
    """Lock the executed seeds and models of a task into its workflow as pins; its mode stays.

    They count in production: intaglio workflows mode NAME production
    """
    with app.open() as studio:
        done = studio.tasks.pin(task)

    def words() -> None:
        say(f"workflow {done.workflow.name} @{done.workflow.version} has these pins:")
        _pins(done.pins)
        for left in done.left:
            say(f"  not pinned: {left}")

    app.show({"workflow": done.workflow, "pins": done.pins, "left": done.left}, words)


def _pins(pins: Mapping[str, Pin]) -> None:
    for node, found in pins.items():
        words = [f"seed {found.seed}"] if found.seed else []
        words += [f"{name} {value[:19]}" for name, value in found.models.items()]
        words += [f"{name} {value[:34]}" for name, value in found.assets.items()]
        say(f"  {node}: {', '.join(words)}")
