"""Calls that a server's worker carries out, followed as if they were made here: the callbacks hear what happens."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from intaglio.api.routes import Route
from intaglio.client.connection import Connection
from intaglio.client.errors import failure
from intaglio.client.following import LOGGED, Happened, Steps, until_end
from intaglio.core.errors import Cancelled, IntaglioError, ServerGone, TooMany
from intaglio.core.job import Job
from intaglio.core.progress import Progress
from intaglio.core.wire import from_wire, hints_of
from intaglio.studio.carry_out import Watch
from intaglio.studio.variations import Follow

# What the journal calls a callback that was called.
SAID = "job.said"


def finished(line: Connection, job: Job, route: Route, ears: Mapping[str, Any]) -> Any:
    """What a job gives, as JSON values, once it is done. Raises what it raised, Cancelled."""
    heard = _Ears(line, route, job.id, ears)
    path = f"/api/jobs/{job.id}"
    try:
        heard.follow(lambda: line.ask("POST", f"{path}/cancel"))
    except (ServerGone, TooMany):  # it goes on there
        raise
    except BaseException:  # the caller is gone
        with suppress(IntaglioError):
            line.ask("POST", f"{path}/cancel")
        raise
    ended = from_wire(Job, line.ask("GET", path))
    if ended.status == "cancelled":
        raise Cancelled(f"job {job.id} was cancelled; what it finished is kept", hint="")
    if ended.error is not None:
        raise failure(ended.error)
    return ended.result


class _Ears:
    """The callbacks of one call."""

    def __init__(self, line: Connection, route: Route, job: str, ears: Mapping[str, Any]) -> None:
        self._line = line
        self._job = job
        self._hints = hints_of(route.function)
        self._ears = {name: ear for name, ear in ears.items() if ear is not None}
        follow: Follow | None = self._ears.get("follow")
        self.watch: Watch = follow.watch if follow else self._ears.get("watch") or Watch()
        self._steps = Steps(line, self.watch)
        self._tasks: set[str] = set()

    def follow(self, cancel: Callable[[], object]) -> None:
        """Tell the caller of everything until the end: of the job, and of the tasks that it runs."""
        tasks = "watch" in self._hints or "follow" in self._hints
        first = self._line.ask("GET", "/api/journal", query={"subject": self._job, "limit": 1})["items"]
        follow = until_end(
            self._line,
            self._job,
            after=first[0]["number"] - 1,
            cancelled=self.watch.cancelled,
            cancel=cancel,
            what=(LOGGED, "job.", "progress") if tasks else (),
        )
        for happened in follow:
            self._hear(happened)

    def _hear(self, happened: Happened) -> None:
        if isinstance(happened, Progress):
            if happened.job == self._job and not happened.task:
                self._progress(happened)
            elif happened.job == self._job or happened.task in self._tasks:
                self._steps.hear(happened)
        elif happened.what == SAID and happened.subject == self._job:
            self._said(str(happened.facts["callback"]), list(happened.facts["args"]))
        elif happened.subject in self._tasks:
            self._steps.hear(happened)

    def _progress(self, how_far: Progress) -> None:
        if (tell := self._ears.get("progress")) is not None:
            wanted = len(inspect.signature(tell).parameters)
            # Files are counted beside bytes where there are four numbers; how many files is not told from afar.
            counted = (how_far.done, how_far.total)
            tell(*{2: counted, 3: (how_far.step, *counted), 4: (0, 0, *counted)}[wanted])

    def _said(self, name: str, words: list[Any]) -> None:
        if name == "began":
            self._tasks.add(str(words[0]))
        ear = self._ear(name)
        if ear is not None:
            function, hint = ear
            takes = typing.get_args(hint)[0]
            function(*(from_wire(each, word) for each, word in zip(takes, words, strict=True)))

    def _ear(self, name: str) -> tuple[Callable[..., Any], Any] | None:
        """The callback of a name, and its type."""
        if name in ("warn", "began") and name not in self._ears:
            return getattr(self.watch, name), hints_of(Watch)[name]
        if name in self._ears:
            return self._ears[name], self._hints[name]
        follow = self._ears.get("follow")
        return None if follow is None else (getattr(follow, name), hints_of(Follow)[name])
