"""What a job's verb is given to speak to its caller, who is in another process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intaglio.core.errors import Cancelled
from intaglio.core.plan import Step
from intaglio.core.wire import to_wire
from intaglio.studio.carry_out import Watch
from intaglio.studio.parts import Parts
from intaglio.studio.progress import Telling
from intaglio.studio.variations import Follow

# What the journal calls a call of a callback; the facts are its name and its arguments.
SAID = "job.said"


class Callbacks:
    """The callbacks of one job: what is lasting goes to the journal, how far it is to its file of progress."""

    def __init__(self, parts: Parts, job: str, telling: Telling, cancelled: Callable[[], bool]) -> None:
        self._parts = parts
        self._job = job
        self._telling = telling
        self._cancelled = cancelled
        self._task = ""

    def of(self, name: str) -> Any:
        """The callback that a verb calls `name`."""
        match name:
            case "watch":
                return self._watch()
            case "follow":
                return Follow(told=self._said("told"), ran=self._said("ran"), watch=self._watch())
            case "progress":
                return self._progress
            case _:
                return self._said(name)

    def _watch(self) -> Watch:
        return Watch(
            progress=self._step, cancelled=self._cancelled, warn=self._said("warn"), began=self._began, previews=True
        )

    def _said(self, callback: str) -> Callable[..., None]:
        def say(*given: Any) -> None:
            self._check()
            self._parts.journal.note(SAID, self._job, {"callback": callback, "args": [to_wire(one) for one in given]})

        return say

    def _began(self, task: str) -> None:
        self._task = task
        self._said("began")(task)

    def _step(self, step: Step, done: int, total: int) -> None:
        self._telling.tell(step.id, done, total, task=self._task)

    def _progress(self, *given: Any) -> None:
        """Counts as verbs give them: (done, total), (files, of files, bytes, of bytes), or (what, done, total)."""
        self._check()
        what = str(given[0]) if isinstance(given[0], str) else ""
        self._telling.tell(what, int(given[-2]), int(given[-1]))

    def _check(self) -> None:
        if self._cancelled():
            raise Cancelled("cancelled")
