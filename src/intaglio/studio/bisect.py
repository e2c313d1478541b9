"""Finding what makes two runs differ: runs between them, with some of the changes made and others not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from shlex import quote
from typing import TYPE_CHECKING, Literal

from intaglio.core.asset import Asset
from intaglio.core.changes import Change, Changes, downstream, with_fixed_seeds
from intaglio.core.difference import environment_changes
from intaglio.core.errors import Cancelled, CannotReproduce, Damaged, Invalid, InvalidImage, NodeFailed, NotFound
from intaglio.core.fidelity import SIMILAR_SSIM
from intaglio.core.isolate import Like, isolate, most_tries
from intaglio.core.plan import Plan
from intaglio.core.queued import Reuse
from intaglio.core.snapshot import Snapshot
from intaglio.core.video import MEDIA_TYPES
from intaglio.studio.carry_out import Watch, carry_out
from intaglio.studio.grading import grade
from intaglio.studio.measure import clip_verdict, compare_assets
from intaglio.studio.parts import Parts
from intaglio.studio.queue import queue

if TYPE_CHECKING:
    from intaglio.imaging.clips import ClipNumbers
    from intaglio.imaging.metrics import Difference

MARK = "bisect: "
_SSIM = re.compile(r"ssim\s*>=\s*([01](?:\.\d{1,6})?)\Z")

# alone: one change makes the whole difference. together: several do, each by itself makes none. each: several do, and
# some of them make a part of it. same: there is nothing to find. elsewhere: no change of the plan explains it.
Verdict = Literal["alone", "together", "each", "same", "elsewhere"]


@dataclass(frozen=True)
class Named:
    """A run, what to call it, and the digest of the version it is, "" for a task that became none."""

    name: str
    snapshot: Snapshot
    version: str = ""


@dataclass(frozen=True)
class Metric:
    """What counts as the same: identical pixels, or a structural similarity of at least `ssim`."""

    ssim: float | None

    @classmethod
    def read(cls, text: str) -> Metric:
        """From "identical", "similar" or "ssim>=X". Raises Invalid."""
        if text in ("identical", "similar"):
            return cls(SIMILAR_SSIM if text == "similar" else None)
        found = _SSIM.match(text)
        if found is None or not 0 < float(found[1]) <= 1:
            raise Invalid(f"{text[:40]!r} is no metric", hint="Give identical, similar, or ssim>=X with X from 0 to 1.")
        return cls(float(found[1]))

    def same(self, apart: Apart) -> bool:
        """Whether pictures that far apart count as the same."""
        return apart.identical or (self.ssim is not None and apart.ssim is not None and apart.ssim >= self.ssim)


@dataclass(frozen=True)
class Apart:
    """How far the outputs of two runs are apart, the farthest of them: differences in 8-bit steps. The numbers are None
    where they cannot be compared pixel by pixel; `note` says why."""

    identical: bool
    max_difference: int | None = None
    mean_difference: float | None = None
    changed_share: float | None = None
    ssim: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Prospect:
    """What a bisection would do: the changes it has to tell apart, how many runs it makes at most, and about how many
    seconds that takes, None where no earlier run tells. With `runs` 0, `answer` says why there is nothing to run."""

    good: str
    bad: str
    apart: Apart
    changes: tuple[Change, ...]
    suspects: tuple[str, ...]
    runs: int
    seconds: float | None
    answer: str = ""


@dataclass(frozen=True)
class Try:
    """One run in between: the changes made to the good plan, its task, and how far it is from the good and the bad.

    `like` is what it came out like; "neither" also when it failed, then `note` says how.
    """

    changes: tuple[Change, ...]
    task: str
    like: Like
    from_good: Apart | None = None
    from_bad: Apart | None = None
    note: str = ""


@dataclass(frozen=True)
class Bisected:
    """The answer, and the runs that gave it. `cause` are the changes it names."""

    good: str
    bad: str
    verdict: Verdict
    answer: str
    cause: tuple[Change, ...]
    changes: tuple[Change, ...]
    suspects: tuple[str, ...]
    apart: Apart
    tries: tuple[Try, ...]


def prospect(parts: Parts, good: Named, bad: Named, metric: Metric) -> Prospect:
    """What there is to find, before anything is run. Raises CannotReproduce when one of the two could not run here."""
    changes = Changes(with_fixed_seeds(good.snapshot.plan), with_fixed_seeds(bad.snapshot.plan))
    apart = _apart(parts, good.snapshot, bad.snapshot)
    suspects = tuple(environment_changes(good.snapshot, bad.snapshot))
    found = Prospect(good.name, bad.name, apart, changes.all, suspects, 0, None)
    if metric.same(apart):
        return replace(
            found, answer=f"{good.name} and {bad.name} do not differ by this metric; there is nothing to find"
        )
    if not changes.all:
        return replace(found, answer=f"{good.name} and {bad.name} asked for the same work: {_around(suspects)}")
    for side in (good, bad):
        predicted = grade(parts, side.snapshot, side.snapshot.plan)
        if predicted.grade == "partial":
            gap = next(gap for gap in predicted.gaps if gap.best == "partial")
            raise CannotReproduce(f"{side.name} cannot run here: {gap.message}", grade=predicted, hint=gap.remedy)
    runs = 1 + most_tries(len(changes.all))
    return replace(found, runs=runs, seconds=_seconds(parts, good.snapshot, bad.snapshot, changes, runs))


def bisect(
    parts: Parts,
    good: Named,
    bad: Named,
    metric: Metric,
    *,
    watch: Watch,
    tried: Callable[[Try], None] = lambda one: None,
) -> Bisected:
    """Run between two runs until it is known which changes make them differ; `tried` hears of each run as it ends.

    Each run is a task of its own, which takes over finished steps of others; so a second call goes on where a cancelled
    one stopped. Raises CannotReproduce, Cancelled, and what else stops a run.
    """
    ahead = prospect(parts, good, bad, metric)
    search = _Search(parts, good, bad, metric, watch, tried)

    def answered(verdict: Verdict, answer: str, cause: Collection[Change] = ()) -> Bisected:
        return Bisected(
            good=good.name,
            bad=bad.name,
            verdict=verdict,
            answer=answer,
            cause=tuple(cause),
            changes=ahead.changes,
            suspects=ahead.suspects,
            apart=ahead.apart,
            tries=tuple(search.tries),
        )

    if not ahead.runs:
        return answered("same" if metric.same(ahead.apart) else "elsewhere", ahead.answer)
    control = search.run((), reuse="none")
    if control.like != "good":
        words = f"{good.name} does not come back here ({_far(control.from_good, control.note)}): "
        return answered("elsewhere", words + _around(ahead.suspects))
    cause = isolate(ahead.changes, search.like)
    if cause is None:
        words = f"all {len(ahead.changes)} changes together do not give {bad.name} here: "
        return answered("elsewhere", words + _around(ahead.suspects))
    singles = [search.of([change]) for change in cause]
    verdict: Verdict = "alone" if len(cause) == 1 else "each"
    if len(cause) > 1 and all(single.like == "good" for single in singles):
        verdict = "together"
    return answered(verdict, _answer(verdict, singles, len(search.tries)), cause)


def _answer(verdict: Verdict, singles: list[Try], runs: int) -> str:
    names = [str(single.changes[0]) for single in singles]
    count = f"({runs} runs)"
    if verdict == "alone":
        return f"{names[0]} alone makes the difference {count}"
    if verdict == "together":
        return f"only together: {' + '.join(names)} {count}"
    each = "; ".join(f"{name}: {_far(one.from_good, one.note)}" for name, one in zip(names, singles, strict=True))
    return f"together: {' + '.join(names)} {count}; alone each makes some of it: {each}"


def _far(apart: Apart | None, note: str = "") -> str:
    if apart is None or (apart.max_difference is None and not apart.identical):
        return (apart.note if apart else "") or note or "different"
    return "no difference" if apart.identical else f"largest difference {apart.max_difference}/255"


def _around(suspects: tuple[str, ...]) -> str:
    """What to suspect when no change of the plan explains a difference."""
    known = f"their records also tell apart: {'; '.join(suspects)}" if suspects else "their records tell nothing apart"
    return f"what differs is around the runs, not in what was asked; {known}"


class _Search:
    """The runs of one bisection."""

    def __init__(
        self, parts: Parts, good: Named, bad: Named, metric: Metric, watch: Watch, tried: Callable[[Try], None]
    ) -> None:
        self.parts, self.good, self.bad = parts, good, bad
        self.metric, self.watch, self.tried = metric, watch, tried
        self.between = Changes(with_fixed_seeds(good.snapshot.plan), with_fixed_seeds(bad.snapshot.plan))
        self.tries: list[Try] = []

    def like(self, chosen: Collection[Change]) -> Like:
        """What the good plan with these changes comes out like."""
        return self.of(chosen).like

    def of(self, chosen: Collection[Change]) -> Try:
        """The run with these changes: an earlier one, or a new one."""
        wanted = [change for change in self.between.all if change in chosen]
        known = next((one for one in self.tries if list(one.changes) == wanted), None)
        return known or self.run(tuple(wanted), reuse="any")

    def run(self, changes: tuple[Change, ...], *, reuse: Reuse) -> Try:
        """Run the good plan with these changes and hold it against both sides."""
        plan = self._marked(self.between.plan(changes), changes)
        task, lock = queue(self.parts, plan)
        try:
            task = carry_out(self.parts, task.id, lock, reuse=reuse, watch=self.watch)
        except (NodeFailed, Invalid) as error:
            # A mixture may be nothing that a node can do, as a mask without the model that takes one.
            found = Try(changes, task.id, "neither", note=f"it failed: {error}")
        except Cancelled as error:
            names = " ".join(quote(side.name) for side in (self.good, self.bad))
            error.hint = f"What was run is kept and taken over by: intaglio versions bisect {names}"
            raise
        else:
            found = self._measured(changes, self.parts.documents.get(Snapshot, task.snapshot))
        self.tries.append(found)
        self.tried(found)
        return found

    def _marked(self, plan: Plan, changes: tuple[Change, ...]) -> Plan:
        """The plan, saying of itself what it is."""
        said = [f"{MARK}{change}" for change in changes] or [f"{MARK}{self.good.name} unchanged"]
        return replace(plan, workflow=replace(plan.workflow, changes=(*plan.workflow.changes, *said)))

    def _measured(self, changes: tuple[Change, ...], again: Snapshot) -> Try:
        good, bad = (_apart(self.parts, side.snapshot, again) for side in (self.good, self.bad))
        like: Like = "neither"
        if self.metric.same(good) or self.metric.same(bad):
            # With a lenient metric it may pass for both: then it is like the one it is nearer to.
            like = "good" if _near(good) >= _near(bad) else "bad"
        return Try(changes, again.task, like, good, bad)


def _near(apart: Apart) -> float:
    return 2.0 if apart.identical else -2.0 if apart.ssim is None else apart.ssim


def _apart(parts: Parts, before: Snapshot, after: Snapshot) -> Apart:
    """How far the outputs of two runs are apart: of the same steps where both have those, else in their order."""
    old, new = _outputs(before), _outputs(after)
    if len(old) != len(new):
        return Apart(False, note=f"{len(old)} outputs became {len(new)}")
    keys = zip(old, old if old.keys() == new.keys() else new, strict=True)
    found = [_pair_apart(parts, old[mine], new[theirs]) for mine, theirs in keys]
    return min(found, key=_near, default=Apart(False, note="there is no output to compare"))


def _outputs(snapshot: Snapshot) -> dict[tuple[str, int], Asset]:
    """The outputs by step, and by their place where a step has several."""
    seen: Counter[str] = Counter()
    found: dict[tuple[str, int], Asset] = {}
    for output in snapshot.outputs:
        found[output.step, seen[output.step]] = snapshot.assets[output.asset]
        seen[output.step] += 1
    return found


def _pair_apart(parts: Parts, old: Asset, new: Asset) -> Apart:
    from intaglio.imaging.decode import decode
    from intaglio.imaging.metrics import compare

    if old.digest == new.digest or (old.pixels and old.pixels == new.pixels):
        return Apart(True, 0, 0.0, 0.0, 1.0)
    try:
        if old.media_type in MEDIA_TYPES or new.media_type in MEDIA_TYPES:
            return _clips_apart(compare_assets(parts, old, new, flip=False).numbers)
        first, second = (decode(parts.blobs.read(asset.digest)) for asset in (old, new))
    except (Damaged, NotFound, InvalidImage) as error:
        return Apart(False, note=f"a stored picture cannot be read: {error}")
    if (first.mode, first.width, first.height) != (second.mode, second.width, second.height):
        return Apart(False, note=f"{old.width}x{old.height} became {new.width}x{new.height}")
    found: Difference = compare(first, second, flip=False)
    return Apart(
        found.max_difference == 0, found.max_difference, found.mean_difference, found.changed_share, found.ssim
    )


def _clips_apart(numbers: ClipNumbers) -> Apart:
    """How far two clips are apart; without numbers where one has frames that the other lacks."""
    if clip_verdict(numbers) == "identical pixels":
        return Apart(True, 0, 0.0, 0.0, 1.0)
    if numbers.other_sizes or numbers.old.frames != numbers.new.frames:
        return Apart(False, note=f"{numbers.old.frames} frames became {numbers.new.frames}, or of another size")
    return Apart(False, numbers.max_difference, numbers.mean_difference, numbers.changed_share, numbers.lowest_ssim)


def _seconds(parts: Parts, good: Snapshot, bad: Snapshot, changes: Changes, runs: int) -> float | None:
    """About how long the runs take: one of everything, the others of what follows the changes."""
    took: dict[str, float] = {}
    for snapshot in (good, bad):
        for result in snapshot.results:
            ran = [record.seconds for record in parts.tasks.same_key(result.key) if not record.reused_from]
            took[result.step] = max([took.get(result.step, 0.0), *ran[-1:]])
    if not any(took.values()):
        return None
    nodes = {change.node for change in changes.all}
    again: set[str] = set()
    for plan in (good.plan, bad.plan):
        again |= downstream(plan, {step.node for step in plan.steps} if "" in nodes else nodes)
    whole = sum(took.get(step.id, 0.0) for step in good.plan.steps)
    return whole + (runs - 1) * sum(took.get(step, 0.0) for step in again)
