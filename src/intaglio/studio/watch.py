"""Keeping the index true: what changes in watched folders is looked at as soon as it has settled."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from threading import Event

from intaglio.core.errors import StorageFailed
from intaglio.studio.modelfiles import COMPONENT, PIPELINE, is_left_out, is_model_name, model_folder_of
from intaglio.studio.parts import Parts
from intaglio.studio.scan import Finding, look

TICK_MS = 250


def watch(parts: Parts, roots: list[str], stop: Event, settle_s: float) -> Iterator[Finding]:
    """What a scan of `roots` finds, then each change in them, until `stop` is set.

    A path counts when what is there looked the same for `settle_s` seconds.
    """
    from watchfiles import watch as follow

    changes = follow(
        *roots,
        watch_filter=None,
        stop_event=stop,
        rust_timeout=TICK_MS,
        yield_on_timeout=True,
        debounce=TICK_MS,
        step=50,
        raise_interrupt=True,
        recursive=True,
    )
    unsettled = _Unsettled(settle_s)
    try:
        # The watch begins first: what changes while the scan runs is looked at again.
        started = set(next(changes, ()))
        yield from look(parts, roots).findings
        unsettled.add(_units(started, roots))
        for changed in changes:
            unsettled.add(_units(changed, roots))
            # By now a part that came first may have become one of a model folder.
            settled = {model_folder_of(path, roots) for path in unsettled.settled()}
            if settled:
                yield from look(parts, sorted(settled)).findings
    except FileNotFoundError as error:
        raise StorageFailed(f"{error.filename or roots[0]} is gone") from error


def _units(changes: Iterable[tuple[object, str]], roots: list[str]) -> set[str]:
    """What to look at for these changes: a file, a folder, or the model folder that a file is a part of."""
    units = set()
    for _, path in changes:
        if is_left_out(next((path[len(root) :] for root in roots if path.startswith(root)), path)):
            continue
        unit = model_folder_of(path, roots)
        if unit == path and os.path.basename(path) in (PIPELINE, COMPONENT):
            units.add(os.path.dirname(path))
        # A folder that came or went may have models in it; whether it was one cannot be seen when it is gone.
        elif unit != path or is_model_name(path) or not os.path.isfile(path):
            units.add(unit)
    return units


class _Unsettled:
    """Paths that changed, what each looked like last, and since when."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._waiting: dict[str, tuple[object, float]] = {}

    def add(self, paths: set[str]) -> None:
        """Paths that changed just now."""
        for path in paths:
            self._waiting[path] = (_appearance(path), time.monotonic())

    def settled(self) -> list[str]:
        """The paths that look as they did `settle_s` seconds ago; they are waited for no more."""
        now, done = time.monotonic(), []
        for path, (before, since) in list(self._waiting.items()):
            now_seen = _appearance(path)
            if now_seen != before:
                self._waiting[path] = (now_seen, now)
            elif now - since >= self._settle_s:
                del self._waiting[path]
                done.append(path)
        return done


def _appearance(path: str) -> object:
    """What can be seen of a file, or of all files in a folder, without reading them."""
    if not os.path.isdir(path):
        return _stat(path)
    return [(place, name, _stat(os.path.join(place, name))) for place, _, names in os.walk(path) for name in names]


def _stat(path: str) -> object:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
