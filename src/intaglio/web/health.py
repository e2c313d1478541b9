"""Whether the server lives, whether it is of use, and its numbers: for whatever looks after it."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from intaglio.core.errors import IntaglioError, Unauthorized
from intaglio.studio.parts import Parts
from intaglio.web.access import needs, principal_of
from intaglio.web.openapi import refusals

DATABASE_S = 1.0
# Below it, runs would soon fail half-way.
LEAST_FREE = 100 * 2**20
# What is asked by anybody is looked up no more often than this.
FRESH_S = 1.0

router = APIRouter(tags=["server"])
_log = logging.getLogger("intaglio.web")


def _told(**more: Any) -> dict[str, Any]:
    """What the document says of an answer with a status."""
    words = {"status": {"type": "string", "description": "How it is, in a word."}, **more}
    return {"application/json": {"schema": {"type": "object", "required": ["status"], "properties": words}}}


_REFUSED = refusals(401, 403, 413, 429)
_NUMBERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The numbers.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    **_REFUSED,
    **refusals(500, 503),
}
_LIVES: dict[int | str, dict[str, Any]] = {200: {"description": "It lives.", "content": _told()}, **_REFUSED}
_READY: dict[int | str, dict[str, Any]] = {
    200: {"description": "It is of use.", "content": _told()},
    503: {
        "description": "Not of use now; the reasons are told to the local user and to who holds a token.",
        "content": _told(reasons={"type": "array", "description": "Why not.", "items": {"type": "string"}}),
    },
    **_REFUSED,
}


@router.get(
    "/health", operation_id="health", summary="Whether the server lives.", response_model=None, responses=_LIVES
)
async def health() -> dict[str, str]:
    """The process lives and answers. Needs no token."""
    return {"status": "ok"}


@router.get(
    "/ready", operation_id="ready", summary="Whether the server is of use.", response_model=None, responses=_READY
)
async def ready(request: Request) -> Response:
    """Whether work can be taken in and carried out: the database answers, the disk has space, the worker lives."""
    reasons = await _reasons(request.app)
    body: dict[str, Any] = {"status": "not ready" if reasons else "ready"}
    if reasons and _is_known(request):
        body["reasons"] = reasons
    return JSONResponse(body, status_code=503 if reasons else 200, headers={"Cache-Control": "no-store"})


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="The server's numbers.",
    responses=_NUMBERS,
    response_class=Response,
)
async def metrics(request: Request, _: Annotated[object, Depends(needs("read"))]) -> Response:
    """The server's numbers, in the format of Prometheus.

    Scope: `read`.
    """
    written = await to_thread.run_sync(request.app.state.metrics.written)
    return Response(written, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _reasons(app: FastAPI) -> list[str]:
    """Why the server is of no use now; looked up once for all who ask at about the same time."""
    now = asyncio.get_running_loop().time()
    looking: tuple[float, asyncio.Task[list[str]]] | None = getattr(app.state, "readiness", None)
    if looking is None or (looking[1].done() and now - looking[0] > FRESH_S):
        before = looking[1].result() if looking else []
        looking = app.state.readiness = (now, asyncio.create_task(_look(app)))
        reasons = await asyncio.shield(looking[1])
        if reasons != before:
            _log.warning("not ready: %s", "; ".join(reasons)) if reasons else _log.info("ready again")
        return reasons
    return await asyncio.shield(looking[1])


async def _look(app: FastAPI) -> list[str]:
    state = app.state
    supervisor = getattr(state, "supervisor", None)
    reasons = [await _database(state.studio), _disk(str(state.studio.root))]
    if supervisor is not None and not supervisor.alive:
        reasons.append("the worker is not running")
    return [reason for reason in reasons if reason]


async def _database(studio: Any) -> str:
    try:
        async with asyncio.timeout(DATABASE_S):
            # A thread that waits for a stuck disk is left behind; the next look waits for this one no more.
            await to_thread.run_sync(_try, studio.parts, abandon_on_cancel=True)
    except TimeoutError:
        return f"the database does not answer within {DATABASE_S:g} s"
    except IntaglioError as error:
        return f"the database does not answer: {error}"
    return ""


def _try(parts: Parts) -> None:
    """Read, and be let in to write. Raises Unavailable, StorageFailed, Damaged."""
    parts.journal.last()
    with parts.database.write():
        pass


def _disk(folder: str) -> str:
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return f"the library's folder cannot be read: {error.strerror}"
    free = found.f_bavail * found.f_frsize
    if free < LEAST_FREE:
        return f"the disk has {free // 2**20} MiB left"
    return "the disk has no room for more files" if found.f_files and not found.f_favail else ""


def _is_known(request: Request) -> bool:
    try:
        principal_of(request)
    except Unauthorized:
        return False
    return True
