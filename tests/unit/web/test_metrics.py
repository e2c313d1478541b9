"""The server's numbers are true, and there is never a number for every address that somebody makes up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from unit.web.serving import Running, following, library, serving, wait_until
from unit.web.test_events import note, ran
from unit.web.test_health import Supervisor

from intaglio.core.journal import Notice
from intaglio.store.journal import Journal
from intaglio.studio.open import Studio

Numbers = dict[tuple[str, str], float]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with library(tmp_path) as opened:
        yield opened


def numbers(running: Running) -> Numbers:
    """Every number by its name and the values of its labels."""
    answer = running.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found = (sample for family in text_string_to_metric_families(answer.text) for sample in family.samples)
    return {(each.name, " ".join(each.labels.values())): each.value for each in found}


def test_requests_are_counted_by_the_template_of_their_route(studio: Studio, tmp_path: Path) -> None:
    task = ran(studio, tmp_path)
    with serving(studio) as running:
        numbers(running)
        for _ in range(3):
            running.get("/health")
        running.get(f"/api/tasks/{task}-nowhere/events")
        with following(running, f"/api/tasks/{task}/events") as client:
            list(client.events())
        found = wait_until(
            lambda: (
                (now := numbers(running))
                and ("intaglio_http_requests_total", "GET /api/tasks/{task}/events 200") in now
                and now
            )
        )
    assert found["intaglio_http_requests_total", "GET /health 200"] == 3
    assert found["intaglio_http_requests_total", "GET /api/tasks/{task}/events 404"] == 1
    assert found["intaglio_http_request_seconds_count", "GET /health"] == 3
    assert task not in json.dumps([*map(list, found)])


def test_made_up_addresses_and_methods_make_no_numbers_of_their_own(studio: Studio) -> None:
    with serving(studio) as running:
        for number in range(20):
            running.get(f"/made-up-{number}")
            httpx2.request(f"MADEUP{number}", f"{running.address}/health", trust_env=False)
        found = numbers(running)
    labels = {label for name, label in found if name == "intaglio_http_requests_total"}
    assert not [label for label in labels if "made-up" in label.lower() or "MADEUP" in label]
    assert found["intaglio_http_requests_total", "GET other 404"] == 20
    assert found["intaglio_http_requests_total", "other /health 405"] == 20


def test_what_the_library_and_the_worker_know_is_asked_when_it_is_read(studio: Studio, tmp_path: Path) -> None:
    with serving(studio) as running:
        running.app.state.supervisor = Supervisor(restarts=2)
        hook = studio.webhooks.add("http://127.0.0.1:9/nobody")
        before = numbers(running)
        ran(studio, tmp_path)
        note(studio, 1, "task.failed")
        studio.parts.queue.add("t", "task")
        with following(running) as client:
            next(client.blocks())
            after = numbers(running)
        running.app.state.supervisor.alive = False
        dead = numbers(running)
    assert [before["intaglio_tasks_ended_total", status] for status in ("done", "failed", "cancelled")] == [0, 0, 0]
    assert [after["intaglio_tasks_ended_total", status] for status in ("done", "failed", "cancelled")] == [1, 1, 0]
    assert (before["intaglio_queue_length", ""], after["intaglio_queue_length", ""]) == (0, 1)
    assert (before["intaglio_event_streams", ""], after["intaglio_event_streams", ""]) == (0, 1)
    assert after["intaglio_journal_number", ""] == studio.parts.journal.last()
    assert after["intaglio_running", "task"] == after["intaglio_running", "job"] == 0
    assert (after["intaglio_worker_alive", ""], dead["intaglio_worker_alive", ""]) == (1, 0)
    assert after["intaglio_worker_restarts_total", ""] == 2
    assert (before["intaglio_webhook_waiting", hook.id], after["intaglio_webhook_waiting", hook.id] > 3) == (0, True)
    assert after["intaglio_library_readable", ""] == 1
    assert any(name == "intaglio_build_info" for name, _ in after)
    assert any(name.startswith("process_") for name, _ in after)


def test_the_bytes_that_come_in_are_counted(studio: Studio) -> None:
    with serving(studio) as running:

        @running.app.post("/in")
        async def taken(body: dict[str, str]) -> None: ...

        before = numbers(running)["intaglio_http_received_bytes_total", ""]
        httpx2.post(f"{running.address}/in", json={"a": "b" * 5000}, trust_env=False)
        assert 5000 <= numbers(running)["intaglio_http_received_bytes_total", ""] - before < 5100


def test_a_library_that_cannot_be_read_is_a_number_and_no_error(studio: Studio) -> None:
    with serving(studio) as running:
        with studio.parts.database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE queue RENAME TO gone")
        found = numbers(running)
    assert found["intaglio_library_readable", ""] == 0
    assert ("intaglio_event_streams", "") in found


def test_what_was_looked_through_for_an_end_is_not_looked_through_again(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    listed = Journal.list

    def heard(self: Journal, after: int = 0, *given: Any) -> list[Notice]:
        if len(given) == 3 and given[2] and "task.done" in given[2]:
            asked.append(after)
        return listed(self, after, *given)

    monkeypatch.setattr(Journal, "list", heard)
    with serving(studio) as running:
        for _ in range(3):
            note(studio, 1)
            numbers(running)
    assert asked == [0, 1, 2], "from where the last look ended, and at first from where the server began"


def test_what_ended_before_the_first_look_is_counted_from_when_the_server_began(studio: Studio, tmp_path: Path) -> None:
    ran(studio, tmp_path)
    with serving(studio) as running:
        note(studio, 2, "task.failed")
        found = numbers(running)
    assert [found["intaglio_tasks_ended_total", status] for status in ("done", "failed")] == [0, 2]
