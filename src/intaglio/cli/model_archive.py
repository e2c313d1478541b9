"""intaglio models keep, restore, impact, rm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from intaglio.cli.app import App, common, counting, say, short, size, table

if TYPE_CHECKING:
    from intaglio.studio.archive import Archived, Restored
    from intaglio.studio.impact import Impact

_SHARED = (
    "  Its bytes are shared with your file: deleting or replacing that file does no harm, but writing into it damages "
    "the kept copy too (which is then noticed and never used)."
)


@click.command()
@click.argument("model")
@click.option("--copy", is_flag=True, help="Copy every byte, even where the disk could share them.")
@common
def keep(app: App, model: str, copy: bool) -> None:
    """Keep a model's content in the library, so that it can be restored when its file is gone or changed.

    MODEL is NAME, NAME:VERSION or a digest. The file stays as it is. Where the disk can share its bytes (reflink, hard
    link) they take no space; else they are copied.
    """
    with app.open() as studio, counting("keeping", size) as progress:
        kept = studio.models.keep(model, copy=copy, progress=progress)

    def words() -> None:
        every = [kept, *([kept.config] if kept.config else [])]
        for one in every:
            _kept(one)
        if any(one.kept.how == "hard link" for one in every):
            say(_SHARED)
            say(f"  A copy with bytes of its own: intaglio models keep {kept.model.name}:{kept.model.version} --copy")

    app.show(kept, words)


def _kept(kept: Archived) -> None:
    name = f"{kept.model.name}:{kept.model.version}"
    count = len(kept.kept.files) or 1
    ways = {"reflink": "as a reflink", "hard link": "as a hard link", "copy": "as a copy"}
    say(
        f"{name} is kept{' already' if kept.already else ''}: {size(kept.kept.size)} in "
        f"{count} {'file' if count == 1 else 'files'}, {ways[kept.kept.how]}  {short(kept.kept.digest)}"
    )


@click.command()
@click.argument("model")
@click.option(
    "--to", default="", metavar="PATH", help="Where to; else where it was. From then on it is looked for there."
)
@click.option("--replace", is_flag=True, help="Set what is there now aside as NAME.replaced-DATE; nothing is deleted.")
@common
def restore(app: App, model: str, to: str, replace: bool) -> None:
    """Bring a kept model back to where it was. MODEL is NAME, NAME:VERSION or a digest."""
    with app.open() as studio, counting("restoring", size) as progress:
        done = studio.models.restore(model, to=to, replace=replace, progress=progress)
    app.show(done, lambda: _restored(done))


def _restored(done: Restored) -> None:
    name = f"{done.model.name}:{done.model.version}"
    if done.how:
        say(f"{name} is back at {done.path}  {short(done.model.digest)}")
    else:
        say(f"{name} is at {done.path}, unchanged; nothing was to be done")
    if done.aside:
        say(f"  what was there is now {done.aside}")
    if done.config:
        _restored(done.config)


@click.command()
@click.argument("model")
@common
def impact(app: App, model: str) -> None:
    """Say which versions were made with a model, and how their grades would fall if its file were lost.

    MODEL is NAME (the newest), NAME:VERSION or a digest. Nothing is changed.
    """
    with app.open() as studio:
        found = studio.library.impact(model)
    app.show(_record(found), lambda: _impact(found))


@click.command()
@click.argument("model")
@click.option("--dry-run", is_flag=True, help="Only say what would fall.")
@click.option("--yes", is_flag=True, help="Remove it although grades fall.")
@common
def rm(app: App, model: str, dry_run: bool, yes: bool) -> None:
    """Take a model out of the library; its file stays. What was kept of it goes with the next library gc.

    MODEL is NAME (when it has one version), NAME:VERSION or a digest. Versions made with it stay readable.
    """
    with app.open() as studio:
        found = studio.library.impact(model, removed=True)
        if not app.as_json:
            _impact(found)
        if not dry_run:
            studio.library.remove_model(model, agreed=yes)
    name = f"{found.model.name}:{found.model.version}"
    record = {**_record(found), "removed": not dry_run}
    app.show(
        record, lambda: say("nothing was changed" if dry_run else f"{name} is removed; {found.path} stays as it is")
    )


def _record(found: Impact) -> dict[str, Any]:
    """What would follow, as JSON values with its totals."""
    return {
        "model": found.model.ref,
        "path": found.path,
        "kept": found.kept,
        "case": "removed from the library" if found.removed else "file lost",
        "instead": found.instead,
        "versions": found.versions,
        "made_with_it": len(found.versions),
        "would_fall": len(found.falling),
    }


def _impact(found: Impact) -> None:
    name = f"{found.model.name}:{found.model.version}"
    what = f"{name} were removed from the library" if found.removed else f"{found.path} were deleted or changed"
    rows = [("model", f"{name}  {found.model.model_kind}, {size(found.model.size)}  {short(found.model.digest)}")]
    rows += [("file", found.path), ("kept", "yes" if found.kept else "no")]
    table(rows)
    if not found.versions:
        say(f"no version was made with it; if {what}, nothing would be lost")
        return
    say(f"if {what}" + (f" ({found.instead} would stand in):" if found.instead else ":"))
    with_kept = " (kept)" if found.kept and not found.removed else ""
    table(
        [
            (
                f"{hit.version} (approved)" if hit.approved else hit.version,
                f"{hit.now} -> {hit.then}{with_kept}",
                ", ".join(hit.steps[:3]) + (", ..." if len(hit.steps) > 3 else ""),
                hit.annotation or "(without annotation)",
            )
            for hit in found.versions
        ],
        "  ",
    )
    count = len(found.versions)
    say(f"{count} {'version' if count == 1 else 'versions'} made with it, {len(found.falling)} would fall")
    if found.falling and not found.removed:
        say(f"  Keep its content: intaglio models keep {name}")
