"""What all commands share: the library they work on, how they print, how they show progress."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from intaglio.core.errors import Conflict, Invalid

if TYPE_CHECKING:
    from intaglio.studio.carry_out import Watch
    from intaglio.studio.drift import Warning
    from intaglio.studio.open import Studio

F = TypeVar("F", bound=Callable[..., Any])

# What a terminal obeys instead of showing it (control characters, marks that turn the direction of text), and half
# characters, which cannot be written out. Records and files may hold them; on the screen they are spelled out.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_MESSAGE_ENDS = 1000
# The exit code of a comparison that found a difference.
NOT_IDENTICAL = 10


@dataclass
class App:
    """The options every command has."""

    library: str | None = None
    as_json: bool = False
    server: str | None = None

    def open(self) -> Studio:
        """The library the user means: one here, or that of a server."""
        address, token = self.behind()
        if address:
            from intaglio.client.studio import connect

            return connect(address, token)
        from intaglio.studio.open import open_studio

        return open_studio(self.library)

    def behind(self) -> tuple[str, str]:
        """The address of the server whose library is meant, and the token for it; "" for a library here.

        Raises Conflict when both are named on the command line.
        """
        if self.server and self.library:
            raise Conflict("--library and --server are both given", hint="Give one of the two.")
        if self.library or not (self.server or "INTAGLIO_SERVER" in os.environ):
            return "", ""
        from intaglio.studio.settings import read_settings

        settings = read_settings(os.environ)
        return self.server or ("" if settings.library else settings.server), settings.token

    def show(self, value: Any, words: Callable[[], None]) -> None:
        """Print a record as JSON when that was asked for, else in words."""
        if self.as_json:
            from intaglio.core.record import plain

            say_json(plain(value), indent=2)
        else:
            words()


def common(command: F) -> F:
    """Add --library, --server and --json to a command, and hand it the App."""

    @click.option("--library", metavar="DIR", help="The library to work on.")
    @click.option("--server", metavar="URL", help="The server whose library to work on.")
    @click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
    @click.pass_context
    def wrapped(ctx: click.Context, /, library: str | None, server: str | None, as_json: bool, **options: Any) -> Any:
        app: App = ctx.obj
        _refuse_half_characters(ctx)
        app.library = library or app.library
        app.server = server or app.server
        app.as_json = as_json
        return ctx.invoke(command, app, **options)

    wrapped.__name__ = command.__name__
    wrapped.__doc__ = command.__doc__
    wrapped.__click_params__ = [  # type: ignore[attr-defined]  # where click keeps what its decorators declared
        *wrapped.__click_params__,  # type: ignore[attr-defined]
        *getattr(command, "__click_params__", []),
    ]
    return wrapped  # type: ignore[return-value]


def _refuse_half_characters(ctx: click.Context) -> None:
    """Words that are not text in this locale cannot be kept in a record; better said now than after the work."""
    for name, value in ctx.params.items():
        for word in value if isinstance(value, tuple) else (value,):
            if isinstance(word, str) and _broken(word):
                raise Invalid(
                    f"{name} is not UTF-8: {word[:120]!r}", hint="Write it in UTF-8; rename a file of such a name."
                )


def _broken(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def spelled_out(text: str, keep: str = "") -> str:
    """Text that a terminal shows and never obeys; characters in `keep` stay."""
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else found[0].encode("unicode-escape").decode(), text)


def say(text: str = "", *, err: bool = False, keep: str = "") -> None:
    """Print one line of words; what it holds cannot steer the terminal."""
    click.echo(_writable(spelled_out(text, keep), err), err=err)


def say_json(value: object, *, indent: int | None = None, err: bool = False) -> None:
    """Print JSON values; they are the same when read back, and cannot steer the terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    text = _UNSAFE.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)
    stream = sys.stderr if err else sys.stdout
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    click.echo(text, err=err)


def _writable(text: str, err: bool) -> str:
    """The text with what the stream's encoding lacks spelled out, as in a locale that knows only ASCII."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def table(rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Print rows in aligned columns."""
    if not rows:
        return
    rows = [[spelled_out(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say((indent + "  ".join(cells)).rstrip())


def short(digest: str) -> str:
    """A digest as people read it: its first 12 hexadecimal digits."""
    return digest[: len("blake3:") + 12] if digest else "-"


def size(count: int) -> str:
    """Bytes in words."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def say_error(code: str, message: str, hint: str, as_json: bool, grade: object = None) -> None:
    """One error on standard error, as words or as JSON."""
    if len(message) > 2 * _MESSAGE_ENDS:
        message = f"{message[:_MESSAGE_ENDS]} ... {message[-_MESSAGE_ENDS:]}"
    if as_json:
        from intaglio.core.record import plain

        facts: dict[str, object] = {"code": code, "message": message, "hint": hint}
        if grade is not None:
            facts["grade"] = plain(grade)
        say_json({"error": facts}, err=True)
        return
    click.echo(click.style("error: ", fg="red"), nl=False, err=True)
    say(message, err=True, keep="\n")
    if hint:
        say(f"  {hint}", err=True, keep="\n")


def warn(app: App, warnings: Sequence[Warning]) -> None:
    """Say on standard error what is to be known about a workflow, as words or as JSON, one line each."""
    for one in warnings:
        if app.as_json:
            say_json({"warning": asdict(one)}, err=True)
            continue
        click.echo(click.style("warning: ", fg="yellow"), nl=False, err=True)
        say(one.message, err=True)
        say(f"  {one.remedy}", err=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sits at a stream; a closed one is None."""
    return stream is not None and stream.isatty()


@contextmanager
def watching(app: App | None = None) -> Iterator[Watch]:
    """Follow a task on standard error: warnings, bars on a terminal, a line for each node elsewhere. Ctrl-C cancels."""
    import signal

    from intaglio.studio.carry_out import Watch

    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        # Once: the task ends cleanly at the next check. Twice: as usual.
        stopped.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        with _progress() as progress:
            yield Watch(
                progress=progress,
                cancelled=lambda: bool(stopped),
                warn=lambda warning: warn(app or App(), [warning]),
            )
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress() -> Iterator[Callable[[Any, int, int], None]]:
    if not is_terminal(sys.stderr):

        def line(step: Any, done: int, total: int) -> None:
            if (done, total) == (0, 0):
                say(f"  {step.id} ...", err=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        ids: dict[str, Any] = {}

        def move(step: Any, done: int, total: int) -> None:
            if step.id not in ids:
                ids[step.id] = bars.add_task(step.id, total=max(total, 1))
            if total:
                bars.update(ids[step.id], completed=done, total=total)

        yield move


@contextmanager
def counting(what: str, amount: Callable[[int], str]) -> Iterator[Callable[[int, int], None]]:
    """Progress of one long count on a terminal; silent elsewhere."""
    if not is_terminal(sys.stderr):
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.fields[shown]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=None, shown="")
        yield lambda done, total: bars.update(
            task, completed=done, total=total, shown=f"{amount(done)} of {amount(total)}"
        )
