from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from threading import Event

import pytest

from intaglio.worker import stopping
from intaglio.worker.stopping import Stopping


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """The pipe of a parent; no handlers are set, because these tests have signals of their own."""
    monkeypatch.setattr(stopping, "_SIGNALS", ())
    monkeypatch.setattr(signal, "set_wakeup_fd", lambda *_, **__: -1)
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def test_asked_once_it_takes_nothing_new_and_what_it_is_at_gets_its_grace() -> None:
    asked = Stopping(grace=0.1)
    assert not asked.asked
    assert not asked.now()
    assert not asked.wait(0.01)
    asked.ask()
    assert asked.asked
    assert not asked.now()
    assert asked.wait(60)
    time.sleep(0.11)
    assert asked.now()


def test_asked_twice_it_stops_at_once() -> None:
    asked = Stopping(grace=3600)
    asked.ask()
    assert not asked.now()
    asked.ask()
    assert asked.now()


def test_it_is_asked_when_its_parent_is_gone_and_what_does_not_stop_then_is_abandoned(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "PATIENCE_S", 0.05)
    asked, abandoned = Stopping(grace=0.05), Event()
    asked.listen(abandoned.set, pipe[0])
    assert not asked.wait(0.1)
    os.close(pipe[1])
    assert asked.wait(10)
    assert abandoned.wait(10)
    assert asked.now()


def test_the_parent_says_how_long_the_grace_is(pipe: tuple[int, int]) -> None:
    asked = Stopping(grace=0.0)
    asked.listen(lambda: None, pipe[0])
    os.write(pipe[1], b"3600.0\n")
    os.close(pipe[1])
    assert asked.wait(10)
    assert not asked.now()
    assert asked.grace == 3600.0
