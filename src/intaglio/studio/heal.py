"""Healing: a lost or damaged file made again from the record of what made it, and accepted only if it is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from intaglio.core.asset import ADDRESS, Asset
from intaglio.core.canonical import PREFIX
from intaglio.core.errors import Cancelled, Damaged, IntaglioError, InvalidImage, NotFound
from intaglio.core.grade import Grade
from intaglio.core.image import Image
from intaglio.core.plan import AssetRef, Plan, Source, Step
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import Task
from intaglio.core.video import MEDIA_TYPES
from intaglio.studio.assets import Assets
from intaglio.studio.carry_out import Watch, carry_out
from intaglio.studio.grading import grade
from intaglio.studio.parts import Parts
from intaglio.studio.queue import queue
from intaglio.studio.recognise import MAX_BYTES
from intaglio.studio.versions import Versions

if TYPE_CHECKING:
    from intaglio.imaging.metrics import Difference

GIVEN = "reference-image"
AGAIN = "Go on with: intaglio library heal"

# "can be tried" only in a dry run; "failed": it was tried, and the run did not come to its end.
Outcome = Literal["healed", "different", "impossible", "failed", "can be tried"]


@dataclass(frozen=True)
class Healing:
    """What came of one lost or damaged asset.

    `problem` and `message` say in words what was wrong and what came of it; `versions` are the names of those that keep
    it as an output. `step` made it, and `task` tried to make it again. `produced` is the digest that came out, and
    `difference` how far that is from the damaged picture, None where that can no longer be decoded. `set_aside` is the
    file that holds the damaged bytes now, "" where there are none.
    """

    asset: str
    problem: str
    outcome: Outcome
    message: str
    hint: str = ""
    versions: tuple[str, ...] = ()
    step: str = ""
    task: str = ""
    grade: Grade | None = None
    produced: str = ""
    difference: Difference | None = None
    set_aside: str = ""


@dataclass(frozen=True)
class _Maker:
    """A run that made an asset: the task, the step, and the plan of all that has to run to make it again."""

    task: Task
    snapshot: Snapshot
    step: str
    plan: Plan
    grade: Grade


def lost(
    parts: Parts, references: Iterable[str], *, progress: Callable[[int, int], None] | None = None
) -> dict[str, str]:
    """The assets that are gone or not what was stored, with what is wrong in words. Every byte is read.

    `references` are assets (digests, addresses) and versions; without any, all assets are looked at. Raises NotFound,
    Conflict, Damaged (a record cannot be read).
    """
    named = {digest for reference in references for digest in _named(parts, reference)}
    wanted = sorted(named if references else parts.assets.digests())
    broken: dict[str, str] = {}
    for index, digest in enumerate(wanted):
        if problem := _problem(parts, digest):
            broken[digest] = problem
        if progress:
            progress(index + 1, len(wanted))
    return broken


def heal(parts: Parts, broken: dict[str, str], *, dry_run: bool, watch: Watch) -> list[Healing]:
    """Make each of these assets again, one after the other. Raises Cancelled; what is healed by then is kept."""
    aside: dict[str, Path] = {}
    found: list[Healing] = []
    for digest, problem in broken.items():
        healing = _healed(parts, digest, problem, dry_run, watch, aside)
        found.append(replace(healing, set_aside=str(aside.get(digest, ""))))
    return found


def _named(parts: Parts, reference: str) -> set[str]:
    """The assets that a reference means: one, or all that a version's snapshot names."""
    hexpart = reference.removeprefix(ADDRESS).removeprefix(PREFIX)
    if len(hexpart) >= 6 and not set(hexpart) - set("0123456789abcdef"):
        try:
            return {Assets(parts).show(reference).digest}
        except NotFound:  # then it may be a version's digest
            pass
    return set(Versions(parts).snapshot(reference).assets)


def _problem(parts: Parts, digest: str) -> str:
    """What is wrong with a stored file, "" when nothing is."""
    try:
        parts.blobs.verify(digest, full=True)
    except (Damaged, NotFound) as error:
        return str(error)
    return ""


