"""A server that is sent what no client means, over real sockets: every answer is one of ours, and others are served."""

from __future__ import annotations

import gzip
import json
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from acceptance.conftest import ramp
from acceptance.hosting import CLOSED, Answer, Furnished, Host, furnished, hosted

from intaglio.core.canonical import digest_bytes
from intaglio.imaging.png import encode

MIB = 2**20
CHECK = "/api/workflows/-/check"
JSON = "application/json"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    return furnished(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def host(library: Furnished) -> Iterator[Host]:
    with hosted(library.root, library.root.parent / "log") as found:
        yield found


@pytest.fixture(autouse=True)
def unharmed(host: Host) -> Iterator[None]:
    """After whatever was sent, the server answers at once, and its log tells of no bug."""
    yield
    took = min(_seconds(host) for _ in range(3))
    assert took < 1.0
    assert "Traceback" not in host.log
    assert " status=500 " not in host.log


def _seconds(host: Host) -> float:
    began = time.perf_counter()
    assert httpx2.get(f"{host.url}/health", timeout=20).status_code == 200
    return time.perf_counter() - began


def exchange(host: Host, *parts: bytes, seconds: float = 20.0) -> Answer:
    """What the server says to bytes, as far as the end of its first answer."""
    with socket.create_connection(("127.0.0.1", host.port), timeout=seconds) as connection:
        with suppress(ConnectionError):  # it may have said already that it has had enough
            for part in parts:
                connection.sendall(part)
        return _read(connection)


def _read(connection: socket.socket) -> Answer:
    said = b""
    with suppress(ConnectionError):
        while not _is_whole(said) and (more := connection.recv(65536)):
            said += more
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(first.split()[1]) if first else CLOSED, headers, body)


def _is_whole(said: bytes) -> bool:
    head, end, body = said.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end) and bool(lengths) and len(body) >= int(lengths[0])


def head(host: Host, line: str, *headers: str) -> bytes:
    """A request's line and headers."""
    return "\r\n".join([f"{line} HTTP/1.1", f"Host: 127.0.0.1:{host.port}", *headers, "", ""]).encode("latin-1")


def posted(host: Host, path: str, body: bytes, kind: str = JSON, *headers: str) -> Answer:
    """The answer to a body."""
    about = (f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers)
    return exchange(host, head(host, f"POST {path}", *about), body)


# -- HTTP itself ----------------------------------------------------------------------------------------------------

LINES = {
    "noise": b"\x00\x01\x02\x03\r\n\r\n",
    "no version": b"GET /health\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a space before the colon": b"GET /health HTTP/1.1\r\nHost : a\r\n\r\n",
    "NUL in the path": b"GET /\x00 HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "raw UTF-8 in the path": "GET /ä HTTP/1.1\r\nHost: HOST\r\n\r\n".encode(),
    "NUL in a header": b"GET /health HTTP/1.1\r\nHost: HOST\r\nX: a\x00b\r\n\r\n",
    "CR in a header": b"GET /health HTTP/1.1\r\nHost: HOST\r\nX: a\rb\r\n\r\n",
    "NUL in a header's name": b"GET /health HTTP/1.1\r\nHost: HOST\r\nX\x00: b\r\n\r\n",
    "HTTP/2 unasked": b"PRI * HTTP/2.0\r\nHost: HOST\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100ba010000b60303") + b"a" * 100 + b"\r\n\r\n",
    "another protocol": b"EHLO mail.example.com\r\n\r\n",
}


@pytest.mark.parametrize("name", LINES)
def test_what_is_no_http_is_said_to_be_none_and_ends_the_connection(host: Host, name: str) -> None:
    answer = exchange(host, LINES[name].replace(b"HOST", f"127.0.0.1:{host.port}".encode()))
    if name == "HTTP/2 unasked":
        assert answer.status == 404
        return
    assert (answer.status, answer.code) == (400, "invalid")
    assert answer.headers["connection"] == "close"


