"""Carrying out a recorded task: the one door that runs and reproductions go through."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from intaglio.core import attempt
from intaglio.core.asset import Asset
from intaglio.core.canonical import digest_bytes
from intaglio.core.codec import digest as digest_of
from intaglio.core.context import Generation, Hooks, ModelFile
from intaglio.core.environment import Environment
from intaglio.core.errors import Cancelled, Damaged, IntaglioError, InvalidImage, NotFound, StorageFailed
from intaglio.core.image import Image
from intaglio.core.model import ModelRef
from intaglio.core.plan import Plan, Step
from intaglio.core.queued import Reuse
from intaglio.core.snapshot import StepResult
from intaglio.core.task import Failure, NodeRecord, Task
from intaglio.core.video import MEDIA_TYPES, Media, Video
from intaglio.core.workflow import Workflow
from intaglio.engine.environment import capture
from intaglio.engine.execute import Finished, Reused, Work, execute
from intaglio.engine.freeze import freeze
from intaglio.store import disk
from intaglio.store.lock import TaskLock
from intaglio.studio import clock
from intaglio.studio.drift import Warning
from intaglio.studio.models import Models
from intaglio.studio.parts import Parts
from intaglio.studio.progress import Telling
from intaglio.studio.saving import settle

CANCEL_POLL = 0.2
# What a task's log calls a step that gave other bytes than an earlier run of the same content key.
ALARM = "nondeterministic"


@dataclass(frozen=True)
class Watch:
    """How a caller follows a task: `progress(step, done, total)` with total 0 for a step that began, done == total for
    one that ended; `cancelled()` says whether to stop; `warn(warning)` hears what is to be known before it begins.
    `began(task)` hears the id of each task as it begins. `previews`: somebody may want to see how pictures come along
    (`studio.progress.preview`)."""

    progress: Callable[[Step, int, int], None] = lambda step, done, total: None
    cancelled: Callable[[], bool] = lambda: False
    warn: Callable[[Warning], None] = lambda warning: None
    began: Callable[[str], None] = lambda task: None
    previews: bool = False


def lock_path(parts: Parts, task_id: str) -> Path:
    """The file whose lock shows that a task has a living runner."""
    return parts.root / "locks" / f"{task_id}.lock"


def cancel_path(parts: Parts, task_id: str) -> Path:
    """The file whose presence asks a running task to stop."""
    return parts.root / "locks" / f"{task_id}.cancel"


@dataclass(frozen=True)
class Runner:
    """Who carries a task out for somebody else: `begin()` may still refuse to, by an exception; `put_back(error)` may
    put it back in the queue instead of ending it, and then gives True. Each is part of the transaction it is about."""

    begin: Callable[[], None] = lambda: None
    put_back: Callable[[IntaglioError], bool] = lambda error: False


def carry_out(
    parts: Parts,
    task_id: str,
    lock: TaskLock,
    *,
    reuse: Reuse,
    watch: Watch,
    paranoid: bool = False,
    runner: Runner | None = None,
) -> Task:
    """Run the plan of a recorded task whose lock is held, and let go of it. Its record says how it ended, whatever
    happens here. Raises what stopped it: Cancelled, NodeFailed, Unavailable, ...
    """
    with lock:
        # Who asked an earlier attempt to stop, and killed it before it did, does not mean this one.
        disk.unlink(cancel_path(parts, task_id))
        return _attempt(parts, task_id, reuse, watch, paranoid, runner or Runner())


def _attempt(parts: Parts, task_id: str, reuse: Reuse, watch: Watch, paranoid: bool, runner: Runner) -> Task:
    with parts.database.write():
        runner.begin()
        number = parts.tasks.get(task_id).attempt + 1
        task = parts.tasks.advance(task_id, "running", started=clock.now(), attempt=number, error=None)
        parts.tasks.log(task_id, attempt.STARTED, facts={"attempt": number, "pid": os.getpid()})
    try:
        watch.began(task_id)
        with Telling(parts, task_id) as telling:
            run = _Run(parts, task, reuse, watch, paranoid, telling)
            results = execute(run.plan, run.work())
            return run.finish(results)
    except (Cancelled, KeyboardInterrupt) as error:
        cancelled = Cancelled(
            f"task {task_id} was cancelled; what it finished is kept",
            hint=f"Go on with: {_way_on(task)}",
        )
        _end(parts, task, cancelled, runner)
        raise cancelled from error
    except IntaglioError as error:
        error.way_on = _way_on(task)
        _end(parts, task, error, runner)
        raise
    finally:
        with suppress(StorageFailed):  # the next attempt tries again
            disk.unlink(cancel_path(parts, task_id))


def _end(parts: Parts, task: Task, error: IntaglioError, runner: Runner) -> None:
    """Write down how an attempt ended that did not finish its task."""
    with parts.database.write():
        if runner.put_back(error):
            return
        if isinstance(error, Cancelled):
            parts.tasks.log(task.id, attempt.CANCELLED, facts={"attempt": task.attempt})
            parts.tasks.advance(task.id, "cancelled", finished=clock.now())
            return
        facts = {"attempt": task.attempt, "code": error.code, "message": str(error)}
        parts.tasks.log(task.id, attempt.FAILED, error.step, facts)
        parts.tasks.advance(task.id, "failed", finished=clock.now(), error=Failure.of(error))


def _way_on(task: Task) -> str:
    """The command that goes on with a task that did not finish; a reproduction is begun again."""
    if task.purpose == "reproduce":
        return f"intaglio versions reproduce {task.reproduces}"
    return f"intaglio tasks resume {task.id}"


class _Run:
    """One attempt at one task."""

    def __init__(self, parts: Parts, task: Task, reuse: Reuse, watch: Watch, paranoid: bool, telling: Telling) -> None:
        self.parts = parts
        self.task = task
        self.watch = watch
        self.policy = reuse
        self.paranoid = paranoid
        self.telling = telling
        self.models = Models(parts)
        self.plan = parts.documents.get(Plan, task.plan)
        self.drawn = {step.node for step in self.plan.steps if step.seed and step.seed.origin == "drawn"}
        self.files: dict[ModelRef, ModelFile] = {}
        self.environment = environment_of(parts, self.plan)
        self._polled = 0.0

    def work(self) -> Work:
        """What the engine needs, bound to this library and task."""
        from intaglio.imaging.png import encode

        def encoded(media: Media) -> tuple[str, bytes]:
            data = media.data if isinstance(media, Video) else encode(media)
            return digest_bytes(data), data

        return Work(
            types=self.parts.types,
            environment=digest_of(self.environment),
            load=lambda digest: load(self.parts, digest),
            find_model=self.find_model,
            generate=self.generate,
            encode=encoded,
            keep=self.keep,
            reuse=self.reuse,
            started=lambda step: self.progress(step, 0, 0),
            progress=self.progress,
            check=self.check,
        )

    def progress(self, step: Step, done: int, total: int) -> None:
        """Say how far a step is, to who called and to whoever looks on."""
        self.telling.tell(step.id, done, total)
        self.watch.progress(step, done, total)

    def generate(self, request: Generation, hooks: Hooks) -> Image:
        """Make a picture with the settings of the plan."""
        if self.watch.previews:
            hooks = replace(hooks, preview=self.telling.offer)
        return self.parts.backend(self.plan.threads, self.plan.deterministic).generate(request, hooks)

    def find_model(self, reference: ModelRef) -> ModelFile:
        """The file of a model. Found once for a run; the backend checks its content whenever it loads it."""
        if reference not in self.files:
            self.files[reference] = self.models.file(reference, full=self.paranoid)
        return self.files[reference]

    def check(self) -> None:
        """Raises Cancelled when the caller, or another process, asked to stop."""
        now = time.monotonic()
        polled = now - self._polled >= CANCEL_POLL
        if polled:
            self._polled = now
        if self.watch.cancelled() or (polled and cancel_path(self.parts, self.task.id).exists()):
            raise Cancelled("cancelled")

    def reuse(self, step: Step, key: str) -> Reused | None:
        """Earlier outputs with the same content key. Never for a drawn seed of another task, never in reproduction,
        and never for a key under which different outputs came out: none of them is the one."""
        if self.policy == "none":
            return None
        own_only = self.policy == "own" or step.node in self.drawn
        found = self.parts.tasks.reusable(key, task=self.task.id if own_only else None)
        if found is None or not all(self._whole(digest) for digest in found.outputs.values()):
            return None
        if self.parts.tasks.contradictions([key]):
            return None
        return Reused(found.outputs, found.task)

    def _whole(self, digest: str) -> bool:
        try:
            self.parts.blobs.verify(digest, full=False)
        except (NotFound, Damaged):
            return False
        return True

    def keep(self, finished: Finished, files: Mapping[str, bytes]) -> None:
        """Make a step durable: its files first, then the record that names them."""
        if files:
            self.parts.blobs.put_many(list(files.values()))
        step = finished.step
        alarm = "" if finished.reused_from else self._alarm(finished)
        record = NodeRecord(
            task=self.task.id,
            step=step.id,
            node=step.node,
            type=step.type,
            type_version=step.type_version,
            seed=step.seed,
            key=finished.key,
            inputs=finished.inputs,
            outputs=finished.outputs,
            started=clock.written_timestamp(finished.started),
            seconds=finished.seconds,
            attempt=self.task.attempt,
            reused_from=finished.reused_from,
            notes=(*finished.notes, alarm) if alarm else finished.notes,
            assets={name: asset.digest for name, asset in step.assets.items()},
        )
        assets = [
            _asset(finished.outputs[name], len(files[finished.outputs[name]]), media)
            for name, media in finished.made.items()
        ]
        what = "reused" if finished.reused_from else "done"
        facts = {"seed": step.seed.value, "origin": step.seed.origin} if step.seed else {}
        happened = [(what, step.id, facts)]
        if alarm:
            happened.append((ALARM, step.id, {"message": alarm}))
        self.parts.tasks.add_step(record, assets, happened)
        self.progress(step, 1, 1)

    def _alarm(self, finished: Finished) -> str:
        """What to say when this very step came out differently before; both results stay."""
        for earlier in reversed(self.parts.tasks.same_key(finished.key)):
            if dict(earlier.outputs) != dict(finished.outputs):
                return (
                    f"not deterministic: node {finished.step.id!r} gave other bytes in task {earlier.task} "
                    "with the same content key; both results are kept"
                )
        return ""

    def finish(self, results: tuple[StepResult, ...]) -> Task:
        """Freeze the run; the snapshot, the version if it becomes one, and the task's last word are one commit."""
        finished = clock.now()
        snapshot = freeze(
            task=self.task,
            created=finished,
            workflow=self.parts.documents.get(Workflow, self.plan.workflow.digest),
            plan=self.plan,
            results=results,
            environment=self.environment,
            types=self.parts.types,
            find_asset=self.parts.assets.get,
            find_model=lambda digest: self.parts.models.by_digest(digest)[0],
        )
        with self.parts.database.write():
            digest = self.parts.documents.put(snapshot)
            return settle(self.parts, self.parts.tasks.get(self.task.id), digest, finished)


