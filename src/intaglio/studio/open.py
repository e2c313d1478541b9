"""Opening a library: the only place where parts are chosen."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from intaglio.core.errors import NoLibrary
from intaglio.store.blobs import LocalBlobs
from intaglio.store.database import Database
from intaglio.store.disk import make_tree
from intaglio.store.proofs import Proofs
from intaglio.studio.assets import Assets
from intaglio.studio.jobs import Jobs
from intaglio.studio.library import Library
from intaglio.studio.limits import UNLIMITED, Limits
from intaglio.studio.models import Models
from intaglio.studio.nodes import Nodes
from intaglio.studio.parts import Parts
from intaglio.studio.settings import DATABASE, Settings, find_library, library_folder, read_settings
from intaglio.studio.tasks import Tasks
from intaglio.studio.tokens import Tokens
from intaglio.studio.uploads import FOLDER as UPLOADS
from intaglio.studio.variations import Variations
from intaglio.studio.versions import Versions
from intaglio.studio.webhooks import Webhooks
from intaglio.studio.workflows import Workflows

if TYPE_CHECKING:
    from intaglio.core.job import Job
    from intaglio.core.task import Task


class Studio:
    """An open library, by its nouns. Close it, or use it as a context manager."""

    def __init__(self, parts: Parts) -> None:
        self.root = parts.root
        self.settings = parts.settings
        self.workflows = Workflows(parts)
        self.tasks = Tasks(parts)
        self.versions = Versions(parts)
        self.assets = Assets(parts)
        self.variations = Variations(parts)
        self.models = Models(parts)
        self.nodes = Nodes(parts)
        self.library = Library(parts)
        self.jobs = Jobs(parts)
        self.webhooks = Webhooks(parts)
        self.tokens = Tokens(parts)
        self._parts = parts

    def signed_by(self, person: str, *, decides: bool = True) -> Studio:
        """The same library, connections and warm models, for what is made in the name of a person, who may decide what
        is in production or not.

        Closing one closes all.
        """
        return Studio(self._parts.signed_by(person, decides=decides))

    def telling(self, queued: Callable[[Task | Job], None]) -> Studio:
        """The same library, for calls that are to tell of each task or job they queue, in that very transaction."""
        return Studio(self._parts.telling(queued))

    @property
    def parts(self) -> Parts:
        """What this library is put together from; for the server and the worker, not part of the Python API."""
        return self._parts

    def close(self) -> None:
        """Let go of models, connections and files."""
        self._parts.close()

    def __enter__(self) -> Studio:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def init(folder: str | os.PathLike[str] = ".", settings: Settings | None = None) -> Studio:
    """Make a library in `folder` (in its `.intaglio`), or open the one that is there."""
    root = library_folder(folder)
    for part in (root, root / "locks"):
        make_tree(part)
    return _assembled(root, settings or read_settings(os.environ), create=True)


def open_studio(
    path: str | os.PathLike[str] | None = None, settings: Settings | None = None, *, reach: Path | None = None
) -> Studio:
    """Open the library at `path` (its folder, or the one that holds it), else the one INTAGLIO_LIBRARY names, else the
    nearest one above the current folder. With a `reach` (a whole path) no file outside of that folder is opened because
    a caller or a record names it: so a server opens it. Raises NoLibrary, LibraryTooNew, Damaged, StorageFailed.
    """
    settings = settings or read_settings(os.environ)
    root = _root(path, settings)
    return _assembled(root, replace(settings, library=str(root)), create=False, reach=reach and reach.absolute())


def open_for_others(
    path: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    *,
    limits: Limits = UNLIMITED,
    busy_s: float | None = None,
) -> Studio:
    """Open a library as a server and its workers do: of files that a caller or a record names, only those are opened
    that were uploaded; no more is taken in at a time than `limits`; while others write, who wants to write waits for
    `busy_s` seconds at most. Raises as `open_studio`.
    """
    settings = settings or read_settings(os.environ)
    root = _root(path, settings).absolute()
    settings = replace(settings, library=str(root))
    studio = _assembled(root, settings, create=False, reach=root / UPLOADS, busy_s=busy_s)
    studio._parts.limits = limits
    return studio


def _root(path: str | os.PathLike[str] | None, settings: Settings) -> Path:
    given = path or settings.library
    root = library_folder(given) if given else find_library(Path.cwd())
    if not root.is_dir():
        raise NoLibrary(f"no library at {root}")
    return root


def _assembled(
    root: Path, settings: Settings, *, create: bool, reach: Path | None = None, busy_s: float | None = None
) -> Studio:
    read_only = not os.access(root, os.W_OK)
    database = Database.open(root / DATABASE, create=create, read_only=read_only, busy_s=busy_s)
    proofs = Proofs(root / "cache.db")
    blobs = LocalBlobs(root / "blobs", proofs=proofs)
    return Studio(Parts(settings=settings, root=root, database=database, proofs=proofs, blobs=blobs, reach=reach))
