"""`GET /docs`: the OpenAPI document as a page for people, without a script and with nothing from elsewhere.

A page of this server could do whatever whoever looks at it may do; so no other site's code is let into one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from fastapi import FastAPI
from starlette.responses import HTMLResponse

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox allow-same-origin"
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
code,pre{font:14px/1.4 ui-monospace,monospace}pre{background:#f5f5f5;padding:.8rem;overflow-x:auto}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}
h3{border-top:1px solid #ddd;padding-top:1rem}p{white-space:pre-line}a{color:#06c}
@media(prefers-color-scheme:dark){body{background:#1b1b1b;color:#ddd}pre{background:#262626}a{color:#7ab7ff}}"""
_SCHEMA = "#/components/schemas/"

Document = Mapping[str, Any]


def install(app: FastAPI) -> None:
    """Show people what there is at /docs; made when it is first asked for."""
    made: list[str] = []

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        if not made:
            made.append(page(app.openapi()))
        return HTMLResponse(made[0], headers={"Content-Security-Policy": POLICY})


def page(document: Document) -> str:
    """An OpenAPI document as one page of HTML."""
    info, schemas = document["info"], document.get("components", {}).get("schemas", {})
    return "\n".join(
        [
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>",
            f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>",
            f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>",
            "<p><a href='/api/openapi.json'>The same for programs</a></p>",
            *_operations(document),
            "<h2>Types</h2>",
            *(_details(name, schemas[name]) for name in sorted(schemas)),
        ]
    )


def _operations(document: Document) -> Iterator[str]:
    found: dict[str, list[tuple[str, str, Document]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["server"])[0]
            found.setdefault(tag, []).append((method.upper(), path, operation))
    yield "<nav>" + " ".join(f"<a href='#{_id(tag)}'>{escape(tag)}</a>" for tag in found) + "</nav>"
    for tag, operations in found.items():
        yield f"<h2 id='{_id(tag)}'>{escape(tag)}</h2>"
        for method, path, operation in operations:
            yield from _operation(method, path, operation)


def _operation(method: str, path: str, operation: Document) -> Iterator[str]:
    yield f"<h3><code>{escape(method)} {escape(path)}</code></h3><p><b>{escape(operation.get('summary', ''))}</b></p>"
    yield f"<p>{escape(operation.get('description', ''))}</p>"
    yield _table(
        [
            (
                f"<code>{escape(each['name'])}</code>",
                f"{escape(each['in'])}{', required' if each.get('required') else ''}",
                _type(each.get("schema", {})),
                escape(each.get("description", "")),
            )
            for each in operation.get("parameters", ())
        ]
    )
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body, <code>{escape(kind)}</code>:</p>"
        yield _table(_fields(content.get("schema", {})))
    yield _table(
        [
            (f"<code>{escape(status)}</code>", escape(each.get("description", "")), _answers(each))
            for status, each in operation.get("responses", {}).items()
        ]
    )


def _fields(schema: Document) -> list[tuple[str, ...]]:
    """What a body holds; of one that is a type of its own, that."""
    if "properties" not in schema:
        return [(_type(schema), escape(schema.get("description", "")))]
    required = schema.get("required", ())
    return [
        (
            f"<code>{escape(name)}</code>",
            "required" if name in required else "",
            _type(each),
            escape(each.get("description", "")),
        )
        for name, each in schema["properties"].items()
    ]


def _answers(response: Document) -> str:
    return ", ".join(
        _type(each.get("schema", {})) or escape(kind) for kind, each in response.get("content", {}).items()
    )


def _type(schema: Document) -> str:
    """A type in a word or two, with a link where it has a name."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMA)
        return f"<a href='#{_id(name)}'>{escape(name)}</a>"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(filter(None, map(_type, schema[several])))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {})) or 'anything'}"
    if "enum" in schema:
        return escape(", ".join(json.dumps(each) for each in schema["enum"]))
    kind = schema.get("type", "")
    return escape(kind if isinstance(kind, str) else " or ".join(kind))


def _details(name: str, schema: Document) -> str:
    text = escape(json.dumps(schema, indent=2, ensure_ascii=False))
    return f"<details id='{_id(name)}'><summary>{escape(name)}</summary><pre>{text}</pre></details>"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of HTML as a table."""
    lines = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{''.join(lines)}</table>" if rows else ""


def _id(name: str) -> str:
    """A name as the place of a link."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)
