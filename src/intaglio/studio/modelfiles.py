"""Finding model files and model folders on a disk. Nothing of what is found is opened but small configurations."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from intaglio.store.filehash import LEFT_OUT
from intaglio.store.proofs import StatSignature
from intaglio.studio.settings import FOLDER

SAFE_SUFFIXES = (".safetensors", ".sft")
SUFFIXES = (*SAFE_SUFFIXES, ".ckpt", ".pt", ".pth", ".bin")
PIPELINE = "model_index.json"
COMPONENT = "config.json"
_COMPONENTS = ("Autoencoder", "ControlNet")
_CONFIG_LIMIT = 1_000_000


@dataclass(frozen=True)
class Candidate:
    """A path that may hold a model: a file with what it looks like now, or a folder (`stat` is None), or neither, and
    then `problem` says why. `size` is bytes, all files of a folder together."""

    path: str
    size: int = 0
    stat: StatSignature | None = None
    problem: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder that holds one model."""
        return self.stat is None and not self.problem


def find_candidates(roots: Iterable[str], also: Iterable[str] = ()) -> list[Candidate]:
    """The model files and model folders in `roots` (absolute paths), ordered by path, and those at `also`, whatever
    they are called. Links are followed, each folder is entered once; a path where nothing is any more is left out.
    """
    found = {each.path: each for each in _Walk().candidates(roots)}
    for path in also:
        if path not in found and (each := _candidate(path)) is not None:
            found[path] = each
    return [found[path] for path in sorted(found)]


def model_folder_of(path: str, roots: Iterable[str]) -> str:
    """The folder that holds `path` as a part of one model, the outermost below one of `roots`; else `path` itself."""
    for root in roots:
        if not path.startswith(root.rstrip("/") + "/"):
            continue
        inside, folder = path[len(root.rstrip("/")) + 1 :].split("/"), root
        for name in ("", *inside[:-1]):
            folder = os.path.join(folder, name) if name else folder
            if _is_model_folder(folder):
                return folder
    return path


def is_model_name(path: str) -> bool:
    """Whether a file of that name may be a model, or say that the folder it is in is one."""
    return path.lower().endswith(SUFFIXES) or os.path.basename(path) in (PIPELINE, COMPONENT)


def is_left_out(path: str) -> bool:
    """Whether a path leads into what holds no models of the user's: a library, or what tools leave beside models."""
    return not {FOLDER, *LEFT_OUT}.isdisjoint(path.split("/"))


class _Walk:
    def __init__(self) -> None:
        self._entered: set[tuple[int, int]] = set()
        # Behind a link is looked at last, so that what is also there without one is known by its own path.
        self._links: deque[str] = deque()

    def candidates(self, roots: Iterable[str]) -> Iterator[Candidate]:
        waiting = deque(roots)
        while waiting or self._links:
            path = waiting.popleft() if waiting else self._links.popleft()
            if not os.path.isdir(path):
                if (is_model_name(path) or _is_too_deep(path)) and (each := _candidate(path)) is not None:
                    yield each
                continue
            try:
                if not self._enter(path):
                    continue
                if _is_model_folder(path):
                    yield Candidate(path, _size(path))
                    continue
                with os.scandir(path) as entries:
                    yield from self._inside(sorted(entries, key=lambda entry: entry.name), waiting)
            except OSError as error:
                yield Candidate(path, problem=unreadable(error))

    def _enter(self, path: str) -> bool:
        found = os.stat(path)
        before = len(self._entered)
        self._entered.add((found.st_dev, found.st_ino))
        return len(self._entered) > before

    def _inside(self, entries: list[os.DirEntry[str]], waiting: deque[str]) -> Iterator[Candidate]:
        for entry in entries:
            if is_left_out(entry.name):
                continue
            if _is_folder(entry):
                (self._links if entry.is_symlink() else waiting).append(entry.path)
            elif entry.name.lower().endswith(SUFFIXES):
                each = _candidate(entry.path)
                if each is not None:
                    yield each


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _candidate(path: str) -> Candidate | None:
    if not is_text(path):
        return Candidate(path, problem="its name is not Unicode; rename it")
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return Candidate(path, problem="a link to nothing") if os.path.islink(path) else None
    except OSError as error:
        return Candidate(path, problem=unreadable(error))
    if stat.S_ISDIR(found.st_mode):
        return Candidate(path, _size(path))
    if not stat.S_ISREG(found.st_mode):
        return Candidate(path, problem="not a file")
    if not found.st_size:
        return Candidate(path, problem="an empty file")
    return Candidate(path, found.st_size, StatSignature.of(found))


def _is_too_deep(path: str) -> bool:
    """Whether nothing can be said of a path because the system opens none as long."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def unreadable(error: OSError) -> str:
    """Why something cannot be read, in words."""
    if error.errno == errno.ENAMETOOLONG:
        return "not looked at: it lies too deep, the system opens no path as long"
    return f"cannot be read: {(error.strerror or str(error)).lower()}"


def is_text(path: str) -> bool:
    """Whether a path is Unicode, so that it can be written down."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_model_folder(path: str) -> bool:
    """Whether a folder holds one model: a pipeline, or a component that diffusers saved by itself."""
    if os.path.isfile(os.path.join(path, PIPELINE)):
        return True
    config = os.path.join(path, COMPONENT)
    try:
        found = os.stat(config)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _CONFIG_LIMIT:
            return False
        with open(config, "rb") as file:
            value = json.loads(file.read(_CONFIG_LIMIT))
    except (OSError, ValueError, RecursionError):
        return False
    name = value.get("_class_name") if isinstance(value, dict) else None
    return isinstance(name, str) and any(part in name for part in _COMPONENTS)


def _size(folder: str) -> int:
    """Bytes of all files in a folder, as far as they can be seen; for progress only."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total
