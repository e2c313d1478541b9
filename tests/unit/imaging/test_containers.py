"""A record goes into a file and out of it again without another byte changed, in every format that has a place."""

from __future__ import annotations

import io
import json
import shutil
import struct
import tempfile
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from intaglio.core.errors import Invalid, InvalidImage, InvalidRecord, NoPlaceInside, RecordMismatch
from intaglio.core.image import Image
from intaglio.imaging import carried, isobmff, jpeg, png, webp
from intaglio.imaging.arrays import to_array
from intaglio.imaging.decode import decode
from intaglio.imaging.png import build_chunk
from intaglio.imaging.record import MOST_INSIDE, attach_claim, binding, read_claim, without_claim
from intaglio.imaging.video import format_of, frames_of

from .clips import animated, moving, vp9
from .samples import flat, insert, pillow, ramp, saved

CLAIM = {"plan": {"prompt": "caf\xe9 \u65e5\u672c"}}
CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpus" / "ingest"
EXIF = Pillow.Exif()
EXIF[0x010E] = "a description by another tool"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>creator tool</rdf:RDF></x:xmpmeta>'
REMOTE = b'<rdf:Description xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="https://x.y/a.c2pa"/>'
WIDE = ramp(width=31, height=17)
TEXTS = build_chunk(b"tEXt", b"parameters\0a cat") + build_chunk(b"eXIf", b"MM\0*\0\0\0\x08")
C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def filmed(container: str, flags: str = "") -> bytes:
    """Six frames of H.264, laid out as `flags` say."""
    import av

    path = Path(tempfile.mkdtemp()) / f"made.{container}"
    with av.open(path, "w", options={"movflags": flags} if flags else {}) as file:
        stream = file.add_stream("libx264", rate=Fraction(10), options={"g": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for image in moving():
            frame = av.VideoFrame.from_ndarray(to_array(image), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    data = path.read_bytes()
    shutil.rmtree(path.parent)
    return data


def webp_of(*chunks: tuple[bytes, bytes]) -> bytes:
    """A RIFF container of these chunks."""
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def box(kind: bytes, body: bytes) -> bytes:
    """An ISO box."""
    return struct.pack(">I", 8 + len(body)) + kind + body


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(body)) + body


MADE: dict[str, Callable[[], bytes]] = {
    "png": lambda: png.encode(ramp("RGBA")),
    "png of others": lambda: insert(png.encode(ramp()), TEXTS) + b"behind the end",
    "animated png": lambda: saved(pillow(flat(3)), "PNG", save_all=True, append_images=[pillow(flat(9))]),
    "jpeg": lambda: saved(pillow(ramp()), "JPEG", quality=80),
    "jpeg of others": lambda: (
        saved(pillow(ramp()), "JPEG", exif=EXIF, xmp=XMP, icc_profile=b"p" * 70_000, comment=b"hello") + b"trailer"
    ),
    "progressive jpeg": lambda: saved(pillow(WIDE), "JPEG", progressive=True, exif=EXIF),
    "lossy webp": lambda: saved(pillow(WIDE), "WEBP", quality=70),
    "lossless webp": lambda: saved(pillow(ramp()), "WEBP", lossless=True),
    "lossless webp with alpha": lambda: saved(pillow(ramp("RGBA")), "WEBP", lossless=True),
    "lossy webp with alpha": lambda: saved(pillow(ramp("RGBA")), "WEBP", quality=60),
    "webp of others": lambda: (
        saved(pillow(ramp("RGBA")), "WEBP", exif=EXIF, xmp=XMP, icc_profile=b"profile") + b"behind"
    ),
    "animated webp": lambda: animated(moving(), "WEBP"),
    "mp4": lambda: filmed("mp4"),
    "fast mp4": lambda: filmed("mp4", "faststart"),
    "fragmented mp4": lambda: filmed("mp4", "frag_keyframe+empty_moov"),
    "fragmented mp4 by base": lambda: filmed("mp4", "frag_keyframe+empty_moov+default_base_moof"),
    "mov": lambda: filmed("mov"),
}
KINDS = sorted(MADE)
REFUSALS = (InvalidImage, InvalidRecord, RecordMismatch, NoPlaceInside)


@cache
def made(kind: str) -> bytes:
    """A file of a kind that takes a record in."""
    return MADE[kind]()


CONTAINERS: dict[str, Any] = {"png": png, "jpeg": jpeg, "webp": webp, "mp4": isobmff, "mov": isobmff}


def seen(data: bytes) -> object:
    """All that a file shows, as other programs see it."""
    if format_of(data[:12]):
        return [(at, image.digest) for at, image, _ in frames_of(io.BytesIO(data), "mov", 10**8)]
    with Pillow.open(io.BytesIO(data)) as opened:
        frames = []
        for number in range(getattr(opened, "n_frames", 1)):
            opened.seek(number)
            frames.append((opened.mode, opened.size, opened.tobytes()))
        exif = opened.info.get("exif")
        return frames, opened.info.get("icc_profile"), exif, opened.info.get("comment"), opened.info.get("xmp")


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_goes_in_and_out_and_no_other_byte_changes(kind: str) -> None:
    data = made(kind)
    held = attach_claim(data, CLAIM)
    assert held != data
    assert without_claim(held) == data
    assert read_claim(held) == {**CLAIM, **binding(data)}
    assert seen(held) == seen(data)
    assert attach_claim(attach_claim(data, {"earlier": 1}), CLAIM) == held, "one record, the last"


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_without_a_record_says_so_and_stays(kind: str) -> None:
    data = made(kind)
    assert read_claim(data) is None
    assert without_claim(data) == data


@given(st.sampled_from(KINDS), st.text(st.characters(codec="utf-8"), max_size=200), st.integers(0, 900_000))
@settings(max_examples=40)
def test_records_of_any_size_come_back(kind: str, text: str, size: int) -> None:
    noise = "".join(f"{zlib.crc32(bytes([n % 251, n // 251 % 251, n // 63001]))}" for n in range(size // 10))
    claim = {"text": text.replace("\0", ""), "noise": noise}
    held = attach_claim(made(kind), claim)
    found = read_claim(held)
    assert found is not None
    assert {name: found[name] for name in claim} == claim
    assert without_claim(held) == made(kind)


def test_a_large_record_is_in_several_jpeg_segments_and_all_of_them_count() -> None:
    noise = "".join(f"{zlib.crc32(str(n).encode())}" for n in range(40_000))
    held = attach_claim(made("jpeg"), {"noise": noise})
    assert held.count(b"intaglio\0") > 2
    assert seen(held) == seen(made("jpeg"))
    first = held.index(b"intaglio\0") - 4
    length = 2 + int.from_bytes(held[first + 2 : first + 4], "big")
    with pytest.raises(InvalidRecord, match="not whole"):
        read_claim(held[:first] + held[first + length :])
    with pytest.raises(InvalidRecord, match="not whole"):
        read_claim(held[:first] + held[first : first + length] + held[first:])


def test_the_segments_that_must_come_first_still_do() -> None:
    held = attach_claim(made("jpeg of others"), CLAIM)
    assert held.index(b"JFIF\0") < held.index(b"Exif\0") < held.index(b"intaglio\0") < held.index(b"ICC_PROFILE\0")


@pytest.mark.parametrize("kind", ["lossy webp", "lossless webp", "lossless webp with alpha"])
def test_a_simple_webp_becomes_an_extended_one_of_the_same_size(kind: str) -> None:
    data = made(kind)
    assert data[12:16] in (b"VP8 ", b"VP8L")
    held = attach_claim(data, CLAIM)
    assert held[12:16] == b"VP8X"
    assert bool(held[20] & 0x10) == ("alpha" in kind), "the alpha flag is the picture's"
    with Pillow.open(io.BytesIO(held)) as opened, Pillow.open(io.BytesIO(data)) as before:
        assert (opened.size, opened.mode) == (before.size, before.mode)


def test_what_another_tool_adds_later_to_a_webp_of_ours_stays() -> None:
    held = attach_claim(made("lossless webp"), CLAIM)
    chunks = [(name, chunk[8:]) for name, chunk in webp._chunks(held)]
    ours = dict(chunks)[b"intg"][: int.from_bytes(held[held.index(b"intg") + 4 :][:4], "little")]
    more = webp_of(*chunks[:2], (b"EXIF", b"theirs"), (b"intg", ours))
    found = without_claim(more)
    assert found == webp_of(*chunks[:2], (b"EXIF", b"theirs"))
    assert (read_claim(more) or {})["plan"] == CLAIM["plan"], "its pixels are the same"


def test_in_a_fragmented_video_the_random_access_box_stays_last() -> None:
    data = made("fragmented mp4")
    assert b"mfro" in data[-24:]
    held = attach_claim(data, CLAIM)
    size = int.from_bytes(held[-4:], "big")
    assert held[-size + 4 : -size + 8] == b"mfra"


@pytest.mark.parametrize("kind", ["mp4", "fast mp4", "mov"])
def test_no_chunk_offset_of_a_video_moves(kind: str) -> None:
    data = made(kind)
    assert attach_claim(data, CLAIM).startswith(data)


@pytest.mark.parametrize("kind", ["mp4", "fast mp4", "mov"])
def test_the_header_of_a_video_tells_its_size_and_length(kind: str) -> None:
    assert isobmff.measured(made(kind)) == isobmff.Measured(64, 48, 6, 0.6)
    assert isobmff.measured(attach_claim(made(kind), CLAIM)) == isobmff.Measured(64, 48, 6, 0.6)


def test_what_the_header_of_a_video_does_not_say_is_not_made_up() -> None:
    assert isobmff.measured(made("fragmented mp4")) == isobmff.Measured(64, 48)
    assert isobmff.measured(box(b"ftyp", b"isom") + box(b"moov", b"\0" * 40)) == isobmff.Measured()


@given(st.integers(0, 2**16), st.binary(min_size=1, max_size=4))
def test_a_damaged_header_is_measured_or_not_and_never_more(at: int, bytes_: bytes) -> None:
    data = made("fast mp4")
    at %= data.index(b"mdat")
    found = isobmff.measured(data[:at] + bytes_ + data[at + len(bytes_) :])
    assert 0 <= found.frames <= 2**31
    assert 0 <= found.seconds < 2**64


# -- what must not be touched -----------------------------------------------------------------------------------------


def with_credentials() -> dict[str, bytes]:
    """Files with a C2PA credential, or the address of one, where the format keeps it."""
    wide = ramp(width=31, height=17)
    plain_jpeg, plain_webp, video = saved(pillow(wide), "JPEG"), saved(pillow(wide), "WEBP"), made("mp4")
    extended = saved(pillow(wide), "WEBP", exif=EXIF)
    size = int.from_bytes(extended[4:8], "little") + 12
    return {
        "png": insert(png.encode(wide), build_chunk(b"caBX", b"\0\0\0\x10jumbc2pa")),
        "png by address": insert(png.encode(wide), build_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + REMOTE)),
        "png by packed address": insert(
            png.encode(wide), build_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(REMOTE))
        ),
        "jpeg": plain_jpeg[:2] + segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x10jumbc2pa") + plain_jpeg[2:],
        "jpeg by address": plain_jpeg[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + REMOTE) + plain_jpeg[2:],
        "webp": extended[:4] + struct.pack("<I", size) + extended[8:] + b"C2PA\x04\0\0\0c2pa",
        "webp by address": saved(pillow(wide), "WEBP", xmp=REMOTE),
        "mp4": video[: int.from_bytes(video[:4])]
        + box(b"uuid", C2PA + b"manifest")
        + video[int.from_bytes(video[:4]) :],
        "mp4 by address": video + box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + REMOTE),
        "simple webp": plain_webp,
    }


@pytest.mark.parametrize("kind", sorted(with_credentials().keys() - {"simple webp"}))
def test_a_file_with_a_credential_is_not_touched(kind: str) -> None:
    data = with_credentials()[kind]
    with pytest.raises(NoPlaceInside, match="C2PA credential"):
        attach_claim(data, CLAIM)
    assert read_claim(data) is None
    assert without_claim(data) == data
    attach_claim(with_credentials()["simple webp"], CLAIM)


def no_place() -> dict[str, tuple[bytes, str]]:
    """Whole files that cannot take a record in, and what is said of each."""
    jpeg_file, video = made("jpeg"), made("mp4")
    simple = webp._chunks(made("lossy webp"))[0][1][8:]
    mdat = video.index(b"mdat") - 4
    return {
        "webm": (vp9(moving()), "no place"),
        "gif": (saved(pillow(flat(3)), "GIF"), "no place"),
        "several pictures in a jpeg": (jpeg_file[:2] + segment(0xE2, b"MPF\0MM") + jpeg_file[2:], "several pictures"),
        "parts no simple webp has": (webp_of((b"VP8 ", simple), (b"odd ", b"data")), "does not allow"),
        "mp4 open at its end": (video[:mdat] + b"\0\0\0\0" + video[mdat + 4 :], "no stated end"),
        "mp4 without header": (box(b"ftyp", b"isom\0\0\0\0") + box(b"mdat", b"x"), "no header"),
    }


@pytest.mark.parametrize("kind", sorted(no_place()))
def test_a_file_without_a_safe_place_is_refused_with_the_reason(kind: str) -> None:
    data, words = no_place()[kind]
    with pytest.raises(NoPlaceInside, match=words):
        attach_claim(data, CLAIM)


def test_a_record_too_large_for_other_readers_is_refused() -> None:
    with pytest.raises(NoPlaceInside, match="1 MiB"):
        attach_claim(made("png"), {"x": "y" * MOST_INSIDE})
    largest = attach_claim(made("png"), {"x": "y" * (MOST_INSIDE - 200)})
    with Pillow.open(io.BytesIO(largest)) as opened:
        opened.load()


# -- what strangers write ---------------------------------------------------------------------------------------------


def changed_pixels(kind: str) -> bytes:
    """A record of one file in another of the same kind."""
    held = attach_claim(made(kind), CLAIM)
    other: dict[str, Callable[[], bytes]] = {
        "png": lambda: png.encode(flat(3)),
        "jpeg": lambda: saved(pillow(flat(3)), "JPEG"),
        "lossless webp": lambda: saved(pillow(flat(3)), "WEBP", lossless=True),
        "animated webp": lambda: animated([moving()[0], *moving()[:1:-1]], "WEBP"),
        "animated png": lambda: saved(pillow(flat(3)), "PNG", save_all=True, append_images=[pillow(flat(8))]),
        "mp4": lambda: made("fast mp4"),
    }
    module = CONTAINERS[kind.rsplit(maxsplit=1)[-1]]
    body = png.read_text(held, "intaglio") if module is png else module.read(held)
    assert body is not None
    if module is png:
        return png.attach_text(other[kind](), "intaglio", str(body))
    return bytes(module.attach(other[kind](), body))


@pytest.mark.parametrize("kind", ["png", "jpeg", "lossless webp", "mp4", "animated webp", "animated png"])
def test_a_record_on_another_file_is_refused(kind: str) -> None:
    with pytest.raises(RecordMismatch, match="made for other"):
        read_claim(changed_pixels(kind))


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "mp4"])
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"bytes":1,"bytes":2}', b'{"pixels":NaN}', b"[" * 100_000, b'{"bytes":1e999}', b"\xff"],
)
def test_what_is_no_claim_is_refused(kind: str, body: bytes) -> None:
    data = made("lossless webp" if kind == "webp" else kind)
    if kind == "png":
        chunk = b"intaglio\0\0\1\0\0\0"[:9] + b"\1\0\0\0" + zlib.compress(body)
        held = insert(data, build_chunk(b"iTXt", chunk))
    else:
        held = CONTAINERS[kind].attach(data, body)
    with pytest.raises(Invalid):
        read_claim(held)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "mp4"])
