"""intaglio variations ..."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from intaglio.cli.app import NOT_IDENTICAL, App, common, is_terminal, say, table, watching

if TYPE_CHECKING:
    from intaglio.core.variation import Variation, VariationRemark
    from intaglio.studio.open import Studio
    from intaglio.studio.variations import Ahead, Follow, VariationView
    from intaglio.studio.vary_run import CellRun

_FAILED = 1


@click.group()
def variations() -> None:
    """Many runs from one version that differ in one thing."""


def _running(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that makes a variation."""
    for option in (
        click.option("--to", "folder", metavar="DIR", help="Also write brief, sheet and pictures into DIR."),
        click.option("--yes", is_flag=True, help="Do not ask before running."),
        click.option("--dry-run", is_flag=True, help="Only say what it takes; nothing is run or kept."),
        click.option("--note", default="", help="Why this variation is made."),
    ):
        command = option(command)
    return command


_NODE = click.option("--node", default="", metavar="NODE", help="The node whose seed it is; else the only one.")
_FRESH = click.option("--node", default="", metavar="NODE", help="Fresh seeds for this node only, not for all.")


@variations.command()
@click.argument("version")
@_NODE
@click.option("--count", default=9, type=click.IntRange(1), help="How many seeds.")
@click.option("--step", default=1, type=int, help="How far apart they are.")
@_running
@common
def walk(app: App, version: str, node: str, count: int, step: int, **how: Any) -> int:
    """Run VERSION with the seeds n, n+1, n+2, ...; all else is held."""
    return _made(
        app,
        how,
        lambda studio, said: studio.variations.walk(version, node=node, count=count, step=step, **said),
    )


@variations.command()
@click.argument("version")
@click.option(
    "--set", "settings", multiple=True, required=True, metavar="NODE.PARAM=A,B,C", help="What is varied; prompts by |."
)
@click.option("--grid", is_flag=True, help="Every combination, not one parameter at a time.")
@_running
@common
def sweep(app: App, version: str, settings: tuple[str, ...], grid: bool, **how: Any) -> int:
    """Run VERSION with other values of parameters, one parameter at a time; all else is held."""
    return _made(app, how, lambda studio, said: studio.variations.sweep(version, set=settings, grid=grid, **said))


@variations.command()
@click.argument("version")
@click.option("--node", default="", metavar="NODE", help="The text-to-image node; else the only one.")
@click.option("--to-seed", default="", metavar="SEED", help="The seed that the last frame has.")
@click.option("--to-prompt", default="", metavar="TEXT", help="The prompt that the last frame has.")
@click.option("--frames", default=9, type=click.IntRange(2), help="How many, both ends included.")
@click.option("--fps", default="8", metavar="NUMBER", help="Frames a second of the clip.")
@_running
@common
def interpolate(
    app: App, version: str, node: str, to_seed: str, to_prompt: str, frames: int, fps: str, **how: Any
) -> int:
    """Lead VERSION from its seed or prompt to another: frames, and an MP4 of them."""
    return _made(
        app,
        how,
        lambda studio, said: studio.variations.interpolate(
            version, node=node, to_seed=to_seed, to_prompt=to_prompt, frames=frames, fps=fps, **said
        ),
    )


@variations.command()
@click.argument("version")
@click.option("--arm", "arms", nargs=2, multiple=True, required=True, metavar="NAME NODE.PARAM=VALUE", help="An arm.")
@click.option("--count", default=20, type=click.IntRange(1), help="How many pictures for each arm.")
@click.option("--walk", is_flag=True, help="Seeds from the recorded ones on, not fresh ones.")
@_FRESH
@_running
@common
def ab(app: App, version: str, arms: tuple[tuple[str, str], ...], count: int, walk: bool, node: str, **how: Any) -> int:
    """Test arms against each other on VERSION: the same seeds pair by pair, only the test variable differs."""
    sides: dict[str, list[str]] = {}
    for arm, setting in arms:
        sides.setdefault(arm, []).append(setting)
    return _made(
        app,
        how,
        lambda studio, said: studio.variations.ab(version, sides, count=count, walk=walk, node=node, **said),
    )


