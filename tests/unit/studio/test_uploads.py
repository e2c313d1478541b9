"""Bringing files: what arrives is whole and what was announced, or nothing is kept; names and zips are hostile."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import time
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.core.canonical import digest_bytes
from intaglio.core.errors import Invalid, NotFound, StorageFailed, TooLarge, TooMany
from intaglio.store import disk
from intaglio.studio import unpacking, uploads
from intaglio.studio.filenames import fit
from intaglio.studio.open import Studio, init
from intaglio.studio.parts import Parts
from intaglio.studio.settings import Settings

DATA = b"some bytes " * 1000


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with init(tmp_path, Settings(author="Ada")) as opened:
        yield opened


@pytest.fixture
def parts(studio: Studio) -> Parts:
    return studio._parts


def bring(parts: Parts, name: str = "photo.png", data: bytes = DATA) -> uploads.Uploaded:
    with uploads.begin(parts, name, limit=len(data)) as upload:
        for start in range(0, len(data), 1000):
            upload.write(data[start : start + 1000])
        return upload.finish()


def age(place: Path, seconds: float) -> None:
    """Make a folder and what is in it look as if it had not changed for so long."""
    then = time.time() - seconds
    for each in (*place.rglob("*"), place):
        os.utime(each, (then, then), follow_symlinks=False)


def nothing_is_there(parts: Parts) -> bool:
    return list(uploads.folder(parts).iterdir()) == []


# -- bringing ---------------------------------------------------------------------------------------------------------


def test_what_is_brought_is_found_by_its_reference(parts: Parts) -> None:
    brought = bring(parts)
    path = uploads.resolve(parts, brought.reference)
    assert path.read_bytes() == DATA
    assert (path.name, brought.digest, brought.size) == ("photo.png", digest_bytes(DATA), len(DATA))
    assert path.parent.parent == uploads.folder(parts)
    assert brought.expires > brought.expires[:4] + "-01-01"


def test_two_of_one_name_do_not_meet_and_their_ids_cannot_be_guessed(parts: Parts) -> None:
    first, second = bring(parts), bring(parts, data=b"other")
    assert first.reference != second.reference
    assert uploads.resolve(parts, first.reference).read_bytes() == DATA
    assert all(len(each.reference.split("/")[0].removeprefix("upload:")) == 32 for each in (first, second))


@pytest.mark.parametrize("said", ["digest", "sha256"])
def test_bytes_other_than_announced_are_refused_naming_both_and_nothing_is_kept(parts: Parts, said: str) -> None:
    announced = digest_bytes(b"other") if said == "digest" else sha256(b"other").hexdigest()
    found = digest_bytes(DATA) if said == "digest" else sha256(DATA).hexdigest()
    with uploads.begin(parts, "a.png", limit=len(DATA)) as upload:
        upload.write(DATA)
        with pytest.raises(Invalid) as refused:
            upload.finish(announced if said == "digest" else "", announced if said == "sha256" else "")
    assert announced in str(refused.value) and found in str(refused.value)
    assert nothing_is_there(parts)


def test_bytes_as_announced_are_taken(parts: Parts) -> None:
    with uploads.begin(parts, "a.png", limit=len(DATA)) as upload:
        upload.write(DATA)
        assert upload.finish(digest_bytes(DATA), sha256(DATA).hexdigest()).size == len(DATA)


def test_one_byte_over_the_limit_is_refused_and_nothing_is_kept(parts: Parts) -> None:
    with uploads.begin(parts, "a.png", limit=10) as upload:
        upload.write(b"0123456789")
        with pytest.raises(TooLarge) as refused:
            upload.write(b"x")
    assert refused.value.limit == 10
    assert nothing_is_there(parts)


def test_one_that_is_given_up_leaves_nothing(parts: Parts) -> None:
    with suppress(KeyboardInterrupt), uploads.begin(parts, "a.png", limit=100) as upload:
        upload.write(b"x")
        raise KeyboardInterrupt
    assert nothing_is_there(parts)


def test_all_uploads_together_are_bounded(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_BYTES", 100 * 1024)
    bring(parts, data=b"x" * 100 * 1024)
    with pytest.raises(TooMany):
        uploads.begin(parts, "more", limit=1)


def test_the_bound_is_looked_at_while_bytes_arrive(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_BYTES", 20_000)
    monkeypatch.setattr(uploads, "_LOOK_EVERY", 1000)
    taken = []
    with suppress(TooMany), uploads.begin(parts, "more", limit=10_000_000) as upload:
        for number in range(100):
            upload.write(b"x" * 1000)
            taken.append(number)
    assert 5 < len(taken) < 20
    assert nothing_is_there(parts)


def test_a_disk_that_fills_up_is_said_and_leaves_nothing(parts: Parts) -> None:
    def full(name: str) -> None:
        if name == "write_on:before":
            raise OSError(28, "No space left on device")

    with uploads.begin(parts, "a.png", limit=100) as upload:
        disk.observe(full)
        try:
            with pytest.raises(StorageFailed):
                upload.write(b"x")
        finally:
            disk.observe(None)
    assert nothing_is_there(parts)


@pytest.mark.parametrize("point", ["write_on:after", "sync_file:after", "rename_new:before"])
def test_a_process_killed_half_way_leaves_only_what_purge_takes_away(studio: Studio, parts: Parts, point: str) -> None:
    code = f"""
