"""Looking after a library: checking every record and byte, and collecting what nothing refers to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

from intaglio.core.errors import Conflict, Damaged, NotFound
from intaglio.core.journal import Notice
from intaglio.core.model import KeptModel
from intaglio.core.plan import WorkflowRef
from intaglio.core.snapshot import Snapshot
from intaglio.core.task import is_whole
from intaglio.core.workflow import Workflow
from intaglio.store.integrity import check_rows, count_rows
from intaglio.studio import archive, heal, journal
from intaglio.studio.carry_out import Watch
from intaglio.studio.heal import Healing
from intaglio.studio.impact import Impact, impact, meant
from intaglio.studio.models import Models
from intaglio.studio.parts import Parts
from intaglio.studio.progress import sweep
from intaglio.studio.uses import made_with

# A blob is written before the record that names it; one younger than this may simply not be named yet.
GRACE_SECONDS = 3600.0
# A temporary file may belong to a copy that another process is still making.
TEMPORARY_SECONDS = 24 * 3600.0
KEEP_QUARANTINE_SECONDS = 30 * 24 * 3600.0


@dataclass(frozen=True)
class Problem:
    """Something broken: what kind of thing, which one, what is wrong, and the versions it hits (by name)."""

    kind: str
    id: str
    message: str
    versions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checked:
    """The result of a check: how many records and blobs were read, bytes of blobs, and what is wrong."""

    records: int
    blobs: int
    size: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Collected:
    """What nothing refers to: digests with their sizes in bytes, stale temporary files, files that were only laid out
    from kept models."""

    blobs: tuple[tuple[str, int], ...]
    temporary: int
    purged: int
    dry_run: bool
    laid_out: int = 0


class Library:
    """`studio.library`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def check(self, *, progress: Callable[[int, int], None] | None = None) -> Checked:
        """Read and verify every record and every blob, and that every blob a record names is there."""
        problems = [Problem(row.kind, row.id, row.message) for row in check_rows(self._parts.database)]
        problems += self._broken_tasks()
        kept = self._kept()
        wanted = self._wanted() | {part.digest for model in kept for part in archive.parts_of(model)}
        present = {digest: size for digest, size, _ in self._parts.blobs.iter_digests()}
        everything = sorted(wanted | present.keys())
        broken: dict[str, str] = {}
        for index, digest in enumerate(everything):
            try:
                self._parts.blobs.verify(digest, full=True)
            except (Damaged, NotFound) as error:
                broken[digest] = str(error)
            if progress:
                progress(index + 1, len(everything))
        problems += self._broken_kept(kept, broken)
        hit = self._versions_naming(broken.keys() & wanted)
        problems += [Problem("asset", digest, message, hit.get(digest, ())) for digest, message in broken.items()]
        return Checked(count_rows(self._parts.database), len(present), sum(present.values()), tuple(problems))

    def gc(self, *, dry_run: bool, grace_seconds: float = GRACE_SECONDS) -> Collected:
        """Move blobs that nothing refers to into quarantine, where they stay for 30 days; a read brings one back."""
        blobs = self._parts.blobs
        wanted = self._parts.assets.digests() | self._parts.kept.digests()
        newest = time.time() - grace_seconds
        loose = [
            (digest, size) for digest, size, mtime in blobs.iter_digests() if digest not in wanted and mtime < newest
        ]
        if dry_run:
            return Collected(tuple(loose), 0, 0, True)
        for digest, _ in loose:
            blobs.quarantine(digest)
        sweep(self._parts)
        swept = blobs.sweep_temporary(TEMPORARY_SECONDS)
        purged = blobs.purge_quarantine(KEEP_QUARANTINE_SECONDS, wanted=wanted)
        laid_out = archive.clear_shelf(self._parts, self._is_needed, newest)
        return Collected(tuple(loose), swept, purged, False, laid_out)

    def impact(self, model: str, *, removed: bool = False) -> Impact:
        """Which versions were made with exactly this model (name, name:version or digest), with the grade each has and
        the one it would fall to if the model's file were deleted or overwritten, or if it were `removed` from here.

        Raises NotFound, Conflict.
        """
        return impact(self._parts, model, removed=removed)

    def remove_model(self, model: str, *, agreed: bool = False) -> Impact:
        """Take a model (its only version, name:version, or a digest) out of the library; what that did to versions.

        The user's file stays; what was kept of it becomes collectable. Raises NotFound, Conflict (versions would fall
        in grade, and that was not `agreed`; or a name with several versions).
        """
        found = self.impact(model, removed=True)
        if found.falling and not agreed:
            names = ", ".join(hit.version for hit in found.falling[:5])
            more = f" and {len(found.falling) - 5} more" if len(found.falling) > 5 else ""
            count = f"{len(found.falling)} version{'s' * (len(found.falling) > 1)}"
            raise Conflict(
                f"without {model} the grade of {count} would fall: {names}{more}",
                hint="Remove it all the same with --yes.",
            )
        models, kept = self._parts.models, self._parts.kept
        with self._parts.database.write():
            for entry, _ in meant(self._parts, model):
                models.remove(entry.name, entry.version)
            if not models.under_digest(found.model.digest):
                kept.remove(found.model.digest)
        return found

    def journal(self, *, after: int = 0, limit: int = 100, subject: str = "", what: Sequence[str] = ()) -> list[Notice]:
        """Up to `limit` lines of the journal above the number `after`, in order: all that happened in the library.

        `subject` narrows them to one task, version, workflow, variation or job; `what` to words that begin with one of
        these ("task." or "version.made"). Raises Invalid, Damaged.
        """
        return journal.page(self._parts, after=after, limit=limit, subject=subject, what=what)

    def follow(
        self, *, after: int | None = None, subject: str = "", what: Sequence[str] = (), stop: Event | None = None
    ) -> Iterator[Notice]:
        """The lines of the journal above `after` (None: from now on), then each new one within a tenth of a second,
        until `stop` is set. The rest is as in `journal`. Raises Invalid, Damaged.
        """
        return journal.follow(self._parts, after=after, subject=subject, what=what, stop=stop)

    def _is_needed(self, digest: str) -> bool:
        """Whether a kept model that was laid out as files is still used from there."""
        try:
            return Models(self._parts).check(digest).state == "restorable"
        except NotFound:
            return False

    def _kept(self) -> list[KeptModel]:
        """The kept models; none when one of their records is damaged, which is a problem named already."""
        try:
            return self._parts.kept.list()
        except Damaged:
            return []

    def _broken_kept(self, kept: list[KeptModel], broken: dict[str, str]) -> Iterator[Problem]:
        """Kept models that cannot be restored, taken out of what is `broken`."""
        mine: set[str] = set()
        for model in kept:
            hit = [part for part in archive.parts_of(model) if part.digest in broken]
            if hit:
                names = [f"{v.workflow.name}/{v.name}" for _, v, _ in made_with(self._parts, {model.digest})]
                where = f" ({hit[0].path})" if hit[0].path else ""
                message = f"the kept copy{where}: {broken[hit[0].digest]}"
                yield Problem("kept-model", model.digest, message, tuple(names))
                mine.update(part.digest for part in hit)
        for digest in mine - self._wanted():
            del broken[digest]

    def lost(
        self, references: Iterable[str] = (), *, progress: Callable[[int, int], None] | None = None
    ) -> dict[str, str]:
        """The assets that are gone or damaged, with what is wrong: all of them, or those that `references` (digests,
        addresses, versions) mean. Every byte is read. Raises NotFound, Conflict, Damaged."""
        return heal.lost(self._parts, list(references), progress=progress)

    def heal(
        self, references: Iterable[str] = (), *, dry_run: bool = False, watch: Watch | None = None
    ) -> list[Healing]:
        """Make lost and damaged assets again, each from the record of the run that made it.

        One counts as healed only when the very same bytes came out; the damaged ones are in quarantine then. Each run
        is a task of its own. Raises NotFound, Conflict, Damaged, Cancelled (what is healed by then is kept).
        """
        return heal.heal(self._parts, self.lost(references), dry_run=dry_run, watch=watch or Watch())

    def _wanted(self) -> set[str]:
        """The assets that records name; none when such a record is damaged, which is a problem named already."""
        try:
            return self._parts.assets.digests()
        except Damaged:
            return set()

    def _broken_tasks(self) -> Iterator[Problem]:
        """Tasks that lost a part of their log, or the workflow they came from; a damaged row is named already."""
        tasks, before = self._parts.tasks, None
        with suppress(Damaged):
            while page := tasks.list(limit=200, before=before):
                for task in page:
                    # The steps first: one that ends in between is then in the log too.
                    steps = [record.step for record in tasks.steps(task.id)]
                    if not is_whole(tasks.events(task.id), steps):
                        yield Problem("task", task.id, "a part of its log is missing")
                    if not self._has_workflow(task.workflow):
                        name = f"{task.workflow.name}@{task.workflow.version}"
                        yield Problem("task", task.id, f"its workflow {name} is missing")
                before = page[-1].id

    def _has_workflow(self, named: WorkflowRef) -> bool:
        try:
            self._parts.workflows.get(named.name, named.version)
            self._parts.documents.get(Workflow, named.digest)  # with the changes made for this run
        except NotFound:
            return False
        return True

    def _versions_naming(self, digests: set[str]) -> dict[str, tuple[str, ...]]:
        """The versions whose snapshot names each of these assets, as outputs, references or in between."""
        hit: dict[str, list[str]] = {}
        before = None
        while digests and (page := self._parts.versions.list(limit=200, before=before)):
            for _, version in page:
                try:
                    named = self._parts.documents.get(Snapshot, version.snapshot).assets
                except (Damaged, NotFound):
                    continue  # the damaged snapshot is a problem of its own, and is named
                for digest in digests & named.keys():
                    hit.setdefault(digest, []).append(f"{version.workflow.name}/{version.name}")
            before = page[-1][0]
        return {digest: tuple(names) for digest, names in hit.items()}