BODIES = {
    "two lengths": "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "two lengths in one": "Content-Length: 2, 3\r\n\r\n{} ",
    "a length and chunks": "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks and a length": "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": "Content-Length: -1\r\n\r\n",
    "a length with a sign": "Content-Length: +2\r\n\r\n{}",
    "a length in words": "Content-Length: two\r\n\r\n{}",
    "a length of 30 digits": f"Content-Length: {'9' * 30}\r\n\r\n{{}}",
    "a chunk size that is none": "Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
    "a negative chunk size": "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n-1\r\n}\r\n0\r\n\r\n",
    "a chunk without an end": "Transfer-Encoding: chunked\r\n\r\n1\r\n{}}}}\r\n0\r\n\r\n",
    "a chunk size of 30 digits": f"Transfer-Encoding: chunked\r\n\r\n{'f' * 30}\r\n{{}}\r\n0\r\n\r\n",
    "a trailer that is none": "Transfer-Encoding: chunked\r\n\r\n0\r\n\x00: x\r\n\r\n",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_of_unclear_length_is_refused_and_ends_the_connection(host: Host, library: Furnished, name: str) -> None:
    """Else what one request ends with is the next one, to us or to a proxy before us."""
    hidden = f"GET /api/tasks/{library.names['task']} HTTP/1.1\r\nHost: 127.0.0.1:{host.port}\r\n\r\n"
    sent = head(host, "POST /api/library/check", "Content-Type: application/json")[:-2] + BODIES[name].encode()
    with socket.create_connection(("127.0.0.1", host.port), timeout=20) as connection:
        connection.sendall(sent + hidden.encode())
        answer = _read(connection)
        assert answer.status in (400, 501), answer
        assert answer.code == "invalid"
        with suppress(ConnectionError):
            assert connection.recv(65536) == b"", "what was hidden behind it is not answered"


@pytest.mark.parametrize(("encoding", "status"), [("gzip, chunked", 501), ("cow", 501), ("chunked, identity", 501)])
def test_no_transfer_encoding_but_chunked_is_known(host: Host, encoding: str, status: int) -> None:
    answer = exchange(host, head(host, f"POST {CHECK}", f"Transfer-Encoding: {encoding}"), b"0\r\n\r\n")
    assert (answer.status, answer.code) == (status, "invalid")


def test_heads_of_any_length_are_refused(host: Host) -> None:
    for sent in (
        head(host, "GET /health", "X: " + "a" * MIB),
        head(host, "GET /health", *["a: b"] * 10_000),
        head(host, "GET /health", *["a: b"] * 200),
        head(host, f"GET /{'a' * 100_000}"),
        head(host, f"GET /api/tasks?{'a=1&' * 25_000}"),
        head(host, "GET /api/tasks", f"If-None-Match: {'x' * 100_000}"),
        head(host, f"{'A' * 100_000} /"),
        head(host, "GET /" + "%2e" * 10_000),
    ):
        answer = exchange(host, sent)
        assert answer.status in (413, 431)
        assert answer.code == "too_large"
        assert len(answer.body) < 1000


def test_a_head_that_never_stops_growing_is_refused_long_before_its_end(host: Host) -> None:
    answer = exchange(host, head(host, "GET /health")[:-2], *[b"a: " + b"b" * 60_000 + b"\r\n"] * 200)
    assert answer.status in (431, CLOSED), "what a client had not read is lost when it goes on sending"


@pytest.mark.parametrize(
    "path",
    [
        "/%2e%2e%2f%2e%2e%2fetc/passwd",
        "//etc/passwd",
        "/../../../etc/passwd",
        "/\\..\\..\\etc\\passwd",
        "/docs/../../etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "/api/assets/../../etc/passwd/content",
        "/api/assets//etc/passwd/content",
        "/api/assets/%2fetc%2fpasswd/content",
        "/api/assets/..%2f..%2f..%2f..%2fetc%2fpasswd/content",
        "/api/assets/file:%2f%2f%2fetc%2fpasswd/content",
        "/api/assets/%2fetc%2fpasswd/thumbnail",
        "/api/assets/%2fetc%2fpasswd/with-record",
        "/api/assets/%2fetc%2fpasswd",
        "/api/assets/upload:../../../etc/passwd/content",
        f"/api/assets/upload:{'0' * 32}%2f..%2f..%2f..%2fetc%2fpasswd/content",
        "/api/assets/%c0%ae%c0%ae%c0%af%c0%ae%c0%ae%c0%afetc%c0%afpasswd/content",
        "/api/assets/%00/content",
        "/api/assets/%0d%0aX-Injected:%201/content",
        "/api/assets/%ff%fe/content",
        "/api/assets/%ed%a0%80/content",
        "/api/versions/%2fetc%2fpasswd",
        "/api/versions/%2fetc%2fpasswd/export",
        "/api/workflows/%2fetc%2fpasswd",
        "/api/models/%2fetc%2fpasswd",
        "/api/tasks/..%2f..%2f..%2fetc%2fpasswd/progress",
        "/api/tasks/%2e%2e/record",
        "/api/variations/..%2f../export",
        "/api/nodes/..%2f..%2fetc",
        "/api/workflows/%zz",
        "/api/workflows/%",
        f"/api/workflows/{'a' * 12_000}",
    ],
)
def test_a_path_names_things_of_the_library_and_no_files(host: Host, path: str) -> None:
    answer = exchange(host, head(host, f"GET {path}"))
    assert answer.status in (404, 422), answer
    assert answer.code in ("not_found", "invalid")
    assert b"root:" not in answer.body
    assert "x-injected" not in answer.headers


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PATCH", "PROPFIND", "get", "A" * 1000, "DELETE"])
def test_methods_that_an_address_does_not_take_are_refused(host: Host, method: str) -> None:
    answer = exchange(host, head(host, f"{method} /api/tasks", "Cookie: secret=1"))
    assert (answer.status, answer.code) == (405, "method")
    assert answer.headers["allow"] == "GET, POST"
    assert b"secret" not in answer.body
    assert "access-control-allow-origin" not in answer.headers


def test_no_header_makes_a_request_another_one(host: Host, library: Furnished) -> None:
    hook = library.names["webhook"]
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"):
        answer = exchange(host, head(host, "GET /api/webhooks", f"{name}: DELETE"))
        assert answer.status == 200
    for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"):
        answer = exchange(host, head(host, "GET /health", f"{name}: /api/tokens"))
        assert json.loads(answer.body) == {"status": "ok"}
    assert hook in httpx2.get(f"{host.url}/api/webhooks").text


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "HTTP/3.0", "TLS/1.2, x" + "y" * 5000])
def test_no_connection_becomes_one_of_another_protocol(host: Host, upgrade: str) -> None:
    headers = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABk")
    keys = ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13")
    answer = exchange(host, head(host, "GET /health", *headers, *keys))
    assert answer.status == 200
    assert "upgrade" not in answer.headers


