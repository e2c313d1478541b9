"""The OpenAPI document: what the table and the types say, beside what FastAPI knows of the other routes."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from intaglio.api import describe
from intaglio.api.routes import ROUTES, Parameter, Route
from intaglio.api.schema import Schema, Schemas
from intaglio.core.errors import HTTP_STATUSES, IntaglioError
from intaglio.core.job import Job
from intaglio.core.wire import to_wire
from intaglio.studio.journal import MOST
from intaglio.web.idempotency import KEY, LONGEST_KEY

ERROR: Schema = {
    "type": "object",
    "description": "Why a request was not done. The same shape everywhere.",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "description": "What is wrong, and the way out.",
            "required": ["code", "message", "hint", "facts"],
            "additionalProperties": False,
            "properties": {
                "code": {
                    "type": "string",
                    "description": "What kind of error: not_found, conflict, ... It never changes.",
                },
                "message": {"type": "string", "description": "What is wrong, naming the thing."},
                "hint": {"type": "string", "description": 'What to do about it; "" when there is nothing.'},
                "facts": {
                    "type": "object",
                    "description": "What a program may want to know of it: names, limits, the grade.",
                    "additionalProperties": True,
                },
            },
        }
    },
    "examples": [
        {
            "error": {
                "code": "not_found",
                "message": "no task '20260101-000000-00000000'",
                "hint": "See them with: intaglio tasks list",
                "facts": {"kind": "task", "name": "20260101-000000-00000000"},
            }
        }
    ],
}
_REFUSED = {
    400: "The request is no HTTP that this server takes.",
    401: "Nobody is known by what the request carries.",
    403: "Whoever asks may not do that, or the request comes from a page of another site.",
    404: "Something that is named is not there.",
    408: "The body did not arrive in time.",
    409: "It contradicts what is there, or what it needs is not what was recorded.",
    413: "More than this server takes.",
    422: "The input cannot be what is meant; the message names what is wrong.",
    429: "Too much at a time; Retry-After says when to try again.",
    500: "A fault of Intaglio itself.",
    503: "Something needed is missing, locked or full at this moment.",
}
IDEMPOTENCY_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A name of your choice for this request. Sent again with the same key, it is not done twice: the "
    "first answer comes back. Kept for a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": f"^{KEY}$"},
}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the app, made once."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        schemas = Schemas()
        for route in ROUTES:
            address = f"/api{route.path.replace(':path}', '}')}"
            found["paths"].setdefault(address, {})[route.method.lower()] = operation(route, schemas)
        components = found.setdefault("components", {}).setdefault("schemas", {})
        for left_over in ("HTTPValidationError", "ValidationError"):
            components.pop(left_over, None)
        components |= schemas.components | {"Error": ERROR}
        found["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "A token made with: intaglio tokens create."}
        }
        found["security"] = [{"token": []}, {}]
        app.openapi_schema = found
    return app.openapi_schema


def operation(route: Route, schemas: Schemas) -> Schema:
    """What the document says of one verb."""
    parameters = [_parameter(route, each, schemas) for each in route.parameters.values() if each.place != "body"]
    found: Schema = {
        "operationId": route.verb.replace(".", "_"),
        "tags": [route.noun],
        "summary": describe.summary(route.function),
        "description": _description(route),
        "responses": {str(route.status): _answer(route, schemas), **refusals(*_statuses(route))},
    }
    if route.method == "POST":
        parameters.append(IDEMPOTENCY_KEY)
        found["requestBody"] = _body(route, schemas)
    if parameters:
        found["parameters"] = parameters
    return found


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers that tell what is wrong."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {str(status): {"description": _REFUSED[status], "content": content} for status in sorted(set(statuses))}


def _statuses(route: Route) -> list[int]:
    own = [HTTP_STATUSES[next(c for c in cls.__mro__ if c in HTTP_STATUSES)] for cls in describe.raises(route.function)]
    # Anybody may be refused at the door, any library may be damaged or locked, any text may be no text.
    body = [408] if route.method == "POST" else []
    return [*own, *body, 401, 403, 404, 409, 413, 422, 429, 503, HTTP_STATUSES[IntaglioError]]


def _description(route: Route) -> str:
    text = describe.description(route.function)
    how = "\n\nIt is carried out by a worker: the answer is a job, whose `result` is what is described here."
    return f"{text}{how if route.work else ''}\n\nScope: `{route.scope}`."


def _parameter(route: Route, given: Parameter, schemas: Schemas) -> Schema:
    schema = schemas.of(given.hint)
    if not given.required and given.default is not None:
        schema["default"] = to_wire(given.default)
    if given.name == "limit":
        schema |= {"minimum": 1, "maximum": MOST}
    found: Schema = {
        "name": given.name,
        "in": given.place,
        "required": given.required or given.place == "path",
        "description": describe.parameter(route.noun, route.name, given.name),
        "schema": schema,
    }
    return found


def _body(route: Route, schemas: Schemas) -> Schema:
    fields = [each for each in route.parameters.values() if each.place == "body"]
    properties = {}
    for each in fields:
        words = {"description": describe.parameter(route.noun, route.name, each.name)}
        default = {} if each.required or each.default is None else {"default": to_wire(each.default)}
        properties[each.name] = {**schemas.of(each.hint), **words, **default}
    required = [each.name for each in fields if each.required]
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    return {"required": bool(required), "content": {"application/json": {"schema": schema}}}


def _answer(route: Route, schemas: Schemas) -> Schema:
    if route.folder:
        content: Schema = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
        return {"description": "The files, in one zip.", "content": content}
    if route.work:
        where = {"Location": {"description": "The address of the job.", "schema": {"type": "string"}}}
        return {"description": "The job that does it.", "headers": where, "content": _json(schemas.of(Job))}
    return {"description": describe.summary(route.function), "content": _json(_shape(route, schemas))}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _shape(route: Route, schemas: Schemas) -> Schema:
    schema = schemas.of(route.result)
    is_list = schema.get("type") == "array" and "prefixItems" not in schema
    if route.names:
        item = schema["items"] if is_list else schema
        named = {
            name: {**each, "description": describe.member(route.noun, name)}
            for name, each in zip(route.names, item["prefixItems"], strict=True)
        }
        item = {"type": "object", "properties": named, "required": list(named), "additionalProperties": False}
        schema = {"type": "array", "items": item} if is_list else item
    if not is_list:
        return schema
    after = {"type": ["string", "null"], "description": "What to give as `before` for the page after this one."}
    return {
        "type": "object",
        "required": ["items", "next"],
        "additionalProperties": False,
        "properties": {"items": {**schema, "description": "What was found."}, "next": after},
    }
