"""RUN 1, 4: a request that is sent again under its key is done once, at whatever point its server was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faults.server import folder as folder  # noqa: PLC0414  # the fixture

SCENARIO = Path(__file__).with_name("once_scenario.py")
TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("kind", ["submit", "comment"])
def test_RUN_4_a_request_whose_server_is_killed_at_every_point_is_done_once(kind: str, folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(SCENARIO), kind, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent / 'src'}"},
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    report: dict[str, Any] = json.loads(ran.stdout)
    assert report["failures"] == []
    assert report["points"] >= 4
    assert 1 < report["done before it was sent again"] <= report["points"]
