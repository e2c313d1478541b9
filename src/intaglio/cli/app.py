"""What all commands share: the library they work on, how they print, how they show progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from intaglio.studio.carry_out import Watch
    from intaglio.studio.open import Studio

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class App:
    """The options every command has."""

    library: str | None = None
    as_json: bool = False

    def open(self) -> Studio:
        """The library the user means."""
        from intaglio.studio.open import open_studio

        return open_studio(self.library)

    def show(self, value: Any, words: Callable[[], None]) -> None:
        """Print a record as JSON when that was asked for, else in words."""
        if self.as_json:
            from intaglio.core.record import plain

            click.echo(json.dumps(plain(value), ensure_ascii=False, indent=2))
        else:
            words()


def common(command: F) -> F:
    """Add --library and --json to a command, and hand it the App."""

    @click.option("--library", metavar="DIR", help="The library to work on.")
    @click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
    @click.pass_context
    def wrapped(ctx: click.Context, /, library: str | None, as_json: bool, **options: Any) -> Any:
        app: App = ctx.obj
        app.library = library or app.library
        app.as_json = as_json
        return ctx.invoke(command, app, **options)

    wrapped.__name__ = command.__name__
    wrapped.__doc__ = command.__doc__
    wrapped.__click_params__ = [  # type: ignore[attr-defined]  # where click keeps what its decorators declared
        *wrapped.__click_params__,  # type: ignore[attr-defined]
        *getattr(command, "__click_params__", []),
    ]
    return wrapped  # type: ignore[return-value]


def table(rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Print rows in aligned columns."""
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo((indent + "  ".join(cells)).rstrip())


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
    if as_json:
        from intaglio.core.record import plain

        facts: dict[str, object] = {"code": code, "message": message, "hint": hint}
        if grade is not None:
            facts["grade"] = plain(grade)
        click.echo(json.dumps({"error": facts}, ensure_ascii=False), err=True)
        return
    click.echo(click.style("error: ", fg="red") + message, err=True)
    if hint:
        click.echo(f"  {hint}", err=True)


@contextmanager
def watching() -> Iterator[Watch]:
    """Follow a task on standard error: bars on a terminal, a line for each finished node elsewhere. Ctrl-C cancels."""
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
            yield Watch(progress=progress, cancelled=lambda: bool(stopped))
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress() -> Iterator[Callable[[Any, int, int], None]]:
    if not sys.stderr.isatty():

        def line(step: Any, done: int, total: int) -> None:
            if (done, total) == (0, 0):
                click.echo(f"  {step.id} ...", err=True)

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
    if not sys.stderr.isatty():
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