# -- pages of other sites ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        ("Host: evil.example:PORT",),
        ("Host: 127.0.0.1.evil.example:PORT",),
        ("Host: 127.0.0.1:1",),
        ("Host: evil.example@127.0.0.1:PORT",),
        ("Host: 0.0.0.0:PORT",),
        ("Host: 127.1:PORT",),
        ("Host: ",),
        ("Host: 127.0.0.1:PORT", "Origin: null"),
        ("Host: 127.0.0.1:PORT", "Origin: https://evil.example"),
        ("Host: 127.0.0.1:PORT", "Origin: http://127.0.0.1:PORT.evil.example"),
        ("Host: 127.0.0.1:PORT", "Origin: https://127.0.0.1:PORT"),
        ("Host: 127.0.0.1:PORT", "Origin: http://127.0.0.1:1"),
        ("Host: 127.0.0.1:PORT", "Origin: http://localhost:PORT"),
        ("Host: 127.0.0.1:PORT", "Origin: http://127.0.0.1:PORT", "Origin: http://evil.example"),
        ("Host: 127.0.0.1:PORT", "Origin: file://"),
        ("Host: 127.0.0.1:PORT", "Sec-Fetch-Site: cross-site"),
        ("Host: 127.0.0.1:PORT", "Sec-Fetch-Site: same-site"),
        ("Host: 127.0.0.1:PORT", "Origin: http://127.0.0.1:PORT", "Sec-Fetch-Site: cross-site"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("path", ["GET /api/tokens", "POST /api/library/check", "GET /health"])
def test_no_page_of_another_site_gets_an_answer(host: Host, headers: tuple[str, ...], path: str) -> None:
    lines = [f"{path} HTTP/1.1", *headers, "Content-Type: text/plain", "Content-Length: 2", "", "{}"]
    answer = exchange(host, "\r\n".join(lines).replace("PORT", str(host.port)).encode())
    assert (answer.status, answer.code) == (403, "forbidden")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("header", ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "Via: 1.1 x"])
