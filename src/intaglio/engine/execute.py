"""Carrying out a plan, step by step. Nothing is decided here, so the record is what ran."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from intaglio.core.context import Context, Embedding, Generation, Hooks, Lora, ModelFile
from intaglio.core.entries import owner, slot
from intaglio.core.errors import IntaglioError, NodeFailed
from intaglio.core.image import Image
from intaglio.core.model import ModelRef
from intaglio.core.nodetype import NodeType, NodeTypes
from intaglio.core.plan import Plan, Step, content_key
from intaglio.core.snapshot import StepResult

MOST_WORKERS = 4


@dataclass(frozen=True)
class Finished:
    """A step that ended: its content key, inputs and outputs by digest, and how long it took in seconds.

    `images` holds the outputs that are new, by output name; the others in `outputs` are passed on or reused.
    """

    step: Step
    key: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    images: Mapping[str, Image]
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

    `load(digest)` gives a picture; `find_model(ref)` an exact file, checked; `generate` makes pixels; `encode` turns a
    picture into the bytes of an asset and names them; `keep(finished, files)` makes a step durable before anyone
    depends on it; `reuse(step, key)` may offer earlier outputs; `check` raises Cancelled when the user asked to stop.
    """

    types: NodeTypes
    environment: str
    load: Callable[[str], Image]
    find_model: Callable[[ModelRef], ModelFile]
    generate: Callable[[Generation, Hooks], Image]
    encode: Callable[[Image], tuple[str, bytes]]
    keep: Callable[[Finished, Mapping[str, bytes]], None]
    reuse: Callable[[Step, str], Reused | None] = lambda step, key: None
    started: Callable[[Step], None] = lambda step: None
    progress: Callable[[Step, int, int], None] = lambda step, done, total: None
    check: Callable[[], None] = lambda: None
    workers: int = field(default_factory=lambda: min(MOST_WORKERS, os.cpu_count() or 1))


@dataclass
class _Value:
    """An output on its way: its digest, and its pixels while somebody still needs them."""

    digest: str
    image: Image | None


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
            images, passed_on = self._call(step, notes)
            named = {name: self.work.encode(image) for name, image in images.items()}
            outputs = passed_on | {name: digest for name, (digest, _) in named.items()}
            files = {digest: data for digest, data in named.values()}
            seconds = time.perf_counter() - clock
            finished = Finished(step, key, inputs, outputs, images, began, seconds, tuple(notes))
        self.work.keep(finished, files)
        for name, digest in finished.outputs.items():
            self.values[step.id, name] = _Value(digest, finished.images.get(name))
        self.results[step.id] = StepResult(step=step.id, key=key, inputs=inputs, outputs=finished.outputs)
        self._release(step)

    def _call(self, step: Step, notes: list[str]) -> tuple[dict[str, Image], dict[str, str]]:
        """The new pictures a step made, and the digests of those it only passed on."""
        node_type = self.work.types.meaning(step.type, step.type_version)
        if node_type is None:
            raise NodeFailed(step.id, f"node type {step.type}@{step.type_version} is not installed")
        if node_type.version != step.type_version:
            notes.append(f"run by {node_type.name}@{node_type.version}, which does what {step.type_version} did")
        arguments = {name: self._image(source.step, source.output) for name, source in step.inputs.items()}
        files = {name: self.work.load(asset.digest) for name, asset in step.assets.items()}
        result = _called(node_type, step, arguments, files, self._models(step, notes), self._context(step, notes))
        outputs = _outputs(node_type, step, result)
        origins = {id(image): self._digest(step, name) for name, image in arguments.items()}
        origins |= {id(image): step.assets[name].digest for name, image in files.items()}
        passed_on = {name: origins[id(image)] for name, image in outputs.items() if id(image) in origins}
        return {name: image for name, image in outputs.items() if name not in passed_on}, passed_on

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

    def _image(self, step_id: str, output: str) -> Image:
        value = self.values[step_id, output]
        if value.image is None:
            value.image = self.work.load(value.digest)
        return value.image

    def _release(self, step: Step) -> None:
        """Let go of pixels nobody will ask for again; the store has them."""
        for source in step.inputs.values():
            self.needed[source.step, source.output] -= 1
            if not self.needed[source.step, source.output]:
                self.values[source.step, source.output].image = None
        for output in self.results[step.id].outputs:
            if not self.needed[step.id, output]:
                self.values[step.id, output].image = None


def _called(
    node_type: NodeType,
    step: Step,
    inputs: Mapping[str, Image],
    files: Mapping[str, Image],
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
    except Exception as error:
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


def _outputs(node_type: NodeType, step: Step, result: object) -> dict[str, Image]:
    values = result if isinstance(result, tuple) else (result,)
    names = [port.name for port in node_type.outputs]
    if len(values) != len(names) or not all(isinstance(value, Image) for value in values):
        raise NodeFailed(step.id, f"{node_type.name} did not return the pictures it declares ({', '.join(names)})")
    return dict(zip(names, values, strict=True))
