"""Events as they happen: `GET /api/events`, the journal as server-sent events, with live progress between its lines.

Ids are numbers of the journal: a client that gives the last one it has gets every line after it, once, however long it
was away. A stream reads its own pages while it is behind, one at a time and only when the last one was taken, so that a
slow client costs no memory, holds up nobody, and loses nothing; progress it is told as it is by then.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from intaglio.core.errors import IntaglioError, Invalid
from intaglio.core.journal import Notice
from intaglio.studio import clock
from intaglio.studio.open import Studio
from intaglio.web import previews
from intaglio.web.access import Principal, needs, principal_of
from intaglio.web.hub import PAGE, Hub, line
from intaglio.web.openapi import refusals

HEARTBEAT_S = 15.0
# A client that takes nothing for so long is cut off; it goes on from its last id when it comes back.
STALL_S = 60.0
# So often is a stream's token looked at again.
RECHECK_S = 30.0
RETRY_MS = 1000
PROGRESS = "progress"
# Nobody is at work at a task of these, unless it waits in the queue.
_ENDED = ("waiting", "done", "failed", "cancelled", "interrupted")
_HIGHEST = 2**53

router = APIRouter(tags=["events"])


async def start(app: FastAPI) -> None:
    """Begin to look for news; `app.state.hub` tells of them. Raises Damaged, Unavailable."""
    app.state.hub = Hub(app.state.studio, lambda task: previews.address(app, task))
    await app.state.hub.start()


def close(app: FastAPI) -> None:
    """End every stream. To be called as soon as the server is to stop: it waits for its streams before it ends."""
    if hasattr(app.state, "hub"):
        app.state.hub.close()


async def stop(app: FastAPI) -> None:
    """End every stream, and look for nothing any more."""
    await app.state.hub.stop()


@dataclass(frozen=True)
class Wanted:
    """What a stream is to tell: of one subject ("" = any), lines that begin with one of `what` (none = all).

    "progress" among `what` is for live progress, which is told too when `what` is empty.
    """

    subject: str = ""
    what: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The beginnings of lines; None at all, with only progress wanted, is a word that no line has."""
        return tuple(word for word in self.what if word != PROGRESS) or (("-",) if self.what else ())

    @property
    def progress(self) -> bool:
        """Whether live progress is wanted."""
        return not self.what or PROGRESS in self.what

    def has(self, notice: Notice) -> bool:
        """Whether a line is wanted."""
        words = self.words
        return self.subject in ("", notice.subject) and (not words or notice.what.startswith(words))


class Stream:
    """What one client is sent, after the line `cursor`; with a `task`, until nobody is at work at that any more."""

    def __init__(self, hub: Hub, cursor: int, wanted: Wanted, principal: Principal, task: str = "") -> None:
        self._hub = hub
        self._cursor = cursor
        self._wanted = wanted
        self._principal = principal
        self._task = task
        self._turn = 0
        self._check_at = _now() + RECHECK_S

    async def blocks(self, first: bytes = b"") -> AsyncGenerator[bytes, None]:
        """The text of the stream, in pieces."""
        # With an id from the start, who is cut off before the first line comes back to where it began.
        yield b"retry: %d\nid: %d\n\n%s" % (RETRY_MS, self._cursor, first)
        quiet = False
        while not self._hub.closing and await self._allowed():
            news = self._hub.news
            try:
                block = await self._next()
                if not block and self._task and not quiet and await self._is_over():
                    yield b"event: end\ndata: {}\n\n"
                    return
            except IntaglioError as error:
                yield _problem(error)
                return
            quiet = not block
            if block:
                yield block
            elif not await _woken(news, HEARTBEAT_S):
                # The id moves on over lines that were not wanted: they are not looked for again after a break.
                quiet = False
                yield b": still here\nid: %d\n\n" % self._cursor

    async def _next(self) -> bytes:
        """What there is to send now. Raises Damaged, Unavailable."""
        blocks = [live.block for live in self._live()] if self._wanted.progress else []
        lines = self._hub.since(self._cursor)
        if lines is None:
            blocks += await self._page()
        else:
            wanted = [each for each in lines if self._wanted.has(each.notice)]
            # No more than a page at a time, so that whoever takes them slowly holds little.
            blocks += [each.block for each in wanted[:PAGE]]
            self._cursor = wanted[PAGE - 1].notice.number if len(wanted) > PAGE else max(self._cursor, self._hub.last)
        if not blocks and self._hub.trouble is not None:
            raise self._hub.trouble
        return b"".join(blocks)

    async def _page(self) -> list[bytes]:
        """The next page of wanted lines, read by this stream itself."""
        seen = self._hub.last
        lines = await self._hub.read(
            self._hub.studio.parts.journal.list, self._cursor, PAGE, self._wanted.subject or None, self._wanted.words
        )
        last = lines[-1].number if lines else self._cursor
        # Every line up to `seen` was there before the page was read; a page that is not full left none of them out.
        self._cursor = last if len(lines) == PAGE else max(last, seen)
        return [line(each).block for each in lines]

    def _live(self) -> list[Any]:
        turn, self._turn = self._turn, self._hub.turn
        return [live for live in self._hub.live(turn) if self._wanted.subject in ("", live.id)]

    async def _is_over(self) -> bool:
        """Whether the task is at rest and every line of it was sent."""
        return await self._hub.read(_at_rest, self._hub.studio, self._task, self._cursor)

    async def _allowed(self) -> bool:
        """Whether the token that let this client in is good still; looked at every now and then."""
        if not self._principal.token_id or _now() < self._check_at:
            return True
        self._check_at = _now() + RECHECK_S
        try:
            token = await self._hub.read(self._hub.studio.parts.tokens.get, self._principal.token_id)
        except IntaglioError:
            return False
        return not token.revoked and (not token.expires or token.expires > clock.now())


