"""RUN 1: every error has one shape, and tells nothing of the server's insides."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from unit.web.asking import LOCAL, application, ask

from intaglio.core.errors import NodeFailed, NotFound, OnlySimilar, StorageFailed, TooMany, Unavailable
from intaglio.core.facts import facts
from intaglio.studio.open import init
from intaglio.studio.settings import Settings
from intaglio.web.errors import LONGEST, answer, error_response

JSON = (*LOCAL, ("content-type", "application/json"))


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    with init(tmp_path / "studio", Settings(author="Ada")) as studio:
        yield application(studio)


def test_our_errors_come_with_their_code_their_way_out_and_their_facts(app: FastAPI) -> None:
    seed = ask(app, "/fail/seed")
    assert seed.status == 422
    assert seed.json["error"]["code"] == "seed.unpinned"
    assert seed.json["error"]["message"] == "production mode needs a seed on: a, b"
    assert seed.json["error"]["hint"].startswith("Give each node a seed")
    assert seed.json["error"]["facts"] == {"nodes": ["a", "b"]}
    assert ask(app, "/fail/workflow").json["error"]["facts"] == {"node": "a", "field": "seed"}
    assert ask(app, "/fail/grade").json["error"]["facts"] == {"grade": {"grade": "partial", "gaps": []}}


@pytest.mark.parametrize("error", [StorageFailed("no space left"), Unavailable("others are writing")])
def test_what_may_pass_says_when_to_ask_again(error: Unavailable) -> None:
    told = error_response(error)
    assert (told.status_code, told.headers["retry-after"]) == (503, "2")
    assert "retry-after" not in error_response(NotFound("task", "x")).headers


def test_facts_are_what_a_class_knows() -> None:
    assert facts(NotFound("task", "x")) == {"kind": "task", "name": "x"}
    assert facts(OnlySimilar("x", ["a"])) == {"kind": "version", "name": "x", "candidates": ["a"]}
    failed = NodeFailed("a", "it broke")
    failed.way_on = "intaglio tasks resume 1"
    assert facts(failed) == {"node": "a", "step": "a", "way_on": "intaglio tasks resume 1"}
    odd = TooMany("x", after_s=float("inf"))
    odd.path = Path("/x")  # type: ignore[attr-defined]
    assert facts(odd) == {"after_s": "inf", "path": "/x"}


def test_too_many_says_when_to_come_again() -> None:
    assert error_response(TooMany("x", after_s=2.1)).headers["retry-after"] == "3"
    assert error_response(TooMany("x", after_s=0)).headers["retry-after"] == "1"


def test_an_address_that_is_not_there_is_said_to_be_that(app: FastAPI) -> None:
    found = ask(app, "/nowhere/" + "x" * 1000)
    assert (found.status, found.code) == (404, "not_found")
    assert "/nowhere/" in found.json["error"]["message"] and len(found.body) < 500


def test_a_method_that_is_not_there_is_told_with_those_that_are(app: FastAPI) -> None:
    found = ask(app, "/who", method="DELETE")
    assert (found.status, found.code, found.headers["allow"]) == (405, "method", "GET")


@pytest.mark.parametrize(
    ("path", "method", "body", "message"),
    [
        ("/fail/seed?limit=x", "GET", b"", "query limit needs a whole number"),
        ("/body", "POST", b"", "the body is missing"),
        ("/body", "POST", b"{", "the body is not valid JSON"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_plain_words(
    app: FastAPI, path: str, method: str, body: bytes, message: str
) -> None:
    found = ask(app, path, method=method, headers=JSON, body=[body])
    assert (found.status, found.code) == (422, "invalid")
    assert found.json["error"]["message"] == message
    assert b"pydantic" not in found.body and b"http" not in found.body


def test_a_disk_that_refuses_is_said_without_where(app: FastAPI) -> None:
    found = ask(app, "/fail/disk")
    assert (found.status, found.code) == (503, "storage.failed")
    assert "no space left" in found.json["error"]["message"]
    assert b"/secret" not in found.body


def test_a_bug_of_ours_is_told_by_a_number_that_the_log_explains(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    found = ask(app, "/fail/bug")
    assert (found.status, found.code) == (500, "internal")
    assert b"swordfish" not in found.body and b"Traceback" not in found.body
    assert found.json["error"]["facts"]["report"] in caplog.text
    assert "swordfish" in caplog.text


def test_what_is_no_text_does_not_break_an_answer() -> None:
    body = bytes(answer(404, "not_found", "no \ud800 here" + "x" * 10_000).body)
    assert body.decode() and len(body) < LONGEST + 200
