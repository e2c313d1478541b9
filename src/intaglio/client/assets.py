"""Assets of a server: their bytes, fetched and held against their digest, and files sent to become assets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from intaglio.client.files import asset_of
from intaglio.client.nouns import Noun
from intaglio.core.asset import Asset
from intaglio.core.canonical import digest_bytes
from intaglio.core.errors import Damaged
from intaglio.studio.files import expanded
from intaglio.studio.inside import Written


class Assets(Noun):
    """`studio.assets`, behind a server."""

    def get(self, reference: str) -> bytes:
        """As the local one. Raises Damaged when other bytes arrive than the digest says."""
        digest = self.show(reference).digest
        data = self._line.read(f"/api/assets/{digest}/content")
        if digest_bytes(data) != digest:
            raise Damaged(f"asset {digest} arrived with other bytes", hint="Ask again.")
        return data

    def add(self, paths: Iterable[str | Path], *, progress: Callable[[int, int], None] | None = None) -> list[Asset]:
        """As the local one: the files are sent to the server."""
        files, found = [expanded(path) for path in paths], []
        for done, path in enumerate(files, 1):
            found.append(asset_of(self._line, path))
            if progress:
                progress(done, len(files))
        return found

    def thumbnail(self, reference: str, *, size: int = 256, frames: int = 1) -> bytes:
        """As the local one."""
        digest = self.show(reference).digest
        return self._line.read(f"/api/assets/{digest}/thumbnail", {"size": size, "frames": frames})

    def with_record(self, reference: str) -> Written:
        """As the local one."""
        path = f"/api/assets/{self.show(reference).digest}/with-record"
        parts = {part: self._line.read(path, {"part": part}) for part in ("file", "beside", "why")}
        return Written(data=parts["file"], beside=parts["beside"], why=parts["why"].decode())
