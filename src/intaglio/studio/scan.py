"""Scanning folders for models: what is there, what is new, and what became of what was there before."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from intaglio.core.errors import Invalid, NotFound, Unavailable
from intaglio.core.model import ModelPlace
from intaglio.store.model_index import Seen
from intaglio.store.proofs import StatSignature, file_subject
from intaglio.studio import hashes
from intaglio.studio.examine import UNSAFE, Examined, examine
from intaglio.studio.ledger import Ledger
from intaglio.studio.modelfiles import Candidate, find_candidates, is_text
from intaglio.studio.naming import is_nameless
from intaglio.studio.parts import Parts
from intaglio.studio.registry import place_of
from intaglio.studio.settings import model_folders
from intaglio.studio.uses import made_with

Status = Literal[
    "new", "unchanged", "moved", "copy", "back", "header-edited", "replaced", "gone", "refused", "unknown", "broken",
    "busy",
]  # fmt: skip
BATCH = 200
_AHEAD = 64
_TELL_S = 0.2

Progress = Callable[[int, int, int, int], None]  # files done, files in all, bytes done, bytes in all


@dataclass(frozen=True)
class Finding:
    """What became of one path.

    `what` is the kind of model, or why it is none; `model` the name:version it is used by, "" for none. For a file that
    was replaced `was` is the digest before, seen there from `first_seen` until `last_seen`, and `versions` are those
    made with it; for one that was moved `was` is the path before.
    """

    path: str
    status: Status
    digest: str = ""
    size: int = 0
    what: str = ""
    model: str = ""
    was: str = ""
    first_seen: str = ""
    last_seen: str = ""
    versions: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Scanned:
    """What a scan came to: how many paths by status, the bytes of the models seen, all findings but the unchanged, and
    how many files wait for other tools' hashes."""

    counts: dict[str, int]
    size: int
    findings: tuple[Finding, ...]
    pending: int = 0


def roots_of(parts: Parts, folders: Sequence[str | Path]) -> list[str]:
    """The folders to look into, as absolute paths, each once: without any, those that the setting `models` names.

    Raises NotFound, Invalid.
    """
    named = folders or model_folders(parts.settings)
    if not named:
        raise Invalid("no folder to look into", hint="Name one or more, or set INTAGLIO_MODELS.")
    paths = [os.path.abspath(place_of(parts, folder, "folder of models")) for folder in named]
    for path in paths:
        if not os.path.isdir(path):
            if os.path.lexists(path):
                raise Invalid(f"{path} is not a folder", hint="Add one file with: intaglio models add FILE --name NAME")
            raise NotFound("folder", path)
    return list(dict.fromkeys(paths))


def scan(parts: Parts, roots: list[str], progress: Progress | None = None) -> Scanned:
    """Bring the index up to date with what is at `roots` (absolute paths) now.

    What was finished when it is stopped (KeyboardInterrupt, a killed process) is kept and not read again.
    """
    found = look(parts, roots, progress)
    return replace(found, pending=len(hashes.pending(parts)))


def look(parts: Parts, roots: list[str], progress: Progress | None = None) -> Scanned:
    """The same without counting what waits for other tools' hashes; `roots` may be files, and may be gone."""
    return _Scan(parts, roots, progress).run()


def _unnamed(finding: Finding, model: str) -> str:
    """What to say of a model whose file has a name without any Latin letter or digit."""
    if finding.status != "new" or not model or not is_nameless(finding.path):
        return ""
    return f"its file's name has no letter a model's can have; call it: intaglio models add {finding.path} --name NAME"


@dataclass
class _Progress:
    """Files and bytes done, added up over threads."""

    report: Progress | None
    files: int
    size: int
    done: int = 0
    partial: dict[str, int] = field(default_factory=dict)
    finished: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def part(self, path: str) -> Callable[[int, int], None]:
        """Progress of one file; it ends the reading when the scan was stopped."""

        def move(done: int, _: int) -> None:
            if self.stopped.is_set():
                raise Unavailable("the scan was stopped")
            self.partial[path] = done

        return move

    def finish(self, candidate: Candidate) -> None:
        """One path is done; said to whoever watches."""
        self.partial.pop(candidate.path, None)
        self.done += 1
        self.finished += candidate.size
        self.tell()

    def tell(self) -> None:
        """Say how far it is."""
        if self.report is not None:
            # Other threads add their own files meanwhile, so a copy is counted.
            self.report(self.done, self.files, self.finished + sum(list(self.partial.values())), self.size)


