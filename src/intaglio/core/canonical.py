"""The one written form of a record, and its digest.

Canonical JSON is RFC 8785: sorted keys, shortest numbers, no text normalisation. What it cannot hold without loss
(NaN, infinities, integers beyond 2^53, lone surrogates) is refused, so seeds travel as decimal strings.
"""

from __future__ import annotations

import json
import math
from json.encoder import encode_basestring as _quoted
from typing import Any

from intaglio.core.errors import InvalidRecord

PREFIX = "blake3:"
HEX_LENGTH = 64
LARGEST_EXACT = 2**53 - 1
_WORDS: dict[object, str] = {None: "null", True: "true", False: "false"}


def canonical(value: object) -> bytes:
    """`value` (dicts, lists or tuples, str, int, float, bool, None) as RFC 8785 bytes. Raises InvalidRecord."""
    try:
        return _written(value).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidRecord(f"cannot be written exactly: {error}") from error


def _written(value: object) -> str:
    """What the rfc8785 library writes, in a fifth of the time; tests hold the two together."""
    kind = type(value)
    if kind is str:
        return _quoted(value)  # type: ignore[arg-type]  # it is one, says the line above
    if value is None or kind is bool:
        return _WORDS[value]
    if isinstance(value, dict):
        return "{" + ",".join([f"{_quoted(name)}:{_written(value[name])}" for name in _sorted(value)]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([_written(item) for item in value]) + "]"
    if kind is int and -LARGEST_EXACT <= value <= LARGEST_EXACT:  # type: ignore[operator]
        return str(value)
    return _number(value)


def _sorted(value: dict[str, object]) -> list[str]:
    """The keys by their UTF-16 units, which is their own order as long as all are ASCII."""
    try:
        ascii_only = "".join(value).isascii()
    except TypeError as error:
        raise ValueError("a key that is not text") from error
    return sorted(value) if ascii_only else sorted(value, key=lambda name: name.encode("utf-16-be"))


def _number(value: object) -> str:
    """A number as JavaScript writes it, which is rfc8785's business, like refusing what is no JSON value."""
    import rfc8785

    text = rfc8785.dumps(value).decode()  # type: ignore[arg-type]  # anything else is what it refuses
    if text.lstrip("-").isdecimal() and abs(int(text)) > LARGEST_EXACT:
        # 1e20 is written 100000000000000000000: an integer that nobody could read back and write again.
        raise ValueError(f"{text[:40]} is beyond 2^53")
    return text


def digest_bytes(data: bytes | bytearray | memoryview) -> str:
    """BLAKE3 of `data`, written `blake3:<64 hex>`."""
    from blake3 import blake3

    return PREFIX + blake3(data).hexdigest()


def digest_value(kind: str, value: object) -> str:
    """Digest of a value under its kind: two kinds of record never share a digest."""
    return digest_bytes(canonical([kind, value]))


def is_digest(text: str) -> bool:
    """Whether `text` is a whole digest as `digest_bytes` writes it."""
    hexpart = text.removeprefix(PREFIX)
    return text.startswith(PREFIX) and len(hexpart) == HEX_LENGTH and not set(hexpart) - set("0123456789abcdef")


def parse_json(data: bytes | str) -> Any:
    """Strict JSON: duplicate keys, NaN and infinities are refused. Raises InvalidRecord."""
    try:
        return json.loads(data, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidRecord(f"not valid JSON: {error}") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {twice!r} is there twice")
    return result


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} has no place in a record")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large")
    return number
