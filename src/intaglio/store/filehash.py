"""Identity of users' files and folders: found by content, re-hashed only when the file system says they changed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from intaglio.core.canonical import PREFIX, digest_value
from intaglio.core.errors import Invalid, InvalidModel, NotFound, Unavailable
from intaglio.store.disk import plain_errors
from intaglio.store.proofs import Proof, Proofs, StatSignature, file_subject

# What tools leave beside a model and change without changing the model.
LEFT_OUT = frozenset({".git", ".hg", ".svn", ".cache", ".huggingface", "__pycache__", ".DS_Store"})
ATTEMPTS = 2
_CHUNK = 256 * 1024
_WINDOW = (0x100000, 0x110000)  # what the first hash of AUTOMATIC1111's web UI was taken of

Progress = Callable[[int, int], None]  # bytes done, bytes in all


class NotAFile(Exception):
    """Something else stands where a regular file should; the message says what, after "is"."""


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """The content of a file, and what it looked like when it was hashed."""

    digest: str
    size: int
    stat: StatSignature


@dataclass(frozen=True, slots=True)
class FolderIdentity:
    """The content of a folder: `files` as (relative path, digest, size) in path order, `stats` in the same order."""

    digest: str
    size: int
    files: tuple[tuple[str, str, int], ...]
    stats: tuple[StatSignature, ...]


def open_file(path: Path, *, follow_links: bool) -> BinaryIO:
    """Open a regular file to read it. Raises NotAFile, FileNotFoundError or StorageFailed."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
    with plain_errors("opening", path):
        try:
            descriptor = os.open(path, flags)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise NotAFile("a link, not a file") from error
            if error.errno in (errno.ENXIO, errno.ENOTDIR):
                raise NotAFile("not a file") from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise NotAFile("not a file")
        return os.fdopen(descriptor, "rb")


def open_source(path: Path) -> BinaryIO:
    """Open a user's file to read it; links are followed."""
    try:
        return open_file(path, follow_links=True)
    except FileNotFoundError as error:
        raise NotFound("file", str(path)) from error
    except NotAFile as error:
        raise Invalid(f"{path} is {error}") from error


def chunks(file: BinaryIO, path: Path, progress: Progress | None = None) -> Iterator[memoryview]:
    """The bytes of `file`, from its beginning, in one buffer that is filled again and again.

    Read rather than mapped: a file cut short while it is mapped ends the whole process (SIGBUS), and this is as fast.
    """
    with plain_errors("reading", path):
        descriptor = file.fileno()
        total = os.fstat(descriptor).st_size
        buffer = memoryview(bytearray(min(total + 1, _CHUNK)))
        done = 0
        while count := os.preadv(descriptor, [buffer], done):
            done += count
            yield buffer[:count]
            if progress is not None:
                progress(done, max(done, total))


def hash_open(file: BinaryIO, path: Path, progress: Progress | None = None) -> tuple[str, int]:
    """Digest and size of the bytes of an open file."""
    hasher, size = blake3(), 0
    for chunk in chunks(file, path, progress):
        hasher.update(chunk)
        size += len(chunk)
    return PREFIX + hasher.hexdigest(), size


def hash_file(path: Path, *, proofs: Proofs, progress: Progress | None = None, full: bool = False) -> FileIdentity:
    """The identity of the file at `path` (links are followed); `full` hashes it even if a proof vouches for it."""
    for _ in range(ATTEMPTS):
        identity = _hash_once(path, proofs, progress, full)
        if identity is not None:
            return identity
    raise Unavailable(f"{path} changed while it was being read")


def _hash_once(path: Path, proofs: Proofs, progress: Progress | None, full: bool) -> FileIdentity | None:
    subject = file_subject(path)
    with open_source(path) as file:
        at, before = proofs.now(), StatSignature.of(os.fstat(file.fileno()))
        known = None if full else proofs.trusted(subject, before)
        if known is not None:
            return FileIdentity(known, before.size, before)
        digest, _ = hash_open(file, path, progress)
    identity = FileIdentity(digest, before.size, before)
    # By path, so that a file renamed over this one is seen as well.
    if not unchanged(path, identity):
        return None
    proofs.remember(subject, Proof(before, digest, at))
    return identity


@dataclass(frozen=True, slots=True)
class OtherHashes:
    """What other tools call a file of the content `digest`, in lower-case digits; "" for a hash that it has not.

    `sha256` is of the whole file, `autov1` of 64 KiB at 1 MiB, `tensors` of all that follows a safetensors header.
    """

    digest: str
    sha256: str
    autov1: str
    tensors: str


