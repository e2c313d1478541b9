"""intaglio versions bisect"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from intaglio.cli.app import NOT_IDENTICAL, App, common, is_terminal, say, table, watching
from intaglio.core.errors import Invalid

if TYPE_CHECKING:
    from intaglio.studio.bisect import Apart, Bisected, Prospect, Try

# More runs than that are not begun unless somebody agreed to them.
MOST_UNASKED = 20


@click.command()
@click.argument("good")
@click.argument("bad")
@click.option("--metric", default="identical", help="What counts as the same: identical, similar, or ssim>=X.")
@click.option("--yes", is_flag=True, help=f"Do not ask; more than {MOST_UNASKED} runs are not begun unasked.")
@common
def bisect(app: App, good: str, bad: str, metric: str, yes: bool) -> int:
    """Find which change between the versions (or tasks) GOOD and BAD makes their pictures differ.

    It makes runs with some of the changes and without others, and says first how many. Exit code 10 when no change
    explains the difference.
    """
    with app.open() as studio:
        ahead = studio.versions.prospect(good, bad, metric=metric)
        if ahead.runs:
            _tell(ahead)
            _agree(ahead, yes, can_ask=is_terminal(sys.stdin) and not app.as_json)
        with watching() as watch:
            found = studio.versions.bisect(good, bad, metric=metric, watch=watch, tried=_heard)
    app.show(found, lambda: _words(found))
    return NOT_IDENTICAL if found.verdict == "elsewhere" else 0


def _tell(ahead: Prospect) -> None:
    """What there is to find, and what that takes."""
    say(f"{ahead.good} and {ahead.bad} differ: {_far(ahead.apart)}", err=True)
    count = len(ahead.changes)
    say(f"{count} {'change' if count == 1 else 'changes'} between them:", err=True)
    for change in ahead.changes:
        say(f"  {change}", err=True)
    for suspect in ahead.suspects:
        say(f"  {suspect} (around the runs; cannot be tried)", err=True)
    time = "" if ahead.seconds is None else f", about {ahead.seconds:.0f} s by earlier runs"
    say(f"at most {ahead.runs} {'run' if ahead.runs == 1 else 'runs'}{time}", err=True)


def _agree(ahead: Prospect, agreed: bool, *, can_ask: bool) -> None:
    """Raises Abort when a person says no, Invalid when there is nobody to ask about many runs."""
    if can_ask and not agreed:
        click.confirm("Run them?", default=True, abort=True, err=True)
    elif ahead.runs > MOST_UNASKED and not agreed:
        raise Invalid(f"this takes up to {ahead.runs} runs", hint="Agree to them with --yes.")


def _heard(one: Try) -> None:
    say(f"  {_made(one)}: {_like(one)}", err=True)


def _made(one: Try) -> str:
    return " + ".join(str(change) for change in one.changes) or "nothing changed"


def _like(one: Try) -> str:
    return one.note or {"good": "like GOOD", "bad": "like BAD", "neither": "like neither"}[one.like]


def _words(found: Bisected) -> None:
    say(found.answer)
    if found.tries:
        say()
    table(
        [
            (_made(one), _like(one), f"from GOOD {_far(one.from_good)}", f"from BAD {_far(one.from_bad)}", one.task)
            for one in found.tries
        ],
        "  ",
    )


def _far(apart: Apart | None) -> str:
    if apart is None or (apart.max_difference is None and not apart.identical):
        return apart.note if apart else "-"
    return "0" if apart.identical else f"{apart.max_difference}/255, SSIM {apart.ssim:.4f}"
