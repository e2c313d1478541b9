from __future__ import annotations

import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from intaglio.core.errors import InvalidImage
from intaglio.core.image import Image
from intaglio.imaging import png

from .samples import flat, insert, ramp

KIB = 1024
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@st.composite
def images(draw: st.DrawFn) -> Image:
    mode = draw(st.sampled_from(["L", "RGB", "RGBA"]))
    width, height = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    size = width * height * len(mode)
    return Image(mode, width, height, draw(st.binary(min_size=size, max_size=size)))


@given(images(), st.integers(0, 9))
def test_what_is_encoded_is_what_pillow_reads(image: Image, level: int) -> None:
    with Pillow.open(io.BytesIO(png.encode(image, level=level))) as opened:
        assert (opened.mode, opened.size, opened.tobytes()) == (image.mode, (image.width, image.height), image.data)


def test_encoding_is_deterministic_and_bare() -> None:
    data = png.encode(ramp())
    assert data == png.encode(ramp())
    assert [chunk.type for chunk in png.read_chunks(data)] == [b"IHDR", b"IDAT", b"IEND"]


@pytest.mark.parametrize("level", [-2, 10])
def test_an_unknown_level_is_refused(level: int) -> None:
    with pytest.raises(ValueError, match="compression level"):
        png.encode(ramp(), level=level)


def test_chunks_tell_their_place_and_their_checksum() -> None:
    data = png.encode(ramp())
    damaged = insert(data, b"\0\0\0\1tEXtx\0\0\0\0")
    chunks = list(png.read_chunks(damaged))
    assert [chunk.crc_ok for chunk in chunks] == [True, False, True, True]
    assert b"".join(damaged[chunk.offset : chunk.end] for chunk in chunks) == damaged[8:]


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\r", b"GIF89a"])
def test_what_is_no_png_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage, match="not a PNG"):
        list(png.read_chunks(data))


def test_every_cut_is_noticed() -> None:
    data = png.encode(ramp(width=5, height=4))
    for length in range(1, len(data)):
        with pytest.raises(InvalidImage, match=f"the picture is cut off after {length} bytes"):
            list(png.read_chunks(data[:length]))


def test_a_chunk_longer_than_the_file_and_a_wrong_type_are_refused() -> None:
    data = png.encode(ramp())
    with pytest.raises(InvalidImage, match="cut off"):
        list(png.read_chunks(insert(data, b"\xff\xff\xff\xfftEXt")))
    with pytest.raises(InvalidImage, match="no chunk type"):
        list(png.read_chunks(insert(data, b"\0\0\0\0\0\1\2\3\0\0\0\0")))


@given(TEXTS)
def test_text_comes_back_and_nothing_else_changes(text: str) -> None:
    data = png.encode(flat(9)) + b"after the end"
    once = png.attach_text(data, "note", text)
    assert png.read_text(once, "note") == text
    assert png.attach_text(once, "note", text) == once
    before, after = list(png.read_chunks(data)), list(png.read_chunks(once))
    assert after[1].type == b"iTXt"
    assert [(c.type, c.data) for c in (after[0], *after[2:])] == [(c.type, c.data) for c in before]
    assert once.endswith(b"after the end")


def test_text_replaces_its_keyword_in_every_form_and_no_other() -> None:
    data = png.encode(flat(9))
    for kind, body in ((b"tEXt", b"note\0a"), (b"zTXt", b"note\0\0" + zlib.compress(b"b")), (b"tEXt", b"notes\0c")):
        data = insert(data, png.build_chunk(kind, body))
    result = png.attach_text(data, "note", "new")
    assert [c.data for c in png.read_chunks(result) if c.type in (b"tEXt", b"zTXt")] == [b"notes\0c"]
    assert png.read_text(result, "note") == "new"
    assert png.read_text(result, "notes") == "c"


def test_damaged_chunks_stay_as_they_are() -> None:
    broken = b"\0\0\0\1tEXtx\1\2\3\4"
    assert broken in png.attach_text(insert(png.encode(flat(9)), broken), "note", "new")


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        (b"tEXt", b"k\0caf\xe9", "caf\xe9"),
        (b"zTXt", b"k\0\0" + zlib.compress(b"caf\xe9"), "caf\xe9"),
        (b"iTXt", b"k\0\0\0en\0k\0" + "\u65e5".encode(), "\u65e5"),
        (b"iTXt", b"k\0\1\0\0\0" + zlib.compress("\u65e5".encode()), "\u65e5"),
    ],
)
def test_all_three_kinds_of_text_are_read(kind: bytes, body: bytes, text: str) -> None:
    data = insert(png.encode(flat(9)), png.build_chunk(kind, body))
    assert png.read_text(data, "k") == text
    assert png.read_text(data, "K") is None


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
def test_text_over_the_limit_is_refused_without_inflating_it(kind: bytes) -> None:
    body = {
        b"tEXt": b"k\0" + bytes(65 * KIB),
        b"zTXt": b"k\0\0" + zlib.compress(bytes(64 * KIB * KIB)),
        b"iTXt": b"k\0\1\0\0\0" + zlib.compress(bytes(64 * KIB * KIB)),
    }[kind]
    with pytest.raises(InvalidImage, match="larger than 65536 bytes"):
        png.read_text(insert(png.encode(flat(9)), png.build_chunk(kind, body)), "k", limit=64 * KIB)


def test_text_of_exactly_the_limit_is_read() -> None:
    data = insert(png.encode(flat(9)), png.build_chunk(b"zTXt", b"k\0\0" + zlib.compress(b"x" * 100)))
    assert png.read_text(data, "k", limit=100) == "x" * 100


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"zTXt", b"k\0\0nonsense"),
        (b"zTXt", b"k\0\0" + zlib.compress(b"x" * 50)[:-6]),
        (b"iTXt", b"k\0\0\0"),
        (b"iTXt", b"k\0\0\0\0\0\xff"),
    ],
)
def test_damaged_text_is_refused(kind: bytes, body: bytes) -> None:
    with pytest.raises(InvalidImage, match="text 'k' in the picture cannot be read"):
        png.read_text(insert(png.encode(flat(9)), png.build_chunk(kind, body)), "k")


@pytest.mark.parametrize("keyword", ["", "x" * 80, " lead", "trail ", "a\0b", "\u65e5"])
def test_an_impossible_keyword_is_refused(keyword: str) -> None:
    with pytest.raises(ValueError, match=r"keyword|latin-1"):
        png.attach_text(png.encode(flat(9)), keyword, "x")


def test_a_zero_byte_in_text_and_a_file_without_header_are_refused() -> None:
    with pytest.raises(ValueError, match="zero byte"):
        png.attach_text(png.encode(flat(9)), "k", "a\0b")
    with pytest.raises(InvalidImage, match="header"):
        png.attach_text(png.SIGNATURE + png.build_chunk(b"IEND", b""), "k", "x")
