"""Perceptual hashes of the pictures that versions hold: made from the pictures, and can be made again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, bindparam, delete, insert, select

from intaglio.core.canonical import digest_value
from intaglio.store.database import Database
from intaglio.store.schema import picture_hashes, version_outputs, versions

_ALL = select(picture_hashes.c.asset, picture_hashes.c.hash).where(picture_hashes.c.hash != "")
_ADD = insert(picture_hashes)
_SAME = delete(picture_hashes).where(picture_hashes.c.asset == bindparam("wanted"))
_MISSING = (
    select(version_outputs.c.asset)
    .join(versions, versions.c.digest == version_outputs.c.version)
    .where(~select(picture_hashes.c.asset).where(picture_hashes.c.asset == version_outputs.c.asset).exists())
    .order_by(versions.c.seq.desc())
)


class PictureHashes:
    """Perceptual hashes by asset; "" for what has none, because it cannot be read as a picture."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def missing(self) -> list[str]:
        """The outputs of versions whose hash nobody has computed, of the newest versions first."""
        with self._database.read() as connection:
            return list(dict.fromkeys(connection.execute(_MISSING).scalars()))

    def add(self, hashes: Mapping[str, str]) -> None:
        """Keep hashes by asset, in one transaction, in place of what was there."""
        rows = [{"asset": asset, "hash": hash, "seal": _seal(asset, hash)} for asset, hash in hashes.items()]
        with self._database.write() as connection:
            if rows:
                connection.execute(_SAME, [{"wanted": asset} for asset in hashes])
                connection.execute(_ADD, rows)

    def near(self, hash: str, most: int) -> list[tuple[int, str]]:
        """The assets whose hashes differ from this one in at most so many bits, with how many; the nearest first."""
        wanted = int(hash, 16)
        with self._database.read() as connection:
            rows = connection.execute(_ALL).all()
        found = ((_bits(each, wanted), asset) for asset, each in rows)
        return sorted((distance, asset) for distance, asset in found if distance <= most)

    def clear(self) -> None:
        """Forget every hash, so that each is computed again."""
        with self._database.write() as connection:
            connection.execute(delete(picture_hashes))


def _bits(hash: str, wanted: int) -> int:
    try:
        return (int(hash, 16) ^ wanted).bit_count()
    except ValueError:  # damaged: `library check` names it
        return 64


def broken_hashes(connection: Connection) -> Iterator[str]:
    """The assets whose hash is not what was written."""
    for row in connection.execute(select(picture_hashes)):
        if row.seal != _seal(row.asset, row.hash):
            yield str(row.asset)


def _seal(asset: str, hash: str) -> str:
    return digest_value("picture-hash", [asset, hash])