def _healed(parts: Parts, digest: str, problem: str, dry_run: bool, watch: Watch, aside: dict[str, Path]) -> Healing:
    found = Healing(asset=digest, problem=problem, outcome="impossible", message="", versions=_versions(parts, digest))
    if not _problem(parts, digest):
        task = parts.assets.tasks_of(digest)[-1:]
        return replace(found, outcome="healed", message="made again on the way to another", task="".join(task))
    makers = sorted(
        _makers(parts, digest), key=lambda maker: ("full", "approximate", "partial").index(maker.grade.grade)
    )
    if not makers:
        return _without_maker(parts, found)
    best = makers[0]
    found = replace(found, step=best.step, grade=best.grade)
    if best.grade.grade == "partial":
        gap = next(gap for gap in best.grade.gaps if gap.best == "partial")
        return replace(found, message=f"node {best.step!r} cannot run now: {gap.message}", hint=gap.remedy)
    if dry_run:
        what = f"node {best.step!r} of task {best.task.id} would run again, graded {best.grade.grade}"
        return replace(found, outcome="can be tried", message=what)
    for maker in makers:
        if maker.grade.grade != "partial":
            found = _tried(parts, found, maker, watch, aside)
        if found.outcome == "healed":
            break
    return found


def _versions(parts: Parts, digest: str) -> tuple[str, ...]:
    """The names of the versions that keep an asset as an output."""
    kept = parts.assets.versions_of(digest)
    found = [parts.versions.get(one) for one in kept]
    return tuple(f"{version.workflow.name}/{version.name}" for version in found)


def _makers(parts: Parts, digest: str) -> Iterator[_Maker]:
    """The finished runs that made an asset, the newest first; of several that did the very same, one."""
    seen: set[object] = set()
    for task, snapshot in _runs(parts, digest):
        step = _producer(snapshot, digest)
        if step is None:
            continue
        plan = _remaking(parts, snapshot, step)
        same = (plan.threads, plan.deterministic, plan.steps)
        if same not in seen:
            seen.add(same)
            yield _Maker(task, snapshot, step.id, plan, grade(parts, snapshot, plan))


def _runs(parts: Parts, digest: str) -> Iterator[tuple[Task, Snapshot]]:
    for task_id in reversed(parts.assets.tasks_of(digest)):
        task = parts.tasks.get(task_id)
        if task.snapshot:
            try:
                yield task, parts.documents.get(Snapshot, task.snapshot)
            except (Damaged, NotFound):
                continue  # that record is lost itself; another run may have made the same


def _producer(snapshot: Snapshot, digest: str) -> Step | None:
    """The step that made an asset, and did not only hand it on; None when it was brought in."""
    for result in snapshot.results:
        step = snapshot.plan.step(result.step)
        handed = {*result.inputs.values(), *(asset.digest for asset in step.assets.values())}
        if digest in result.outputs.values() and digest not in handed:
            return step
    return None


def _remaking(parts: Parts, snapshot: Snapshot, wanted: Step) -> Plan:
    """The plan that makes a step's pictures again: pictures in between that are intact are taken from the store, and
    only what leads to others runs."""
    results = {result.step: result for result in snapshot.results}
    needed, steps, given = {wanted.id}, list[Step](), dict[str, Step]()
    for step in reversed(snapshot.plan.steps):
        if step.id not in needed:
            continue
        inputs: dict[str, Source] = {}
        for name, source in step.inputs.items():
            picture = results[source.step].outputs[source.output]
            # No step hands a video on from the store, so it is made again too.
            if _problem(parts, picture) or snapshot.assets[picture].media_type in MEDIA_TYPES:
                needed.add(source.step)
                inputs[name] = source
            else:
                taken = _given(parts, source, snapshot.assets[picture])
                given[taken.id] = taken
                inputs[name] = Source(step=taken.id, output="image")
        steps.append(replace(step, inputs=inputs))
    return replace(snapshot.plan, steps=(*given.values(), *reversed(steps)))


def _given(parts: Parts, source: Source, asset: Asset) -> Step:
    """A step that hands on a picture from the store instead of making it."""
    name = f"{source.step}:{source.output}"
    picture = AssetRef(digest=asset.digest, media_type=asset.media_type, address=asset.address, name=name)
    version = parts.types[GIVEN].version
    return Step(id=name, node=name, type=GIVEN, type_version=version, params={}, assets={"image": picture})


