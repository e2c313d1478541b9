"""RUN 4, VER 2: a run that waits for its annotation survives whatever stops it, and becomes exactly one version."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCENARIO = Path(__file__).with_name("waiting_scenario.py")


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize("kind", ["kill", "full"])
def test_RUN_4_a_waiting_run_is_stopped_at_every_point(quick_folder: Path, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCENARIO), kind, str(quick_folder / "sweep")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["failures"] == []
    assert report["points"] >= 30
    found = report["states"]
    assert found["waiting"] >= 2, "stopped between its snapshot and its answer"
    assert found["answered"] >= 1, "stopped between its answer and its version"
    assert found["interrupted"] >= 5 and found["done"] >= 1
    assert report["numbers"] == [*range(1, len(report["numbers"]) + 1)]
