"""Blobs on the local disk: `root/ab/<hex>`, read-only files named by their digest, verified whenever they are read.

A blob is written under a temporary name, synced, renamed and its folder synced: it is under its own name whole or not
at all, whenever the process dies. What is no longer wanted goes to `quarantine/YYYYMMDD/` beside the root first, and
comes back by itself when it is read after all.
"""

from __future__ import annotations

import itertools
import os
import secrets
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from intaglio.core.canonical import PREFIX, digest_bytes, is_digest
from intaglio.core.errors import Damaged, NotFound, StorageFailed
from intaglio.store import disk
from intaglio.store.filehash import NotAFile, Progress, hash_open, open_file
from intaglio.store.proofs import Proof, Proofs, StatSignature, blob_subject
from intaglio.store.transfer import How, transfer

# Up to here hashing the bytes costs no more than asking for a proof, and proves more.
ALWAYS_HASHED = 256 * 1024


class OtherContent(Exception):
    """A file is not the content it was said to be; `digest` is what it is."""

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest


class LocalBlobs:
    """A folder of blobs. Any number of threads and processes may use it at once; nothing is written until a put."""

    def __init__(self, root: Path, proofs: Proofs) -> None:
        self.root = root
        self._proofs = proofs
        self._temporary = root / "tmp"
        self._quarantine = root.parent / "quarantine"
        self._synced_folders: set[Path] = set()

    def put(self, data: bytes) -> str:
        """Store `data` durably; its digest."""
        return self.put_many([data])[0]

    def put_many(self, items: Sequence[bytes]) -> list[str]:
        """Store `items` durably, with one round of syncs for all; their digests. A damaged blob is healed by this."""
        if not items:
            return []
        at = self._proofs.now()
        digests = [digest_bytes(item) for item in items]
        contents = dict(zip(digests, items, strict=True))
        disk.make_tree(self._temporary)
        fresh = {digest: self._temporary_path() for digest in contents if not self._is_intact(digest)}
        with disk.removed_on_failure(fresh.values()):
            for digest, temporary in fresh.items():
                disk.write_new(temporary, contents[digest])
            self._publish(fresh, contents, at)
        return digests

    def put_file(self, path: Path, *, progress: Progress | None = None) -> tuple[str, int]:
        """Store a copy of the file at `path`, which is read once; digest and size."""
        at = self._proofs.now()
        disk.make_tree(self._temporary)
        temporary = self._temporary_path()
        with disk.removed_on_failure([temporary]):
            _, digest, size = transfer(path, temporary, ("copy",), progress=progress)
            if self._is_intact(digest):
                disk.unlink(temporary)
                self._publish({}, [digest], at)
            else:
                self._publish({digest: temporary}, [digest], at)
        return digest, size

    def take(self, path: Path, digest: str, *, copy: bool = False, progress: Progress | None = None) -> How:
        """Take the file at `path` over as the blob `digest`: by reflink, else as a hard link, else (or with `copy`) as
        a copy; how. The file itself stays as it is. Raises OtherContent, NotFound, StorageFailed.
        """
        at = self._proofs.now()
        disk.make_tree(self._temporary)
        shared = os.stat(held).st_nlink > 1 if (held := self._path(digest)).is_file() else False
        if not (copy and shared) and self._is_intact(digest):
            self._publish({}, [digest], at)
            return "hard link" if shared else "copy"
        temporary = self._temporary_path()
        with disk.removed_on_failure([temporary]):
            ways: tuple[How, ...] = ("copy",) if copy else ("reflink", "hard link", "copy")
            how, found, _ = transfer(path, temporary, ways, progress=progress)
            if found != digest:
                raise OtherContent(found)
            self._publish({digest: temporary}, [digest], at)
        return how

    def give(self, digest: str, target: Path, *, link: bool, progress: Progress | None = None) -> How:
        """Make the new file `target` with the bytes of a blob: by reflink, else (with `link`) as a hard link, else as a
        copy; how. With `link` it is for reading only. Not synced yet. Raises Damaged, StorageFailed.
        """
        ways: tuple[How, ...] = ("reflink", "hard link", "copy") if link else ("reflink", "copy")
        with self._open(digest), disk.removed_on_failure([target]):  # opened: one in quarantine comes back
            mode = 0o444 if link else 0o666
            how, found, size = transfer(self._path(digest), target, ways, mode=mode, progress=progress)
            if found != digest:
                raise Damaged(f"blob {digest} is damaged: its {size} bytes are {found}")
        return how

    def _publish(self, fresh: dict[str, Path], digests: Collection[str], at: int) -> None:
        # The folders of blobs that were there already are synced too: their writer may not have come to it yet.
        for temporary in fresh.values():
            disk.sync_file(temporary)
        folders = sorted({self._path(digest).parent for digest in digests})
        # All of them are made before one is skipped as known: a made folder is not a synced one.
        made = [disk.make_folder(folder) for folder in folders]
        for digest, temporary in fresh.items():
            self._replace(temporary, digest, at)
        for folder in folders:
            disk.sync_folder(folder)
        if any(made) or not self._synced_folders.issuperset(folders):
            disk.sync_folder(self.root)
            self._synced_folders.update(folders)

    def _replace(self, temporary: Path, digest: str, at: int) -> None:
        path = self._path(digest)
        try:
            disk.rename(temporary, path)
        except IsADirectoryError:
            self.quarantine(digest)
            disk.rename(temporary, path)
        # Too fresh to vouch for anything, but it tells how long the blob should be.
        with suppress(FileNotFoundError):
            self._proofs.remember(blob_subject(digest), Proof(StatSignature.of(os.lstat(path)), digest, at))

    def _temporary_path(self) -> Path:
        return self._temporary / f"{os.getpid()}-{secrets.token_hex(8)}"

    def read(self, digest: str) -> bytes:
        """The bytes of a blob. Raises Damaged when they are missing or not what the digest says."""
        path = self._path(digest)
        with self._open(digest) as file, disk.plain_errors("reading", path):
            at, before = self._proofs.now(), _signature(file)
            data = file.read()
            if self._is_proved(digest, before) and _signature(file) == before and len(data) == before.size:
                return data
            self._accept(digest, before, (digest_bytes(data), len(data)), at)
            return data

    def open_verified(self, digest: str) -> BinaryIO:
        """A blob opened for reading, after it was verified. Raises Damaged."""
        file = self._open(digest)
        try:
            self._check(digest, file, full=False)
        except BaseException:
            file.close()
            raise
        return file

    def path_of(self, digest: str) -> Path:
        """The file of a blob, after it was verified. Raises Damaged."""
        self.verify(digest, full=False)
        return self._path(digest)

    def verify(self, digest: str, *, full: bool) -> None:
        """Raise Damaged unless the blob is intact; `full` hashes it even if a proof vouches for it."""
        with self._open(digest) as file:
            self._check(digest, file, full=full)

    def has(self, digest: str) -> bool:
        """Whether the blob is there; it is not read, and one in quarantine is not there."""
        if not is_digest(digest):
            return False
        with disk.plain_errors("reading", self.root):
            try:
                return stat.S_ISREG(os.lstat(self._path(digest)).st_mode)
            except FileNotFoundError:
                return False

    def size(self, digest: str) -> int:
        """The length of a blob in bytes. Raises Damaged when it is missing."""
        with self._open(digest) as file:
            return _signature(file).size

    def iter_digests(self) -> Iterator[tuple[str, int, float]]:
        """Every blob in order: digest, size and when it was put here (seconds since 1970). Content is not read."""
        for folder in _entries(self.root):
            for entry in _entries(Path(folder.path)):
                digest = PREFIX + entry.name
                if is_digest(digest) and entry.name[:2] == folder.name and entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        found = entry.stat(follow_symlinks=False)
                        # Its change time: what was taken over as a hard link was written long before.
                        yield digest, found.st_size, found.st_ctime

    def _path(self, digest: str) -> Path:
        if not is_digest(digest):
            raise NotFound("blob", digest)
        name = digest.removeprefix(PREFIX)
        return self.root / name[:2] / name

    def _open(self, digest: str) -> BinaryIO:
        path = self._path(digest)
        try:
            try:
                return open_file(path, follow_links=False)
            except FileNotFoundError:
                self._restore(digest)
                return open_file(path, follow_links=False)
        except FileNotFoundError as error:
            raise Damaged(f"blob {digest} is missing") from error
        except NotAFile as error:
            raise Damaged(f"blob {digest} is {error}") from error

    def _check(self, digest: str, file: BinaryIO, *, full: bool) -> None:
        at, before = self._proofs.now(), _signature(file)
        if full or not self._is_proved(digest, before):
            self._accept(digest, before, hash_open(file, self._path(digest)), at)

    def _is_proved(self, digest: str, found: StatSignature) -> bool:
        return found.size > ALWAYS_HASHED and self._proofs.trusted(blob_subject(digest), found) == digest

    def _accept(self, digest: str, before: StatSignature, found: tuple[str, int], at: int) -> None:
        actual, size = found
        if actual == digest:
            # By the look it had before it was read: whatever changed it since changed that too.
            if size == before.size > ALWAYS_HASHED:
                self._proofs.remember(blob_subject(digest), Proof(before, digest, at))
            return
        last = self._proofs.last(blob_subject(digest))
        if last is not None and last.digest == digest and size < last.stat.size:
            raise Damaged(f"blob {digest} is cut off: {size} of {last.stat.size} bytes")
        raise Damaged(f"blob {digest} is damaged: its {size} bytes are {actual}")

    def _is_intact(self, digest: str) -> bool:
        try:
            with open_file(self._path(digest), follow_links=False) as file:
                self._check(digest, file, full=False)
        except (FileNotFoundError, NotAFile, Damaged, StorageFailed):
            return False
        return True

    def quarantine(self, digest: str) -> Path | None:
        """Set a blob aside, if it is there; where it is now. Reading it brings it back, if it is intact."""
        path = self._path(digest)
        aside = self._free_folder(path.name) / path.name
        with suppress(FileNotFoundError):
            disk.rename(path, aside)
            disk.sync_folder(aside.parent)
            disk.sync_folder(path.parent)
            return aside
        return None

    def purge_quarantine(self, older_than_s: float, *, wanted: Collection[str] = frozenset()) -> int:
        """Delete what was set aside more than `older_than_s` ago; how many. `wanted` blobs are brought back instead."""
        before, count = time.time() - older_than_s, 0
        for folder in _entries(self._quarantine):
            for entry in _entries(Path(folder.path)):
                digest = PREFIX + entry.name
                if not _is_old(entry, before):
                    continue
                if digest in wanted and not self._is_intact(digest):
                    self._restore(digest)
                    continue
                disk.unlink(Path(entry.path))
                count += 1
            disk.remove_folder(Path(folder.path))
        return count

    def sweep_temporary(self, older_than_s: float) -> int:
        """Remove what killed processes left half written more than `older_than_s` ago; how many."""
        before, count = time.time() - older_than_s, 0
        for entry in _entries(self._temporary):
            if _is_old(entry, before):
                disk.unlink(Path(entry.path))
                count += 1
        return count

    def _free_folder(self, name: str) -> Path:
        day = time.strftime("%Y%m%d", time.gmtime())
        names = itertools.chain([day], (f"{day}-{number}" for number in itertools.count(1)))
        folder = next(self._quarantine / each for each in names if not os.path.lexists(self._quarantine / each / name))
        disk.make_tree(folder)
        return folder

    def _restore(self, digest: str) -> None:
        path = self._path(digest)
        for folder in reversed(_entries(self._quarantine)):
            copy = Path(folder.path) / path.name
            with suppress(FileNotFoundError, NotAFile, Damaged):
                with open_file(copy, follow_links=False) as file:
                    self._check(digest, file, full=True)
                disk.make_tree(path.parent)
                disk.rename(copy, path)
                disk.sync_folder(path.parent)
                disk.sync_folder(copy.parent)
                return


def _signature(file: BinaryIO) -> StatSignature:
    return StatSignature.of(os.fstat(file.fileno()))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with disk.plain_errors("reading", folder):
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []


def _is_old(entry: os.DirEntry[str], before: float) -> bool:
    """Whether it was put where it is before that; its modification time would say when it was written."""
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return not stat.S_ISDIR(found.st_mode) and found.st_ctime <= before
