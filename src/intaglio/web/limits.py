"""What a server takes at most: of one request, and of one person."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intaglio.core.errors import IntaglioError, TooLarge, TooMany, TooSlow
from intaglio.web.access import OPEN, Principal
from intaglio.web.bucket import Buckets
from intaglio.web.errors import answer, error_response
from intaglio.web.headers import SecureHeaders

MIB = 2**20
# Requests whose body is a file.
UPLOADS = re.compile(r"POST /api/uploads|POST /api/assets|PUT /api/assets/[^/]+")


@dataclass(frozen=True)
class Limits:
    """What a server takes at most.

    Bytes of a body (`body`), of one that is an upload (`upload`), and of all headers and the address (`headers`); how
    many headers there are (`lines`). Pixels of a picture, entries of the queue. Of one person with a token: requests a
    second (`rate`, 0 for any number) and at once beyond that (`burst`), requests being answered (`connections`); of
    anybody: streams of events (`streams`). Seconds without a byte of a body (`idle_s`) and until it is whole, uploads
    aside (`body_s`).
    """

    body: int = 8 * MIB
    upload: int = 16 * 1024 * MIB
    headers: int = 16 * 1024
    lines: int = 100
    pixels: int = 100_000_000
    queue: int = 10_000
    rate: float = 100.0
    burst: int = 400
    connections: int = 100
    streams: int = 32
    idle_s: float = 30.0
    body_s: float = 120.0


def install(app: FastAPI, limits: Limits) -> None:
    """Hold `app` to its limits, and give every answer its headers.

    Add it before `access.install`, so that it stands behind it and knows who asks.
    """
    app.add_middleware(Bodies, limits=limits)
    app.add_middleware(Pace, limits=limits)
    app.add_middleware(SecureHeaders)


class Bodies:
    """ASGI: refuses headers and bodies that are too large or too slow, whoever reads them."""

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}:
            # A proxy before us may see the end of this request, and the beginning of the next, somewhere else.
            wrong = answer(400, "invalid", "a body with two lengths", "Send one.", headers={"Connection": "close"})
            await wrong(scope, receive, send)
            return
        is_upload = UPLOADS.fullmatch(f"{scope['method']} {scope['path']}") is not None
        body = _Body(self._limits, is_upload, receive, send)
        try:
            body.check(scope)
            await self._app(scope, body.receive, body.send)
        except Exception:  # whatever the application made of the refusal it met while it read
            if body.refusal is None or body.answered:
                raise
        if body.refusal is not None and not body.answered:
            # What is left of the body is not read: the connection cannot be used again.
            await error_response(body.refusal, {"Connection": "close"})(scope, receive, send)


class _Body:
    """The body of one request, as far as it came.

    Whoever reads it may make something else of the error, as FastAPI does; so it is kept, and once there is one nothing
    else is answered.
    """

    def __init__(self, limits: Limits, upload: bool, receive: Receive, send: Send) -> None:
        self.refusal: IntaglioError | None = None
        self.answered = False
        self._limits = limits
        self._most = limits.upload if upload else limits.body
        self._ends = None if upload else time.monotonic() + limits.body_s
        self._receive, self._send = receive, send
        self._got = 0
        self._whole = False

    def check(self, scope: Scope) -> None:
        """Raises TooLarge for what its headers alone show to be too large."""
        headers = scope["headers"]
        size = sum(len(name) + len(value) for name, value in headers)
        size += len(scope["method"]) + len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if size > self._limits.headers or len(headers) > self._limits.lines:
            self._refuse(TooLarge("the address and headers are too long", limit=self._limits.headers))
        for name, value in headers:
            if name.lower() == b"content-length" and value.isdigit() and int(value[:20]) > self._most:
                self._refuse(self._too_large())

    async def receive(self) -> Message:
        """The next part. Raises TooLarge, TooSlow."""
        if self.refusal is not None:
            raise self.refusal
        if self._whole:  # only a goodbye can come, and may take its time
            return await self._receive()
        wait_s = self._limits.idle_s
        if self._ends is not None:
            wait_s = min(wait_s, self._ends - time.monotonic())
        try:
            async with asyncio.timeout(wait_s):
                message = await self._receive()
        except TimeoutError:
            self._refuse(TooSlow("the body came too slowly"))
        self._got += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._got > self._most:
            self._refuse(self._too_large())
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on, unless the body was refused."""
        if self.refusal is None or self.answered:
            self.answered = True
            await self._send(message)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"a body of more than {self._most} bytes", limit=self._most, hint="Send less at a time.")

    def _refuse(self, error: IntaglioError) -> None:
        self.refusal = error
        raise error


class Pace:
    """ASGI: refuses what one person asks too often, or too much of at a time.

    The local user may ask as often as they like: it is their own machine.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._rate = Buckets(limits.rate, limits.burst)
        self._open: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        name, is_local = _asking(scope)
        answered = False
        streaming = False
        refusal: TooMany | None = None

        async def sending(message: Message) -> None:
            nonlocal answered, streaming, refusal
            if message["type"] == "http.response.start" and _is_stream(message):
                try:
                    _more(self._streams, name, self._limits.streams, "streams of events at a time")
                except TooMany as error:  # on its way out it may become another error
                    refusal = error
                    raise
                streaming = True
            answered = True
            await send(message)

        try:
            with self._counted(name, is_local):
                await self._app(scope, receive, sending)
        except Exception as error:  # as above: what was refused in the middle may come back as anything
            told = error if isinstance(error, TooMany) else refusal
            if answered or told is None:
                raise
            await error_response(told)(scope, receive, send)
        finally:
            if streaming:
                _fewer(self._streams, name)

    @contextmanager
    def _counted(self, name: str, is_local: bool) -> Iterator[None]:
        """A request that is being answered. Raises TooMany."""
        if is_local:
            yield
            return
        wait_s = self._rate.take(name)
        if wait_s:
            raise TooMany(f"more than {self._limits.rate:g} requests a second", after_s=wait_s)
        _more(self._open, name, self._limits.connections, "requests at a time")
        try:
            yield
        finally:
            _fewer(self._open, name)


def _asking(scope: Scope) -> tuple[str, bool]:
    """Who asks, by a name for their limits, and whether it is the local user."""
    principal: Principal | None = scope.get("state", {}).get("principal")
    if principal is not None:
        return f"{principal.how} {principal.person}", principal.how == "local"
    return f"address {scope['client'][0] if scope['client'] else ''}", False


def _is_stream(message: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in message["headers"]
    )


def _more(counts: Counter[str], name: str, most: int, what: str) -> None:
    if counts[name] >= most:
        raise TooMany(f"more than {most} {what}")
    counts[name] += 1


def _fewer(counts: Counter[str], name: str) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]
