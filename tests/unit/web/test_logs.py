"""What the server says of itself: one line for each request, which tells no secret and steers no terminal."""

from __future__ import annotations

import io
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from unit.web.serving import Running, library, serving, wait_until

from intaglio.studio import logs
from intaglio.studio.open import Studio


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with library(tmp_path) as opened:
        yield opened


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """What is said in JSON; the loggers are as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.setup("json", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(said: io.StringIO, **wanted: Any) -> list[dict[str, Any]]:
    """The lines that have these facts."""
    found = [json.loads(line) for line in said.getvalue().splitlines()]
    return [line for line in found if wanted.items() <= line.items()]


def line(said: io.StringIO, **wanted: Any) -> dict[str, Any]:
    """The one line that has these facts, once it is there."""
    found: list[dict[str, Any]] = wait_until(lambda: lines(said, **wanted))
    assert len(found) == 1
    return found[0]


def raw(running: Running, request: bytes) -> bytes:
    """What is answered to exactly these bytes."""
    with socket.create_connection(("127.0.0.1", int(running.address.rpartition(":")[2]))) as connection:
        connection.sendall(request)
        connection.settimeout(10)
        return connection.recv(1 << 16)


def test_a_request_is_one_line_with_all_there_is_to_know(studio: Studio, said: io.StringIO) -> None:
    with serving(studio) as running:
        answer = running.get("/api/tasks/20260101-101010-00000000/events?after=3", **{"X-Request-ID": "mine-1.a_b"})
        told = line(said, request="mine-1.a_b")
    assert answer.headers["X-Request-ID"] == "mine-1.a_b"
    assert told == {
        "time": told["time"], "level": "info", "logger": "intaglio.web", "request": "mine-1.a_b", "person": "Ada",
        "message": "GET /api/tasks/20260101-101010-00000000/events", "task": "20260101-101010-00000000",
        "route": "/api/tasks/{task}/events", "status": 404, "ms": told["ms"],
    }  # fmt: skip
    assert told["ms"] > 0 and told["time"].endswith("Z")


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "a;b", "\u00e9", "../../etc"])
def test_an_id_that_is_no_plain_word_is_replaced(studio: Studio, sent: str) -> None:
    with serving(studio) as running:
        request = f"GET /health HTTP/1.1\r\nHost: {running.address[7:]}\r\nX-Request-ID: {sent}\r\n\r\n"
        answer = raw(running, request.encode()).decode("latin-1").lower()
    found = [line.partition(": ")[2] for line in answer.splitlines() if line.startswith("x-request-id")]
    assert len(found) == 1 and len(found[0]) == 16 and found[0].isalnum()


def test_no_token_and_no_query_comes_into_a_line(studio: Studio, said: io.StringIO) -> None:
    made = studio.tokens.create("Cleo", ["read"])
    with serving(studio) as running:
        running.get(f"/api/events?token={made.token}&after=x", Authorization=f"Bearer {made.token}")
        running.get("/api/previews/a-secret-address")
        line(said, route="/api/events", person="Cleo")
        line(said, route="/api/previews/{token}")
    assert made.token not in said.getvalue() and "token=" not in said.getvalue()
    assert "a-secret-address" not in said.getvalue()


def test_what_a_client_sends_cannot_make_a_line_or_steer_a_terminal(studio: Studio, said: io.StringIO) -> None:
    with serving(studio) as running:
        path = "/a%0a%7b%22level%22:%22error%22%7d%1b[2J%e2%80%ae"
        raw(running, f"GET {path} HTTP/1.1\r\nHost: {running.address[7:]}\r\n\r\n".encode())
        told = line(said, status=404)
    assert told["message"] == 'GET /a\\n{"level":"error"}\\x1b[2J\\u202e'
    assert "\x1b" not in said.getvalue() and "\u202e" not in said.getvalue()


def test_who_asks_for_health_is_not_told_of(studio: Studio, said: io.StringIO) -> None:
    with serving(studio) as running:
        for path in ("/health", "/ready", "/metrics", "/nothing"):
            running.get(path)
        line(said, status=404)
    assert [told["message"] for told in lines(said, logger="intaglio.web")] == ["GET /nothing"]


def test_what_went_wrong_inside_is_told_once_with_the_id_of_the_request(studio: Studio, said: io.StringIO) -> None:
    with serving(studio) as running:

        @running.app.get("/broken")
        def broken() -> None:
            logging.getLogger("intaglio.anything").warning("before it broke")
            raise RuntimeError("token=abcdefgh is wrong")

        answer = running.get("/broken", **{"X-Request-ID": "b1"})
        assert (answer.status_code, answer.headers["X-Request-ID"]) == (500, "b1")
        told = line(said, route="/broken", status=500)
        inside = line(said, message="before it broke")
    assert told["level"] == "error"
    assert (told["request"], inside["request"]) == ("b1", "b1"), "whatever is said meanwhile has the id too"
    assert "abcdefgh" not in said.getvalue()


def test_a_worker_says_what_it_is_about(said: io.StringIO) -> None:
    log = logging.getLogger("intaglio.worker")
    with logs.about(task="t1"):
        log.info("taken up")
        with logs.about(job="j1"):
            log.info("inside")
    log.info("over")
    assert [(told.get("task"), told.get("job")) for told in lines(said)] == [("t1", None), ("t1", "j1"), (None, None)]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Authorization: Bearer abc.def", "Authorization: Bearer [hidden]"),
        ("sent bearer abcdef now", "sent bearer [hidden] now"),
        ("GET /x?token=abc&limit=3", "GET /x?token=[hidden]&limit=3"),
        ("secret: hunter2", "secret: [hidden]"),
        ("https://ada:pw@example.com/x", "https://[hidden]@example.com/x"),
        ("it is intaglio_abcdefghijklmnop now", "it is [hidden] now"),
        ("https://example.com/x and the rest", "https://example.com/x and the rest"),
        ("task 20260101-101010-00000000 is done", "task 20260101-101010-00000000 is done"),
    ],
)
def test_secrets_are_hidden_and_nothing_else(text: str, kept: str) -> None:
    assert logs.without_secrets(text) == kept


def test_in_words_a_line_is_one_line_that_steers_nothing(studio: Studio) -> None:
    record = logging.LogRecord("intaglio", logging.WARNING, "", 0, "a\nb\x1b[2J %s", ("c",), None)
    record.__dict__["task"] = "t1"
    written = logs.Words().format(record)
    assert written.endswith("warning a\\nb\\x1b[2J c task=t1") and "\n" not in written


def test_what_was_raised_is_told_with_it() -> None:
    try:
        raise ValueError("bad \x1b[2J token=abc")
    except ValueError as error:
        record = logging.LogRecord("intaglio", logging.ERROR, "", 0, "it broke", (), (type(error), error, None))
    told = json.loads(logs.JsonLines().format(record))
    assert told["raised"] == "ValueError: bad \\x1b[2J token=[hidden]"
    assert "ValueError: bad \\x1b[2J" in logs.Words().format(record)
