"""Versions: saving a run with its reason, finding it again, exporting it."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from intaglio.core.canonical import PREFIX
from intaglio.core.errors import Conflict, NotFound
from intaglio.core.fidelity import Reproduction
from intaglio.core.grade import Grade
from intaglio.core.record import EMPTY
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import Reason
from intaglio.core.version import Remark, Standing, Version, standing
from intaglio.studio import bisect, remarks
from intaglio.studio.bisect import Bisected, Metric, Named, Prospect, Try
from intaglio.studio.carry_out import Watch
from intaglio.studio.export import export
from intaglio.studio.files import file_named, named
from intaglio.studio.grading import grade, part_of
from intaglio.studio.importing import import_record
from intaglio.studio.parts import Parts
from intaglio.studio.recognise import versions_of_file
from intaglio.studio.reproduce import ModelChoice, Reproduced, current_models, reproduce
from intaglio.studio.saving import keep_version
from intaglio.studio.search_versions import search, standings
from intaglio.studio.similar import Matches, matches, meant, refuse_similar, reindex
from intaglio.studio.version_diff import VersionDifference, version_difference

if TYPE_CHECKING:
    from intaglio.core.merge import Side
    from intaglio.studio.approval import Approved
    from intaglio.studio.branching import Carried
    from intaglio.studio.drift import Warning

MIN_PREFIX = 6


class Versions:
    """`studio.versions`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def save(
        self,
        task: str,
        *,
        label: str = "",
        annotation: str = "",
        no_annotation: bool = False,
        fields: Mapping[str, str] = EMPTY,
    ) -> tuple[str, Version]:
        """Save a finished task as the next version of its workflow. Returns the version's digest and record.

        Raises NotFound, AnnotationMissing, Invalid (both at once, a field of its form is missing or not one), Conflict
        (it is not finished, a version already, or the label is taken).
        """
        reason = Reason(label=label, annotation=annotation, none=no_annotation, fields=fields)
        return keep_version(self._parts, task, reason)

    def list(
        self, *, workflow: str | None = None, limit: int = 50, before: str | None = None
    ) -> builtins.list[tuple[str, Version]]:
        """The newest versions with their digests. Raises NotFound."""
        return self._parts.versions.list(workflow=workflow, limit=limit, before=before)

    def search(
        self, query: str, *, workflow: str | None = None, limit: int = 50, before: str | None = None
    ) -> builtins.list[tuple[str, Version]]:
        """The newest versions that a query holds for, with their digests: `cfg>7 model:tiny* approved -rejected`.

        docs/search.md says what can be asked. `before` is the digest of a version that all found are older than.
        Raises Invalid (a term that cannot be meant, named), NotFound.
        """
        return search(self._parts, query, workflow=workflow, limit=limit, before=before)

    def standings(self, digests: Iterable[str]) -> dict[str, Standing]:
        """What holds now of each of these versions (digests)."""
        return standings(self._parts, digests)

    def matches(self, path: str | Path, *, progress: Callable[[int, int], None] | None = None) -> Matches:
        """The versions that a file is an output of, and those it only looks like, with how far they are apart.

        Pictures that were not compared before are looked at first; `progress` hears how many of how many. Raises
        NotFound, InvalidImage, RecordMismatch.
        """
        return matches(self._parts, named(path, self._parts.reach), progress=progress)

    def reindex(self, *, progress: Callable[[int, int], None] | None = None) -> int:
        """Make what versions are found by again, from records and pictures. Returns how many versions there are."""
        return reindex(self._parts, progress=progress)

    def find(self, reference: str | Path) -> tuple[str, Version]:
        """The one version a reference means: v3, v3-label, label, workflow/v3, a digest or the beginning of one (of the
        version or its snapshot), a task id, or an output file.

        A version that goes back to another one is meant only by its own names. Raises NotFound, OnlySimilar (a file
        that looks like an output and is none), Conflict (it fits several), RecordMismatch (a file whose record belongs
        to other pixels), InvalidImage (a file that is no picture).
        """
        text = str(reference)
        found: dict[str, Version] = dict(self._by_name(text) or meant(self._by_digest(text) or self._by_task(text)))
        path = None if found else file_named(reference, self._parts.reach)
        if path is not None:
            found = dict(meant(self._by_file(path)))
            if not found:
                refuse_similar(self._parts, path)
        if not found:
            hint = "See them with: intaglio versions list"
            if path is not None:
                hint = "The file was read: no version in this library has its bytes or pixels."
            raise NotFound("version", text, hint=hint)
        if len(found) > 1:
            names = ", ".join(f"{version.workflow.name}/{version.name}" for version in found.values())
            raise Conflict(f"{text!r} fits {len(found)} versions: {names}", hint="Give workflow/version.")
        return next(iter(found.items()))

    def snapshot(self, reference: str | Path) -> Snapshot:
        """The snapshot a version keeps. Raises as `find`."""
        return self._parts.documents.get(Snapshot, self.find(reference)[1].snapshot)

    def grade(
        self, reference: str | Path, *, only: str = "", models: ModelChoice = "exact", paranoid: bool = False
    ) -> Grade:
        """What a reproduction would come to, and every reason against it. Nothing is run. Raises as `find`."""
        digest, version = self.find(reference)
        snapshot = self._parts.documents.get(Snapshot, version.snapshot)
        plan = part_of(snapshot, only)
        instead = current_models(self._parts, snapshot, plan, add=False) if models == "current" else {}
        return grade(self._parts, snapshot, plan, full=paranoid, version=digest, instead=instead)

    def reproduce(
        self,
        reference: str | Path,
        *,
        only: str = "",
        models: ModelChoice = "exact",
        watch: Watch | None = None,
        paranoid: bool = False,
    ) -> Reproduced:
        """Run a version again from its record alone, and compare.

        `only` is one output's step, or one picture of a batch ("base[2]"): just that is run. `models` "current" runs
        with what now goes by the name of a model that is gone or changed, and says so in the record. Raises as `find`,
        CannotReproduce (something needed is not there; nothing was run), and what stops a run.
        """
        digest, version = self.find(reference)
        return reproduce(self._parts, digest, version, only=only, models=models, watch=watch or Watch(), full=paranoid)

    def annotate(self, reference: str | Path, text: str, *, author: str = "") -> Remark:
        """Add to a version's annotation, dated and signed by `author` (else who opened the library).

        What it says already stays as it is. Raises NotFound, Conflict, Invalid.
        """
        return remarks.annotate(self._parts, self.find(reference)[0], text, author=author)

    def comment(self, reference: str | Path, text: str, *, author: str = "") -> Remark:
        """Comment on a version, dated and signed. Raises NotFound, Conflict, Invalid."""
        return remarks.comment(self._parts, self.find(reference)[0], text, author=author)

    def tag(
        self, reference: str | Path, tags: Sequence[str], *, holds: bool = True, author: str = ""
    ) -> builtins.list[Remark]:
        """Give a version tags, or (`holds` False) take them away: all of them or, with an error, none.

        Raises NotFound, Invalid (not a word), Conflict (it has it already, or has not).
        """
        return remarks.tag(self._parts, self.find(reference)[0], tags, holds=holds, author=author)

    def reject(self, reference: str | Path, *, note: str = "", holds: bool = True, author: str = "") -> Remark:
        """Reject a version, or (`holds` False) take that back; nothing of it is lost.

        Raises NotFound, Conflict, Invalid.
        """
        return remarks.reject(self._parts, self.find(reference)[0], note=note, holds=holds, author=author)

    def legacy(self, reference: str | Path, *, note: str = "", holds: bool = True, author: str = "") -> Remark:
        """Mark a version as needing a model that is gone, or (`holds` False) take the mark back. Dated and signed.

        Raises NotFound, Conflict when it is so already, Invalid for a note longer than a note.
        """
        return remarks.mark_legacy(self._parts, self.find(reference)[0], note=note, holds=holds, author=author)

    def standing(self, reference: str | Path) -> Standing:
        """What holds of a version now: approval, tags, comments, what was added to its annotation. Raises as `find`."""
        return standing(self.remarks(reference))

    def remarks(self, reference: str | Path) -> builtins.list[Remark]:
        """What was said of a version since it was saved, oldest first. Raises as `find`."""
        return self._parts.remarks.of(self.find(reference)[0])

    def history(self, reference: str | Path) -> builtins.list[Reproduction]:
        """Every attempt to reproduce a version, oldest first. Raises as `find`."""
        return self._parts.reproductions.of(self.find(reference)[0])

    def diff(self, before: str | Path, after: str | Path, *, to: str | Path | None = None) -> VersionDifference:
        """How two versions (or tasks) differ: what was done, around it and what came of it; nodes are matched, so that
        one that was renamed or moved is the same. With `to`, a sheet of every two outputs that differ is written there.

        Raises NotFound, Conflict (other files are there), Damaged, BackendMissing (a video, and no PyAV).
        """
        folder = None if to is None else named(to, self._parts.reach, "folder")
        return version_difference(self._parts, self._run_of(before), self._run_of(after), folder)

    def prospect(self, good: str | Path, bad: str | Path, *, metric: str = "identical") -> Prospect:
        """What `bisect` would do: the changes between the two, and how many runs it makes at most. Nothing is run.

        Raises NotFound, Conflict, Invalid (the metric), CannotReproduce (one of the two cannot run here).
        """
        return bisect.prospect(self._parts, self._run_of(good), self._run_of(bad), Metric.read(metric))

    def bisect(
        self,
        good: str | Path,
        bad: str | Path,
        *,
        metric: str = "identical",
        watch: Watch | None = None,
        tried: Callable[[Try], None] = lambda one: None,
    ) -> Bisected:
        """Find which change between two versions (or tasks) makes their outputs differ, by runs between them.

        `metric` says what counts as the same: "identical" pixels, "similar", or "ssim>=X". `tried` hears of each run as
        it ends. Raises as `prospect`, and Cancelled: what was run is kept, and taken over by the next call.
        """
        sides = (self._run_of(good), self._run_of(bad))
        return bisect.bisect(self._parts, *sides, Metric.read(metric), watch=watch or Watch(), tried=tried)

    def approve(self, reference: str | Path, *, note: str = "", author: str = "", pin: bool = True) -> Approved:
        """Approve a version: what it ran with becomes the pins of its workflow, whose next version is in production.

        Without `pin` it is only said. Raises NotFound, Invalid, Conflict (approved already, archived), Unfixed,
        UnpinnedSeed, UnpinnedModel (production would refuse it).
        """
        from intaglio.studio.approval import approve

        digest, version = self.find(reference)
        return approve(self._parts, digest, version, note=note, author=author, pin=pin)

    def roll_back(
        self,
        reference: str | Path,
        *,
        label: str = "",
        annotation: str = "",
        no_annotation: bool = False,
        warn: Callable[[Warning], None] = lambda warning: None,
    ) -> tuple[str, Version]:
        """Go back to an earlier version: the next one is what that was, and so is its workflow. Nothing is run.

        `warn` hears when the workflow leaves production by it.

        Raises NotFound, AnnotationMissing, Invalid, Conflict (there is nothing to go back to, or the label is taken).
        """
        from intaglio.studio.approval import roll_back

        reason = Reason(label=label, annotation=annotation, none=no_annotation)
        return roll_back(self._parts, *self.find(reference), reason, warn)

    def apply(
        self,
        change: str,
        to: Sequence[str],
        *,
        choices: Mapping[str, Side] | None = None,
        make: bool = True,
        basis: Sequence[str] = (),
    ) -> builtins.list[Carried]:
        """Apply what changed in the workflow from one version to another ("sunset/v7..v9") to other workflows.

        One version alone means from its parent to it. `make` False only shows it, and what it showed is made by giving
        back each `basis`. All of them are changed, or none. Raises
        NotFound, InvalidWorkflow, Conflict (both sides changed a setting, and `choices` does not say which counts).
        """
        from intaglio.studio.branching import apply

        first, last = self._range(change)
        return apply(self._parts, first, last, to, choices=choices or {}, make=make, basis=basis)

    def _range(self, change: str) -> tuple[tuple[str, Version], tuple[str, Version]]:
        start, dots, end = change.partition("..")
        if dots:
            workflow, slash, _ = start.rpartition("/")
            return self.find(start), self.find(end if "/" in end or not slash else f"{workflow}/{end}")
        last = self.find(change)
        if not last[1].parent:
            raise Conflict(f"{last[1].workflow.name}/{last[1].name} has no version before it", hint="Name two: v7..v9.")
        return (last[1].parent, self._parts.versions.get(last[1].parent)), last

    def export(
        self, reference: str | Path, folder: str | Path, *, told: Callable[[str], None] = lambda text: None
    ) -> builtins.list[Path]:
        """Write a version's outputs with their record inside, what went into them (`inputs`), its seed record and its
        whole record into a folder. Returns what was written.

        `told` hears of each record that is beside its file instead, and of reference files the library lost. Raises
        NotFound, Conflict (a file of that name with other content is there), Damaged, StorageFailed.
        """
        digest, version = self.find(reference)
        return export(self._parts, digest, version, named(folder, self._parts.reach, "folder"), told)

    def _run_of(self, reference: str | Path) -> Named:
        """The run that a version or a finished task is, by name. Raises NotFound, Conflict."""
        text = str(reference)
        found = self._parts.tasks.find(text) if text else []
        if len(found) > 1 and text not in found:
            raise Conflict(f"{text!r} fits {len(found)} tasks", hint="Give more of the id.")
        if not found:
            digest, version = self.find(reference)
            name = f"{version.workflow.name}/{version.name}"
            return Named(name, self._parts.documents.get(Snapshot, version.snapshot), digest)
        task = self._parts.tasks.get(text if text in found else found[0])
        if not task.snapshot:
            raise Conflict(f"task {task.id} is {task.status}; it has no outputs to compare")
        return Named(task.id, self._parts.documents.get(Snapshot, task.snapshot), task.version)

    def import_(self, path: str | Path) -> tuple[str, Version]:
        """Take in a version from what `export` wrote: the folder, or its record.json. One that is here stays as it is.

        Raises NotFound, InvalidRecord (not a record, or one that says impossible things), Conflict.
        """
        return import_record(self._parts, named(path, self._parts.reach, "record"))

    def _by_name(self, text: str) -> builtins.list[tuple[str, Version]]:
        workflow, slash, name = text.rpartition("/")
        number, _, label = name.partition("-")
        stores, where = self._parts.versions, workflow if slash else None
        if number[:1] in "vV" and number[1:].isdecimal() and number.isascii() and len(number) < 12:
            found = stores.find(number=int(number[1:]), workflow=where)
            return [(digest, version) for digest, version in found if not label or version.label == label]
        return stores.find(label=name, workflow=where) if name else []

    def _by_digest(self, text: str) -> builtins.list[tuple[str, Version]]:
        hexpart = text.removeprefix(PREFIX)
        if len(hexpart) < MIN_PREFIX or set(hexpart) - set("0123456789abcdef"):
            return []
        prefix = PREFIX + hexpart
        stores = self._parts.versions
        return stores.find(digest_prefix=prefix) or stores.find(snapshot_prefix=prefix)

    def _by_task(self, text: str) -> builtins.list[tuple[str, Version]]:
        return self._parts.versions.find(task=text)

    def _by_file(self, path: Path) -> builtins.list[tuple[str, Version]]:
        return versions_of_file(self._parts, path)
