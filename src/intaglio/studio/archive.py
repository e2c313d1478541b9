"""The archive of models: taking their content into the store, bringing it back, using it when the file is gone."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from intaglio.core.canonical import PREFIX, digest_bytes, is_digest
from intaglio.core.errors import Conflict, Damaged, Invalid, ModelUnavailable, NotFound, StorageFailed
from intaglio.core.model import KeptModel, ModelPart, ModelVersion
from intaglio.store import disk
from intaglio.store.blobs import OtherContent
from intaglio.store.lock import TaskLock
from intaglio.store.transfer import How
from intaglio.studio import clock
from intaglio.studio.parts import Parts

Progress = Callable[[int, int], None]
# A hard link can be damaged through the user's file, so it is the weakest of the three.
_WEAKEST_FIRST: tuple[How, ...] = ("hard link", "copy", "reflink")
RESTORE_WAIT_S = 600.0


@dataclass(frozen=True)
class Archived:
    """A model that is kept, and whether it was so already; `config` is the same of the folder that it needs."""

    model: ModelVersion
    kept: KeptModel
    already: bool
    config: Archived | None = None


@dataclass(frozen=True)
class Restored:
    """A model that is back at `path`. `how` is "" when it was there already; `aside` is where what stood in its place
    is now, "" when nothing did."""

    model: ModelVersion
    path: str
    how: str
    aside: str = ""
    config: Restored | None = None


def parts_of(model: ModelVersion | KeptModel) -> tuple[ModelPart, ...]:
    """The files of a model; a single file is one without a path of its own."""
    return model.files or (ModelPart(path="", digest=model.digest, size=model.size),)


def keep(parts: Parts, model: ModelVersion, path: Path, *, copy: bool, progress: Progress | None) -> Archived:
    """Take the content of a model into the store from `path`, where it is. What an earlier attempt took is not taken
    again. Raises ModelUnavailable (a file there is other content), StorageFailed (nothing is noted as kept then).
    """
    known = parts.kept.get(model.digest)
    if known is not None and not (copy and known.how == "hard link") and problem(parts, known, full=False) == "":
        return Archived(model, known, already=True)
    ways: set[How] = set()
    done = 0
    for part in parts_of(model):
        ways.add(_taken(parts, path / part.path, part, copy, _shifted(progress, done, model.size)))
        done += part.size
    kept = KeptModel(
        digest=model.digest,
        size=model.size,
        files=model.files,
        how=min(ways, key=_WEAKEST_FIRST.index),
        created=clock.now(),
        author=parts.settings.author,
    )
    parts.kept.put(kept)  # last: a record never names bytes that are not durable
    return Archived(model, kept, already=False)


def _taken(parts: Parts, file: Path, part: ModelPart, copy: bool, progress: Progress | None) -> How:
    try:
        return parts.blobs.take(file, part.digest, copy=copy, progress=progress)
    except OtherContent as error:
        raise ModelUnavailable(
            f"{file} is {error.digest}, not the recorded {part.digest}; it is not kept",
            hint="Let nothing write to it, then keep it again.",
        ) from error
    except (NotFound, Invalid) as error:
        raise ModelUnavailable(f"{file} cannot be kept: {error}") from error


def problem(parts: Parts, kept: KeptModel, *, full: bool) -> str:
    """What is wrong with the kept content of a model, "" when it is intact; `full` reads every byte again."""
    for part in parts_of(kept):
        try:
            parts.blobs.verify(part.digest, full=full)
        except (Damaged, NotFound) as error:
            return f"{part.path}: {error}" if part.path else str(error)
    return ""


def way_out(model: ModelVersion, path: Path) -> str:
    """What a user can do when what is kept of a model is damaged."""
    return (
        f"Put the true content back at {path}, by download or from a backup, then keep it with bytes of its own: "
        f"intaglio models keep {model.name}:{model.version} --copy"
    )


def kept_state(parts: Parts, digest: str, *, full: bool) -> tuple[bool, str]:
    """Whether the exact content of a model can be had from the store, and in words what stands against it."""
    try:
        kept = parts.kept.get(digest)
    except Damaged as error:
        return False, f"; what is kept of it is damaged too: {error}"
    if kept is None:
        return False, ""
    wrong = problem(parts, kept, full=full)
    return wrong == "", f"; the kept copy is damaged too: {wrong}" if wrong else ""


# -- bringing it back -------------------------------------------------------------------------------------------------


def restore(
    parts: Parts, model: ModelVersion, target: Path, *, replace: bool, progress: Progress | None
) -> tuple[How, str]:
    """Put the kept content of a model at `target`: how, and where what stood there is now ("" when nothing did).

    Raises NotFound (it is not kept), Conflict (something else is there), Damaged, StorageFailed.
    """
    kept = parts.kept.get(model.digest)
    if kept is None:
        raise NotFound(
            "kept copy of model", f"{model.name}:{model.version}", hint="See what is kept: intaglio models list"
        )
    if os.path.lexists(target) and not replace:
        if wrong := problem(parts, kept, full=False):
            raise _damaged(parts, model, wrong)
        raise Conflict(
            f"{target} is there, and is not the recorded content",
            hint="Restore it elsewhere (--to PATH), or set what is there aside under another name (--replace).",
        )
    # Whoever is killed leaves a half-made one of this name; the next one, alone because of the lock, takes it away.
    half = target.with_name(f".{target.name}.intaglio-restoring")
    name = digest_bytes(os.fsencode(target)).removeprefix(PREFIX)
    with TaskLock.hold(parts.root / "locks" / f"restore-{name}.lock", timeout_s=RESTORE_WAIT_S):
        disk.make_tree(target.parent)
        disk.remove_tree(half)
        try:
            how = _filled(parts, kept, half, link=False, progress=progress)
            aside = _set_aside(target) if os.path.lexists(target) else ""
            disk.rename_new(half, target)
        except FileNotFoundError as error:
            raise StorageFailed(f"{target} cannot be written: {error.filename} could not be made") from error
        except Damaged as error:
            raise _damaged(parts, model, str(error)) from error
        finally:
            disk.remove_tree(half)
        disk.sync_folder(target.parent)
    return how, aside


def _damaged(parts: Parts, model: ModelVersion, wrong: str) -> Damaged:
    return Damaged(
        f"{model.name}:{model.version} cannot be restored, its kept copy is damaged: {wrong}; nothing was changed",
        hint=way_out(model, parts.models.get(model.name, model.version)[1]),
    )


def _set_aside(target: Path) -> str:
    day = clock.now()[:10]
    names = [f"{target.name}.replaced-{day}", *(f"{target.name}.replaced-{day}-{n}" for n in range(2, 1000))]
    aside = next(path for name in names if not os.path.lexists(path := target.with_name(name)))
    disk.rename(target, aside)
    return str(aside)


def _filled(parts: Parts, kept: KeptModel, target: Path, *, link: bool, progress: Progress | None) -> How:
    """Make the new file or folder `target` with the kept content, synced; the weakest way it was done in."""
    ways: set[How] = set()
    done, folders = 0, {target} if kept.files else set()
    for part in parts_of(kept):
        place = target / part.path
        for folder in reversed(place.relative_to(target).parents):
            disk.make_tree(target / folder)
            folders.add(target / folder)
        ways.add(parts.blobs.give(part.digest, place, link=link, progress=_shifted(progress, done, kept.size)))
        disk.sync_file(place)
        done += part.size
    for folder in sorted(folders, reverse=True):
        disk.sync_folder(folder)
    return min(ways, key=_WEAKEST_FIRST.index)


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    return None if progress is None else lambda count, _: progress(done + count, max(total, done + count))


# -- using it while the file is gone ----------------------------------------------------------------------------------


def shelf(parts: Parts) -> Path:
    """The folder of the kept models that were laid out as files again, each in a folder of its digest's digits."""
    return parts.root / "models" / "kept"


