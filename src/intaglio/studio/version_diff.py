"""What differs between two versions, or tasks: what was done, around it and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intaglio.core.difference import environment_differences
from intaglio.core.errors import NotFound
from intaglio.core.fidelity import OutputFidelity, is_identical
from intaglio.core.record import plain
from intaglio.core.snapshot import Output, Snapshot
from intaglio.core.version import Version
from intaglio.core.version_difference import PlanDifference, changed_words, plan_difference
from intaglio.studio.bisect import Named
from intaglio.studio.compare import compare_files
from intaglio.studio.measure import compare_outputs
from intaglio.studio.parts import Parts


@dataclass(frozen=True)
class _Side:
    """One of the two: what to call it, and the version it is (None for a task that became none)."""

    name: str
    snapshot: Snapshot
    version: Version | None


@dataclass(frozen=True)
class Compared:
    """What is told of one of the two; `version` is its name, "" for a task that became none."""

    name: str
    version: str
    task: str
    workflow: str
    created: str
    author: str


@dataclass(frozen=True)
class Fact:
    """Something said of, or around, the two that is otherwise and changes no content; None where there is nothing.

    `words` shows what changed of a text.
    """

    name: str
    before: Any
    after: Any
    words: str = ""


@dataclass(frozen=True)
class Pictures:
    """Two outputs that belong together, by their steps, and how far they are apart; `written` are files of pictures."""

    before: str
    after: str
    fidelity: OutputFidelity
    written: tuple[str, ...] = ()


@dataclass(frozen=True)
class VersionDifference:
    """What differs between two versions or tasks.

    `same` says that nothing of content does: neither the work (`plan`) nor the pictures. `facts` are what was said of
    the versions, and the mode. `only_before` and `only_after` are outputs (steps) that one of the two has.
    """

    before: Compared
    after: Compared
    same: bool
    plan: PlanDifference
    pictures: tuple[Pictures, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    environment: tuple[Fact, ...]
    facts: tuple[Fact, ...]


def version_difference(parts: Parts, one: Named, other: Named, folder: Path | None) -> VersionDifference:
    """How two versions or tasks differ. With a folder, a sheet of every two outputs that differ is written into it.

    Raises Conflict (other files are there), NotFound, Damaged, BackendMissing (a video, and no PyAV).
    """
    before, after = (
        _Side(run.name, run.snapshot, parts.versions.get(run.version) if run.version else None) for run in (one, other)
    )
    plan = plan_difference(before.snapshot.plan, after.snapshot.plan)
    pairs, only_before, only_after = _outputs(plan, before.snapshot, after.snapshot)
    pictures = tuple(_pictures(parts, before, after, pair, folder) for pair in pairs)
    identical = all(is_identical(pair.fidelity.verdict) for pair in pictures)
    return VersionDifference(
        before=_compared(before),
        after=_compared(after),
        same=plan.same and identical and not (only_before or only_after),
        plan=plan,
        pictures=pictures,
        only_before=tuple(output.step for output in only_before),
        only_after=tuple(output.step for output in only_after),
        environment=tuple(
            Fact(name, plain(then), plain(now))
            for name, then, now in environment_differences(before.snapshot.environment, after.snapshot.environment)
        ),
        facts=tuple(_facts(parts, before, after, plan)),
    )


def _outputs(
    plan: PlanDifference, before: Snapshot, after: Snapshot
) -> tuple[list[tuple[Output, Output]], list[Output], list[Output]]:
    """The outputs that belong together: of nodes that are the same, else the only one that is left of each."""
    there = {(output.node, output.index): output for output in after.outputs}
    pairs: list[tuple[Output, Output]] = []
    lone: list[Output] = []
    for output in before.outputs:
        other = there.pop((plan.pairs.get(output.node, ""), output.index), None)
        if other is None:
            lone.append(output)
        else:
            pairs.append((output, other))
    left = list(there.values())
    if len(lone) == len(left) == 1 and not pairs:
        return [(lone[0], left[0])], [], []
    return pairs, lone, left


def _pictures(parts: Parts, before: _Side, after: _Side, pair: tuple[Output, Output], folder: Path | None) -> Pictures:
    old, new = pair
    fidelity = compare_outputs(parts, before.snapshot, after.snapshot, old, new.asset)
    written: tuple[str, ...] = ()
    if folder is not None and not is_identical(fidelity.verdict) and fidelity.verdict != "missing":
        sides = ((_file_name(before.name), old.asset), (_file_name(after.name), new.asset))
        with parts.blobs.open_verified(old.asset) as first, parts.blobs.open_verified(new.asset) as second:
            files = ((sides[0][0], first), (sides[1][0], second))
            written = compare_files(*files, folder / _file_name(old.step)).written
    return Pictures(old.step, new.step, fidelity, written)


def _file_name(name: str) -> str:
    """A name as a part of a path, and as a caption."""
    return name.replace("/", " ")


def _compared(side: _Side) -> Compared:
    snapshot, version = side.snapshot, side.version
    reference = version.workflow if version else snapshot.plan.workflow
    return Compared(
        name=side.name,
        version=_name(version) if version else "",
        task=version.task if version else snapshot.task,
        workflow=f"{reference.name} @{reference.version}",
        created=version.created if version else snapshot.created,
        author=version.author if version else snapshot.author,
    )


def _name(version: Version) -> str:
    return f"{version.workflow.name}/{version.name}"


def _facts(parts: Parts, before: _Side, after: _Side, plan: PlanDifference) -> Iterator[Fact]:
    """What is said of the two, in the order in which one reads it."""
    both = [_said(parts, side) for side in (before, after)]
    for name in dict.fromkeys([*both[0], *both[1]]):
        old, new = (said.get(name) or None for said in both)
        if old != new:
            words = changed_words(old, new) if name == "annotation" and old and new else ""
            yield Fact(name, old, new, words)
    titles = [
        {node_id: node.title for node_id, node in side.snapshot.workflow.nodes.items()} for side in (before, after)
    ]
    for mine, theirs in plan.pairs.items():
        old, new = titles[0].get(mine) or None, titles[1].get(theirs) or None
        if old != new:
            yield Fact(f"title of {theirs}", old, new)


def _said(parts: Parts, side: _Side) -> dict[str, Any]:
    version = side.version
    reference = version.workflow if version else side.snapshot.plan.workflow
    said: dict[str, Any] = {
        "workflow": f"{reference.name} @{reference.version}",
        "settings given": " ".join(reference.changes),
        "mode": side.snapshot.plan.mode,
    }
    if version is None:
        return said
    said |= {"label": version.label, "annotation": version.annotation, "author": version.author}
    said |= {f"field {name}": value for name, value in version.fields.items()}
    for name, digest in (("parent", version.parent), ("restores", version.restores)):
        said[name] = _name_of(parts, digest)
    return said


def _name_of(parts: Parts, digest: str) -> str:
    """What a version is called here; an imported one may name one that did not come with it."""
    try:
        return _name(parts.versions.get(digest)) if digest else ""
    except NotFound:
        return digest
