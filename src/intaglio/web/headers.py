"""Headers that every answer carries, so that no browser takes it for more than it is."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_DATA = "default-src 'none'; frame-ancestors 'none'"
# What people put in: a picture or page among it may be looked at, but nothing in it runs as if it were ours.
_FILES = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


def secure(headers: MutableHeaders) -> None:
    """Add what an answer lacks; what its route said stays (as when it may be cached)."""
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    kind = headers.get("content-type", "application/json").partition(";")[0]
    headers.setdefault(
        "Content-Security-Policy", _DATA if kind in ("application/json", "text/event-stream") else _FILES
    )


class SecureHeaders:
    """ASGI: `secure` for every answer of the app inside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                secure(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, sending)
