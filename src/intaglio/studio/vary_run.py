"""Carrying out a variation: every cell an ordinary task, written down before the first of them runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from intaglio.core.errors import Cancelled, Conflict, IntaglioError, Invalid, NodeFailed, Unavailable
from intaglio.core.plan import Plan
from intaglio.core.task import Task
from intaglio.core.variation import Variation, VariationRun
from intaglio.store.lock import TaskLock
from intaglio.studio import clock
from intaglio.studio.carry_out import Watch, carry_out, lock_path
from intaglio.studio.parts import Parts
from intaglio.studio.queue import queue
from intaglio.studio.tasks import Tasks
from intaglio.studio.vary_draft import Draft


@dataclass(frozen=True)
class CellRun:
    """A cell and what became of it: its task ("" while it has none), how that stands, and why it failed.

    `steps` is how many steps really ran, `reused` how many were taken over; `seconds` is what the former took.
    """

    cell: int
    task: str = ""
    status: str = "open"
    note: str = ""
    steps: int = 0
    reused: int = 0
    seconds: float = 0.0

    @property
    def done(self) -> bool:
        """Whether it has its pictures."""
        return self.status == "done"


def write_down(parts: Parts, draft: Draft) -> None:
    """Keep the variation with all its plans, before the first run."""
    with parts.database.write():
        for document in (*draft.workflows, *draft.plans):
            parts.documents.put(document)
        parts.variations.add(draft.variation)


def states(parts: Parts, variation: Variation) -> list[CellRun]:
    """How each cell stands, in their order; the last task of a cell counts. Raises Damaged."""
    last = {run.cell: run.task for run in parts.variations.runs(variation.id)}
    tasks = Tasks(parts)
    return [
        _state(parts, cell, tasks.get(last[cell])) if cell in last else CellRun(cell)
        for cell in range(len(variation.cells))
    ]


def _state(parts: Parts, cell: int, task: Task) -> CellRun:
    records = parts.tasks.steps(task.id)
    ran = [record for record in records if not record.reused_from]
    return CellRun(
        cell=cell,
        task=task.id,
        status=task.status,
        note=task.error.message if task.error else "",
        steps=len({record.step for record in ran}),
        # What an earlier attempt ran, and a later one took over, was run.
        reused=len({record.step for record in records} - {record.step for record in ran}),
        seconds=sum(record.seconds for record in ran),
    )


def carry_on(
    parts: Parts, variation: Variation, *, watch: Watch, ran: Callable[[CellRun], None] = lambda run: None
) -> None:
    """Run every cell that is not done; `ran` hears of each as it ends. A cell that fails does not stop the others.

    Raises Cancelled, Unavailable (also when another process is at it) and what else stops all of them.
    """
    way_on = f"intaglio variations resume {variation.id}"
    with _alone(parts, variation):
        for state in states(parts, variation):
            if state.done:
                continue
            try:
                task = _carry(parts, variation, state, watch)
            except (NodeFailed, Invalid) as error:
                last = states_of(parts, variation, state.cell)
                ran(CellRun(state.cell, last.task, "failed", str(error), last.steps, last.reused, last.seconds))
            except Cancelled as error:
                error.hint = f"What was run is kept; go on with: {way_on}"
                raise
            except IntaglioError as error:
                error.way_on = way_on
                raise
            else:
                ran(_state(parts, state.cell, task))


def states_of(parts: Parts, variation: Variation, cell: int) -> CellRun:
    """How one cell stands."""
    return states(parts, variation)[cell]


@contextmanager
def _alone(parts: Parts, variation: Variation) -> Iterator[None]:
    """Be the only process that carries this variation out. Raises Unavailable."""
    try:
        lock = TaskLock.hold(parts.root / "locks" / f"variation-{variation.id}.lock")
    except Unavailable as error:
        raise Unavailable(
            f"variation {variation.id} is being carried out by another process", hint="Wait until that is done."
        ) from error
    with lock:
        yield


def _carry(parts: Parts, variation: Variation, state: CellRun, watch: Watch) -> Task:
    """Take up the cell's task where it stopped, or begin one. Whatever is there already is taken over."""
    if state.task and state.status in ("interrupted", "failed", "cancelled"):
        lock = TaskLock.hold(lock_path(parts, state.task))
        return carry_out(parts, state.task, lock, reuse="any", watch=watch)
    if state.task:
        raise Conflict(f"task {state.task} of variation {variation.id} is {state.status}")
    plan = parts.documents.get(Plan, variation.cells[state.cell].plan)
    with parts.database.write():
        task, lock = queue(parts, plan)
        try:
            parts.variations.add_run(
                VariationRun(variation=variation.id, cell=state.cell, task=task.id, created=clock.now())
            )
        except BaseException:
            lock.release()
            raise
    return carry_out(parts, task.id, lock, reuse="any", watch=watch)
