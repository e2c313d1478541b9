"""RUN 1, RUN 2: beginning again, waiting, and pages, as a stranger asks for them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from unit.web.asking import FAR, Answer, ask

from intaglio.core.token import Scope
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.web.app import Config, create_app


@pytest.mark.parametrize(
    ("verb", "scope", "status"),
    [("versions.reindex", "run", 403), ("library.check", "run", 200), ("versions.reindex", "admin", 200)],
)
def test_RUN_1_a_job_is_begun_again_only_by_who_might_have_begun_it(
    verb: str, scope: Scope, status: int, tmp_path: Path
) -> None:
    with init(tmp_path / "studio", Settings(author="Ada")) as studio:
        job = studio.jobs.submit(verb)
        studio.jobs.cancel(job.id)
        answer = asked(studio, f"{job.id}/retry", scope)
        assert answer.status == status, answer.body
        assert studio.jobs.get(job.id).status == ("queued" if status == 200 else "cancelled")


def asked(studio: Studio, address: str, scope: Scope, *, method: str = "POST", query: str = "") -> Answer:
    """The answer to somebody with a token of a scope who asks for an address below the jobs."""
    app = create_app(studio, Config(hosts=("studio.example.com",)))
    shown = studio.tokens.create("Cleo", [scope]).token
    headers = [*FAR, ("authorization", f"Bearer {shown}"), ("content-type", "application/json")]
    body = [json.dumps({}).encode() if method == "POST" else b""]
    return ask(app, f"/api/jobs/{address}".rstrip("/") + query, method=method, headers=headers, body=body)


def test_RUN_2_who_waits_for_what_nobody_takes_up_again_is_answered_at_once(tmp_path: Path) -> None:
    with init(tmp_path / "studio", Settings(author="Ada")) as studio:
        job = studio.jobs.submit("library.check")
        studio.parts.jobs.advance(job.id, "interrupted")
        studio.parts.queue.remove(job.id)
        began = time.monotonic()
        answer = asked(studio, f"{job.id}/wait", "run", method="GET", query="?timeout=20")
        assert (answer.status, answer.json["status"]) == (200, "interrupted")
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("limit", [-1, 0, 1001])
def test_a_page_is_of_one_line_to_a_thousand(limit: int, tmp_path: Path) -> None:
    with init(tmp_path / "studio", Settings(author="Ada")) as studio:
        answer = asked(studio, "", "read", method="GET", query=f"?limit={limit}")
        assert (answer.status, answer.code) == (422, "invalid")
        assert asked(studio, "", "read", method="GET", query="?limit=1000").status == 200
