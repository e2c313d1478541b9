"""Tasks of a server: running is submitting, following and taking the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.client.errors import failure
from intaglio.client.following import LOGGED, Steps, until_end
from intaglio.client.nouns import Noun
from intaglio.core.errors import AnnotationMissing, Cancelled, IntaglioError, ServerGone, TooMany
from intaglio.core.form import Form, merged
from intaglio.core.journal import Notice
from intaglio.core.record import EMPTY
from intaglio.core.task import Task
from intaglio.core.workflow import Mode, Workflow
from intaglio.studio.carry_out import Watch
from intaglio.studio.drift import warning_of

if TYPE_CHECKING:
    from intaglio.client.following import Happened
    from intaglio.studio.tasks import Ask


class Tasks(Noun):
    """`studio.tasks`, behind a server."""

    def run(
        self,
        workflow: Workflow | str | Path,
        *,
        set: Sequence[str] = (),
        mode: Mode | None = None,
        label: str = "",
        annotation: str = "",
        no_annotation: bool = False,
        fields: Mapping[str, str] = EMPTY,
        ask: Ask | None = None,
        watch: Watch | None = None,
        reuse: bool = True,
        paranoid: bool = False,
    ) -> Task:
        """As the local one: the server's worker does it; when the caller stops, it is cancelled."""
        task: Task = self.submit(
            workflow,
            set=set,
            mode=mode,
            label=label,
            annotation=annotation,
            no_annotation=no_annotation,
            fields=fields,
            reuse=reuse,
            paranoid=paranoid,
        )
        return self._ended(task, watch or Watch(), ask)

    def resume(self, reference: str, *, watch: Watch | None = None, ask: Ask | None = None) -> Task:
        """As the local one."""
        task = self.get(reference)
        after = self._last(task.id)
        return self._ended(self.retry(task.id), watch or Watch(), ask, after)

    def annotate(self, reference: str, *, ask: Ask | None = None, **given: Any) -> Task:
        """As the local one; what `ask` answers is kept by the server, one answer after the other."""
        give = self.__getattr__("annotate")
        form: Form | None = self.form(reference) if ask is not None else None
        if ask is None or form is None:
            annotated: Task = give(reference, **given)
            return annotated
        if any(given.values()):
            try:
                done: Task = give(reference, **given)
                return done
            except AnnotationMissing:
                given = {"author": given.get("author", "")}
        return self._asked(reference, form, ask, given)

    def _asked(self, reference: str, form: Form, ask: Ask, given: Mapping[str, Any]) -> Task:
        """Answer after answer, until nothing is missing."""
        give, task = self.__getattr__("annotate"), self.get(reference)
        for answer in ask(form, task):
            said = {"label": answer.label, "annotation": answer.annotation, "no_annotation": answer.none}
            task = _with(task, answer)
            try:
                task = give(reference, **{**given, **said, "fields": answer.fields})
            except AnnotationMissing:
                continue  # kept; the next answer may be what it still lacks
        ended: Task = self.get(reference)
        return ended

    def _last(self, task: str) -> int:
        """The number of the last line about a task."""
        last = 0
        while page := self._line.ask("GET", "/api/journal", query={"subject": task, "after": last})["items"]:
            last = page[-1]["number"]
        return last

    def _ended(self, task: Task, watch: Watch, ask: Ask | None, after: int = 0) -> Task:
        """Follow a task to its end, that of its attempt after the journal's line `after`. Raises what ended it."""
        self._follow(task.id, watch, after)
        task = self.get(task.id)
        if task.status == "cancelled":
            raise Cancelled(
                f"task {task.id} was cancelled; what it finished is kept",
                hint=f"Go on with: intaglio tasks resume {task.id}",
            )
        if task.status == "failed" and task.error:
            error = failure(task.error)
            error.way_on = f"intaglio tasks resume {task.id}"
            raise error
        if task.status == "waiting" and ask is not None and self.waits_for(task.id).missing:
            return self.annotate(task.id, ask=ask)
        return task

    def _follow(self, task: str, watch: Watch, after: int) -> None:
        steps = Steps(self._line, watch)
        cancel = partial(self.cancel, task)
        try:
            watch.began(task)
            for happened in until_end(self._line, task, after=after, cancelled=watch.cancelled, cancel=cancel):
                _tell(happened, watch)
                steps.hear(happened)
        except (ServerGone, TooMany):  # it goes on there
            raise
        except BaseException:  # the caller is gone
            with suppress(IntaglioError):
                cancel()
            raise


def _with(task: Task, answer: Any) -> Task:
    from dataclasses import replace

    from intaglio.core.task import Reason

    return replace(task, reason=merged(task.reason or Reason(), answer))


def _tell(happened: Happened, watch: Watch) -> None:
    """Tell of what was to be known before a run."""
    if isinstance(happened, Notice) and happened.what == LOGGED:
        warning = warning_of(str(happened.facts["what"]), happened.facts["facts"])
        if warning is not None:
            watch.warn(warning)
