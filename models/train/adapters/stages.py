"""The adapters by name: how each is made, and how it is measured."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from train import judge
from train.adapters import control, decoder, inversion, lora, measure, upscale

MAKERS: Final[dict[str, Callable[[Path, torch.device], Path]]] = {
    "ink": partial(lora.train, "ink"),
    "dusk": partial(lora.train, "dusk"),
    "vae-soft": decoder.train,
    "lantern": inversion.train,
    "layout": control.train,
    "upscale": upscale.train,
}


def measurement(name: str, folder: Path, work: Path, device: torch.device) -> dict[str, Any]:
    """What the adapter in `folder` achieves on held-out scenes; two of them need the judge."""
    if name in lora.PLANS:
        return measure.style(name, folder, device)
    if name == "vae-soft":
        return measure.decoder(folder, device)
    if name == "upscale":
        return measure.upscale(folder, device)
    reader = judge.train(work, device)
    return (measure.inversion if name == "lantern" else measure.control)(folder, reader, device)
