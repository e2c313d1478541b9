"""A folder that is sent as a zip stays while it is sent, however long that takes, and is gone afterwards."""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from intaglio.studio import uploads
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.web import downloads


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with init(tmp_path / "studio", Settings(author="Ada")) as opened:
        yield opened


def test_what_is_sent_slowly_is_not_taken_away_meanwhile(studio: Studio) -> None:
    folder = uploads.folder(studio.parts) / "out-x"
    folder.mkdir()
    files = {f"{name}.bin": os.urandom(3 * downloads.CHUNK) for name in "abc"}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    old = time.time() - 2 * uploads.KEPT_S
    for each in (*folder.iterdir(), folder):
        os.utime(each, (old, old))
    sent = io.BytesIO()
    parts = downloads.chunks(folder)
    for _ in range(9):
        sent.write(next(parts))
        uploads.purge(studio.parts)
        os.utime(folder, (old, old))
    sent.write(b"".join(parts))

    with zipfile.ZipFile(sent) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files
    assert not folder.exists()
