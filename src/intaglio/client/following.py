"""Following what a server works at, as one follows a run of one's own: progress, warnings, cancelling."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

from intaglio.client.connection import Connection
from intaglio.core.errors import IntaglioError
from intaglio.core.journal import Notice
from intaglio.core.progress import Progress

# How often it is looked whether the caller wants to stop.
LOOK_S = 0.2
ENDS = ("done", "failed", "cancelled", "waiting")

Happened = Notice | Progress


def until_end(
    line: Connection, subject: str, *, cancelled: Callable[[], bool], cancel: Callable[[], object]
) -> Iterator[Happened]:
    """What happens to a task or job from its beginning until it has ended, its last notice included.

    As soon as `cancelled()`, `cancel` is called, once; it is followed on to its end.
    """
    found: queue.Queue[Happened | IntaglioError] = queue.Queue()
    over = threading.Event()
    threading.Thread(target=_listen, args=(line, subject, found, over), daemon=True).start()
    asked = False
    try:
        while True:
            if not asked and cancelled():
                asked = True
                cancel()
            try:
                happened = found.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            if isinstance(happened, IntaglioError):
                raise happened
            yield happened
            if is_end(happened, subject):
                return
    finally:
        over.set()


def is_end(happened: Happened, subject: str) -> bool:
    """Whether that is the last that happens to a task or job, unless somebody takes it up again."""
    if not isinstance(happened, Notice) or happened.subject != subject:
        return False
    return happened.what.partition(".")[2] in ENDS


def _listen(
    line: Connection, subject: str, found: queue.Queue[Happened | IntaglioError], over: threading.Event
) -> None:
    try:
        for happened in line.events(after=0, subject=subject):
            found.put(happened)
            if over.is_set() or is_end(happened, subject):
                return
    except IntaglioError as error:
        found.put(error)