class _Scan:
    def __init__(self, parts: Parts, roots: list[str], progress: Progress | None) -> None:
        self._parts = parts
        held = parts.model_index.under(filter(is_text, roots))
        self._places = {place.path: place for place in held if not place.gone}
        self._before = {place.path: place for place in held if place.gone}
        self._candidates = find_candidates(roots, self._places)
        total = sum(candidate.size for candidate in self._candidates)
        self._progress = _Progress(progress, len(self._candidates), total)
        self._ledger = Ledger(parts)
        self._findings: list[Finding] = []
        self._counts: Counter[str] = Counter()
        self._size = 0

    def run(self) -> Scanned:
        """Look at everything, in the order of the paths."""
        proven = self._proven()
        gone = sorted(self._places.keys() - {candidate.path for candidate in self._candidates})
        try:
            with self._pool() as pool:
                for candidate, examined in self._examined(pool, proven):
                    self._take(candidate, examined)
                    self._progress.finish(candidate)
                    if self._ledger.waiting >= BATCH:
                        self._ledger.write()
            moved = {finding.was for finding in self._findings if finding.status == "moved"}
            for path in gone:
                self._gone(self._places[path], said=path not in moved)
        finally:
            self._ledger.write()
        self._ledger.follow()
        findings = self._with_versions()
        self._parts.proofs.flush()
        return Scanned(dict(self._counts), self._size, tuple(findings))

    def _proven(self) -> dict[str, str]:
        """The digests of the files that did not change since they were hashed, by path."""
        stats = {
            file_subject(Path(candidate.path)): (candidate.path, candidate.stat)
            for candidate in self._candidates
            if candidate.stat is not None
        }
        trusted = self._parts.proofs.trusted_many({subject: stat for subject, (_, stat) in stats.items()})
        return {stats[subject][0]: digest for subject, digest in trusted.items()}

    @contextmanager
    def _pool(self) -> Iterator[ThreadPoolExecutor]:
        pool = ThreadPoolExecutor(max(2, self._parts.settings.threads), thread_name_prefix="hash")
        try:
            yield pool
        finally:
            self._progress.stopped.set()
            pool.shutdown(cancel_futures=True)

    def _examined(
        self, pool: ThreadPoolExecutor, proven: dict[str, str]
    ) -> Iterator[tuple[Candidate, Examined | None]]:
        """Each candidate with what it holds, None for one that is as it was; many are read at once.

        A file with several names (links) is read once, under the first.
        """
        waiting: deque[tuple[Candidate, Future[Examined] | None]] = deque()
        first: dict[StatSignature, str] = {}
        twins: list[Candidate] = []
        for candidate in self._candidates:
            place = self._places.get(candidate.path)
            if candidate.problem or (place is not None and proven.get(candidate.path) == place.digest):
                waiting.append((candidate, None))
            elif candidate.stat is not None and first.setdefault(candidate.stat, candidate.path) != candidate.path:
                twins.append(candidate)
            else:
                waiting.append((candidate, self._submit(pool, candidate)))
            if len(waiting) > _AHEAD:
                yield self._result(*waiting.popleft())
        while waiting:
            yield self._result(*waiting.popleft())
        for candidate in twins:
            assert candidate.stat is not None
            self._parts.proofs.copy(file_subject(Path(first[candidate.stat])), file_subject(Path(candidate.path)))
            yield self._result(candidate, self._submit(pool, candidate))

    def _submit(self, pool: ThreadPoolExecutor, candidate: Candidate) -> Future[Examined]:
        known, part = candidate.path in self._places, self._progress.part(candidate.path)
        return pool.submit(examine, self._parts, candidate, known=known, progress=part)

    def _result(self, candidate: Candidate, future: Future[Examined] | None) -> tuple[Candidate, Examined | None]:
        if future is None:
            return candidate, None
        while not wait((future,), timeout=_TELL_S).done:
            self._progress.tell()
        return candidate, future.result()

    def _take(self, candidate: Candidate, examined: Examined | None) -> None:
        place = self._places.get(candidate.path)
        if candidate.problem:
            self._say(Finding(candidate.path, "broken", what=f"broken: {candidate.problem}", note=candidate.problem))
            if place is not None and candidate.problem in ("a link to nothing", "an empty file"):
                self._gone(place)
            return
        if examined is None and place is not None:
            self._same(place, place.what)
            return
        assert examined is not None
        if not examined.digest:
            self._say(
                Finding(candidate.path, examined.status, size=candidate.size, what=examined.what, note=examined.note)
            )
        elif place is None:
            self._new(candidate, examined)
        elif place.digest == examined.digest:
            self._same(place, examined.what)
        else:
            self._replaced(place, candidate, examined)

    def _same(self, place: ModelPlace, what: str) -> None:
        self._size += place.size
        self._ledger.see(Seen(place.path, place.digest, place.size, what))
        model = self._ledger.name_of(place.digest)
        # What must not be loaded is said every time, until it is gone or allowed.
        refused = what.startswith(UNSAFE) and not model
        self._say(Finding(place.path, "refused" if refused else "unchanged", place.digest, place.size, what, model))

    def _new(self, candidate: Candidate, examined: Examined) -> None:
        status: Status
        before = self._before.get(candidate.path)
        there, gone = self._ledger.elsewhere(examined.digest, candidate.path)
        left = [path for path in there if not os.path.lexists(path)]
        was = ""
        if left:
            status, was = "moved", left[0]
        elif there:
            status = "unchanged" if candidate.path in there else "copy"
        elif before is not None and before.digest == examined.digest:
            status = "back"
        elif gone:
            status, was = "moved", gone[-1]
        else:
            status = "refused" if examined.what.startswith(UNSAFE) else "new"
        self._found(candidate, examined, Finding(candidate.path, status, was=was))
        for path in left:
            self._ledger.leave(path, examined.digest)

    def _replaced(self, place: ModelPlace, candidate: Candidate, examined: Examined) -> None:
        same = hashes.same_weights(self._parts, place.digest, examined.digest, Path(candidate.path))
        note = "same weights, other header" if same else "other content than before"
        finding = Finding(
            candidate.path,
            "header-edited" if same else "replaced",
            was=place.digest,
            first_seen=place.first_seen,
            last_seen=place.last_seen,
            note=note if not examined.note else f"{note}; {examined.note}",
        )
        self._ledger.leave("", place.digest)
        self._found(candidate, examined, finding, replaces=True)

    def _found(self, candidate: Candidate, examined: Examined, finding: Finding, *, replaces: bool = False) -> None:
        model = self._ledger.keep(candidate, examined, replaces=replaces)
        self._size += examined.size
        self._say(
            replace(
                finding,
                digest=examined.digest,
                size=examined.size,
                what=examined.what,
                model=model,
                note=finding.note or examined.note or _unnamed(finding, model),
            )
        )

    def _gone(self, place: ModelPlace, *, said: bool = True) -> None:
        self._ledger.leave(place.path, place.digest)
        if said:
            self._say(
                Finding(
                    place.path,
                    "gone",
                    place.digest,
                    place.size,
                    place.what,
                    model=self._ledger.name_of(place.digest),
                    first_seen=place.first_seen,
                    last_seen=place.last_seen,
                )
            )

    def _say(self, finding: Finding) -> None:
        self._counts[finding.status] += 1
        if finding.status != "unchanged":
            self._findings.append(finding)

    def _with_versions(self) -> list[Finding]:
        """The findings, and at content that is not where it was, the versions made with it."""
        lost = {finding.was for finding in self._findings if finding.status in ("replaced", "header-edited")}
        lost |= {finding.digest for finding in self._findings if finding.status == "gone"}
        used: dict[str, list[str]] = {}
        for _, version, snapshot in made_with(self._parts, lost):
            for digest in lost & snapshot.models.keys():
                used.setdefault(digest, []).append(f"{version.workflow.name}/{version.name}")
        return [
            replace(finding, versions=tuple(used.get(finding.digest if finding.status == "gone" else finding.was, ())))
            for finding in self._findings
        ]
