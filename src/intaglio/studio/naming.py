"""Names for models that were found on a disk, made from what their files are called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import PurePath

MOST = 90
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


def name_for(path: str, *, is_folder: bool, is_taken: Callable[[str], bool]) -> str:
    """The first name that is not taken: the file's own without its suffix, the folders above it put before it, a
    number behind it."""
    return next(name for name in _names(PurePath(path), is_folder=is_folder) if not is_taken(name))


def is_nameless(path: str) -> bool:
    """Whether a file's own name gives nothing for a model's name."""
    return not _fit(PurePath(path).stem)


def _names(path: PurePath, *, is_folder: bool) -> Iterator[str]:
    name = own = _fit(path.name if is_folder else path.stem) or "model"
    if own == "latest":
        name = own = "latest-model"
    yield own
    for folder in path.parent.parts[::-1]:
        if _fit(folder):
            name = f"{_fit(folder)}-{name}"
            yield name[-MOST:].lstrip("._-")
    number = 2
    while True:
        yield f"{own}-{number}"
        number += 1


def _fit(text: str) -> str:
    # Accents are taken off; a letter that is none without them is left out.
    plain = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return _UNFIT.sub("-", plain).strip("-")[:MOST].lstrip("._-")