def _tried(parts: Parts, found: Healing, maker: _Maker, watch: Watch, aside: dict[str, Path]) -> Healing:
    """Run what made the asset, and see whether it is there again."""
    aside |= _set_aside(parts, maker)
    found = replace(found, step=maker.step, grade=maker.grade)
    task, lock = queue(parts, maker.plan, reproduces=maker.task.version or maker.task.reproduces)
    parts.tasks.log(task.id, "healing", maker.step, {"asset": found.asset})
    try:
        task = carry_out(parts, task.id, lock, reuse="none", watch=watch)
    except Cancelled as error:
        error.hint = f"What is healed is kept. {AGAIN}"
        raise
    except IntaglioError as error:
        message = f"node {maker.step!r} was run again and failed: {error}"
        return replace(found, outcome="failed", message=message, hint=error.hint, task=task.id)
    produced = _produced(parts, maker, task, found.asset)
    healed = not _problem(parts, found.asset)
    parts.tasks.log(task.id, "healed" if healed else "not healed", maker.step, {"asset": found.asset, "got": produced})
    if healed:
        message = f"node {maker.step!r} made the very same bytes again"
        return replace(found, outcome="healed", message=message, task=task.id, produced=produced)
    return replace(
        found,
        outcome="different",
        message=f"node {maker.step!r} made {produced} now; predicted was {maker.grade.grade}",
        hint=" ".join(dict.fromkeys(gap.remedy for gap in maker.grade.gaps))
        or "What came out is kept under its own digest.",
        task=task.id,
        produced=produced,
        difference=_difference(_damaged_image(aside.get(found.asset)), _image(parts, produced)),
    )


def _produced(parts: Parts, maker: _Maker, task: Task, asset: str) -> str:
    """What came out where the asset came out then."""
    before = next(result.outputs for result in maker.snapshot.results if result.step == maker.step)
    again = parts.documents.get(Snapshot, task.snapshot)
    after = next(result.outputs for result in again.results if result.step == maker.step)
    return next(after[name] for name, digest in before.items() if digest == asset)


def _set_aside(parts: Parts, maker: _Maker) -> dict[str, Path]:
    """Move every damaged file that the run may write anew into quarantine; where each is now."""
    aside: dict[str, Path] = {}
    results = {result.step: result for result in maker.snapshot.results}
    for step in maker.plan.steps:
        for digest in results[step.id].outputs.values() if step.id in results else ():
            kept = parts.blobs.quarantine(digest) if _problem(parts, digest) else None
            if kept is not None:
                aside[digest] = kept
    return aside


def _damaged_image(path: Path | None) -> Image | None:
    """The picture in a damaged file, as far as it can still be decoded."""
    try:
        return _decoded(path.read_bytes()) if path is not None and path.stat().st_size <= MAX_BYTES else None
    except OSError:
        return None


def _image(parts: Parts, digest: str) -> Image | None:
    try:
        return _decoded(parts.blobs.read(digest))
    except (Damaged, NotFound):
        return None


def _decoded(data: bytes) -> Image | None:
    from intaglio.imaging.decode import decode

    try:
        return decode(data)
    except InvalidImage:
        return None


def _difference(old: Image | None, new: Image | None) -> Difference | None:
    from intaglio.imaging.metrics import compare

    if old is None or new is None or (old.mode, old.width, old.height) != (new.mode, new.width, new.height):
        return None
    return compare(old, new, flip=False)


def _without_maker(parts: Parts, found: Healing) -> Healing:
    """What can be said of an asset that no finished run made."""
    tasks = [parts.tasks.get(task_id) for task_id in parts.assets.tasks_of(found.asset)]
    open_ones = [task for task in tasks if not task.snapshot]
    names = sorted(
        {name for _, snapshot in _runs(parts, found.asset) for name in _reference_names(snapshot, found.asset)}
    )
    if open_ones and not names:
        message = f"it was made by task {open_ones[-1].id}, which is {open_ones[-1].status}"
        return replace(found, message=message, hint=f"Go on with: intaglio tasks resume {open_ones[-1].id}")
    for digest, version in _every_version(parts):
        if any(
            found.asset in (o.difference, o.sheet) for r in parts.reproductions.of(digest) for o in r.fidelity.outputs
        ):
            message = f"it shows a difference that was found while reproducing {version}"
            return replace(found, message=message, hint=f"Make it again with: intaglio versions reproduce {version}")
    named = f" as {', '.join(repr(name) for name in names[:3])}" if names else ""
    return replace(
        found,
        message=f"it was brought in{named}; no step made it, so none can make it again",
        hint="Put the file back with: intaglio assets add FILE",
    )


def _reference_names(snapshot: Snapshot, digest: str) -> Sequence[str]:
    return [ref.name for step in snapshot.plan.steps for ref in step.assets.values() if ref.digest == digest]


def _every_version(parts: Parts) -> Iterator[tuple[str, str]]:
    """Every version's digest and name, newest first."""
    before = None
    while page := parts.versions.list(limit=200, before=before):
        for digest, version in page:
            yield digest, f"{version.workflow.name}/{version.name}"
        before = page[-1][0]
