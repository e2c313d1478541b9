"""Holding any two pictures or clips against each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from intaglio.core.errors import InvalidImage
from intaglio.core.fidelity import SIMILAR_SSIM, Verdict
from intaglio.store.filehash import hash_open
from intaglio.studio.files import write_into

if TYPE_CHECKING:
    from intaglio.core.image import Image
    from intaglio.imaging.clips import ClipNumbers
    from intaglio.imaging.frames import Frame
    from intaglio.imaging.metrics import Difference

HEAT, SHEET = "difference.png", "comparison.png"

Opened = tuple[str, BinaryIO]  # a name to speak of, and the open file


@dataclass(frozen=True)
class Side:
    """One of the two: `size` in bytes; width, height, bits of a channel and perceptual hash of its first frame."""

    name: str
    digest: str
    size: int
    frames: int
    width: int
    height: int
    bit_depth: int
    phash: str


@dataclass(frozen=True)
class Comparison:
    """How far two pictures or clips are apart.

    `difference` is None for pictures of two sizes, and for clips, which have `clip` instead. `phash_distance` is that
    of the pictures, of whatever sizes, or the largest of the frames compared. `notes` say what the numbers leave out;
    `written` are the files of pictures.
    """

    a: Side
    b: Side
    verdict: Verdict
    same_bytes: bool
    same_pixels: bool
    phash_distance: int
    difference: Difference | None = None
    clip: ClipNumbers | None = None
    notes: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


def compare_files(a: Opened, b: Opened, folder: Path | None) -> Comparison:
    """Compare two open files. With a folder, write the heat map and the sheet of the (worst) two pictures into it.

    Raises InvalidImage (naming the file), BackendMissing, Conflict, StorageFailed.
    """
    firsts = [list(islice(_frames(*side), 2)) for side in (a, b)]
    sides = (_side(a, firsts[0][0]), _side(b, firsts[1][0]))
    if all(len(first) == 1 for first in firsts):
        found, pictures = _compare_pictures(sides, firsts[0][0].image, firsts[1][0].image)
    else:
        found, worst = _compare_clips(sides, _frames(*a), _frames(*b))
        pictures = worst or (firsts[0][0].image, firsts[1][0].image)
    return found if folder is None else replace(found, written=_written(folder, found, *pictures))


def _frames(name: str, file: BinaryIO) -> Iterator[Frame]:
    """The frames of a file, with its name in front of what is wrong with it."""
    from intaglio.imaging.frames import frames

    try:
        yield from frames(file)
    except InvalidImage as error:
        raise InvalidImage(f"{name}: {error}", hint=error.hint) from error


def _side(opened: Opened, frame: Frame) -> Side:
    from intaglio.imaging.phash import phash

    name, file = opened
    digest, size = hash_open(file, Path(name))
    image = frame.image
    return Side(name, digest, size, 1, image.width, image.height, frame.bit_depth, phash(image))


def _compare_pictures(sides: tuple[Side, Side], old: Image, new: Image) -> tuple[Comparison, tuple[Image, Image]]:
    from intaglio.imaging.metrics import compare, same_mode
    from intaglio.imaging.phash import distance

    a, b = sides
    same_bytes = a.digest == b.digest
    same_pixels = same_bytes or (old == new and not _deep(a, b))
    shown, notes, difference = (old, new), _notes(a, b), None
    if (a.width, a.height) == (b.width, b.height):
        shown = same_mode(old, new)
        difference = compare(*shown)
        if old.mode != new.mode:
            looks = "compared as " + shown[0].mode if difference.max_difference else "every pixel looks the same"
            notes.append(f"{a.name} is {old.mode}, {b.name} {new.mode}; {looks}")
    found = Comparison(
        a=a,
        b=b,
        verdict=_verdict(same_bytes, same_pixels, None if difference is None else difference.ssim),
        same_bytes=same_bytes,
        same_pixels=same_pixels,
        phash_distance=distance(a.phash, b.phash),
        difference=difference,
        notes=tuple(notes),
    )
    return found, shown


def _compare_clips(
    sides: tuple[Side, Side], old: Iterator[Frame], new: Iterator[Frame]
) -> tuple[Comparison, tuple[Image, Image] | None]:
    from intaglio.imaging.clips import compare_clips
    from intaglio.imaging.phash import distance

    measured = compare_clips(old, new)
    numbers = measured.numbers
    a, b = (
        replace(side, frames=facts.frames, bit_depth=facts.bit_depth)
        for side, facts in zip(sides, (numbers.old, numbers.new), strict=True)
    )
    same_bytes = a.digest == b.digest
    same_pixels = same_bytes or (numbers.same_pixels and not _deep(a, b))
    notes = _notes(a, b)
    if a.frames != b.frames:
        notes.append(f"frames: {a.frames} in {a.name}, {b.frames} in {b.name}; those that both have were compared")
    elif not numbers.same_times:
        notes.append("the frames are shown at other times")
    whole = a.frames == b.frames and not numbers.other_sizes
    found = Comparison(
        a=a,
        b=b,
        verdict=_verdict(same_bytes, same_pixels, numbers.lowest_ssim if whole else None),
        same_bytes=same_bytes,
        same_pixels=same_pixels,
        phash_distance=distance(a.phash, b.phash) if numbers.phash_distance is None else numbers.phash_distance,
        clip=numbers,
        notes=tuple(notes),
    )
    return found, measured.worst_pictures


def _deep(a: Side, b: Side) -> bool:
    return max(a.bit_depth, b.bit_depth) > 8


def _notes(a: Side, b: Side) -> list[str]:
    notes = []
    if (a.width, a.height) != (b.width, b.height):
        sizes = f"{a.name} has {a.width} x {a.height} pixels, {b.name} {b.width} x {b.height}"
        notes.append(f"{sizes}; only their perceptual hashes were compared")
    if _deep(a, b):
        notes.append("of more than 8 bits a channel the upper 8 were compared")
    return notes


def _verdict(same_bytes: bool, same_pixels: bool, ssim: float | None) -> Verdict:
    if same_bytes:
        return "identical bytes"
    if same_pixels:
        return "identical pixels"
    return "similar" if ssim is not None and ssim >= SIMILAR_SSIM else "different"


def _written(folder: Path, found: Comparison, old: Image, new: Image) -> tuple[str, ...]:
    """Write the heat map (where the sizes allow one) and the sheet; the paths written."""
    from intaglio.imaging.metrics import difference_picture
    from intaglio.imaging.png import encode
    from intaglio.imaging.sheet import side_by_side

    heat = difference_picture(old, new) if (old.width, old.height) == (new.width, new.height) else None
    captions = (Path(found.a.name).name, Path(found.b.name).name, "difference")
    files = {SHEET: encode(side_by_side(old, new, heat, captions=captions, title=_title(found)))}
    if heat is not None:
        files[HEAT] = encode(heat)
    return tuple(sorted(map(str, write_into(folder, files))))


def _title(found: Comparison) -> str:
    worst = None if found.clip is None else found.clip.worst
    if worst is not None:
        return f"{found.verdict}; worst frame {worst.index} at {worst.seconds:.3f} s, SSIM {worst.difference.ssim:.4f}"
    ssim = "" if found.difference is None else f", SSIM {found.difference.ssim:.4f}"
    return f"{found.verdict}{ssim}"
