"""What verbs give, as it is answered: pages one after the other, files whole or in parts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fastapi import FastAPI
from unit.web.asking import FAR, Answer, ask

from intaglio.core.codec import encode as written
from intaglio.core.image import Image
from intaglio.core.workflow import parse_workflow
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.web.app import Config, create_app
from intaglio.web.assets import AT_ONCE

SIDES = {"small": 8, "large": 400}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("answers")


@pytest.fixture(scope="module")
def studio(folder: Path) -> Iterator[Studio]:
    with init(folder / "studio", Settings(author="Ada")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pictures(folder: Path, studio: Studio) -> dict[str, tuple[str, bytes]]:
    """Pictures in the library: the digest and the bytes of each."""
    found = {}
    for name, side in SIDES.items():
        noise = bytes(at * at * 31 % 251 ^ at // 7 % 256 for at in range(side * side * 3))
        (folder / name).write_bytes(encode(Image("RGB", side, side, noise)))
        found[name] = (studio.assets.add([folder / name])[0].digest, (folder / name).read_bytes())
    return found


@pytest.fixture(scope="module")
def app(studio: Studio) -> FastAPI:
    return create_app(studio, Config(host="0.0.0.0"))


@pytest.fixture(scope="module")
def token(studio: Studio) -> tuple[str, str]:
    return "authorization", f"Bearer {studio.tokens.create('Cleo', ['run']).token}"


def get(app: FastAPI, token: tuple[str, str], path: str, *headers: tuple[str, str]) -> Answer:
    more: Sequence[tuple[str, str]] = [*FAR, token, *headers]
    return ask(app, path, headers=more)


def test_pages_follow_each_other_until_there_is_none(
    app: FastAPI, studio: Studio, token: tuple[str, str], pictures: dict[str, tuple[str, bytes]]
) -> None:
    nodes = {"in": {"type": "reference-image", "params": {"image": pictures["small"][0]}}}
    made = [studio.tasks.submit(parse_workflow({"name": "plain", "nodes": nodes})) for _ in range(5)]
    found, path = [], "/api/tasks?limit=2&status=queued"
    for _ in range(3):
        answer = get(app, token, path)
        found += answer.json["items"]
        if answer.json["next"] is None:
            break
        assert answer.json["next"] == answer.json["items"][-1]["id"]
        path = answer.headers["link"].removeprefix("<").partition(">")[0]
    assert "link" not in answer.headers
    assert found == [json.loads(written(task)) for task in reversed(made)]


@pytest.mark.parametrize("name", SIDES)
def test_a_file_comes_whole_or_in_the_parts_that_are_asked_for(
    app: FastAPI, token: tuple[str, str], pictures: dict[str, tuple[str, bytes]], name: str
) -> None:
    digest, data = pictures[name]
    assert (len(data) > AT_ONCE) == (name == "large")
    path = f"/api/assets/{digest}/content"
    whole = get(app, token, path)
    assert (whole.status, whole.body, whole.whole) == (200, data, True)
    assert whole.headers["content-length"] == str(len(data))
    assert whole.headers["content-type"] == "image/png"
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["etag"] == f'"{digest}"'
    assert whole.headers["content-disposition"].startswith("inline; filename=")
    part = get(app, token, path, ("range", "bytes=10-19"))
    assert (part.status, part.body) == (206, data[10:20])
    assert part.headers["last-modified"] == whole.headers["last-modified"]
    assert get(app, token, path, ("if-none-match", whole.headers["etag"])).status == 304


def test_a_small_file_that_is_not_what_was_kept_is_not_sent(
    app: FastAPI, studio: Studio, token: tuple[str, str], pictures: dict[str, tuple[str, bytes]]
) -> None:
    digest, data = pictures["small"]
    path = studio.assets.file(digest)
    path.chmod(0o644)
    path.write_bytes(data[:-1] + b"x")
    refused = get(app, token, f"/api/assets/{digest}/content")
    assert (refused.status, refused.code) == (503, "library.damaged")
    path.write_bytes(data)
