"""How far running work is, shown to whoever looks on from any process.

Whoever runs a task (or a job) rewrites two small files beside its lock, `<id>.progress` and `<id>.preview`; they count
only while the lock is held. Nothing depends on them: what the disk refuses is left unsaid.
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

from intaglio.core.codec import decode, encode
from intaglio.core.context import Offer
from intaglio.core.errors import Invalid, InvalidRecord, StorageFailed
from intaglio.core.job import PREFIX as JOB
from intaglio.core.progress import Progress
from intaglio.core.task import TASK_ID
from intaglio.store import disk
from intaglio.store.lock import TaskLock
from intaglio.studio import clock
from intaglio.studio.parts import Parts

# Between two writes; what is over sooner is never written.
PAUSE_S = 0.2
# Between two previews; and making them takes no more than this share of the time.
PREVIEW_PAUSE_S = 1.0
PREVIEW_SHARE = 0.1
MOST_BYTES = 64 * 1024
MOST_PREVIEW_BYTES = 1024 * 1024

_ID = re.compile(rf"(job-)?{TASK_ID.pattern}", re.ASCII)
_MEDIA_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_ENDINGS = (".progress", ".preview")


def write(parts: Parts, progress: Progress, preview: bytes | None = None) -> None:
    """Show how far a task or job is, with a picture (PNG or JPEG) of how it stands; None keeps the one before.

    Only for who holds its lock. Raises Invalid for what cannot be the id of either.
    """
    name = progress.job or progress.task
    picture, words = _file(parts, name, ".preview"), _file(parts, name, ".progress")
    with suppress(OSError, StorageFailed, InvalidRecord):  # the last for what a node says that counts no units
        if preview is not None:
            disk.show(picture, preview)
        disk.show(words, encode(progress))


def read(parts: Parts, name: str) -> Progress | None:
    """How far the task or job `name` is; None when nobody is at it, or nothing whole is said of it."""
    data = _shown(parts, name, ".progress", MOST_BYTES)
    with suppress(InvalidRecord):
        found = decode(Progress, data)
        return found if (found.job or found.task) == name else None
    return None


def preview(parts: Parts, name: str) -> tuple[bytes, str] | None:
    """The picture of how the task or job `name` stands, and its media type; None when there is none (any more)."""
    data = _shown(parts, name, ".preview", MOST_PREVIEW_BYTES)
    return next(((data, media_type) for start, media_type in _MEDIA_TYPES.items() if data.startswith(start)), None)


def clear(parts: Parts, name: str) -> None:
    """Show nothing of a task or job any more. Raises Invalid for what cannot be the id of either."""
    for ending in _ENDINGS:
        with suppress(OSError, StorageFailed):
            disk.hide(_file(parts, name, ending))


def sweep(parts: Parts) -> None:
    """Remove what runners that were killed left behind."""
    for path in list((parts.root / "locks").iterdir()):
        name = path.name.partition(".")[0]
        if path.name.removesuffix(disk.SHOWING).endswith(_ENDINGS) and _ID.fullmatch(name) and not _alive(parts, name):
            clear(parts, name)


class Telling:
    """Tells how far a task (or job) is, from where it is entered to where it is left, at most five times a second.

    A thread of its own writes, so that who works never waits for the disk.
    """

    def __init__(self, parts: Parts, task: str) -> None:
        self._parts = parts
        self._task = task
        self._said: tuple[str, int, int, str, float] | None = None
        self._picture: bytes | None = None
        self._has_picture = False
        self._next_picture = time.monotonic() + PAUSE_S
        self._news, self._over = Event(), Event()
        self._thread = Thread(target=self._write, name="intaglio-progress", daemon=True)

    def __enter__(self) -> Self:
        clear(self._parts, self._task)  # that of an attempt that was killed
        with suppress(RuntimeError):  # no more threads: then nobody is told
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join()
        clear(self._parts, self._task)

    def tell(self, step: str, done: int, total: int, *, task: str = "") -> None:
        """Say how far a step is; what is said last before a write is written. `task` is the one that a job is at."""
        self._said = (step, done, total, task, time.time())  # made into a record by who writes it
        self._news.set()

    def offer(self, make: Offer) -> None:
        """Have a picture of how the step stands made, if it is time for one. Never raises."""
        from intaglio.imaging.png import encode as png

        began = time.monotonic()
        if began < self._next_picture:
            return
        picture = make()
        if picture is not None:
            self._picture = png(picture)
            self._news.set()
        ended = time.monotonic()
        self._next_picture = ended + max(PREVIEW_PAUSE_S, (ended - began) / PREVIEW_SHARE)

    def _write(self) -> None:
        while not self._over.is_set():
            self._news.wait()
            if self._over.wait(PAUSE_S):
                return
            self._news.clear()
            self._show()

    def _show(self) -> None:
        said, picture = self._said, self._picture
        self._picture = None
        self._has_picture = self._has_picture or picture is not None
        if said is None:
            return
        step, done, total, task, moment = said
        is_job = self._task.startswith(JOB)
        progress = Progress(
            task=task if is_job else self._task,
            job=self._task if is_job else "",
            step=step,
            done=done,
            total=total,
            time=clock.written_timestamp(moment),
            preview=f"{self._task}.preview" if self._has_picture else "",
        )
        write(self._parts, progress, picture)


def _file(parts: Parts, name: str, ending: str) -> Path:
    """Raises Invalid for a name that is no id."""
    if not _ID.fullmatch(name):
        raise Invalid(f"{name[:80]!r} is not the id of a task or job")
    return parts.root / "locks" / f"{name}{ending}"


def _alive(parts: Parts, name: str) -> bool:
    """Whether somebody holds the lock of a task or job."""
    try:
        return TaskLock.is_held(_file(parts, name, ".lock"))
    except (OSError, StorageFailed):
        return False


def _shown(parts: Parts, name: str, ending: str, most: int) -> bytes:
    """What a living runner shows; b"" when there is none, and for anything else that lies there."""
    if not _ID.fullmatch(name):
        return b""
    try:
        # Not to wait for the other end of a pipe that somebody put there.
        descriptor = os.open(_file(parts, name, ending), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        data = os.read(descriptor, most + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)
    return data if 0 < len(data) <= most and _alive(parts, name) else b""
