"""RUN 1: no request, and no person, can take more of a server than it has to give."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fastapi import FastAPI
from unit.web.asking import FAR, LOCAL, Answer, application, ask, asking

from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.web.bucket import Buckets
from intaglio.web.limits import Limits

SMALL = Limits(body=1000, upload=5000, headers=2000, lines=20, idle_s=0.05, body_s=10)
JSON = (*LOCAL, ("content-type", "application/json"))


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with init(tmp_path / "studio", Settings(author="Ada")) as opened:
        yield opened


@pytest.fixture
def app(studio: Studio) -> FastAPI:
    return application(studio, limits_=SMALL)


def sent(app: FastAPI, path: str, body: Sequence[bytes], *headers: tuple[str, str], stall: bool = False) -> Answer:
    """The answer to a body."""
    return ask(app, path, method="POST", headers=[*JSON, *headers], body=body, stall=stall)


@pytest.mark.parametrize("path", ["/raw", "/body", "/who", "/nowhere"])
def test_a_body_that_says_it_is_too_large_is_not_read(app: FastAPI, path: str) -> None:
    refused = sent(app, path, [], ("content-length", "1001"), stall=True)
    assert (refused.status, refused.code) == (413, "too_large")
    assert refused.json["error"]["facts"] == {"limit": 1000}
    assert refused.headers["connection"] == "close"


@pytest.mark.parametrize("path", ["/raw", "/body"])
def test_a_body_that_turns_out_too_large_is_refused(app: FastAPI, path: str) -> None:
    refused = sent(app, path, [b"1" * 600, b"1" * 600])
    assert (refused.status, refused.code, refused.headers["connection"]) == (413, "too_large", "close")
    lying = sent(app, path, [b"1" * 600, b"1" * 600], ("content-length", "10"))
    assert (lying.status, lying.code) == (413, "too_large")


def test_a_body_as_large_as_allowed_is_taken(app: FastAPI) -> None:
    assert sent(app, "/raw", [b"1" * 600, b"1" * 400], ("content-length", "1000")).json == {"bytes": 1000}


def test_uploads_have_a_limit_of_their_own(app: FastAPI) -> None:
    assert sent(app, "/api/uploads", [b"1" * 2500] * 2, ("content-length", "5000")).json == {"bytes": 5000}
    assert sent(app, "/api/uploads", [b"1" * 2500] * 2 + [b"1"]).status == 413
    assert sent(app, "/api/uploads", [b""], ("content-length", "5001")).status == 413
    large = [*JSON, ("content-length", "1001")]
    for method, path, status in (
        ("POST", "/api/assets", 404),
        ("PUT", "/api/assets/blake3:0", 404),
        ("POST", "/api/assets/-/import", 413),
        ("POST", "/api/uploads/more", 413),
        ("PUT", "/api/uploads", 413),
    ):
        assert ask(app, path, method=method, headers=large).status == status, path


@pytest.mark.parametrize("path", ["/raw", "/body", "/api/uploads"])
def test_a_body_that_does_not_come_is_not_waited_for(app: FastAPI, path: str) -> None:
    refused = sent(app, path, [b"{"], stall=True)
    assert (refused.status, refused.code, refused.headers["connection"]) == (408, "too_slow", "close")


def test_a_body_that_comes_in_drops_has_an_end(studio: Studio) -> None:
    app = application(studio, limits_=Limits(idle_s=60, body_s=0.05))
    assert sent(app, "/raw", [b"{"], stall=True).status == 408


def test_who_has_sent_all_may_listen_as_long_as_they_like(app: FastAPI) -> None:
    async def listened() -> Answer:
        app.state.open, began = asyncio.Event(), asyncio.Event()
        stream = asyncio.create_task(asking(app, "/events", began=began))
        await began.wait()
        await asyncio.wait([stream], timeout=4 * SMALL.idle_s)
        app.state.open.set()
        return await stream

    assert asyncio.run(listened()).whole


def test_headers_have_a_limit(app: FastAPI) -> None:
    for headers in ([("x", "1" * 2000)], [(f"x{number}", "1") for number in range(20)]):
        refused = ask(app, headers=[*LOCAL, *headers])
        assert (refused.status, refused.code) == (413, "too_large")
    assert ask(app, "/who?" + "1" * 2000).status == 413
    assert ask(app, headers=[*LOCAL, ("x", "1" * 1000)]).status == 200


def test_a_person_with_a_token_may_ask_so_often(studio: Studio) -> None:
    app = application(studio, loopback=False, limits_=Limits(rate=0.01, burst=3))
    shown, other, same = (("authorization", f"Bearer {studio.tokens.create(who, ['read']).token}") for who in "CDC")
    assert [ask(app, headers=[*FAR, shown]).status for _ in range(3)] == [200] * 3
    refused = ask(app, headers=[*FAR, shown])
    assert (refused.status, refused.code) == (429, "too_many")
    assert 90 <= int(refused.headers["retry-after"]) <= 100
    assert ask(app, headers=[*FAR, same]).status == 429, "the same person with another token"
    assert ask(app, headers=[*FAR, other]).status == 200
    assert [ask(app, path, headers=FAR).status for path in ("/health", "/ready") * 3] == [200] * 6


def test_the_local_user_may_ask_as_often_as_they_like(studio: Studio) -> None:
    app = application(studio, limits_=Limits(rate=0.01, burst=3))
    assert [ask(app).status for _ in range(5)] == [200] * 5


def test_a_bucket_fills_again_and_is_forgotten_when_it_is_full() -> None:
    now = [0.0]
    buckets = Buckets(2.0, 3, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    now[0] = 0.5
    assert [buckets.take("a"), buckets.take("a")] == [0, 0.5]
    assert buckets.take("b") == 0
    now[0] = 100.0
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5], "no more than a burst"
    for number in range(10_000):
        now[0] += 0.0001
        buckets.take(f"{number}")
    left = [buckets.take("a") for _ in range(3)]
    assert left[:2] == [0, 0] and left[2] > 0, "whoever asked too often is not forgotten for those who did not"
    assert [Buckets(0, 0).take("a") for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(("limits", "second"), [(Limits(streams=1), 429), (Limits(streams=2), 200)])
def test_somebody_has_so_many_streams_at_a_time(studio: Studio, limits: Limits, second: int) -> None:
    app = application(studio, limits_=limits)

    async def both() -> tuple[Answer, Answer, Answer]:
        app.state.open, began, after = asyncio.Event(), asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(asking(app, "/events", began=began))
        await began.wait()
        other = asyncio.create_task(asking(app, "/events", began=after))
        await after.wait()
        app.state.open.set()
        return await first, await other, await asking(app, "/events")

    one, two, three = asyncio.run(both())
    assert (one.status, two.status, three.status) == (200, second, 200)
    if second == 429:
        assert two.code == "too_many"


def test_a_person_has_so_many_requests_at_a_time(studio: Studio) -> None:
    app = application(studio, loopback=False, limits_=Limits(connections=1))
    shown = ("authorization", f"Bearer {studio.tokens.create('Cleo', ['read']).token}")

    async def both() -> tuple[Answer, Answer, Answer]:
        app.state.open, began = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(asking(app, "/events", headers=[*FAR, shown], began=began))
        await began.wait()
        second = await asking(app, headers=[*FAR, shown])
        app.state.open.set()
        return await first, second, await asking(app, headers=[*FAR, shown])

    one, two, three = asyncio.run(both())
    assert (one.status, two.status, three.status) == (200, 429, 200)


PATHS = ["/who", "/nowhere", "/fail/bug", "/fail/seed", "/fail/disk", "/health", "/picture"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("loopback", [True, False])
def test_every_answer_says_that_it_is_not_to_be_run_or_embedded(studio: Studio, path: str, loopback: bool) -> None:
    headers = ask(application(studio, loopback=loopback), path, headers=LOCAL if loopback else FAR).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["cache-control"] == ("immutable" if path == "/picture" and loopback else "no-store")


def test_what_people_put_in_is_shown_in_a_sandbox(studio: Studio) -> None:
    assert ask(application(studio), "/picture").headers["content-security-policy"].endswith("sandbox")
    assert "sandbox" not in ask(application(studio)).headers["content-security-policy"]
