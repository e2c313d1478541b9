"""JSON as a server takes it: strict, shallow, exact."""

from __future__ import annotations

import re
from typing import Any

from intaglio.core.canonical import LARGEST_EXACT, parse_json
from intaglio.core.errors import Invalid, InvalidRecord

DEEPEST = 64
# What has to be there for a value to be at fault; found fast, so that almost no body is walked through.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_LONG = re.compile(rb"[0-9]{16}")


def read_json(body: bytes) -> Any:
    """The value of a body in JSON (UTF-8).

    Raises Invalid for what is no JSON or no UTF-8, a key that is there twice, NaN and infinities, integers beyond 2^53,
    halves of characters, and what is nested deeper than `DEEPEST`.
    """
    if body.startswith(b"\xef\xbb\xbf"):
        raise Invalid("the body begins with a byte order mark", hint="Send plain UTF-8.")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"the body is not UTF-8 from byte {error.start} on", hint="Send JSON in UTF-8.") from None
    try:
        value = parse_json(text)
    except InvalidRecord as error:
        raise Invalid(f"the body is {_said(error)}", hint="Send one JSON value, each key once.") from error
    if _LONG.search(body) or _HALF.search(body) or body.count(b"[") + body.count(b"{") > DEEPEST:
        _check(value)
    return value


def _said(error: InvalidRecord) -> str:
    text = str(error)
    if isinstance(error.__cause__, RecursionError):
        return f"nested deeper than {DEEPEST}"
    return "not valid JSON: a number of too many digits" if "digits" in text else text


def _check(value: Any) -> None:
    """Raises Invalid for a part that no record could hold. Not recursive, however deep it is."""
    level = [value]
    for depth in range(DEEPEST + 1):
        inside: list[Any] = []
        for part in level:
            if not isinstance(part, (dict, list)):
                _check_one(part)
                continue
            if depth == DEEPEST:
                raise Invalid(f"the body is nested deeper than {DEEPEST}", hint="Send it flatter.")
            inside += [*part, *part.values()] if isinstance(part, dict) else part
        level = inside


def _check_one(part: Any) -> None:
    if type(part) is int and abs(part) > LARGEST_EXACT:
        raise Invalid(f"{str(part)[:40]} is beyond 2^53", hint='Send seeds, and other long numbers, as text: "123".')
    if isinstance(part, str) and not part.isascii():
        try:
            part.encode()
        except UnicodeEncodeError as error:
            half = part[error.start].encode("unicode-escape").decode()
            raise Invalid(f"{half} is half of a character", hint="Send whole characters.") from None
