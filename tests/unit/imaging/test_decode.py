from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from intaglio.core.errors import InvalidImage
from intaglio.core.image import Image
from intaglio.imaging.arrays import to_array
from intaglio.imaging.decode import MediaInfo, decode, inspect
from intaglio.imaging.png import SIGNATURE, build_chunk, encode

from .samples import insert, pillow, ramp, raw_png, saved

KINDS = ["PNG", "JPEG", "WEBP", "GIF"]


@contextmanager
def refusing_or_nothing(words: str) -> Iterator[None]:
    """Let InvalidImage pass if it says `words` and begins in lower case, and nothing else."""
    refusal = ""
    try:
        yield
    except InvalidImage as error:
        refusal = str(error)
        if words not in refusal:
            raise
    assert not refusal[:1].isupper()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_png_keeps_mode_and_pixels(mode: str) -> None:
    assert decode(encode(ramp(mode))) == ramp(mode)


@pytest.mark.parametrize("kind", KINDS)
def test_the_header_tells_what_a_file_is(kind: str) -> None:
    data = saved(pillow(ramp()), kind)
    assert inspect(data) == MediaInfo(f"image/{kind.lower()}", 24, 16, 8)
    image = decode(data)
    assert (image.mode, image.width, image.height) == ("RGB", 24, 16)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("exif", [b"", b"Exif\0\0MM\0*\0\0\0\x08\0\0"])
def test_every_kind_of_webp_is_measured(mode: str, exif: bytes) -> None:
    data = saved(pillow(ramp(mode)), "WEBP", lossless=True, exif=exif)
    assert inspect(data) == MediaInfo("image/webp", 24, 16, 8)
    assert decode(data).mode == mode


def test_a_header_is_enough_to_inspect() -> None:
    assert inspect(encode(ramp())[:33]) == MediaInfo("image/png", 24, 16, 8)


def test_a_bomb_is_refused_from_its_header() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    bomb = SIGNATURE + build_chunk(b"IHDR", header)
    with pytest.raises(InvalidImage, match="60000 x 60000 pixels is more than the limit of 100 megapixels"):
        decode(bomb)


def test_the_limit_is_exact_and_can_be_set() -> None:
    data = encode(ramp())
    assert decode(data, max_pixels=24 * 16).width == 24
    with pytest.raises(InvalidImage, match=r"more than the limit of 0\.000383 megapixels"):
        decode(data, max_pixels=24 * 16 - 1)


def test_a_picture_above_the_size_pillow_warns_of_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 300)
    for kind in KINDS:
        assert decode(saved(pillow(ramp()), kind)).width == 24


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_file_is_never_half_decoded(kind: str) -> None:
    options = {"save_all": True, "append_images": [pillow(ramp("L"))]} if kind == "GIF" else {}
    data = saved(pillow(ramp(width=80, height=60)), kind, **options)
    whole = decode(data)
    for length in range(0, len(data), 37):
        words = "cut off" if kind != "GIF" and length >= 40 else ""
        with refusing_or_nothing(words):
            assert decode(data[:length]) == whole
            assert kind == "GIF"  # its first frame can be whole while a later one is not


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_even_the_last_byte_counts(kind: str) -> None:
    data = saved(pillow(ramp()), kind)
    with pytest.raises(InvalidImage, match=f"cut off after {len(data) - 1} bytes"):
        decode(data[:-1])


def test_missing_rows_in_a_wellformed_png_are_noticed() -> None:
    with pytest.raises(InvalidImage, match="36 of its 72 bytes"):
        decode(raw_png(8, 8, 8, 0, (b"\0" + b"\x80" * 8) * 4))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 4), (9, 8), (24, 16)])
def test_an_interlaced_png_is_whole_when_all_passes_are_there(size: tuple[int, int]) -> None:
    width, height = size
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    pixels = to_array(ramp("RGB", width, height))
    parts = [pixels[y::step_y, x::step_x] for x, y, step_x, step_y in passes]
    rows = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    start, end = SIGNATURE + build_chunk(b"IHDR", header), build_chunk(b"IEND", b"")
    assert decode(start + build_chunk(b"IDAT", zlib.compress(rows)) + end) == ramp("RGB", width, height)
    with pytest.raises(InvalidImage, match="cut off"):
        decode(start + build_chunk(b"IDAT", zlib.compress(rows[:-1])) + end)


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg/>", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"\xff\xd8\xff", SIGNATURE])
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        decode(data)


