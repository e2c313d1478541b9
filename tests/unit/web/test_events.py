"""RUN 1, RUN 2: what happens is told as it happens; a client that was away loses nothing and hears nothing twice."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from unit.web.serving import Told, following, library, serving, wait_until

from intaglio.core.errors import Unavailable
from intaglio.core.image import Image
from intaglio.core.progress import Progress
from intaglio.imaging.png import encode
from intaglio.store.lock import TaskLock
from intaglio.studio import clock, progress
from intaglio.studio.carry_out import lock_path
from intaglio.studio.open import Studio
from intaglio.web import events
from intaglio.web.access import Principal
from intaglio.web.events import Stream, Wanted
from intaglio.web.hub import KEPT, PAGE, Hub

TASK = "20261121-101010-0a1b2c3d"
LOCAL = Principal("Ada", ("read",), "local")


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with library(tmp_path) as opened:
        yield opened


def note(studio: Studio, count: int, what: str = "task.event", subject: str = TASK, **facts: Any) -> None:
    """Write lines into the journal, in one transaction."""
    with studio.parts.database.write():
        for _ in range(count):
            studio.parts.journal.note(what, subject, facts)


def ids(told: list[Told]) -> list[int]:
    return [int(each.id) for each in told]


class Writer:
    """Somebody who writes lines as fast as the disk takes them, until there are so many."""

    def __init__(self, studio: Studio, count: int) -> None:
        self._studio, self._count = studio, count
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        for number in range(self._count):
            self._studio.parts.journal.note("task.event", TASK, {"place": number})

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def test_RUN_1_a_client_that_comes_and_goes_gets_every_line_once_while_others_write(studio: Studio) -> None:
    count, got, breaks = 1500, list[Told](), 0
    with serving(studio) as running, Writer(studio, count):
        while len(got) < count:
            last = {"Last_Event_ID": got[-1].id} if got else {}
            with following(running, "/api/events?after=0", **last) as client:
                got += client.take(min(97 + 11 * breaks, count - len(got)))
            breaks += 1
    assert breaks > 5
    assert ids(got) == [*range(1, count + 1)]
    assert [each.json["facts"]["place"] for each in got] == [*range(count)]
    assert {each.event for each in got} == {"task.event"}
    assert got[0].json == {
        "kind": "notice", "format": 1, "number": 1, "time": got[0].json["time"], "what": "task.event", "subject": TASK,
        "facts": {"place": 0},
    }  # fmt: skip


def test_RUN_1_a_client_goes_on_where_it_was_after_the_server_began_anew(studio: Studio) -> None:
    with serving(studio) as running, following(running) as client:
        start = next(client.blocks())
        note(studio, 3)
        first = client.take(2)
    note(studio, KEPT + PAGE)  # nobody serves
    with serving(studio) as running, following(running, Last_Event_ID=first[-1].id) as client:
        rest = client.take(KEPT + PAGE + 1)
    assert (start.id, start.retry) == ("0", "1000")
    assert ids(first + rest) == [*range(1, KEPT + PAGE + 4)]


def test_who_is_cut_off_before_the_first_line_knows_where_it_began(studio: Studio) -> None:
    note(studio, 5)
    with serving(studio) as running:
        with following(running) as client:
            start = next(client.blocks())
        note(studio, 1)
        with following(running, Last_Event_ID=start.id) as client:
            assert ids(client.take(1)) == [6]


def test_RUN_1_lines_arrive_within_a_moment(studio: Studio) -> None:
    with serving(studio) as running, following(running) as client:
        next(client.blocks())
        late = []
        for _ in range(10):
            began = time.monotonic()
            note(studio, 1)
            client.take(1)
            late.append(time.monotonic() - began)
    assert sorted(late)[len(late) // 2] < 0.5


def test_a_client_that_reads_slowly_holds_up_nobody_and_loses_nothing(studio: Studio) -> None:
    count, text = 3000, "x" * 2000  # more than sockets and servers hold
    with serving(studio) as running:
        slow = socket.create_connection(("127.0.0.1", int(running.address.rpartition(":")[2])))
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        host = running.address.removeprefix("http://")
        slow.sendall(f"GET /api/events?after=0 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        wait_until(lambda: running.app.state.hub.streams == 1)
        for _ in range(count // 500):
            note(studio, 500, text=text)
        with following(running, "/api/events?after=0") as client:
            assert ids(client.take(count)) == [*range(1, count + 1)]
        seen, last = b"", f"id: {count}\n".encode()
        slow.settimeout(20)
        while last not in seen[-4000:]:
            piece = slow.recv(1 << 16)
            assert piece, "it was cut off"
            seen += piece
        slow.close()
    numbers = [int(line[4:]) for line in seen.splitlines() if line.startswith(b"id: ")]
    assert numbers == [*range(count + 1)]


def test_a_client_that_takes_nothing_is_cut_off(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "STALL_S", 0.3)
    for _ in range(6):
        note(studio, 500, text="x" * 2000)
    with serving(studio, graceful_s=1) as running:
        slow = socket.create_connection(("127.0.0.1", int(running.address.rpartition(":")[2])))
        host = running.address.removeprefix("http://")
        slow.sendall(f"GET /api/events?after=0 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        wait_until(lambda: running.app.state.hub.streams == 1)
        wait_until(lambda: running.app.state.hub.streams == 0)
        slow.close()


def test_a_quiet_stream_says_that_it_lives_and_moves_on_over_what_is_not_wanted(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.2)
    with serving(studio) as running, following(running, "/api/events?what=version.") as client:
        blocks = client.blocks()
        assert next(blocks).id == "0"
        note(studio, 4)
        beats = [next(blocks)]
        while beats[-1].id != "4":
            beats.append(next(blocks))
            assert len(beats) < 20
        assert all(beat.comment and not beat.event for beat in beats)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", [1, 2, 3, 4, 5]),
        ("&what=task.", [1, 2, 4]),
        ("&what=task.done", [2]),
        ("&what=task.done&what=version.", [2, 3]),
        ("&subject=b", [4, 5]),
        ("&subject=b&what=task.", [4]),
        ("&what=progress", []),
    ],
)
def test_a_stream_tells_only_what_is_asked_for(studio: Studio, query: str, wanted: list[int]) -> None:
    lines = [
        ("task.queued", "a"),
        ("task.done", "a"),
        ("version.made", "v"),
        ("task.failed", "b"),
        ("version.made", "b"),
    ]
    for what, subject in lines:
        note(studio, 1, what, subject)
    with serving(studio) as running:
        # Once from pages that the stream reads itself, once from what the server has at hand.
        with following(running, f"/api/events?after=0{query}") as client:
            assert ids(client.take(len(wanted)) if wanted else []) == wanted
        with following(running, f"/api/events?after=5{query}") as client:
            next(client.blocks())
            for what, subject in lines:
                note(studio, 1, what, subject)
            assert ids(client.take(len(wanted)) if wanted else []) == [5 + number for number in wanted]


def test_RUN_2_progress_of_running_work_is_told_between_the_lines_without_an_id(studio: Studio) -> None:
    def show(done: int, picture: bytes | None = None) -> None:
        said = Progress(task=TASK, step="a", done=done, total=9, time=clock.now(), preview="x" if picture else "")
        progress.write(studio.parts, said, picture)

    with serving(studio) as running, TaskLock.hold(lock_path(studio.parts, TASK)):
        show(1)
        with following(running) as client, following(running, "/api/events?what=task.") as deaf:
            first = client.take(1)[0]
            show(2, b"\x89PNG\r\n\x1a\n1234")
            second = client.take(1)[0]
            note(studio, 1, "task.done")
            assert deaf.take(1)[0].event == client.take(1)[0].event == "task.done"
        with following(running, f"/api/events?what=progress&subject={TASK}") as late:
            again = late.take(1)[0]  # who comes later hears how it is now
        picture = running.get(second.json["preview"])
    assert (first.id, first.event, first.json["done"], first.json["preview"]) == ("", "progress", 1, "")
    assert (second.json["done"], second.json["total"], second.json["step"]) == (2, 9, "a")
    assert (picture.status_code, picture.content[:4]) == (200, b"\x89PNG")
    assert again == second


def test_a_stream_ends_when_the_server_stops(studio: Studio) -> None:
    with serving(studio, graceful_s=60) as running, following(running) as client:
        next(client.blocks())
        began = time.monotonic()
        running.server.should_exit = True
        assert list(client.blocks()) == []
        wait_until(lambda: not running.server.servers or not running.loop.is_running())
    assert time.monotonic() - began < 5


def test_a_stream_ends_when_its_token_is_revoked(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "RECHECK_S", 0.1)
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.1)
    made = studio.tokens.create("Cleo", ["read"])
    with (
        serving(studio) as running,
        following(running, Authorization=f"Bearer {made.token}") as revoked,
        following(running) as local,
    ):
        blocks = revoked.blocks()
        assert [next(blocks).id, next(blocks).comment] == ["0", "still here"]
        studio.tokens.revoke(made.record.id)
        assert all(not block.event for block in blocks), "it ends"
        note(studio, 1)
        assert ids(local.take(1)) == [1]


def test_a_stream_ends_when_its_client_goes_away(studio: Studio) -> None:
    with serving(studio) as running:
        with following(running) as client:
            next(client.blocks())
            assert running.app.state.hub.streams == 1
        wait_until(lambda: running.app.state.hub.streams == 0)


def test_an_id_of_another_library_begins_anew_and_says_so(studio: Studio) -> None:
    note(studio, 2)
    with serving(studio) as running, following(running, Last_Event_ID="70") as client:
        note(studio, 1)
        reset, line = client.take(2)
    assert (reset.event, reset.json) == ("reset", {"known": 70, "last": 2})
    assert ids([line]) == [3]


@pytest.mark.parametrize("sent", ["x", "-1", "1.5", "99999999999999999999", "1 2", "\xb2", "9007199254740993"])
def test_an_id_that_is_none_is_refused(studio: Studio, sent: str) -> None:
    with serving(studio) as running:
        headers = {"Last-Event-ID": sent.encode("latin-1")}
        answer = httpx2.get(f"{running.address}/api/events", headers=headers, trust_env=False)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=9007199254740993", "what=A%0a", "what=", "what=task*"])
def test_what_makes_no_sense_is_refused(studio: Studio, query: str) -> None:
    with serving(studio) as running:
        assert running.get(f"/api/events?{query}").status_code == 422


def ran(studio: Studio, folder: Path) -> str:
    """A task that ran to its end, and its id."""
    (folder / "in.png").write_bytes(encode(Image("RGB", 2, 1, bytes(6))))
    nodes = {
        "in": {"type": "reference-image", "params": {"image": "in.png"}},
        "grain": {"type": "film-grain", "params": {"amount": 0.3}, "inputs": {"image": "in"}},
        "out": {"type": "output", "inputs": {"image": "grain"}},
    }
    (folder / "plain.json").write_text(json.dumps({"name": "plain", "nodes": nodes}))
    return studio.tasks.run(folder / "plain.json").id


def test_RUN_1_the_stream_of_a_task_begins_with_it_and_ends_after_it(studio: Studio, tmp_path: Path) -> None:
    note(studio, 3)
    id = ran(studio, tmp_path)
    note(studio, 3)
    with serving(studio) as running:
        with following(running, f"/api/tasks/{id}/events") as client:
            told = list(client.events())
        known = [each for each in told if each.id][-1].id
        back = running.get(f"/api/tasks/{id}/events", **{"Last-Event-ID": known})
        with following(running, f"/api/tasks/{id}/events", Last_Event_ID=told[0].id) as client:
            again = list(client.events())
    assert [each.event for each in told if each.event != "task.event"] == [
        "task.queued",
        "task.running",
        "task.done",
        "end",
    ]
    assert {each.json["subject"] for each in told[:-1]} == {id}
    assert back.status_code == 204, "a browser is not to ask again"
    assert again == told[1:]


def test_the_stream_of_a_task_that_waits_to_be_tried_again_goes_on(studio: Studio, tmp_path: Path) -> None:
    id = ran(studio, tmp_path)
    studio.parts.queue.add(id, "task")
    with serving(studio) as running, following(running, f"/api/tasks/{id}/events?what=task.done") as client:
        events = client.events()
        assert next(events).event == "task.done"
        studio.parts.queue.remove(id)
        note(studio, 1, "task.done", id)
        assert [each.event for each in events] == ["task.done", "end"]


def test_the_stream_of_a_task_that_is_not_there_is_not_found(studio: Studio) -> None:
    with serving(studio) as running:
        answer = running.get("/api/tasks/20200101-000000-00000000/events")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_RUN_1_a_damaged_line_ends_the_stream_with_the_reason(studio: Studio) -> None:
    note(studio, 3)
    with studio.parts.database.write() as connection:
        connection.exec_driver_sql("UPDATE journal SET what = 'task.done' WHERE number = 2")
    with serving(studio) as running, following(running, "/api/events?after=0") as client:
        told = list(client.events())
    assert [each.event for each in told] == ["problem"]
    assert told[0].json["error"]["code"] == "library.damaged"


@pytest.mark.parametrize("error", [Unavailable("it is busy"), RuntimeError("a bug")])
def test_streams_do_not_fall_silent_when_the_news_cannot_be_read(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*given: Any) -> Any:
        raise error

    with serving(studio) as running:
        with following(running) as client:
            next(client.blocks())
            monkeypatch.setattr(studio.parts.journal, "list", broken)
            assert [each.event for each in client.events()] == ["problem"]
        monkeypatch.undo()
        note(studio, 1)
        wait_until(lambda: running.app.state.hub.trouble is None)
        with following(running, "/api/events?after=0") as client:
            assert ids(client.take(1)) == [1]


def test_a_thousand_idle_streams_read_nothing_themselves(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    journal, count = studio.parts.journal, 1000
    before = journal.list

    def counted(*given: Any) -> Any:
        nonlocal reads
        reads += 1
        return before(*given)

    async def one(hub: Hub) -> bytes:
        hub.enter()
        blocks = Stream(hub, hub.last, Wanted(), LOCAL).blocks()
        await anext(blocks)
        block = await anext(blocks)
        await blocks.aclose()
        return block

    async def many() -> list[bytes]:
        hub = Hub(studio, lambda task: "")
        await hub.start()
        waiting = [asyncio.create_task(one(hub)) for _ in range(count)]
        await asyncio.sleep(0.5)  # idle
        await asyncio.to_thread(note, studio, 1)
        told = await asyncio.wait_for(asyncio.gather(*waiting), 20)
        await hub.stop()
        return told

    monkeypatch.setattr(journal, "list", counted)
    told = asyncio.run(many())
    assert len(told) == count and len(set(told)) == 1
    assert reads < 200
