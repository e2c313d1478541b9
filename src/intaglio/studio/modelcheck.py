"""Whether a model's file is still the recorded content: one looked at closely, or many at a glance."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from intaglio.core.errors import Invalid
from intaglio.core.gaps import ModelState
from intaglio.core.model import ModelHashes, ModelVersion
from intaglio.store.proofs import StatSignature, file_subject
from intaglio.studio import hashes
from intaglio.studio.parts import Parts
from intaglio.studio.registry import identity

Progress = Callable[[int, int], None]
SAME_WEIGHTS = "same weights, other header"


@dataclass(frozen=True)
class ModelCheck:
    """What a model's file is at this moment: its state, in words what was found, and what can be done about it."""

    model: ModelVersion
    path: Path
    state: ModelState
    found: str
    hint: str = ""


@dataclass(frozen=True)
class About:
    """All that is known of a model: where its content was added or seen (the first place is where it is looked for
    first), how it is kept ("" when it is not), and other tools' names for it, None while nobody computed them."""

    model: ModelVersion
    places: tuple[Path, ...]
    kept: str
    hashes: ModelHashes | None


@dataclass(frozen=True)
class Verified:
    """How many models (name and version) were checked, and those whose file is not what was recorded."""

    models: int
    problems: tuple[ModelCheck, ...]


def check_at(
    parts: Parts, model: ModelVersion, path: Path, *, full: bool = False, progress: Progress | None = None
) -> ModelCheck:
    """Whether `path` holds the content of `model`; `full` reads every byte again."""
    if not path.exists():
        return ModelCheck(model, path, "missing", f"{path} is gone")
    try:
        found, _, files = identity(parts, path, progress, full=full)
    except (Invalid, OSError) as error:
        return ModelCheck(model, path, "changed", f"{path} cannot be read as it was: {error}")
    if found == model.digest:
        return ModelCheck(model, path, "ok", "")
    recorded = {part.path: part.digest for part in model.files}
    now = {part.path: part.digest for part in files}
    differing = sorted(name for name in recorded.keys() | now.keys() if recorded.get(name) != now.get(name))
    which = f" ({', '.join(differing[:3])}{', ...' if len(differing) > 3 else ''})" if model.files else ""
    known = parts.models.under_digest(found)
    which += f", which is {known[0][0].name}:{known[0][0].version}" if known else ""
    same = f"; {SAME_WEIGHTS}" if hashes.same_weights(parts, model.digest, found, path) else ""
    return ModelCheck(model, path, "changed", f"{path} is now {found}{which}{same}")


def places_of(parts: Parts, digest: str) -> list[tuple[ModelVersion, Path]]:
    """Where a model may be, each path once: where it was added, and wherever its content was seen. Raises NotFound."""
    newest = parts.models.by_digest(digest)[0]
    found = {path: model for model, path in reversed(parts.models.under_digest(digest))}
    places = [(found[path], path) for path in reversed(found)]
    seen = [Path(place.path) for place in parts.model_index.of(digest)]
    return places + [(newest, path) for path in dict.fromkeys(seen) if path not in found]


def about(parts: Parts, model: ModelVersion) -> About:
    """What is known of a model, without a look at its file. Raises NotFound, Damaged."""
    _, first = parts.models.get(model.name, model.version)
    places = (first, *(path for _, path in places_of(parts, model.digest)))
    kept = parts.kept.get(model.digest)
    return About(model, tuple(dict.fromkeys(places)), kept.how if kept else "", parts.model_index.hashes(model.digest))


def proven(parts: Parts, paths: Iterable[str]) -> dict[str, str]:
    """The digests of those files that did not change since they were hashed, by path: a stat each, and one query.

    Folders are left out; their files are looked at one by one.
    """
    stats: dict[bytes, StatSignature] = {}
    subjects: dict[bytes, str] = {}
    for path in paths:
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(found.st_mode):
            subject = file_subject(Path(path))
            stats[subject], subjects[subject] = StatSignature.of(found), path
    return {subjects[subject]: digest for subject, digest in parts.proofs.trusted_many(stats).items()}


def intact(parts: Parts, digests: Iterable[str]) -> set[str]:
    """Those of these models that a glance shows to be there unchanged; of the others nothing is said."""
    labels = parts.models.sealed(digests)
    here = proven(parts, (each.path for each in labels))
    return {each.digest for each in labels if here.get(each.path) == each.digest}


def verify_all(parts: Parts, *, full: bool = False, progress: Progress | None = None) -> Verified:
    """Whether the file of every model is what was recorded under its name. `progress` counts models."""
    labels = parts.models.labels()
    here = {} if full else proven(parts, (each.path for each in labels))
    problems = []
    for number, each in enumerate(labels):
        if here.get(each.path) != each.digest:
            checked = check_at(parts, *parts.models.get(each.name, each.version), full=full)
            problems += [checked] if checked.state != "ok" else []
        if progress is not None:
            progress(number + 1, len(labels))
    return Verified(len(labels), tuple(problems))
