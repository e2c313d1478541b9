"""intaglio worker"""

from __future__ import annotations

import os
from typing import Any

import click

from intaglio.cli.app import App, common
from intaglio.core.errors import Invalid


@click.command()
@click.option("--grace", default=10.0, show_default=True, type=click.FloatRange(0, 3600), help="Seconds to finish in.")
@click.option("--once", is_flag=True, help="End when the queue is empty.")
@click.option("--log", "log", default="text", type=click.Choice(["text", "json"]), help="How it tells what it does.")
@click.option("--supervised", is_flag=True, hidden=True, help="End when standard input is closed.")
@common
def worker(app: App, grace: float, once: bool, log: Any, supervised: bool) -> None:
    """Carry out the tasks that wait in the queue, until Ctrl-C.

    Then what it is at gets --grace seconds to finish, else it goes back into the queue with all its nodes that are
    done; a second Ctrl-C stops it at once. intaglio serve runs workers of its own.
    """
    from intaglio.studio.logs import setup
    from intaglio.studio.open import open_for_others
    from intaglio.worker.loop import Worker
    from intaglio.worker.stopping import Stopping

    if app.behind()[0]:
        raise Invalid("a worker works on the library of its own machine", hint="Name one here: --library DIR.")
    setup(log)
    parent = _parent() if supervised else None
    with open_for_others(app.library) as studio:
        stopping = Stopping(grace)
        working = Worker(studio, stopping)
        stopping.listen(working.abandon, parent)
        working.run(once=once)


def _parent() -> int:
    """Standard input as a descriptor that no process started from here inherits."""
    parent = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return parent