@variations.command()
@click.argument("reference", metavar="VARIATION|VERSION")
@click.option("--count", default=100, type=click.IntRange(1), help="How many.")
@_FRESH
@_running
@common
def more(app: App, reference: str, count: int, node: str, **how: Any) -> int:
    """Run a version, or the winner of a variation, at volume: fresh seeds, everything else pinned."""
    return _made(app, how, lambda studio, said: studio.variations.more(reference, count=count, node=node, **said))


@variations.command()
@click.argument("variation")
@click.option("--to", "folder", metavar="DIR", help="Also write brief, sheet and pictures into DIR.")
@click.option("--yes", is_flag=True, help="Do not ask before running.")
@common
def resume(app: App, variation: str, **how: Any) -> int:
    """Carry on with a variation that was cancelled or failed; what is done is not run again."""
    return _made(
        app,
        {"note": "", "dry_run": False, **how},
        lambda studio, said: studio.variations.resume(variation, follow=said["follow"]),
    )


@variations.command("list")
@click.option("--version", help="Only those of this version.")
@click.option("--limit", default=20, type=click.IntRange(1, 1000), help="How many.")
@click.option("--before", metavar="ID", help="Only those older than this one.")
@common
def list_(app: App, version: str | None, limit: int, before: str | None) -> None:
    """The newest variations."""
    with app.open() as studio:
        found = studio.variations.list(version=version, limit=limit, before=before)
        rows = [_row(studio, each) for each in found]
    app.show(found, lambda: table(rows))


@variations.command()
@click.argument("variation")
@common
def show(app: App, variation: str) -> None:
    """A variation: its runs, what their records say, and what came of it."""
    with app.open() as studio:
        view = studio.variations.show(variation)
    app.show(view, lambda: _words(view))


@variations.command()
@click.argument("variation")
@click.argument("name")
@click.option("--note", default="", help="Why.")
@common
def winner(app: App, variation: str, name: str, note: str) -> None:
    """Name the winner: an arm of a test, else the number or label of a run; with date and author."""
    with app.open() as studio:
        remark = studio.variations.winner(variation, name, note=note)
    app.show(remark, lambda: say(_remark(remark)))


@variations.command()
@click.argument("variation")
@click.option("--to", "folder", default="", metavar="DIR", help="Write brief.json, brief.md and the sheet into DIR.")
@click.option("--pictures", is_flag=True, help="Every picture as well.")
@common
def brief(app: App, variation: str, folder: str, pictures: bool) -> None:
    """The brief: variables, verdict, and the seeds, models and outputs of each run."""
    from intaglio.studio.vary_brief import markdown

    with app.open() as studio:
        found = studio.variations.brief(variation)
        files = studio.variations.export(variation, folder, pictures=pictures) if folder else []
    if folder:
        app.show([str(file) for file in files], lambda: _files([str(file) for file in files]))
    else:
        app.show(found, lambda: say(markdown(found), keep="\n"))


def _made(app: App, how: Mapping[str, Any], call: Callable[[Studio, dict[str, Any]], VariationView | Ahead]) -> int:
    """Carry a variation out, or tell what it would take."""
    from intaglio.studio.variations import Ahead

    with app.open() as studio:
        with _following(app, agreed=how["yes"]) as follow:
            made = call(studio, {"note": how["note"], "dry_run": how["dry_run"], "follow": follow})
        if isinstance(made, Ahead):
            ahead = made
            app.show(ahead, lambda: _tell(ahead, err=False))
            return 0
        view = made
        files = studio.variations.export(view.variation.id, how["folder"], pictures=True) if how["folder"] else []
    app.show(view, lambda: _words(view))
    if not app.as_json:
        _files([str(file) for file in files if not file.name[0].isdigit()])
    if view.checked.failed:
        return _FAILED
    return NOT_IDENTICAL if view.checked.found else 0


