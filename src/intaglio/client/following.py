"""Following what a server works at, as one follows a run of one's own: progress, warnings, cancelling."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from intaglio.client.connection import Connection
from intaglio.core import attempt
from intaglio.core.errors import Conflict, IntaglioError
from intaglio.core.journal import Notice
from intaglio.core.plan import Step
from intaglio.core.progress import Progress
from intaglio.core.task import ENDED
from intaglio.core.wire import from_wire
from intaglio.studio.carry_out import Watch
from intaglio.studio.tasks import TaskView

# How often it is looked whether the caller wants to stop.
LOOK_S = 0.2
ENDS = ("done", "failed", "cancelled", "waiting")
# What the journal calls a line of a task's log.
LOGGED = "task.event"

Happened = Notice | Progress


def until_end(
    line: Connection,
    subject: str,
    *,
    after: int,
    cancelled: Callable[[], bool],
    cancel: Callable[[], object],
    what: Sequence[str] = (),
) -> Iterator[Happened]:
    """What happens to a task or job after the journal's line `after` until it has ended, its last notice included.

    With `what`, also what happens to others, as far as it begins so. As soon as `cancelled()`, or at Ctrl-C, `cancel`
    is called, once; it is followed on to its end.
    """
    found: queue.Queue[Happened | IntaglioError] = queue.Queue()
    over, asked = threading.Event(), False
    heard = (line, subject, after, what, found, over)
    threading.Thread(target=_listen, args=heard, name="intaglio-follow", daemon=True).start()
    try:
        while True:
            try:
                happened = None if not asked and cancelled() else found.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            except KeyboardInterrupt:
                if asked:
                    raise
                happened = None
            if happened is None:
                asked = True
                with suppress(Conflict):  # it has just ended
                    cancel()
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
    line: Connection,
    subject: str,
    after: int,
    what: Sequence[str],
    found: queue.Queue[Happened | IntaglioError],
    over: threading.Event,
) -> None:
    try:
        for happened in line.events(after=after, subject="" if what else subject, what=what):
            found.put(happened)
            if over.is_set() or is_end(happened, subject):
                return
    except IntaglioError as error:
        found.put(error)


class Steps:
    """Tells a caller of the steps of tasks as a run of his own would: each begins once, and ends once if it does.

    How far they are comes from time to time only; their ends are in the log, and so none is left out.
    """

    def __init__(self, line: Connection, watch: Watch) -> None:
        self._line = line
        self._watch = watch
        self._plans: dict[str, Mapping[str, Step]] = {}
        self._told: dict[tuple[str, str], tuple[int, int]] = {}
        self._ended: set[tuple[str, str]] = set()

    def hear(self, happened: Happened) -> None:
        """Tell the caller, if it is about a step."""
        if isinstance(happened, Progress):
            self._tell(happened.task, happened.step, happened.done, happened.total)
        elif happened.what == LOGGED and happened.facts.get("what") in ENDED:
            reused = happened.facts["what"] == "reused"
            self._tell(happened.subject, str(happened.facts["step"]), 1, 1, reused=reused)
            self._ended.add((happened.subject, str(happened.facts["step"])))
        elif happened.what == LOGGED and happened.facts.get("what") == attempt.STARTED:
            self._told, self._ended = {}, set()

    def _tell(self, task: str, step_id: str, done: int, total: int, *, reused: bool = False) -> None:
        key, steps = (task, step_id), self._plan(task) if task else {}
        if step_id not in steps or key in self._ended:
            return
        if key not in self._told and total and not reused:
            self._watch.progress(steps[step_id], 0, 0)
        if self._told.get(key) != (done, total):
            self._told[key] = (done, total)
            self._watch.progress(steps[step_id], done, total)

    def _plan(self, task: str) -> Mapping[str, Step]:
        if task not in self._plans:
            view = from_wire(TaskView, self._line.ask("GET", f"/api/tasks/{task}"))
            self._plans[task] = {step.id: step for step in view.plan.steps}
        return self._plans[task]
