"""The function that docs/webhooks.md gives to receivers tells a server's deliveries from everybody else's."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from intaglio.web.webhooks import signature

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
BODY = b'{"library":"studio"}'


@pytest.fixture
def is_from_intaglio() -> Callable[[str, str, bytes], bool]:
    found = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert found
    names: dict[str, Callable[[str, str, bytes], bool]] = {}
    exec(found[1], names)
    return names["is_from_intaglio"]


def test_what_a_server_signs_is_taken(is_from_intaglio: Callable[[str, str, bytes], bool]) -> None:
    assert is_from_intaglio("s3", signature("s3", int(time.time()), BODY), BODY)


@pytest.mark.parametrize("header", ["", "t=,v1=", "v1=00", "t=1", "nonsense", "t=\u0662,v1=0", "t=-1,v1=0"])
def test_what_is_no_signature_is_not(is_from_intaglio: Callable[[str, str, bytes], bool], header: str) -> None:
    assert not is_from_intaglio("s3", header, BODY)


def test_what_somebody_else_sends_changes_or_sends_again_is_not(
    is_from_intaglio: Callable[[str, str, bytes], bool],
) -> None:
    now = int(time.time())
    good = signature("s3", now, BODY)
    assert not is_from_intaglio("another", good, BODY)
    assert not is_from_intaglio("s3", good, BODY + b" ")
    assert not is_from_intaglio("s3", good.replace(f"t={now}", f"t={now + 1}"), BODY)
    assert not is_from_intaglio("s3", signature("s3", now - 3600, BODY), BODY), "an old one"
