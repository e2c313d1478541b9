"""From what a verb gave to the answer: one shape for items, pages, jobs and files."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from intaglio.api.routes import Route
from intaglio.core.wire import to_wire
from intaglio.studio.files import UPLOAD
from intaglio.studio.uploads import FOLDER


class Json(Response):
    """An answer in JSON; what it holds was made plain before."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The JSON text, in UTF-8."""
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def shaped(route: Route, result: Any) -> Any:
    """A result as JSON values, with the members of its tuples named."""
    if not route.names:
        return to_wire(result)
    if typing.get_origin(route.result) is list:
        return [_named(route, item) for item in result]
    return _named(route, result)


def answer(route: Route, result: Any, request: Request, limit: int | None) -> Response:
    """The answer to a request for a verb that gave `result`; `limit` is the size of the page that was asked for."""
    value = uploads_named(request, shaped(route, result))
    if route.work:
        return Json(value, status_code=route.status, headers={"Location": f"/api/jobs/{value['id']}"})
    if not isinstance(value, list):
        return Json(value, status_code=route.status)
    if route.cursor is None or limit is None or len(value) < limit or not value:
        return Json({"items": value, "next": None}, status_code=route.status)
    before = value[-1][route.cursor]
    query = urlencode([*((k, v) for k, v in request.query_params.multi_items() if k != "before"), ("before", before)])
    link = f'<{request.url.path}?{query}>; rel="next"'
    return Json({"items": value, "next": before}, status_code=route.status, headers={"Link": link})


def uploads_named(request: Request, value: Any) -> Any:
    """JSON values with what was uploaded named as it was given, and not by its place on this machine."""
    return _replaced(value, f"{request.app.state.studio.root / FOLDER}/")


def _replaced(value: Any, place: str) -> Any:
    if isinstance(value, str):
        return value.replace(place, UPLOAD) if place in value else value
    if isinstance(value, dict):
        return {name: _replaced(item, place) for name, item in value.items()}
    return [_replaced(item, place) for item in value] if isinstance(value, list) else value


def _named(route: Route, item: Any) -> Mapping[str, Any]:
    return dict(zip(route.names, map(to_wire, item), strict=True))
