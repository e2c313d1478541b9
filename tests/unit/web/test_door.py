"""RUN 1: every route of the server stands behind the same door."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from unit.web.asking import FAR, ask

from intaglio.api.routes import ROUTES, Route
from intaglio.core.scope import SCOPES, allows
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.web.app import Config, create_app


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with init(tmp_path_factory.mktemp("door") / "studio", Settings(author="Ada")) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(studio: Studio) -> FastAPI:
    return create_app(studio, Config(host="0.0.0.0"))


@pytest.fixture(scope="module")
def shown(studio: Studio) -> dict[str, tuple[str, str]]:
    """For each scope the header with a token of it."""
    return {s: ("authorization", f"Bearer {studio.tokens.create('Cleo', [s]).token}") for s in SCOPES}


def address(route: Route) -> str:
    """An address of a route, with something in each of its places."""
    parts = route.path.split("/")
    return "/api" + "/".join("x" if part.startswith("{") else part for part in parts)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.verb)
def test_RUN_1_no_verb_is_done_without_its_scope(app: FastAPI, shown: dict[str, tuple[str, str]], route: Route) -> None:
    path = address(route)
    assert ask(app, path, method=route.method, headers=FAR).status == 401
    for scope in SCOPES:
        if allows([scope], route.scope):
            continue
        refused = ask(app, path, method=route.method, headers=[*FAR, shown[scope]])
        assert (refused.status, refused.code) == (403, "forbidden")
        assert refused.json["error"]["facts"]["scope"] == route.scope


def test_RUN_1_no_other_route_is_open_either(app: FastAPI) -> None:
    asked, open_to_all = 0, set()
    addresses = {"/docs": ["get"], "/api/openapi.json": ["get"], "/api/nowhere": ["get"], **app.openapi()["paths"]}
    for path, methods in addresses.items():
        for method in methods:
            asked += 1
            if ask(app, re.sub(r"\{\w+\}", "x", path), method=method.upper(), headers=FAR).status != 401:
                open_to_all.add(path)
    assert asked > len(ROUTES) + 10
    assert open_to_all == {"/health", "/ready", "/api/previews/{token}"}


def test_a_body_is_read_strictly(app: FastAPI, shown: dict[str, tuple[str, str]]) -> None:
    headers = [*FAR, shown["admin"], ("content-type", "application/json")]
    for body in (
        b'{"person": "a", "person": "b", "scopes": ["read"]}',
        b"[" * 70 + b"]" * 70,
        b'{"person": "\\ud800"}',
    ):
        found = ask(app, "/api/tokens", method="POST", headers=headers, body=[body])
        assert (found.status, found.code) == (422, "invalid")
