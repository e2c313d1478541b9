from __future__ import annotations

import subprocess
import sys

import pytest

from intaglio.cli.main import COMMANDS

HEAVY = ("torch", "diffusers", "transformers", "numpy", "PIL", "sqlalchemy")


def loaded(code: str) -> list[str]:
    """The heavy libraries that a process has loaded after running `code`."""
    after = f"import sys\n{code}\nprint('loaded:', *[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", after], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()[1:]


def test_importing_intaglio_loads_nothing_heavy() -> None:
    assert loaded("import intaglio") == []


@pytest.mark.parametrize("words", [[], *([noun] for noun in COMMANDS)], ids=" ".join)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    assert loaded(f"from intaglio.cli.main import main\nassert main({[*words, '--help']}) == 0") == []


def test_what_is_loaded_is_seen() -> None:
    assert loaded("import numpy, sqlalchemy") == ["numpy", "sqlalchemy"]
