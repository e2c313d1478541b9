"""RUN 4: stopped at every point that changes the disk, by SIGKILL or by a full disk, nothing acknowledged is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCENARIO = Path(__file__).with_name("scenario.py")


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of syncs would only test the disk's patience."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def swept(kind: str, folder: Path, step: int) -> dict[str, Any]:
    """The sweep in a process of its own, which may fork because it has no threads."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCENARIO), kind, str(folder), str(step)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_RUN_4_killed_at_every_point(quick_folder: Path) -> None:
    report = swept("kill", quick_folder, 1)
    assert report["failures"] == []
    assert report["points"] >= 300
    assert report["killed"] == report["points"]


def test_RUN_4_a_full_disk_at_any_point(quick_folder: Path) -> None:
    report = swept("full", quick_folder, 2)
    assert report["failures"] == []
    assert report["points"] >= 300
