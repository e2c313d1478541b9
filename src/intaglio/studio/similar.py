"""Finding the versions that a file is an output of, or only looks like one of: a picture that went through a chat.

Alike is what perceptual hashes say: pictures whose hashes differ in at most `MOST_BITS` of 64 bits. docs/search.md has
the measurements behind that number. What is only alike is never taken for a version by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

from intaglio.core.errors import IntaglioError, NotFound, OnlySimilar
from intaglio.core.version import Version
from intaglio.studio.parts import Parts
from intaglio.studio.recognise import versions_of_file

MOST_BITS = 8
MOST_MATCHES = 20
# As many of the newest pictures as are looked at on the way to something else.
_ASIDE = 200
_AT_ONCE = 25
# So many of the nearest by their hashes are held against the file by their colours.
_WEIGHED = 100
_CELLS = 16
# Where red, green and blue are, by the number of channels; what is transparent counts as it is stored.
_RGB = {1: (0, 0, 0), 3: (0, 1, 2), 4: (0, 1, 2)}
_FLAT = "0" * 16

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Match:
    """A version that a file is an output of ("exact": its bytes, its pixels or its record say so) or only looks like
    one of; `bits` is how many of 64 bits of their perceptual hashes differ, 0 for an exact one. `colours` is how far
    their colours are apart on average, 0 to 255: the hash knows shapes only, so it is what tells two grades apart."""

    digest: str
    version: Version
    how: Literal["exact", "similar"]
    bits: int
    colours: float = 0.0

    @property
    def name(self) -> str:
        """The version's readable name."""
        return f"{self.version.workflow.name}/{self.version.name}"


@dataclass(frozen=True)
class Matches:
    """What was found for a file, and how many pictures of versions were not compared with it yet."""

    found: tuple[Match, ...]
    waiting: int


def matches(parts: Parts, path: Path, *, most: int | None = None, progress: Progress | None = None) -> Matches:
    """The versions a file is an output of, then those it only looks like, the nearest in colour and newest first.

    Pictures that have no perceptual hash yet get one, the newest first: `most` of them, or all. Raises InvalidImage for
    what is no picture or clip, NotFound, Invalid, RecordMismatch.
    """
    if not path.is_file():
        raise NotFound("file", str(path))
    exact = versions_of_file(parts, path)
    waiting = complete(parts, most=most, progress=progress)
    found = [Match(digest, version, "exact", 0) for digest, version in meant(exact)]
    with path.open("rb") as file:
        hash = _hash(file)
        file.seek(0)
        colours = _colours(file)
    known = {match.digest for match in found} | {digest for digest, _ in exact}
    near = list(islice(parts.pictures.near(hash, MOST_BITS), _WEIGHED)) if hash else []
    weighed = [(_apart(parts, asset, colours), bits, asset) for bits, asset in near]
    for apart, bits, asset in sorted(weighed, key=lambda each: (round(each[0]), each[1])):
        for digest, version in meant(parts.versions.find(output=asset)):
            if digest not in known and len(found) < MOST_MATCHES:
                known.add(digest)
                found.append(Match(digest, version, "similar", bits, round(apart, 1)))
    return Matches(tuple(found), waiting)


def meant(found: Iterable[tuple[str, Version]]) -> list[tuple[str, Version]]:
    """Of versions that keep one and the same snapshot, those that do not go back to another: that one was made."""
    found = list(found)
    if len({version.snapshot for _, version in found}) != 1:
        return found
    return [pair for pair in found if not pair[1].restores] or found


def refuse_similar(parts: Parts, path: Path) -> None:
    """Raises OnlySimilar, naming them, when a file that is no version's output looks like some. Nothing is guessed."""
    try:
        found = matches(parts, path, most=_ASIDE)
    except IntaglioError:
        return  # no picture, or one that cannot be compared
    if found.found:
        raise OnlySimilar(str(path), [f"{each.name} ({each.bits} of 64 bits differ)" for each in found.found])


def complete(parts: Parts, *, most: int | None = None, progress: Progress | None = None) -> int:
    """Compute the perceptual hashes that are missing, of the newest versions first: `most` of them, or all.

    Each batch is kept at once, so that a call after one that was stopped goes on there. Returns how many are left.
    """
    missing = [] if parts.database.read_only else parts.pictures.missing()
    wanted = missing[:most]
    for start in range(0, len(wanted), _AT_ONCE):
        batch = wanted[start : start + _AT_ONCE]
        parts.pictures.add({asset: _of_asset(parts, asset) for asset in batch})
        if progress:
            progress(start + len(batch), len(wanted))
    return len(missing) - len(wanted)


def reindex(parts: Parts, *, progress: Progress | None = None) -> int:
    """Make the search tables and the perceptual hashes again. Returns how many versions there are."""
    count = parts.search.rebuild()
    parts.pictures.clear()
    complete(parts, progress=progress)
    return count


def _of_asset(parts: Parts, asset: str) -> str:
    with suppress(IntaglioError), parts.blobs.open_verified(asset) as file:
        return _hash(file)
    return ""


def _apart(parts: Parts, asset: str, colours: list[int]) -> float:
    """How far the colours of a stored picture are from these, on average; the farthest where it cannot be read."""
    with suppress(IntaglioError), parts.blobs.open_verified(asset) as file:
        other = _colours(file)
        return sum(abs(a - b) for a, b in zip(colours, other, strict=True)) / len(colours)
    return 255.0


def _colours(file: BinaryIO) -> list[int]:
    """The colours of a picture, or of a clip's first, in 16 x 16 cells."""
    from intaglio.imaging.adjust import resize
    from intaglio.imaging.arrays import to_array
    from intaglio.imaging.frames import frames

    small = to_array(resize(next(iter(frames(file))).image, width=_CELLS, height=_CELLS, method="area"))
    return [int(row[channel]) for row in small.reshape(_CELLS * _CELLS, -1) for channel in _RGB[small.shape[2]]]


def _hash(file: BinaryIO) -> str:
    """The perceptual hash of a picture, or of a clip's first; "" for a flat one, which looks like every other."""
    from intaglio.imaging.frames import frames
    from intaglio.imaging.phash import phash

    found = phash(next(iter(frames(file))).image)
    return "" if found == _FLAT else found
