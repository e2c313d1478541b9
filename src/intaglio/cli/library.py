"""intaglio init, intaglio library ..."""

from __future__ import annotations

import click

from intaglio.cli.app import App, common, counting, say, short, size, table


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
        say(f"{len(found.problems)} problems" if found.problems else "nothing is broken")

    app.show(found, words)
    return 4 if found.problems else 0


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

    app.show(found, words)
