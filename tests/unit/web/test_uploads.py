"""RUN 1: bringing files over HTTP. Bodies are written as they come, and kept only when they are what was announced."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from anyio import CapacityLimiter
from fastapi import FastAPI
from starlette.types import Message
from unit.web.asking import LOCAL, PORT, Answer, Everyone, ask

from intaglio.core.canonical import digest_bytes
from intaglio.core.image import Image
from intaglio.imaging.png import encode
from intaglio.studio import uploads as kept
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.web import access, errors, limits, uploads
from intaglio.web.limits import MIB, Limits

Headers = Mapping[str, str]
EMPTY: Headers = {}
PICTURE = encode(Image("RGB", 24, 16, bytes(range(256)) * 4 + bytes(128)))
DIGEST = digest_bytes(PICTURE)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with init(tmp_path / "studio", Settings(author="Ada")) as opened:
        yield opened


def application(studio: Studio, given: Limits | None = None) -> FastAPI:
    """A server that takes files and does nothing else."""
    app = FastAPI()
    app.state.studio, app.state.limits, app.state.writers = studio, given or Limits(), CapacityLimiter(2)
    app.include_router(uploads.router)
    errors.install(app)
    limits.install(app, app.state.limits)
    access.install(app, loopback=True, port=PORT, peers=Everyone())
    return app


def post(
    studio: Studio, *body: bytes, query: str = "", given: Limits | None = None, headers: Headers = EMPTY
) -> Answer:
    """The answer to an upload, whose body comes in these pieces, without saying how long it will be."""
    more = list(headers.items())
    return ask(
        application(studio, given), f"/api/uploads?{query}", method="POST", headers=(*LOCAL, *more), body=body or (b"",)
    )


def put(studio: Studio, digest: str, *body: bytes, given: Limits | None = None, headers: Headers = EMPTY) -> Answer:
    more = list(headers.items())
    return ask(
        application(studio, given), f"/api/assets/{digest}", method="PUT", headers=(*LOCAL, *more), body=body or (b"",)
    )


def form(*parts: tuple[str, bytes], boundary: str = "XyZ") -> bytes:
    """A body of parts: what each says of itself, and what it holds."""
    lines = [f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts]
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


def file(name: str, part: str = "file") -> str:
    return f'Content-Disposition: form-data; name="{part}"; filename="{name}"\r\nContent-Type: image/png'


def send(studio: Studio, body: bytes, *, kind: str = "multipart/form-data; boundary=XyZ", step: int = 0) -> Answer:
    pieces = [body[start : start + step] for start in range(0, len(body), step)] if step else [body]
    headers = (*LOCAL, ("content-type", kind))
    return ask(application(studio), "/api/assets", method="POST", headers=headers, body=pieces)


def left(studio: Studio) -> list[Path]:
    """The files that lie among the uploads."""
    return [path for path in kept.folder(studio.parts).rglob("*") if path.is_file()]


def rfc9530(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(sha256(data).digest()).decode()}:"


# -- uploads ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_brought_is_kept_under_the_reference_in_the_answer(studio: Studio) -> None:
    answer = post(studio, b"one ", b"two ", b"", b"three", query="name=../a%20b.txt")
    assert answer.status == 201
    assert set(answer.json) == {"reference", "digest", "size", "expires"}
    assert answer.json["digest"] == digest_bytes(b"one two three") and answer.json["size"] == 13
    assert answer.json["reference"].endswith("/a_b.txt")
    assert kept.resolve(studio.parts, answer.json["reference"]).read_bytes() == b"one two three"


def test_what_is_announced_is_checked_in_both_ways_of_saying_it(studio: Studio) -> None:
    assert (
        post(studio, b"x", headers={"intaglio-digest": digest_bytes(b"x"), "content-digest": rfc9530(b"x")}).status
        == 201
    )
    assert post(studio, b"x", headers={"content-digest": f"sha-512=:AAAA:, {rfc9530(b'x')}"}).status == 201
    for headers in ({"intaglio-digest": digest_bytes(b"y")}, {"content-digest": rfc9530(b"y")}):
        answer = post(studio, b"x", headers=headers)
        assert (answer.status, answer.code) == (422, "invalid")
        assert "was announced" in answer.json["error"]["message"]
    assert len(left(studio)) == 2, "nothing was kept of the others"


@pytest.mark.parametrize(
    "headers",
    [
        {"intaglio-digest": "blake3:12"},
        {"intaglio-digest": "md5:" + "0" * 64},
        {"content-digest": "sha-256=AAAA"},
        {"content-digest": "sha-256=:AAAA:"},
        {"content-encoding": "gzip"},
    ],
)
def test_what_cannot_be_checked_is_refused(studio: Studio, headers: dict[str, str]) -> None:
    assert post(studio, b"x", headers=headers).status == 422
    assert left(studio) == []


def test_more_than_the_limit_is_refused_whether_its_length_is_said_or_not(studio: Studio) -> None:
    small = Limits(upload=1000)
    for headers in (EMPTY, {"content-length": "1001"}):
        answer = post(studio, b"x" * 600, b"x" * 401, given=small, headers=headers)
        assert (answer.status, answer.code) == (413, "too_large")
    assert post(studio, b"x" * 600, b"x" * 400, given=small).status == 201
    assert len(left(studio)) == 1


def test_a_body_that_breaks_off_leaves_nothing(studio: Studio) -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"x" * 3 * MIB, "more_body": True},
        {"type": "http.disconnect"},
    ]
    answers: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answers.append(message)

    scope: dict[str, Any] = {
        "type": "http", "method": "POST", "path": "/api/uploads", "raw_path": b"/api/uploads", "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in LOCAL], "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", PORT), "state": {}, "root_path": "", "http_version": "1.1", "scheme": "http",
    }  # fmt: skip
    asyncio.run(application(studio)(scope, receive, send))
    assert answers[0]["status"] == 422
    assert left(studio) == []


def test_a_large_body_is_never_in_memory_and_is_written_by_other_threads(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, write = set(), kept.Upload.write

    def seen(self: kept.Upload, chunk: bytes) -> None:
        threads.add(threading.current_thread() is threading.main_thread())
        write(self, chunk)

    monkeypatch.setattr(kept.Upload, "write", seen)
    piece = bytes(64 * 1024)
    app = application(studio)
    tracemalloc.start()
    try:
        answer = ask(app, "/api/uploads", method="POST", body=[piece] * 1024)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.json["size"] == 64 * MIB
    assert most < 24 * MIB
    assert threads == {False}


def test_a_zip_is_unpacked_when_that_is_asked_for(studio: Studio) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("model_index.json", "{}")
    answer = post(studio, packed.getvalue(), query="name=tiny.zip&unpack=true")
    assert answer.status == 201
    folder = kept.resolved(studio.parts, answer.json["reference"])
    assert folder.name == "tiny" and (folder / "model_index.json").read_text() == "{}"
    assert post(studio, b"no zip", query="name=x.zip&unpack=true").status == 422
    assert post(studio, packed.getvalue(), query="name=x.tar&unpack=true").status == 422


# -- assets -----------------------------------------------------------------------------------------------------------


def test_a_picture_becomes_an_asset_once(studio: Studio) -> None:
    first, second = put(studio, DIGEST, PICTURE[:100], PICTURE[100:]), put(studio, DIGEST, PICTURE)
    assert (first.status, second.status) == (201, 200)
    assert first.json == second.json
    assert (first.json["digest"], first.json["width"], first.json["media_type"]) == (DIGEST, 24, "image/png")
    assert studio.assets.get(DIGEST) == PICTURE
    assert left(studio) == [], "only the asset is kept"


def test_a_damaged_asset_is_made_whole_by_sending_it_again(studio: Studio) -> None:
    put(studio, DIGEST, PICTURE)
    path = studio.parts.blobs.path_of(DIGEST)
    path.chmod(0o600)
    path.write_bytes(PICTURE[:-3])
    assert put(studio, DIGEST, PICTURE).status == 201
    assert studio.assets.get(DIGEST) == PICTURE


def test_other_bytes_than_the_digest_says_are_refused(studio: Studio) -> None:
    answer = put(studio, digest_bytes(b"other"), PICTURE)
    assert answer.status == 422 and DIGEST in answer.json["error"]["message"]
    assert put(studio, "blake3:abc", PICTURE).status == 422
    assert left(studio) == [] and studio.parts.assets.digests() == set()


def test_what_is_no_picture_is_refused_without_telling_where_it_lies(studio: Studio) -> None:
    for data in (b"no picture", PICTURE[:20], b""):
        answer = put(studio, digest_bytes(data), data)
        assert answer.status == 422
        assert str(studio.root) not in answer.body.decode()
    assert left(studio) == []


def test_a_picture_of_too_many_pixels_is_refused(studio: Studio) -> None:
    answer = put(studio, DIGEST, PICTURE, given=Limits(pixels=24 * 16 - 1))
    assert (answer.status, answer.code) == (413, "too_large")
    assert put(studio, DIGEST, PICTURE, given=Limits(pixels=24 * 16)).status == 201


def test_a_picture_larger_than_an_ordinary_body_may_be_is_taken(studio: Studio) -> None:
    small = Limits(body=100)
    assert put(studio, DIGEST, PICTURE, given=small).status == 201


@pytest.mark.parametrize("step", [0, 1, 7, 1000])
def test_several_files_in_one_body_become_assets_in_their_order(studio: Studio, step: int) -> None:
    other = encode(Image("RGB", 2, 2, bytes(12)))
    body = form(
        (file("a.png"), PICTURE), ('Content-Disposition: form-data; name="note"', b"hello"), (file("b.png"), other)
    )
    answer = send(studio, body, step=step)
    assert answer.status == 201
    assert [each["digest"] for each in answer.json["items"]] == [DIGEST, digest_bytes(other)]
    assert left(studio) == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (form((file("a.png"), PICTURE))[:-10], "multipart/form-data; boundary=XyZ"),
        (form((file("a.png"), PICTURE)), "multipart/form-data"),
        (form((file("a.png"), PICTURE)), "multipart/form-data; boundary=" + "x" * 1000),
        (form((file("a.png"), PICTURE)), "multipart/form-data; boundary=other"),
        (form((file("a.png"), PICTURE)), "image/png"),
        (PICTURE, "multipart/form-data; boundary=XyZ"),
        (form((file("a.png", part="picture"), PICTURE)), "multipart/form-data; boundary=XyZ"),
        (form(("X: y", PICTURE)), "multipart/form-data; boundary=XyZ"),
        (form(('Content-Disposition: form-data; name="note"', b"x")), "multipart/form-data; boundary=XyZ"),
        (form((file("a.png") + "\r\nX: y" * 9, PICTURE)), "multipart/form-data; boundary=XyZ"),
        (form((file("a.png") + "\r\nX: " + "y" * 5000, PICTURE)), "multipart/form-data; boundary=XyZ"),
        (form((file("a.png"), b"no picture")), "multipart/form-data; boundary=XyZ"),
        (b"", "multipart/form-data; boundary=XyZ"),
    ],
)
def test_a_body_that_is_none_is_refused_and_nothing_is_kept(studio: Studio, body: bytes, kind: str) -> None:
    answer = send(studio, body, kind=kind)
    assert (answer.status, answer.code) in {(422, "invalid"), (422, "image.invalid")}
    assert left(studio) == [] and studio.parts.assets.digests() == set()


def test_a_body_of_too_many_parts_is_refused(studio: Studio) -> None:
    for head, count in ((file("a"), 101), ('Content-Disposition: form-data; name="x"', 21)):
        answer = send(studio, form(*[(head, b"x")] * count))
        assert answer.status == 413
    assert send(studio, form(('Content-Disposition: form-data; name="x"', b"x" * 70_000))).status == 413
    assert left(studio) == []


# -- who, and how it is described -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/uploads"), ("PUT", f"/api/assets/{DIGEST}"), ("POST", "/api/assets")]
)
def test_it_takes_the_scope_to_run(studio: Studio, method: str, path: str) -> None:
    token = studio.tokens.create("Cleo", ["read"]).token
    answer = ask(
        application(studio), path, method=method, headers=(*LOCAL, ("authorization", f"Bearer {token}")), body=(b"x",)
    )
    assert answer.status == 403
    assert left(studio) == []


def described(value: Any, where: str) -> Iterator[str]:
    """What of a document has no description."""
    if isinstance(value, list):
        for each in value:
            yield from described(each, where)
    if not isinstance(value, dict):
        return
    for each in value.get("parameters", ()):
        if not each.get("description"):
            yield f"{where} parameter {each['name']}"
    for name, each in value.get("properties", {}).items():
        if isinstance(each, dict) and not each.get("description"):
            yield f"{where} {name}"
    for name, each in value.items():
        yield from described(each, f"{where}/{name}")


def test_the_document_says_all_there_is_to_say(studio: Studio) -> None:
    document = application(studio).openapi()
    operations = [(path, verb, each) for path, verbs in document["paths"].items() for verb, each in verbs.items()]
    assert {(path, verb) for path, verb, _ in operations} == {
        ("/api/uploads", "post"), ("/api/assets/{reference}", "put"), ("/api/assets", "post"),
    }  # fmt: skip
    for path, verb, each in operations:
        assert each["summary"] and each["description"] and each["requestBody"]["content"], (path, verb)
        assert {"401", "403", "413", "422", "429", "500", "503"} <= set(each["responses"]), (path, verb)
        for status, answer in each["responses"].items():
            schema = answer["content"]["application/json"]["schema"]
            assert answer["description"]
            assert status[0] == "2" or schema == {"$ref": "#/components/schemas/Error"}
        assert list(described(each, f"{verb} {path}")) == []
    assert list(described(document["components"]["schemas"]["Uploaded"], "Uploaded")) == []
    assert json.loads(json.dumps(document)) == document


def test_the_statuses_that_come_are_those_that_are_described(studio: Studio) -> None:
    said = application(studio).openapi()["paths"]
    came: Sequence[tuple[str, str, int]] = [
        ("/api/uploads", "post", post(studio, b"x").status),
        ("/api/assets/{reference}", "put", put(studio, DIGEST, PICTURE).status),
        ("/api/assets/{reference}", "put", put(studio, DIGEST, PICTURE).status),
        ("/api/assets", "post", send(studio, form((file("a.png"), PICTURE))).status),
        ("/api/uploads", "post", post(studio, b"xx", given=Limits(upload=1)).status),
    ]
    assert all(str(status) in said[path][verb]["responses"] for path, verb, status in came)
