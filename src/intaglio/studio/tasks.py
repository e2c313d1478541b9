"""Tasks: running workflows, following and resuming runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from intaglio.core.errors import AnnotationMissing, Conflict, Damaged, NotFound, StorageFailed
from intaglio.core.plan import Plan
from intaglio.core.record import plain
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import Event, NodeRecord, Reason, Status, Task, is_whole
from intaglio.core.workflow import Workflow
from intaglio.engine.resolve import resolve
from intaglio.store import disk
from intaglio.store.lock import TaskLock
from intaglio.studio import clock
from intaglio.studio.carry_out import Reuse, Watch, cancel_path, carry_out, lock_path
from intaglio.studio.diff import TaskDifference, difference
from intaglio.studio.parts import Parts
from intaglio.studio.planning import resources
from intaglio.studio.queue import queue
from intaglio.studio.saving import check_reason
from intaglio.studio.versions import Versions
from intaglio.studio.workflows import Workflows

RESUMABLE: tuple[Status, ...] = ("interrupted", "failed", "cancelled")
ALIVE: tuple[Status, ...] = ("queued", "running")


@dataclass(frozen=True)
class TaskView:
    """A task with the records of its steps and its log."""

    task: Task
    plan: Plan
    steps: list[NodeRecord]
    events: list[Event]


class Tasks:
    """`studio.tasks`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def run(
        self,
        workflow: Workflow | str | Path,
        *,
        set: Sequence[str] = (),
        label: str = "",
        annotation: str = "",
        no_annotation: bool = False,
        ask: Callable[[str, Task], Reason] | None = None,
        watch: Watch | None = None,
        reuse: bool = True,
        paranoid: bool = False,
    ) -> Task:
        """Resolve a workflow, run it, and save a version when it has a Version Record node or a reason is given.

        `set` are settings like "base.seed=42". `ask(question, task)` is called at the end when a version is due and
        nobody gave an annotation. Returns the finished task. Raises AnnotationMissing before any work, InvalidWorkflow,
        and whatever stopped the run.
        """
        found = Workflows(self._parts).find(workflow, set)
        reason = self._reason(found.workflow, label, annotation, no_annotation, can_ask=ask is not None)
        plan = resolve(found.workflow, found.reference, resources(self._parts, found.base, paranoid=paranoid))
        task, lock = queue(self._parts, plan, reason=reason)
        policy: Reuse = "any" if reuse else "none"
        task = carry_out(self._parts, task.id, lock, reuse=policy, watch=watch or Watch(), paranoid=paranoid)
        if task.reason is not None and not task.reason.given and ask is not None:
            answer = ask(_question(found.workflow, self._parts), task)
            task = self._parts.tasks.update(task.id, reason=replace(answer, label=answer.label or task.reason.label))
        return self._keep(task)

    def resume(self, reference: str, *, watch: Watch | None = None) -> Task:
        """Take up a task that did not finish: its plan and drawn seeds stay, its finished steps are not run again.

        Raises NotFound, Conflict (it is not one that can be resumed), Unavailable (another process is at it).
        """
        task = self.get(reference)
        if task.status not in RESUMABLE:
            raise Conflict(
                f"task {task.id} is {task.status}; only one that did not finish can be resumed",
                hint="Run its workflow again with: intaglio tasks run",
            )
        if task.purpose == "reproduce":
            # Nothing may be reused, and the grade and the comparison belong to it: to go on is to begin again.
            raise Conflict(
                f"task {task.id} is a reproduction, which is made in one go",
                hint=f"Begin it again with: intaglio versions reproduce {task.reproduces}",
            )
        lock = TaskLock.hold(lock_path(self._parts, task.id))
        return self._keep(carry_out(self._parts, task.id, lock, reuse="own", watch=watch or Watch()))

    def cancel(self, reference: str) -> Task:
        """Ask a running task to stop, from any process. Raises NotFound, Conflict (it has ended)."""
        task = self.get(reference)
        if task.status == "running":
            disk.touch(cancel_path(self._parts, task.id))
            return task
        return self._parts.tasks.advance(task.id, "cancelled", finished=clock.now())

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
            if task.status == "done" and task.purpose != "import"
            else []
        )
        if lost or not is_whole(events, (record.step for record in steps)):
            what = f"the records of {', '.join(lost)}" if lost else "a part of its log"
            raise Damaged(f"task {task.id} lost {what}")
        return TaskView(task, plan, steps, events)

    def list(self, *, limit: int = 50, before: str | None = None, status: Status | None = None) -> list[Task]:
        """The newest tasks, `limit` at a time; `before` is the id where the last page ended."""
        if status == "interrupted":
            for state in ALIVE:  # what nobody carries out any more may not be marked yet
                for task in self._parts.tasks.list(limit=limit, status=state):
                    self._alive(task)
        found = [self._alive(task) for task in self._parts.tasks.list(limit=limit, before=before, status=status)]
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

    def _reason(self, workflow: Workflow, label: str, annotation: str, none: bool, *, can_ask: bool) -> Reason | None:
        """The reason for the version that the run is to become, None when it is to become none."""
        recording = any(self._role(node.type) == "version" for node in workflow.nodes.values())
        reason = Reason(
            label=label or (_node_label(workflow, self._parts) if recording else ""), annotation=annotation, none=none
        )
        if not (recording or label or reason.given):
            return None
        if not (reason.given or can_ask):
            raise AnnotationMissing("this run ends in a version, and a version needs its reason")
        taken = self._parts.versions.find(label=slug, workflow=workflow.name) if (slug := check_reason(reason)) else []
        if taken:
            raise Conflict(f"label {slug!r} is that of {taken[0][1].name} already", hint="Choose another label.")
        return reason

    def _keep(self, task: Task) -> Task:
        """Save the version that a finished task was to become, if its reason is known."""
        if task.reason is not None and task.reason.given:
            reason = task.reason
            try:
                Versions(self._parts).save(
                    task.id, label=reason.label, annotation=reason.annotation, no_annotation=reason.none
                )
            except Conflict as error:  # somebody took the label while this ran
                error.hint = f"The run is kept; give it another: intaglio versions save {task.id} --label LABEL ..."
                raise
        return self._parts.tasks.get(task.id)

    def _role(self, node_type: str) -> str:
        return self._parts.types[node_type.partition("@")[0]].role

    def _alive(self, task: Task) -> Task:
        """The task, marked interrupted when it has not ended and nobody carries it out."""
        if task.status not in ALIVE or TaskLock.is_held(lock_path(self._parts, task.id)):
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


def _node_label(workflow: Workflow, parts: Parts) -> str:
    """The label that the Version Record node itself gives, "" for none."""
    return next(
        (
            str(plain(node.params).get("label", ""))
            for node in workflow.nodes.values()
            if parts.types[node.type.partition("@")[0]].role == "version"
        ),
        "",
    )


def _question(workflow: Workflow, parts: Parts) -> str:
    """What the workflow's form asks."""
    for node in workflow.nodes.values():
        node_type = parts.types[node.type.partition("@")[0]]
        if node_type.role == "form":
            param = node_type.param("question")
            return str(node.params.get("question", param.default if param else ""))
    return "What is this version, and why?"
