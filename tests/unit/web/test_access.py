"""RUN 1, VER 8: who is let in, as whom, and to what."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.web.asking import FAR, LOCAL, PORT, Answer, application, ask

from intaglio.core.errors import Forbidden
from intaglio.core.scope import SCOPES, allows
from intaglio.core.token import Scope
from intaglio.studio import logs
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.studio.tokens import Grant
from intaglio.web.access import Principal, signer
from intaglio.web.peer import Peers

HELD: dict[Scope, set[Scope]] = {
    "read": {"read"},
    "run": {"read", "run"},
    "approve": {"read", "approve"},
    "admin": {"read", "run", "approve", "admin"},
}


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with init(tmp_path / "studio", Settings(author="Ada")) as opened:
        yield opened


def bearer(token: str) -> tuple[str, str]:
    """The header that shows a token."""
    return ("authorization", f"Bearer {token}")


def given(studio: Studio, *scopes: Scope, person: str = "Cleo") -> tuple[tuple[str, str], Grant]:
    """A new token, as the header that shows it, and what it grants."""
    made = studio.tokens.create(person, scopes or ("read",))
    return bearer(made.token), made.record


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_holds_these_and_no_others(scope: Scope) -> None:
    assert {needed for needed in SCOPES if allows([scope], needed)} == HELD[scope]
    assert not any(allows([], needed) for needed in SCOPES)


def test_on_loopback_who_sends_no_token_is_the_local_user(studio: Studio) -> None:
    who = ask(application(studio)).json
    assert who == {"person": "Ada", "scopes": list(SCOPES), "how": "local", "token": ""}


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"LOCALHOST:{PORT}", f"[::1]:{PORT}"])
def test_on_loopback_these_are_its_names(studio: Studio, host: str) -> None:
    assert ask(application(studio), headers=[("host", host)]).status == 200


@pytest.mark.parametrize("path", ["/who", "/events", "/health", "/nowhere"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        f"127.0.0.1:{PORT + 1}",
        "127.0.0.1",
        f"localhost.evil.example:{PORT}",
        f"localhost.:{PORT}",
        f"127.0.0.1:{PORT}@evil.example",
        f"0.0.0.0:{PORT}",
        "",
    ],
)
def test_RUN_1_a_name_that_was_pointed_at_loopback_is_refused(studio: Studio, path: str, host: str) -> None:
    refused = ask(application(studio), path, headers=[("host", host)])
    assert (refused.status, refused.code) == (403, "forbidden")


def test_on_loopback_a_host_has_to_be_there_once(studio: Studio) -> None:
    app = application(studio)
    assert ask(app, headers=[]).status == 403
    assert ask(app, headers=[*LOCAL, ("host", "evil.example")]).status == 403
    assert ask(app, headers=[*LOCAL, ("origin", f"http://127.0.0.1:{PORT}"), ("origin", "null")]).status == 403


OTHERS = [
    ("origin", "https://evil.example"),
    ("origin", "null"),
    ("origin", f"http://localhost:{PORT}"),  # another name than the one that was asked: maybe another server's
    ("origin", f"https://127.0.0.1:{PORT}"),
    ("origin", "http://127.0.0.1:3000"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-site", "same-site"),
]


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("header", OTHERS, ids=lambda header: header[1])
def test_RUN_1_no_page_of_another_site_reaches_a_server_on_loopback(
    studio: Studio, header: tuple[str, str], method: str
) -> None:
    app = application(studio)
    for path in ("/who", "/events", "/sign", "/health"):
        refused = ask(app, path, method=method, headers=[*LOCAL, header])
        assert (refused.status, refused.code) == (403, "forbidden")
        assert not any(name.startswith("access-control") for name in refused.headers), "no CORS, ever"


def test_a_page_of_its_own_reaches_a_server_on_loopback(studio: Studio) -> None:
    own = [("origin", f"http://127.0.0.1:{PORT}"), ("sec-fetch-site", "same-origin")]
    assert ask(application(studio), headers=[*LOCAL, *own]).status == 200
    assert ask(application(studio), headers=[*LOCAL, ("sec-fetch-site", "none")]).status == 200


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host"])
def test_what_comes_through_a_proxy_is_never_the_local_user(studio: Studio, name: str) -> None:
    app = application(studio)
    refused = ask(app, headers=[*LOCAL, (name, "127.0.0.1")])
    assert (refused.status, refused.code) == (401, "unauthorized")
    shown, _ = given(studio)
    assert ask(app, headers=[*LOCAL, (name, "127.0.0.1"), shown]).json["person"] == "Cleo"


class Nobody(Peers):
    """No peer is of our own user."""

    def are_ours(self, client: tuple[str, int] | None, server: tuple[str, int] | None) -> bool:
        return False


def test_RUN_1_another_user_of_this_machine_needs_a_token(studio: Studio) -> None:
    app = application(studio, peers=Nobody())
    refused = ask(app)
    assert (refused.status, refused.code) == (401, "unauthorized")
    shown, _ = given(studio)
    assert ask(app, headers=[*LOCAL, shown]).json["person"] == "Cleo"


@pytest.mark.parametrize("loopback", [True, False])
def test_VER_8_a_token_makes_its_person_of_whoever_asks(studio: Studio, loopback: bool) -> None:
    shown, grant = given(studio, "approve", "run")
    who = ask(application(studio, loopback=loopback), headers=[*(LOCAL if loopback else FAR), shown]).json
    assert who == {"person": "Cleo", "scopes": ["run", "approve"], "how": "token", "token": grant.id}


@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize(
    "shown",
    [
        "Bearer intaglio_" + "A" * 43,
        "Bearer intaglio_short",
        "Bearer ",
        "Bearer",
        "Basic QWRhOkFkYQ==",
        "",
        "Bearer \xff\xfe",
        "Bearer " + "x" * 10_000,
    ],
)
def test_a_bad_token_is_refused_on_loopback_too(studio: Studio, loopback: bool, shown: str) -> None:
    app = application(studio, loopback=loopback)
    refused = ask(app, headers=[*(LOCAL if loopback else FAR), ("authorization", shown)])
    assert (refused.status, refused.code) == (401, "unauthorized")
    assert refused.headers["www-authenticate"].startswith("Bearer")


def test_two_tokens_at_once_are_refused(studio: Studio) -> None:
    assert ask(application(studio), headers=[*LOCAL, given(studio)[0], given(studio)[0]]).status == 401


PATHS = ["/who", "/read", "/sign", "/events", "/picture", "/api/uploads", "/docs", "/openapi.json", "/nowhere"]


@pytest.mark.parametrize("path", PATHS)
def test_RUN_1_beyond_loopback_nobody_gets_in_without_a_token(studio: Studio, path: str) -> None:
    refused = ask(application(studio, loopback=False), path, headers=FAR)
    assert (refused.status, refused.code) == (401, "unauthorized")
    assert refused.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_health_is_said_to_anybody(studio: Studio, path: str) -> None:
    assert ask(application(studio, loopback=False, hosts=["a.example"]), path, headers=FAR).status == 200


def test_health_is_said_to_another_user_and_who_asks_is_known_where_they_say_it(studio: Studio) -> None:
    shown, _ = given(studio)
    for app, headers in ((application(studio, peers=Nobody()), LOCAL), (application(studio, loopback=False), FAR)):
        assert ask(app, "/health", headers=headers).json == {"person": None}
        assert ask(app, "/health", headers=[*headers, shown]).json == {"person": "Cleo"}
        assert ask(app, "/health", headers=[*headers, ("authorization", "Bearer x")]).status == 401
    assert ask(application(studio), "/health").json == {"person": "Ada"}


def test_an_address_that_is_signed_is_looked_at_without_a_token_under_the_servers_own_name(studio: Studio) -> None:
    app = application(studio, loopback=False, hosts=["studio.example.com"])
    assert ask(app, "/api/previews/x", headers=FAR).json == {"person": None}
    assert ask(app, "/api/previews/x", headers=[("host", "evil.example")]).status == 403
    assert ask(app, "/api/previews", headers=FAR).status == 401
    assert ask(application(studio), "/api/previews/x", headers=[*LOCAL, ("sec-fetch-site", "cross-site")]).status == 403


def test_beyond_loopback_a_server_answers_to_its_names_alone(studio: Studio) -> None:
    app, (shown, _) = application(studio, loopback=False, hosts=["Studio.example.com"]), given(studio)
    for host, status in (
        ("studio.example.com", 200),
        ("studio.example.com:443", 200),
        ("evil.example", 403),
        ("", 403),
    ):
        assert ask(app, headers=[("host", host), shown]).status == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://studio.example.com", 200),
        ("https://studio.example.com:443", 200),
        ("http://studio.example.com", 200),
        ("https://studio.example.com:8443", 403),
        ("https://evil.example", 403),
        ("https://studio.example.com.evil.example", 403),
        ("ftp://studio.example.com", 403),
        ("null", 403),
    ],
)
def test_beyond_loopback_no_page_of_another_site_gets_an_answer(studio: Studio, origin: str, status: int) -> None:
    shown, _ = given(studio)
    assert ask(application(studio, loopback=False), headers=[*FAR, shown, ("origin", origin)]).status == status


@pytest.mark.parametrize("scope", SCOPES)
def test_a_token_does_what_its_scope_holds_and_nothing_else(studio: Studio, scope: Scope) -> None:
    app, (shown, _) = application(studio, loopback=False), given(studio, scope)
    for needed in SCOPES:
        found = ask(app, f"/{needed}", headers=[*FAR, shown])
        if needed in HELD[scope]:
            assert found.json == {"person": "Cleo"}
        else:
            assert (found.status, found.code) == (403, "forbidden")
            assert found.json["error"]["facts"] == {"scope": needed}


def test_a_revoked_token_is_good_for_nothing_from_then_on(studio: Studio) -> None:
    app, (shown, grant) = application(studio), given(studio)
    assert ask(app, headers=[*LOCAL, shown]).status == 200
    studio.tokens.revoke(grant.id)
    refused = ask(app, headers=[*LOCAL, shown])
    assert refused.status == 401 and "was revoked" in refused.json["error"]["message"]


def test_VER_8_named_people_sign_as_themselves_and_the_local_user_for_anyone(studio: Studio) -> None:
    app, (shown, _) = application(studio), given(studio)

    def signed(asked: str, *headers: tuple[str, str]) -> Answer:
        return ask(app, f"/sign?author={asked}", method="POST", headers=[*LOCAL, *headers])

    assert signed("").json == {"author": "Ada"}
    assert signed("Bob").json == {"author": "Bob"}
    assert signed("", shown).json == signed("Cleo", shown).json == {"author": "Cleo"}
    for other in ("Bob", "Ada", "cleo"):
        assert (signed(other, shown).status, signed(other, shown).code) == (403, "forbidden")
    with pytest.raises(Forbidden):
        signer(Principal("Cleo", ("admin",), "token", "token-1"), "Ada")


def test_failed_tokens_are_limited_and_good_ones_still_let_in(studio: Studio) -> None:
    app, bad, (shown, _) = application(studio), bearer("intaglio_" + "A" * 43), given(studio)
    found = [ask(app, headers=[*LOCAL, bad]) for _ in range(12)]
    assert [answer.status for answer in found] == [401] * 10 + [429] * 2
    assert 1 <= int(found[-1].headers["retry-after"]) <= 10
    assert ask(app, headers=[*LOCAL, bad], client=("127.0.0.2", 1)).status == 401, "counted by address"
    assert ask(app, headers=[*LOCAL, shown]).status == 200


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """What the server's log says; the loggers are as before afterwards."""
    root = logging.getLogger()
    handlers, level, stream = root.handlers[:], root.level, io.StringIO()
    logs.setup("text", stream, logging.DEBUG)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_no_token_stands_in_a_log(studio: Studio, said: io.StringIO) -> None:
    made = studio.tokens.create("Cleo", ["read"])
    studio.tokens.revoke(made.record.id)
    app = application(studio)
    assert ask(app, headers=[*LOCAL, bearer(made.token)]).status == 401
    logging.getLogger("uvicorn.error").info('%s - "%s"', "1.2.3.4", f"GET /?token={made.token}")
    logging.getLogger("uvicorn.error").warning("headers: Authorization: Bearer sesame, and more")
    logging.getLogger("anything").warning("headers: %s", {"authorization": "Basic QWRh"})
    text = said.getvalue()
    assert "refused a token" in text and '1.2.3.4 - "GET /?token=[hidden]"' in text
    assert "[hidden], and more" in text
    assert made.token not in text and "sesame" not in text and "QWRh" not in text


def test_a_socket_that_would_stay_open_is_closed(studio: Studio) -> None:
    said: list[str] = []

    async def opened() -> None:
        async def receive() -> dict[str, str]:
            return {"type": "websocket.connect"}

        async def send(message: object) -> None:
            assert isinstance(message, dict)
            said.append(message["type"])

        scope = {"type": "websocket", "path": "/who", "headers": [(b"host", b"127.0.0.1:8470")], "state": {}}
        await application(studio)(scope, receive, send)

    asyncio.run(opened())
    assert said == ["websocket.close"]
