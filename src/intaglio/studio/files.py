"""Files that people name: any text may come, and most of it names no file; and the writing of those they ask for.

Every path that a caller gives, or that a workflow or a record names, goes through `reached` before the disk is asked
about it. Whose process it is decides what it may mean: the user's own may open whatever the user may (`reach` None), a
server only what was uploaded to it (`reach`, the folder of uploads). Elsewhere it does not even look.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from intaglio.core.errors import Conflict, Invalid, NotFound
from intaglio.store import disk

UPLOAD = "upload:"
UPLOAD_FIRST = "A server opens no file by its path; upload it, and give the reference that comes back: upload:ID/NAME."
_LONGEST, _LONGEST_NAME = 4000, 255


def is_file(given: str | os.PathLike[str]) -> bool:
    """Whether that names a file; a text too long or too odd for a name does not."""
    try:
        return stat.S_ISREG(os.stat(given).st_mode)
    except (OSError, ValueError):
        return False


def reached(given: str | os.PathLike[str], reach: Path | None) -> Path | None:
    """The path that a text names, its ~ written out; None for one that can name none.

    With a `reach` that is a whole path below that folder, or upload:ID/NAME; a text that leads anywhere else names
    nothing, and nothing is asked of the disk about it. Neither does one whose upload holds a link, a pipe or a device.
    """
    if reach is not None:
        return _inside(reach, os.fspath(given))
    try:
        return expanded(given) if os.fspath(given) else None
    except Invalid:
        return None


def named(given: str | os.PathLike[str], reach: Path | None, kind: str = "file") -> Path:
    """The path of a name, which may be of something that is to be made.

    Raises Invalid for a name no file can have, and with a `reach` NotFound (of that `kind`) for all that is not in it.
    """
    if reach is None:
        return expanded(given)
    path = _inside(reach, os.fspath(given))
    if path is None:
        raise NotFound(kind, os.fspath(given), hint=UPLOAD_FIRST)
    return path


def file_named(given: str | os.PathLike[str], reach: Path | None) -> Path | None:
    """The file that a text names; None when it names none."""
    path = reached(given, reach)
    return path if path is not None and is_file(path) else None


def is_below(path: Path, folder: Path) -> bool:
    """Whether a path that a caller gave lies in a folder (or is it), by its words alone: the disk is not asked, because
    to resolve a path is to look at all that it passes. One with ".." in it does not, nor one that no file can have.
    """
    try:
        spelled = os.fsencode(path)
    except UnicodeEncodeError:
        return False
    if len(spelled) > _LONGEST or any(len(part) > _LONGEST_NAME for part in spelled.split(b"/")):
        return False
    return ".." not in path.parts and b"\0" not in spelled and path.is_relative_to(folder)


def _inside(reach: Path, text: str) -> Path | None:
    path = Path(f"{reach}/{text.removeprefix(UPLOAD)}" if text.startswith(UPLOAD) else text)
    if not is_below(path, reach) or path == reach:
        return None
    upload = reach / path.relative_to(reach).parts[0]
    try:
        found = os.lstat(upload).st_mode
        # Each upload is a folder of its own, so all that is beside a file is of the same upload, and looked at too.
        return path if stat.S_ISDIR(found) and _is_plain(upload) else None
    except FileNotFoundError:
        return path
    except (OSError, ValueError):
        return None


def _is_plain(folder: str | os.PathLike[str]) -> bool:
    """Whether there are only files and folders in a folder, however deep."""
    with os.scandir(folder) as entries:
        return all(
            _is_plain(entry.path) if entry.is_dir(follow_symlinks=False) else entry.is_file(follow_symlinks=False)
            for entry in entries
        )


def expanded(given: str | os.PathLike[str]) -> Path:
    """The path of a name, its ~ written out. Raises Invalid for a name no file can have."""
    text = os.fspath(given)
    if "\0" in text:
        raise Invalid(f"{text[:80]!r} is not a file name: it holds a NUL", hint="Name a file.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~name of nobody
        raise Invalid(f"{text[:80]!r} is not a file name: {error}", hint="Write the path out.") from error


def placed(given: str | os.PathLike[str], reach: Path | None, kind: str = "file") -> Path:
    """The whole path of a name, without any "..", as it is recorded. Raises as `named`."""
    path = named(given, reach, kind).absolute()
    # What ".." means depends on the links before it, so it is asked of the disk.
    if ".." not in path.parts:
        return path
    return path.resolve() if path.name == ".." else path.parent.resolve() / path.name


def write_into(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files that a person asked for into a folder, by their places in it; their paths.

    What is there already stays when it is the same. Raises Conflict, before anything is written, for other content or
    a file where a folder is to be, StorageFailed.
    """
    paths = {folder / name: data for name, data in files.items()}
    folders = sorted({folder, *(path.parent for path in paths)})
    for each in folders:
        if os.path.lexists(each) and not each.is_dir():
            raise Conflict(f"{each} is a file", hint="Write into a folder.")
    for path, data in paths.items():
        if os.path.lexists(path) and not (is_file(path) and path.read_bytes() == data):
            raise Conflict(f"{path} is there already, with other content", hint="Write into an empty folder.")
    for each in folders:
        disk.make_tree(each)
    for path, data in paths.items():
        write_whole(path, data)
    for each in folders:
        disk.sync_folder(each)
    return list(paths)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that a person asked for, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with disk.removed_on_failure([temporary]):
        disk.write_new(temporary, data, 0o644)
        disk.sync_file(temporary)
        disk.rename(temporary, path)
