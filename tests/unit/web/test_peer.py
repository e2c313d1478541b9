"""RUN 1: on loopback only this user's own processes (and root's) are the local user."""

from __future__ import annotations

import http.client
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from intaglio.web.peer import TABLES, Peers

US, SERVER = ("127.0.0.1", 50000), ("127.0.0.1", 8470)
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
V4, V6 = "0100007F:C350 0100007F:2116", "00000000000000000000000001000000:C350 00000000000000000000000001000000:2116"
MAPPED = "0000000000000000FFFF00000100007F:C350 0000000000000000FFFF00000100007F:2116"
STRANGER = 54321

pytestmark = pytest.mark.skipif(sys.byteorder == "big", reason="the tables below are of a little-endian machine")


def row(ends: str, *, uid: int, state: str = "01", inode: int = 77) -> str:
    """A line of the kernel's table."""
    return f"   0: {ends} {state} 00000000:00000000 00:00000000 00000000 {uid:5} 0 {inode} 1 0 100 0 0 10 0\n"


@pytest.fixture
def peers(tmp_path: Path) -> Callable[..., Peers]:
    def made(*rows: str, six: str = "") -> Peers:
        tables = (tmp_path / "tcp", tmp_path / "tcp6")
        tables[0].write_text(HEAD + "".join(rows))
        tables[1].write_text(HEAD + six)
        return Peers(tables)

    return made


def test_our_own_processes_and_those_of_root_are_ours(peers: Callable[..., Peers]) -> None:
    assert peers(row(V4, uid=os.geteuid())).are_ours(US, SERVER)
    assert peers(row(V4, uid=0)).are_ours(US, SERVER)
    assert peers(six=row(MAPPED, uid=os.geteuid())).are_ours(US, SERVER)
    assert peers(six=row(V6, uid=os.geteuid())).are_ours(("::1", 50000), ("::1", 8470))


def test_those_of_others_are_not(peers: Callable[..., Peers]) -> None:
    assert not peers(row(V4, uid=STRANGER)).are_ours(US, SERVER)
    assert not peers(six=row(MAPPED, uid=STRANGER)).are_ours(US, SERVER)
    # Their own end counts, not ours, which is in the table too.
    back = " ".join(reversed(V4.split()))
    assert not peers(row(back, uid=os.geteuid()), row(V4, uid=STRANGER)).are_ours(US, SERVER)


def test_who_is_not_in_the_table_is_not_ours(peers: Callable[..., Peers]) -> None:
    assert not peers().are_ours(US, SERVER)
    assert not peers(row(V4, uid=os.geteuid())).are_ours(("127.0.0.1", 50001), SERVER)
    assert not peers(row(V4, uid=os.geteuid())).are_ours(None, SERVER)


def test_a_socket_that_was_closed_is_said_to_be_of_root_and_is_not(peers: Callable[..., Peers]) -> None:
    assert not peers(row(V4, uid=0, state="06", inode=0)).are_ours(US, SERVER)


def test_where_there_is_no_table_it_is_not_checked(tmp_path: Path) -> None:
    assert Peers((tmp_path / "none",)).are_ours(US, SERVER)


def test_it_is_looked_up_once_for_each_connection_and_anew_for_the_next_of_the_same_port(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    table.write_text(HEAD + row(V4, uid=os.geteuid()))
    peers, connection = Peers((table,)), ("127.0.0.1", 50000)
    assert peers.are_ours(connection, SERVER)
    table.write_text(HEAD + row(V4, uid=STRANGER))
    assert peers.are_ours(connection, SERVER), "the same connection"
    following = tuple(["127.0.0.1", 50000])
    assert following == connection and not peers.are_ours(following, SERVER)


@pytest.fixture
def port() -> Iterator[int]:
    """A uvicorn that says whether who asks is ours."""
    import uvicorn
    from starlette.types import Receive, Scope, Send

    peers = Peers()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = b"ours" if peers.are_ours(scope["client"], scope["server"]) else b"not ours"
        start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", proxy_headers=False, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    with ExitStack() as stack:
        stack.callback(thread.join)
        stack.callback(setattr, server, "should_exit", True)
        yield listening.getsockname()[1]
    listening.close()


linux = pytest.mark.skipif(not TABLES[0].exists(), reason="no table of connections here")


def answered(port: int) -> list[bytes]:
    """What the server says to two requests over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    said = []
    for _ in range(2):
        connection.request("GET", "/")
        said.append(connection.getresponse().read())
    connection.close()
    return said


@linux
def test_RUN_1_the_kernel_tells_that_we_are_ours(port: int) -> None:
    assert answered(port) == [b"ours", b"ours"]


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_RUN_1_the_kernel_tells_who_is_somebody_else(port: int) -> None:
    os.seteuid(STRANGER)  # a socket belongs to whoever made it
    try:
        theirs = socket.socket()
    finally:
        os.seteuid(0)
    theirs.settimeout(30)
    theirs.connect(("127.0.0.1", port))
    with theirs, theirs.makefile("rb") as answer:
        theirs.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.read().endswith(b"\r\n\r\nnot ours")
