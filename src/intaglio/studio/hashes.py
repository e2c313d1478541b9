"""The names other tools have for models: computed behind everything else, and what they tell of two files."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from intaglio.core.errors import IntaglioError, Unavailable
from intaglio.core.model import ModelHashes, ModelPart, ModelVersion
from intaglio.store import filehash
from intaglio.store.lock import TaskLock
from intaglio.studio import clock
from intaglio.studio.modelfiles import SAFE_SUFFIXES
from intaglio.studio.parts import Parts

# A file this small is hashed at once when it is to be told whether only its header changed.
AT_ONCE = 256 * 2**20
LOCK = "model-hashes"

Progress = Callable[[int, int, int, int], None]  # files done, files in all, bytes done, bytes in all


@dataclass(frozen=True)
class Hashed:
    """How many files were given their other hashes, their bytes, and the files that could not be read, with why."""

    files: int
    size: int
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Pending:
    digest: str
    path: str
    size: int


def pending(parts: Parts) -> list[_Pending]:
    """The files whose other hashes are not known, the smallest first: single files, and the weights in folders."""
    known = parts.model_index.hashed()
    files: dict[str, _Pending] = {}
    folders: dict[str, str] = {}
    for place in parts.model_index.places():
        if place.gone:
            continue
        if place.digest not in known and os.path.isfile(place.path):
            files.setdefault(place.digest, _Pending(place.digest, place.path, place.size))
        else:
            folders.setdefault(place.digest, place.path)
    for model in _folder_models(parts, set(folders)):
        for part in _weights(model):
            if part.digest not in known:
                path = os.path.join(folders[model.digest], part.path)
                files.setdefault(part.digest, _Pending(part.digest, path, part.size))
    return sorted(files.values(), key=lambda each: (each.size, each.path))


def hash_pending(parts: Parts, progress: Progress | None = None) -> Hashed:
    """Compute what is pending, each file in one pass; what is finished is kept, whatever stops the rest.

    One process at a time does it. Raises Unavailable while another one does.
    """
    with TaskLock.hold(parts.root / "locks" / LOCK, timeout_s=0.0):
        done = Hashed(0, 0)
        # What others indexed meanwhile is done too; they started nobody, because this one was at work.
        while files := [each for each in pending(parts) if each.path not in dict(done.failed)]:
            more = _Work(parts, files, progress).run()
            done = Hashed(done.files + more.files, done.size + more.size, done.failed + more.failed)
        return done


def same_weights(parts: Parts, old: str, new: str, at: Path | None = None) -> bool:
    """Whether two files (or folders) of these digests hold the same tensors, and differ at most in headers and notes.

    False as long as that is not known. `at` is where the new one is: a small file there is hashed now.
    """
    if old == new:
        return True
    before = _files(parts, old)
    after = _files(parts, new) or ({} if at is None else _files_at(parts, at, new))
    if before.keys() != after.keys() or not before:
        return False
    changed = [(before[name], after[name], name) for name in before if before[name] != after[name]]
    return all(_same_tensors(parts, first, second, at, name) for first, second, name in changed)


def _same_tensors(parts: Parts, old: str, new: str, at: Path | None, name: str) -> bool:
    then = parts.model_index.hashes(old)
    if then is None or not then.tensors:
        return False
    now = parts.model_index.hashes(new)
    if now is not None:
        return now.tensors == then.tensors
    if at is None:
        return False
    path = at / name if name else at
    try:
        if path.stat().st_size > AT_ONCE:
            return False
        found = filehash.hash_for_others(path)
    except (IntaglioError, OSError):
        return False
    return found.digest == new and found.tensors == then.tensors


def _files(parts: Parts, digest: str) -> dict[str, str]:
    """The files of known content by relative path; a single file has the path ""."""
    for model, _ in parts.models.under_digest(digest):
        if model.files:
            return {part.path: part.digest for part in model.files}
    is_single = parts.model_index.hashes(digest) is not None
    return {"": digest} if is_single else {}


def _files_at(parts: Parts, at: Path, digest: str) -> dict[str, str]:
    try:
        if at.is_file():
            return {"": digest}
        folder = filehash.hash_folder(at, proofs=parts.proofs)
    except (IntaglioError, OSError):
        return {}
    return {path: part for path, part, _ in folder.files}


def _folder_models(parts: Parts, digests: set[str]) -> list[ModelVersion]:
    return [model for model, _ in parts.models.list() if model.digest in digests and model.files]


def _weights(model: ModelVersion) -> list[ModelPart]:
    return [part for part in model.files if part.path.lower().endswith(SAFE_SUFFIXES)]


class _Work:
    def __init__(self, parts: Parts, files: list[_Pending], progress: Progress | None) -> None:
        self._parts = parts
        self._files = files
        self._report = progress
        self._total = sum(each.size for each in files)
        self._partial: dict[str, int] = {}
        self._stopped = Event()
        self._done: list[_Pending] = []
        self._failed: list[tuple[str, str]] = []

    def run(self) -> Hashed:
        pool = ThreadPoolExecutor(max(1, self._parts.settings.threads), thread_name_prefix="hash")
        try:
            futures = {pool.submit(self._hash, each): each for each in self._files}
            while futures:
                finished, _ = wait(futures, timeout=0.5, return_when=FIRST_COMPLETED)
                self._keep({future: futures.pop(future) for future in finished})
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)
        return Hashed(len(self._done), sum(each.size for each in self._done), tuple(self._failed))

    def _hash(self, each: _Pending) -> filehash.OtherHashes:
        def move(done: int, _: int) -> None:
            if self._stopped.is_set():
                raise Unavailable("stopped")
            self._partial[each.path] = done

        return filehash.hash_for_others(Path(each.path), move)

    def _keep(self, finished: dict[Future[filehash.OtherHashes], _Pending]) -> None:
        computed = []
        for future, each in finished.items():
            try:
                found = future.result()
            except (IntaglioError, OSError) as error:
                self._failed.append((each.path, str(error)))
                continue
            if found.digest != each.digest:
                self._failed.append((each.path, "it is not what was indexed; scan again"))
                continue
            computed.append(_record(found))
            self._done.append(each)
        if computed:
            self._parts.model_index.add_hashes(computed)
        if self._report is not None:
            done = len(self._done) + len(self._failed)
            self._report(done, len(self._files), sum(list(self._partial.values())), self._total)


def _record(found: filehash.OtherHashes) -> ModelHashes:
    return ModelHashes(
        digest=found.digest, sha256=found.sha256, autov1=found.autov1, tensors=found.tensors, created=clock.now()
    )
