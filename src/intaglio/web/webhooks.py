"""Telling webhooks: each is sent its lines of the journal in order, signed, until it took them.

How far each has been told is a record, written after every line that was taken: whatever kills the server, a webhook
gets every line, and the one that was on its way perhaps twice. One that refuses is tried again later and later, and
paused after a day; it never holds up another.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI

from intaglio.core.canonical import canonical
from intaglio.core.errors import IntaglioError, NotFound, Unavailable
from intaglio.core.journal import Notice
from intaglio.core.record import plain
from intaglio.core.webhook import Webhook
from intaglio.store.lock import TaskLock
from intaglio.studio import clock
from intaglio.studio.webhooks import to_tell
from intaglio.web.hub import Hub

T = TypeVar("T")

TIMEOUT_S = 10.0
# Seconds until one that refused is tried again, by how often it did; then the last, again and again.
BACK_OFF_S = (1, 5, 30, 120, 600, 1800, 3600)
GIVE_UP_S = 24 * 3600.0
MOST_READ = 64 * 1024
PAGE = 50
# How many lines nobody was to be told may pass until that is written down.
SKIPPED = 1000
TICK_S = 0.5
AFTER_FAILURE_S = 5.0
# What is on its way when the server stops may still arrive.
STOP_S = 2.0
LOCK = "webhooks.lock"

_log = logging.getLogger("intaglio.webhooks")


async def start(app: FastAPI) -> None:
    """Begin to tell webhooks; `app.state.teller` does."""
    app.state.teller = Teller(app.state.hub)
    app.state.teller.start()


async def stop(app: FastAPI) -> None:
    """Tell nobody any more; what was on its way and not taken is sent again next time."""
    await app.state.teller.stop()


class Teller:
    """Tells the webhooks of one library. `now` is the time in seconds since 1970."""

    def __init__(self, hub: Hub, *, now: Callable[[], float] = time.time) -> None:
        self._hub = hub
        self._parts = hub.studio.parts
        self._now = now
        self._client = httpx2.AsyncClient(follow_redirects=False, trust_env=False, timeout=TIMEOUT_S)
        # Not those of the streams: a write waits for other writers, and streams are not to wait with it.
        self._threads = CapacityLimiter(4)
        self._looked: dict[str, int] = {}
        self._telling: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self.taken: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="webhooks")

    async def stop(self) -> None:
        """End; what is on its way gets a moment to arrive."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        if self._telling:
            await asyncio.wait(self._telling.values(), timeout=STOP_S)
        for task in self._telling.values():
            task.cancel()
        await asyncio.gather(*self._telling.values(), return_exceptions=True)
        await self._client.aclose()

    async def _run(self) -> None:
        """Be the one who tells, as long as no other server of this library is."""
        lock = None
        try:
            while lock is None and not self._stopping.is_set():
                try:
                    lock = TaskLock.hold(self._parts.root / "locks" / LOCK, timeout_s=0)
                except Unavailable:  # another has it, or nothing can be written here
                    await self._pause(AFTER_FAILURE_S)
            while not self._stopping.is_set():
                news = self._hub.news
                await self._pause(await self._begin(), news)
        finally:
            if lock is not None:
                lock.release()

    async def _pause(self, seconds: float, news: asyncio.Event | None = None) -> None:
        """Wait until there is news or the server stops, or so long."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._stopping, news) if event is not None]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _begin(self) -> float:
        """Begin with each webhook that is due; how long to wait then."""
        self._telling = {id: task for id, task in self._telling.items() if not task.done()}
        try:
            hooks = await self._do(self._parts.webhooks.list)
        except IntaglioError as error:
            _log.error("the webhooks cannot be read: %s", error)
            return AFTER_FAILURE_S
        now = clock.written_timestamp(self._now())
        for hook in hooks:
            behind = max(hook.delivered, self._looked.get(hook.id, 0)) < self._hub.last
            if behind and hook.id not in self._telling and not hook.paused and hook.again_at <= now:
                self._telling[hook.id] = asyncio.create_task(self._tell(hook), name=hook.id)
        return TICK_S

    async def _tell(self, hook: Webhook) -> None:
        """Send a webhook what waits for it, until there is no more or it refuses."""
        try:
            after = max(hook.delivered, self._looked.get(hook.id, 0))
            while not self._stopping.is_set():
                lines, looked = await self._do(to_tell, self._parts, hook, after, PAGE)
                for line in lines:
                    if not await self._sent(hook, line):
                        return
                if looked - max([hook.delivered, *(line.number for line in lines[-1:])]) >= SKIPPED:
                    hook = await self._keep(hook, delivered=looked)
                self._looked[hook.id] = looked
                if looked == after or looked >= self._hub.last:
                    return
                after = looked
        except NotFound:
            return  # it was removed meanwhile
        except IntaglioError as error:
            _log.error("the webhook cannot be told: %s", error, extra={"webhook": hook.id})
            await self._pause(AFTER_FAILURE_S)
        except Exception:  # a fault of ours with one webhook must not silence the others
            _log.exception("telling the webhook failed", extra={"webhook": hook.id})
            await self._pause(AFTER_FAILURE_S)

    async def _sent(self, hook: Webhook, line: Notice) -> bool:
        """Send one line, and write down whether it was taken. Raises NotFound when the webhook is gone."""
        current = await self._do(self._parts.webhooks.get, hook.id)
        if current.paused or self._stopping.is_set():
            return False
        refusal = await self._refusal(current, line)
        if not refusal:
            self.taken[hook.id] += 1
            await self._keep(hook, delivered=line.number, failures=0, failing_since="", again_at="")
            return True
        self.refused[hook.id] += 1
        await self._refused(current, line, refusal)
        return False

    async def _refused(self, hook: Webhook, line: Notice, refusal: str) -> None:
        now = self._now()
        since = hook.failing_since or clock.written_timestamp(now)
        wait = BACK_OFF_S[min(hook.failures, len(BACK_OFF_S) - 1)]
        again = {
            "failures": hook.failures + 1,
            "failing_since": since,
            "again_at": clock.written_timestamp(now + wait),
        }
        if now - datetime.fromisoformat(since).timestamp() >= GIVE_UP_S:
            again |= {"paused": f"since {since} it took nothing: {refusal}", "again_at": ""}
        await self._keep(hook, **again)
        what = "is paused" if again.get("paused") else f"is tried again in {wait} s"
        place = urlsplit(hook.address).hostname  # no more of it: some addresses are secrets
        _log.warning(
            "%s did not take line %d: %s; it %s", place, line.number, refusal, what, extra={"webhook": hook.id}
        )

    async def _keep(self, hook: Webhook, **changes: object) -> Webhook:
        return await self._do(self._parts.webhooks.change, hook.id, **changes)

    async def _do(self, function: Callable[..., T], *arguments: object, **named: object) -> T:
        """What blocks, off the event loop."""
        return await to_thread.run_sync(partial(function, *arguments, **named), limiter=self._threads)

    async def _refusal(self, hook: Webhook, line: Notice) -> str:
        """Send one line; why it was not taken, "" when it was."""
        body = canonical({"library": self._parts.root.parent.name, "notice": plain(line)})
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "intaglio",
            "Intaglio-Event": line.what,
            "Intaglio-Delivery": str(line.number),
            "Intaglio-Signature": signature(hook.secret, int(self._now()), body),
        }
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async with self._client.stream("POST", hook.address, content=body, headers=headers) as response:
                    await _read_some(response)
        except TimeoutError:
            return f"no answer within {TIMEOUT_S:.0f} s"
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            return f"no answer ({type(error).__name__}: {error})"[:300]
        if response.is_success:
            return ""
        why = ", and redirects are not followed" if response.is_redirect else ""
        return f"it answered {response.status_code}{why}"


async def _read_some(response: httpx2.Response) -> None:
    """Read what is answered, so that the connection can be used again; but never more than a little."""
    read = 0
    with suppress(httpx2.DecodingError):
        async for chunk in response.aiter_raw():
            read += len(chunk)
            if read > MOST_READ:
                return


def signature(secret: str, stamp: int, body: bytes) -> str:
    """What a webhook knows the server by: the time, and HMAC-SHA256 over time and body with the secret they share."""
    made = hmac.new(secret.encode(), b"%d." % stamp + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={made}"
