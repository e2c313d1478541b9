from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .source import PACKAGE, ROOT

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    """Import-linter on the package in a folder, with the contracts of the repository."""
    return subprocess.run(
        [sys.executable, "-c", LINT, "--config", str(ROOT / "pyproject.toml"), "--no-cache", "--no-logo"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package that a test may spoil; returns the folder it is in."""
    shutil.copytree(PACKAGE, tmp_path / "intaglio", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_the_contracts_hold() -> None:
    done = linted(ROOT / "src")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("core/asset.py", "import intaglio.store.blobs", "floors: a room imports only from floors below it"),
        ("store/blobs.py", "import intaglio.nodes", "floors: a room imports only from floors below it"),
        ("engine/freeze.py", "def later():\n    import intaglio.studio.clock", "floors: a room imports only from"),
        ("nodes/image.py", "import torch", "torch and diffusers only in backends"),
        ("studio/clock.py", "import sqlalchemy", "sqlalchemy and alembic only in the store"),
        ("core/grade.py", "import numpy", "the core uses the standard library"),
        ("core/grade.py", "import intaglio.core.gaps", "no cycles among the files"),
    ],
)
def test_a_wrong_import_breaks_its_contract(file: str, line: str, contract: str, copy: Path) -> None:
    path = copy / "intaglio" / file
    path.write_text(f"{path.read_text()}\n{line}\n")
    done = linted(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [said for said in done.stdout.splitlines() if said.endswith("BROKEN")]
    assert any(said.startswith(contract) for said in broken), done.stdout
