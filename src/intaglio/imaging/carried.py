"""What files of all kinds have in common when they carry a record: how it is packed, and what forbids to add one."""

from __future__ import annotations

import zlib

from intaglio.core.errors import InvalidRecord

LIMIT = 8 * 1024 * 1024  # bytes of record that are ever inflated
CREDENTIAL = "it carries a C2PA credential, which holds only as long as no other byte of the file changes"
XMP_NAME = "XML:com.adobe.xmp"


def packed(body: bytes) -> bytes:
    """A record as it stands in files whose format has no compression of its own."""
    return zlib.compress(body, 9)


def unpacked(data: bytes) -> bytes:
    """What `packed` packed. Raises InvalidRecord for what is damaged, or larger than LIMIT when inflated."""
    unpacker = zlib.decompressobj()
    try:
        body = unpacker.decompress(data, LIMIT + 1)
    except zlib.error as error:
        raise InvalidRecord(f"the record inside is damaged: {error}") from error
    if len(body) > LIMIT:
        raise InvalidRecord(f"the record inside is larger than {LIMIT // 2**20} MiB")
    if not unpacker.eof:
        raise InvalidRecord("the record inside is cut off")
    return body


def only(found: list[bytes]) -> bytes | None:
    """The one record among those found in a file; None for none. Raises InvalidRecord when there are several."""
    if len(found) > 1:
        raise InvalidRecord(f"there are {len(found)} records inside, and at most one can be true")
    return found[0] if found else None


def names_credential(xmp: bytes) -> bool:
    """Whether XMP says where the file's C2PA credential is kept, which then holds for every byte too."""
    return b"provenance" in xmp and b"purl.org/dc/terms" in xmp
