"""Asking a server over sockets that stay open, with as little work of one's own as can be; and what processes take."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Asked:
    """What came of a number of requests: seconds of each, seconds of all, and CPU seconds of the server for each."""

    seconds: tuple[float, ...]
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.seconds) / self.wall

    @property
    def p50(self) -> float:
        """Milliseconds that half of them took at most."""
        return statistics.median(self.seconds) * 1000

    @property
    def p99(self) -> float:
        """Milliseconds that all but one in a hundred took at most."""
        return sorted(self.seconds)[int(0.99 * (len(self.seconds) - 1))] * 1000


def together(parts: Iterable[Asked]) -> Asked:
    """Several rounds as one."""
    parts = list(parts)
    seconds = tuple(second for part in parts for second in part.seconds)
    cpu = sum(part.cpu * len(part.seconds) for part in parts) / len(seconds)
    return Asked(seconds, sum(part.wall for part in parts), cpu)


def ask(port: int, path: str, *, pid: int, connections: int, times: int) -> Asked:
    """Ask 127.0.0.1 for `path` so often, over so many connections at once; `pid` is the server's."""
    return asyncio.run(_ask(port, path, pid, connections, times))


async def _ask(port: int, path: str, pid: int, connections: int, times: int) -> Asked:
    lines = [await _Line.open(port, path) for _ in range(connections)]
    await asyncio.gather(*(line.ask(2) for line in lines))
    used, began = cpu_of(pid), time.perf_counter()
    found = await asyncio.gather(*(line.ask(times // connections) for line in lines))
    wall = time.perf_counter() - began
    seconds = tuple(second for some in found for second in some)
    cpu = (cpu_of(pid) - used) / len(seconds)
    for line in lines:
        line.close()
    return Asked(seconds, wall, cpu)


class _Line(asyncio.Protocol):
    """One connection that asks for the same again and again."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport
        self._left = 0
        self._began = 0.0
        self._missing = -1  # bytes of the body; -1: the head is not whole yet
        self._head = b""
        self._seconds: list[float] = []
        self._done: asyncio.Future[None]

    @classmethod
    async def open(cls, port: int, path: str) -> _Line:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        _, line = await asyncio.get_running_loop().create_connection(lambda: cls(request), "127.0.0.1", port)
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, times: int) -> list[float]:
        """Seconds of each of so many requests."""
        self._left, self._seconds = times, []
        self._done = asyncio.get_running_loop().create_future()
        self._send()
        await self._done
        return self._seconds

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            status, *fields = head.lower().split(b"\r\n")
            assert b" 200 " in status + b" ", head
            self._missing = next(int(each[15:]) for each in fields if each.startswith(b"content-length:"))
            self._head = b""
        self._missing -= len(data)
        if not self._missing:
            self._answered()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("the server closed the connection"))

    def _send(self) -> None:
        self._missing, self._began = -1, time.perf_counter()
        self._transport.write(self._request)

    def _answered(self) -> None:
        self._seconds.append(time.perf_counter() - self._began)
        self._left -= 1
        if self._left:
            self._send()
        else:
            self._done.set_result(None)


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S
