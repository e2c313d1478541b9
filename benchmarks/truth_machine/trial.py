"""One trial: a random run, kept as a version, and the ways to disturb what it needs."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal
from unittest import mock

from benchmarks.truth_machine.bench import Bench
from benchmarks.truth_machine.doors import Door
from benchmarks.truth_machine.draft import Draft, draw, own_name
from benchmarks.truth_machine.files import OwnModel, copy_model, write_reference
from intaglio.core.nodetype import NodeType
from intaglio.studio.open import Studio

Subject = tuple[str, str]
NO_GAPS: frozenset[Subject] = frozenset()


@dataclass
class Expected:
    """What must be said after a perturbation, written down from docs/format.md, and how the trial goes on.

    `gaps` are codes with subjects. `words` must be in a gap's message, `other_words` in none. `repair` takes the cause
    away again: after it the version must be full and come back identical. `door` is where to ask.
    """

    grade: Literal["full", "approximate", "partial"] = "full"
    gaps: AbstractSet[Subject] = NO_GAPS
    words: str = ""
    other_words: str = ""
    repair: Callable[[], object] | None = None
    door: Door | None = None


def partial(*gaps: Subject, **more: Any) -> Expected:
    """Something needed is not there."""
    return Expected("partial", frozenset(gaps), **more)


def approximate(*gaps: Subject, **more: Any) -> Expected:
    """What surrounds it changed, or the record is not all there."""
    return Expected("approximate", frozenset(gaps), **more)


def restorable(name: str) -> Expected:
    """The archive makes up for it."""
    return Expected("full", frozenset({("model.restorable", name)}))


class Trial:
    """A trial under way. A perturbation calls `run`, spoils something, and returns what must be said of it."""

    def __init__(self, bench: Bench, seed: int, wants: AbstractSet[str]) -> None:
        self.bench = bench
        self.seed = seed
        self.source = random.Random(seed)
        self.folder = bench.folder / f"trial-{seed}"
        self.folder.mkdir()
        self.draft: Draft = draw(self.source, seed, wants)
        self.studio: Studio = bench.studio
        self.version = ""
        self.task = ""
        self.originals: dict[str, bytes] = {}
        self._own: OwnModel | None = None
        self._stack = ExitStack()
        self._plugins = list(bench.plugins)

    @property
    def own(self) -> OwnModel:
        """The model that belongs to this trial; made, and added to the library, when asked for first."""
        if self._own is None:
            assert self.draft.own, "this trial has no model of its own"
            self._own = copy_model(self.draft.own, own_name(self.seed), self.folder / "models", self.source)
            self.studio.models.add(self._own.path, name=self._own.name)
        return self._own

    @property
    def reference(self) -> Path:
        """The reference picture on disk."""
        return self.folder / self.draft.reference

    @property
    def file(self) -> Path:
        """The workflow file."""
        return self.folder / f"{self.draft.name}.json"

    def run(self) -> None:
        """Make the version. What is drawn is drawn from the trial's seed, so that it is the same trial again."""
        if self.draft.own:
            assert self.own
        if self.draft.reference:
            write_reference(self.reference, self.source)
        self.draft.write(self.folder)
        with mock.patch("intaglio.core.seeds.secrets", SimpleNamespace(randbelow=self.source.randrange)):
            task = self.studio.tasks.run(self.file, annotation=f"trial {self.seed}")
        self.version, self.task = task.version, task.id
        outputs = self.studio.tasks.snapshot(task.id).outputs
        self.originals = {output.step: self.studio.assets.get(output.asset) for output in outputs}

    def during(self, manager: AbstractContextManager[Any]) -> None:
        """Keep something as it is until the trial ends."""
        self._stack.enter_context(manager)

    def open(self, studio: Studio) -> Studio:
        """Have a library closed when the trial ends."""
        self._stack.callback(studio.close)
        return studio

    def install(self, *types: NodeType) -> Studio:
        """Another start of Intaglio, with these node types installed."""
        self.bench.plugins[:] = types
        return self.open(self.bench.reopened(self.studio.root))

    def blob(self, digest: str) -> Path:
        """Where the store keeps some bytes."""
        return self.studio.root / "blobs" / digest[7:9] / digest[7:]

    def digest_of_reference(self) -> str:
        """The stored reference picture."""
        return self.studio.versions.snapshot(self.version).plan.step("ref").assets["image"].digest

    def close(self) -> None:
        """Put everything back for the next trial."""
        self.bench.plugins[:] = self._plugins
        self._stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)
