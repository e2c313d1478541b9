"""Where trials happen: one library shared by all that leave it as it is, with its models kept warm."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest import mock

from benchmarks.truth_machine.files import PLACES
from benchmarks.truth_machine.nodetypes import tint
from intaglio.core.nodetype import NodeType
from intaglio.studio.open import Studio, init, open_studio
from intaglio.studio.settings import Settings


class Bench:
    """A folder with the shared library; node types of "installed packages" are those in `plugins`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins: list[NodeType] = [tint()]
        self._stack = ExitStack()
        self._stack.enter_context(mock.patch("intaglio.nodes.entry_points", self._entry_points))
        self.studio = self._stack.enter_context(self.new_library(folder / "shared"))

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def new_library(self, folder: Path, author: str = "Ada", prefix: str = "") -> Studio:
        """Another library, with the shared models added under their names, or names of its own."""
        studio = init(folder, settings(author))
        for name, path in PLACES.items():
            studio.models.add(path, name=prefix + name)
        studio.nodes.list()  # the node types of this moment, as a process that runs on has them
        return studio

    def reopened(self, root: Path, **more: Any) -> Studio:
        """A library opened anew, as another start of Intaglio would; nothing is warm in it."""
        studio = open_studio(root, settings(**more))
        studio.nodes.list()
        return studio

    def _entry_points(self, group: str) -> list[Any]:
        return [_Entry(found) for found in self.plugins]


class _Entry:
    value = "tint_nodes"

    def __init__(self, loaded: NodeType) -> None:
        self._loaded = loaded

    def load(self) -> NodeType:
        return self._loaded


def settings(author: str = "Ada", threads: int = 1) -> Settings:
    """Settings that do not depend on the machine."""
    return Settings(author=author, threads=threads, device="cpu")
