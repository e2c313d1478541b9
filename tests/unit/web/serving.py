"""A real server in a thread of its own, and a client of its events: for what only shows over a socket."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.web import access, errors, events, health, logs, metrics, previews, webhooks

PATIENCE_S = 20.0


def library(folder: Path) -> Studio:
    """A new library, or the one that is there."""
    return init(folder / "studio", Settings(author="Ada"))


def wait_until(condition: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """What `condition` gives once that is something. Fails when it takes too long."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.01)
    return found


def application(studio: Studio, port: int, *, loopback: bool = True) -> FastAPI:
    """The server's application, as far as it is about events, webhooks and health."""

    async def lifespan(app: FastAPI) -> Any:
        await events.start(app)
        await webhooks.start(app)
        try:
            yield
        finally:
            await webhooks.stop(app)
            await events.stop(app)

    from contextlib import asynccontextmanager

    app = FastAPI(lifespan=asynccontextmanager(lifespan))
    app.state.studio = studio
    for router in (events.router, health.router, previews.router):
        app.include_router(router)
    errors.install(app)
    access.install(app, loopback=loopback, port=port)
    metrics.install(app)
    logs.install(app)
    return app


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        events.close(self.config.app)  # type: ignore[arg-type]  # it is the one made above
        await super().shutdown(sockets)


@dataclass
class Running:
    """A server that runs, where, and what it is made of."""

    address: str
    app: FastAPI
    server: _Server
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        """Ask for something."""
        return httpx2.get(f"{self.address}{path}", headers=headers, trust_env=False, timeout=PATIENCE_S)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function in the server's own thread."""

        async def called() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(PATIENCE_S)


@contextmanager
def serving(studio: Studio, *, loopback: bool = True, graceful_s: int = 5) -> Iterator[Running]:
    """The server of a library, until it is left."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    app = application(studio, port, loopback=loopback)
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=graceful_s)
    running = Running(f"http://127.0.0.1:{port}", app, _Server(config))
    thread = threading.Thread(target=lambda: running.loop.run_until_complete(running.server.serve([listener])))
    thread.start()
    try:
        wait_until(lambda: running.server.started or not thread.is_alive())
        assert thread.is_alive(), "it did not start"
        yield running
    finally:
        running.server.should_exit = True
        thread.join(PATIENCE_S)
        running.loop.close()
        assert not thread.is_alive(), "it did not stop"


@dataclass(frozen=True)
class Told:
    """One event, as a client understands it; `comment` is what stood beside it."""

    id: str = ""
    event: str = ""
    data: str = ""
    comment: str = ""
    retry: str = ""

    @property
    def json(self) -> Any:
        """What it holds."""
        return json.loads(self.data)


class Client:
    """A stream of events that is open; events come in pieces as the test asks for them."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def blocks(self) -> Iterator[Told]:
        """Every block there is, heartbeats too, until the stream ends."""
        found: dict[str, str] = {}
        for line in self._lines:
            name, _, value = line.partition(":")
            if line:
                found[name or "comment"] = value.removeprefix(" ")
            elif found:
                yield Told(**found)
                found = {}

    def events(self) -> Iterator[Told]:
        """Every event, without what keeps the stream alive."""
        return (block for block in self.blocks() if block.event)

    def take(self, count: int) -> list[Told]:
        """So many events."""
        found = []
        for event in self.events():
            found.append(event)
            if len(found) == count:
                break
        return found


@contextmanager
def following(running: Running, path: str = "/api/events", **headers: str) -> Iterator[Client]:
    """A client that follows; it is gone when this is left. What headers are called is written with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with (
        httpx2.Client(trust_env=False, timeout=PATIENCE_S) as client,
        client.stream("GET", f"{running.address}{path}", headers=named) as response,
    ):
        assert response.status_code == 200, response.read()
        yield Client(response)
