"""intaglio models envelope"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from intaglio.cli.app import App, common, is_terminal, say, short, table

if TYPE_CHECKING:
    from intaglio.core.envelope import Condition, Envelope

_HEAD = ("condition", "before -> after", "identical", "largest", "pixels", "PSNR", "SSIM")


def _listed(ctx: click.Context, param: click.Parameter, value: str) -> list[str]:
    words = [word.strip() for word in value.split(",") if word.strip()]
    if not words and ctx.get_parameter_source(param.name or "") is not ParameterSource.DEFAULT:
        raise click.BadParameter("names nothing")
    return words


@click.command()
@click.argument("model")
@click.option(
    "--nodes", default="text-to-image", show_default=True, callback=_listed, help="Node types, with commas between."
)
@click.option(
    "--repeats", default=12, show_default=True, type=click.IntRange(1, 1000), help="Pictures for each condition."
)
@click.option("--only", default="", callback=_listed, metavar="KINDS", help="Only these conditions: threads,dtype")
@click.option("--show", is_flag=True, help="List what was measured before, newest first; measure nothing.")
@common
def envelope(app: App, model: str, nodes: list[str], repeats: int, only: list[str], show: bool) -> None:
    """Measure how far MODEL's pictures move when something around it changes, and keep what came out.

    Conditions: repeat, process, threads, batch, dtype, deterministic, cpu_capability, device. What they are, and what
    the numbers mean, is in docs/reproducibility.md.
    """
    with app.open() as studio:
        if show:
            found = studio.models.envelopes(model)
        else:
            with _following() as progress:
                found = studio.models.envelope(model, nodes=nodes, repeats=repeats, kinds=only, progress=progress)

    def words() -> None:
        for number, one in enumerate(found):
            if number:
                say()
            _words(one)
        if not found:
            say("nothing was measured yet")

    app.show(found, words)


@contextmanager
def _following() -> Iterator[Callable[[str, int, int], None]]:
    """Say on standard error what is measured: a bar on a terminal, a line each elsewhere."""
    import sys

    if not is_terminal(sys.stderr):
        yield lambda what, number, total: say(f"  {number} of {total}  {what}" if total else f"  {what}", err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda what, number, total: bars.update(
            task, completed=max(number - 1, 0), total=total or None, description=what
        )


def _words(found: Envelope) -> None:
    from intaglio.core.codec import digest
    from intaglio.core.envelope import in_words

    around = found.environment
    say(f"{found.model.name}:{found.model.version} under {found.node_type}@{found.type_version} on {found.device}")
    machine = f"{around.cpu.model}, {around.backend.get('cpu_capability', '')}, {around.threads} threads"
    say(f"{found.created[:19]}Z  {machine}, torch {around.libraries.get('torch', '')}  {short(digest(found))}")
    table([_HEAD, *map(_row, found.conditions)], "  ")
    for line in found.skipped:
        say(f"  not measured: {line}")
    say(f"Pictures for each condition: {len(found.probes)}. Result: {in_words(found.conditions)}.")


def _row(condition: Condition) -> tuple[str, ...]:
    apart = not condition.same
    return (
        condition.kind,
        f"{condition.before} -> {condition.after}",
        f"{condition.identical} of {condition.runs}",
        f"{condition.max_difference}/255" if apart else "-",
        f"{condition.changed_share:.2%}" if apart else "-",
        f"{condition.psnr:.1f} dB" if condition.psnr is not None else "-",
        f"{condition.ssim:.4f}" if apart else "-",
    )
