"""Locks between processes. The kernel lets go of them when a process ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from intaglio.core.errors import Unavailable
from intaglio.store import disk

_PAUSE_S = 0.02


@contextmanager
def library_lock(path: Path, *, timeout_s: float = 60.0) -> Iterator[None]:
    """Be the only process inside; used while a library is made or migrated. Raises Unavailable after `timeout_s`."""
    descriptor = _acquire(path, timeout_s)
    try:
        yield
    finally:
        _release(descriptor)


class TaskLock:
    """A held lock file: as long as it is held, the runner that took it is alive."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def hold(cls, path: Path, *, timeout_s: float = 1.0) -> Self:
        """Take the lock at `path`. Raises Unavailable when another holds it."""
        return cls(path, _acquire(path, timeout_s))

    @staticmethod
    def is_held(path: Path) -> bool:
        """Whether a living process (this one included) holds the lock at `path`."""
        with disk.plain_errors("opening", path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
        try:
            return not _try_lock(descriptor, fcntl.LOCK_SH, path)
        finally:
            _release(descriptor)

    def release(self) -> None:
        """Let go, and remove the file."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                disk.unlink(self.path)
            finally:
                _release(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _acquire(path: Path, timeout_s: float) -> int:
    deadline = time.monotonic() + timeout_s
    while True:
        descriptor = _take(path)
        if descriptor is not None:
            return descriptor
        if time.monotonic() > deadline:
            raise Unavailable(f"{path} is held by another process", hint="Wait until it is done, then try again.")
        time.sleep(_PAUSE_S)


def _take(path: Path) -> int | None:
    descriptor = disk.open_lock(path)
    taken = False
    try:
        taken = _try_lock(descriptor, fcntl.LOCK_EX, path) and _is_at(path, descriptor)
    finally:
        if not taken:
            _release(descriptor)
    return descriptor if taken else None


def _try_lock(descriptor: int, kind: int, path: Path) -> bool:
    with disk.plain_errors("locking", path):
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the locked file is still the one at `path`: the last holder may have removed it in between."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _release(descriptor: int) -> None:
    # Closing alone would leave the lock with a child that was forked while it was held.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
