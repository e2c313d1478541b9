"""Writing what a person asked for to a file that is not there yet, or to standard output."""

from __future__ import annotations

import sys
from pathlib import Path

from intaglio.core.errors import Conflict, Invalid, StorageFailed

STANDARD_OUTPUT = "-"


def write_new(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all. Raises Conflict (it is there), Invalid, StorageFailed."""
    try:
        file = path.open("xb")
    except FileExistsError as error:
        raise Conflict(f"{path} is there already", hint="Name a file that is not there yet.") from error
    except OSError as error:
        raise Invalid(
            f"{path} cannot be written: {error.strerror}", hint="Name a file in a folder that is there."
        ) from error
    try:
        with file:
            file.write(data)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StorageFailed(f"{path} cannot be written: {error.strerror}") from error


def write_out(data: bytes) -> None:
    """Write bytes to standard output, if there is one."""
    if sys.stdout is not None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
