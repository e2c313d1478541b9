"""What a variation will cost, before anything is run: steps that are there already, and time by earlier runs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intaglio.core.codec import digest as digest_of
from intaglio.core.errors import Damaged, NotFound
from intaglio.core.plan import Plan, Step, content_key
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import NodeRecord
from intaglio.studio.carry_out import environment_of
from intaglio.studio.parts import Parts

# So many of the newest tasks are asked how long their steps took.
_HISTORY = 60
# Type, models, and the size of what came out: what the time of a step goes by.
_Kind = tuple[str, tuple[str, ...], int, int]


@dataclass(frozen=True)
class Cost:
    """What is ahead: `runs` that are not done, their `steps`, how many of those are `there` already, how many are
    `shared` (one run makes them, others take them over), and how many are `new`.

    `seconds` is about how long the new ones take by earlier runs, None where none tells; `untold` counts the new steps
    that no earlier run tells about.
    """

    runs: int
    steps: int
    there: int
    shared: int
    new: int
    seconds: float | None
    untold: int = 0


def cost(parts: Parts, base: Snapshot, plans: Sequence[Plan]) -> Cost:
    """What carrying out these plans takes, one after another."""
    if not plans:
        return Cost(0, 0, 0, 0, 0, None)
    counting = _Counting(parts, base, plans[0])
    for plan in plans:
        counting.plan(plan)
    seconds = [counting.times.seconds(step, plan) for plan, step in counting.new]
    told = [each for each in seconds if each is not None]
    return Cost(
        runs=len(plans),
        steps=sum(len(plan.steps) for plan in plans),
        there=counting.there,
        shared=counting.shared,
        new=len(counting.new),
        seconds=sum(told) if told or not seconds else None,
        untold=len(seconds) - len(told),
    )


class _Counting:
    """Goes through plans as carrying them out would, with keys in the place of what is not made yet."""

    def __init__(self, parts: Parts, base: Snapshot, first: Plan) -> None:
        self._parts = parts
        self._environment = digest_of(environment_of(parts, first))
        self._outputs: dict[str, Mapping[str, str] | None] = {}
        self.times = _Times(parts, base)
        self.there = self.shared = 0
        self.new: list[tuple[Plan, Step]] = []

    def plan(self, plan: Plan) -> None:
        """Count the steps of one more plan."""
        keys: dict[str, str] = {}
        for step in plan.steps:
            inputs = {name: self._digest(keys[source.step], source.output) for name, source in step.inputs.items()}
            key = keys[step.id] = content_key(plan, step, inputs, self._environment)
            if key in self._outputs:
                self.there += self._outputs[key] is not None
                self.shared += self._outputs[key] is None
                continue
            found = self._parts.tasks.reusable(key)
            if found is not None and self._parts.tasks.contradictions([key]):
                found = None
            self._outputs[key] = None if found is None else found.outputs
            if found is None:
                self.new.append((plan, step))
            else:
                self.there += 1

    def _digest(self, key: str, output: str) -> str:
        """What an input will be: the digest of what is there, or a word for what will be made."""
        outputs = self._outputs[key]
        return outputs[output] if outputs is not None else f"made by {key} {output}"


class _Times:
    """How long steps took: by type, models and size, for each denoising step where they have those."""

    def __init__(self, parts: Parts, base: Snapshot) -> None:
        self._sizes = {result.step: _size(base, next(iter(result.outputs.values()), "")) for result in base.results}
        self._took: dict[_Kind, list[float]] = {}
        for task_id in dict.fromkeys([base.task, *(task.id for task in parts.tasks.list(limit=_HISTORY))]):
            try:
                self._learn(parts, task_id)
            except (NotFound, Damaged):
                continue  # an imported run has no steps here; a damaged record tells nothing

    def _learn(self, parts: Parts, task_id: str) -> None:
        task = parts.tasks.get(task_id)
        if not task.snapshot:
            return
        snapshot = parts.documents.get(Snapshot, task.snapshot)
        steps = {step.id: step for step in snapshot.plan.steps}
        for record in parts.tasks.steps(task_id):
            if not record.reused_from and record.step in steps:
                self._add(snapshot, record, steps[record.step])

    def _add(self, snapshot: Snapshot, record: NodeRecord, step: Step) -> None:
        size = _size(snapshot, next(iter(record.outputs.values()), ""))
        self._took.setdefault(_kind(step, size), []).append(record.seconds / _units(step))

    def seconds(self, step: Step, plan: Plan) -> float | None:
        """About how long a step takes; None where nothing like it has run."""
        width, height = self._sizes.get(step.id, (0, 0))
        width, height = (_side(step, "width", width), _side(step, "height", height))
        took = self._took.get(_kind(step, (width, height)))
        return None if took is None else statistics.median(took) * _units(step)


def _kind(step: Step, size: tuple[int, int]) -> _Kind:
    return step.type, tuple(sorted(model.digest for model in step.models.values())), *size


def _units(step: Step) -> int:
    """The denoising steps of a step, 1 where it has none."""
    steps = step.params.get("steps")
    return steps if isinstance(steps, int) and steps > 0 else 1


def _side(step: Step, name: str, otherwise: int) -> int:
    value = step.params.get(name)
    return value if isinstance(value, int) and value > 0 else otherwise


def _size(snapshot: Snapshot, digest: str) -> tuple[int, int]:
    asset = snapshot.assets.get(digest)
    return (asset.width, asset.height) if asset is not None else (0, 0)
