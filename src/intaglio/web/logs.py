"""One line for each request, an id that follows it everywhere, and its numbers: a plain ASGI middleware.

Queries never come into a line, because tokens do come in queries; routes are named by their template.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intaglio.studio.logs import about
from intaglio.web.metrics import Metrics

HEADER = b"x-request-id"
# Asked every few seconds by machines; told only when somebody wants to know everything.
_QUIET = ("/health", "/ready", "/metrics")
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# What paths name: the id of a task or job.
_SUBJECTS = ("task", "job")

# What in a path stands for a secret, by its name in the template.
_HIDDEN = ("token",)

_log = logging.getLogger("intaglio.web")


class Observed:
    """An app whose requests are counted, timed and told.

    A request's id is the X-Request-ID that came with it, if it is a plain word, else a new one; the answer has it too,
    and `scope["state"]["request_id"]`.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _Request(scope, receive, send)
        with about(request=request.id):
            try:
                await self.app(scope, request.receive, request.send)
            finally:
                self._tell(request)

    def _tell(self, request: _Request) -> None:
        ended = time.perf_counter()
        route = request.route
        self.metrics.request(request.method, route, request.status, request.seconds(ended), request.received)
        level = logging.DEBUG if route in _QUIET else logging.ERROR if request.status >= 500 else logging.INFO
        if _log.isEnabledFor(level):
            facts = {"route": route, "status": request.status, "ms": round(1000 * (ended - request.began), 1)}
            _log.log(level, "%s %s", request.method, request.path[:1000], extra={**facts, **request.subjects()})


class _Request:
    """What is known of one request, on its way in and out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self.began = time.perf_counter()
        self._answered = 0.0
        self._stream = False
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        self.id = given.decode() if _SANE.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = self.id
        self.status = 500  # unless something is answered
        self.received = 0

    async def receive(self) -> Message:
        """The next message, its bytes counted."""
        message = await self._receive()
        self.received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """Send a message; the first one also carries the request's id."""
        if message["type"] == "http.response.start":
            self.status, self._answered = message["status"], time.perf_counter()
            headers = [(name, value) for name, value in message.get("headers", ()) if name.lower() != HEADER]
            self._stream = any(value.startswith(b"text/event-stream") for name, value in headers if name == _TYPE)
            message = {**message, "headers": [*headers, (HEADER, self.id.encode())]}
        await self._send(message)

    def seconds(self, ended: float) -> float:
        """How long the answer took; of a stream, how long it took to begin."""
        return (self._answered if self._stream else ended) - self.began

    @property
    def method(self) -> str:
        """The method, as it came, as far as a line holds it."""
        return str(self._scope["method"])[:20]

    @property
    def route(self) -> str:
        """The template of the route that answered, "" when none did."""
        found = self._scope.get("route")
        return str(getattr(found, "path_format", None) or getattr(found, "path", ""))

    @property
    def path(self) -> str:
        """The path, without the query, and without what in it stands for a secret."""
        path = str(self._scope["path"])
        for name, value in self._scope.get("path_params", {}).items():
            if name in _HIDDEN:
                path = path.replace(str(value), "[hidden]")
        return path

    def subjects(self) -> dict[str, Any]:
        """The task or job that the path names, and the person who asked."""
        named = self._scope.get("path_params", {})
        found = {name: str(named[name]) for name in _SUBJECTS if named.get(name)}
        person = getattr(self._scope.get("state", {}).get("principal"), "person", "")
        return {**found, "person": person} if person else found


_TYPE = b"content-type"


def install(app: FastAPI) -> None:
    """Watch every request of `app`. Add it last, so that it stands before everything else, and after the metrics."""
    app.add_middleware(Observed, metrics=app.state.metrics)
