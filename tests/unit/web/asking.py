"""A small application behind everything the server puts in front of its own, asked without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message

from intaglio.core.errors import CannotReproduce, InvalidWorkflow, UnpinnedSeed
from intaglio.core.grade import Grade
from intaglio.studio.open import Studio
from intaglio.web import access, errors, limits
from intaglio.web.access import needs, principal_of, signer
from intaglio.web.limits import Limits
from intaglio.web.peer import Peers

PORT = 8470
LOCAL = (("host", f"127.0.0.1:{PORT}"),)
FAR = (("host", "studio.example.com"),)


class Everyone(Peers):
    """Every peer is of our own user: here is no kernel to ask."""

    def are_ours(self, client: tuple[str, int] | None, server: tuple[str, int] | None) -> bool:
        return True


@dataclass(frozen=True)
class Answer:
    """What came back; `whole` when it came to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the error it is."""
        error = self.json["error"]
        assert set(error) == {"code", "message", "hint", "facts"}, "one shape"
        return str(error["code"])


def application(
    studio: Studio,
    *,
    loopback: bool = True,
    hosts: Sequence[str] = (),
    limits_: Limits | None = None,
    peers: Peers | None = None,
) -> FastAPI:
    """The application, put together as the server's is."""
    app = FastAPI()
    app.state.studio = studio
    _routes(app)
    errors.install(app)
    limits.install(app, limits_ or Limits())
    access.install(app, loopback=loopback, port=PORT, hosts=hosts, peers=peers or Everyone())
    return app


def ask(
    app: ASGIApp,
    path: str = "/who",
    *,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = LOCAL,
    body: Sequence[bytes] = (b"",),
    stall: bool = False,
    client: tuple[str, int] | None = ("127.0.0.1", 50000),
) -> Answer:
    """The answer to one request. With `stall` the end of its body never comes."""
    return asyncio.run(asking(app, path, method=method, headers=headers, body=body, stall=stall, client=client))


async def asking(
    app: ASGIApp,
    path: str = "/who",
    *,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = LOCAL,
    body: Sequence[bytes] = (b"",),
    stall: bool = False,
    client: tuple[str, int] | None = ("127.0.0.1", 50000),
    began: asyncio.Event | None = None,
) -> Answer:
    """`ask`, from inside a loop; `began` is set when the answer begins."""
    parts, came = list(body), []
    address, _, query = path.partition("?")

    async def receive() -> Message:
        if not parts:
            await asyncio.Event().wait()
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts) or stall}

    async def send(message: Message) -> None:
        came.append(message)
        if began is not None:
            began.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": address,
        "raw_path": address.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": client,
        "server": ("127.0.0.1", PORT),
        "state": {},
    }
    try:
        await app(scope, receive, send)
    except RuntimeError:  # once it is answered, a bug goes on to whoever runs the server
        assert came
    assert [message["type"] for message in came].count("http.response.start") == 1, "exactly one answer"
    start = came[0]
    head = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    whole = len(came) > 1 and not came[-1].get("more_body", False)
    return Answer(start["status"], head, b"".join(message.get("body", b"") for message in came[1:]), whole)


def _routes(app: FastAPI) -> None:
    @app.get("/who")
    async def who(request: Request) -> dict[str, Any]:
        asks = principal_of(request)
        return {"person": asks.person, "scopes": list(asks.scopes), "how": asks.how, "token": asks.token_id}

    for scope in ("read", "run", "approve", "admin"):
        _scoped(app, scope)

    @app.post("/sign")
    async def sign(request: Request, author: str = "") -> dict[str, str]:
        return {"author": signer(principal_of(request), author)}

    for path in ("/health", "/ready", "/api/previews/{token}"):
        app.add_api_route(path, _health)

    @app.post("/body")
    async def body(value: Annotated[Any, Body()]) -> dict[str, Any]:
        return {"value": value}

    @app.post("/raw")
    async def raw(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.post("/api/uploads")
    async def upload(request: Request) -> dict[str, int]:
        return {"bytes": sum([len(part) async for part in request.stream()])}

    @app.get("/events")
    async def events(request: Request) -> StreamingResponse:
        return StreamingResponse(_events(request), media_type="text/event-stream")

    @app.get("/picture")
    async def picture() -> Response:
        return Response(b"<svg/>", media_type="image/svg+xml", headers={"Cache-Control": "immutable"})

    _failing(app)


async def _health(request: Request) -> dict[str, str | None]:
    asks = request.scope["state"]["principal"]
    return {"person": asks and asks.person}


async def _events(request: Request) -> AsyncIterator[bytes]:
    yield b"data: 1\n\n"
    await request.app.state.open.wait()


def _scoped(app: FastAPI, scope: Any) -> None:
    @app.get(f"/{scope}", dependencies=[Depends(needs(scope))])
    async def scoped(request: Request) -> dict[str, str]:
        return {"person": principal_of(request).person}


def _failing(app: FastAPI) -> None:
    @app.get("/fail/{how}")
    async def fail(how: str, limit: int = 0) -> None:
        raise {
            "seed": UnpinnedSeed(["a", "b"]),
            "workflow": InvalidWorkflow("is wrong", node="a", field="seed"),
            "grade": CannotReproduce("no", grade=Grade(grade="partial")),
            "disk": OSError(28, "No space left on device", str(Path("/secret/place"))),
            "bug": RuntimeError("the password is swordfish"),
        }[how]
