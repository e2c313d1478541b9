"""Files that are brought to a server: each in a folder of its own, for an hour, under a name that nobody can guess.

A file is written in a folder that no reference means, and gets its place when all of it is there and is what it was
said to be. So a process that is killed half-way leaves only what `purge` takes away.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from blake3 import blake3

from intaglio.core.canonical import PREFIX
from intaglio.core.codec import encode
from intaglio.core.errors import IntaglioError, Invalid, NotFound, TooLarge, TooMany
from intaglio.core.job import JobStatus
from intaglio.store import disk
from intaglio.studio import clock
from intaglio.studio.filenames import fit
from intaglio.studio.files import UPLOAD, file_named
from intaglio.studio.parts import Parts
from intaglio.studio.unpacking import unpacked

FOLDER = "uploads"
KEPT_S = 3600.0
# All uploads together; past it nobody brings anything until others are gone.
MOST_BYTES = 256 * 2**30
_LOOK_EVERY = 64 * 2**20
_REFERENCE = re.compile(UPLOAD + r"([0-9a-f]{32})/([^/\x00]{1,255})\Z")
_NAMED = re.compile(UPLOAD + r"([0-9a-f]{32})/")
# More jobs than that never wait.
MOST_JOBS = 100_000
_HALF = "half-"
_ZIP = ".zip"


@dataclass(frozen=True)
class Uploaded:
    """A file that was brought. `reference` is what to give where a file is wanted, until `expires`."""

    reference: str
    digest: str
    size: int
    expires: str


class Upload:
    """A file that is being brought. As a context manager it leaves nothing behind unless it was finished."""

    def __init__(self, parts: Parts, name: str, *, limit: int) -> None:
        self._id, self._name, self._limit = secrets.token_hex(16), fit(name), limit
        self._home = folder(parts)
        self._half = self._home / f"{_HALF}{self._id}"
        self._path = self._half / self._name
        self._size, self._looked = 0, 0
        self._blake3, self._sha256 = blake3(), sha256()
        disk.make_folder(self._half)
        self._descriptor: int | None = disk.open_new(self._path)

    def write(self, chunk: bytes) -> None:
        """Take more of its bytes. Raises TooLarge, TooMany (all uploads together are too much), StorageFailed."""
        if self._descriptor is None:
            raise Invalid(f"the upload of {self._name} has ended", hint="Begin it again.")
        if self._size + len(chunk) > self._limit:
            raise TooLarge(f"{self._name} is larger than {self._limit} bytes", limit=self._limit)
        if self._size + len(chunk) - self._looked > _LOOK_EVERY:
            _check_room(self._home)
            self._looked = self._size
        disk.write_on(self._descriptor, chunk, self._path)
        self._size += len(chunk)
        self._blake3.update(chunk)
        self._sha256.update(chunk)

    def finish(self, expected: str = "", expected_sha256: str = "") -> Uploaded:
        """Give it its place. Raises Invalid, and keeps nothing, when its bytes are not those that were announced: by
        `expected`, a digest as Intaglio writes it, or by the digits of their SHA-256."""
        digest = PREFIX + self._blake3.hexdigest()
        for said, found in ((expected, digest), (expected_sha256, self._sha256.hexdigest())):
            if said and said != found:
                self.discard()
                raise Invalid(
                    f"what arrived of {self._name} is {found}, and {said[:100]} was announced; nothing was kept",
                    hint="Send it again.",
                )
        self._close()
        disk.sync_file(self._path)
        disk.rename_new(self._half, self._home / self._id)
        disk.sync_folder(self._home)
        expires = clock.written_timestamp(time.time() + KEPT_S)
        return Uploaded(f"{UPLOAD}{self._id}/{self._name}", digest, self._size, expires)

    def discard(self) -> None:
        """Take away what arrived."""
        self._close()
        disk.remove_tree(self._half)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()  # nothing is there any more once it was finished


def folder(parts: Parts) -> Path:
    """The folder of uploads, which is made when it is not there."""
    found = parts.root / FOLDER
    disk.make_tree(found)
    return found


def begin(parts: Parts, name: str, *, limit: int) -> Upload:
    """Begin to bring a file of at most `limit` bytes; `name` is what it is called, whatever that is.

    What has expired is taken away first. Raises TooMany (all uploads together are too much), StorageFailed.
    """
    purge(parts)
    _check_room(folder(parts))
    return Upload(parts, name, limit=limit)


def resolve(parts: Parts, reference: str) -> Path:
    """The file that was brought under a reference. Raises Invalid for what is none, NotFound when it has expired."""
    found = _match(reference)
    home = folder(parts)
    path = file_named(reference, home)
    expired = _changed(home / found[1]) < time.time() - KEPT_S
    if path is None or (expired and found[1] not in _awaited(parts)):
        raise NotFound("upload", reference, hint="Upload it again: what is brought is kept for an hour.")
    return path


def resolved(parts: Parts, value: Any) -> Any:
    """A value that was sent, with the file (of a zip the folder, unpacked) in the place of each reference to an upload.

    Raises NotFound, Invalid.
    """
    if isinstance(value, (list, tuple)):
        return type(value)(resolved(parts, each) for each in value)
    if not isinstance(value, str) or not _REFERENCE.match(value):
        return value
    return unpack(parts, value) if value.lower().endswith(_ZIP) else resolve(parts, value)


def unpack(parts: Parts, reference: str) -> Path:
    """The folder that was brought as a zip: unpacked beside it, once. Raises Invalid, NotFound, TooLarge, TooMany."""
    path = resolve(parts, reference)
    target = path.with_suffix("") if path.suffix else path.with_name(f"{path.name}-{FOLDER}")
    if not target.is_dir():
        half = path.parent / f"{_HALF}{secrets.token_hex(8)}"
        try:
            unpacked(path, half, room=MOST_BYTES - _held(folder(parts)))
            disk.rename_new(half, target)
        finally:
            disk.remove_tree(half)
    inside = list(target.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else target


def forget(parts: Parts, reference: str) -> None:
    """Take away what was brought under a reference, if it is there. Raises Invalid for what is none."""
    disk.remove_tree(folder(parts) / _match(reference)[1])


def as_given(parts: Parts, error: IntaglioError) -> IntaglioError:
    """The error, with each upload named in it as it was given, and not by its place on this machine."""
    place = f"{parts.root / FOLDER}/"
    error.args = tuple(word.replace(place, UPLOAD) if isinstance(word, str) else word for word in error.args)
    for name, value in list(vars(error).items()):
        if isinstance(value, str):
            setattr(error, name, value.replace(place, UPLOAD))
    return error


def purge(parts: Parts, older_than_s: float = KEPT_S) -> int:
    """Take away what was brought, or was being brought, and did not change for that long; how many.

    What a job that waits is to take stays.
    """
    before = time.time() - older_than_s
    old = [entry for entry in folder(parts).iterdir() if _changed(entry) < before]
    awaited = _awaited(parts) if old else set()
    gone = [entry for entry in old if entry.name not in awaited]
    for entry in gone:
        disk.remove_tree(entry)
    return len(gone)


def _awaited(parts: Parts) -> set[str]:
    """The uploads that jobs which have not ended name in their arguments."""
    waiting: tuple[JobStatus, ...] = ("queued", "running", "interrupted")
    jobs = [job for status in waiting for job in parts.jobs.list(limit=MOST_JOBS, status=status)]
    return {name for job in jobs for name in _NAMED.findall(encode(job).decode())}


def _match(reference: str) -> re.Match[str]:
    found = _REFERENCE.match(reference)
    if found is None:
        raise Invalid(
            f"{reference[:120]!r} is no reference to an upload", hint="Write it as it was given: upload:ID/NAME."
        )
    return found


def _changed(place: Path) -> float:
    """When an upload changed last, in seconds since 1970; 0 when it is gone. A file that still grows changes."""
    try:
        return max(found.st_mtime for found in _stats(place, deep=False))
    except ValueError:
        return 0.0


def _check_room(home: Path) -> None:
    held = _held(home)
    if held >= MOST_BYTES:
        raise TooMany(f"uploads hold {held} bytes, and the most is {MOST_BYTES}", after_s=60.0)


def _held(home: Path) -> int:
    """The bytes of all uploads."""
    return sum(found.st_size for found in _stats(home, deep=True))


def _stats(place: Path, *, deep: bool) -> Iterator[os.stat_result]:
    """What is known of a folder and of what is in it, as far as it is still there; links are not followed."""
    with suppress(FileNotFoundError, NotADirectoryError):
        yield os.lstat(place)
        with os.scandir(place) as entries:
            for entry in entries:
                if deep and entry.is_dir(follow_symlinks=False):
                    yield from _stats(Path(entry.path), deep=True)
                else:
                    with suppress(FileNotFoundError):
                        yield entry.stat(follow_symlinks=False)
