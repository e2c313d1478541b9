"""Every change the store makes to the disk, each with a failpoint before and after.

Tests set an observer that kills the process or raises OSError at a failpoint; so every half-done state that a crash or
a full disk can leave behind is one that a test has seen. What the system refuses becomes StorageFailed, here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from intaglio.core.errors import Conflict, StorageFailed

_REASONS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EIO: "the disk reported an error",
}

# Linux's request to let one file share the bytes of another until one of them is changed; elsewhere it is unknown.
_FICLONE = 0x40049409
_NOT_HERE = {
    errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EOPNOTSUPP,
    errno.ETXTBSY,
}  # fmt: skip

# The ending of what `show` is still writing.
SHOWING = ".new"

_observers: list[Callable[[str], None]] = []


def observe(callback: Callable[[str], None] | None) -> None:
    """Have `callback` called at every failpoint, in place of the one before; None ends it."""
    _observers[:] = [] if callback is None else [callback]


def point(name: str) -> None:
    """A failpoint, such as "rename:before"."""
    for observer in _observers:
        observer(name)


@contextmanager
def plain_errors(doing: str, path: Path) -> Iterator[None]:
    """Turn what the system refuses while `doing` something to `path` into StorageFailed.

    FileNotFoundError and IsADirectoryError pass: they say what is there, and callers decide by them.
    """
    try:
        yield
    except (FileNotFoundError, IsADirectoryError):
        raise
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()
        raise StorageFailed(f"{reason} while {doing} {path}") from error


@contextmanager
def _change(name: str, doing: str, path: Path) -> Iterator[None]:
    with plain_errors(doing, path):
        point(f"{name}:before")
        yield
        point(f"{name}:after")


def write_new(path: Path, data: bytes, mode: int = 0o444) -> None:
    """Write `data` to a file that must not exist yet."""
    write_stream(path, (data,), mode)


def write_stream(path: Path, chunks: Iterable[bytes | memoryview], mode: int = 0o444) -> None:
    """Write `chunks`, one after the other, to a file that must not exist yet."""
    with _change("write", "writing", path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            for chunk in chunks:
                point("chunk:before")
                _write_all(descriptor, chunk)
        finally:
            os.close(descriptor)


def open_new(path: Path, mode: int = 0o666) -> int:
    """A descriptor to write the file `path` with, which must not exist yet; for bytes that come one by one."""
    with _change("open_new", "writing", path):
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def write_on(descriptor: int, chunk: bytes, path: Path) -> None:
    """Write more to a file that `open_new` opened."""
    with _change("write_on", "writing", path):
        _write_all(descriptor, chunk)


def _write_all(descriptor: int, chunk: bytes | memoryview) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_file(path: Path) -> None:
    """Return once the bytes of `path` are on the disk."""
    with _change("sync_file", "writing", path):
        _sync(path, os.O_RDONLY | os.O_NOFOLLOW)


def sync_folder(path: Path) -> None:
    """Return once the names in the folder `path` are on the disk."""
    with _change("sync_folder", "writing", path):
        try:
            _sync(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            # Some network file systems cannot sync a folder, and say so like this.
            if error.errno != errno.EINVAL:
                raise


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Put `source` in the place of `target`, in one step."""
    with _change("rename", "writing", target):
        os.rename(source, target)


def rename_new(source: Path, target: Path) -> None:
    """Give `source` the name `target`, which must be free. Raises Conflict."""
    with _change("rename_new", "writing", target):
        if os.path.lexists(target):
            raise Conflict(f"{target} is there already")
        try:
            # Never in the place of a file that came this moment: a link is refused then, a rename would not be.
            linked = not source.is_dir() and _linked(source, target)
            os.unlink(source) if linked else os.rename(source, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            raise Conflict(f"{target} is there already") from error


def reflink(source: int, target: Path, mode: int = 0o444) -> bool:
    """Make the new file `target` share the bytes of the open file `source`; False where the file system cannot."""
    with _change("reflink", "writing", target):
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            fcntl.ioctl(descriptor, _FICLONE, source)
        except OSError as error:
            os.unlink(target)
            if error.errno not in _NOT_HERE:
                raise
            return False
        finally:
            os.close(descriptor)
    return True


def hard_link(source: Path, target: Path) -> bool:
    """Make `target` a further name of the file `source` (links are followed); False where that cannot be."""
    with _change("hard_link", "writing", target):
        return _linked(source, target)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(os.path.realpath(source), target)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        return False
    return True


def touch(path: Path) -> None:
    """Make the file `path`, empty, unless it is there."""
    with _change("touch", "writing", path):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))


def unlink(path: Path) -> None:
    """Remove the file `path`, if it is there."""
    with _change("unlink", "removing", path), suppress(FileNotFoundError):
        os.unlink(path)


@contextmanager
def removed_on_failure(paths: Iterable[Path]) -> Iterator[None]:
    """Remove the temporary files at `paths` when what is done inside fails."""
    try:
        yield
    except BaseException:
        for path in paths:
            with suppress(StorageFailed):
                unlink(path)
        raise


def make_folder(path: Path) -> bool:
    """Make the folder `path`; False when it is there already. A link or a file in its place is refused."""
    with _change("make_folder", "making the folder", path):
        try:
            os.mkdir(path)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise
            return False
    return True


def make_tree(path: Path) -> None:
    """Make the folder `path` and the ones above it, durably."""
    if path.is_dir():
        return
    make_tree(path.parent)
    if make_folder(path):
        sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove the folder `path` if it is there and empty."""
    with _change("remove_folder", "removing", path):
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise


def remove_tree(path: Path) -> None:
    """Remove the file or the folder `path` with all that is in it, if it is there; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        for entry in sorted(path.iterdir()):
            remove_tree(entry)
        remove_folder(path)
    else:
        unlink(path)


def show(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step, for whoever looks now. Not durable; and no failpoints, because nothing depends
    on what is there."""
    fresh = path.with_name(path.name + SHOWING)
    with plain_errors("writing", path):
        with suppress(FileNotFoundError):
            os.unlink(fresh)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            _write_all(descriptor, data)
        finally:
            os.close(descriptor)
        os.rename(fresh, path)


def hide(path: Path) -> None:
    """Take away what `show` put at `path`, or was about to, if it is there."""
    with plain_errors("removing", path):
        for each in (path, path.with_name(path.name + SHOWING)):
            with suppress(FileNotFoundError):
                os.unlink(each)


def open_lock(path: Path) -> int:
    """A descriptor of the lock file `path`, made when it is missing."""
    with _change("open_lock", "opening", path):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
