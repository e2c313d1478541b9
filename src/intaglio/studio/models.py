"""Models: adding, finding and checking them by content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from intaglio.core.canonical import PREFIX, is_digest
from intaglio.core.context import ModelFile
from intaglio.core.errors import Conflict, Damaged, Invalid, ModelUnavailable, NotFound, UnsafeModel
from intaglio.core.gaps import ModelState
from intaglio.core.model import ModelPart, ModelRef, ModelVersion
from intaglio.core.workflow import NAME
from intaglio.store import filehash
from intaglio.studio import archive, clock
from intaglio.studio.archive import Archived, Restored
from intaglio.studio.files import expanded
from intaglio.studio.parts import Parts

Progress = Callable[[int, int], None]
LATEST = "latest"


@dataclass(frozen=True)
class ModelCheck:
    """What a model's file is at this moment: its state, and in words what was found."""

    model: ModelVersion
    path: Path
    state: ModelState
    found: str


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
        pickle checkpoint that may be loaded although it could run code. Raises NotFound, InvalidModel, UnsafeModel,
        Conflict (the version label is taken by other content).
        """
        from intaglio.backends.inspect import inspect_config, inspect_model

        _check_name(name, "name")
        if version:
            _check_name(version, "version")
        place, origin = self._place(path)
        if allow_pickle:
            self._check_allowed(place, allow_pickle)
        facts = inspect_model(place, allow_pickle=bool(allow_pickle))
        defaults, configured = facts.defaults, ""
        if config:
            folder = expanded(config).absolute()
            defaults = {**defaults, **inspect_config(folder).defaults}
            configured = self._add_config(folder)
        digest, size, files = self._identity(place, progress)
        model = ModelVersion(
            name=name,
            version=version or self._next_label(name, digest, configured),
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
            source=source or origin,
            added=clock.now(),
            pickle_allowed=bool(allow_pickle),
        )
        self._parts.models.add(model, place)
        return self.find(f"{name}:{model.version}")

    def _place(self, path: str | Path) -> tuple[Path, str]:
        """Where a model's file is, and the address it was downloaded from, "" for none. Raises NotFound."""
        from intaglio.backends import hub

        fetched = str(path).startswith(hub.PREFIX)
        place = self._fetched(str(path)) if fetched else expanded(path).absolute()
        if not place.exists():
            raise NotFound("model file", str(path))
        return place, str(path) if fetched else ""

    def list(self) -> list[tuple[ModelVersion, Path]]:
        """All model versions and where their files are, newest first."""
        return self._parts.models.list()

    def find(self, reference: str, kind: str = "") -> ModelVersion:
        """The exact version a reference means: name (the newest), name:latest, name:label, or a digest or its prefix.

        Raises NotFound, Conflict (an ambiguous prefix), Invalid (a model of another kind than `kind`).
        """
        model = self._find(reference)
        if kind and model.model_kind != kind:
            raise Invalid(f"model {reference!r} is a {model.model_kind}, not a {kind}")
        return model

    def check(self, digest: str, *, full: bool = False, progress: Progress | None = None) -> ModelCheck:
        """Whether a model's file is still the recorded content; `full` reads every byte again.

        Any place under which this content was added will do; the first one is reported when none has it any more. Then
        the state is "restorable" if the library keeps an intact copy of the content.
        """
        first = self._check_at(*self._parts.models.by_digest(digest), full=full, progress=progress)
        if first.state == "ok":
            return first
        for model, path in self._parts.models.list():
            if model.digest == digest and path != first.path:
                other = self._check_at(model, path, full=full, progress=progress)
                if other.state == "ok":
                    return other
        restorable, beside = archive.kept_state(self._parts, digest, full=full)
        return replace(first, state="restorable" if restorable else first.state, found=first.found + beside)

    def verify(self, reference: str, *, full: bool = False, progress: Progress | None = None) -> ModelCheck:
        """Whether the file under that very name is still the recorded content. Raises NotFound, Conflict."""
        model = self._find(reference)
        _, path = self._parts.models.get(model.name, model.version)
        return self._check_at(model, path, full=full, progress=progress)

    def _check_at(self, model: ModelVersion, path: Path, *, full: bool, progress: Progress | None) -> ModelCheck:
        digest = model.digest
        if not path.exists():
            return ModelCheck(model, path, "missing", f"{path} is gone")
        try:
            found, _, files = self._identity(path, progress, full=full)
        except (Invalid, OSError) as error:
            return ModelCheck(model, path, "changed", f"{path} cannot be read as it was: {error}")
        if found == digest:
            return ModelCheck(model, path, "ok", "")
        recorded = {part.path: part.digest for part in model.files}
        now = {part.path: part.digest for part in files}
        differing = sorted(name for name in recorded.keys() | now.keys() if recorded.get(name) != now.get(name))
        which = f" ({', '.join(differing[:3])}{', ...' if len(differing) > 3 else ''})" if model.files else ""
        return ModelCheck(model, path, "changed", f"{path} is now {found}{which}")

    def file(self, reference: ModelRef, *, full: bool = False, kept: bool = True) -> ModelFile:
        """The file of an exact model, checked against its digest. With `kept`, what the library keeps of it stands for
        a file that is gone or changed. Raises ModelUnavailable, NotFound.
        """
        found = [self._intact(reference, digest, full=full, kept=kept) for digest in reference.digests]
        model = found[0].model

        def check() -> None:
            for one in found:
                again = self._check_at(one.model, one.path, full=False, progress=None)
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

    def keep(self, reference: str, *, copy: bool = False, progress: Progress | None = None) -> Archived:
        """Take the content of a model, and of the folder that a single file is put together with, into the store.

        By reflink or hard link where the file system can, else (and always with `copy`) as a copy. `progress(done,
        total)` in bytes may raise to stop; what was taken then need not be taken again. Raises NotFound,
        ModelUnavailable (its file is not the recorded content), StorageFailed.
        """
        model = self._find(reference)
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
        else is there), Damaged, StorageFailed.
        """
        model, place = self._placed(reference)
        config = self.restore(model.config, replace=replace, progress=progress) if model.config and not to else None
        target = expanded(to).absolute() if to else place
        if to and target.is_dir() and not model.files:
            target /= place.name
        if self._check_at(model, target, full=False, progress=progress).state == "ok":
            how, aside = "", ""
        else:
            how, aside = archive.restore(self._parts, model, target, replace=replace, progress=progress)
        self._parts.models.add(model, target)
        return Restored(model, str(target), how, aside, config)

    def _placed(self, reference: str) -> tuple[ModelVersion, Path]:
        """The version a reference means, and where it was added from. Raises NotFound, Conflict."""
        model = self._find(reference)
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
            return self._check_at(model, path, full=False, progress=None).state == "ok"

        path = archive.laid_out(self._parts, kept, checked.path.name, is_intact)
        return ModelCheck(model, path, "ok", f"model {name} came from the archive: {checked.found}")

    @staticmethod
    def is_exact(reference: str) -> bool:
        """Whether a reference names one content for good: a digest or name:label, not an alias."""
        _, colon, label = reference.partition(":")
        return bool(colon) and label != LATEST

    def _find(self, reference: str) -> ModelVersion:
        if reference.startswith(PREFIX):
            return self._by_prefix(reference)
        name, _, label = reference.partition(":")
        try:
            return self._parts.models.get(name, None if label in ("", LATEST) else label)[0]
        except NotFound as error:
            names = sorted({model.name for model, _ in self.list()})
            hint = f"There are: {', '.join(names)}." if names else "Add one: intaglio models add PATH --name NAME"
            raise NotFound("model", reference, hint=hint) from error

    def _by_prefix(self, reference: str) -> ModelVersion:
        if is_digest(reference):
            return self._parts.models.by_digest(reference)[0]
        found = self._parts.models.find(reference)
        if len(found) > 1 and reference != PREFIX:
            raise Conflict(f"{reference!r} fits {len(found)} models", hint="Give more of the digest.")
        if not found or reference == PREFIX:
            raise NotFound("model", reference, hint="See them with: intaglio models list")
        return self._parts.models.by_digest(found[0])[0]

    def _identity(
        self, path: Path, progress: Progress | None, *, full: bool = False
    ) -> tuple[str, int, tuple[ModelPart, ...]]:
        proofs = self._parts.proofs
        if path.is_dir():
            folder = filehash.hash_folder(path, proofs=proofs, progress=progress, full=full)
            parts = tuple(ModelPart(path=name, digest=digest, size=size) for name, digest, size in folder.files)
            return folder.digest, folder.size, parts
        file = filehash.hash_file(path, proofs=proofs, progress=progress, full=full)
        return file.digest, file.size, ()

    def _check_allowed(self, path: Path, allowed: str) -> None:
        found = filehash.hash_file(path, proofs=self._parts.proofs).digest
        if found != allowed:
            raise UnsafeModel(
                f"{path} is {found}, not the file that was allowed ({allowed})",
                hint="Allow exactly this file by giving its digest, if you trust it.",
            )

    def _next_label(self, name: str, digest: str, config: str = "") -> str:
        held = [model for model, _ in self.list() if model.name == name]
        for model in held:
            if (model.digest, model.config) == (digest, config):
                return model.version
        labels = {model.version for model in held}
        return next(label for number in range(1, len(labels) + 2) if (label := f"v{number}") not in labels)

    def _fetched(self, reference: str) -> Path:
        from intaglio.backends import hub

        repository, revision = hub.parse_reference(reference)
        folder = self._parts.root / "models" / repository / revision
        hub.fetch(reference, folder)
        return folder

    def _add_config(self, folder: Path) -> str:
        """Keep the pipeline folder that goes with a single file; it is content of its own, with a digest of its own."""
        from intaglio.backends.inspect import inspect_config

        facts = inspect_config(folder)
        digest, size, files = self._identity(folder, None)
        try:
            known = self._parts.models.by_digest(digest)[0]
        except NotFound:
            name = f"{folder.name}-config" if NAME.match(folder.name) else "config"
            known = ModelVersion(
                name=name,
                version=self._next_label(name, digest),
                digest=digest,
                model_kind="config",
                layout=facts.layout,
                family=facts.family,
                size=size,
                files=files,
                defaults=facts.defaults,
                added=clock.now(),
            )
        self._parts.models.add(known, folder)
        return digest


def _check_name(text: str, what: str) -> None:
    if not NAME.match(text) or ":" in text or text == LATEST:
        raise Invalid(f"{text[:120]!r} is not a {what} for a model", hint="Use letters, digits, space, dot, _ and -.")


def states_of(models: Models, digests: list[str], *, full: bool) -> dict[str, tuple[ModelState, str]]:
    """The state of each model and what was found, for grading."""
    states: dict[str, tuple[ModelState, str]] = {}
    for digest in digests:
        try:
            checked = models.check(digest, full=full)
        except (NotFound, Damaged):
            states[digest] = ("missing", "it is not in this library")
        else:
            states[digest] = (checked.state, checked.found)
    return states
