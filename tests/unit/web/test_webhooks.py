"""RUN 1: webhooks get every line they want, in order and signed, whatever refuses or stops in between."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from unit.web.serving import library, serving, wait_until

from intaglio.core.errors import Conflict, Invalid, NotFound
from intaglio.core.webhook import Webhook
from intaglio.studio.open import Studio
from intaglio.studio.webhooks import MOST, Hook
from intaglio.web import webhooks
from intaglio.web.hub import Hub
from intaglio.web.webhooks import GIVE_UP_S, Teller, signature


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with library(tmp_path) as opened:
        yield opened


class Receiver:
    """Somebody's own server: keeps what it is sent, and answers as the test says."""

    def __init__(self, status: int = 200) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = status
        self.headers: dict[str, str] = {}
        self.wait_s = 0.0
        self.body = b""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                body = self.rfile.read(size)
                if len(body) < size:  # who sent it was killed in the middle
                    self.close_connection = True
                    return
                receiver.got.append((dict(self.headers), body))
                time.sleep(receiver.wait_s)
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(receiver.body)))
                self.end_headers()
                try:
                    self.wfile.write(receiver.body)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST

            def log_message(self, format: str, *arguments: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who asked was killed
        self.address = f"http://127.0.0.1:{self._server.server_port}/in"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def numbers(self) -> list[int]:
        """The numbers of the lines it got, in order."""
        return [json.loads(body)["notice"]["number"] for _, body in self.got]


def note(studio: Studio, count: int = 1, what: str = "task.done", subject: str = "t") -> None:
    for _ in range(count):
        studio.parts.journal.note(what, subject, {"status": what.partition(".")[2]})


def shown(studio: Studio, id: str) -> Hook:
    return next(hook for hook in studio.webhooks.list() if hook.id == id)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that refuse are tried again at once."""
    monkeypatch.setattr(webhooks, "BACK_OFF_S", (0.05,))
    monkeypatch.setattr(webhooks, "TICK_S", 0.05)


def test_a_webhook_is_told_what_it_wants_in_order_and_signed(studio: Studio) -> None:
    note(studio, 2)  # before it was there
    with Receiver() as receiver, serving(studio):
        hook = studio.webhooks.add(receiver.address, events=["task.done", "version."])
        for what in ("task.done", "task.queued", "version.made", "workflow.made", "task.done"):
            note(studio, 1, what)
        wait_until(lambda: shown(studio, hook.id).waiting == 0)
    assert receiver.numbers() == [3, 5, 7]
    headers, body = receiver.got[1]
    assert json.loads(body) == {
        "library": "studio",
        "notice": {
            "kind": "notice", "format": 1, "number": 5, "time": json.loads(body)["notice"]["time"],
            "what": "version.made", "subject": "t", "facts": {"status": "made"},
        },
    }  # fmt: skip
    assert (headers["Intaglio-Event"], headers["Intaglio-Delivery"]) == ("version.made", "5")
    assert headers["Content-Type"] == "application/json"
    stamp, made = (part.partition("=")[2] for part in headers["Intaglio-Signature"].split(","))
    assert abs(int(stamp) - time.time()) < 60
    signed = hmac.new(hook.secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(made, signed)


def test_a_signature_is_of_the_time_and_of_the_body() -> None:
    made = hmac.new(b"secret", b"1.{}", hashlib.sha256).hexdigest()
    assert signature("secret", 1, b"{}") == f"t=1,v1={made}"


@pytest.mark.usefixtures("quick")
def test_RUN_1_one_that_refuses_is_sent_the_same_line_again_and_loses_none(studio: Studio) -> None:
    with Receiver(status=500) as receiver, serving(studio):
        hook = studio.webhooks.add(receiver.address)
        note(studio, 3)
        wait_until(lambda: len(receiver.got) >= 3)
        failing = wait_until(lambda: (found := shown(studio, hook.id)).failures >= 2 and found)
        receiver.status = 204
        wait_until(lambda: shown(studio, hook.id).waiting == 0)
    numbers = receiver.numbers()
    assert set(numbers[:3]) == {1}
    assert numbers[-3:] == [1, 2, 3]
    assert failing.failing_since and failing.again_at and not failing.paused
    well = shown(studio, hook.id)
    assert (well.delivered, well.failures, well.failing_since, well.again_at) == (3, 0, "", "")


@pytest.mark.usefixtures("quick")
def test_a_redirect_is_refused_and_never_followed(studio: Studio) -> None:
    with Receiver() as other, Receiver(status=307) as receiver, serving(studio) as running:
        receiver.headers = {"Location": other.address}
        studio.webhooks.add(receiver.address)
        note(studio)
        wait_until(lambda: len(receiver.got) >= 2)
        assert sum(running.app.state.teller.taken.values()) == 0
    assert other.got == []


@pytest.mark.usefixtures("quick")
def test_one_that_is_slow_is_given_up_and_holds_up_nobody(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.5)
    with Receiver() as slow, Receiver() as quick, serving(studio):
        slow.wait_s = 2.0
        first = studio.webhooks.add(slow.address)
        second = studio.webhooks.add(quick.address)
        began = time.monotonic()
        note(studio, 5)
        wait_until(lambda: shown(studio, second.id).delivered == 5)
        assert time.monotonic() - began < 2.0
        wait_until(lambda: shown(studio, first.id).failures >= 1)
        slow.wait_s = 0.0
        wait_until(lambda: shown(studio, first.id).delivered == 5)
    assert quick.numbers() == [1, 2, 3, 4, 5]
    assert slow.numbers()[-5:] == [1, 2, 3, 4, 5]


def test_an_endless_answer_is_not_read(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST_READ", 1000)
    with Receiver() as receiver, serving(studio):
        receiver.body = b"x" * 50_000_000
        hook = studio.webhooks.add(receiver.address)
        note(studio, 2)
        wait_until(lambda: shown(studio, hook.id).delivered == 2)
    assert receiver.numbers() == [1, 2]


@pytest.mark.usefixtures("quick")
def test_RUN_1_another_server_goes_on_where_the_last_one_was(studio: Studio) -> None:
    with Receiver() as receiver:
        with serving(studio):
            hook = studio.webhooks.add(receiver.address)
            note(studio, 3)
            wait_until(lambda: shown(studio, hook.id).delivered == 3)
        note(studio, 3)
        with serving(studio):
            wait_until(lambda: shown(studio, hook.id).delivered == 6)
    assert receiver.numbers() == [1, 2, 3, 4, 5, 6]


SERVER = """
import sys, time
from pathlib import Path
from unit.web.serving import library, serving
with library(Path(sys.argv[1])) as studio, serving(studio):
    print("up", flush=True)
    time.sleep(60)
"""


def test_RUN_4_a_killed_server_loses_no_line_and_the_order_holds(studio: Studio, tmp_path: Path) -> None:
    count = 60
    with Receiver() as receiver:
        receiver.wait_s = 0.005
        hook = studio.webhooks.add(receiver.address)
        note(studio, count)
        paths = os.pathsep.join(["src", "tests"])
        kills = 0

        def told() -> int:
            return shown(studio, hook.id).delivered

        while told() < count:
            before = len(receiver.got)
            with subprocess.Popen(
                [sys.executable, "-c", SERVER, str(tmp_path)],
                env={**os.environ, "PYTHONPATH": paths},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as server:
                wait_until(lambda seen=before + 15: len(receiver.got) >= seen or told() == count, 60)  # type: ignore[misc]
                server.send_signal(signal.SIGKILL)
            kills += 1
    assert kills >= 3
    numbers = receiver.numbers()
    assert list(dict.fromkeys(numbers)) == [*range(1, count + 1)], "in order, none lost"
    assert len(numbers) <= count + 2 * kills, "only what was on its way came again"


class Clock:
    """A time that the test moves."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def told_by(studio: Studio, now: Callable[[], float], act: Callable[[], Awaitable[Hook]]) -> Hook:
    """What `act` gives while webhooks are told, by a clock of our own."""

    async def run() -> Hook:
        hub = Hub(studio, lambda task: "")
        await hub.start()
        teller = Teller(hub, now=now)
        teller.start()
        try:
            return await asyncio.wait_for(act(), 60)
        finally:
            await teller.stop()
            await hub.stop()

    return asyncio.run(run())


def test_one_that_refuses_is_tried_again_later_and_later_and_paused_after_a_day(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TICK_S", 0.01)
    clock, waits = Clock(), list[float]()

    async def whole_day() -> Hook:
        while True:
            hook = await asyncio.to_thread(shown, studio, made.id)
            if hook.paused:
                return hook
            if hook.failures > len(waits):
                until = datetime.fromisoformat(hook.again_at).timestamp()
                waits.append(round(until - clock.now))
                clock.now = until + 0.001
            await asyncio.sleep(0.005)

    with Receiver(status=503) as receiver:
        made = studio.webhooks.add(receiver.address)
        note(studio, 2)
        began = clock.now
        hook = told_by(studio, clock, whole_day)
        tries = len(receiver.got)
        assert waits[:9] == [1, 5, 30, 120, 600, 1800, 3600, 3600, 3600]
        assert GIVE_UP_S <= clock.now - began < GIVE_UP_S + 2 * 3600
        assert "503" in hook.paused and hook.delivered == 0 and hook.waiting == 2
        with serving(studio):
            note(studio)
            time.sleep(0.3)
            assert len(receiver.got) == tries, "nothing is sent while it is paused"
            receiver.status = 200
            resumed = studio.webhooks.resume(made.id)
            assert (resumed.paused, resumed.failures) == ("", 0)
            wait_until(lambda: shown(studio, made.id).delivered == 3)
    assert receiver.numbers()[-3:] == [1, 2, 3]


def test_a_trial_goes_to_the_one_it_is_for_whatever_that_wants_to_hear(studio: Studio) -> None:
    with Receiver() as one, Receiver() as all_, Receiver() as tried, serving(studio):
        studio.webhooks.add(one.address, events=["task."])
        studio.webhooks.add(all_.address)
        hook = studio.webhooks.add(tried.address, events=["version."])
        notice = studio.webhooks.test(hook.id)
        wait_until(lambda: shown(studio, hook.id).delivered == notice.number)
        note(studio, 1, "task.done")
        wait_until(lambda: one.got and all_.got)
    assert [headers["Intaglio-Event"] for headers, _ in tried.got] == ["webhook.test"]
    assert one.numbers() == all_.numbers() == [notice.number + 1]


def test_what_one_does_not_want_is_passed_over_for_good(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "SKIPPED", 5)
    with Receiver() as receiver, serving(studio):
        hook = studio.webhooks.add(receiver.address, events=["version."])
        note(studio, 8)
        wait_until(lambda: shown(studio, hook.id).delivered >= 5)
        note(studio, 1, "version.made")
        wait_until(lambda: shown(studio, hook.id).delivered == 9)
    assert receiver.numbers() == [9]


def test_one_that_is_removed_is_told_nothing_more(studio: Studio) -> None:
    with Receiver() as receiver, Receiver() as other, serving(studio):
        hook = studio.webhooks.add(receiver.address)
        left = studio.webhooks.add(other.address)
        studio.webhooks.remove(hook.id)
        note(studio, 2)
        wait_until(lambda: shown(studio, left.id).delivered == 2)
    assert receiver.got == []
    for gone in (studio.webhooks.remove, studio.webhooks.resume, studio.webhooks.test):
        with pytest.raises(NotFound):
            gone(hook.id)


def test_two_servers_of_a_library_tell_a_line_once(studio: Studio) -> None:
    with Receiver() as receiver, serving(studio), serving(studio):
        hook = studio.webhooks.add(receiver.address)
        note(studio, 20)
        wait_until(lambda: shown(studio, hook.id).delivered == 20)
    assert receiver.numbers() == [*range(1, 21)]


def test_a_secret_is_given_once_and_never_shown(studio: Studio) -> None:
    made = studio.webhooks.add("https://example.com/in")
    assert isinstance(made, Webhook) and len(made.secret) == 64
    assert made.secret not in repr(studio.webhooks.list())
    studio.webhooks.test(made.id)
    assert "example.com" not in repr(studio.library.journal()), "an address may be a secret, and many read the journal"


@pytest.mark.parametrize(
    "address",
    [
        "", "example.com", "ftp://example.com", "file:///etc/passwd", "http://", "http:///in", "https://u:p@example.com",
        "https://u@example.com", "http://example.com:0", "http://example.com:99999", "http://exa mple.com",
        "http://example.com/\n", "http://[::1", "http://example.com/#x", "http://" + "a" * 3000, "http://\xad.com",
        "gopher://example.com", "unix:///run/x",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(studio: Studio, address: str) -> None:
    with pytest.raises(Invalid):
        studio.webhooks.add(address)
    assert studio.webhooks.list() == []


@pytest.mark.parametrize("word", ["", "tsk", "task.*", "task done", "progress", "webhook.test", "task." + "x" * 200])
def test_what_nothing_is_called_is_refused(studio: Studio, word: str) -> None:
    with pytest.raises(Invalid):
        studio.webhooks.add("https://example.com", events=[word])


def test_the_same_twice_and_too_many_are_refused(studio: Studio) -> None:
    for number in range(MOST):
        studio.webhooks.add(f"https://example.com/{number}")
        if not number:
            with pytest.raises(Conflict):
                studio.webhooks.add("https://example.com/0")
            assert studio.webhooks.add("https://example.com/0", events=["task."]).events == ("task.",)
            studio.webhooks.remove(studio.webhooks.list()[-1].id)
    with pytest.raises(Conflict):
        studio.webhooks.add("https://example.com/one-more")
