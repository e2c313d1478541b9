"""Unpacking a zip from elsewhere: nothing in it is believed, and nothing leaves the folder it is unpacked into."""

from __future__ import annotations

import io
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from intaglio.core.errors import Invalid, TooLarge
from intaglio.store import disk

MOST_FILES = 10_000
MOST_DEPTH = 24
MOST_BYTES = 64 * 2**30
# Weights and pictures hardly shrink; what shrinks more than this, and is not small, is meant to fill a disk.
MOST_RATIO = 200
_SMALL = 64 * 2**20
_LARGEST_LIST = 4 * 2**20
_CHUNK = 2**20
_LONGEST_NAME = 255
_HINT = "Send a zip of the folder, made anew from plain files."
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError, KeyError,
)  # fmt: skip


def unpacked(archive: Path, target: Path, *, room: int = MOST_BYTES) -> None:
    """Unpack a zip into the new folder `target`, of at most `room` bytes.

    Raises Invalid for one that is damaged or holds what is no plain file or folder of its own, TooLarge, StorageFailed.
    """
    with _Careful(archive) as file:
        try:
            with zipfile.ZipFile(file) as opened:
                found = _checked(opened, archive.stat().st_size, min(room, MOST_BYTES))
                disk.make_folder(target)
                for place in sorted({parent for path in found for parent in path.parents}, key=lambda one: one.parts):
                    disk.make_folder(target / place)
                for path, entry in found.items():
                    if entry.is_dir():
                        disk.make_folder(target / path)
                    else:
                        disk.write_stream(target / path, _bytes_of(opened, entry), 0o666)
        except _DAMAGED as error:
            raise Invalid(f"{archive.name} is no zip that can be read: {str(error)[:200]}", hint=_HINT) from error


class _Careful(io.FileIO):
    """A file of which no more is read at once than a list of entries may be long: it is read whole, before it can be
    looked at."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = _LARGEST_LIST + 1 if size is None or size < 0 else size
        if wanted > _LARGEST_LIST + 1:
            raise TooLarge(f"the zip lists more than {MOST_FILES} files", limit=MOST_FILES, hint=_HINT)
        return super().read(wanted) or b""


def _checked(opened: zipfile.ZipFile, packed: int, room: int) -> dict[Path, zipfile.ZipInfo]:
    """The entries by where they go."""
    entries = opened.infolist()
    if len(entries) > MOST_FILES:
        raise TooLarge(f"the zip holds {len(entries)} files; the most is {MOST_FILES}", limit=MOST_FILES)
    size = sum(entry.file_size for entry in entries)
    if size > room:
        raise TooLarge(f"the zip holds {size} bytes; the most is {room}", limit=room)
    if size > _SMALL and size > packed * MOST_RATIO:
        raise Invalid(f"{packed} bytes of zip would become {size}", hint=_HINT)
    found: dict[Path, zipfile.ZipInfo] = {}
    seen: dict[str, bool] = {}
    for entry in entries:
        path = _place(entry)
        key = _spelled(path)
        if key in seen:
            raise Invalid(f"the zip holds {entry.filename[:200]!r} twice", hint=_HINT)
        seen[key] = entry.is_dir()
        found[path] = entry
    for path in found:
        for parent in path.parents:
            if not seen.get(_spelled(parent), True):
                raise Invalid(f"the zip holds {str(parent)[:200]!r} as a file and as a folder", hint=_HINT)
    return found


def _spelled(path: Path) -> str:
    """A path as the least careful file system tells it from others."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _place(entry: zipfile.ZipInfo) -> Path:
    """Where an entry goes, below the folder. Raises Invalid for anything that is no plain file or folder there."""
    name, mode = entry.filename, entry.external_attr >> 16
    parts = name.removesuffix("/").split("/")
    odd = any(part in ("", ".", "..") or len(part.encode(errors="replace")) > _LONGEST_NAME for part in parts)
    # The name as it was written: zipfile cuts it at a NUL.
    hidden = entry.orig_filename != name or any(unicodedata.category(each) in ("Cc", "Cs") for each in name)
    if odd or hidden or "\\" in name or ":" in parts[0] or len(parts) > MOST_DEPTH:
        raise Invalid(f"the zip holds {name[:200]!r}, which is no path inside of it", hint=_HINT)
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Invalid(f"the zip holds {name[:200]!r}, which is a link or a device", hint=_HINT)
    if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Invalid(f"the zip holds {name[:200]!r} encrypted, or packed in an unusual way", hint=_HINT)
    return Path(*parts)


def _bytes_of(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of a file, never more than it announced."""
    with opened.open(entry) as file:
        left = entry.file_size
        while chunk := file.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise zipfile.BadZipFile(f"{entry.filename[:200]!r} is longer than it says")
            yield chunk
        if left:
            raise zipfile.BadZipFile(f"{entry.filename[:200]!r} is shorter than it says")
