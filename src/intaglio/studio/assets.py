"""Assets: bringing files in, finding them, getting them out."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from intaglio.core.asset import ADDRESS, Asset
from intaglio.core.canonical import PREFIX, digest_bytes, is_digest
from intaglio.core.errors import Conflict, Damaged, Invalid, InvalidImage, NotFound, StorageFailed
from intaglio.core.gaps import AssetState
from intaglio.core.lineage import Lineage
from intaglio.core.plan import AssetRef
from intaglio.core.snapshot import Snapshot
from intaglio.core.video import MEDIA_TYPES
from intaglio.store.filehash import open_source
from intaglio.store.proofs import Proof, StatSignature, file_subject
from intaglio.studio.arrivals import Arrival, arrive, file_of
from intaglio.studio.compare import Comparison, compare_files
from intaglio.studio.files import UPLOAD, expanded, file_named, is_file, named, reached
from intaglio.studio.inside import Written, with_record
from intaglio.studio.lineage import lineage
from intaglio.studio.parts import Parts
from intaglio.studio.recognise import MAX_BYTES, recognise
from intaglio.studio.thumbnails import thumbnail

BATCH_BYTES = 64 * 2**20
BATCH_FILES = 256


class Assets:
    """`studio.assets`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def add(self, paths: Iterable[str | Path], *, progress: Callable[[int, int], None] | None = None) -> list[Asset]:
        """Keep pictures and videos in the library. A file that is unchanged since it was added is not read again.

        Raises NotFound, InvalidImage (naming the file), Invalid (too large), BackendMissing (a video, and no PyAV).
        """
        files = [named(path, self._parts.reach) for path in paths]
        known = {path: asset for path in files if (asset := self._known(path)) is not None}
        fresh = [path for path in files if path not in known]
        done = 0
        for batch in _batches(fresh):
            known |= self._keep(batch)
            done += len(batch)
            if progress:
                progress(done, len(fresh))
        return [known[path] for path in files]

    def show(self, reference: str) -> Asset:
        """The record of an asset, by digest, unique prefix of one, address, or a file with its bytes or pixels.

        Raises NotFound, Conflict, Damaged.
        """
        return self._parts.assets.get(self._digest(reference))

    def get(self, reference: str) -> bytes:
        """The bytes of an asset, verified. Raises NotFound, Conflict, Damaged."""
        return self._parts.blobs.read(self._kept(reference))

    def as_made(self, reference: str) -> Asset:
        """Of a file that was exported from here, the output it is without its record; else the asset itself.

        Raises NotFound, Conflict, Damaged.
        """
        from intaglio.imaging.record import without_claim

        asset = self.show(reference)
        with suppress(InvalidImage, NotFound):
            digest = digest_bytes(without_claim(self._parts.blobs.read(asset.digest)))
            if digest != asset.digest and self.state(digest) == "ok":
                return self._parts.assets.get(digest)
        return asset

    def file(self, reference: str) -> Path:
        """The file of an asset in the library, verified: to be read, never written. Raises NotFound, Damaged."""
        return self._parts.blobs.path_of(self._digest(reference))

    def with_record(self, reference: str) -> Written:
        """The bytes of an asset as `versions export` would write them: with the record of its version inside.

        Raises NotFound (no version has it as an output), Conflict (several have), Damaged.
        """
        digest = self._digest(reference)
        found = self._parts.versions.find(output=digest)
        if not found:
            hint = "Only an output of a version has a record; write it without."
            raise NotFound("version with the output", reference, hint=hint)
        if len(found) > 1:
            names = ", ".join(f"{version.workflow.name}/{version.name}" for _, version in found)
            raise Conflict(
                f"{reference!r} is an output of {len(found)} versions: {names}",
                hint="Export the one you mean with: intaglio versions export VERSION",
            )
        named, version = found[0]
        snapshot = self._parts.documents.get(Snapshot, version.snapshot)
        output = next(each for each in version.outputs if each.asset == digest)
        return with_record(self._parts.blobs.read(digest), named, version, snapshot, output)

    def import_(
        self, paths: Iterable[str | Path], *, progress: Callable[[int, int], None] | None = None
    ) -> list[Arrival]:
        """Take in files, and the versions whose record they carry inside or beside them. Says of each what it is.

        One whose record belongs to another file, or makes no sense, is refused, which its `Arrival` says; the others
        are taken in. Raises NotFound when a file is not there, before any is looked at.
        """
        files = list(dict.fromkeys(file_of(named(path, self._parts.reach)) for path in paths))
        for path in files:
            if not os.path.lexists(path):
                raise NotFound("file", str(path))
        found = []
        for done, path in enumerate(files, 1):
            found.append(arrive(self._parts, path, lambda path: _read(path)[0], lambda path: self.add([path])[0]))
            if progress:
                progress(done, len(files))
        return found

    def compare(self, a: str | Path, b: str | Path, *, to: str | Path | None = None) -> Comparison:
        """How far two pictures or clips are apart; each is a file on disk, or an asset by digest or beginning of one.

        With `to`, a heat map and a side-by-side sheet are written into that folder. Raises NotFound, InvalidImage
        (naming the one), Damaged, Conflict (other files are there), BackendMissing (a video, and no PyAV).
        """
        old, new = os.fspath(a), os.fspath(b)
        with self._opened(old) as first, self._opened(new) as second:
            folder = None if to is None else named(to, self._parts.reach, "folder")
            return compare_files((old, first), (new, second), folder)

    def _opened(self, reference: str) -> BinaryIO:
        try:
            path = None if is_digest(reference.removeprefix(ADDRESS)) else reached(reference, self._parts.reach)
            if path is not None and os.path.lexists(path):
                return open_source(path)
            return self._parts.blobs.open_verified(self._kept(reference))
        except NotFound as error:
            hint = "Name a file that is there, or give a digest as it was printed."
            raise NotFound(error.kind, error.name, hint=hint) from error
        except StorageFailed as error:
            raise Invalid(str(error), hint="Name a file that can be read.") from error
        except Invalid as error:
            raise Invalid(str(error), hint=error.hint or "Name a picture or a clip.") from error

    def thumbnail(self, reference: str, *, size: int = 256, frames: int = 1) -> bytes:
        """A PNG of a picture or of a clip's first frame, at most `size` pixels wide and high; with more `frames`, so
        many of a clip side by side, from its first to its last.

        Raises NotFound, Conflict, Invalid (a size or number that makes no picture), InvalidImage, Damaged,
        BackendMissing (a video, and no PyAV).
        """
        return thumbnail(self._parts, self.show(reference), size=size, frames=frames)

    def lineage(self, reference: str, *, depth: int | None = None) -> Lineage:
        """What an asset was made from and what was made from it, at most `depth` steps away; named as in `show`.

        Raises NotFound, Conflict, Damaged.
        """
        return lineage(self._parts, self._digest(reference), depth=depth)

    def take(self, given: str, base: Path | None) -> AssetRef:
        """A reference picture for a plan: a stored one by digest, or a file, which is decoded in full and kept.

        `base` is the folder that relative paths start from. Raises NotFound, InvalidImage, Damaged.
        """
        from intaglio.imaging.decode import decode

        text = given.removeprefix(ADDRESS)
        if text.startswith(PREFIX):
            asset, name = self.show(text), text
        else:
            if base is None and self._parts.reach is None and is_relative(given):
                raise Invalid(
                    f"the picture {given!r} is named by a relative path, and the workflow is not a file",
                    hint="Run the workflow from its file, or name the picture by its whole path or digest.",
                )
            path = self._picture(given, base)
            asset, name = self.as_made(self.add([path])[0].digest), path.name
        if asset.media_type in MEDIA_TYPES:
            raise InvalidImage(f"{name} is a video, and a picture is wanted", hint="Name a picture.")
        try:
            decode(self._parts.blobs.read(asset.digest))
        except InvalidImage as error:
            raise InvalidImage(f"{name}: {error}", hint=error.hint) from error
        return AssetRef(digest=asset.digest, media_type=asset.media_type, address=asset.address, name=name)

    def _picture(self, given: str, base: Path | None) -> Path:
        """The file of a reference picture; a relative path starts from `base`. Raises NotFound, Invalid."""
        if base is None or given.startswith(UPLOAD):
            return named(given, self._parts.reach)
        if self._parts.reach is None:
            return base / expanded(given)
        return named(base / given, self._parts.reach)

    def state(self, digest: str) -> AssetState:
        """Whether the store still has the bytes of an asset as they were."""
        try:
            self._parts.blobs.verify(digest, full=False)
        except (Damaged, NotFound):
            return "damaged" if self._parts.blobs.has(digest) else "missing"
        return "ok"

    def _kept(self, reference: str) -> str:
        """The digest of bytes that are here, or should be. Raises NotFound, Conflict."""
        digest = self._digest(reference)
        if not self._parts.blobs.has(digest):
            self._parts.assets.get(digest)  # what was never there is not found, and not damaged
        return digest

    def _digest(self, reference: str) -> str:
        text = reference.removeprefix(ADDRESS)
        if is_digest(text):
            return text
        path = file_named(reference, self._parts.reach)
        if path is not None:
            held, _ = recognise(self._parts, path)
            if not held:
                raise NotFound("asset", reference, hint="Nothing in this library has these bytes or pixels.")
            return held[0].digest
        if not text.removeprefix(PREFIX):
            raise NotFound("asset", reference, hint="Give a digest or the beginning of one.")
        found = self._parts.assets.find(text if text.startswith(PREFIX) else PREFIX + text)
        if len(found) > 1:
            raise Conflict(f"{reference!r} fits {len(found)} assets", hint="Give more of the digest.")
        if not found:
            raise NotFound(
                "asset", reference, hint="Give a digest as it was printed, or a file that is in the library."
            )
        return found[0]

    def _known(self, path: Path) -> Asset | None:
        """The asset a file held when it was last read, if neither the file nor the store changed since."""
        try:
            digest = self._parts.proofs.trusted(file_subject(path), StatSignature.of(path.stat()))
            return self._parts.assets.get(digest) if digest and self.state(digest) == "ok" else None
        except (OSError, NotFound):
            return None

    def _keep(self, paths: list[Path]) -> dict[Path, Asset]:
        proofs = self._parts.proofs
        at = proofs.now()
        read = {path: _read(path) for path in paths}
        described = {path: describe(path, data) for path, (data, _) in read.items()}
        digests = dict(zip(paths, self._parts.blobs.put_many([data for data, _ in read.values()]), strict=True))
        assets = {path: replace(asset, digest=digests[path]) for path, asset in described.items()}
        self._parts.assets.add_many(list(assets.values()))
        for path, (_, signature) in read.items():
            if signature is not None:
                proofs.remember(file_subject(path), Proof(signature, digests[path], at))
        return assets


