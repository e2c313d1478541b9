"""Heads of requests that never end: who sends them is told so, and not waited for."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from intaglio.web import protocol

PATIENCE_S = 20.0


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says nothing to whom it asks, after a while where the path wants it."""
    if scope["path"] == "/slow":
        await asyncio.sleep(5 * protocol.HEAD_S)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server that waits a fifth of a second for a head."""
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=protocol.Protocol, ws="none", lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _whole(connection: socket.socket) -> bytes:
    said = b""
    while more := connection.recv(65536):
        said += more
    return said


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT"])
def test_a_head_that_does_not_end_is_refused_after_a_while(port: int, first: bytes) -> None:
    """Not the first of a connection, either; and a byte now and then does not make the time longer."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(first)
        if first.endswith(b"GET / HT"):
            assert connection.recv(65536).startswith(b"HTTP/1.1 204")
            connection.sendall(b"T")
        head, _, body = _whole(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"connection: close" in head.lower()
    assert json.loads(body)["error"]["code"] == "too_slow"


def test_bytes_now_and_then_do_not_make_the_time_longer(port: int) -> None:
    until = time.monotonic() + PATIENCE_S
    with socket.create_connection(("127.0.0.1", port), timeout=0.05) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        while time.monotonic() < until:
            connection.sendall(b"x")
            try:
                assert connection.recv(65536).startswith(b"HTTP/1.1 408")
                return
            except TimeoutError:
                continue
    pytest.fail("it went on waiting")


def test_a_request_that_is_being_answered_may_take_longer(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 204")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 204"), "and the connection is good for another one"


def test_what_follows_an_answered_request_and_is_none_ends_the_connection(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x00\r\n\r\n")
        said = _whole(connection)
    assert said.startswith(b"HTTP/1.1 204")
    assert b"HTTP/1.1 400 Bad Request" in said
