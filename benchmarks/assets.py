"""A thousand pictures into a library, again when nothing changed, and checked; beside git with the same files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Measured, command_cpu, cpu, settle
from benchmarks.samples import settings, workplace, write_pictures
from intaglio.studio.open import init

COUNT = 1_000
ROUNDS = 3
GIT = ("git", "-c", "core.fsync=all", "-c", "user.name=b", "-c", "user.email=b@example.org", "-c", "gc.auto=0")


def measure() -> Iterator[Measured]:
    """Adding, adding again, checking."""
    with workplace() as folder:
        pictures = write_pictures(folder / "pictures", COUNT)
        settle()
        rounds = [_round(pictures) for _ in range(ROUNDS)]
        added, again, checked = (min(measured[index] for measured in rounds) for index in range(3))
        git = [_git(pictures) for _ in range(ROUNDS)] if shutil.which("git") else []
        git_add, git_status, git_check = (
            (min(measured[index] for measured in git) if git else None) for index in range(3)
        )
    yield Measured("1,000 PNGs of 100 KB added", added, "s CPU", "git add + commit", git_add, 1.5)
    yield Measured("the same, unchanged", again, "s CPU", "git add + status", git_status, 0.3)
    yield Measured("library check of 1,000 PNGs", checked, "s CPU", "git fsck --full", git_check, 0.6)


def _round(pictures: list[Path]) -> tuple[float, float, float]:
    with workplace() as folder:
        with init(folder, settings()) as studio:
            studio.assets.add([_small(folder)])  # imports what adding imports
            added = cpu(lambda: studio.assets.add(pictures))
        settle()
        with init(folder, settings()) as studio:
            again = cpu(lambda: studio.assets.add(pictures))
        with init(folder, settings()) as studio:
            checked = cpu(lambda: _check_is_clean(studio.library.check().problems))
        return added, again, checked


def _check_is_clean(problems: tuple[object, ...]) -> None:
    assert not problems, problems


def _small(folder: Path) -> Path:
    (path,) = write_pictures(folder / "one", 1)
    return path


def _git(pictures: list[Path]) -> tuple[float, float, float]:
    with workplace() as folder:
        shutil.copytree(pictures[0].parent, folder / "pictures")
        command_cpu([*GIT, "init", "-q"], cwd=folder)
        settle()
        added = command_cpu([*GIT, "add", "."], cwd=folder)
        added += command_cpu([*GIT, "commit", "-q", "-m", "pictures"], cwd=folder)
        again = command_cpu([*GIT, "add", "."], cwd=folder) + command_cpu([*GIT, "status", "-s"], cwd=folder)
        return added, again, command_cpu([*GIT, "fsck", "--full"], cwd=folder)
