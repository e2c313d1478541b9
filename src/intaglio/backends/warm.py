"""Models kept loaded between generations, and let go when memory is short, the longest unused first."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Key:
    """What makes one loaded model another: its content, what configures it, its number format and its place."""

    digest: str
    config: str
    dtype: str
    device: str


@dataclass(frozen=True)
class _Entry:
    model: Any
    size: int


class WarmModels:
    """At most `limit(device)` bytes of parameters per device; a model larger than that is kept alone."""

    def __init__(self, limit: Callable[[str], int], released: Callable[[], None] = lambda: None) -> None:
        self._limit = limit
        self._released = released
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def get(self, key: Key, load: Callable[[], Any], expected: Callable[[], int]) -> Any:
        """The model under `key`, loaded by `load` when it is not here; `expected` guesses its bytes."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key].model
        self._make_room(key.device, expected())
        model = load()
        size = parameter_bytes(model)
        self._make_room(key.device, size)
        self._entries[key] = _Entry(model, size)
        return model

    def drop(self, key: Key) -> None:
        """Let go of the model under `key`, if it is here."""
        if self._entries.pop(key, None) is not None:
            self._release()

    def clear(self) -> None:
        """Let go of every model."""
        self._entries.clear()
        self._release()

    def _make_room(self, device: str, size: int) -> None:
        room = self._limit(device) - size
        here = [key for key in self._entries if key.device == device]
        used = sum(self._entries[key].size for key in here)
        while here and used > room:
            oldest = here.pop(0)
            used -= self._entries[oldest].size
            self.drop(oldest)

    def _release(self) -> None:
        gc.collect()
        self._released()


def parameter_bytes(model: Any) -> int:
    """The bytes of the parameters and buffers of a pipeline or of one of its parts, shared ones counted once."""
    tensors: dict[int, int] = {}
    for part in model.components.values() if hasattr(model, "components") else [model]:
        if hasattr(part, "parameters") and hasattr(part, "buffers"):
            tensors |= {id(tensor): tensor.nbytes for tensor in (*part.parameters(), *part.buffers())}
    return sum(tensors.values())
