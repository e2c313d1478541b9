"""HTTP as it comes in: what is none is answered in our shape, and heads that never end are not waited for, nor who does
not take what is sent."""

from __future__ import annotations

import asyncio
import sys
from http import HTTPStatus

import h11
from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from intaglio.web.errors import answer

# Until a request's line and headers are whole, in seconds.
HEAD_S = 20.0
# A client gets so many seconds to take some of what waits for it, about 100 KiB; else it is cut off.
STALL_S = 120.0
_SAID = {
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: ("too_large", "the address and headers are too long"),
    HTTPStatus.NOT_IMPLEMENTED: ("invalid", "this server takes no such Transfer-Encoding"),
    HTTPStatus.REQUEST_TIMEOUT: ("too_slow", "the request's headers came too slowly"),
}
_WRONG = ("invalid", "this is no HTTP request")


class Protocol(H11Protocol):
    """One connection."""

    _late: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._unset()
        self._taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for the client to take some of what was sent."""
        super().pause_writing()
        self._taken()
        self._stalled = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Send on."""
        self._taken()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._unset()
        elif self._late is None and not self.transport.is_closing():
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, if nothing else was answered yet, and end the connection: where the next request
        begins, nobody knows."""
        error = sys.exception()
        self._refuse(HTTPStatus(getattr(error, "error_status_hint", HTTPStatus.BAD_REQUEST)))

    def _wait(self) -> None:
        self._late = self.loop.call_later(HEAD_S, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def _unset(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _taken(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _refuse(self, status: HTTPStatus) -> None:
        self._unset()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # what it may still say is not for this client
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._say(answer(status, *_SAID.get(status, _WRONG), headers={"Connection": "close"}))
        self.transport.close()

    def _say(self, response: Response) -> None:
        reason = HTTPStatus(response.status_code).phrase.encode()
        start = h11.Response(status_code=response.status_code, headers=response.raw_headers, reason=reason)
        for event in (start, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
