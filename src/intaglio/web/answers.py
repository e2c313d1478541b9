"""From what a verb gave to the answer: one shape for items, pages, jobs and files."""

from __future__ import annotations

import re
import typing
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from intaglio.api.routes import BY_VERB, Route
from intaglio.core.wire import json_text, wire_text
from intaglio.studio.files import UPLOAD
from intaglio.studio.uploads import FOLDER

# Verbs that show calls of other people. What somebody brought is known by a name that nobody else is to learn.
SHOW_JOBS = frozenset(verb for verb in BY_VERB if verb.startswith("jobs.") or verb == "tasks.queue")
_KEY = re.compile(UPLOAD + "[0-9a-f]{32}/")


class Json(Response):
    """An answer in JSON: a text that is JSON already, or what was made plain before."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The JSON text, in UTF-8."""
        return (content if isinstance(content, str) else json_text(content)).encode()


def answer(route: Route, result: Any, request: Request, limit: int | None) -> Response:
    """The answer to a request for a verb that gave `result`; `limit` is the size of the page that was asked for."""
    text = _text(route, result).replace(json_text(_place(request))[1:-1], UPLOAD)
    if route.verb in SHOW_JOBS and not _may_know(request, result):
        text = _KEY.sub(f"{UPLOAD}.../", text)
    if route.work:
        return Json(text, status_code=route.status, headers={"Location": f"/api/jobs/{result.id}"})
    if not text.startswith("["):
        return Json(text, status_code=route.status)
    if route.cursor is None or limit is None or len(result) < limit or not result:
        return Json(f'{{"items":{text},"next":null}}', status_code=route.status)
    last = result[-1]
    before = last[route.names.index(route.cursor)] if route.names else getattr(last, route.cursor)
    query = urlencode([*((k, v) for k, v in request.query_params.multi_items() if k != "before"), ("before", before)])
    link = f'<{request.url.path}?{query}>; rel="next"'
    return Json(f'{{"items":{text},"next":{json_text(before)}}}', status_code=route.status, headers={"Link": link})


def _may_know(request: Request, result: Any) -> bool:
    """Whether who asks may learn the names of what was brought for a job: its author, and who may do everything."""
    principal = request.state.principal  # as `access` put it there
    return "admin" in principal.scopes or getattr(result, "author", None) == principal.person


def _text(route: Route, result: Any) -> str:
    """A result as JSON, with the members of its tuples named."""
    if not route.names:
        return wire_text(result)
    if typing.get_origin(route.result) is list:
        return f"[{','.join(_named(route, item) for item in result)}]"
    return _named(route, result)


def uploads_named(request: Request, value: Any) -> Any:
    """JSON values with what was uploaded named as it was given, and not by its place on this machine."""
    return _replaced(value, _place(request))


def _place(request: Request) -> str:
    return f"{request.app.state.studio.root / FOLDER}/"


def _replaced(value: Any, place: str) -> Any:
    if isinstance(value, str):
        return value.replace(place, UPLOAD) if place in value else value
    if isinstance(value, dict):
        return {name: _replaced(item, place) for name, item in value.items()}
    return [_replaced(item, place) for item in value] if isinstance(value, list) else value


def _named(route: Route, item: Any) -> str:
    members = ",".join([f'"{name}":{wire_text(member)}' for name, member in zip(route.names, item, strict=True)])
    return f"{{{members}}}"
