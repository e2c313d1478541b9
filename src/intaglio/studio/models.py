"""Models: adding, finding and checking them by content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

from intaglio.core.canonical import PREFIX
from intaglio.core.context import ModelFile
from intaglio.core.envelope import Envelope
from intaglio.core.errors import Damaged, Invalid, ModelUnavailable, NotFound
from intaglio.core.gaps import ModelState
from intaglio.core.model import ModelRef, ModelVersion
from intaglio.studio import archive, clock, hashes, modelcheck, registry, scan, search
from intaglio.studio.archive import Archived, Restored
from intaglio.studio.envelope import PICTURES, Following, measure
from intaglio.studio.examine import UNSAFE
from intaglio.studio.hashes import Hashed
from intaglio.studio.modelcheck import About, ModelCheck, Verified, check_at
from intaglio.studio.parts import Parts
from intaglio.studio.scan import Finding, Scanned
from intaglio.studio.search import Found
from intaglio.studio.watch import watch

Progress = Callable[[int, int], None]
FilesProgress = Callable[[int, int, int, int], None]  # files done, files in all, bytes done, bytes in all


class Models:
    """`studio.models`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def add(
        self,
        path: str | Path,
        *,
        name: str,
        version: str = "",
        config: str | Path = "",
        source: str = "",
        allow_pickle: str = "",
        progress: Progress | None = None,
    ) -> ModelVersion:
        """Hash a model file or pipeline folder and keep it under a name.

        `path` may be hub:ORG/NAME@REVISION with an exact revision: the one case in which a model is downloaded, into
        the library's `models` folder.
        `config` is the pipeline folder that says how a single file is put together. `allow_pickle` is the digest of a
        pickle checkpoint that may be loaded although it could run code. Raises NotFound, Invalid (a name it
        cannot have), InvalidModel, UnsafeModel, Conflict (the version label is taken by other content).
        """
        registry.check_names(name, version)
        place, origin = self._place(path)
        return self._add(place, name, version, config, source or origin, allow_pickle, progress)

    def _add(
        self,
        place: Path,
        name: str,
        version: str,
        config: str | Path,
        source: str,
        allow_pickle: str,
        progress: Progress | None = None,
    ) -> ModelVersion:
        from intaglio.backends.inspect import inspect_config, inspect_model

        if allow_pickle:
            registry.check_allowed(self._parts, place, allow_pickle)
        facts = inspect_model(place, allow_pickle=bool(allow_pickle))
        defaults, configured = facts.defaults, ""
        if config:
            folder = registry.place_of(self._parts, config, "folder", uploaded=True)
            defaults = {**defaults, **inspect_config(folder).defaults}
            configured = registry.add_config(self._parts, folder)
        digest, size, files = registry.identity(self._parts, place, progress)
        model = ModelVersion(
            name=name,
            version=version or registry.next_label(self._parts, name, digest, configured),
            digest=digest,
            # Nothing is unpickled to find out what it is: what the user allows is taken for what it is used as.
            model_kind="checkpoint" if allow_pickle and facts.kind == "unknown" else facts.kind,
            layout=facts.layout,
            family=facts.family,
            size=size,
            files=files,
            defaults=defaults,
            metadata=facts.metadata,
            config=configured,
            source=source,
            added=clock.now(),
            pickle_allowed=bool(allow_pickle),
        )
        registry.keep(self._parts, model, registry.at_home(self._parts, place, digest))
        return self.find(f"{name}:{model.version}")

    def _place(self, path: str | Path) -> tuple[Path, str]:
        """Where a model's file is, and the address it was downloaded from, "" for none. Raises NotFound."""
        from intaglio.backends import hub

        # What a server is asked for never makes it download anything: there it is a name like any other.
        fetched = str(path).startswith(hub.PREFIX) and self._parts.reach is None
        place = (
            registry.fetched(self._parts, str(path)) if fetched else registry.place_of(self._parts, path, uploaded=True)
        )
        if not place.exists():
            raise NotFound("model file", str(path))
        return place, str(path) if fetched else ""

    def list(self) -> list[tuple[ModelVersion, Path]]:
        """All model versions and where their files are, newest first."""
        return self._parts.models.list()

    def find(self, reference: str, kind: str = "") -> ModelVersion:
        """The exact version a reference means: name (the newest), name:latest, name:label, or a hash or its beginning
        (six digits or more, of any hash that `search` knows).

        Raises NotFound, Conflict (the beginning of several), Invalid (a model of another kind than `kind`).
        """
        model = search.resolve(self._parts, reference)
        if kind and model.model_kind != kind:
            raise Invalid(f"model {reference!r} is a {model.model_kind}, not a {kind}")
        return model

    def about(self, reference: str) -> About:
        """All that is known of the model a reference means; its file is not looked at. Raises NotFound, Conflict."""
        return modelcheck.about(self._parts, search.resolve(self._parts, reference))

    def check(self, digest: str, *, full: bool = False, progress: Progress | None = None) -> ModelCheck:
        """Whether a model's file is still the recorded content; `full` reads every byte again.

        Any place where this content was added or seen will do; the first one is reported when none has it any more.
        Then the state is "restorable" if the library keeps an intact copy of the content. Raises NotFound.
        """
        checks = (
            check_at(self._parts, model, path, full=full, progress=progress)
            for model, path in modelcheck.places_of(self._parts, digest)
        )
        first = next(checks)
        intact = first if first.state == "ok" else next((each for each in checks if each.state == "ok"), None)
        if intact is not None:
            return intact
        restorable, beside = archive.kept_state(self._parts, digest, full=full)
        return replace(first, state="restorable" if restorable else first.state, found=first.found + beside)

    def check_there(self, digest: str, *, kept: bool) -> None:
        """Raise ModelUnavailable when no file is at any place of a model, nor (with `kept`) a kept copy; reads none."""
        places = modelcheck.places_of(self._parts, digest)
        if not (kept and self._parts.kept.get(digest)) and not any(path.exists() for _, path in places):
            model, path = places[0]
            raise ModelUnavailable(f"model {model.name}:{model.version} is missing: {path} is gone")

    def intact(self, digests: Iterable[str]) -> set[str]:
        """Those of these models that a glance (a stat each, one query) shows to be there unchanged."""
        return modelcheck.intact(self._parts, digests)

    def verify(self, reference: str, *, full: bool = False, progress: Progress | None = None) -> ModelCheck:
        """Whether the file under that very name is still the recorded content. Raises NotFound, Conflict."""
        model = search.resolve(self._parts, reference)
        _, path = self._parts.models.get(model.name, model.version)
        checked = check_at(self._parts, model, path, full=full, progress=progress)
        if checked.state == "ok":
            return checked
        # Only what is seen to be intact is promised: a hard link changes with the file that it shares its bytes with.
        restorable, beside = archive.kept_state(self._parts, model.digest, full=full)
        hint = f"Its content is kept; put it back with: intaglio models restore {model.name}:{model.version}"
        if not restorable:
            hint = archive.way_out(model, path) if beside else ""
        return replace(checked, found=checked.found + beside, hint=hint)

    def verify_all(self, *, full: bool = False, progress: Progress | None = None) -> Verified:
        """Whether the file of every model is what was recorded under its name; `progress` counts models."""
        return modelcheck.verify_all(self._parts, full=full, progress=progress)

    def scan(self, *folders: str | Path, progress: FilesProgress | None = None) -> Scanned:
        """Index every model file and model folder in `folders`: new ones get a name, the others keep theirs.

        What was finished before it is stopped is kept, and not read again by the next. Raises NotFound, Invalid.
        """
        return scan.scan(self._parts, scan.roots_of(self._parts, folders), progress)

    def watch(self, *folders: str | Path, stop: Event | None = None, settle_s: float = 2.0) -> Iterator[Finding]:
        """Keep the index true while files come, go and change: a scan first, then each change, until `stop` is set.

        A file is looked at when it did not change for `settle_s` seconds, so that no half copy is. Raises NotFound,
        Invalid.
        """
        return watch(self._parts, scan.roots_of(self._parts, folders), stop or Event(), settle_s)

    def hash_pending(self, progress: FilesProgress | None = None) -> Hashed:
        """Compute other tools' hashes for all indexed files that lack them. Raises Unavailable while another does."""
        return hashes.hash_pending(self._parts, progress)

    def search(self, text: str) -> Found:
        """Everything a text may mean: a name, a file's name, or six or more digits of a BLAKE3, SHA-256, AutoV1,
        AutoV2, AutoV3 or tensor digest. Raises NotFound for the SHA-256 of nothing.
        """
        return search.search(self._parts, text)

    def same_weights(self, first: str, second: str) -> bool:
        """Whether two digests are of the same tensors, and differ in headers or notes only; False while not known."""
        return hashes.same_weights(self._parts, first, second)

    def allow(self, digest: str, *, name: str, version: str = "", config: str | Path = "") -> ModelVersion:
        """Keep an indexed pickle file under a name: exactly that content may then be loaded although it can run code.

        Raises NotFound for a digest that no scan saw, Invalid for one of no pickle, UnsafeModel when the file is
        another by now.
        """
        digest = digest if digest.startswith(PREFIX) else PREFIX + digest.lower()
        places = [place for place in self._parts.model_index.of(digest) if not place.gone]
        if not places:
            raise NotFound("model file", digest, hint="Scan the folder that it is in: intaglio models scan DIR")
        allowed = any(model.pickle_allowed for model, _ in self._parts.models.under_digest(digest))
        if not allowed and not any(place.what.startswith(UNSAFE) for place in places):
            raise Invalid(
                f"{places[0].path} runs no code when it is loaded, so there is nothing to allow",
                hint="Keep it under a name with: intaglio models add PATH --name NAME",
            )
        registry.check_names(name, version)
        return self._add(Path(places[0].path), name, version, config, "", digest)

    def file(self, reference: ModelRef, *, full: bool = False, kept: bool = True) -> ModelFile:
        """The file of an exact model, checked against its digest. With `kept`, what the library keeps of it stands for
        a file that is gone or changed. Raises ModelUnavailable, NotFound.
        """
        found = [self._intact(reference, digest, full=full, kept=kept) for digest in reference.digests]
        model = found[0].model

        def check() -> None:
            for one in found:
                again = check_at(self._parts, one.model, one.path)
                if again.state != "ok":
                    raise ModelUnavailable(f"model {reference.name} changed while it was in use: {again.found}")

        return ModelFile(
            name=model.name,
            digest=model.digest,
            layout=model.layout,
            path=found[0].path,
            config=found[1].path if reference.config else None,
            pickle_allowed=model.pickle_allowed,
            check=check,
            note="; ".join(filter(None, (one.found for one in found))),
        )

    def kept(self) -> set[str]:
        """The digests of the models whose content the library keeps. Raises Damaged."""
        return {kept.digest for kept in self._parts.kept.list()}

    def keep(self, reference: str, *, copy: bool = False, progress: Progress | None = None) -> Archived:
        """Take the content of a model, and of the folder that a single file is put together with, into the store.

        By reflink or hard link where the file system can, else (and always with `copy`) as a copy. `progress(done,
        total)` in bytes may raise to stop; what was taken then need not be taken again. Raises NotFound,
        ModelUnavailable (its file is not the recorded content), StorageFailed.
        """
        model = search.resolve(self._parts, reference)
        config = self.keep(model.config, copy=copy, progress=progress) if model.config else None
        checked = self.check(model.digest, progress=progress)
        if checked.state not in ("ok", "restorable"):
            raise ModelUnavailable(f"{model.name}:{model.version} cannot be kept: {checked.found}")
        kept = archive.keep(self._parts, model, checked.path, copy=copy, progress=progress)
        return replace(kept, config=config)

    def restore(
        self, reference: str, *, to: str | Path = "", replace: bool = False, progress: Progress | None = None
    ) -> Restored:
        """Bring kept content back to where it was, or to the path `to`, which is then the model's place.

        `replace` sets what stands there aside under another name; nothing is ever deleted. Without `to`, the folder
        that a single file is put together with comes back too. Raises NotFound (it is not kept), Conflict (something
        else is there), Invalid (`to` is inside another model's folder), Damaged, StorageFailed.
        """
        model, place = self._placed(reference)
        config = self.restore(model.config, replace=replace, progress=progress) if model.config and not to else None
        target = registry.place_of(self._parts, to, "folder of models") if to else place
        if to and target.is_dir() and not model.files:
            target /= place.name
        if check_at(self._parts, model, target, full=False, progress=progress).state == "ok":
            how, aside = "", ""
        else:
            if to:
                registry.check_outside(target)
            how, aside = archive.restore(self._parts, model, target, replace=replace, progress=progress)
        registry.keep(self._parts, model, target)
        return Restored(model, str(target), how, aside, config)

    def envelope(
        self,
        reference: str,
        *,
        nodes: Sequence[str] = ("text-to-image",),
        repeats: int = PICTURES,
        kinds: Sequence[str] = (),
        progress: Following | None = None,
    ) -> tuple[Envelope, ...]:
        """Measure how far a model's pictures move when something around it changes, under each node type; keep it.

        Each condition (`kinds`; all when empty) is measured with `repeats` different pictures, in processes of their
        own and outside this library's history. Raises NotFound, Conflict, Invalid, ModelUnavailable, Unavailable.
        """
        model = search.resolve(self._parts, reference)
        file = self.file(model.ref)
        return measure(self._parts, model, file, nodes=nodes, repeats=repeats, kinds=kinds, progress=progress)

    def envelopes(self, reference: str) -> tuple[Envelope, ...]:
        """What was measured for a model, newest first. Raises NotFound, Conflict, Damaged."""
        return tuple(self._parts.envelopes.of(search.resolve(self._parts, reference).digest))

    def _placed(self, reference: str) -> tuple[ModelVersion, Path]:
        """The version a reference means, and where it was added from. Raises NotFound, Conflict."""
        model = search.resolve(self._parts, reference)
        return self._parts.models.get(model.name, model.version)

    def _intact(self, reference: ModelRef, digest: str, *, full: bool, kept: bool) -> ModelCheck:
        checked = self.check(digest, full=full)
        if checked.state == "restorable":
            name = f"{reference.name}:{reference.version}"
            if not kept:
                raise ModelUnavailable(
                    f"model {name} is not where it was: {checked.found}",
                    hint=f"The library keeps it: name it exactly ({name}) to use that, or put it back with: "
                    f"intaglio models restore {reference.name}",
                )
            return self._from_archive(checked, name)
        if checked.state != "ok":
            raise ModelUnavailable(
                f"model {reference.name} {reference.version} is {checked.state}: {checked.found}; recorded was {digest}"
            )
        return checked

    def _from_archive(self, checked: ModelCheck, name: str) -> ModelCheck:
        model = checked.model
        kept = self._parts.kept.get(model.digest)
        if kept is None:
            raise ModelUnavailable(f"model {name} is no longer kept: {checked.found}")

        def is_intact(path: Path) -> bool:
            return check_at(self._parts, model, path).state == "ok"

        path = archive.laid_out(self._parts, kept, checked.path.name, is_intact)
        return ModelCheck(model, path, "ok", f"model {name} came from the archive: {checked.found}")

    def is_exact(self, reference: str) -> bool:
        """Whether a reference names one content for good: a digest or name:label, not an alias."""
        return search.is_exact(self._parts, reference)


def states_of(models: Models, digests: list[str], *, full: bool) -> dict[str, tuple[ModelState, str]]:
    """The state of each model and what was found, for grading."""
    glanced = set() if full else models.intact(digests)
    states: dict[str, tuple[ModelState, str]] = dict.fromkeys(glanced, ("ok", ""))
    for digest in digests:
        if digest in glanced:
            continue
        try:
            checked = models.check(digest, full=full)
        except (NotFound, Damaged):
            states[digest] = ("missing", "it is not in this library")
        else:
            states[digest] = (checked.state, checked.found)
    return states