import os, signal
from intaglio.store import disk
from intaglio.studio import uploads
from intaglio.studio.open import open_studio
parts = open_studio({str(studio.root)!r})._parts
upload = uploads.begin(parts, "a.png", limit=100)
disk.observe(lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == {point!r} else None)
upload.write(b"half")
upload.finish()
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == -9
    (left,) = uploads.folder(parts).iterdir()
    with pytest.raises(NotFound):
        uploads.resolve(parts, f"upload:{left.name.removeprefix('half-')}/a.png")
    assert uploads.purge(parts) == 0, "it could still be at work"
    age(left, uploads.KEPT_S + 1)
    assert uploads.purge(parts) == 1
    assert nothing_is_there(parts)


# -- how long ---------------------------------------------------------------------------------------------------------


def test_after_an_hour_it_is_gone(parts: Parts) -> None:
    brought = bring(parts)
    place = uploads.resolve(parts, brought.reference).parent
    age(place, uploads.KEPT_S - 60)
    assert uploads.resolve(parts, brought.reference)
    age(place, uploads.KEPT_S + 1)
    with pytest.raises(NotFound):
        uploads.resolve(parts, brought.reference)
    assert place.exists()
    bring(parts)
    assert not place.exists(), "who brings something takes away what has expired"


def test_what_a_waiting_job_is_to_take_stays_until_it_has_ended(studio: Studio, parts: Parts) -> None:
    brought = bring(parts, "model.safetensors")
    place = uploads.resolve(parts, brought.reference).parent
    job = studio.jobs.submit("models.add", {"path": brought.reference, "name": "mine"})
    age(place, uploads.KEPT_S + 5)

    uploads.purge(parts)

    assert uploads.resolve(parts, brought.reference).read_bytes() == DATA
    studio.jobs.cancel(job.id)
    uploads.purge(parts)
    assert not place.exists()


def test_one_that_takes_longer_than_an_hour_is_not_taken_away_while_it_grows(parts: Parts) -> None:
    with uploads.begin(parts, "a.png", limit=100) as upload:
        (half,) = uploads.folder(parts).iterdir()
        age(half, uploads.KEPT_S + 1)
        upload.write(b"still here")
        assert uploads.purge(parts) == 0
        assert uploads.resolve(parts, upload.finish().reference).read_bytes() == b"still here"


@pytest.mark.parametrize(
    "reference",
    ["", "upload:", "upload:abc/x", "upload:" + "0" * 32, "upload:" + "0" * 32 + "/", "upload:" + "0" * 32 + "/a/b",
     "upload:" + "0" * 32 + "/\0", "/etc/passwd", "upload:/etc/passwd", "upload:" + "G" * 32 + "/x"],
)  # fmt: skip
def test_what_is_no_reference_is_said(parts: Parts, reference: str) -> None:
    with pytest.raises(Invalid):
        uploads.resolve(parts, reference)


@pytest.mark.parametrize("name", ["photo.png", "..", ".", "other"])
def test_a_reference_to_nothing_is_not_found(parts: Parts, name: str) -> None:
    with pytest.raises(NotFound):
        uploads.resolve(parts, f"upload:{'0' * 32}/{name}")


