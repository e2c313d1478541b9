"""Tensors of an adapter's file, read only when it is what it is taken for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from intaglio.backends.inspect import inspect_model, weights_file
from intaglio.backends.loading import checked
from intaglio.backends.quiet import library
from intaglio.backends.weights import is_pickle
from intaglio.core.context import ModelFile
from intaglio.core.errors import InvalidModel

KINDS = {"lora": "LoRA", "textual-inversion": "textual inversion", "vae": "VAE", "controlnet": "ControlNet"}


def adapter_file(file: ModelFile, kind: str) -> tuple[Path, bool]:
    """The weights file of an adapter and whether it is a pickle that the user allowed.

    Raises as `inspect_model`, and InvalidModel when it is of another kind.
    """
    path = weights_file(file.path)
    pickled = file.pickle_allowed and bool(is_pickle(path))
    if not pickled:
        facts = inspect_model(file.path)
        if facts.kind != kind:
            raise InvalidModel(f"model {file.name!r} is of kind {facts.kind}, not a {KINDS[kind]}")
    return path, pickled


def adapter_tensors(file: ModelFile, kind: str) -> Mapping[str, Any]:
    """All tensors of the adapter at `file`, on the CPU. Raises as `adapter_file`, and ModelUnavailable.

    A pickle that the user allowed is read by torch's weights-only reader, which builds tensors and nothing else.
    """
    with checked(file):
        path, pickled = adapter_file(file, kind)
        if not pickled:
            return dict(library("safetensors.torch").load_file(path))
        content = library("torch").load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, Mapping):
            raise InvalidModel(f"model {file.name!r} holds no tensors by name")
        return dict(content.get("state_dict", content))
