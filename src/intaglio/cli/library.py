"""intaglio init, intaglio library ..."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from intaglio.cli.app import NOT_IDENTICAL, App, common, counting, say, say_json, short, size, table, watching

if TYPE_CHECKING:
    from intaglio.core.journal import Notice
    from intaglio.studio.heal import Healing

NOT_TRIED = 4


@click.command()
@click.argument("folder", default=".")
@common
def init(app: App, folder: str) -> None:
    """Make a library in FOLDER (here, when left out). One that is there already is left as it is."""
    from intaglio.studio.open import init as make

    with make(folder) as studio:
        root = str(studio.root)
    app.show({"library": root}, lambda: say(f"library {root}"))


@click.group()
def library() -> None:
    """Check and tidy the library."""


@library.command()
@common
def check(app: App) -> int:
    """Verify every record and every byte. Exit code 4 when something is broken."""
    with app.open() as studio, counting("checking", str) as progress:
        found = studio.library.check(progress=progress)

    def words() -> None:
        say(f"{found.records} records, {found.blobs} files ({size(found.size)}) read and verified")
        for problem in found.problems:
            hit = f"; hits {', '.join(problem.versions)}" if problem.versions else ""
            say(f"  {problem.kind} {problem.id}: {problem.message}{hit}")
        count = len(found.problems)
        say(f"{count} {'problem' if count == 1 else 'problems'}" if count else "nothing is broken")

    app.show(found, words)
    return 4 if found.problems else 0


@library.command()
@click.argument("what", nargs=-1, metavar="[DIGEST|VERSION]...")
@click.option("--dry-run", is_flag=True, help="Only say what is lost, and whether it could be made again.")
@common
def heal(app: App, what: tuple[str, ...], dry_run: bool) -> int:
    """Make lost and damaged files again from the record of what made them.

    One is accepted only if the very same bytes come out. Exit code 10 when other bytes did, 4 when something could not
    be tried.
    """
    with app.open() as studio:
        with counting("reading", str) as progress:
            lost = studio.library.lost(what, progress=progress)
        with watching() as watch:
            found = studio.library.heal(lost, dry_run=dry_run, watch=watch) if lost else []

    def words() -> None:
        for one in found:
            _healing(one)
        healed = sum(one.outcome == "healed" for one in found)
        say(f"{healed} of {len(found)} healed" if found else "nothing is lost or damaged")

    app.show(found, words)
    outcomes = {one.outcome for one in found}
    if outcomes & {"impossible", "failed"}:
        return NOT_TRIED
    return NOT_IDENTICAL if "different" in outcomes else 0


def _healing(one: Healing) -> None:
    say(f"{short(one.asset)}  {one.outcome}  {', '.join(one.versions)}".rstrip())
    say(f"  {one.message}")
    if one.difference is not None:
        say(
            f"  against the damaged picture: largest difference {one.difference.max_difference}/255, "
            f"mean {one.difference.mean_difference:.4f}, SSIM {one.difference.ssim:.4f}"
        )
    if one.hint:
        say(f"  {one.hint}")
    if one.task:
        say(f"  task {one.task}")
    if one.set_aside:
        say(f"  the damaged file is now {one.set_aside}")


@library.command()
@click.option("--dry-run", is_flag=True, help="Only list what nothing refers to.")
@common
def gc(app: App, dry_run: bool) -> None:
    """Move files that nothing refers to into quarantine; they stay there for 30 days."""
    with app.open() as studio:
        found = studio.library.gc(dry_run=dry_run)

    def words() -> None:
        table([(short(digest), size(count)) for digest, count in found.blobs], "  ")
        total = size(sum(count for _, count in found.blobs))
        what = "that nothing refers to" if dry_run else "moved to quarantine"
        say(f"{len(found.blobs)} files ({total}) {what}")
        if not dry_run:
            say(f"{found.temporary} stale temporary files and {found.purged} old quarantined files removed")
            if found.laid_out:
                say(f"{found.laid_out} kept models no longer laid out as files; their content is kept")

    app.show(found, words)


@library.command()
@click.option("--after", type=click.IntRange(0), metavar="N", help="Only lines above this number; else the first ones.")
@click.option("--limit", type=click.IntRange(1, 1000), help="How many lines at most; 100 when left out.")
@click.option("--subject", default="", metavar="ID", help="Only of this task, version, workflow, variation or job.")
@click.option("--what", multiple=True, metavar="WORD", help="Only words that begin so, as in task. or version.made.")
@click.option("--follow", is_flag=True, help="Then each new one as it is written; without --after, only those.")
@common
def journal(app: App, after: int | None, limit: int | None, subject: str, what: tuple[str, ...], follow: bool) -> None:
    """All that happened in the library, in order. With --follow and --json, one JSON object a line."""
    from itertools import islice

    from intaglio.core.record import plain

    with app.open() as studio:
        if not follow:
            found = studio.library.journal(after=after or 0, limit=limit or 100, subject=subject, what=what)
            app.show(found, lambda: _lines(found))
            return
        for notice in islice(studio.library.follow(after=after, subject=subject, what=what), limit):
            if app.as_json:
                say_json(plain(notice))
            else:
                _lines([notice])


def _lines(notices: Iterable[Notice]) -> None:
    for notice in notices:
        say(f"{notice.number:6}  {notice.time[:19]}Z  {notice.what:16}  {notice.subject}")