def test_a_link_in_the_place_of_an_upload_is_not_followed(parts: Parts) -> None:
    brought = bring(parts)
    path = uploads.resolve(parts, brought.reference)
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(NotFound):
        uploads.resolve(parts, brought.reference)


def test_references_are_resolved_wherever_they_stand_and_other_values_stay(parts: Parts) -> None:
    brought = bring(parts)
    path = uploads.resolve(parts, brought.reference)
    assert uploads.resolved(parts, ["a", brought.reference, 7]) == ["a", path, 7]
    assert uploads.resolved(parts, (brought.reference,)) == (path,)
    for value in ("upload: a picture", {"a": 1}, None, 3.5, f"see {brought.reference}"):
        assert uploads.resolved(parts, value) == value


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fitted"),
    [
        ("photo.png", "photo.png"),
        ("Grüße aus Köln.JPG", "Grüße_aus_Köln.JPG"),
        ("/etc/passwd", "passwd"),
        ("../../x.png", "x.png"),
        ("..", "upload"),
        ("", "upload"),
        ("C:\\Users\\me\\a b.png", "a_b.png"),
        (".hidden", "upload.hidden"),
        ("a\0b\nc.png", "ab_c.png"),
        ("invoice\u202egnp.exe", "invoicegnp.exe"),
        ("con.png", "_con.png"),
        ("LPT1", "_LPT1"),
        ("aux.tar.gz", "_aux.tar.gz"),
        ("a" * 5000 + ".safetensors", "a" * 120 + ".safetensors"),
        ("-rf", "rf"),
        ("a/", "a"),
        ("x?*<>|.png", "x.png"),
        ("\ud800.png", "upload.png"),
        ("猫.png", "猫.png"),
        (".png", "upload.png"),
    ],
)
def test_a_name_keeps_its_ending_and_what_can_be_read_of_it(name: str, fitted: str) -> None:
    assert fit(name) == fitted


@given(st.text(st.characters(), max_size=300))
def test_any_name_becomes_one_that_every_file_system_takes(name: str) -> None:
    fitted = fit(name)
    assert fitted and len(fitted.encode()) < 160
    assert not fitted.startswith((".", "-", " ")) and not fitted.endswith((".", " "))
    assert not any(unicodedata.category(each)[0] == "C" or each in '/\\<>:"|?*' for each in fitted)
    assert fit(fitted).lstrip("_") == fitted.lstrip("_")


def test_an_upload_of_any_name_can_be_named_again(parts: Parts) -> None:
    for name in ("../../etc/passwd", "a\0b", "x" * 5000 + ".png", "", "con", "Ж\u202e.png"):
        assert uploads.resolve(parts, bring(parts, name).reference).read_bytes() == DATA


# -- zips -------------------------------------------------------------------------------------------------------------


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], deflated: bool = True) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as opened:
        for name, data in entries:
            opened.writestr(name, data)
    return file.getvalue()


def unpack(parts: Parts, data: bytes) -> Path:
    return uploads.unpack(parts, bring(parts, "folder.zip", data).reference)


def special(name: str, mode: int) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name)
    found.create_system, found.external_attr = 3, mode << 16
    return found


def test_a_zip_of_a_folder_becomes_the_folder(parts: Parts) -> None:
    data = zipped(("record.json", b"{}"), ("inputs/", b""), ("inputs/a b.png", b"png"), ("deep/er/x", b"x" * 3_000_000))
    folder = unpack(parts, data)
    assert (folder / "inputs" / "a b.png").read_bytes() == b"png"
    assert (folder / "deep" / "er" / "x").stat().st_size == 3_000_000
    reference = bring(parts, "again.ZIP", data).reference
    assert uploads.resolved(parts, reference) == uploads.unpack(parts, reference), "it is unpacked once"


