"""The worker: takes what waits in the queue, one after the other, and carries it out; models stay warm meanwhile."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress

from intaglio.core import attempt
from intaglio.core.errors import Cancelled, IntaglioError, StorageFailed, Unavailable, WorkerLost
from intaglio.core.queued import Queued
from intaglio.core.record import Json
from intaglio.core.retry import delay, is_transient
from intaglio.store import disk
from intaglio.store.lock import TaskLock
from intaglio.studio import clock, progress, taking, uploads
from intaglio.studio.carry_out import Runner, Watch, cancel_path, carry_out, lock_path
from intaglio.studio.logs import about
from intaglio.studio.open import Studio
from intaglio.studio.progress import Telling
from intaglio.worker import deaths
from intaglio.worker.callbacks import Callbacks
from intaglio.worker.calls import call
from intaglio.worker.stopping import Stopping

# How often an idle worker asks whether anybody wrote, and looks at the queue even if nobody did: what waits for a time
# may be due, what another worker was at may be free. How far down it looks.
POLL_S = 0.03
LOOK_S = 0.5
LOOKED_AT = 32
# Later than any time an entry waits for.
_EVER = "9999"
# So long is waited for whoever looks after a worker to say how it died.
_WORDS_S = 1.0

_log = logging.getLogger("intaglio.worker")


class Worker:
    """Carries out what is queued in one library until it is asked to stop."""

    def __init__(self, studio: Studio, stopping: Stopping) -> None:
        self._studio = studio
        self._parts = studio.parts
        self._stopping = stopping
        self._at: Queued | None = None
        # What stopped an attempt whose end could not be written down then.
        self._unwritten: dict[str, IntaglioError] = {}
        self._found_lost: dict[str, float] = {}
        self._troubles = 0

    def run(self, *, once: bool = False) -> None:
        """Work until asked to stop; with `once` until nothing is in the queue any more."""
        deaths.forget(self._parts.root, os.getpid())
        with suppress(Unavailable):  # each task that needs them says so
            _ = self._parts.types  # found once for all who sign
        _log.info("worker %d is at work on %s", os.getpid(), self._parts.root)
        with self._parts.database.changes() as changed:
            while not self._stopping.asked:
                try:
                    if self._one():
                        self._troubles = 0
                    elif once and not self._parts.queue.ready(_EVER):
                        break
                    else:
                        self._rest(changed)
                except IntaglioError as error:  # the library itself: a full disk, a locked database
                    self._pause(error)
        _log.info("worker %d stops", os.getpid())

    def _rest(self, changed: Callable[[], bool]) -> None:
        """Return once there may be something to do."""
        until = time.monotonic() + LOOK_S
        while not (self._stopping.wait(POLL_S) or changed() or time.monotonic() >= until):
            pass

    def abandon(self) -> None:
        """End this process now; what it is at goes back into the queue."""
        if self._at is not None:
            with suppress(IntaglioError):  # else the next worker finds it
                taking.stop(self._parts, self._at)
        os._exit(0)

    def _pause(self, error: IntaglioError) -> None:
        self._troubles += 1
        _log.warning("nothing can be done now: %s; again in %.0f s", error, delay(self._troubles))
        self._stopping.wait(delay(self._troubles))

    def _one(self) -> bool:
        """Carry out the first entry that nobody is at; whether there was one."""
        for entry in self._parts.queue.ready(clock.now(), LOOKED_AT):
            lock = self._held(entry)
            if lock is None:
                continue
            with lock, about(**{entry.what: entry.id}):
                try:
                    if self._waits(entry):
                        self._carry(entry, lock)
                        return True
                except Exception as error:
                    # Whatever is wrong with one entry, the others go on.
                    if isinstance(error, IntaglioError) and is_transient(error):
                        raise
                    _log.exception("%s %s is set aside", entry.what, entry.id)
                    taking.set_aside(self._parts, entry, _plain(error))
        return False

    def _held(self, entry: Queued) -> TaskLock | None:
        try:
            return TaskLock.hold(lock_path(self._parts, entry.id), timeout_s=0)
        except StorageFailed:
            raise
        except Unavailable:  # another worker is at it, or somebody at a terminal
            return None

    def _waits(self, entry: Queued) -> bool:
        """Whether an entry, whose lock is held, is to be carried out now; what its runner left behind is tidied up."""
        status = taking.record_of(self._parts, entry).status
        if status not in ("running", "interrupted"):
            return status == "queued"
        error = self._unwritten.get(entry.id) or self._loss(entry)
        if error is not None:
            now = taking.lost(self._parts, entry, error)
            self._unwritten.pop(entry.id, None)
            self._found_lost.pop(entry.id, None)
            _log.warning("%s %s is %s: %s", entry.what, entry.id, now, error)
        return False

    def _loss(self, entry: Queued) -> WorkerLost | None:
        """How the runner of an entry died; None while whoever looks after it may still say so."""
        pid = taking.runner_of(self._parts, entry)
        how = deaths.told(self._parts.root, pid)
        if not how and time.monotonic() - self._found_lost.setdefault(entry.id, time.monotonic()) < _WORDS_S:
            return None
        how = how or f"its process {pid} is gone, and nobody saw why"
        hint = f"See the log for why; then try again: intaglio {entry.what}s retry {entry.id}"
        error = WorkerLost(f"the worker died at {entry.what} {entry.id}: {how}", hint=hint)
        last = progress.read(self._parts, entry.id)
        error.step = last.step if last is not None else ""
        return error

    def _carry(self, entry: Queued, lock: TaskLock) -> None:
        """Carry out an entry. What it raises is in its record then; only what the library refuses leaves this."""
        began, self._at = time.monotonic(), entry
        try:
            words = self._task(entry, lock) if entry.what == "task" else self._job(entry)
            _log.info("%s %s is %s after %.2f s", entry.what, entry.id, words, time.monotonic() - began)
        except Exception as error:
            # A bug of ours must not end the worker either; it ends what it happened in.
            known = isinstance(error, IntaglioError)
            log = _log.info if isinstance(error, Cancelled) else _log.warning if known else _log.exception
            log("%s %s: %s", entry.what, entry.id, error)
            if taking.record_of(self._parts, entry).status == "running":  # that could not be written down
                self._unwritten[entry.id] = _plain(error)
            if isinstance(error, StorageFailed):
                raise
        finally:
            self._at = None

    def _task(self, entry: Queued, lock: TaskLock) -> str:
        task = self._parts.tasks.get(entry.id)
        return carry_out(
            self._studio.signed_by(task.author).parts,
            entry.id,
            lock,
            # What an earlier attempt finished is not done again, even where nobody else's is taken.
            reuse="own" if task.attempt and entry.reuse == "none" else entry.reuse,
            watch=Watch(cancelled=self._stopping.now, previews=True),
            paranoid=entry.paranoid,
            runner=Runner(
                begin=lambda: taking.begin(self._parts, entry), put_back=lambda error: self._put_back(entry, error)
            ),
        ).status

    def _put_back(self, entry: Queued, error: IntaglioError) -> bool:
        if cancel_path(self._parts, entry.id).exists():
            return False  # nobody wants it tried again
        if not isinstance(error, Cancelled):
            return taking.put_back(self._parts, entry, error)
        if not self._stopping.now():
            return False
        taking.stop(self._parts, entry)
        return True

    def _job(self, entry: Queued) -> str:
        disk.unlink(cancel_path(self._parts, entry.id))
        with self._parts.database.write():
            taking.begin(self._parts, entry)
            number = self._parts.jobs.get(entry.id).attempt + 1
            self._parts.jobs.advance(entry.id, "running", started=clock.now(), attempt=number, error=None)
            taking.tell(self._parts, entry, attempt.STARTED, "", taking.started(number))
        try:
            result = self._called(entry)
            return self._parts.jobs.advance(entry.id, "done", finished=clock.now(), result=result).status
        except IntaglioError as error:
            uploads.as_given(self._parts, error)
            with self._parts.database.write():
                if not self._put_back(entry, error):
                    taking.end(self._parts, entry, error)
            raise
        finally:
            with suppress(StorageFailed):
                disk.unlink(cancel_path(self._parts, entry.id))

    def _called(self, entry: Queued) -> Json:
        job = self._parts.jobs.get(entry.id)

        def cancelled() -> bool:
            return self._stopping.now() or cancel_path(self._parts, entry.id).exists()

        with Telling(self._parts, entry.id) as telling:
            callbacks = Callbacks(self._parts, entry.id, telling, cancelled)
            return call(self._studio.signed_by(job.author), job, callbacks)


def _plain(error: Exception) -> IntaglioError:
    """Any error as one that a record can keep."""
    if isinstance(error, IntaglioError):
        return error
    found = IntaglioError(f"Intaglio failed: {type(error).__name__}: {error}", hint="Report it, with the worker's log.")
    found.code = "internal"
    return found
