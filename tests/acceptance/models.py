"""Copies of the bundled model that tests may spoil."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from acceptance.conftest import SCENES

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def copied(folder: Path, note: str = "mine") -> Path:
    """The bundled model in another place; with a note in it, it is content of its own that no other copy stands for."""
    shutil.copytree(SCENES, folder)
    if note:
        (folder / "note.txt").write_text(note)
    return folder


def flipped(folder: Path) -> None:
    """One byte of the weights flipped; size and modification time as before."""
    path = folder / WEIGHTS
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