class EventStream(StreamingResponse):
    """The answer that is a stream: counted while it is open, and cut off when its client takes nothing."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, blocks: AsyncIterator[bytes]) -> None:
        # Proxies (nginx) are not to gather a stream before they pass it on, nor anybody to keep it.
        super().__init__(blocks, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, until the client goes away or the stream ends."""
        self._hub.enter()
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.leave()

    async def stream_response(self, send: Send) -> None:
        """Send the stream."""

        async def sent(message: Message) -> None:
            async with asyncio.timeout(STALL_S):
                await send(message)

        with suppress(TimeoutError):
            await super().stream_response(sent)


_Words = Annotated[
    list[str],
    Query(
        max_length=50, description='What to be told: words or their beginnings ("task.", "version.made", "progress").'
    ),
]
_After = Annotated[int | None, Query(ge=0, le=_HIGHEST, description="The number of the last line that is known.")]
_LastId = Annotated[str, Header(alias="Last-Event-ID", description="The same, as browsers send it; this one counts.")]
_READERS = [Depends(needs("read"))]
_TOLD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: lines of the journal with their number as id, progress without one.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 17\nevent: task.done\ndata: {"kind":"notice","number":17,"what":"task.done",...}\n\n',
            }
        },
    },
    **refusals(401, 403, 413, 422, 429, 500, 503),
}


@router.get(
    "/api/events",
    operation_id="events",
    summary="What happens, as it happens.",
    status_code=200,
    response_class=EventStream,
    responses=_TOLD,
    dependencies=_READERS,
)
async def events(
    request: Request,
    after: _After = None,
    subject: Annotated[str, Query(max_length=300, description="Only of this task, version, workflow or job.")] = "",
    what: _Words = [],  # noqa: B006  # FastAPI copies it
    last_event_id: _LastId = "",
) -> Response:
    """Follow what happens, from the line after the last one that is known, or from now on.

    Scope: `read`.
    """
    hub: Hub = request.app.state.hub
    known = _number(last_event_id) if last_event_id else after
    return await _answer(request, hub, known, Wanted(subject, _checked(what)))


@router.get(
    "/api/tasks/{task}/events",
    operation_id="tasks_events",
    tags=["tasks"],
    summary="What happens to one task, as it happens.",
    status_code=200,
    response_class=EventStream,
    responses={**_TOLD, 204: {"description": "It is over, and Last-Event-ID was its last line."}, **refusals(404, 409)},
    dependencies=_READERS,
)
async def task_events(
    request: Request,
    task: Annotated[str, Path(max_length=200, description="The task's id.")],
    after: _After = None,
    what: _Words = [],  # noqa: B006  # FastAPI copies it
    last_event_id: _LastId = "",
) -> Response:
    """Follow one task from its beginning, until nobody is at work at it any more: then comes the event "end".

    Scope: `read`.
    """
    hub: Hub = request.app.state.hub
    id = (await hub.read(hub.studio.tasks.get, task)).id
    known = _number(last_event_id) if last_event_id else after or 0
    is_back = bool(last_event_id)
    if is_back and await hub.read(_at_rest, hub.studio, id, known):
        # To a browser that comes back on its own after the end, this says not to.
        return Response(status_code=204)
    return await _answer(request, hub, known, Wanted(id, _checked(what)), id)


async def _answer(request: Request, hub: Hub, known: int | None, wanted: Wanted, task: str = "") -> Response:
    last = await hub.read(hub.studio.parts.journal.last)
    first = b""
    if known is not None and known > last:
        # What it knows is of another library, or of this one before it was put back: it has to begin anew.
        first = b"event: reset\ndata: %s\n\n" % json.dumps({"known": known, "last": last}).encode()
        known = last
    stream = Stream(hub, last if known is None else known, wanted, principal_of(request), task)
    return EventStream(hub, stream.blocks(first))


def _at_rest(studio: Studio, task: str, cursor: int) -> bool:
    """Whether nobody is at work at a task, nor will be, and there is no line of it after `cursor`."""
    parts = studio.parts
    with parts.database.read():
        return (
            studio.tasks.get(task).status in _ENDED
            and parts.queue.get(task) is None
            and not parts.journal.list(cursor, 1, task)
        )


def _number(text: str) -> int:
    """Raises Invalid for what is no number of a line."""
    if not re.fullmatch("[0-9]{1,16}", text, re.ASCII) or int(text) > _HIGHEST:
        raise Invalid(f"Last-Event-ID {text[:40]!r} is no number", hint="Send the last id that came, or none.")
    return int(text)


def _checked(what: Sequence[str]) -> tuple[str, ...]:
    for word in what:
        if not re.fullmatch("[a-z][a-z.-]{0,98}", word):
            raise Invalid(f"no event is called {word[:60]!r}", hint="Give task., version.made, progress or such.")
    return tuple(what)


def _problem(error: IntaglioError) -> bytes:
    told = {"error": {"code": error.code, "message": str(error), "hint": error.hint}}
    return b"event: problem\ndata: %s\n\n" % json.dumps(told).encode()


async def _woken(news: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(news.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _now() -> float:
    return asyncio.get_running_loop().time()
