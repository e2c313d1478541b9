"""RUN 2, RUN 4: a run that was submitted survives whatever stops who submits it or carries it out, and is done once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCENARIO = Path(__file__).with_name("queue_scenario.py")


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize("kind", ["kill", "full"])
def test_RUN_4_a_submitted_run_is_stopped_at_every_point(quick_folder: Path, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCENARIO), kind, str(quick_folder / "sweep")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SCENARIO.parents[1])},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["failures"] == []
    assert report["points"] >= 30
    found = report["states"]
    assert found["nowhere"] >= 1 and found["done"] >= 1
    if kind == "kill":
        assert found["queued"] >= 5, "killed between being submitted and being begun"
        assert found["interrupted"] >= 5, "killed while it ran"
    assert report["numbers"] == [*range(1, len(report["numbers"]) + 1)]
