"""Who asks, and what they may: every request passes here before any route sees it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Literal

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from intaglio.core.errors import Forbidden, IntaglioError, TooMany, Unauthorized
from intaglio.core.scope import SCOPES, allows
from intaglio.core.token import Scope
from intaglio.web.bucket import Buckets
from intaglio.web.errors import error_response
from intaglio.web.origin import Headers, check_local, check_remote, is_proxied
from intaglio.web.peer import Peers

# What says nothing of the library, and is asked by what has no token.
OPEN = ("/health", "/ready")
# Addresses that prove themselves that whoever has them may look: browsers send no token with the pictures of a page.
SIGNED = "/api/previews/"
FAILURES_PER_S = 0.2
FAILURES_AT_ONCE = 10
_log = logging.getLogger("intaglio.web")


@dataclass(frozen=True)
class Principal:
    """Who asks: the person who signs, and what they may. `token_id` is "" for the local user, who needs no token."""

    person: str
    scopes: tuple[Scope, ...]
    how: Literal["local", "token"]
    token_id: str = ""


class Access:
    """ASGI: lets a request in with its `Principal`, or answers why not.

    On loopback, who sends no token is the local user: somebody of the same user of the system (or root), not a web
    page, not through a proxy. Everybody else needs a token. `peers` tells whose process is at the other end.
    """

    def __init__(
        self, app: ASGIApp, *, loopback: bool, port: int, hosts: Collection[str] = (), peers: Peers | None = None
    ) -> None:
        self._app = app
        self._loopback = loopback
        self._port = port
        self._hosts = frozenset(host.lower() for host in hosts)
        self._peers = peers or Peers()
        self._failures = Buckets(FAILURES_PER_S, FAILURES_AT_ONCE)

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # as the protocol wants it; there is none here
            await send({"type": "websocket.close", "code": 1008})
        else:
            try:
                principal = await self._let_in(scope)
            except IntaglioError as error:
                await error_response(error)(scope, receive, send)
                return
            scope.setdefault("state", {})["principal"] = principal
            await self._app(scope, receive, send)

    async def _let_in(self, scope: Connection) -> Principal | None:
        """Who asks; None where that does not matter. Raises Forbidden, Unauthorized, TooMany."""
        headers: Headers = scope["headers"]
        token, is_open = _token(headers), scope["path"] in OPEN
        if self._loopback:
            check_local(headers, self._port)
        elif not is_open or token is not None:
            check_remote(headers, self._hosts)
        if token is not None:
            return await self._identified(scope, token)
        why = self._why_not_local(scope)
        if not why:
            return Principal(scope["app"].state.studio.settings.author, SCOPES, "local")
        if not is_open and not scope["path"].startswith(SIGNED):
            raise Unauthorized(why)
        return None

    def _why_not_local(self, scope: Connection) -> str:
        """Why who sends no token is not the local user, "" when they are."""
        if not self._loopback:
            return "this server lets nobody in without a token"
        if is_proxied(scope["headers"]):
            return "what comes through a proxy needs a token"
        if not self._peers.are_ours(scope["client"], scope["server"]):
            return "without a token this server lets in nobody but the user who started it"
        return ""

    async def _identified(self, scope: Connection, token: str) -> Principal:
        try:
            grant = await run_in_threadpool(scope["app"].state.studio.tokens.identify, token)
        except Unauthorized as error:
            address = scope["client"][0] if scope["client"] else ""
            _log.warning("refused a token from %s: %s", address or "somewhere", error)
            wait_s = self._failures.take(address)
            if wait_s:
                raise TooMany("too many tokens that are not good, from this address", after_s=wait_s) from error
            raise
        return Principal(grant.person, grant.scopes, "token", grant.id)


def install(
    app: FastAPI, *, loopback: bool, port: int, hosts: Collection[str] = (), peers: Peers | None = None
) -> None:
    """Let nothing of `app` (with an open library as `app.state.studio`) be reached but through `Access`.

    Add it after `limits.install`, so that it stands before it. `loopback`: only this machine reaches the server, and no
    proxy is meant to. `port` is the one it listens on, `hosts` are the names it answers to, any when empty.
    """
    app.add_middleware(Access, loopback=loopback, port=port, hosts=hosts, peers=peers)


def principal_of(request: Request) -> Principal:
    """Who asks. Raises Unauthorized where anybody may."""
    principal: Principal | None = request.scope.get("state", {}).get("principal")
    if principal is None:
        raise Unauthorized("this needs somebody who asks")
    return principal


def require(principal: Principal, scope: Scope) -> None:
    """Raises Forbidden unless `principal` may do what takes `scope`."""
    if not allows(principal.scopes, scope):
        held = ", ".join(principal.scopes)
        raise Forbidden(
            f"this takes the scope {scope!r}, and the token has {held}",
            scope=scope,
            hint=f"Use a token with it: intaglio tokens create PERSON --scope {scope}",
        )


def needs(scope: Scope) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency of a route: whoever asks, who has to have `scope`. Raises Forbidden."""

    async def asked(request: Request) -> Principal:
        principal = principal_of(request)
        require(principal, scope)
        return principal

    return asked


def signer(principal: Principal, asked: str) -> str:
    """Who signs: the name asked for, or whoever asks. Raises Forbidden when a token is to sign as somebody else."""
    name = asked.strip() or principal.person
    if principal.how == "token" and name != principal.person:
        raise Forbidden(
            f"the token of {principal.person!r} cannot sign as {name[:80]!r}",
            hint="Leave the name out, or use a token of that person.",
        )
    return name


def _token(headers: Headers) -> str | None:
    """The token that was sent, None when nothing was. Raises Unauthorized for anything else than one."""
    found = [value for name, value in headers if name.lower() == b"authorization"]
    if not found:
        return None
    scheme, _, token = found[0].decode("latin-1").partition(" ")
    if len(found) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("this Authorization is no token")
    return token.strip()
