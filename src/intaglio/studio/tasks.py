"""Tasks: running workflows, following and resuming runs."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from intaglio.core.attempt import Attempt, attempts
from intaglio.core.errors import Conflict, Damaged, Invalid, NotFound, StorageFailed
from intaglio.core.form import Form, merged
from intaglio.core.job import PREFIX as JOB
from intaglio.core.plan import Plan
from intaglio.core.progress import Progress
from intaglio.core.queued import Reuse
from intaglio.core.record import EMPTY
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import Event, NodeRecord, Reason, Status, Task, is_whole
from intaglio.core.workflow import Mode, Workflow
from intaglio.store import disk
from intaglio.store.lock import TaskLock
from intaglio.studio import annotating, clock, progress, queueing
from intaglio.studio.annotating import Waiting
from intaglio.studio.carry_out import Watch, cancel_path, carry_out, lock_path
from intaglio.studio.diff import TaskDifference, difference
from intaglio.studio.parts import Parts
from intaglio.studio.queue import id_on, queue
from intaglio.studio.queueing import Place
from intaglio.studio.saving import check_reason, keep_version, remember
from intaglio.studio.versions import Versions
from intaglio.studio.wanted import wanted

if TYPE_CHECKING:
    from intaglio.studio.approval import Pinned

ALIVE: tuple[Status, ...] = ("queued", "running")

# Asks a person what a form asks; the task says what was given already. Gives back each answer as soon as it is there.
Ask = Callable[[Form, Task], Iterable[Reason]]


@dataclass(frozen=True)
class TaskView:
    """A task with the records of its steps, its log, what it waits for (None: nothing), every attempt at it, and how
    far the one that runs is (None: none runs, or it says nothing)."""

    task: Task
    plan: Plan
    steps: list[NodeRecord]
    events: list[Event]
    waits_for: Waiting | None
    attempts: tuple[Attempt, ...] = ()
    progress: Progress | None = None


class Tasks:
    """`studio.tasks`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

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
        """Resolve a workflow and run it. It becomes a version when it has a Version Record or form node, or a reason is
        given (label, annotation).

        `set` are settings like "base.seed=42", `mode` is for this run only. When what its form asks for was not all
        given, `ask(form, task)` is called at the end; without it the task is returned waiting, see `annotate`. Raises
        Invalid and Conflict before any work (a label, field or workflow that cannot be), and whatever stopped the run.
        """
        given = Reason(label=label, annotation=annotation, none=no_annotation, fields=fields)
        watch = watch or Watch()
        asked = wanted(
            self._parts,
            workflow,
            given,
            set=set,
            mode=mode,
            can_ask=ask is not None,
            paranoid=paranoid,
            warn=watch.warn,
        )
        task, lock = queue(self._parts, asked.plan, reason=asked.reason)
        asked.log(self._parts, task)
        policy: Reuse = "any" if reuse else "none"
        task = carry_out(self._parts, task.id, lock, reuse=policy, watch=watch, paranoid=paranoid)
        return self._final(task, ask)

    def submit(
        self,
        workflow: Workflow | str | Path,
        *,
        set: Sequence[str] = (),
        mode: Mode | None = None,
        label: str = "",
        annotation: str = "",
        no_annotation: bool = False,
        fields: Mapping[str, str] = EMPTY,
        reuse: bool = True,
        paranoid: bool = False,
    ) -> Task:
        """Resolve a workflow and put its run in the queue; a worker carries it out (`intaglio worker`).

        When its form asks for what was not given, the task waits for that in the end. Raises as `run` before any work,
        TooMany, TooLarge.
        """
        self._parts.limits.check_room(self._parts.queue)
        given = Reason(label=label, annotation=annotation, none=no_annotation, fields=fields)
        asked = wanted(self._parts, workflow, given, set=set, mode=mode, can_ask=False, paranoid=paranoid)
        return queueing.submit(self._parts, asked, reuse="any" if reuse else "none", paranoid=paranoid)

    def retry(self, reference: str) -> Task:
        """Put a task that did not finish in the queue again: its plan and drawn seeds stay, its finished steps are not
        run again. Raises NotFound, Conflict (not one that can be taken up, in the queue already), TooMany.
        """
        return queueing.retry(self._parts, self.get(reference))

    def wait(self, reference: str, *, timeout: float = 60.0) -> Task:
        """The task as soon as it has ended or waits for its annotation, else as it is after `timeout` seconds.

        Raises NotFound, Conflict.
        """
        task_id = self.get(reference).id
        queueing.until(lambda: self._is_over(task_id), timeout)
        return self.get(task_id)

    def queue(self, *, limit: int = 50, before: str | None = None) -> builtins.list[Place]:
        """What waits for a worker or is with one, first to be taken first, `limit` at a time.

        `before` is the id where the last page ended. Raises NotFound.
        """
        return queueing.places(self._parts, limit, before)

    def move(self, reference: str, *, to: int = 1) -> Place:
        """Put a task or job that waits at the position `to` of the queue, 1 being the front.

        Raises NotFound, Conflict (it does not wait), Invalid.
        """
        jobs = self._parts.jobs.find(reference) if reference.startswith(JOB) else []
        return queueing.move(self._parts, jobs[0] if len(jobs) == 1 else self.get(reference).id, to)

    def progress(self, reference: str) -> Progress | None:
        """How far a running task is, None for one that nobody is at. Raises NotFound, Conflict."""
        return progress.read(self._parts, self.get(reference).id)

    def annotate(
        self,
        reference: str,
        *,
        label: str = "",
        annotation: str = "",
        no_annotation: bool = False,
        fields: Mapping[str, str] = EMPTY,
        author: str = "",
        ask: Ask | None = None,
    ) -> Task:
        """Give a waiting task what it waits for, beside what was given before: it becomes a version and is done.

        `author` signs the version, else who opened the library. `ask` is called for what is still missing; each answer
        is kept as soon as it is there. Raises AnnotationMissing and Invalid (naming what is missing: then what was
        given is kept with the task, which goes on waiting; or what cannot be), Conflict (it waits for nothing, or its
        label is taken: then what was given is kept too).
        """
        task = self.get(reference)
        given = Reason(label=label, annotation=annotation, none=no_annotation, fields=fields)
        try:
            if task.status == "waiting" and ask is not None:
                given = self._asked(task, given, ask)
            keep_version(self._parts, task.id, given, author=author, waits=True)
        except (Conflict, Invalid) as error:
            wait = self.waits_for(task.id)
            error.way_on = wait.way_on if wait else ""
            raise
        return self._parts.tasks.get(task.id)

    def waits_for(self, reference: str) -> Waiting | None:
        """What a waiting task waits for; None for one that does not wait. Raises NotFound, Conflict."""
        task = self.get(reference)
        return annotating.waiting(self._parts, task) if task.status == "waiting" else None

    def form(self, reference: str) -> Form | None:
        """What a waiting task asks a person; None for one that does not wait. Raises NotFound, Conflict."""
        task = self.get(reference)
        return annotating.form_of_task(self._parts, task) if task.status == "waiting" else None

    def pin(self, reference: str) -> Pinned:
        """Capture what a finished task ran with into its workflow as pins, as the workflow's next version.

        Its mode stays. Raises NotFound, Conflict.
        """
        from intaglio.studio.approval import pin

        return pin(self._parts, self.get(reference))

    def resume(self, reference: str, *, watch: Watch | None = None, ask: Ask | None = None) -> Task:
        """Take up a task that did not finish: its plan and drawn seeds stay, its finished steps are not run again.

        It ends as `run` does. Raises NotFound, Conflict (not one that can be resumed), Unavailable (another process is
        at it).
        """
        task = self.get(reference)
        queueing.check_unfinished(self._parts, task)
        lock = TaskLock.hold(lock_path(self._parts, task.id))
        return self._final(carry_out(self._parts, task.id, lock, reuse="own", watch=watch or Watch()), ask)

    def cancel(self, reference: str) -> Task:
        """Ask a running task to stop, from any process; what waits or is queued is cancelled at once.

        What it finished is kept. Raises NotFound, Conflict (it has ended).
        """
        task_id = self.get(reference).id
        with self._parts.database.write():
            # A worker may have begun it since: whoever is at it is asked, and not contradicted.
            task = self._parts.tasks.get(task_id)
            if task.status != "running":
                return self._parts.tasks.advance(task_id, "cancelled", finished=clock.now())
            disk.touch(cancel_path(self._parts, task_id))
        return task

    def get(self, reference: str) -> Task:
        """A task by id or unique beginning of it. Raises NotFound, Conflict."""
        found = self._parts.tasks.find(reference) if reference else []
        if len(found) > 1 and reference not in found:
            raise Conflict(f"{reference!r} fits {len(found)} tasks", hint="Give more of the id.")
        if not found:
            raise NotFound("task", reference, hint="See them with: intaglio tasks list")
        return self._alive(self._parts.tasks.get(reference if reference in found else found[0]))

    def show(self, reference: str) -> TaskView:
        """A task with its plan, the records of its steps in the order of the plan, and its log.

        Raises NotFound, Conflict, Damaged.
        """
        task = self.get(reference)
        tasks = self._parts.tasks
        plan = self._parts.documents.get(Plan, task.plan)
        place = {step.id: index for index, step in enumerate(plan.steps)}
        steps = sorted(tasks.steps(task.id), key=lambda record: (place[record.step], record.attempt))
        events = tasks.events(task.id)
        lost = (
            sorted(place.keys() - {record.step for record in steps})
            if task.status in ("done", "waiting") and task.purpose != "import"
            else []
        )
        if lost or not is_whole(events, (record.step for record in steps)):
            what = f"the records of {', '.join(lost)}" if lost else "a part of its log"
            raise Damaged(f"task {task.id} lost {what}")
        waits_for = annotating.waiting(self._parts, task) if task.status == "waiting" else None
        running = progress.read(self._parts, task.id) if task.status == "running" else None
        return TaskView(task, plan, steps, events, waits_for, attempts(task, events), running)

    def list(
        self,
        *,
        limit: int = 50,
        before: str | None = None,
        status: Status | None = None,
        since: str = "",
        until: str = "",
    ) -> list[Task]:
        """The newest tasks, `limit` at a time; `before` is the id where the last page ended.

        With `since` and `until` (a day, month or year in UTC: "2026-11-21", "2026-11") only those asked for in that
        time, both included. Raises NotFound, Invalid (no date).
        """
        first, last = id_on(since), id_on(until)
        if status == "interrupted":
            for state in ALIVE:  # what nobody carries out any more may not be marked yet
                for task in self._parts.tasks.list(limit=limit, status=state):
                    self._alive(task)
        listed = self._parts.tasks.list(limit=limit, before=before, status=status, first=first, last=last)
        found = [self._alive(task) for task in listed]
        return [task for task in found if status is None or task.status == status]

    def snapshot(self, reference: str) -> Snapshot:
        """The snapshot of a finished task. Raises NotFound, Conflict (it has none yet)."""
        task = self.get(reference)
        if not task.snapshot:
            raise Conflict(f"task {task.id} is {task.status}; it has no snapshot")
        return self._parts.documents.get(Snapshot, task.snapshot)

    def diff(self, before: str, after: str) -> TaskDifference:
        """How two finished runs differ; each is a task or a version. Raises NotFound, Conflict."""
        return difference(self._parts, self._run_of(before), self._run_of(after))

    def _run_of(self, reference: str) -> Snapshot:
        """The snapshot of a task, or of what else names a version."""
        if self._parts.tasks.find(reference) if reference else []:
            return self.snapshot(reference)
        return Versions(self._parts).snapshot(reference)

    def _final(self, task: Task, ask: Ask | None) -> Task:
        """A run that ended, with what it waits for asked if there is anybody to ask."""
        if task.status != "waiting":
            return task
        missing = annotating.waiting(self._parts, task).missing
        # Nothing is missing when somebody took the label while it ran: that is said, and all is kept.
        return task if missing and ask is None else self.annotate(task.id, ask=ask)

    def _asked(self, task: Task, given: Reason, ask: Ask) -> Reason:
        """What was given together with the answers to what is missing, each kept before the next question.

        So who leaves a later question loses no answer. Raises Invalid for an answer that cannot be.
        """
        said, form = merged(task.reason, given), annotating.form_of_task(self._parts, task)
        check_reason(said, form)
        if not form.missing(said):
            return given
        if given != Reason():
            remember(self._parts, task.id, given)
        for answer in ask(form, replace(task, reason=said)):
            remember(self._parts, task.id, answer)
            given = merged(given, answer)
        return given

    def _is_over(self, task_id: str) -> bool:
        """Whether nobody will do anything with a task unless he is told to."""
        status = self._parts.tasks.get(task_id).status
        if status in ALIVE:
            status = self.get(task_id).status
        # One whose worker died is taken up by the next.
        return status not in ALIVE and (status != "interrupted" or not self._parts.queue.has(task_id))

    def _alive(self, task: Task) -> Task:
        """The task, marked interrupted when it has not ended, nobody carries it out, and it does not wait for that."""
        if task.status not in ALIVE or TaskLock.is_held(lock_path(self._parts, task.id)):
            return task
        if task.status == "queued" and self._parts.queue.has(task.id):
            return task
        task = self._parts.tasks.get(task.id)  # it may have ended between the two looks
        if task.status not in ALIVE:
            return task
        try:
            return self._parts.tasks.advance(task.id, "interrupted")
        except Conflict:
            return self._parts.tasks.get(task.id)
        except StorageFailed:  # a library one can only read: said, though not written down
            return replace(task, status="interrupted")
