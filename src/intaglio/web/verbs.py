"""The routes of the table: each reads its arguments, makes one call of a noun, and words the answer."""

from __future__ import annotations

import asyncio
import inspect
import json
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from intaglio.api.routes import BY_VERB, SAID, TOLD, Route
from intaglio.core.errors import Invalid
from intaglio.core.scope import allows
from intaglio.core.wire import from_wire, to_wire
from intaglio.studio import uploads
from intaglio.studio.journal import MOST
from intaglio.studio.open import Studio
from intaglio.web import previews
from intaglio.web.access import Principal, principal_of, require, signer
from intaglio.web.answers import answer
from intaglio.web.arguments import arguments
from intaglio.web.downloads import zipped
from intaglio.web.idempotency import Given, once
from intaglio.web.reading import read_json

# The longest that one request waits; who wants to wait longer asks again.
LONGEST_WAIT_S = 60.0
WAIT_PAUSE_S = 0.1
LONGEST_SAID = 8 * 1024
# What a call gives beside the files it writes.
RESULT = "result.json"
Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(route: Route) -> Endpoint:
    """What answers requests for a verb."""

    async def answered(request: Request) -> Response:
        principal = principal_of(request)
        require(principal, route.scope)
        body = await request.body() if route.method != "GET" else b""
        if route.name == "wait":
            return await _waited(route, request, principal)
        writers: CapacityLimiter | None = request.app.state.writers if route.scope != "read" else None
        return await to_thread.run_sync(_respond, route, request, principal, body, limiter=writers)

    answered.__name__ = route.verb.replace(".", "_")
    return answered


def _respond(route: Route, request: Request, principal: Principal, body: bytes) -> Response:
    given = arguments(route, request.path_params, request.query_params, _json(request, body))

    def called(answered: Given) -> Response:
        return _called(route, request, principal, given, answered)

    if route.method != "POST":
        return called(lambda response: None)
    return once(request, principal, body, called, shown_once=route.shown_once, whole=route.whole)


def _called(route: Route, request: Request, principal: Principal, given: dict[str, Any], answered: Given) -> Response:
    studio = signed(request, principal).telling(lambda made: answered(answer(route, made, request, None)))
    if "author" in route.parameters:
        given["author"] = signer(principal, given.get("author", ""))
    if "limit" in route.parameters:
        _check_page(given.setdefault("limit", route.parameters["limit"].default))
    if route.verb == "jobs.retry":
        # What is begun again is what its verb does, and takes the same.
        again = BY_VERB.get(studio.jobs.get(given["reference"]).verb)
        require(principal, again.scope if again else "admin")
    if route.work:
        # Uploads are resolved by the worker: what is queued names no path of this machine.
        plain = {name: to_wire(value) for name, value in given.items()}
        return answer(route, studio.jobs.submit(route.verb, plain), request, None)
    given = {name: _resolved(studio, route, name, value) for name, value in given.items()}
    said: list[Any] = []
    given |= {name: _saying(name, said) for name in TOLD & inspect.signature(route.function).parameters.keys()}
    response = _done(route, request, studio, given)
    if said:
        response.headers[SAID] = json.dumps(said)
    return response


def _check_page(limit: int) -> None:
    """Raises Invalid for a page that has no lines, or a whole library."""
    if not 1 <= limit <= MOST:
        raise Invalid(f"a page of {limit} lines", hint=f"Ask for 1 to {MOST}.")


def _resolved(studio: Studio, route: Route, name: str, value: Any) -> Any:
    """An argument with files in the place of uploads, of the type that the verb declares."""
    found = uploads.resolved(studio.parts, value)
    return value if found == value else from_wire(route.parameters[name].hint, to_wire(found))


def _saying(name: str, said: list[Any]) -> Callable[..., None]:
    """A callback whose calls go with the answer, as far as a header can hold them."""

    def say(*words: Any) -> None:
        call = [name, *map(to_wire, words)]
        if len(json.dumps([*said, call])) <= LONGEST_SAID:
            said.append(call)

    return say


def _done(route: Route, request: Request, studio: Studio, given: dict[str, Any]) -> Response:
    wants_files = "to" in route.aside and "application/zip" in request.headers.get("accept", "")
    if route.folder or wants_files:
        return _files(route, studio, given)
    return answer(route, previews.addressed(request.app, call(studio, route, given)), request, given.get("limit"))


async def _waited(route: Route, request: Request, principal: Principal) -> Response:
    """The answer of a verb that waits, without a thread that does: any number of clients may wait."""
    given = arguments(route, request.path_params, request.query_params, {})
    end = time.monotonic() + min(given.pop("timeout", LONGEST_WAIT_S), LONGEST_WAIT_S)
    studio = signed(request, principal)
    while True:
        found, is_over = await run_in_threadpool(_looked, studio, route, given)
        left = end - time.monotonic()
        if is_over or left <= 0 or await request.is_disconnected():
            return answer(route, found, request, None)
        await asyncio.sleep(min(left, WAIT_PAUSE_S))


def _looked(studio: Studio, route: Route, given: Mapping[str, Any]) -> tuple[Any, bool]:
    """A task or job as it is, and whether nothing happens to it unless somebody wants that."""
    found = call(studio, route, {**given, "timeout": 0.0})
    is_left = found.status == "interrupted" and not studio.parts.queue.has(found.id)
    return found, is_left or found.status not in ("queued", "running", "interrupted")


def call(studio: Studio, route: Route, given: Mapping[str, Any]) -> Any:
    """What the noun's method gives for these arguments."""
    named = dict(given)
    several = named.pop(route.spread, ()) if route.spread else ()
    return getattr(getattr(studio, route.noun), route.name)(*several, **named)


def signed(request: Request, principal: Principal) -> Studio:
    """The studio as whoever asks has it: what is made is signed with their name."""
    studio: Studio = request.app.state.studio
    return studio.signed_by(principal.person, decides=allows(principal.scopes, "approve"))


def _json(request: Request, body: bytes) -> Any:
    if not body:
        return {}
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Invalid(f"the body is {kind[:80]}, and JSON is wanted", hint="Send Content-Type: application/json.")
    return read_json(body)


def _relative(value: Any, folder: str) -> Any:
    """A result with the paths of what was written as they are in the zip."""
    if isinstance(value, dict):
        return {name: _relative(item, folder) for name, item in value.items()}
    if isinstance(value, list):
        return [_relative(item, folder) for item in value]
    return value.removeprefix(folder) if isinstance(value, str) else value


def _files(route: Route, studio: Studio, given: dict[str, Any]) -> Response:
    """The files that a verb writes, in one zip; they lie in the library's own uploads folder meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix="out-", dir=uploads.folder(studio.parts)))
    try:
        result = call(studio, route, {**given, route.folder or "to": folder})
        if not route.folder:
            said = _relative(to_wire(result), f"{folder}/")
            (folder / RESULT).write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
    except BaseException:  # nothing of what was not sent stays
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return zipped(folder, name=f"{route.noun}-{route.name}.zip", first=result if route.folder else ())
