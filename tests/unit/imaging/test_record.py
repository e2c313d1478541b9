from __future__ import annotations

import pytest

from intaglio.core.canonical import canonical, digest_bytes
from intaglio.core.errors import InvalidImage, InvalidRecord, RecordMismatch
from intaglio.imaging import png
from intaglio.imaging.record import attach_claim, read_claim

from .samples import flat, ramp

CLAIM = {"plan": {"seed": "18446744073709551615", "prompt": "caf\xe9 \u65e5\u672c \U0001f600"}, "format": 1}


def test_a_claim_comes_back_with_the_pixels_it_is_for() -> None:
    data = png.encode(ramp())
    bound = {"pixels": ramp().digest, "bytes": digest_bytes(data)}
    assert read_claim(attach_claim(data, CLAIM)) == {**CLAIM, **bound}


def test_a_claim_written_before_there_were_byte_digests_is_read() -> None:
    text = canonical({**CLAIM, "pixels": ramp().digest}).decode()
    assert read_claim(png.attach_text(png.encode(ramp()), "intaglio", text)) == {**CLAIM, "pixels": ramp().digest}


def test_a_claim_is_canonical_replaces_the_earlier_and_leaves_the_pixel_data() -> None:
    data = png.encode(ramp())
    once = attach_claim(attach_claim(data, {"old": 1}), CLAIM)
    assert once == attach_claim(data, dict(reversed(CLAIM.items())))
    idat = [[c.data for c in png.read_chunks(file) if c.type == b"IDAT"] for file in (data, once)]
    assert idat[0] == idat[1]


def test_a_picture_without_a_claim_says_so() -> None:
    assert read_claim(png.encode(ramp())) is None


def test_a_claim_on_another_picture_is_refused() -> None:
    text = png.read_text(attach_claim(png.encode(ramp()), CLAIM), "intaglio")
    assert text is not None
    other = png.attach_text(png.encode(flat(3)), "intaglio", text)
    with pytest.raises(RecordMismatch) as refused:
        read_claim(other)
    assert str(refused.value) == (
        f"the record inside was made for other pixels ({ramp().digest}) than these ({flat(3).digest})"
    )


def test_a_claim_that_names_other_pixels_is_not_attached() -> None:
    with pytest.raises(RecordMismatch, match="other pixels"):
        attach_claim(png.encode(ramp()), {"pixels": flat(3).digest})


def test_a_reencoded_picture_with_the_same_pixels_keeps_its_claim() -> None:
    text = png.read_text(attach_claim(png.encode(ramp()), CLAIM), "intaglio")
    assert text is not None
    assert read_claim(png.attach_text(png.encode(ramp(), level=9), "intaglio", text)) is not None


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"pixels":1,"pixels":2}', '{"pixels":NaN}', "[" * 5000])
def test_what_is_no_claim_is_refused(text: str) -> None:
    with pytest.raises(InvalidRecord):
        read_claim(png.attach_text(png.encode(ramp()), "intaglio", text))


def test_a_claim_for_pixels_of_another_type_is_a_mismatch() -> None:
    with pytest.raises(RecordMismatch):
        read_claim(png.attach_text(png.encode(ramp()), "intaglio", '{"pixels":[]}'))


def test_a_claim_that_cannot_be_written_and_a_file_that_is_no_png_are_refused() -> None:
    with pytest.raises(InvalidRecord):
        attach_claim(png.encode(ramp()), {"seed": 2**64 - 1})
    with pytest.raises(InvalidImage):
        attach_claim(b"hello", {})
    with pytest.raises(InvalidImage):
        read_claim(b"hello")