def test_a_zip_of_one_folder_is_that_folder(parts: Parts) -> None:
    folder = unpack(parts, zipped(("tiny/model_index.json", b"{}"), ("tiny/unet/config.json", b"{}")))
    assert folder.name == "tiny" and (folder / "unet" / "config.json").is_file()


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x", "a/../../x", "a/./x", "a//x", "C:/x", "C:x", "a\\..\\x", "..", "a/..", "\x1b[2Jx",
     "x" * 256, "/".join("d" * 30)],
)  # fmt: skip
def test_a_zip_with_a_path_that_leads_out_is_refused_and_nothing_is_written(parts: Parts, name: str) -> None:
    data = zipped(("fine.txt", b"fine"), (name, b"evil"))
    with pytest.raises(Invalid):
        unpack(parts, data)
    assert [path.name for path in uploads.folder(parts).rglob("*") if path.is_file()] == ["folder.zip"]


def test_a_name_cut_at_a_nul_is_refused(parts: Parts) -> None:
    data = zipped(("fineX.png", b"x")).replace(b"fineX.png", b"fine\0.png")
    with pytest.raises(Invalid):
        unpack(parts, data)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_pipes_and_devices_are_refused(parts: Parts, mode: int) -> None:
    with pytest.raises(Invalid, match="link or a device"):
        unpack(parts, zipped((special("x", mode | 0o777), b"/etc/passwd")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names", [("a", "a"), ("A", "a"), ("é", "e\u0301"), ("a", "a/b"), ("a/b", "a"), ("Dir", "dir/x")]
)
def test_one_name_twice_is_refused_however_it_is_spelled(parts: Parts, names: tuple[str, str]) -> None:
    with pytest.raises(Invalid):
        unpack(parts, zipped(*((name, b"x") for name in names)))


def test_a_zip_that_would_fill_the_disk_is_refused(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped(("zeros", bytes(80 * 2**20)))
    assert len(bomb) < 200_000
    with pytest.raises(Invalid, match="would become"):
        unpack(parts, bomb)
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1000)
    with pytest.raises(TooLarge):
        unpack(parts, zipped(("x", b"x" * 1001)))


def test_too_many_files_are_refused_before_they_are_listed(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped(*((f"{number}", b"") for number in range(50)), deflated=False)
    monkeypatch.setattr(unpacking, "MOST_FILES", 49)
    with pytest.raises(TooLarge, match="holds 50 files"):
        unpack(parts, data)
    monkeypatch.setattr(unpacking, "_LARGEST_LIST", 1000)
    with pytest.raises(TooLarge, match="lists more"):
        unpack(parts, data)


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"not a zip" * 100, zipped(("x", b"y" * 500))[:-30], zipped(("x", b"y" * 500))[40:]]
)
def test_what_is_no_zip_is_said(parts: Parts, data: bytes) -> None:
    with pytest.raises(Invalid):
        unpack(parts, data)


def test_a_file_that_is_not_what_its_checksum_says_is_refused_and_nothing_is_left(parts: Parts) -> None:
    data = zipped(("a", b"first"), ("x", b"payload-payload"), deflated=False).replace(
        b"payload-payload", b"payl0ad-payl0ad"
    )
    with pytest.raises(Invalid):
        unpack(parts, data)
    assert [path.name for path in uploads.folder(parts).rglob("*") if path.is_file()] == ["folder.zip"]


def test_an_encrypted_file_is_refused(parts: Parts) -> None:
    data = bytearray(zipped(("x", b"payload")))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(Invalid, match="encrypted"):
        unpack(parts, bytes(data))


@given(position=st.integers(0, 399), byte=st.integers(0, 255))
def test_a_zip_with_any_byte_changed_is_unpacked_or_refused(
    shared: Callable[[bytes], Path], position: int, byte: int
) -> None:
    data = bytearray(zipped(("a/b.txt", b"some text"), ("c.txt", b"more text " * 10), ("d/", b"")))
    data[position % len(data)] = byte
    try:
        folder = shared(bytes(data))
    except (Invalid, StorageFailed):
        return
    assert not any(path.is_symlink() for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Path]:
    place = tmp_path_factory.mktemp("zips")
    numbers = iter(range(1_000_000))

    def unpacked(data: bytes) -> Path:
        folder = place / str(next(numbers))
        folder.mkdir()
        (folder / "x.zip").write_bytes(data)
        unpacking.unpacked(folder / "x.zip", folder / "out")
        assert {path.name for path in folder.iterdir()} == {"x.zip", "out"}
        return folder / "out"

    return unpacked
