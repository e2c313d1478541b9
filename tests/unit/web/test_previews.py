"""Addresses of previews."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from unit.core.samples import RECORDS

from intaglio.core.progress import Progress
from intaglio.store.lock import TaskLock
from intaglio.studio import progress
from intaglio.studio.open import Studio, init
from intaglio.studio.progress import clear, write
from intaglio.studio.tasks import TaskView
from intaglio.web import errors, previews

TASK = "20261120-204501-7f3a9c12"
PICTURE = b"\x89PNG\r\n\x1a\nand so on"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with init(tmp_path) as opened:
        yield opened


@pytest.fixture
def app(studio: Studio) -> FastAPI:
    app = FastAPI()
    app.state.studio = studio
    app.include_router(previews.router)
    errors.install(app)
    return app


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def running(studio: Studio) -> Iterator[None]:
    """A task at work, with a preview."""
    with TaskLock.hold(studio.root / "locks" / f"{TASK}.lock"):
        write(studio.parts, Progress(task=TASK, step="base", done=1, total=4, time="now"), PICTURE)
        yield


@pytest.mark.usefixtures("running")
def test_an_address_shows_the_picture_without_any_header_and_nobody_keeps_it(app: FastAPI, client: TestClient) -> None:
    address = previews.address(app, TASK)
    assert address.startswith("/api/previews/")
    answer = client.get(address)
    assert (answer.status_code, answer.content) == (200, PICTURE)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "no-store"


def test_what_leaves_the_server_names_the_address(
    app: FastAPI, client: TestClient, studio: Studio, running: None
) -> None:
    said = progress.read(studio.parts, TASK)
    assert said is not None
    said = replace(said, preview=f"{TASK}.preview")
    task, plan = RECORDS["task"], RECORDS["plan"]
    view = TaskView(task, plan, [], [], None, (), said)
    for told in (previews.addressed(app, said), previews.addressed(app, view).progress):
        assert client.get(told.preview).content == PICTURE
        assert replace(told, preview="") == replace(said, preview="")
    assert previews.addressed(app, replace(said, preview="")).preview == ""
    for other in (None, [said], replace(view, progress=None)):
        assert previews.addressed(app, other) == other


@pytest.mark.usefixtures("running")
def test_an_address_is_good_for_a_minute(app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: moment[0])
    address = previews.address(app, TASK)
    moment[0] += 59
    assert client.get(address).status_code == 200
    moment[0] += 1
    answer = client.get(address)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"


@pytest.mark.usefixtures("running")
def test_nobody_makes_an_address_up(app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    address = previews.address(app, TASK)
    assert client.get(address[:-1] + ("A" if address[-1] != "A" else "Q")).status_code == 403
    assert client.get(f"/api/previews/{TASK}").status_code == 403
    assert client.get("/api/previews/%00%ff.%F0%9F%A6%84").status_code == 403
    monkeypatch.setattr(previews, "_secret", b"that of the server after it was started again")
    assert client.get(address).status_code == 403


def test_what_is_gone_is_not_found(app: FastAPI, client: TestClient, studio: Studio, running: None) -> None:
    address = previews.address(app, TASK)
    clear(studio.parts, TASK)
    answer = client.get(address)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert client.get(previews.address(app, "../../library.db")).status_code == 404
