"""Small safetensors files, written byte by byte, so that a test can write bad ones too."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any


def weights(path: Path, data: bytes, *, header: dict[str, Any] | None = None, note: str = "") -> Path:
    """A LoRA of one tensor with that data; `note` is in its metadata, `header` stands for all of the header."""
    entry = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
    whole: dict[str, Any] = {"unet.lora_up.weight": entry} if header is None else header
    if note:
        whole = {"__metadata__": {"note": note}, **whole}
    text = json.dumps(whole).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path
