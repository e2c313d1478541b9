"""Tasks of a server: running is submitting, following and taking the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.client.errors import failure
from intaglio.client.following import LOGGED, Steps, until_end
from intaglio.client.nouns import Noun
from intaglio.core.errors import Cancelled, IntaglioError, Invalid, ServerGone, TooMany
from intaglio.core.form import Form, merged
from intaglio.core.journal import Notice
from intaglio.core.record import EMPTY
from intaglio.core.task import Reason, Task
from intaglio.core.workflow import Mode, Workflow
from intaglio.studio.carry_out import Watch
from intaglio.studio.drift import warning_of
from intaglio.studio.saving import check_reason

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
        author = given.pop("author", "")
        reason = Reason(none=given.pop("no_annotation", False), **given)
        form: Form | None = self.form(reference) if ask is not None else None
        if ask is None or form is None:
            return self._give(reference, reason, author)
        task = self.get(reference)
        said = merged(task.reason, reason)
        check_reason(said, form)
        if not form.missing(said):
            return self._give(reference, reason, author)
        self._keep(reference, form, said, reason, author)
        for answer in ask(form, replace(task, reason=said)):
            said = merged(said, answer)
            self._keep(reference, form, said, answer, author)
        return self._give(reference, Reason(), author) if form.missing(said) else self.get(reference)

    def _keep(self, reference: str, form: Form, said: Reason, given: Reason, author: str) -> None:
        """Have the server keep what is given; with it, `said` is what was said in all."""
        if given == Reason():
            return
        try:
            self._give(reference, given, author)
        except Invalid:  # it says what is still missing, once it has kept this
            check_reason(given, form)
            if not form.missing(said):
                raise

    def _give(self, reference: str, given: Reason, author: str) -> Task:
        task: Task = self.__getattr__("annotate")(
            reference,
            label=given.label,
            annotation=given.annotation,
            no_annotation=given.none,
            fields=given.fields,
            author=author,
        )
        return task

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


def _tell(happened: Happened, watch: Watch) -> None:
    """Tell of what was to be known before a run."""
    if isinstance(happened, Notice) and happened.what == LOGGED:
        warning = warning_of(str(happened.facts["what"]), happened.facts["facts"])
        if warning is not None:
            watch.warn(warning)
