"""VER 8, RUN 1: tokens for people, made and taken back on the command line."""

from __future__ import annotations

import json
import re

from acceptance.conftest import Command

from intaglio.studio.open import Studio


def test_VER_8_a_token_is_made_for_a_person_and_shown_once(command: Command, studio: Studio) -> None:
    made = command("tokens", "create", "Cleo", "--scope", "run", "--scope", "approve", "--days", "30")
    assert made.returncode == 0
    assert re.fullmatch(r"intaglio_[A-Za-z0-9_-]{43}\n", made.stdout), "so that it can be piped"
    assert "not shown again" in made.stderr
    grant = studio.tokens.identify(made.stdout.strip())
    assert (grant.person, grant.scopes) == ("Cleo", ("run", "approve"))
    for shown in (command("tokens", "list"), command("tokens", "list", "--json")):
        assert grant.id in shown.stdout and "Cleo" in shown.stdout
        assert made.stdout.strip() not in shown.stdout and "hash" not in shown.stdout


def test_RUN_1_a_token_is_revoked(command: Command, studio: Studio) -> None:
    made = json.loads(command("tokens", "create", "Cleo", "--scope", "read", "--json").stdout)
    assert set(made) == {"token", "record"} and "hash" not in made["record"]
    assert studio.tokens.identify(made["token"]).person == "Cleo"
    done = command("tokens", "revoke", made["record"]["id"])
    assert done.returncode == 0 and made["record"]["id"] in done.stdout
    assert "revoked 20" in command("tokens", "list").stdout
    (listed,) = json.loads(command("tokens", "list", "--json").stdout)
    assert listed["revoked"]


def test_what_makes_no_token_is_said(command: Command) -> None:
    for arguments, code in (
        (["create", "Cleo"], 2),
        (["create", "Cleo", "--scope", "write"], 2),
        (["create", "", "--scope", "read"], 2),
        (["create", "Cleo", "--scope", "read", "--days", "0"], 2),
        (["create", "Cleo", "--scope", "read", "--days", "99999999999999999999"], 2),
        (["revoke", "token-0"], 3),
    ):
        done = command("tokens", *arguments)
        assert done.returncode == code, arguments
        assert done.stdout == "" and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
