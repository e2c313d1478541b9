"""Carrying out a plan, step by step. Nothing is decided here, so the record is what ran."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from intaglio.core.context import Context, Embedding, Generation, Hooks, Lora, ModelFile
from intaglio.core.entries import owner, slot
from intaglio.core.errors import IntaglioError, NodeFailed
from intaglio.core.image import Image
from intaglio.core.model import ModelRef
from intaglio.core.nodetype import NodeType, NodeTypes
from intaglio.core.plan import Plan, Step, content_key
from intaglio.core.snapshot import StepResult
from intaglio.core.video import Media, Video

MOST_WORKERS = 4


@dataclass(frozen=True)
class Finished:
    """A step that ended: its content key, inputs and outputs by digest, and how long it took in seconds.

    `made` holds the outputs that are new, by output name; the others in `outputs` are passed on or reused.
    """

    step: Step
    key: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    made: Mapping[str, Media]
    started: float
    seconds: float
    notes: tuple[str, ...]
    reused_from: str = ""


@dataclass(frozen=True)
class Reused:
    """Outputs of an earlier run that may stand for a step's: digests by output name, and the task they came from."""

    outputs: Mapping[str, str]
    task: str


@dataclass(frozen=True)
class Work:
    """What carrying out asks others for.

    `load(digest)` gives a picture or a video; `find_model(ref)` an exact file, checked; `generate` makes pixels;
    `encode` turns a picture or a video into the bytes of an asset and names them; `keep(finished, files)` makes a step
    durable before anyone depends on it; `reuse(step, key)` may offer earlier outputs; `check` raises Cancelled when the
    user asked to stop.
    """

    types: NodeTypes
    environment: str
    load: Callable[[str], Media]
    find_model: Callable[[ModelRef], ModelFile]
    generate: Callable[[Generation, Hooks], Image]
    encode: Callable[[Media], tuple[str, bytes]]
    keep: Callable[[Finished, Mapping[str, bytes]], None]
    reuse: Callable[[Step, str], Reused | None] = lambda step, key: None
    started: Callable[[Step], None] = lambda step: None
    progress: Callable[[Step, int, int], None] = lambda step, done, total: None
    check: Callable[[], None] = lambda: None
    workers: int = field(default_factory=lambda: min(MOST_WORKERS, os.cpu_count() or 1))


@dataclass
class _Value:
    """An output on its way: its digest, and itself while somebody still needs it."""

    digest: str
    media: Media | None


def execute(plan: Plan, work: Work) -> tuple[StepResult, ...]:
    """Run every step; independent ones at the same time. Results come in plan order, whoever finished first.

    Raises what a step raised: IntaglioError, or NodeFailed for anything its code let out.
    """
    run = _Run(plan, work)
    waiting = {step.id: {source.step for source in step.inputs.values()} for step in plan.steps}
    dependents: dict[str, list[str]] = {}
    for step_id, sources in waiting.items():
        for source in sources:
            dependents.setdefault(source, []).append(step_id)
    steps = {step.id: step for step in plan.steps}
    ready = [step_id for step_id, sources in waiting.items() if not sources]
    with ThreadPoolExecutor(work.workers, thread_name_prefix="intaglio-step") as pool:
        running: dict[Future[None], str] = {}
        try:
            while ready or running:
                for step_id in _finish(ready, running, run, steps, pool):
                    for dependent in dependents.get(step_id, ()):
                        waiting[dependent].discard(step_id)
                        if not waiting[dependent]:
                            ready.append(dependent)
        except BaseException:
            # Even on Ctrl-C: what waits must not start, what runs is told to stop by its own check.
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return tuple(run.results[step.id] for step in plan.steps)


def _finish(
    ready: list[str],
    running: dict[Future[None], str],
    run: _Run,
    steps: Mapping[str, Step],
    pool: ThreadPoolExecutor,
) -> list[str]:
    """Start all that is ready and wait for at least one end; a lone step runs right here, which costs no thread."""
    if len(ready) == 1 and not running:
        step_id = ready.pop()
        run.step(steps[step_id])
        return [step_id]
    while ready:
        step_id = ready.pop(0)
        running[pool.submit(run.step, steps[step_id])] = step_id
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    finished = []
    for future in done:
        future.result()
        finished.append(running.pop(future))
    return finished


