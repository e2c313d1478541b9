"""intaglio versions annotate, comment, tag, reject, legacy: what people say of a version later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from intaglio.cli.app import App, common, table
from intaglio.cli.asking import signed
from intaglio.core.version import ANNOTATION, APPROVED, COMMENT, LEGACY, REJECTED, TAG, Standing

if TYPE_CHECKING:
    from intaglio.core.version import Remark

NOTHING_SAID = Standing()


@click.command()
@click.argument("version")
@click.argument("text")
@signed
@common
def annotate(app: App, version: str, text: str, author: str) -> None:
    """Add TEXT to the annotation of a version; what it says already stays."""
    with app.open() as studio:
        remark = studio.versions.annotate(version, text, author=author)
    _said(app, remark)


@click.command()
@click.argument("version")
@click.argument("text")
@signed
@common
def comment(app: App, version: str, text: str, author: str) -> None:
    """Comment on a version."""
    with app.open() as studio:
        remark = studio.versions.comment(version, text, author=author)
    _said(app, remark)


@click.command()
@click.argument("version")
@click.argument("tags", nargs=-1, required=True)
@click.option("--remove", is_flag=True, help="Take these tags away.")
@signed
@common
def tag(app: App, version: str, tags: tuple[str, ...], remove: bool, author: str) -> None:
    """Give a version TAGS, by which versions are found."""
    with app.open() as studio:
        remarks = studio.versions.tag(version, tags, holds=not remove, author=author)
    app.show(remarks, lambda: table([remark_row(remark) for remark in remarks]))


@click.command()
@click.argument("version")
@click.option("--note", default="", help="Why not.")
@click.option("--undo", is_flag=True, help="Take it back.")
@signed
@common
def reject(app: App, version: str, note: str, undo: bool, author: str) -> None:
    """Reject a version; it is kept, and so is what was said of it."""
    with app.open() as studio:
        remark = studio.versions.reject(version, note=note, holds=not undo, author=author)
    _said(app, remark)


@click.command()
@click.argument("version")
@click.option("--note", default="", help="What is known of the model that is gone.")
@click.option("--undo", is_flag=True, help="Take the mark back: the model is there again, or not needed.")
@signed
@common
def legacy(app: App, version: str, note: str, undo: bool, author: str) -> None:
    """Mark a version as needing a model that is no longer available; dated, signed, and taken back with --undo."""
    with app.open() as studio:
        remark = studio.versions.legacy(version, note=note, holds=not undo, author=author)
    _said(app, remark)


REMARK_COMMANDS = (annotate, comment, tag, reject, legacy)


def _said(app: App, remark: Remark) -> None:
    app.show(remark, lambda: table([remark_row(remark)]))


def standing_rows(now: Standing) -> list[tuple[str, str]]:
    """Approval and tags, as far as there are any."""
    rows = [("standing", f"{now.approval} by {now.by} on {now.when[:10]}")] if now.approval else []
    return rows + ([("tags", ", ".join(now.tags))] if now.tags else [])


def added_rows(now: Standing) -> list[tuple[str, str]]:
    """What was added to the annotation, oldest first."""
    return [("", f"{one.note}  ({one.author}, {one.created[:10]})") for one in now.annotations]


def remark_row(remark: Remark) -> tuple[str, str, str]:
    """When, who, and what was said."""
    said = {
        APPROVED: "approved it",
        REJECTED: "rejected it",
        TAG: f"tagged it {remark.value}",
        COMMENT: "commented",
        ANNOTATION: "added",
        LEGACY: f"marked {LEGACY}",
    }.get(remark.what, f"marked {remark.what}")
    took_back = {
        APPROVED: "took the approval back",
        REJECTED: "took the rejection back",
        TAG: f"took away the tag {remark.value}",
    }
    words = said if remark.holds else took_back.get(remark.what, f"no longer {said}")
    return (remark.created[:19], remark.author, f"{words}: {remark.note}" if remark.note else words)