def hash_for_others(path: Path, progress: Progress | None = None) -> OtherHashes:
    """Every hash of the file at `path`, in one pass over it. `digest` is of the very bytes the others are of.

    Raises NotFound, Invalid, StorageFailed, and Unavailable for a file that changed while it was read.
    """
    with open_source(path) as file:
        before = StatSignature.of(os.fstat(file.fileno()))
        start = _tensors_start(file, before.size)
        whole, window, tensors, content, done = sha256(), sha256(), sha256(), blake3(), 0
        for chunk in chunks(file, path, progress):
            whole.update(chunk)
            content.update(chunk)
            window.update(chunk[max(0, _WINDOW[0] - done) : max(0, _WINDOW[1] - done)])
            tensors.update(chunk[max(0, start - done) :])
            done += len(chunk)
    digest = PREFIX + content.hexdigest()
    if done != before.size or not unchanged(path, FileIdentity(digest, before.size, before)):
        raise Unavailable(f"{path} changed while it was being read")
    return OtherHashes(
        digest,
        whole.hexdigest() if done else "",
        window.hexdigest()[:8] if done > _WINDOW[0] else "",
        tensors.hexdigest() if done > start else "",
    )


def _tensors_start(file: BinaryIO, size: int) -> int:
    """Where the data of a safetensors file begins; behind the end of a file that is none."""
    head = os.pread(file.fileno(), 9, 0)
    length = int.from_bytes(head[:8], "little")
    return 8 + length if head[8:] == b"{" and 8 + length <= size else size + 1


def hash_folder(path: Path, *, proofs: Proofs, progress: Progress | None = None, full: bool = False) -> FolderIdentity:
    """The identity of the folder at `path`: a digest over the sorted relative paths and digests of its files."""
    found = _members(path)
    if not found:
        raise InvalidModel(f"{path} has no files in it")
    total = sum(signature.size for signature in found.values())
    files, stats, done = [], [], 0
    for relative in found:
        part = None if progress is None else _part(progress, done, total)
        identity = hash_file(path / relative, proofs=proofs, progress=part, full=full)
        files.append((relative, identity.digest, identity.size))
        stats.append(identity.stat)
        done += identity.size
    digest = digest_value("folder", [[relative, digest] for relative, digest, _ in files])
    result = FolderIdentity(digest, done, tuple(files), tuple(stats))
    if not unchanged(path, result):
        raise Unavailable(f"{path} changed while it was being read")
    return result


def unchanged(path: Path, identity: FileIdentity | FolderIdentity) -> bool:
    """Whether what is at `path` still looks as it did when `identity` was taken; reads no content."""
    try:
        if isinstance(identity, FileIdentity):
            return StatSignature.of(os.stat(path)) == identity.stat
        return list(_members(path).items()) == [
            (relative, signature) for (relative, _, _), signature in zip(identity.files, identity.stats, strict=True)
        ]
    except (OSError, InvalidModel, NotFound, Unavailable):
        return False


def _part(progress: Progress, done: int, total: int) -> Progress:
    return lambda count, _: progress(done + count, max(done + count, total))


def _members(root: Path) -> dict[str, StatSignature]:
    if not root.is_dir():
        raise InvalidModel(f"{root} is not a folder") if root.exists() else NotFound("folder", str(root))
    found = {}
    with plain_errors("reading", root):
        # Strings rather than Paths: a model is looked at several times in a run, and this is most of a look.
        for folder, folders, names in os.walk(root, onerror=_refuse):
            folders[:] = [name for name in folders if name not in LEFT_OUT]
            for name in folders:
                if os.path.islink(place := os.path.join(folder, name)):
                    raise InvalidModel(f"{place} is a link to a folder; its files would not be part of the model")
            inside = Path(folder).relative_to(root).parts
            for name in names:
                if name not in LEFT_OUT:
                    place = os.path.join(folder, name)
                    found[_unicode("/".join((*inside, name)), place)] = _signature(place)
    return dict(sorted(found.items()))


def _refuse(error: OSError) -> None:
    if isinstance(error, FileNotFoundError):
        raise Unavailable(f"{error.filename} changed while it was being read") from error
    raise error


def _unicode(relative: str, place: str) -> str:
    try:
        relative.encode()
    except UnicodeEncodeError as error:
        raise InvalidModel(f"{os.fsencode(place)!r} has a name that is not Unicode") from error
    return relative


def _signature(path: str) -> StatSignature:
    try:
        found = os.stat(path)
    except FileNotFoundError as error:
        raise InvalidModel(f"{path} is a link to nothing") from error
    if not stat.S_ISREG(found.st_mode):
        raise InvalidModel(f"{path} is not a file")
    return StatSignature.of(found)
