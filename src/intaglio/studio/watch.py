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
    changes = _changes(roots, stop)
    unsettled, said = _Unsettled(settle_s), dict[str, Finding]()
    try:
        # The watch begins first: what changes while the scan runs is looked at again.
        started = next(changes, ())
        yield from _news(look(parts, roots).findings, said)
        unsettled.add(_units(started or (), roots))
        for changed in changes:
            if changed is None:
                unsettled.also(_units(_all_of(parts, roots), roots))
            else:
                unsettled.add(_units(changed, roots))
            # By now a part that came first may have become one of a model folder.
            settled = {model_folder_of(path, roots) for path in unsettled.settled()}
            if settled:
                yield from _news(look(parts, sorted(settled)).findings, said)
    except FileNotFoundError as error:
        raise StorageFailed(f"{error.filename or roots[0]} is gone") from error


def _changes(roots: list[str], stop: Event) -> Iterator[set[str] | None]:
    """The paths that changed, again and again, also when there are none; None when some got lost."""
    from watchfiles import watch as follow
    from watchfiles._rust_notify import WatchfilesRustInternalError

    lost = False
    while True:
        try:
            for changed in follow(
                *roots,
                watch_filter=None,
                stop_event=stop,
                rust_timeout=TICK_MS,
                yield_on_timeout=True,
                debounce=TICK_MS,
                step=50,
                raise_interrupt=True,
                recursive=True,
            ):
                if lost:
                    yield None
                lost = False
                yield {path for _, path in changed}
            return
        except WatchfilesRustInternalError as error:
            # A name that is not Unicode ends the watch, and what changed beside it is not told.
            if "decode" not in str(error):
                raise StorageFailed(f"{', '.join(roots)} cannot be watched: {error}") from error
        yield None
        lost = not stop.wait(TICK_MS / 1000)
        if not lost:
            return


def _all_of(parts: Parts, roots: list[str]) -> Iterator[str]:
    """Every path that may have changed: all files there are, and all that were there before."""
    for root in roots:
        for folder, _, names in os.walk(root):
            yield from (os.path.join(folder, name) for name in names if is_model_name(name))
    yield from (place.path for place in parts.model_index.under(roots) if not place.gone)


def _news(findings: Iterable[Finding], said: dict[str, Finding]) -> Iterator[Finding]:
    """The findings, but not the same complaint about the same path twice."""
    for finding in findings:
        if finding.digest or said.get(finding.path) != finding:
            yield finding
        said[finding.path] = finding


def _units(changes: Iterable[str], roots: list[str]) -> set[str]:
    """What to look at for these changes: a file, a folder, or the model folder that a file is a part of."""
    units = set()
    for path in changes:
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

    def also(self, paths: set[str]) -> None:
        """Paths that may have changed, unless they are waited for already."""
        self.add(paths - self._waiting.keys())

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
