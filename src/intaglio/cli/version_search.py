"""intaglio versions list, find, reindex"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from intaglio.cli.app import App, common, counting, say, short, table

if TYPE_CHECKING:
    from intaglio.core.version import Standing, Version
    from intaglio.studio.similar import Match


@click.command("list")
@click.argument("query", nargs=-1)
@click.option("--workflow", help="Only versions of this workflow.")
@click.option("--limit", default=20, type=click.IntRange(1, 1000), help="How many.")
@click.option("--before", metavar="DIGEST", help="Only versions older than this one.")
@common
def list_(app: App, query: tuple[str, ...], workflow: str | None, limit: int, before: str | None) -> None:
    """The newest versions, or the newest that QUERY holds for. Quote it, because of < and >.

    \b
      'blue hour*'  "blue hour"  -dull     words in prompt, annotation, label, comments, tags
      cfg>7  steps<=20  base.guidance:4    parameters; seed:42  grain.seed:7
      model:tiny*  model:3fa9c2            by name or the beginning of any hash
      approved  rejected  annotated  archived  legacy
      tag:hero  label:warm*  branch:B-*  by:Ada  task:20260612  version:v3
      after:2026-06  before:2026-07  on:2026-06-12
      grade:full  reproduced:identical     what came of the last reproduction
      a b (both)   a OR b   -a (not)   * any characters   ? one
    """
    with app.open() as studio:
        text = " ".join(query)
        if text.strip():
            found = studio.versions.search(text, workflow=workflow, limit=limit, before=before)
        else:
            found = studio.versions.list(workflow=workflow, limit=limit, before=before)
        now = studio.versions.standings(digest for digest, _ in found)
    record = [{"digest": digest, "version": version, "standing": now[digest]} for digest, version in found]
    app.show(record, lambda: table([_row(digest, version, now[digest]) for digest, version in found]))


def _row(digest: str, version: Version, now: Standing) -> tuple[str, ...]:
    marks = " ".join((now.approval, *(f"#{tag}" for tag in now.tags))).strip()
    said = " / ".join(each for each in (version.annotation, *(one.note for one in now.annotations)) if each)
    name = f"{version.workflow.name}/{version.name}"
    return (name, version.created[:19], version.author, short(digest), marks or "-", said or "(without annotation)")


@click.command()
@click.argument("file", metavar="FILE")
@common
def find(app: App, file: str) -> None:
    """The versions that FILE is an output of, and those it only looks like: a picture that went through a chat."""
    with app.open() as studio, counting("comparing pictures", str) as progress:
        found = studio.versions.matches(file, progress=progress)

    def words() -> None:
        if not found.found:
            say("no version has this picture, nor one that looks like it")
        table([_match_row(match) for match in found.found])

    record = [
        {"match": each.how, "bits": each.bits, "digest": each.digest, "version": each.version} for each in found.found
    ]
    app.show(record, words)


def _match_row(match: Match) -> tuple[str, ...]:
    far = (
        f"{match.bits} of 64 bits differ, colours {match.colours:g} of 255 apart"
        if match.how == "similar"
        else "its own"
    )
    version = match.version
    said = version.annotation or "(without annotation)"
    return (match.how, match.name, far, version.created[:19], short(match.digest), said)


@click.command()
@common
def reindex(app: App) -> None:
    """Make what versions are found by again, from their records and pictures."""
    with app.open() as studio, counting("comparing pictures", str) as progress:
        count = studio.versions.reindex(progress=progress)
    app.show({"versions": count}, lambda: say(f"{count} version{'' if count == 1 else 's'} can be found again"))


SEARCH_COMMANDS = (list_, find, reindex)
