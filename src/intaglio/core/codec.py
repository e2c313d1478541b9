"""Records to bytes and back: written as canonical JSON; read with every field checked and unknown ones refused."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from intaglio.core.canonical import canonical, digest_bytes, parse_json
from intaglio.core.errors import InvalidRecord
from intaglio.core.reading import Refused, reader
from intaglio.core.record import plain

T = TypeVar("T")


def encode(value: Any) -> bytes:
    """The canonical bytes of a record."""
    return canonical(plain(value))


def digest_body(kind: str, body: bytes) -> str:
    """The digest of a record from its canonical bytes: BLAKE3 over `[kind, value]`."""
    return digest_bytes(b"[" + canonical(kind) + b"," + body + b"]")


def digest(value: Any) -> str:
    """The digest that names a record that stands alone (it has a `kind`)."""
    return digest_body(value.kind, encode(value))


def decode(cls: type[T], data: bytes | str) -> T:
    """Read a record of type `cls`. Raises InvalidRecord naming the field, also for a format newer than this one."""
    return from_plain(cls, parse_json(data))


def from_plain(cls: type[T], value: object) -> T:
    """Build a record of type `cls` from plain JSON values, checked like bytes are."""
    try:
        return cast(T, reader(cast(Any, cls))(value))
    except Refused as error:
        field = ".".join(error.path) or "record"
        name = getattr(cls, "kind", cls.__name__.lower())
        raise InvalidRecord(f"{name} record, {field}: {error}") from error
    except RecursionError as error:
        raise InvalidRecord("record is nested too deeply") from error


def json_schema(cls: type[Any]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a record type."""
    from pydantic import TypeAdapter
    from pydantic.json_schema import GenerateJsonSchema

    class Schema(GenerateJsonSchema):
        def encode_default(self, dft: Any) -> Any:
            return plain(dft)

    schema = TypeAdapter(cls).json_schema(mode="validation", schema_generator=Schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
