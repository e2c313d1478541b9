"""RUN 1: what there is can be read in a browser, and nothing in that page can act."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from unit.web.asking import application, ask

from intaglio.studio.open import init
from intaglio.studio.settings import Settings
from intaglio.web.manual import install, page


class Reader(HTMLParser):
    """The elements, links and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.places: dict[str, set[str]] = {"id": set(), "href": set(), "src": set()}
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            self.places.setdefault(name, set()).add(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    with init(tmp_path / "studio", Settings(author="Ada")) as studio:
        made = application(studio)
        made.router.routes[:] = [each for each in made.router.routes if getattr(each, "path", "") != "/docs"]
        install(made)
        yield made


def test_every_address_is_on_the_page_and_every_link_leads_somewhere(app: FastAPI) -> None:
    answer = ask(app, "/docs")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/html")
    read = Reader(answer.body.decode())
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in read.text
    inside = {each.removeprefix("#") for each in read.places["href"] if each.startswith("#")}
    assert inside and inside <= read.places["id"]


def test_the_page_runs_nothing_and_fetches_nothing(app: FastAPI) -> None:
    answer = ask(app, "/docs")
    read = Reader(answer.body.decode())
    assert not read.elements & {"script", "link", "img", "iframe", "form", "object"}
    assert not read.places["src"] and not any("//" in each for each in read.places["href"])
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "script" not in policy and "http" not in policy


def test_what_a_document_says_is_shown_and_never_obeyed() -> None:
    hostile = "<script>alert(1)</script>'\"&"
    schema: dict[str, Any] = {"type": "object", "description": hostile, "required": [hostile]}
    schema["properties"] = {hostile: {"enum": [hostile]}, "b": {"anyOf": [{"$ref": "#/components/schemas/" + hostile}]}}
    parameter = {"name": hostile, "in": hostile, "schema": {"type": [hostile, "null"]}, "description": hostile}
    operation = {
        "tags": [hostile],
        "summary": hostile,
        "description": hostile,
        "parameters": [parameter],
        "requestBody": {"content": {hostile: {"schema": schema}, "x": {"schema": {"type": "array"}}}},
        "responses": {hostile: {"description": hostile, "content": {hostile: {}}}},
    }
    text = page(
        {
            "info": {"title": hostile, "version": hostile, "description": hostile},
            "paths": {hostile: {hostile: operation}},
            "components": {"schemas": {hostile: schema}},
        }
    )
    assert "<script" not in text
    assert "list of anything" in text
    assert Reader(text).text.count("<script>alert(1)</script>") > 10