def laid_out(parts: Parts, kept: KeptModel, name: str, is_intact: Callable[[Path], bool]) -> Path:
    """The kept content as a file of that `name`, or as a folder, inside the library. One that is there is used again
    when `is_intact` says so, else it is made anew. Raises Damaged, StorageFailed.
    """
    folder = shelf(parts) / kept.digest.removeprefix(PREFIX)
    place = folder if kept.files else folder / name
    if os.path.lexists(place) and is_intact(place):
        return place
    disk.make_tree(shelf(parts))
    half = shelf(parts) / f"tmp-{os.getpid()}-{secrets.token_hex(8)}"
    try:
        if not kept.files:
            disk.make_tree(half)
        _filled(parts, kept, half if kept.files else half / name, link=True, progress=None)
        if os.path.lexists(folder):
            disk.rename(folder, half.with_name(f"{half.name}-old"))
        try:
            disk.rename_new(half, folder)
        except Conflict:  # another process laid it out in the meantime
            if not is_intact(place):
                raise
    finally:
        disk.remove_tree(half)
        disk.remove_tree(half.with_name(f"{half.name}-old"))
    disk.sync_folder(shelf(parts))
    return place


def clear_shelf(parts: Parts, wanted: Callable[[str], bool], older_than: float) -> int:
    """Remove laid-out models that are not `wanted` (by digest), and half-made ones, all made before `older_than`
    (seconds since 1970); how many."""
    count = 0
    for entry in sorted(shelf(parts).iterdir()) if shelf(parts).is_dir() else ():
        digest = PREFIX + entry.name
        known = is_digest(digest)
        if (known or entry.name.startswith("tmp-")) and entry.lstat().st_ctime < older_than:
            if known and wanted(digest):
                continue
            disk.remove_tree(entry)
            count += 1
    return count