def test_who_comes_through_a_proxy_is_not_the_local_user(host: Host, header: str) -> None:
    answer = exchange(host, head(host, "GET /api/tasks", header))
    assert (answer.status, answer.code) == (401, "unauthorized")


def test_a_form_of_a_page_is_no_body(host: Host) -> None:
    """What a page can send to another site without asking first is no JSON to us."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = posted(host, "/api/library/check", b"{}", kind)
        assert (answer.status, answer.code) == (422, "invalid")


# -- JSON -----------------------------------------------------------------------------------------------------------

DEEP = 100_000
VALUES: dict[str, bytes] = {
    "lists in lists": b"[" * DEEP + b"]" * DEEP,
    "objects in objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "never closed": b"[" * DEEP,
    "65 levels": b'{"workflow":' * 65 + b"1" + b"}" * 65,
    "a list": b"[]",
    "a text": b'"{}"',
    "a number": b"1",
    "null": b"null",
    "two values": b"{}{}",
    "a comment": b"{/**/}",
    "single quotes": b"{'workflow': 'plain'}",
    "a key twice": b'{"workflow": "plain", "workflow": "other"}',
    "a key twice, escaped": b'{"workflow": "plain", "\\u0077orkflow": "other"}',
    "NaN": b'{"workflow": NaN}',
    "Infinity": b'{"workflow": -Infinity}',
    "1e999": b'{"workflow": "plain", "set": [1e999]}',
    "2^53 + 1": b'{"workflow": {"name": "a", "nodes": {"a": {"type": "b", "count": 9007199254740993}}}}',
    "10,000 digits": b'{"workflow": ' + b"9" * 10_000 + b"}",
    "10,000 digits after the point": b'{"workflow": 0.' + b"1" * 10_000 + b"}",
    "an exponent of 10,000 digits": b'{"workflow": 1e' + b"1" * 10_000 + b"}",
    "half a character": b'{"workflow": "\\ud800"}',
    "half a character as a key": b'{"\\udfff": 1}',
    "NUL": b'{"workflow": "pl\\u0000ain"}',
    "a raw NUL": b'{"workflow": "pl\x00ain"}',
    "UTF-16": '{"workflow": "plain"}'.encode("utf-16"),
    "UTF-32": '{"workflow": "plain"}'.encode("utf-32"),
    "a byte order mark": b'\xef\xbb\xbf{"workflow": "plain"}',
    "latin-1": b'{"workflow": "\xe4"}',
    "overlong UTF-8": b'{"workflow": "\xc0\xaf"}',
    "surrogates as bytes": b'{"workflow": "\xed\xa0\x80"}',
    "cut off": b'{"workflow": "pla',
    "100,000 unknown keys": json.dumps({f"k{n}": n for n in range(100_000)}).encode(),
    "__proto__": b'{"__proto__": {"admin": true}, "workflow": "plain"}',
    "python's own": b'{"workflow": {"py/object": "os.system"}}',
    "a long text": b'{"workflow": "' + b"x" * MIB + b'"}',
    "noise": bytes(range(256)) * 10,
}


@pytest.mark.parametrize("name", VALUES)
def test_json_that_no_client_means_is_refused(host: Host, name: str) -> None:
    answer = posted(host, CHECK, VALUES[name])
    assert answer.status in (404, 422), answer
    assert answer.code in ("invalid", "not_found", "workflow.invalid", "record.invalid", "seed.invalid")
    assert len(answer.body) < 10_000, "what was wrong is not sent back whole"


def test_a_body_of_50_MB_is_refused_before_it_is_read(host: Host) -> None:
    answer = exchange(host, head(host, f"POST {CHECK}", f"Content-Type: {JSON}", f"Content-Length: {50 * MIB}"), b"{")
    assert (answer.status, answer.code) == (413, "too_large")
    chunk = f"{MIB:x}\r\n".encode() + b" " * MIB + b"\r\n"
    chunked = head(host, f"POST {CHECK}", f"Content-Type: {JSON}", "Transfer-Encoding: chunked")
    assert exchange(host, chunked, *[chunk] * 50).status in (413, CLOSED)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, gzip", "identity, gzip", "x" * 1000])
@pytest.mark.parametrize("path", [CHECK, "/api/uploads", "/api/assets"])
def test_nothing_packed_is_unpacked(host: Host, path: str, coding: str) -> None:
    bomb = gzip.compress(b'{"workflow": "' + b" " * (64 * MIB) + b'"}', 1) if coding == "gzip" else zlib.compress(b"{}")
    kind = {CHECK: JSON, "/api/uploads": "application/octet-stream"}.get(path, "multipart/form-data; boundary=x")
    answer = posted(host, path, bomb, kind, f"Content-Encoding: {coding}")
    assert (answer.status, answer.code) == (422, "invalid")


# -- files ----------------------------------------------------------------------------------------------------------

PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
FIELD = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
FORM = "multipart/form-data; boundary=x"
FORMS: dict[str, tuple[str, bytes]] = {
    "no boundary": ("multipart/form-data", PART),
    "an empty boundary": ("multipart/form-data; boundary=", PART),
    "a boundary of 1,000": (f"multipart/form-data; boundary={'x' * 1000}", b"--" + b"x" * 1000 + b"\r\n"),
    "a boundary of noise": ('multipart/form-data; boundary="\xff\x01"', PART),
    "another kind": ("application/json", b"{}"),
    "no kind": ("", PART),
    "nothing": (FORM, b""),
    "noise": (FORM, bytes(range(256)) * 100),
    "only the end": (FORM, b"--x--\r\n"),
    "cut off": (FORM, PART + b"\x89PNG"),
    "cut off in the headers": (FORM, b"--x\r\nContent-Disposition: form"),
    "endless headers": (FORM, b"--x\r\n" + b"A: b\r\n" * 200_000),
    "an endless header": (FORM, b"--x\r\nContent-Disposition: " + b"a" * MIB),
    "100,000 fields": (FORM, (FIELD + b"b\r\n") * 100_000 + b"--x--\r\n"),
    "a long field": (
        FORM,
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"b" * 5 * MIB + b"\r\n--x--\r\n",
    ),
    "another one inside": (
        FORM,
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: multipart/mixed; boundary=y'
        b"\r\n\r\n--y\r\nContent-Disposition: attachment; filename=b\r\n\r\nhello\r\n--y--\r\n--x--\r\n",
    ),
    "no name": (FORM, b"--x\r\nContent-Disposition: form-data\r\n\r\nb\r\n--x--\r\n"),
    "another field": (FORM, PART.replace(b'"file"', b'"path"') + b"b\r\n--x--\r\n"),
    "no picture": (FORM, PART + b"words\r\n--x--\r\n"),
    "an empty file": (FORM, PART + b"\r\n--x--\r\n"),
    "encoded": (FORM, PART[:-2] + b"Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--x--\r\n"),
    "200 files": (FORM, (PART + b"b\r\n") * 200 + b"--x--\r\n"),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_that_no_client_means_are_refused_and_leave_nothing(host: Host, library: Furnished, name: str) -> None:
    kind, body = FORMS[name]
    answer = posted(host, "/api/assets", body, kind)
    assert answer.status in (413, 422), answer
    assert answer.code in ("invalid", "image.invalid", "too_large")
    assert _left(library) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../../x.png",
        "/etc/cron.d/x.png",
        "..\\..\\x.png",
        "a\x00b.png",
        "CON.png",
        ".",
        "..",
        "x" * 5000,
        "\u202egnp.x",
    ],
)
def test_a_files_name_never_leads_out_of_its_folder(host: Host, library: Furnished, name: str) -> None:
    """Whatever a file is called, it lies below the uploads, and nowhere else."""
    before = _around(library)
    picture = encode(ramp(4, 4))
    answer = httpx2.post(f"{host.url}/api/uploads", params={"name": name}, content=picture)
    assert answer.status_code == 201, answer.text
    taken = answer.json()["reference"].partition("/")[2]
    assert "/" not in taken
    assert taken not in ("", ".", "..")
    disposition = f'form-data; name="file"; filename="{name}"'.encode().replace(b"\x00", b"")
    body = b"--x\r\nContent-Disposition: " + disposition[:4000] + b'"\r\n\r\n' + picture + b"\r\n--x--\r\n"
    assert posted(host, "/api/assets", body, FORM).status in (201, 422)
    assert _around(library) == before


def _left(library: Furnished) -> list[str]:
    """Uploads that are half there."""
    folder = library.root / "uploads"
    return [each.name for each in folder.iterdir() if each.name.startswith("half-")] if folder.exists() else []


def _around(library: Furnished) -> set[Path]:
    """What lies in the library and beside it, records, pictures and uploads aside."""
    own = {"blobs", "uploads"}
    return {
        path
        for top in (library.root.parent, library.root.parent.parent)
        for path in top.rglob("*")
        if not own & set(path.relative_to(top).parts) and not path.name.startswith(("library.db", "cache.db"))
    }


def test_a_body_that_stops_in_the_middle_leaves_nothing(host: Host, library: Furnished) -> None:
    for path, kind in (("/api/uploads", "application/octet-stream"), ("/api/assets", FORM), (CHECK, JSON)):
        with socket.create_connection(("127.0.0.1", host.port), timeout=20) as connection:
            about = (f"Content-Type: {kind}", "Content-Length: 1000000")
            connection.sendall(head(host, f"POST {path}", *about) + PART + b"a" * 70_000)
            connection.shutdown(socket.SHUT_WR)
            answer = _read(connection)
            assert answer.status in (400, 422, CLOSED)
    until = time.monotonic() + 20
    while _left(library) and time.monotonic() < until:
        time.sleep(0.01)
    assert _left(library) == []


def test_wrong_digests_keep_nothing(host: Host) -> None:
    picture = encode(ramp(5, 5))
    wrong = digest_bytes(b"another")
    assert httpx2.put(f"{host.url}/api/assets/{wrong}", content=picture).status_code == 422
    assert httpx2.get(f"{host.url}/api/assets/{wrong}").status_code == 404
    for headers in ({"Content-Digest": "sha-256=:x:"}, {"Intaglio-Digest": wrong}):
        assert httpx2.post(f"{host.url}/api/uploads", content=picture, headers=headers).status_code == 422


# -- headers of ours --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ranges",
    [
        "bytes=" + ",".join(["0-0"] * 1000),
        "bytes=" + ",".join(f"{n}-" for n in range(500)),
        "bytes=0-18446744073709551616",
        "bytes=" + "9" * 5000 + "-",
        "bytes=-" + "9" * 100,
        "bytes=5-1",
        "bytes=--1",
        "bytes=a-b",
        "bytes=0-0,,,,",
        "lines=0-1",
        "bytes=",
        "-",
        "bytes=\xff",
    ],
)
def test_ranges_never_give_more_than_there_is(host: Host, library: Furnished, ranges: str) -> None:
    path = f"/api/assets/{library.names['asset']}/content"
    whole = exchange(host, head(host, f"GET {path}"))
    answer = exchange(host, head(host, f"GET {path}", f"Range: {ranges}"))
    assert answer.status in (200, 206, 416, 400)
    assert len(answer.body) <= len(whole.body) + 2000
    if answer.status == 200:
        assert answer.body == whole.body


@pytest.mark.parametrize("tags", ["*", "W/" * 5000, '"' * 9000, ",".join(['"x"'] * 3000), "\xff", ""])
def test_if_none_match_is_any_text(host: Host, library: Furnished, tags: str) -> None:
    path = f"/api/assets/{library.names['asset']}/content"
    answer = exchange(host, head(host, f"GET {path}", f"If-None-Match: {tags}", "Connection: close"))
    assert answer.status == (304 if tags == "*" else 200)


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb", "\xe4", "  ", "x" * 9000])
def test_a_key_that_is_none_is_refused(host: Host, key: str) -> None:
    answer = posted(host, "/api/library/check", b"{}", JSON, f"Idempotency-Key: {key}")
    assert (answer.status, answer.code) == (422, "invalid")


def test_a_key_is_for_one_request(host: Host) -> None:
    def sent(body: Any, path: str = "/api/library/heal") -> tuple[int, str]:
        answer = posted(host, path, json.dumps(body).encode(), JSON, "Idempotency-Key: once")
        return answer.status, json.loads(answer.body).get("id", "")

    first = sent({"dry_run": True})
    assert first[0] == 202
    assert sent({"dry_run": True}) == first
    assert sent({"dry_run": False})[0] == 409
    assert sent({}, "/api/library/check")[0] == 409


@pytest.mark.parametrize("last", ["-1", "1e3", "9" * 400, "٣", "' OR 1=1", "\x7f", "0x10", "1, 2", "NaN"])
def test_an_event_id_that_is_none_is_refused(host: Host, last: str) -> None:
    sent = head(host, "GET /api/events").decode()[:-2] + f"Last-Event-ID: {last}\r\n\r\n"
    answer = exchange(host, sent.encode())
    assert (answer.status, answer.code) in ((422, "invalid"), (400, "invalid"))


@pytest.mark.parametrize("given", ["\r\nSet-Cookie: a=b", "<script>", "x" * 5000, "\x1b[2J", "a b"])
def test_a_request_id_comes_back_only_when_it_is_a_word(host: Host, given: str) -> None:
    sent = head(host, "GET /health").decode()[:-2] + f"X-Request-ID: {given}\r\n\r\n"
    answer = exchange(host, sent.encode())
    if answer.status != 400:
        assert len(answer.headers["x-request-id"]) == 16
    assert "set-cookie" not in answer.headers


def test_a_log_line_is_one_line_whatever_a_path_holds(host: Host) -> None:
    exchange(host, head(host, "GET /api/tasks/%0a2026-01-01T00:00:00Z%20info%20forged%1b[2J"))
    assert "\n2026-01-01T00:00:00Z info forged" not in host.log
    assert "\x1b" not in host.log


# -- time -----------------------------------------------------------------------------------------------------------


def test_many_that_send_a_byte_now_and_then_hold_up_nobody(host: Host) -> None:
    """Slow heads, slow bodies, and clients that read nothing of what they asked for."""
    with ExitStack() as stack:
        slow = []
        for number in range(300):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", host.port), timeout=20))
            slow.append(connection)
            if number % 3 == 0:
                connection.sendall(f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{host.port}\r\nX: ".encode())
            elif number % 3 == 1:
                about = (f"Content-Type: {JSON}", "Content-Length: 1000")
                connection.sendall(head(host, f"POST {CHECK}", *about) + b"{")
            else:
                connection.sendall(head(host, "GET /api/openapi.json") * 3)
        for _ in range(3):
            for connection in slow:
                with suppress(ConnectionError):
                    connection.sendall(b" ")
            assert min(_seconds(host) for _ in range(3)) < 1.0
            began = time.perf_counter()
            assert httpx2.get(f"{host.url}/api/tasks", timeout=20).status_code == 200
            assert time.perf_counter() - began < 5.0


def test_a_hundred_requests_in_a_row_are_answered_in_their_order(host: Host, library: Furnished) -> None:
    names = [library.names["task"], library.names["other_task"]] * 50
    sent = b"".join(head(host, f"GET /api/tasks/{name}/record") for name in names[:-1])
    sent += head(host, f"GET /api/tasks/{names[-1]}/record", "Connection: close")
    with socket.create_connection(("127.0.0.1", host.port), timeout=60) as connection:
        connection.sendall(sent)
        said = b""
        while more := connection.recv(65536):
            said += more
    answered = [json.loads(part.partition(b"\r\n\r\n")[2])["id"] for part in said.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert answered == names