@contextmanager
def _following(app: App, *, agreed: bool) -> Iterator[Follow]:
    """Tell what is ahead, ask a person whether to run it, and say of each run how it ended."""
    from intaglio.studio.variations import Follow

    def told(ahead: Ahead) -> None:
        _tell(ahead, err=True)
        if ahead.cost.new and not agreed and is_terminal(sys.stdin) and not app.as_json:
            click.confirm("Run them?", default=True, abort=True, err=True)

    with watching() as watch:
        yield Follow(told=told, ran=_heard, watch=watch)


def _tell(ahead: Ahead, *, err: bool) -> None:
    """What a variation takes."""
    cost = ahead.cost
    say(f"{ahead.variation.what} of {ahead.version}: {_count(cost.runs, 'run')}, {_count(cost.steps, 'step')}", err=err)
    if ahead.begun:
        say(f"  goes on with {ahead.variation.id}, which was not finished", err=err)
    say(f"  {cost.there} there already, {cost.shared} shared between runs, {cost.new} to run{_time(ahead)}", err=err)
    for words in ahead.variation.held:
        say(f"  {words}", err=err)


def _time(ahead: Ahead) -> str:
    cost = ahead.cost
    if not cost.new:
        return ""
    if cost.seconds is None:
        return "; no earlier run tells how long that takes"
    untold = f", not counting {_count(cost.untold, 'step')} that no earlier run tells about" if cost.untold else ""
    return f", about {_duration(cost.seconds)} by earlier runs{untold}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _heard(variation: Variation, run: CellRun) -> None:
    cell = variation.cells[run.cell]
    how = run.note if run.status == "failed" else f"{run.steps} ran in {run.seconds:.1f} s, {run.reused} taken over"
    say(f"  {run.cell + 1}/{len(variation.cells)} {cell.label}: {run.status}, {how}", err=True)


def _words(view: VariationView) -> None:
    variation = view.variation
    say(f"variation {variation.id}  {variation.what} of {view.version}")
    if variation.note:
        say(f"note      {variation.note}")
    table(
        [
            (
                str(run.cell + 1),
                variation.cells[run.cell].label,
                run.task or "-",
                run.status,
                run.note or (f"{run.steps} ran, {run.reused} taken over" if run.task else ""),
            )
            for run in view.runs
        ],
        "  ",
    )
    for line in verdict_words(view):
        say(line)
    for remark in view.remarks:
        if remark.what != "verdict":
            say(_remark(remark))


def verdict_words(view: VariationView) -> Iterator[str]:
    """What the records say, line by line."""
    checked = view.checked
    over = f"{checked.runs} of {checked.cells} runs checked on their records"
    yield f"verdict   {checked.claim} ({over})"
    for found in checked.found:
        runs = ", ".join(found.runs) if len(found.runs) < 6 else f"{len(found.runs)} runs"
        yield f"  {runs} against {found.against}: {found.words}"
    yield from (f"  {words}" for words in checked.no_effect)
    yield from (f"  failed: {words}" for words in checked.failed)
    yield from (f"  {words}" for words in checked.remarks)


def _remark(remark: VariationRemark) -> str:
    if remark.what == "winner":
        note = f": {remark.note}" if remark.note else ""
        return f"winner    {remark.value} ({remark.created[:10]}, {remark.author}){note}"
    return f"{remark.what:<9} {remark.value}  {remark.note}".rstrip()


def _row(studio: Studio, variation: Variation) -> tuple[str, ...]:
    version = studio.versions.find(variation.version)[1]
    return (
        variation.id,
        variation.what,
        f"{version.workflow.name}/{version.name}",
        _count(len(variation.cells), "run"),
        variation.note,
    )


def _files(files: list[str]) -> None:
    for file in files:
        say(f"wrote     {file}")
