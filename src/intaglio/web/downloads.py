"""Folders of files as one zip, streamed and taken away afterwards."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse

CHUNK = 1 << 20


class _Outlet:
    """Where a zip is written to: what was written since it was last taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def take(self) -> bytes:
        data, self._parts = b"".join(self._parts), []
        return data


def zipped(folder: Path, *, name: str, first: Sequence[Path] = ()) -> Response:
    """An answer with every file in `folder`, stored as it is, `first` in that order and then the others; the folder is
    removed when it was sent."""
    return StreamingResponse(
        chunks(folder, first),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
        background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
    )


def chunks(folder: Path, first: Sequence[Path] = ()) -> Iterator[bytes]:
    """The bytes of a zip of all files in a folder, those in `first` first; the folder is removed in the end."""
    try:
        outlet = _Outlet()
        with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # it only writes
            for path in dict.fromkeys([*first, *sorted(each for each in folder.rglob("*") if each.is_file())]):
                info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
                with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                    while data := source.read(CHUNK):
                        os.utime(folder)  # it lies where old things are taken away, and is not old while it is sent
                        target.write(data)
                        yield outlet.take()
        yield outlet.take()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
