"""What depends on a model: the versions that were made with it, and how their grades would fall without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from intaglio.core.canonical import PREFIX
from intaglio.core.errors import Conflict
from intaglio.core.gaps import model_gaps
from intaglio.core.grade import Grade, GradeWord, grade_of
from intaglio.core.model import ModelVersion
from intaglio.core.snapshot import Snapshot
from intaglio.core.version import APPROVED, standing
from intaglio.studio import archive
from intaglio.studio.grading import State, grade
from intaglio.studio.modelcheck import check_at, places_of
from intaglio.studio.models import Models, states_of
from intaglio.studio.parts import Parts
from intaglio.studio.uses import made_with


@dataclass(frozen=True)
class Hit:
    """A version made with a model: its name (workflow/version), digest, the steps that used the model, its grade now,
    and the grade that it would have. `approved` is whether somebody approved it and nobody took that back."""

    version: str
    digest: str
    annotation: str
    steps: tuple[str, ...]
    now: GradeWord
    then: GradeWord
    approved: bool = False

    @property
    def falls(self) -> bool:
        """Whether it would have a lower grade."""
        return self.now != self.then


@dataclass(frozen=True)
class Impact:
    """What would follow if a model were lost: its file at `path` deleted or overwritten, or (`removed`) the model taken
    out of the library. `instead` says what would stand in for it, "" when nothing would."""

    model: ModelVersion
    path: str
    kept: bool
    removed: bool
    instead: str
    versions: tuple[Hit, ...]

    @property
    def falling(self) -> tuple[Hit, ...]:
        """The versions whose grade would fall."""
        return tuple(hit for hit in self.versions if hit.falls)


def impact(parts: Parts, reference: str, *, removed: bool) -> Impact:
    """Which versions were made with a model, and what their grades would be if its file were gone, or (`removed`) if
    it were taken out of the library. Raises NotFound, Conflict.
    """
    models = Models(parts)
    model, path = meant(parts, reference)[0] if removed else _placed(parts, models, reference)
    now = states_of(models, [model.digest], full=False)[model.digest]
    kept, _ = archive.kept_state(parts, model.digest, full=False)
    then, instead = _removed(parts, reference, now) if removed else _lost(parts, model, path, kept)
    states, hits = {model.digest: now}, []
    for digest, version, snapshot in made_with(parts, {model.digest}):
        states |= states_of(
            models, sorted(snapshot.models.keys() - states.keys()), full=False
        )  # each is looked at once
        here = grade(parts, snapshot, snapshot.plan, version=digest, states=states)
        hits.append(
            Hit(
                version=f"{version.workflow.name}/{version.name}",
                digest=digest,
                annotation=version.annotation,
                steps=_steps(snapshot, model.digest),
                now=here.grade,
                then=_without(snapshot, here, model.digest, now, then).grade,
                approved=standing(parts.remarks.of(digest)).approval == APPROVED,
            )
        )
    return Impact(model, str(path), kept, removed, instead, tuple(sorted(hits, key=_weight)))


def meant(parts: Parts, reference: str) -> list[tuple[ModelVersion, Path]]:
    """The entries that a reference means when it is about taking them out: of a digest all, of a name the only one.

    Raises NotFound, Conflict (a name with several versions).
    """
    model = Models(parts).find(reference)
    if reference.startswith(PREFIX):
        return parts.models.under_digest(model.digest)
    labels = sorted(each.version for each, _ in parts.models.list() if each.name == model.name)
    if ":" not in reference and len(labels) > 1:
        raise Conflict(
            f"model {model.name} has {len(labels)} versions: {', '.join(labels[:10])}",
            hint=f"Say which one: {model.name}:{labels[0]}",
        )
    return [parts.models.get(model.name, model.version)]


def _weight(hit: Hit) -> tuple[bool, bool]:
    """What is shown first: the versions that would fall, the approved ones before the others; then the newest."""
    return not hit.falls, not hit.approved


def _placed(parts: Parts, models: Models, reference: str) -> tuple[ModelVersion, Path]:
    model = models.find(reference)
    return parts.models.get(model.name, model.version)


def _lost(parts: Parts, model: ModelVersion, path: Path, kept: bool) -> tuple[State, str]:
    """The state of a model whose file at `path` would be gone, and what would stand in."""
    for _, place in places_of(parts, model.digest):
        if place != path and check_at(parts, model, place).state == "ok":
            return ("ok", ""), f"the same content at {place}"
    if kept:
        return ("restorable", f"{path} is gone"), "the kept copy"
    return ("missing", f"{path} is gone"), ""


def _removed(parts: Parts, reference: str, now: State) -> tuple[State, str]:
    """The state of a model without the entries that `reference` means, and what would stand in."""
    entries = meant(parts, reference)
    out = {(model.name, model.version) for model, _ in entries}
    for other, _ in parts.models.under_digest(entries[0][0].digest):
        if (other.name, other.version) not in out:
            return now, f"{other.name}:{other.version}, which is the same content"
    return ("missing", "it is not in this library"), ""


def _steps(snapshot: Snapshot, digest: str) -> tuple[str, ...]:
    return tuple(
        step.id for step in snapshot.plan.steps if any(digest in model.digests for model in step.models.values())
    )


def _without(snapshot: Snapshot, here: Grade, digest: str, now: State, then: State) -> Grade:
    """The grade of a version with another state of one of its models, all else as it is."""
    others: dict[str, State] = dict.fromkeys(snapshot.models, ("ok", ""))
    solved = list(model_gaps(snapshot.plan, snapshot.models, others | {digest: now}))
    left = [gap for gap in here.gaps if gap not in solved]
    return grade_of([*left, *model_gaps(snapshot.plan, snapshot.models, others | {digest: then})])
