"""Whether a server lives, and whether it is of use, as those who look after it are told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from unit.web.serving import Running, library, serving, wait_until

from intaglio.core.errors import Unavailable
from intaglio.studio.open import Studio
from intaglio.web import health


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with library(tmp_path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question is looked up anew."""
    monkeypatch.setattr(health, "FRESH_S", 0.0)


@dataclass
class Supervisor:
    """What is known of a worker."""

    alive: bool = True
    pid: int = 1
    restarts: int = 0
    last_end: str = ""


def ready(running: Running) -> tuple[int, object]:
    answer = running.get("/ready")
    return answer.status_code, answer.json()


def test_a_server_that_answers_is_healthy_and_ready(studio: Studio) -> None:
    with serving(studio) as running:
        assert (running.get("/health").status_code, running.get("/health").json()) == (200, {"status": "ok"})
        assert ready(running) == (200, {"status": "ready"})


def test_it_is_not_ready_without_its_worker(studio: Studio) -> None:
    with serving(studio) as running:
        running.app.state.supervisor = Supervisor(alive=False)
        assert ready(running) == (503, {"status": "not ready", "reasons": ["the worker is not running"]})
        running.app.state.supervisor.alive = True
        assert ready(running)[0] == 200


def test_it_is_not_ready_when_the_disk_is_full(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LEAST_FREE", 2**63)
    with serving(studio) as running:
        status, told = ready(running)
    assert status == 503 and "MiB left" in str(told)


def test_it_is_not_ready_when_the_database_fails(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(studio) as running:

        def broken() -> int:
            raise Unavailable("it is broken")

        monkeypatch.setattr(studio.parts.journal, "last", broken)
        status, told = ready(running)
        monkeypatch.undo()
    assert status == 503 and "the database does not answer: it is broken" in str(told)


def test_it_is_not_ready_when_the_database_is_slow_and_answers_that_at_once(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "DATABASE_S", 0.2)
    with serving(studio) as running:

        def slow() -> int:
            time.sleep(1.5)
            return 0

        monkeypatch.setattr(studio.parts.journal, "last", slow)
        began = time.monotonic()
        status, told = ready(running)
        took = time.monotonic() - began
        monkeypatch.undo()
    assert status == 503 and "within 0.2 s" in str(told)
    assert took < 1.4


def test_it_is_looked_up_once_for_all_who_ask_at_a_time(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_S", 60.0)
    with serving(studio) as running:
        assert ready(running)[0] == 200
        running.app.state.supervisor = Supervisor(alive=False)
        assert ready(running)[0] == 200, "nobody without a token can make it look up more"


def test_who_has_no_token_hears_no_reason(studio: Studio) -> None:
    with serving(studio, loopback=False) as running:
        running.app.state.supervisor = Supervisor(alive=False)
        assert running.get("/health").status_code == 200
        assert ready(running) == (503, {"status": "not ready"})
        assert running.get("/metrics").status_code == 401


def test_it_says_in_its_log_when_that_changes(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="intaglio.web")
    with serving(studio) as running:
        ready(running)
        running.app.state.supervisor = Supervisor(alive=False)
        ready(running)
        ready(running)
        running.app.state.supervisor.alive = True
        ready(running)
        wait_until(lambda: "ready again" in caplog.messages)
    assert caplog.messages.count("not ready: the worker is not running") == 1