def load(parts: Parts, digest: str) -> Media:
    """A stored picture or video. Raises NotFound, Damaged, InvalidImage."""
    from intaglio.imaging.decode import decode

    data, asset = parts.blobs.read(digest), parts.assets.get(digest)
    if asset.media_type not in MEDIA_TYPES:
        return decode(data)
    try:
        return Video(data, asset.media_type, asset.frames, asset.seconds, asset.width, asset.height)
    except ValueError as error:  # what another library said of it
        raise InvalidImage(f"the record of video {digest} makes no sense: {error}") from error


def _asset(digest: str, size: int, media: Media) -> Asset:
    if isinstance(media, Image):
        return Asset(
            digest=digest,
            size=size,
            media_type="image/png",
            width=media.width,
            height=media.height,
            pixels=media.digest,
        )
    return Asset(
        digest=digest,
        size=size,
        media_type=media.media_type,
        width=media.width,
        height=media.height,
        frames=media.frames,
        seconds=media.seconds,
    )


def environment_of(parts: Parts, plan: Plan) -> Environment:
    """The surroundings in which a plan would run now; the backend is asked only when a model is used, and the encoder
    only when a video is made."""
    models = any(step.models for step in plan.steps)
    backend = parts.backend_environment(plan.threads, plan.deterministic) if models else {}
    types = (parts.types.meaning(step.type, step.type_version) for step in plan.steps)
    video = any(node_type is not None and node_type.encodes_video for node_type in types)
    return capture(threads=plan.threads, deterministic=plan.deterministic, backend=backend, video=video)
