"""RUN 1: a request that is sent again is not done again, whenever the server was killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from acceptance.conftest import node, ramp, write
from fastapi import FastAPI
from unit.web.asking import FAR, Answer, ask

from intaglio.core.errors import Conflict, StorageFailed
from intaglio.imaging.png import encode
from intaglio.store.idempotency import Idempotency
from intaglio.studio import clock
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.web.app import Config, create_app
from intaglio.web.idempotency import answering


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with init(tmp_path / "studio", Settings(author="Ada")) as opened:
        yield opened


@pytest.fixture
def app(studio: Studio) -> FastAPI:
    return create_app(studio, Config(hosts=("studio.example.com",)))


@pytest.fixture
def version(studio: Studio, tmp_path: Path) -> str:
    """A version without a remark."""
    (tmp_path / "in.png").write_bytes(encode(ramp(8, 6)))
    nodes = {"in": node("reference-image", image="in.png"), "out": node("output", "in")}
    return studio.tasks.run(write(tmp_path / "plain.json", "plain", nodes), annotation="to have one").version


def commented(app: FastAPI, studio: Studio, version: str, key: str) -> Answer:
    """The answer to a comment under a key."""
    shown = studio.tokens.create("Cleo", ["run"]).token
    headers = [*FAR, ("authorization", f"Bearer {shown}"), ("content-type", "application/json")]
    return ask(
        app,
        f"/api/versions/{version}/comment",
        method="POST",
        headers=[*headers, ("idempotency-key", key)],
        body=[json.dumps({"text": "good light"}).encode()],
    )


def test_what_was_done_without_its_answer_being_kept_was_not_done(
    app: FastAPI, studio: Studio, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*given: object) -> None:
        raise StorageFailed("no space left on the disk")

    with monkeypatch.context() as patched:
        patched.setattr(Idempotency, "finish", refused)
        assert commented(app, studio, version, "k").status == 503
    assert studio.versions.remarks(version) == []
    made = commented(app, studio, version, "k")
    again = commented(app, studio, version, "k")
    assert (made.status, again.status, again.body) == (200, 200, made.body)
    assert again.headers["idempotency-replayed"] == "true"
    assert len(studio.versions.remarks(version)) == 1


def test_a_key_that_could_not_be_let_go_of_is_free_once_that_can_be_written(
    app: FastAPI, studio: Studio, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*given: object) -> None:
        raise StorageFailed("no space left on the disk")

    with monkeypatch.context() as patched:
        patched.setattr(Idempotency, "finish", refused)
        patched.setattr(Idempotency, "forget", refused)
        assert [commented(app, studio, version, "k").status for _ in range(2)] == [503, 503]
    assert commented(app, studio, version, "k").status == 200
    assert len(studio.versions.remarks(version)) == 1


def test_the_keys_of_a_killed_server_are_free_unless_another_one_is_at_work(studio: Studio) -> None:
    answers = studio.parts.idempotency
    answers.begin("Cleo", "k", "request")
    with answering(studio):
        assert answers.begin("Cleo", "k", "request") is None
        with answering(studio), pytest.raises(Conflict):
            answers.begin("Cleo", "k", "request")
    with answering(studio):
        assert answers.begin("Cleo", "k", "request") is None


def test_a_server_answers_where_nothing_can_be_written(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: object) -> None:
        raise StorageFailed("no space left on the disk")

    monkeypatch.setattr(Idempotency, "release", refused)
    with answering(studio):
        assert studio.tasks.list() == []


def test_an_answer_is_kept_for_a_day(
    app: FastAPI, studio: Studio, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hours, remarks in ((25, 1), (23, 2), (0, 2)):
        then = clock.written(datetime.now(UTC) - timedelta(hours=hours))
        with monkeypatch.context() as patched:
            patched.setattr("intaglio.store.idempotency.now", lambda then=then: then)
            assert commented(app, studio, version, "k").status == 200
        assert len(studio.versions.remarks(version)) == remarks
