"""What a scan found, on its way into the library: names for new models, places, many in one transaction."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from intaglio.core.errors import Conflict
from intaglio.core.model import ModelVersion
from intaglio.store.model_index import Seen
from intaglio.studio import clock, registry
from intaglio.studio.examine import Examined
from intaglio.studio.modelfiles import Candidate
from intaglio.studio.naming import name_for
from intaglio.studio.parts import Parts


class Ledger:
    """The names a library has, and what is to be written next."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._labels: dict[str, set[str]] = {}
        self._named: dict[str, str] = {}
        self._name_at: dict[str, str] = {}
        self._paths: dict[str, list[str]] = {}
        for each in parts.models.labels():
            self._know(each.name, each.version, each.digest, each.path)
        self._indexed = parts.model_index.digests()
        # A place and the model that it gives a name to, in one step: Ctrl-C comes between any two.
        self._entries: list[tuple[Seen, ModelVersion | None]] = []
        self._new: dict[str, list[str]] = {}
        self._left: set[str] = set()
        self._touched: set[str] = set()

    @property
    def waiting(self) -> int:
        """How many places wait to be written."""
        return len(self._entries) + len(self._left)

    def name_of(self, digest: str) -> str:
        """The name:version this content was added with last, "" for none."""
        return self._named.get(digest, "")

    def see(self, seen: Seen) -> None:
        """A place that holds what it held before."""
        self._entries.append((seen, None))

    def leave(self, path: str, digest: str) -> None:
        """A place that this content left; "" for a place that holds other content now."""
        if path:
            self._left.add(path)
        self._touched.add(digest)

    def elsewhere(self, digest: str, path: str) -> tuple[list[str], list[str]]:
        """Where this content was seen last, except at `path` before: places thought to hold it, and ones it left."""
        places = self._parts.model_index.of(digest) if digest in self._indexed else []
        here = {place.path for place in places if not place.gone} | set(self._new.get(digest, ()))
        if not places:
            here |= set(self._paths.get(digest, ()))  # added before there was an index
        here -= self._left
        left = [place.path for place in places if place.gone and place.path not in {*here, path}]
        return sorted(here), left

    def keep(self, candidate: Candidate, examined: Examined, *, replaces: bool) -> str:
        """Note content at a new place, under a name if it is a model and has none; returns its name:version or ""."""
        path, digest = candidate.path, examined.digest
        seen = Seen(path, digest, examined.size, examined.what)
        self._new.setdefault(digest, []).append(path)
        if digest in self._named or examined.facts is None:
            self._touched.add(digest)
            self._entries.append((seen, None))
            return self.name_of(digest)
        if replaces and path in self._name_at:
            name = self._name_at[path]
        else:
            name = name_for(path, is_folder=candidate.is_folder, is_taken=lambda name: name in self._labels)
        version = registry.free_label(self._labels.get(name, set()))
        self._entries.append((seen, _version(name, version, examined)))
        self._know(name, version, digest, path)
        return self._named[digest]

    def write(self) -> None:
        """Make all that waits durable, in one transaction."""
        if not (self._entries or self._left):
            return
        with self._parts.database.write():
            for seen, model in self._entries:
                if model is not None:
                    self._add(model, Path(seen.path))
            self._parts.model_index.note((seen for seen, _ in self._entries), self._left, clock.now())
        self._indexed |= self._new.keys()
        self._entries, self._new = [], {}
        self._left = set()

    def _add(self, model: ModelVersion, path: Path) -> None:
        try:
            self._parts.models.add(model, path)
        except Conflict:  # somebody took the label meanwhile
            label = registry.next_label(self._parts, model.name, model.digest)
            self._parts.models.add(replace(model, version=label), path)

    def follow(self) -> None:
        """Have the models whose content moved be found at a place where it is now."""
        for each in self._parts.models.labels():
            if each.digest not in self._touched:
                continue
            here = [place.path for place in self._parts.model_index.of(each.digest) if not place.gone]
            untold = not self._parts.model_index.at(each.path) and os.path.lexists(each.path)
            if here and each.path not in here and not untold:
                self._parts.models.move(each.digest, Path(here[-1]), left=Path(each.path))

    def _know(self, name: str, version: str, digest: str, path: str) -> None:
        self._labels.setdefault(name, set()).add(version)
        self._named[digest] = f"{name}:{version}"
        self._name_at[path] = name
        self._paths.setdefault(digest, []).append(path)


def _version(name: str, version: str, examined: Examined) -> ModelVersion:
    facts = examined.facts
    assert facts is not None
    return ModelVersion(
        name=name,
        version=version,
        digest=examined.digest,
        model_kind=facts.kind,
        layout=facts.layout,
        family=facts.family,
        size=examined.size,
        files=examined.files,
        defaults=facts.defaults,
        metadata={_text(key): _text(value) for key, value in facts.metadata.items()},
        added=clock.now(),
    )


def _text(text: str) -> str:
    """Text that a record can hold: half characters, which a header may spell, are written out."""
    return text.encode("utf-8", "backslashreplace").decode()
