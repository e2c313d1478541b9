"""Who may do what, at every address the server has: none is left out, because the application itself is walked."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import socket
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from acceptance.conftest import node, ramp
from acceptance.hosting import Answer, Furnished, furnished
from acceptance.workers import emptied
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from intaglio.api.routes import ROUTES
from intaglio.core.canonical import digest_bytes
from intaglio.core.errors import NotFound
from intaglio.core.scope import SCOPES
from intaglio.core.token import Scope, Token
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio, open_for_others
from intaglio.web.app import Config, create_app
from intaglio.web.limits import Limits

OPEN = {"/health", "/ready"}
SIGNED = {"/api/previews/{token}"}
# What anybody with a token may read.
FOR_ALL = {"/docs", "/api/openapi.json"}
# The tokens that lack just one scope: run and approve hold read, admin holds all.
ALL_BUT: Mapping[Scope, tuple[Scope, ...]] = {
    "run": ("read", "approve"),
    "approve": ("read", "run"),
    "admin": ("read", "run", "approve"),
}
# It is given an address to send to, by an administrator; that is what it is for.
TAKES_AN_ADDRESS = "/api/webhooks"
_BLOB = re.compile(r"X'([0-9A-F]+)'")


@dataclass(frozen=True)
class Place:
    """One method of one address, and the scope that the document says it takes ("" = any)."""

    method: str
    path: str
    scope: str
    operation: Any

    @property
    def name(self) -> str:
        """Both, as one reads them."""
        return f"{self.method} {self.path}"


class House:
    """The application over a library with something of everything, as others reach it; asked without a network."""

    def __init__(self, library: Furnished, studio: Studio) -> None:
        self.names = library.names
        self.root = library.root
        self.studio = studio
        self.app: FastAPI = create_app(studio, Config(host="0.0.0.0", limits=Limits(rate=0)))
        self.places = list(_places(self.app))
        self._runner = asyncio.Runner()
        self._alive = self.app.router.lifespan_context(self.app)
        self._runner.run(self._alive.__aenter__())
        self._clients = iter(range(10**6))

    def close(self) -> None:
        """End what runs beside the requests."""
        self._runner.run(self._alive.__aexit__(None, None, None))
        self._runner.close()

    def token(self, *scopes: Scope, person: str = "Grace") -> str:
        """A new token."""
        return self.studio.tokens.create(person, scopes).token

    def ask(self, place: Place, *headers: tuple[str, str], body: Any = None, name: str = "") -> Answer:
        """The answer to a request, of a stream its beginning; `name` stands for every name in the address."""
        path = self._address(place, name)
        wanted = [each for each in place.operation.get("parameters", ()) if each["in"] == "query"]
        query = [f"{each['name']}={quote(name, safe='')}" for each in wanted if name and _is_text(each["schema"])]
        query += ["timeout=0" for each in wanted if each["name"] == "timeout"]
        data = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            headers = (*headers, ("content-type", "application/json"))
        return self._runner.run(self._asked(place.method, path, "&".join(query), headers, data))

    def authorized(self, place: Place, token: str, *, body: Any = None, name: str = "") -> Answer:
        """The answer to who shows a token."""
        return self.ask(place, ("authorization", f"Bearer {token}"), body=body, name=name)

    def body(self, place: Place, text: str = "") -> Any:
        """A body with all fields that are wanted, with names that there are; or with `text` in every text of all."""
        if place.method not in ("POST", "PUT"):
            return None
        content = place.operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        return None if schema is None else self._value(schema, text, "")

    def _value(self, schema: Any, text: str, name: str) -> Any:
        if "$ref" in schema:
            return self._value(self.app.openapi()["components"]["schemas"][schema["$ref"].split("/")[-1]], text, name)
        if "anyOf" in schema:
            return self._value(schema["anyOf"][0], text, name)
        for fixed in ("const", "default"):
            if fixed in schema and not (text and isinstance(schema[fixed], str)):
                return schema[fixed]
        if "enum" in schema:
            return schema["enum"][0]
        kind = schema.get("type")
        if kind == "object":
            fields = schema.get("properties", {})
            wanted = fields if text else {each: fields[each] for each in schema.get("required", ())}
            return {each: self._value(field, text, each) for each, field in wanted.items()}
        if kind == "array":
            return [self._value(schema.get("items", {}), text, name)] * schema.get("minItems", 1)
        return {"integer": 1, "number": 1.0, "boolean": True, "null": None}.get(kind, text or self._named(name, ""))

    def _address(self, place: Place, name: str) -> str:
        noun = [*place.path.split("/"), "", ""][2]
        return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: name or self._named(found[1], noun), place.path)

    def _named(self, parameter: str, noun: str) -> str:
        known = {"workflow": "workflow", "task": "task", "base": "workflow", "change": "version", "digest": "asset"}
        of = {"workflows": "workflow", "tasks": "task", "assets": "asset", "variations": "variation", "jobs": "job"}
        of |= {"tokens": "token", "webhooks": "webhook", "versions": "version"}
        return self.names[known.get(parameter, of.get(noun, "version"))]

    async def _asked(
        self, method: str, path: str, query: str, headers: Sequence[tuple[str, str]], data: bytes
    ) -> Answer:
        came: list[Any] = []
        over = asyncio.Event()
        sent = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive() -> Any:
            if sent:
                return sent.pop()
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            came.append(message)
            if b"text/event-stream" in [value[:17] for _, value in came[0]["headers"]] and len(came) > 1:
                over.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (name.encode(), value.encode("latin-1")) for name, value in (("host", "studio.example.com"), *headers)
            ],
            # Another one each time: who shows bad tokens again and again is told to wait.
            "client": (f"10.0.0.{next(self._clients)}", 50000),
            "server": ("10.0.0.1", 8470),
            "state": {},
        }
        async with asyncio.timeout(60):
            await self.app(scope, receive, send)
        head = {name.decode().lower(): value.decode() for name, value in came[0]["headers"]}
        return Answer(came[0]["status"], head, b"".join(each.get("body", b"") for each in came[1:]))


def _places(app: FastAPI) -> Iterator[Place]:
    document = app.openapi()["paths"]
    for route in iter_route_contexts(app.routes):
        path = str(route.path)
        named = re.sub(r":\w+\}", "}", path)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            operation = document.get(named, {}).get(method.lower(), {})
            found = re.search(r"Scope: `(\w+)`", operation.get("description", ""))
            yield Place(method, named, found[1] if found else "", operation)


def _is_text(schema: Any) -> bool:
    return schema.get("type") == "string" or any(map(_is_text, schema.get("anyOf", ())))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    return furnished(tmp_path_factory.mktemp("access"))


@pytest.fixture(scope="module")
def house(made: Furnished) -> Iterator[House]:
    with open_for_others(made.root) as studio, closing(House(made, studio)) as found:
        yield found


def guarded(house: House) -> list[Place]:
    """The addresses that need somebody who asks."""
    return [each for each in house.places if each.path not in OPEN | SIGNED]


def records(house: House) -> list[str]:
    """Every row of the library, as it is written down."""
    with closing(sqlite3.connect(f"file:{house.root / 'library.db'}?mode=ro", uri=True)) as connection:
        return [
            _BLOB.sub(lambda found: bytes.fromhex(found[1]).decode(errors="replace"), row)
            for row in connection.iterdump()
        ]


def files(house: House) -> set[Path]:
    """Every file of the library, but those of the database."""
    found = {each for each in house.root.rglob("*") if each.is_file()}
    return {each for each in found if not each.name.startswith(("library.db", "cache.db"))}


def test_every_address_is_walked_and_each_says_what_it_takes(house: House) -> None:
    walked = {each.name for each in house.places}
    assert {f"{each.method} /api{each.path.replace(':path', '')}" for each in ROUTES} <= walked
    documented = {f"{m.upper()} {path}" for path, methods in house.app.openapi()["paths"].items() for m in methods}
    assert walked - documented == {"GET /docs", "GET /api/openapi.json"}
    assert documented <= walked
    assert {each.path for each in house.places if not each.scope} == OPEN | SIGNED | FOR_ALL
    table = {f"{each.method} /api{each.path.replace(':path', '')}": each.scope for each in ROUTES}
    assert {each.name: each.scope for each in house.places if each.name in table} == table


def test_nobody_gets_in_without_a_good_token(house: House) -> None:
    revoked, expired = house.studio.tokens.create("Grace", ["admin"]), "intaglio_" + "e" * 43
    house.studio.tokens.revoke(revoked.record.id)
    hash_ = hashlib.sha256(expired.encode()).hexdigest()
    old = "2020-01-01T00:00:00.000000Z"
    house.studio.parts.tokens.add(
        Token(id="token-old", person="Grace", scopes=("admin",), hash=hash_, created=old, author="Ada", expires=old)
    )
    good = house.token("admin")
    wrong = {
        "none": (),
        "another": (("authorization", f"Bearer intaglio_{'x' * 43}"),),
        "revoked": (("authorization", f"Bearer {revoked.token}"),),
        "expired": (("authorization", f"Bearer {expired}"),),
        "its hash": (("authorization", f"Bearer {hashlib.sha256(good.encode()).hexdigest()}"),),
        "half of one": (("authorization", f"Bearer {good[:-1]}"),),
        "as a password": (("authorization", f"Basic {good}"),),
        "twice": (("authorization", f"Bearer {good}"), ("authorization", f"Bearer {good}")),
        "as a cookie": (("cookie", f"token={good}"),),
        "from here, it says": (("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1")),
    }
    before = records(house)
    for place in guarded(house):
        for how, headers in wrong.items():
            answer = house.ask(place, *headers, body=house.body(place))
            assert (answer.status, answer.code) == (401, "unauthorized"), (place.name, how)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert records(house) == before
    for place in house.places:
        if place.path in OPEN:
            assert house.ask(place).status in (200, 503)
            assert "reasons" not in house.ask(place).json
        if place.path in SIGNED:
            assert (house.ask(place).status, house.ask(place).code) == (403, "forbidden")


def test_every_scope_but_the_one_that_is_needed_is_not_enough_and_that_one_is(house: House) -> None:
    without = {scope: house.token(*others) for scope, others in ALL_BUT.items()}
    alone = {scope: house.token(scope) for scope in SCOPES}
    for place in guarded(house):
        if place.scope in without:
            answer = house.authorized(place, without[place.scope])
            assert (answer.status, answer.code) == (403, "forbidden"), place.name
            assert answer.json["error"]["facts"]["scope"] == place.scope
            assert place.scope in answer.json["error"]["message"]
        # With nothing in the body it is refused, or does little; but not for who asks.
        answer = house.authorized(place, alone[place.scope or "read"], name="nothing-of-that-name")  # type: ignore[index]
        assert answer.status not in (401, 403), place.name
        assert answer.status < 500, place.name


def test_who_may_only_read_changes_nothing(house: House) -> None:
    """Not a row, not a file, at any address, whatever verb it is for."""
    token = house.token("read")
    house.authorized(house.places[0], token)
    before, there, last = records(house), files(house), house.studio.parts.journal.last()
    for place in house.places:
        answer = house.authorized(place, token, body=house.body(place))
        assert answer.status < 500, place.name
        assert (answer.status == 403) is (place.scope not in ("read", "") or place.path in SIGNED), place.name
        if place.scope == "read":
            assert answer.status in (200, 204, 404, 409, 422), (place.name, answer.json)
    assert house.studio.parts.journal.last() == last
    assert records(house) == before
    assert files(house) == there


def test_VER_8_what_people_say_and_do_is_signed_with_the_name_on_their_token(house: House) -> None:
    """At every address; and nobody signs as another where a name can be given."""
    token = house.token("admin", person="Grace")
    before = set(records(house))
    signing = 0
    for place in house.places:
        body = house.body(place)
        if body is None or place.path in ("/api/tokens", TAKES_AN_ADDRESS):
            continue
        if "author" in place.operation["requestBody"]["content"]["application/json"]["schema"]["properties"]:
            signing += 1
            answer = house.authorized(place, token, body={**body, "author": "Ada"})
            assert (answer.status, answer.code) == (403, "forbidden"), place.name
            answer = house.authorized(place, token, body={**body, "author": "Grace"})
            assert answer.status != 403, place.name
        house.authorized(place, token, body=body)
    assert signing >= 5
    # A token that is revoked still says who made it.
    added = "\n".join(row for row in set(records(house)) - before if '"kind":"token"' not in row)
    assert '"author":"Grace"' in added
    assert '"author":"Ada"' not in added
    verdict = Place("POST", "/api/versions/{reference}/comment", "run", {})
    said = house.authorized(verdict, house.token("run", person="Lin"), body={"text": "signed"}).json
    assert said["author"] == "Lin"
    remarks = house.studio.versions.remarks(house.names["version"])
    assert [each.author for each in remarks if each.note == "signed"] == ["Lin"]


def test_no_secret_leaves_in_any_answer_nor_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Not a token, not what is kept of it, not a webhook's secret; not even to an administrator, after it was made."""
    tokens = [house.token("read"), house.token("run"), house.token("approve"), house.token("read", "run", "approve")]
    admin = house.token("admin")
    hook = house.studio.webhooks.add("http://127.0.0.1:9/other", events=["variation.remark"])
    secrets = [*tokens, admin, hook.secret, *(each.secret for each in house.studio.parts.webhooks.list())]
    secrets += [each.hash for each in house.studio.parts.tokens.list()]
    root = str(house.root)
    with caplog.at_level(logging.DEBUG):
        for place in house.places:
            for token in (*tokens, admin):
                if token is admin and place.path in ("/api/tokens", TAKES_AN_ADDRESS) and place.method == "POST":
                    continue
                answer = house.authorized(place, token, body=house.body(place))
                said = answer.body.decode(errors="replace") + json.dumps(answer.headers)
                assert [secret for secret in secrets if secret in said] == [], place.name
                assert root not in said, place.name
            # As part of what is wrong, neither.
            answer = house.authorized(place, admin, name=f"intaglio_{'s' * 43}")
            assert [secret for secret in secrets if secret in answer.body.decode(errors="replace")] == []
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert [secret for secret in secrets if secret in logged] == []


