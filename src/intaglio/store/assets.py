"""What is known of every asset, and where it came from."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select

from intaglio.core.asset import Asset
from intaglio.core.codec import digest as digest_of
from intaglio.core.errors import Damaged, NotFound
from intaglio.store.database import Database
from intaglio.store.rows import ASSETS, NODE_RECORDS, VERSIONS, digest_starts_with
from intaglio.store.schema import assets, node_records, step_outputs, version_outputs, versions

_GET = select(assets).where(assets.c.digest == bindparam("wanted"))
_IS_THERE = select(assets.c.seq).where(assets.c.digest == bindparam("wanted"))
_BY_PIXELS = select(assets).where(assets.c.pixels == bindparam("wanted")).order_by(assets.c.seq)
_NEWEST = select(assets).order_by(assets.c.seq.desc()).limit(bindparam("limit"))
_BEFORE = _NEWEST.where(assets.c.seq < bindparam("before"))
_STEPS = (
    select(node_records)
    .join(
        step_outputs,
        (node_records.c.task == step_outputs.c.task)
        & (node_records.c.step == step_outputs.c.step)
        & (node_records.c.attempt == step_outputs.c.attempt),
    )
    .where(step_outputs.c.asset == bindparam("wanted"))
    .order_by(node_records.c.seq)
)
_VERSIONS = (
    select(versions)
    .join(version_outputs, versions.c.digest == version_outputs.c.version)
    .where(version_outputs.c.asset == bindparam("wanted"))
    .order_by(versions.c.seq)
)


class Assets:
    """Assets by digest; their bytes are blobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, asset: Asset) -> None:
        """Keep what is known of an asset. One that is there already stays as it is."""
        self.add_many((asset,))

    def add_many(self, new: Iterable[Asset]) -> None:
        """Keep several, all or none."""
        with self._database.write() as connection:
            for asset in new:
                add_asset(connection, asset)

    def get(self, digest: str) -> Asset:
        """The asset of that digest. Raises NotFound, Damaged."""
        with self._database.read() as connection:
            asset = ASSETS.first(connection, _GET, wanted=digest)
        if asset is None:
            raise NotFound("asset", digest)
        return asset

    def find(self, prefix: str) -> builtins.list[str]:
        """The digests that begin with `prefix` (with or without "blake3:")."""
        statement = select(assets.c.digest).where(digest_starts_with(assets.c.digest, prefix)).order_by(assets.c.digest)
        with self._database.read() as connection:
            return builtins.list(connection.execute(statement).scalars())

    def by_pixels(self, pixels: str) -> builtins.list[Asset]:
        """The assets with that pixel digest, oldest first. Raises Damaged."""
        with self._database.read() as connection:
            return ASSETS.all(connection, _BY_PIXELS, wanted=pixels)

    def list(self, limit: int = 50, before: str | None = None) -> builtins.list[Asset]:
        """The newest assets, newest first; those added before the asset `before`. Raises NotFound, Damaged."""
        with self._database.read() as connection:
            if before is None:
                return ASSETS.all(connection, _NEWEST, limit=limit)
            seq = connection.execute(_IS_THERE, {"wanted": before}).scalar()
            if seq is None:
                raise NotFound("asset", before)
            return ASSETS.all(connection, _BEFORE, limit=limit, before=seq)

    def digests(self) -> set[str]:
        """The digests of all assets. Raises Damaged."""
        with self._database.read() as connection:
            return {ASSETS.check(row)["digest"] for row in connection.execute(select(assets))}

    def tasks_of(self, digest: str) -> builtins.list[str]:
        """The tasks that made an asset or took it over, in the order they did. Raises Damaged."""
        with self._database.read() as connection:
            found = [NODE_RECORDS.read(row) for row in _rows(connection, _STEPS, digest)]
        for record in found:
            if digest not in record.outputs.values():
                raise Damaged(f"node-record {record.step!r} of task {record.task!r} does not name {digest!r}")
        return builtins.list(dict.fromkeys(record.task for record in found))

    def versions_of(self, digest: str) -> builtins.list[str]:
        """The versions (digests) that keep an asset as an output, oldest first. Raises Damaged."""
        with self._database.read() as connection:
            found = [VERSIONS.read(row) for row in _rows(connection, _VERSIONS, digest)]
        for version in found:
            if all(output.asset != digest for output in version.outputs):
                raise Damaged(f"version {version.name!r} of {version.workflow.name!r} does not name {digest!r}")
        return [digest_of(version) for version in found]


def add_asset(connection: Connection, asset: Asset) -> None:
    """Add an asset's row, unless it is there."""
    if connection.execute(_IS_THERE, {"wanted": asset.digest}).first() is None:
        ASSETS.add(connection, asset)


def _rows(connection: Connection, statement: Select[Any], digest: str) -> Iterator[Any]:
    yield from connection.execute(statement, {"wanted": digest})
