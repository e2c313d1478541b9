from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from intaglio.worker import deaths


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "it ended with exit code 0"),
        (3, "it ended with exit code 3"),
        (-9, "killed by signal 9 (out of memory, or kill -9)"),
        (-11, "segmentation fault (signal 11)"),
        (-10, "killed by signal 10 (SIGUSR1)"),
        (-77, "killed by signal 77"),
    ],
)
def test_how_a_process_ended_in_words(code: int, words: str) -> None:
    assert deaths.in_words(code) == words


def test_the_words_are_those_of_a_process_that_really_ended_so() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import os; os.abort()"], stderr=subprocess.DEVNULL)
    assert deaths.in_words(child.wait()) == "it aborted (signal 6)"


def test_what_was_said_of_a_worker_is_found_by_its_number_until_it_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    assert deaths.told(tmp_path, 7) == ""
    deaths.tell(tmp_path, 7, "segmentation fault")
    deaths.tell(tmp_path, 8, "x" * 10_000)
    assert (deaths.told(tmp_path, 7), len(deaths.told(tmp_path, 8))) == ("segmentation fault", 400)
    deaths.forget(tmp_path, 7)
    assert deaths.told(tmp_path, 7) == ""
    old = tmp_path / "locks" / "worker-8.end"
    deaths.sweep(tmp_path)
    assert old.exists()
    os.utime(old, (time.time() - 90_000,) * 2)
    deaths.sweep(tmp_path)
    assert list((tmp_path / "locks").iterdir()) == []


def test_what_the_disk_refuses_is_left_unsaid(tmp_path: Path) -> None:
    deaths.tell(tmp_path / "nowhere", 7, "killed")
    deaths.forget(tmp_path / "nowhere", 7)
    deaths.sweep(tmp_path / "nowhere")
    assert deaths.told(tmp_path / "nowhere", 7) == ""
