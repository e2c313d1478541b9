from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from intaglio.worker import supervisor
from intaglio.worker.supervisor import Supervisor


def until_restarted(looking_after: Supervisor, times: int) -> float:
    """When it has been started again so many times, in seconds from now."""
    began = time.monotonic()
    while looking_after.restarts < times:
        assert time.monotonic() - began < 60
        time.sleep(0.01)
    return time.monotonic() - began


def command(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have the workers be this Python code instead, which starts faster."""
    real = subprocess.Popen

    def start(words: list[str], **more: Any) -> Any:
        return real([words[0], "-S", "-E", "-c", code], **more)

    monkeypatch.setattr(subprocess, "Popen", start)


def test_a_worker_that_cannot_start_is_tried_again_ever_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, "raise SystemExit(3)")
    pauses: list[float] = []
    looking_after = Supervisor(tmp_path)
    waited = Event.wait

    def wait(event: Event, timeout: float | None = None) -> bool:
        if event is looking_after._keepers[0]._stopping:
            pauses.append(timeout or 0.0)
            timeout = 0.01
        return waited(event, timeout)

    monkeypatch.setattr(Event, "wait", wait)
    looking_after.start()
    until_restarted(looking_after, 10)
    looking_after.stop(0.0)
    assert pauses[:10] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]
    assert looking_after.last_end == "it ended with exit code 3"
    assert not looking_after.alive


def test_one_that_lived_for_a_while_is_started_again_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, "import time; time.sleep(0.05)")
    monkeypatch.setattr(supervisor, "_HEALTHY_S", 0.01)
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_S", 0.02)
    looking_after = Supervisor(tmp_path)
    looking_after.start()
    assert until_restarted(looking_after, 8) < 20, "doubled each time it would have taken longer with every one"
    looking_after.stop(0.0)
    assert looking_after.last_end == "it ended with exit code 0"


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        ("import sys; sys.stdin.read()", 0.0),
        ("import time; time.sleep(600)", 0.2),
        ("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)", 0.4),
    ],
    ids=["told", "made to", "killed"],
)
def test_it_ends_with_whoever_looks_after_it(
    code: str, ends: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(monkeypatch, code)
    monkeypatch.setattr(supervisor, "_MARGIN_S", 0.2)
    monkeypatch.setattr(supervisor, "_LAST_S", 0.2)
    looking_after = Supervisor(tmp_path, workers=2)
    looking_after.start()
    while len(looking_after.pids) < 2:
        time.sleep(0.01)
    time.sleep(0.2)  # until its handler is there
    children = [keeper._child for keeper in looking_after._keepers]
    began = time.monotonic()
    looking_after.stop(0.0)
    assert time.monotonic() - began >= ends
    wanted = {0.0: 0, 0.2: -signal.SIGTERM, 0.4: -signal.SIGKILL}[ends]
    assert [child.returncode for child in children if child] == [wanted] * 2
    assert not looking_after.alive
    assert looking_after.restarts == 0


def test_it_can_be_stopped_before_it_was_started(tmp_path: Path) -> None:
    looking_after = Supervisor(tmp_path)
    looking_after.stop(0.0)
    assert (looking_after.alive, looking_after.restarts, looking_after.last_end) == (False, 0, "")
