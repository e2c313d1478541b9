"""Calls that a server's worker carries out, followed as if they were made here: the callbacks hear what happens."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from intaglio.api.routes import Route
from intaglio.client.connection import Connection
from intaglio.client.errors import failure
from intaglio.client.following import Happened, until_end
from intaglio.core.errors import Cancelled
from intaglio.core.job import Job
from intaglio.core.journal import Notice
from intaglio.core.plan import Step
from intaglio.core.progress import Progress
from intaglio.core.wire import from_wire, hints_of
from intaglio.studio.carry_out import Watch
from intaglio.studio.tasks import TaskView
from intaglio.studio.variations import Follow

# What the journal calls a callback that was called.
SAID = "job.said"


def finished(line: Connection, job: Job, route: Route, ears: Mapping[str, Any]) -> Any:
    """What a job gives, as JSON values, once it is done. Raises what it raised, Cancelled."""
    heard = _Ears(line, route, ears)
    watch = heard.watch
    path = f"/api/jobs/{job.id}"
    try:
        follow = until_end(line, job.id, cancelled=watch.cancelled, cancel=lambda: line.ask("POST", f"{path}/cancel"))
        for happened in follow:
            heard.hear(happened)
    except BaseException:
        _stop(line, path)
        raise
    ended = from_wire(Job, line.ask("GET", path))
    if ended.status == "cancelled":
        raise Cancelled(f"job {job.id} was cancelled; what it finished is kept", hint="")
    if ended.error is not None:
        raise failure(ended.error)
    return ended.result


def _stop(line: Connection, path: str) -> None:
    """Whoever asked for it is gone: so is the job, unless it has ended."""
    from intaglio.core.errors import IntaglioError

    try:
        line.ask("POST", f"{path}/cancel")
    except IntaglioError:
        return


class _Ears:
    """The callbacks of one call."""

    def __init__(self, line: Connection, route: Route, ears: Mapping[str, Any]) -> None:
        self._line = line
        self._hints = hints_of(route.function)
        self._ears = {name: ear for name, ear in ears.items() if ear is not None}
        follow: Follow | None = self._ears.get("follow")
        self.watch: Watch = follow.watch if follow else self._ears.get("watch") or Watch()
        self._steps: dict[str, Mapping[str, Step]] = {}

    def hear(self, happened: Happened) -> None:
        """Tell the caller."""
        if isinstance(happened, Progress):
            self._progress(happened)
        elif isinstance(happened, Notice) and happened.what == SAID:
            self._said(str(happened.facts["callback"]), list(happened.facts["args"]))

    def _progress(self, how_far: Progress) -> None:
        if how_far.task:
            steps = self._plan(how_far.task)
            if how_far.step in steps:
                self.watch.progress(steps[how_far.step], how_far.done, how_far.total)
        elif (tell := self._ears.get("progress")) is not None:
            wanted = len(inspect.signature(tell).parameters)
            # Files are counted beside bytes where there are four numbers; how many files is not told from afar.
            counted = (how_far.done, how_far.total)
            tell(*{2: counted, 3: (how_far.step, *counted), 4: (0, 0, *counted)}[wanted])

    def _plan(self, task: str) -> Mapping[str, Step]:
        if task not in self._steps:
            view = from_wire(TaskView, self._line.ask("GET", f"/api/tasks/{task}"))
            self._steps[task] = {step.id: step for step in view.plan.steps}
        return self._steps[task]

    def _said(self, name: str, words: list[Any]) -> None:
        ear = self._ear(name)
        if ear is not None:
            function, hint = ear
            takes = typing.get_args(hint)[0]
            function(*(from_wire(each, word) for each, word in zip(takes, words, strict=True)))

    def _ear(self, name: str) -> tuple[Callable[..., Any], Any] | None:
        """The callback of a name, and its type."""
        if name == "warn" and "warn" not in self._ears:
            return self.watch.warn, hints_of(Watch)["warn"]
        if name in self._ears:
            return self._ears[name], self._hints[name]
        follow = self._ears.get("follow")
        return None if follow is None else (getattr(follow, name), hints_of(Follow)[name])
