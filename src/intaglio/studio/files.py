"""Files that people name: any text may come, and most of it names no file; and the writing of those they ask for."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from intaglio.core.errors import Invalid
from intaglio.store import disk


def is_file(given: str | os.PathLike[str]) -> bool:
    """Whether that names a file; a text too long or too odd for a name does not."""
    try:
        return stat.S_ISREG(os.stat(given).st_mode)
    except (OSError, ValueError):
        return False


def expanded(given: str | os.PathLike[str]) -> Path:
    """The path of a name, its ~ written out. Raises Invalid for a name no file can have."""
    text = os.fspath(given)
    if "\0" in text:
        raise Invalid(f"{text[:80]!r} is not a file name: it holds a NUL", hint="Name a file.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~name of nobody
        raise Invalid(f"{text[:80]!r} is not a file name: {error}", hint="Write the path out.") from error


def placed(given: str | os.PathLike[str]) -> Path:
    """The whole path of a name, without any "..", as it is recorded. Raises Invalid for a name no file can have."""
    path = expanded(given).absolute()
    # What ".." means depends on the links before it, so it is asked of the disk.
    if ".." not in path.parts:
        return path
    return path.resolve() if path.name == ".." else path.parent.resolve() / path.name


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that a person asked for, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with disk.removed_on_failure([temporary]):
        disk.write_new(temporary, data, 0o644)
        disk.sync_file(temporary)
        disk.rename(temporary, path)