def test_a_bomb_is_not_inflated(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zlib.compress(b" " * 80_000_000, 9)
    monkeypatch.setattr(carried, "packed", lambda body: body)
    for module in (jpeg, webp, isobmff):
        monkeypatch.setattr(module, "packed", lambda body: body)
    data = made("lossless webp" if kind == "webp" else kind)
    if kind == "png":
        held = insert(data, build_chunk(b"iTXt", b"intaglio\0\1\0\0\0" + bomb))
    else:
        held = CONTAINERS[kind].attach(data, bomb)
    tracemalloc.start()
    try:
        with pytest.raises(Invalid, match="larger than"):
            read_claim(held)
        assert tracemalloc.get_traced_memory()[1] < 3 * carried.LIMIT
    finally:
        tracemalloc.stop()


def test_two_records_in_one_file_are_refused() -> None:
    video = attach_claim(made("mp4"), CLAIM)
    with pytest.raises(InvalidRecord, match="2 records"):
        read_claim(video + video[len(made("mp4")) :])


@given(st.sampled_from(KINDS), st.data())
@settings(max_examples=300)
def test_a_damaged_file_is_refused_or_read_and_never_more(kind: str, data: st.DataObject) -> None:
    held = bytearray(attach_claim(made(kind), CLAIM))
    for at in data.draw(st.lists(st.integers(0, len(held) - 1), max_size=4)):
        held[at] = data.draw(st.integers(0, 255))
    cut = bytes(held[: data.draw(st.integers(0, len(held)))]) if data.draw(st.booleans()) else bytes(held)
    for act in (read_claim, without_claim, lambda file: attach_claim(file, {"new": 1})):
        with suppress(*REFUSALS):
            act(cut)


@given(st.binary(max_size=300), st.sampled_from([b"", b"RIFF\x40\0\0\0WEBP", b"\xff\xd8\xff\xea", b"\0\0\0\x08ftyp"]))
@example(b"", b"\0\0\0\x08ftyp")
def test_bytes_of_no_kind_are_refused_or_read(data: bytes, start: bytes) -> None:
    for act in (read_claim, without_claim):
        with suppress(*REFUSALS):
            act(start + data)


@given(st.lists(st.tuples(st.sampled_from([b"EXIF", b"XMP ", b"odd1", b"intg"]), st.binary(max_size=9)), max_size=5))
def test_a_webp_of_any_parts_comes_back(parts: Sequence[tuple[bytes, bytes]]) -> None:
    simple = webp._chunks(made("lossy webp"))[0][1][8:]
    head = struct.pack("<I", 0) + (30).to_bytes(3, "little") + (16).to_bytes(3, "little")
    data = webp_of((b"VP8X", head), (b"VP8 ", simple), *parts)
    stripped = webp.without(data)
    assume(not any(name == b"intg" for name, _ in parts) or stripped != data)
    held = attach_claim(data, CLAIM)
    assert without_claim(held) == stripped
    assert decode(held).digest == decode(made("lossy webp")).digest


# -- files of other tools, where they are at hand ---------------------------------------------------------------------


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the sample files of other tools are not here")
def test_files_of_other_tools_take_it_in_unharmed_and_credentials_stay_untouched() -> None:
    taken = credentials = 0
    for path in sorted(CORPUS.iterdir()):
        if path.suffix not in (".png", ".jpg", ".jpeg", ".webp", ".mp4") or path.stat().st_size > 400_000:
            continue
        data = path.read_bytes()
        try:
            held = attach_claim(data, CLAIM)
        except NoPlaceInside as error:
            credentials += "C2PA" in str(error)
            continue
        except InvalidImage:
            assert path.name.startswith("hostile"), path
            continue
        assert "c2pa" not in path.name, path
        assert without_claim(held) == data, path
        taken += 1
    assert taken > 100
    assert credentials > 10


def test_the_claim_is_json_that_others_can_read() -> None:
    found = Pillow.open(io.BytesIO(attach_claim(made("png"), CLAIM))).info["intaglio"]
    assert json.loads(found)["plan"] == CLAIM["plan"]


def test_pixels_of_another_mode_are_other_pixels() -> None:
    grey = Image("L", 2, 2, b"\1\2\3\4")
    text = png.read_text(attach_claim(png.encode(grey), CLAIM), "intaglio")
    assert text is not None
    with pytest.raises(RecordMismatch):
        read_claim(png.attach_text(png.encode(Image("RGB", 2, 2, b"\1" * 12)), "intaglio", text))