class _Run:
    """The values of one run of a plan, and the carrying out of single steps."""

    def __init__(self, plan: Plan, work: Work) -> None:
        self.plan = plan
        self.work = work
        self.values: dict[tuple[str, str], _Value] = {}
        self.results: dict[str, StepResult] = {}
        self.needed = Counter((source.step, source.output) for step in plan.steps for source in step.inputs.values())

    def step(self, step: Step) -> None:
        """Run one step, or take over its earlier outputs, and make it durable."""
        self.work.check()
        inputs = {name: self.values[source.step, source.output].digest for name, source in step.inputs.items()}
        key = content_key(self.plan, step, inputs, self.work.environment)
        began, clock = time.time(), time.perf_counter()
        reused = self.work.reuse(step, key)
        if reused is not None:
            finished = Finished(step, key, inputs, reused.outputs, {}, began, 0.0, (), reused.task)
            files: dict[str, bytes] = {}
        else:
            self.work.started(step)
            notes: list[str] = []
            made, passed_on = self._call(step, notes)
            named = {name: self.work.encode(media) for name, media in made.items()}
            outputs = passed_on | {name: digest for name, (digest, _) in named.items()}
            files = {digest: data for digest, data in named.values()}
            seconds = time.perf_counter() - clock
            finished = Finished(step, key, inputs, outputs, made, began, seconds, tuple(notes))
        self.work.keep(finished, files)
        for name, digest in finished.outputs.items():
            self.values[step.id, name] = _Value(digest, finished.made.get(name))
        self.results[step.id] = StepResult(step=step.id, key=key, inputs=inputs, outputs=finished.outputs)
        self._release(step)

    def _call(self, step: Step, notes: list[str]) -> tuple[dict[str, Media], dict[str, str]]:
        """What a step made anew, and the digests of what it only passed on."""
        node_type = self.work.types.meaning(step.type, step.type_version)
        if node_type is None:
            raise NodeFailed(step.id, f"node type {step.type}@{step.type_version} is not installed")
        if node_type.version != step.type_version:
            notes.append(f"run by {node_type.name}@{node_type.version}, which does what {step.type_version} did")
        arriving = {name: self._media(source.step, source.output) for name, source in step.inputs.items()}
        arguments = _arguments(node_type, step, arriving)
        files = {name: self.work.load(asset.digest) for name, asset in step.assets.items()}
        result = _called(node_type, step, arguments, files, self._models(step, notes), self._context(step, notes))
        outputs = _outputs(node_type, step, result, arguments)
        origins = {id(media): self._digest(step, name) for name, media in arriving.items()}
        origins |= {id(media): step.assets[name].digest for name, media in files.items()}
        passed_on = {name: origins[id(media)] for name, media in outputs.items() if id(media) in origins}
        return {name: media for name, media in outputs.items() if name not in passed_on}, passed_on

    def _models(self, step: Step, notes: list[str]) -> dict[str, ModelFile]:
        files = {name: self.work.find_model(model) for name, model in step.models.items()}
        notes.extend(file.note for file in files.values() if file.note)
        return files

    def _digest(self, step: Step, name: str) -> str:
        source = step.inputs[name]
        return self.values[source.step, source.output].digest

    def _context(self, step: Step, notes: list[str]) -> Context:
        hooks = Hooks(
            progress=lambda done, total: self.work.progress(step, done, total),
            check=self.work.check,
            note=notes.append,
        )
        return Context(step=step.id, hooks=hooks, generate=self.work.generate)

    def _media(self, step_id: str, output: str) -> Media:
        value = self.values[step_id, output]
        if value.media is None:
            value.media = self.work.load(value.digest)
        return value.media

    def _release(self, step: Step) -> None:
        """Let go of what nobody will ask for again; the store has it."""
        for source in step.inputs.values():
            self.needed[source.step, source.output] -= 1
            if not self.needed[source.step, source.output]:
                self.values[source.step, source.output].media = None
        for output in self.results[step.id].outputs:
            if not self.needed[step.id, output]:
                self.values[step.id, output].media = None


