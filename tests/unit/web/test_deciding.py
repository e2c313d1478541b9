"""VER 3 and 8: who may run but not decide changes nothing that is in production, by whatever door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import node, ramp
from unit.web.asking import FAR, Answer, ask

from intaglio.core.errors import Forbidden
from intaglio.core.token import Scope
from intaglio.core.wire import to_wire
from intaglio.core.workflow import Mode, parse_workflow
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.web.app import Config, create_app


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A library with a workflow that was approved and is in production."""
    (tmp_path / "in.png").write_bytes(encode(ramp(24, 16)))
    with init(tmp_path / "studio", Settings(author="Ada")) as opened:
        picture = opened.assets.add([tmp_path / "in.png"])[0].digest
        nodes = {"in": node("reference-image", image=picture), "grain": node("film-grain", "in")}
        document = {"name": "plain", "nodes": {**nodes, "out": node("output", "grain")}}
        for text in ("first", "second"):
            opened.tasks.run(parse_workflow(document), annotation=text)
        opened.versions.approve("plain/v2")
        yield opened


def asked(studio: Studio, address: str, scopes: list[Scope], body: dict[str, Any]) -> Answer:
    app = create_app(studio, Config(hosts=("studio.example.com",)))
    shown = studio.tokens.create("Cleo", scopes).token
    headers = [*FAR, ("authorization", f"Bearer {shown}"), ("content-type", "application/json")]
    return ask(app, f"/api{address}", method="POST", headers=headers, body=[json.dumps(body).encode()])


def changed(studio: Studio, mode: Mode) -> dict[str, Any]:
    """The workflow in production with another amount of grain, in a mode."""
    latest, _ = studio.workflows.show("plain")
    grain = replace(latest.nodes["grain"], params={"amount": 0.9})
    found: dict[str, Any] = to_wire(replace(latest, mode=mode, nodes={**latest.nodes, "grain": grain}))
    return found


@pytest.mark.parametrize("mode", ["production", "discovery"])
@pytest.mark.parametrize("address", ["/workflows", "/tasks", "/workflows/-/find"])
def test_VER_3_a_document_of_somebody_who_may_not_decide_leaves_production_as_it_is(
    studio: Studio, mode: Mode, address: str
) -> None:
    before = studio.workflows.show("plain")
    given = {"given" if address.endswith("find") else "workflow": changed(studio, mode)}
    refused = asked(studio, address, ["run"], given)
    assert (refused.status, refused.code) == (403, "forbidden")
    assert studio.workflows.show("plain") == before
    assert asked(studio, address, ["run", "approve"], given).status in (200, 201)
    assert studio.workflows.show("plain") != before


def test_VER_3_going_back_and_new_names_do_not_get_round_it(studio: Studio) -> None:
    refused = asked(studio, "/versions/plain/v1/roll-back", ["run"], {"annotation": "back"})
    assert refused.status == 403
    fresh = {**changed(studio, "production"), "name": "fresh"}
    assert asked(studio, "/workflows", ["run"], {"workflow": fresh}).status == 403
    assert asked(studio, "/workflows", ["run"], {"workflow": {**fresh, "mode": "discovery", "pins": {}}}).status == 201


def test_VER_3_what_is_in_production_may_be_run_and_branched_by_all_who_may_run(studio: Studio) -> None:
    latest, _ = studio.workflows.show("plain")
    assert asked(studio, "/tasks", ["run"], {"workflow": "plain"}).status == 201
    assert asked(studio, "/tasks", ["run"], {"workflow": to_wire(latest)}).status == 201
    assert asked(studio, "/workflows/plain/branch", ["run"], {"name": "other"}).status == 201


def test_VER_3_a_record_that_is_taken_in_does_not_get_round_it(studio: Studio, tmp_path: Path) -> None:
    with init(tmp_path / "elsewhere", Settings(author="Eve")) as other:
        other.assets.add([tmp_path / "in.png"])
        made = other.tasks.run(parse_workflow(changed(studio, "discovery")), annotation="mine")
        other.versions.export(made.version, tmp_path / "out")
    with pytest.raises(Forbidden):
        studio.signed_by("Cleo", decides=False).versions.import_(tmp_path / "out")


def test_VER_8_the_journal_says_who_took_a_record_in(studio: Studio, tmp_path: Path) -> None:
    with init(tmp_path / "elsewhere", Settings(author="Anna")) as other:
        other.assets.add([tmp_path / "in.png"])
        made = other.tasks.run(parse_workflow({**changed(studio, "discovery"), "name": "hers"}), annotation="mine")
        other.versions.export(made.version, tmp_path / "out")
    digest, version = studio.signed_by("Cleo", decides=False).versions.import_(tmp_path / "out")
    assert version.author == "Anna"
    [line] = studio.library.journal(subject=digest, what=["version.imported"])
    assert line.facts == {"by": "Cleo", "author": "Anna"}


def test_what_somebody_brought_is_not_shown_to_others(studio: Studio) -> None:
    reference = f"upload:{'ab' * 16}/model.safetensors"
    job = studio.jobs.submit("models.add", {"path": reference, "name": "mine"})
    app = create_app(studio, Config(hosts=("studio.example.com",)))
    shown = studio.tokens.create("Cleo", ["read"]).token
    for address in (f"/api/jobs/{job.id}", "/api/jobs", "/api/tasks/-/queue", f"/api/jobs/{job.id}/wait?timeout=0"):
        answer = ask(app, address, headers=[*FAR, ("authorization", f"Bearer {shown}")])
        assert answer.status == 200, answer.body
        assert b"model.safetensors" in answer.body and b"abab" not in answer.body
