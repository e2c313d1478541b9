"""Files that trials may spoil: copies of models, reference pictures, and ways to change them."""

from __future__ import annotations

import json
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.truth_machine.draft import Role

MODELS = Path(__file__).resolve().parents[2] / "models"
PLACES = {
    "scenes": MODELS / "scenes",
    "ink": MODELS / "adapters" / "ink.safetensors",
    "dusk": MODELS / "adapters" / "dusk.safetensors",
    "vae-soft": MODELS / "adapters" / "vae-soft",
    "layout": MODELS / "adapters" / "layout",
}
_COPIED: dict[Role, str] = {"model": "scenes", "loras": "ink", "vae": "vae-soft", "controlnet": "layout"}
_WEIGHTS: dict[Role, tuple[str, ...]] = {
    "model": (
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    ),
    "loras": ("",),
    "vae": ("diffusion_pytorch_model.safetensors",),
    "controlnet": ("diffusion_pytorch_model.safetensors",),
}


@dataclass
class OwnModel:
    """A model that belongs to one trial: its name, its place, and the file of weights in it that may be spoilt."""

    role: Role
    name: str
    path: Path
    inner: str

    @property
    def weights(self) -> Path:
        """The file with the weights."""
        return self.path / self.inner if self.inner else self.path

    def move(self, path: Path) -> None:
        """Another place for the whole model."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path.rename(path)
        self.path = path

    def delete(self) -> None:
        """No model any more."""
        if self.path.is_dir():
            shutil.rmtree(self.path)
        else:
            self.path.unlink()


def copy_model(role: Role, name: str, folder: Path, source: random.Random) -> OwnModel:
    """A copy with a mark in the file of weights that may be spoilt: content of its own, down to that file, so that
    nothing of another trial's, in the store or elsewhere, can stand for it.
    """
    original = PLACES[_COPIED[role]]
    folder.mkdir(parents=True, exist_ok=True)
    model = OwnModel(role, name, folder / f"{name}{original.suffix}", source.choice(_WEIGHTS[role]))
    if original.is_dir():
        shutil.copytree(original, model.path)
    else:
        shutil.copyfile(original, model.path)
    model.weights.write_bytes(with_metadata(model.weights.read_bytes(), trial=name))
    return model


def with_metadata(data: bytes, **more: str) -> bytes:
    """A safetensors file with other words in its header and the very same tensors."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = {**header.get("__metadata__", {}), **more}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def with_flipped_byte(path: Path, at: int) -> None:
    """One bit of one byte of the weights changed in place, `at` bytes from the end; size and time as before."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-at, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-at, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def with_other_weights(data: bytes) -> bytes:
    """The same tensors by name and shape with other numbers: the second half of the data, upside down.

    Pairs of bytes stay together, so that every half-precision number is still one.
    """
    import numpy as np

    start = 8 + int.from_bytes(data[:8], "little")
    middle = start + (len(data) - start) // 4 * 2
    pairs = np.frombuffer(data[middle : middle + (len(data) - middle) // 2 * 2], dtype="<u2")
    rest = data[middle + pairs.nbytes :]
    return data[:middle] + pairs[::-1].tobytes() + rest


def write_reference(path: Path, source: random.Random) -> None:
    """A small soft picture that no other trial has; now and then a JPEG, whatever its name says."""
    import numpy as np
    from PIL import Image

    few = np.frombuffer(source.randbytes(4 * 4 * 3), dtype=np.uint8).reshape(4, 4, 3)
    picture = Image.fromarray(few).resize((source.choice((32, 40)), 32), Image.Resampling.BICUBIC)
    picture.save(path, format=source.choice(("PNG", "PNG", "JPEG")))
