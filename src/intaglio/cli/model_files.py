"""intaglio models scan, watch, hash, find, allow: model files on a disk, and the names other tools have for them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from intaglio.cli.app import App, common, is_terminal, say, say_json, short, size, spelled_out, table
from intaglio.core.errors import Cancelled, NotFound, Unavailable

if TYPE_CHECKING:
    from intaglio.core.model import ModelPlace
    from intaglio.studio.scan import Finding, Scanned
    from intaglio.studio.search import Found

_LEAST_PRIORITY = 19
_PAUSE_S = 5.0
_SCAN = "Index what you have with: intaglio models scan DIR"
# Columns are no wider, and longer paths (the system opens some of 4095 characters) are cut in the middle.
_MOST = 40
_LONGEST_PATH = 300
no_background = click.option(
    "--no-background", is_flag=True, help="Leave the hashes of other tools to: intaglio models hash"
)


@click.command()
@click.argument("folders", nargs=-1, metavar="[DIR]...")
@no_background
@common
def scan(app: App, folders: tuple[str, ...], no_background: bool) -> None:
    """Index the models in folders: files of weights, and pipeline folders, however deep they lie.

    Without DIR, in those that INTAGLIO_MODELS names.
    New models get a name from their file; moved ones keep theirs; replaced, gone, unsafe and broken files are listed.
    Stop it at any time: what was read is kept, and not read again. SHA-256, AutoV1 to AutoV3 and the tensor digest are
    computed afterwards by a process of their own.
    """
    with app.open() as studio:
        with _stoppable("scanning") as progress:
            found = studio.models.scan(*folders, progress=progress)
        if found.pending and not no_background:
            start_hashing(app)
    app.show(found, lambda: _scanned(found))


@click.command()
@click.argument("folders", nargs=-1, metavar="[DIR]...")
@click.option("--settle", default=2.0, show_default=True, type=click.FloatRange(0.1, 3600), help="Seconds of rest.")
@no_background
@common
def watch(app: App, folders: tuple[str, ...], settle: float, no_background: bool) -> None:
    """Scan folders, then keep the index true while files come, go and change; a line for each. Ctrl-C ends it.

    Without DIR, the folders that INTAGLIO_MODELS names.
    A file is looked at when it did not change for --settle seconds, so that no half copy is indexed. What is behind a
    link to a folder is seen by the next scan. With --json, one JSON object a line.
    """
    from intaglio.core.record import plain

    started = 0.0
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts what is in the background with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with app.open() as studio:
        try:
            for finding in studio.models.watch(*folders, settle_s=settle):
                if app.as_json:
                    say_json(plain(finding))
                else:
                    say("  ".join(filter(None, (*_words(finding), _about(finding)))))
                if not no_background and time.monotonic() - started > _PAUSE_S:
                    started = time.monotonic()
                    start_hashing(app)
        except KeyboardInterrupt:
            if started:
                start_hashing(app)


@click.command("hash")
@click.option("--background", is_flag=True, help="Give way to everything else, and to another that does it already.")
@common
def hash_(app: App, background: bool) -> None:
    """Compute SHA-256, AutoV1, AutoV2, AutoV3 and the tensor digest of indexed files that lack them.

    One pass over each file, the smallest first; what is finished is kept when it is stopped.
    """
    if background:
        os.nice(_LEAST_PRIORITY)
    with app.open() as studio, _stoppable("hashing") as progress:
        try:
            done = studio.models.hash_pending(progress)
        except Unavailable:
            if background:
                return
            raise

    def words() -> None:
        say(f"{done.files} {'file' if done.files == 1 else 'files'} hashed, {size(done.size)}")
        table([("not read", path, why) for path, why in done.failed])

    app.show(done, words)


@click.command()
@click.argument("text")
@common
def find(app: App, text: str) -> None:
    """Which file is that? TEXT is a name, a file's name, or six or more digits of a hash.

    BLAKE3, SHA-256, AutoV1, AutoV2, AutoV3 and the tensor digest are known; sha256:... and the like say which one.
    """
    with app.open() as studio:
        found = studio.models.search(text)
    if not found.matches:
        raise NotFound("model", text, hint=found.hint or _pending(found) or _SCAN)
    app.show(found, lambda: _found(found))


@click.command()
@click.argument("digest")
@click.option("--name", required=True, help="What workflows call it.")
@click.option("--version", "label", default="", help="Version label; else v1, v2, ...")
@click.option(
    "--config", default="", metavar="DIR", help="Pipeline folder that says how a single file is put together."
)
@common
def allow(app: App, digest: str, name: str, label: str, config: str) -> None:
    """Allow one indexed pickle file, by its whole digest, to be loaded although it can run code."""
    with app.open() as studio:
        model = studio.models.allow(digest, name=name, version=label, config=config)
    app.show(model, lambda: say(f"{model.name}:{model.version}  allowed: {model.digest}"))


def start_hashing(app: App) -> None:
    """Start a process that computes what is pending, and lives on when this one ends; a server sees to its own."""
    if app.behind()[0]:
        return
    with app.open() as studio:
        root = studio.root
    if not os.access(root, os.W_OK):
        return
    sys.stdout.flush()
    nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    words = [sys.executable, "-m", "intaglio", "--library", str(root), "models", "hash", "--background"]
    os.posix_spawn(sys.executable, words, os.environ, file_actions=nowhere, setsid=True)


@contextmanager
def _stoppable(what: str) -> Iterator[Callable[[int, int, int, int], None] | None]:
    """Progress in files and bytes on a terminal; Ctrl-C says that what was done is kept."""
    try:
        if not is_terminal(sys.stderr):
            yield None
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.fields[shown]}"))
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(what, total=None, shown="")

            def move(files: int, of_files: int, done: int, total: int) -> None:
                shown = f"{files} of {of_files} files, {size(done)} of {size(total)}"
                bars.update(task, completed=done, total=total, shown=shown)

            yield move
    except KeyboardInterrupt as error:
        raise Cancelled("stopped", hint="What was read is kept; run it again to go on.") from error


def _scanned(found: Scanned) -> None:
    rows = [tuple(spelled_out(word) for word in _words(finding)) for finding in found.findings]
    widths = [min(_MOST, max(map(len, words))) for words in zip(*rows, strict=True)]
    for row, finding in zip(rows, found.findings, strict=True):
        cells = (word.ljust(width) for word, width in zip(row, widths, strict=True))
        say("  ".join((*cells, _about(finding))))
    counts = ", ".join(f"{count} {status}" for status, count in found.counts.items())
    say(f"{counts or 'no models'}; {size(found.size)}")
    if found.pending:
        files = "1 file" if found.pending == 1 else f"{found.pending} files"
        say(f"  the hashes of other tools are still to come for {files}")


def _words(finding: Finding) -> tuple[str, str, str]:
    """The short columns: what happened, which model it is, and its kind."""
    tells = finding.status not in ("unknown", "broken", "busy") and not finding.what.startswith("broken: ")
    return (finding.status, finding.model, finding.what if tells else "")


def _about(finding: Finding) -> str:
    """The path, and all there is to say about it."""
    notes = [finding.note]
    if finding.status == "refused" and finding.what == "unsafe: pickle":
        notes.append(f"to trust it: intaglio models allow {finding.digest} --name NAME")
    if finding.status == "moved":
        notes.append(f"from {finding.was}")
    elif finding.was:
        seen = f"seen from {finding.first_seen[:19]} to {finding.last_seen[:19]}"
        notes.append(f"{short(finding.was)} -> {short(finding.digest)}, {seen}")
    if finding.versions:
        more = f" and {len(finding.versions) - 5} more" if len(finding.versions) > 5 else ""
        notes.append(f"made with what is not there any more: {', '.join(finding.versions[:5])}{more}")
    path = finding.path
    if len(path) > _LONGEST_PATH:
        path = f"{path[: _LONGEST_PATH // 2]}...{path[-_LONGEST_PATH // 2 :]}"
    return ": ".join(filter(None, (path, "; ".join(filter(None, notes)))))


def _found(found: Found) -> None:
    for match in found.matches:
        say(f"{', '.join(match.models) or 'no model of a name'}  {match.digest}  (by its {match.how})")
        if match.part:
            say(f"  its file {match.part}")
        table([_place(place) for place in match.places], "  ")
    if found.pending:
        say(_pending(found))


def _place(place: ModelPlace) -> tuple[str, ...]:
    when = f"gone since {place.gone[:19]}" if place.gone else ""
    return (place.path, place.what, size(place.size), when)


def _pending(found: Found) -> str:
    if not found.pending:
        return ""
    return f"{found.pending} files still wait for the hashes of other tools: intaglio models hash"