def is_relative(given: str) -> bool:
    """Whether a reference to a picture is a path that starts from some folder."""
    return not given.startswith((ADDRESS, PREFIX)) and not expanded(given).is_absolute()


def describe(path: Path, data: bytes) -> Asset:
    """What the bytes of a file are, as an asset without a digest. Raises InvalidImage (naming it), BackendMissing."""
    from intaglio.imaging.decode import inspect
    from intaglio.imaging.frames import clip_info
    from intaglio.imaging.video import format_of

    try:
        if format_of(data[:12]):
            return Asset(digest="", size=len(data), **vars(clip_info(io.BytesIO(data))))
        found = inspect(data)
    except InvalidImage as error:
        raise neither(path, error) from error
    return Asset(digest="", size=len(data), media_type=found.media_type, width=found.width, height=found.height)


def neither(path: str | Path, error: InvalidImage) -> InvalidImage:
    """What is said of a file that is no picture for that reason, nor a video."""
    nor = ", nor an MP4, MOV, WebM or MKV video" if str(error).startswith("this is not") else ""
    return InvalidImage(f"{path}: {error}{nor}", hint=error.hint)


def _read(path: Path) -> tuple[bytes, StatSignature | None]:
    """The bytes of a file, and its signature if it did not change while it was read."""
    try:
        with open_source(path) as file:
            signature = StatSignature.of(os.fstat(file.fileno()))
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise Invalid(f"{path} is larger than {MAX_BYTES // 2**20} MiB", hint="Scale the picture down.")
        return data, signature if StatSignature.of(path.stat()) == signature else None
    except StorageFailed as error:
        raise Invalid(f"a picture cannot be read: {error}", hint="Name a file that can be read.") from error
    except Invalid as error:
        raise Invalid(str(error), hint=error.hint or "Name a picture file.") from error
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", hint="Name a file that can be read.") from error


def _batches(paths: list[Path]) -> Iterator[list[Path]]:
    """The paths in batches that fit in memory together."""
    batch: list[Path] = []
    size = 0
    for path in paths:
        batch.append(path)
        size += path.stat().st_size if is_file(path) else 0
        if size >= BATCH_BYTES or len(batch) >= BATCH_FILES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
