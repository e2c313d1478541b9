"""Running the server: the socket, the workers beside it, and an end that leaves nothing half done."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import uvicorn
from fastapi import FastAPI

from intaglio.core.errors import Invalid, Unavailable
from intaglio.studio.logs import Style
from intaglio.studio.open import Studio
from intaglio.web import events
from intaglio.web.app import Config, create_app
from intaglio.web.protocol import Protocol
from intaglio.worker.supervisor import Supervisor

# Requests that are still answered when the server is to stop get so long.
LAST_ANSWERS_S = 5
# The longest request line and headers; bodies have limits of their own.
LONGEST_HEAD = 32 * 1024


@dataclass(frozen=True)
class Serving:
    """How a server runs: `workers` processes of its own (0: somebody else runs them), and how long they get at the end
    to finish what they are at, in seconds, before it goes back into the queue. `log`: how workers tell what they do."""

    config: Config
    workers: int = 1
    grace: float = 10.0
    log: Style = "text"


class _Server(uvicorn.Server):
    """uvicorn's, which would otherwise wait for event streams that never end."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._streams = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        events.close(self._streams)
        await super().shutdown(sockets)


def serve(studio: Studio, serving: Serving, *, ready: Callable[[str], None]) -> None:
    """Serve a library until SIGINT or SIGTERM; `ready(url)` is called once it can be reached.

    Raises Invalid (no token where one is needed), Unavailable (the port is taken).
    """
    config = serving.config
    if not config.is_loopback and not studio.tokens.list():
        raise Invalid(
            f"{config.host} can be reached from elsewhere, and this library has no tokens",
            hint="Make one first: intaglio tokens create NAME --scope admin",
        )
    listener = _listening(config)
    config = replace(config, port=listener.getsockname()[1])
    options = ("--log", serving.log)
    supervisor = Supervisor(studio.root, workers=serving.workers, options=options) if serving.workers else None
    app = create_app(studio, config, supervisor)
    server = _Server(
        app,
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            http=Protocol,
            h11_max_incomplete_event_size=LONGEST_HEAD,
            timeout_graceful_shutdown=LAST_ANSWERS_S,
            timeout_keep_alive=30,
        ),
    )
    if supervisor is not None:
        supervisor.start()
    # uvicorn sends itself the signal again that ended it; what is done after that must not end with it.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        ready(_url(config))
        with suppress(KeyboardInterrupt):  # uvicorn has stopped by then, and says it again
            server.run(sockets=[listener])
    finally:
        listener.close()
        if supervisor is not None:
            supervisor.stop(serving.grace)


def _listening(config: Config) -> socket.socket:
    try:
        found: list[Any] = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise Invalid(f"{config.host!r} is no address of this machine", hint="Give --host 127.0.0.1.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise Unavailable(f"{config.host} port {config.port}: {reason}", hint="Choose another: --port N.") from error
    return listener


def _url(config: Config) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{config.port}"
