"""The one shape of every answer that is an error, and who says it: `{"error": {code, message, hint, facts}}`."""

from __future__ import annotations

import json
import logging
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match

from intaglio.core.errors import IntaglioError, TooMany, Unauthorized, http_status
from intaglio.core.facts import facts
from intaglio.core.record import Json
from intaglio.web.answers import uploads_named
from intaglio.web.headers import secure

LONGEST = 2000
# What is asked for at a bad moment may go well after so many seconds.
AGAIN_S = 2
_log = logging.getLogger("intaglio.web")
_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
# What pydantic calls a problem, in plain words.
_PROBLEMS = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "json_invalid": "is not valid JSON",
    "string_type": "needs text",
    "int_type": "needs a whole number",
    "int_parsing": "needs a whole number",
    "int_from_float": "needs a whole number",
    "float_type": "needs a number",
    "float_parsing": "needs a number",
    "bool_type": "needs true or false",
    "bool_parsing": "needs true or false",
    "list_type": "needs a list",
    "dict_type": "needs an object",
    "greater_than_equal": "needs at least {ge}",
    "greater_than": "needs more than {gt}",
    "less_than_equal": "needs at most {le}",
    "less_than": "needs less than {lt}",
    "literal_error": "needs one of {expected}",
    "enum": "needs one of {expected}",
    "string_too_long": "needs at most {max_length} characters",
    "string_too_short": "needs at least {min_length} characters",
    "value_error": "is not what is needed there",
}


def error_response(
    error: IntaglioError, headers: Mapping[str, str] | None = None, *, named: Callable[[Any], Any] = lambda value: value
) -> Response:
    """The answer that tells of an error: its status, its way out, and its facts as JSON, with names as `named` says."""
    more = dict(headers or {})
    if isinstance(error, Unauthorized):
        more.setdefault("WWW-Authenticate", 'Bearer realm="intaglio"')
    if isinstance(error, TooMany):
        more.setdefault("Retry-After", str(max(1, math.ceil(error.after_s))))
    if http_status(error) == 503:
        more.setdefault("Retry-After", str(AGAIN_S))
    return answer(http_status(error), error.code, named(str(error)), named(error.hint), named(facts(error)), more)


def answer(
    status: int,
    code: str,
    message: str,
    hint: str = "",
    about: Mapping[str, Json] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error in our shape."""
    body = _cut({"error": {"code": code, "message": message, "hint": hint, "facts": dict(about or {})}})
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    response = Response(text.encode(errors="replace"), status, headers, "application/json")
    secure(response.headers)
    return response


def _cut(value: Any) -> Any:
    """A value without the middle of its long texts: what was wrong is not sent back whole."""
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[: LONGEST // 2]} ... {value[-LONGEST // 2 :]}"
    if isinstance(value, dict):
        return {name: _cut(each) for name, each in value.items()}
    return [_cut(each) for each in value] if isinstance(value, list) else value


def install(app: FastAPI) -> None:
    """Let every error leave `app` in our shape."""
    app.add_exception_handler(IntaglioError, _ours)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(OSError, _of_system)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _bug)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, IntaglioError)
    return error_response(error, named=partial(uploads_named, request))


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path, headers = request.url.path[:200], error.headers
    if error.status_code == 404:
        return answer(404, "not_found", f"no address {path!r}", "See what there is at /docs.", headers=headers)
    if error.status_code == 405:
        allowed = ", ".join(_methods(request))
        headers = {"Allow": allowed}
        return answer(
            405, "method", f"{path!r} takes no {request.method[:20]}", f"It takes: {allowed}.", headers=headers
        )
    code = "invalid" if error.status_code < 500 else "internal"
    return answer(error.status_code, code, error.detail.lower(), "See what it takes at /docs.", headers=headers)


def _methods(request: Request) -> list[str]:
    """What an address takes: of one that several routes are at, what each of them does."""
    scopes = [{**request.scope, "method": method} for method in _METHODS]
    routes = request.app.router.routes
    return [each["method"] for each in scopes if any(route.matches(each)[0] is Match.FULL for route in routes)]


async def _of_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [(_where(each["loc"]), _problem(each)) for each in error.errors()]
    message = "; ".join(f"{where} {problem}" for where, problem in found[:10])
    fields = [{"field": where, "problem": problem} for where, problem in found[:50]]
    return answer(422, "invalid", message, "See what it takes at /docs.", {"fields": fields})


async def _gone(request: Request, error: Exception) -> Response:
    return answer(400, "invalid", "the body breaks off in the middle", "Send it again.")  # as far as anybody hears it


async def _of_system(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    number = report(error)
    reason = (error.strerror or "it could not be read or written").lower()
    hint = "See the server's log; free some space or fix the permissions."
    return answer(503, "storage.failed", reason, hint, {"report": number})


async def _bug(request: Request, error: Exception) -> Response:
    number = report(error)
    hint = f"Report it, with what the server's log says of {number}."
    # It is made outside of whatever else gives every answer the id of its request.
    name = request.scope.get("state", {}).get("request_id")
    headers = {"X-Request-ID": str(name)} if name else None
    return answer(500, "internal", "Intaglio failed at this request", hint, {"report": number}, headers)


def report(error: Exception) -> str:
    """Put an error in the log; returns the id by which it is found there."""
    number = secrets.token_hex(6)
    _log.error("report %s: %s", number, type(error).__name__, exc_info=error)
    return number


def _where(place: Sequence[int | str]) -> str:
    """Where in a request: "query limit", "nodes.a.seed", "the body"."""
    first, *rest = place or ("body",)
    inside = ".".join(str(each)[:60] for each in rest)
    if not inside or rest[0] == 0 or (first == "body" and len(rest) == 1 and isinstance(rest[0], int)):
        return f"the {first}"
    return inside if first == "body" else f"{first} {inside}"


def _problem(error: Mapping[str, Any]) -> str:
    words = _PROBLEMS.get(error["type"], "is not what is needed there")
    return words.format_map({name: str(value)[:80] for name, value in error.get("ctx", {}).items()})
