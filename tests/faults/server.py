"""`intaglio serve` as a process of its own over one library and on one port, however often it is killed and started."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
import uvicorn

from intaglio.client.connection import Connection
from intaglio.core.errors import Conflict, ServerGone, TooMany, Unavailable
from intaglio.core.image import Image
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.web.app import Config, create_app
from intaglio.web.limits import Limits
from intaglio.web.protocol import Protocol

SETTINGS = Settings(author="Ada", seeds="sequence", threads=1)
PATIENCE_S = 60.0
# Below those that the system gives to connections by itself.
_PORTS = range(20_000, 30_000)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: a process that is killed loses as little there as on a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None, ignore_cleanup_errors=True) as made:
        yield Path(made)


def picture(number: int, side: int = 8) -> bytes:
    """A small PNG, another for each number."""
    pixels = random.Random(number).randbytes(3 * side * side)
    return encode(Image("RGB", side, side, pixels))


def library(folder: Path, **grains: int) -> Studio:
    """A new library with workflows of so many nodes that draw, by their names."""
    (folder / "in.png").write_bytes(picture(0))
    studio = init(folder / "studio", SETTINGS)
    digest = studio.assets.add([folder / "in.png"])[0].digest
    for name, count in grains.items():
        nodes: dict[str, Any] = {"in": {"type": "reference-image", "params": {"image": digest}}}
        last = "in"
        for number in range(count):
            nodes[f"grain{number}"] = {"type": "film-grain", "inputs": {"image": last}, "params": {"amount": 0.5}}
            last = f"grain{number}"
        nodes["out"] = {"type": "output", "inputs": {"image": last}}
        (folder / f"{name}.json").write_text(json.dumps({"name": name, "nodes": nodes}))
        studio.workflows.add(folder / f"{name}.json")
    return studio


def until(what: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """What `what()` gives as soon as that is something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"nothing came of it in {seconds} s"
        time.sleep(0.01)
    return found


class Server:
    """A server that is started, killed, stopped and started again; its log grows in a file."""

    def __init__(self, root: Path, log: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.process: subprocess.Popen[str] | None = None
        self._command = [sys.executable, "-m", "intaglio", "serve", "--library", str(root), "--port", str(self.port)]
        self._command += ["--json", *options]
        self._environment = {**os.environ, "INTAGLIO_AUTHOR": "Ada", **(environment or {})}

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it; return when it can be reached."""
        with self.log.open("a") as said:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env=self._environment,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.process.stdout.close()
        assert line and json.loads(line)["url"] == self.url, self.log.read_text()[-3000:]

    def kill(self) -> None:
        """End it as the system does when memory is short."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def stop(self, seconds: float = PATIENCE_S) -> int:
        """Ask it to end; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def workers(self) -> list[int]:
        """The worker processes that it has now."""
        found: list[int] = []
        for thread in Path(f"/proc/{self.pid}/task").glob("*"):
            with suppress(OSError):
                found += [int(pid) for pid in (thread / "children").read_text().split()]
        return [pid for pid in found if _is_worker(pid)]

    def resident(self) -> int:
        """Bytes of memory that the process has now."""
        words = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(words[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def serving(root: Path, log: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server that runs, and is ended at the end."""
    server = Server(root, log, *options, environment=environment)
    server.start()
    try:
        yield server
    finally:
        process = server.process
        if process is not None and process.poll() is None:
            try:
                server.stop(30)
            except subprocess.TimeoutExpired:
                server.kill()


@contextmanager
def hosted(studio: Studio, limits: Limits | None = None) -> Iterator[str]:
    """The server of an open library in a thread of this process; where it is."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        app = create_app(studio, Config(port=port, limits=limits or Limits()))
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2, http=Protocol)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive())
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)


class Patient(Connection):
    """A line to a server whose requests are sent again as long as it is gone, busy, or still at the same request."""

    def insist(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None, key: str = ""
    ) -> Any:
        """What a request is answered with in the end; under a key of its own, so it is done once."""
        end, key = time.monotonic() + 120.0, key or secrets.token_hex(8)
        while True:
            try:
                return self.ask(method, path, query=query, body=body, key=key)
            except (ServerGone, TooMany, Unavailable, Conflict) as error:
                if isinstance(error, Conflict) and "still being worked on" not in str(error):
                    raise
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Crowd:
    """Threads that do something until they are told that it is enough; what goes wrong in one fails the test."""

    def __init__(self) -> None:
        self.enough = threading.Event()
        self.wrong: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def add(self, work: Callable[..., Any], *given: Any) -> None:
        """Have a thread do this."""

        def worked() -> None:
            try:
                work(*given)
            except BaseException as error:
                self.wrong.append(error)
                self.enough.set()

        thread = threading.Thread(target=worked, daemon=True)
        self._threads.append(thread)
        thread.start()

    def check(self) -> None:
        """Raise what went wrong."""
        if self.wrong:
            raise self.wrong[0]

    def join(self, seconds: float = 120.0) -> None:
        """Return when all have ended. Raises what went wrong in one of them."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
            self.check()
            assert not thread.is_alive(), "a client did not come to its end"


def _free_port() -> int:
    for _ in range(100):
        port = random.choice(_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


def _is_worker(pid: int) -> bool:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b"worker" in words and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False
