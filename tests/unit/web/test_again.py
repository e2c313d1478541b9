"""RUN 1: what is begun again takes what it took to begin it."""

from __future__ import annotations

import json
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
        answer = asked(studio, job.id, scope)
        assert answer.status == status, answer.body
        assert studio.jobs.get(job.id).status == ("queued" if status == 200 else "cancelled")


def asked(studio: Studio, job: str, scope: Scope) -> Answer:
    """The answer to somebody with a token of a scope who wants a job begun again."""
    app = create_app(studio, Config(hosts=("studio.example.com",)))
    shown = studio.tokens.create("Cleo", [scope]).token
    headers = [*FAR, ("authorization", f"Bearer {shown}"), ("content-type", "application/json")]
    return ask(app, f"/api/jobs/{job}/retry", method="POST", headers=headers, body=[json.dumps({}).encode()])
