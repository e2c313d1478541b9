"""Servers in processes of their own, for `server`: `intaglio serve`, and the bare one beside it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.asking import cpu_of
from benchmarks.measure import wait_until

SETTINGS = {"INTAGLIO_THREADS": "1", "INTAGLIO_DEVICE": "cpu", "INTAGLIO_AUTHOR": "benchmark"}


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def workers(self) -> list[int]:
        """The processes that it started."""
        lists = Path(f"/proc/{self.pid}/task").glob("*/children")  # each thread has its own
        return [int(word) for each in lists for word in each.read_text().split()]


@contextmanager
def intaglio(library: Path, *, workers: int = 0) -> Iterator[Server]:
    """`intaglio serve` of a library, with everything it says in a file, as where it is a service."""
    command = [sys.executable, "-m", "intaglio", "serve", "--library", str(library), "--port", "0", "--json"]
    log = library.with_name("server.log")
    with (
        log.open("wb") as said,
        _process([*command, "--workers", str(workers)], stdout=subprocess.PIPE, stderr=said) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        server = Server(int(json.loads(line)["url"].rpartition(":")[2]), process.pid)
        _idle([server.pid, *server.workers])
        yield server


@contextmanager
def bare(work: Mapping[str, Any], folder: Path) -> Iterator[Server]:
    """`bare_server` for this work."""
    (folder / "work.json").write_text(json.dumps(work))
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        descriptor = listener.fileno()
        command = [sys.executable, "-m", "benchmarks.bare_server", str(descriptor), str(folder / "work.json")]
        with _process(command, pass_fds=[descriptor]) as process:
            yield Server(listener.getsockname()[1], process.pid)


@contextmanager
def _process(command: list[str], **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, env={**os.environ, **SETTINGS}, **how) as process:
        try:
            yield process
        finally:
            process.terminate()


def _idle(pids: list[int]) -> None:
    """Wait until these processes have started: until a second passes in which they do next to nothing."""
    used = [0.0]

    def idle() -> bool:
        used.append(sum(map(cpu_of, pids)))
        return used[-1] - used[-2] < 0.05

    wait_until(idle, pause_s=0.5)
