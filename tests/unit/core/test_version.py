from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.version import MAX_SLUG, slug

from .samples import VERSION


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Warmer Palette", "warmer-palette"),
        ("  --a__b//c!  ", "a-b-c"),
        ("Größe \uff38 \uff11", "größe-x-1"),
        ("夕焼け 空", "夕焼け-空"),
        ("../../etc/passwd", "etc-passwd"),
        ("a" * 59 + " bcd", "a" * 59),
        ("!!!", ""),
        ("", ""),
    ],
)
def test_a_label_in_names(text: str, expected: str) -> None:
    assert slug(text) == expected


@given(st.text())
def test_a_slug_is_short_and_safe(text: str) -> None:
    found = slug(text)
    assert len(found) <= MAX_SLUG
    assert not set(found) & set("/\\. \n\x00_")
    assert not found.startswith("-")
    assert not found.endswith("-")
    assert "--" not in found


def test_the_readable_name() -> None:
    assert VERSION.name == "v3-warmer"
    assert dataclasses.replace(VERSION, label="").name == "v3"
