"""Two ways to ask for a prediction and a reproduction: in this process, and through the command in another one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from intaglio.core.errors import Cancelled, CannotReproduce
from intaglio.core.grade import Gap, Grade
from intaglio.studio.open import Studio
from intaglio.studio.reproduce import ModelChoice

REFUSED = 4
NOT_IDENTICAL = 10


@dataclass(frozen=True)
class Said:
    """A prediction, as whoever asked for it saw it."""

    grade: str
    gaps: tuple[Gap, ...]

    @property
    def named(self) -> frozenset[tuple[str, str]]:
        """The gaps by code and subject."""
        return frozenset((gap.code, gap.subject) for gap in self.gaps)

    @property
    def measured(self) -> bool:
        """Whether a gap has a measured reason."""
        return any(gap.measured for gap in self.gaps)

    @staticmethod
    def of(grade: Grade) -> Said:
        return Said(grade.grade, grade.gaps)


@dataclass(frozen=True)
class Back:
    """What a reproduction came to: refused, failed with these words, or done by this task with this verdict.

    `farthest` maps steps to the largest difference in 8-bit steps that was reported, None where nothing could be.
    """

    said: Said | None
    refused: bool = False
    failed: str = ""
    task: str = ""
    verdict: str = ""
    farthest: Mapping[str, int | None] = field(default_factory=dict)


class Door(Protocol):
    """A way to ask."""

    studio: Studio  # where what came of it can be read

    def grade(self, version: str) -> Said:
        """The prediction."""

    def reproduce(self, version: str) -> Back:
        """The reproduction."""


@dataclass
class Here:
    """In this process."""

    studio: Studio
    models: ModelChoice = "exact"

    def grade(self, version: str) -> Said:
        """The prediction."""
        return Said.of(self.studio.versions.grade(version, models=self.models))

    def reproduce(self, version: str) -> Back:
        """The reproduction. What raises anything but a refusal has failed."""
        try:
            done = self.studio.versions.reproduce(version, models=self.models)
        except CannotReproduce as error:
            return Back(Said.of(error.grade) if isinstance(error.grade, Grade) else None, refused=True)
        except Cancelled:
            raise
        except Exception as error:
            return Back(None, failed=f"{type(error).__name__}: {error}")
        farthest = {output.step: output.max_difference for output in done.fidelity.outputs}
        return Back(Said.of(done.grade), task=done.task.id, verdict=done.fidelity.verdict, farthest=farthest)


@dataclass
class Command:
    """Through `intaglio` in a process of its own, with these environment variables and in this folder."""

    studio: Studio
    environment: Mapping[str, str]
    folder: Path

    def grade(self, version: str) -> Said:
        """The prediction."""
        done = self._run("versions", "grade", version, "--json")
        if done.returncode != 0:
            raise RuntimeError(f"versions grade ended with {done.returncode}: {done.stderr}")
        return _said(json.loads(done.stdout))

    def reproduce(self, version: str) -> Back:
        """The reproduction."""
        done = self._run("versions", "reproduce", version, "--json")
        if done.returncode == REFUSED:
            return Back(_said(json.loads(done.stderr.strip().splitlines()[-1])["error"]["grade"]), refused=True)
        if done.returncode not in (0, NOT_IDENTICAL):
            return Back(None, failed=f"exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
        report = json.loads(done.stdout)
        farthest = {output["step"]: output["max_difference"] for output in report["outputs"]}
        return Back(_said(report), task=report["task"], verdict=report["fidelity"], farthest=farthest)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "intaglio", *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env={**_plain_environment(), "INTAGLIO_LIBRARY": str(self.studio.root), **self.environment},
        )


def _plain_environment() -> dict[str, str]:
    """The surroundings of this process without settings of Intaglio's own; threads and device as in `bench`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INTAGLIO_")}
    return {**kept, "INTAGLIO_THREADS": "1", "INTAGLIO_DEVICE": "cpu"}


def _said(report: Mapping[str, Any]) -> Said:
    gaps = tuple(
        Gap(
            code=gap["code"],
            subject=gap["subject"],
            message=gap["message"],
            remedy=gap["remedy"],
            measured=gap.get("measured", ""),
            evidence=gap.get("evidence", ""),
        )
        for gap in report["gaps"]
    )
    return Said(report["grade"], gaps)