@given(st.sampled_from(KINDS), st.data())
def test_damage_never_shows_a_traceback(kind: str, data: st.DataObject) -> None:
    damaged = bytearray(saved(pillow(ramp()), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with refusing_or_nothing(""):
        assert isinstance(decode(bytes(damaged), max_pixels=1_000_000), Image)


@given(st.sampled_from([SIGNATURE, b"\xff\xd8\xff", b"RIFF\x40\0\0\0WEBPVP8 ", b"GIF89a"]), st.binary(max_size=80))
def test_a_right_beginning_does_not_save_garbage(start: bytes, rest: bytes) -> None:
    with pytest.raises(InvalidImage):
        decode(start + rest, max_pixels=1_000_000)


def test_sixteen_bits_keep_their_upper_eight() -> None:
    grey = raw_png(3, 1, 16, 0, b"\0\x00\xff\x12\x34\xab\xcd")
    assert inspect(grey).bit_depth == 16
    assert decode(grey) == Image("L", 3, 1, b"\x00\x12\xab")
    colour = raw_png(1, 1, 16, 2, b"\0\x12\x34\xab\xcd\xff\x00")
    assert inspect(colour).bit_depth == 16
    assert decode(colour) == Image("RGB", 1, 1, b"\x12\xab\xff")


def test_palettes_bits_and_transparency_become_plain_modes() -> None:
    palette = build_chunk(b"PLTE", b"\x01\x02\x03\x0a\x0b\x0c")
    rows = b"\0\x00\x01"
    assert decode(raw_png(2, 1, 8, 3, rows, palette)) == Image("RGB", 2, 1, b"\x01\x02\x03\x0a\x0b\x0c")
    clear = build_chunk(b"tRNS", b"\x40")
    assert decode(raw_png(2, 1, 8, 3, rows, palette, clear)).data == b"\x01\x02\x03\x40\x0a\x0b\x0c\xff"
    assert decode(raw_png(8, 1, 1, 0, b"\0\xa5")) == Image("L", 8, 1, b"\xff\0\xff\0\0\xff\0\xff")
    assert decode(raw_png(2, 1, 8, 4, b"\0\x10\x20\x30\x40")).data == b"\x10\x10\x10\x20\x30\x30\x30\x40"
    key = build_chunk(b"tRNS", b"\0\1")
    assert decode(raw_png(2, 1, 8, 0, rows, key)).data == b"\0\0\0\xff\1\1\1\0"


def test_a_palette_picture_without_its_palette_is_refused() -> None:
    with pytest.raises(InvalidImage, match="palette is missing"):
        decode(raw_png(2, 1, 8, 3, b"\0\0\1"))


def test_cmyk_becomes_rgb() -> None:
    assert decode(saved(Pillow.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")).data == b"\xff" * 192


@pytest.mark.parametrize("loop", [{"kind": "GIF"}, {"kind": "WEBP", "lossless": True}, {"kind": "PNG"}])
def test_an_animation_gives_its_first_frame(loop: dict[str, object]) -> None:
    frames = [Pillow.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    data = saved(frames[0], save_all=True, append_images=frames[1:], **loop)  # type: ignore[arg-type]
    assert decode(data).data == b"\xff\0\0" * 24


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    corner = Pillow.new("L", (16, 8), 0)
    corner.paste(255, (0, 0, 8, 4))  # the left upper quarter
    upright = to_array(decode(saved(corner.convert("RGB"), kind, exif=exif)))[..., 0]
    assert upright.shape == ((8, 16) if orientation < 5 else (16, 8))
    row, column = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[orientation]
    quarters = upright.reshape(2, upright.shape[0] // 2, 2, -1).mean(axis=(1, 3))
    assert np.argwhere(quarters > 200).tolist() == [[row, column]]


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01"])
def test_damaged_exif_does_not_hide_a_picture(exif: bytes) -> None:
    assert decode(saved(pillow(ramp()), "JPEG", exif=exif)).width == 24


@pytest.mark.parametrize(
    "chunk",
    [
        b"\0\0\0\3tEXta\0b\0\0\0\0",
        build_chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(64 * 1024 * 1024))),
        build_chunk(b"iTXt", b"nonsense"),
        build_chunk(b"acTL", b"nonsense"),
        build_chunk(b"iCCP", b"nonsense"),
    ],
    ids=["wrong checksum", "64 MB of text", "malformed text", "malformed animation", "malformed profile"],
)
def test_what_stands_beside_the_pixels_does_not_matter(chunk: bytes) -> None:
    assert decode(insert(encode(ramp()), chunk)) == ramp()


def test_damaged_pixels_and_headers_are_refused() -> None:
    data = encode(ramp())
    at = data.index(b"IDAT") + 10
    with pytest.raises(InvalidImage, match="wrong checksum at byte 33"):
        decode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(InvalidImage, match="header is damaged"):
        inspect(data[:20] + b"\xee" + data[21:])
    with pytest.raises(InvalidImage, match="none the format allows"):
        inspect(raw_png(2, 2, 5, 0, b""))
    with pytest.raises(InvalidImage, match="0 x 2 pixels"):
        inspect(raw_png(0, 2, 8, 0, b""))
    with pytest.raises(InvalidImage, match="needs CgBI"):
        decode(insert(data, build_chunk(b"CgBI", b"")))
    with pytest.raises(InvalidImage, match="pixels are damaged"):
        decode(data[:33] + build_chunk(b"IDAT", b"nonsense") + build_chunk(b"IEND", b""))
