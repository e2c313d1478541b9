"""Bringing the bytes of one file to another place, in the cheapest way that the file system can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from blake3 import blake3

from intaglio.core.canonical import PREFIX
from intaglio.core.errors import Unavailable
from intaglio.store import disk
from intaglio.store.filehash import NotAFile, Progress, chunks, hash_open, open_file, open_source

# A reflink and a copy have bytes of their own; a hard link is the same file under a second name.
How = Literal["reflink", "hard link", "copy"]


def transfer(
    source: Path, target: Path, ways: tuple[How, ...], *, mode: int = 0o444, progress: Progress | None = None
) -> tuple[How, str, int]:
    """Make the new file `target` with the bytes of `source`, in the first of `ways` that can be; not synced yet.

    Returns how, and digest and size (bytes) of what `target` holds. Raises NotFound, Invalid, Unavailable,
    StorageFailed; the caller removes `target` then.
    """
    with open_source(source) as file:
        if "reflink" in ways and disk.reflink(file.fileno(), target, mode):
            return ("reflink", *_hashed(target, progress))
        if "hard link" in ways and disk.hard_link(source, target):
            return ("hard link", *_hashed(target, progress))
        return ("copy", *_copied(file, source, target, mode, progress))


def _hashed(target: Path, progress: Progress | None) -> tuple[str, int]:
    try:
        with open_file(target, follow_links=False) as file:
            return hash_open(file, target, progress)
    except (NotAFile, FileNotFoundError) as error:
        raise Unavailable(f"{target} changed while it was being read") from error


def _copied(file: BinaryIO, source: Path, target: Path, mode: int, progress: Progress | None) -> tuple[str, int]:
    hasher, size = blake3(), 0

    def hashed() -> Iterator[memoryview]:
        nonlocal size
        for chunk in chunks(file, source, progress):
            hasher.update(chunk)
            size += len(chunk)
            yield chunk

    disk.write_stream(target, hashed(), mode)
    return PREFIX + hasher.hexdigest(), size
