"""Intaglio: run generative workflows, keep everything that made each picture, bring any of them back.

import intaglio
with intaglio.open("studio") as studio:
    task = studio.tasks.run("sunset.yaml", annotation="first light")
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intaglio.studio.open import Studio

__all__ = ["connect", "init", "open"]


def open(path: str | os.PathLike[str] | None = None) -> Studio:
    """Open a library; without `path` the one INTAGLIO_LIBRARY names, or the nearest above the current folder."""
    from intaglio.studio.open import open_studio

    return open_studio(path)


def connect(url: str, token: str = "") -> Studio:
    """The library behind a server (`intaglio serve`), with the same nouns; `token` is what it knows you by."""
    from intaglio.client.studio import connect as connected

    return connected(url, token)


def init(folder: str | os.PathLike[str] = ".") -> Studio:
    """Make a library in a folder, or open the one that is there."""
    from intaglio.studio import open as opening

    return opening.init(folder)
