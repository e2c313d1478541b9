"""VER 8, RUN 1: tokens are named people's, kept as a hash alone, and end when they are to end."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from intaglio.core.errors import Invalid, NotFound, Unauthorized
from intaglio.core.record import plain
from intaglio.studio import clock
from intaglio.studio.open import Studio, init, open_studio
from intaglio.studio.settings import Settings
from intaglio.studio.tokens import Grant


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with init(tmp_path / "studio", Settings(author="Ada")) as opened:
        yield opened


def test_VER_8_a_token_is_a_persons_and_says_who_made_it(studio: Studio) -> None:
    made = studio.tokens.create("  Cleo Núñez ", ["admin", "read", "read"])
    grant = studio.tokens.identify(made.token)
    assert grant == made.record
    assert (grant.person, grant.scopes, grant.author) == ("Cleo Núñez", ("read", "admin"), "Ada")
    assert (grant.expires, grant.revoked) == ("", "")
    assert studio.tokens.create("Cleo", ["read"], author="Bob").record.author == "Bob"


def test_a_token_has_256_bits_of_chance_and_is_never_the_same(studio: Studio) -> None:
    tokens = {studio.tokens.create("Cleo", ["read"]).token for _ in range(20)}
    assert len(tokens) == 20
    assert all(re.fullmatch(r"intaglio_[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_a_token_is_nowhere_on_the_disk_but_its_hash_is(studio: Studio) -> None:
    token = studio.tokens.create("Cleo", ["read"]).token
    root = studio.root
    studio.close()
    kept = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert b"Cleo" in kept and hashlib.sha256(token.encode()).hexdigest().encode() in kept
    assert token.encode() not in kept and token.removeprefix("intaglio_").encode() not in kept


def test_neither_a_token_nor_its_hash_is_listed(studio: Studio) -> None:
    made = [studio.tokens.create(person, ["run"]) for person in ("Cleo", "Bob")]
    listed = studio.tokens.list()
    assert listed == [each.record for each in made]
    assert "hash" not in {field.name for field in fields(Grant)}
    for each in made:
        assert hashlib.sha256(each.token.encode()).hexdigest() not in str(plain(listed))
        assert each.token not in str(plain(listed))


def test_a_revoked_token_is_refused_at_once_in_every_process(studio: Studio) -> None:
    made, other = studio.tokens.create("Cleo", ["read"]), studio.tokens.create("Cleo", ["read"])
    with open_studio(studio.root) as server:
        assert server.tokens.identify(made.token)
        revoked = studio.tokens.revoke(made.record.id)
        assert revoked.revoked and studio.tokens.list()[0] == revoked
        with pytest.raises(Unauthorized, match=f"{made.record.id}.* was revoked on 20"):
            server.tokens.identify(made.token)
        assert server.tokens.identify(other.token)
        assert studio.tokens.revoke(made.record.id) == revoked, "it stays so"
    with pytest.raises(NotFound, match="no token 'token-x'"):
        studio.tokens.revoke("token-x")


def test_an_expired_token_is_refused(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    made = studio.tokens.create("Cleo", ["read"], expires_days=2)
    ends = datetime.fromisoformat(made.record.expires)
    assert timedelta(days=2) - timedelta(minutes=1) < ends - datetime.now(UTC) <= timedelta(days=2)
    monkeypatch.setattr(clock, "now", lambda: clock.written(ends - timedelta(seconds=1)))
    assert studio.tokens.identify(made.token)
    monkeypatch.setattr(clock, "now", lambda: clock.written(ends))
    with pytest.raises(Unauthorized, match=f"{made.record.id}.* expired on 20"):
        studio.tokens.identify(made.token)


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "A", str.upper, lambda t: "", lambda t: "\ud800"])
def test_nothing_else_is_a_token(studio: Studio, change: Any) -> None:
    made = studio.tokens.create("Cleo", ["read"])
    with pytest.raises(Unauthorized, match="no token of this server"):
        studio.tokens.identify(change(made.token))
    with pytest.raises(Unauthorized):
        studio.tokens.identify(hashlib.sha256(made.token.encode()).hexdigest())


@pytest.mark.parametrize("person", ["", "  ", "a\nb", "a\x1b[31m", "a" * 101, "\ud800", "\u202eadA"])
def test_a_person_has_a_name_that_can_be_printed(studio: Studio, person: str) -> None:
    with pytest.raises(Invalid, match="no name of a person"):
        studio.tokens.create(person, ["read"])
    assert studio.tokens.create("a" * 100, ["read"])


@pytest.mark.parametrize("scopes", [[], ["write"], ["read", "Admin"], [""]])
def test_there_are_four_scopes(studio: Studio, scopes: Any) -> None:
    with pytest.raises(Invalid, match="scope"):
        studio.tokens.create("Cleo", scopes)
    assert studio.tokens.list() == []


@pytest.mark.parametrize("days", [0, -1, 3651, 10**9])
def test_a_token_is_good_for_a_day_to_ten_years(studio: Studio, days: int) -> None:
    with pytest.raises(Invalid, match="days"):
        studio.tokens.create("Cleo", ["read"], expires_days=days)
    assert studio.tokens.create("Cleo", ["read"], expires_days=3650)