def _called(
    node_type: NodeType,
    step: Step,
    inputs: Mapping[str, Media | tuple[Media, ...]],
    files: Mapping[str, Media],
    models: Mapping[str, ModelFile],
    context: Context,
) -> object:
    """Call a node's function with exactly what the plan says."""
    params = _params(node_type, step, models)
    single = {name: model for name, model in models.items() if owner(name) == name}
    seed = {"seed": step.seed.number} if step.seed is not None else {}
    missing = {port.name: None for port in node_type.inputs if port.name not in inputs}
    try:
        return node_type.function(context, **inputs, **missing, **params, **files, **single, **seed)
    except IntaglioError as error:
        error.step = error.step or step.id
        raise
    except (Exception, SystemExit) as error:
        # A node may be anybody's code; whatever it raises becomes a failed task, never a traceback for the user.
        raise NodeFailed(step.id, f"{type(error).__name__}: {error}") from error


def _params(node_type: NodeType, step: Step, models: Mapping[str, ModelFile]) -> dict[str, Any]:
    """The recorded parameters as the function takes them. Raises NodeFailed."""
    try:
        params: dict[str, Any] = node_type.migrate(step.type_version, step.params)
    except ValueError as error:
        raise NodeFailed(
            step.id, f"{node_type.name}@{node_type.version} cannot mean what was recorded: {error}"
        ) from error
    for param in node_type.params:
        if param.name not in params:
            continue
        words = params[param.name]
        match param.type:
            case "rational":
                params[param.name] = Fraction(words)
            case "number":
                # The written form of a record does not tell 4 from 4.0; the declaration does.
                params[param.name] = float(words)
            case "loras":
                files = _several(step, param.name, len(words), models)
                params[param.name] = tuple(Lora(file, float(word)) for file, word in zip(files, words, strict=True))
            case "embeddings":
                files = _several(step, param.name, len(words), models)
                params[param.name] = tuple(Embedding(file, word) for file, word in zip(files, words, strict=True))
    return params


def _several(step: Step, name: str, count: int, models: Mapping[str, ModelFile]) -> list[ModelFile]:
    slots = [slot(name, index) for index in range(count)]
    if set(slots) != {held for held in models if owner(held) == name}:
        raise NodeFailed(step.id, f"the record does not hold one model for each of its {name}")
    return [models[held] for held in slots]


def _arguments(node_type: NodeType, step: Step, arriving: Mapping[str, Media]) -> dict[str, Media | tuple[Media, ...]]:
    """The inputs as the function takes them, those that one input gathers together. Raises NodeFailed for a picture in
    the place of a video, or the other way round: a record from elsewhere may say anything."""
    arguments: dict[str, Media | tuple[Media, ...]] = {}
    left = dict(arriving)
    for port in node_type.inputs:
        names = [port.name]
        if port.gathers:
            names = [slot(port.name, index) for index in range(sum(owner(name) == port.name for name in arriving))]
        media = tuple(left.pop(name) for name in names if name in left)
        if not all(port.takes(_kind(one)) for one in media):
            raise NodeFailed(step.id, f"{node_type.name} takes {port.type} as its {port.name}, and got something else")
        if media:
            arguments[port.name] = media if port.gathers else media[0]
    if left:
        raise NodeFailed(step.id, f"{node_type.name} has no place for what the record gives it as {min(left)}")
    return arguments


def _kind(value: object) -> str:
    return "image" if isinstance(value, Image) else "video" if isinstance(value, Video) else ""


def _outputs(
    node_type: NodeType, step: Step, result: object, arguments: Mapping[str, Media | tuple[Media, ...]]
) -> dict[str, Media]:
    """What a function returned, by output. Raises NodeFailed when it is not what the node type declares."""
    values = result if isinstance(result, tuple) else (result,)
    handed = next((_kind(arguments.get(port.name)) for port in node_type.inputs if port.type == "media"), "")
    wanted = {port.name: handed if port.type == "media" else port.type for port in node_type.outputs}
    if len(values) != len(wanted) or any(
        _kind(value) != kind or not kind for value, kind in zip(values, wanted.values(), strict=True)
    ):
        raise NodeFailed(step.id, f"{node_type.name} did not return what it declares ({', '.join(wanted)})")
    return dict(zip(wanted, values, strict=True))
