"""RUN 1: what is shown once is kept nowhere, under an Idempotency-Key neither."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from unit.web.asking import FAR, Answer, ask

from intaglio.core.image import Image
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.web.app import Config, create_app


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with init(tmp_path / "studio", Settings(author="Ada")) as opened:
        yield opened


@pytest.fixture
def app(studio: Studio) -> FastAPI:
    return create_app(studio, Config(hosts=("studio.example.com",)))


def posted(app: FastAPI, studio: Studio, path: str, *more: tuple[str, str], key: str, **body: Any) -> Answer:
    """The answer to a request of an administrator."""
    shown = studio.tokens.create("Admin", ["admin"]).token
    headers = [*FAR, ("authorization", f"Bearer {shown}"), ("content-type", "application/json"), *more]
    return ask(app, path, method="POST", headers=[*headers, ("idempotency-key", key)], body=[json.dumps(body).encode()])


CASES: list[tuple[str, dict[str, Any], str]] = [
    ("/api/tokens", {"person": "Cleo", "scopes": ["read"]}, "token"),
    ("/api/webhooks", {"address": "http://127.0.0.1:1/"}, "secret"),
]


@pytest.mark.parametrize(("path", "body", "secret"), CASES, ids=[path for path, _, _ in CASES])
def test_a_request_that_gives_a_secret_is_done_once_and_its_answer_is_not_kept(
    app: FastAPI, studio: Studio, path: str, body: dict[str, Any], secret: str
) -> None:
    made = posted(app, studio, path, key="k", **body)
    assert made.status == 201 and made.json[secret]
    again = posted(app, studio, path, key="k", **body)
    assert (again.status, again.code, again.headers["idempotency-replayed"]) == (409, "conflict", "true")
    assert "only once" in again.json["error"]["message"]
    with studio.parts.database.read() as connection:
        kept = connection.exec_driver_sql("select * from idempotency").all()
    assert len(kept) == 1 and made.json[secret] not in str(kept)
    assert [grant.person for grant in studio.tokens.list()].count("Cleo") == (path == "/api/tokens")


def test_files_that_are_asked_for_under_a_key_are_written_again(app: FastAPI, studio: Studio, tmp_path: Path) -> None:
    pictures = [tmp_path / "a.png", tmp_path / "b.png"]
    for shade, path in enumerate(pictures):
        path.write_bytes(encode(Image("RGB", 8, 8, bytes([shade]) * 192)))
    a, b = (asset.digest for asset in studio.assets.add(pictures))
    for _ in range(2):
        found = posted(app, studio, "/api/assets/-/compare", ("accept", "application/zip"), key="k", a=a, b=b)
        assert (found.status, found.headers["content-type"]) == (200, "application/zip")
