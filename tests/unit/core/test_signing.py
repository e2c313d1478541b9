"""Tokens for addresses."""

from __future__ import annotations

import string

import pytest

from intaglio.core.signing import check, sign

SECRET, OTHER = b"a" * 32, b"b" * 32
TEXT = "20261120-204501-7f3a9c12"


@pytest.mark.parametrize("text", [TEXT, "", "a.b/c?d#e %", "é🦄"])
def test_a_token_says_what_was_signed_until_its_time_is_over(text: str) -> None:
    token = sign(SECRET, text, 1000)
    assert set(token) <= set(string.ascii_letters + string.digits + "-_.")
    assert check(SECRET, token, 999.9) == text
    assert check(SECRET, token, 1000) is None
    assert check(OTHER, token, 0) is None


def test_no_character_of_a_token_can_be_changed() -> None:
    token = sign(SECRET, TEXT, 1000)
    for place, character in enumerate(token):
        other = "A" if character != "A" else "Q"
        assert check(SECRET, token[:place] + other + token[place + 1 :], 0) is None
        assert check(SECRET, token[:place] + token[place + 1 :], 0) is None


@pytest.mark.parametrize("token", ["", ".", "..", "1000", "1000.x", "1000..", "é.é.é", "\ud800.x.y", "9" * 5000, "\0"])
def test_anything_else_is_no_token(token: str) -> None:
    assert check(SECRET, token, 0) is None