@pytest.mark.parametrize("how", ["http", "file", "path", "up", "workflow", "upload"])
def test_no_address_fetches_or_opens_what_a_request_names(house: House, tmp_path: Path, how: str) -> None:
    """Nor does the worker that carries out what they put into the queue."""
    stolen = tmp_path / "stolen.png"
    picture = encode(ramp(31, 7))
    stolen.write_bytes(picture)
    document = {"in": node("reference-image", image=str(stolen)), "out": node("output", "in")}
    workflow = tmp_path / "stolen.json"
    workflow.write_text(json.dumps({"name": "stolen", "nodes": document}))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    text = {
        "http": f"http://127.0.0.1:{listener.getsockname()[1]}/x",
        "file": f"file://{stolen}",
        "path": str(stolen),
        "up": "../" * 20 + str(stolen).lstrip("/"),
        "workflow": str(workflow),
        "upload": f"upload:{'0' * 32}/../../../../{stolen}",
    }[how]
    token = house.token("admin")
    try:
        for place in house.places:
            for body, name in ((house.body(place, text), ""), (house.body(place), text)):
                if place.path == TAKES_AN_ADDRESS and place.method == "POST":
                    continue
                answer = house.authorized(place, token, body=body, name=name)
                assert answer.status < 500, (place.name, answer.body[:500])
                assert picture not in answer.body, place.name
        if how in ("http", "path"):
            emptied(house.studio)
        for job in house.studio.jobs.list(status="queued", limit=1000):
            house.studio.jobs.cancel(job.id)
        with pytest.raises(BlockingIOError):
            listener.accept()
    finally:
        listener.close()
    assert "stolen" not in {name for name, *_ in house.studio.workflows.list()}
    with pytest.raises(NotFound):
        house.studio.assets.show(digest_bytes(picture))
    assert [each for each in tmp_path.iterdir() if each not in (stolen, workflow)] == [], (
        "nothing was written beside it"
    )
