"""LIN 1, ING 3 for our own files: a file alone brings its version into a library that never heard of it."""

from __future__ import annotations

import io
import json
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import Command, node, ramp, write
from PIL import Image as Pillow

from intaglio.core.asset import Asset
from intaglio.core.canonical import canonical, digest_bytes
from intaglio.core.codec import digest, from_plain
from intaglio.core.errors import Conflict, NotFound
from intaglio.core.record import plain
from intaglio.core.snapshot import Snapshot
from intaglio.core.version import Version
from intaglio.imaging import png
from intaglio.imaging.arrays import to_array
from intaglio.imaging.frames import frames
from intaglio.imaging.png import build_chunk, encode
from intaglio.imaging.record import attach_claim, read_claim, without_claim
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Studio]:
    """Another person's library, empty."""
    with init(tmp_path / "elsewhere", Settings(author="Grace")) as opened:
        yield opened


@pytest.fixture
def out(studio: Studio, plain_chain: Path, tmp_path: Path) -> Path:
    """A version written out."""
    task = studio.tasks.run(plain_chain, label="keeper", annotation="worth keeping")
    studio.versions.export(task.version, tmp_path / "out")
    return tmp_path / "out"


def jpeg(**more: Any) -> bytes:
    """A picture with what another tool wrote into it."""
    buffer = io.BytesIO()
    picture = ramp(48, 32)
    Pillow.frombytes("RGB", (48, 32), picture.data).save(buffer, "JPEG", comment=b"by another tool", **more)
    return buffer.getvalue()


def webp() -> bytes:
    """A lossless WebP in the simple format."""
    buffer = io.BytesIO()
    Pillow.frombytes("RGB", (48, 32), ramp(48, 32).data).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def gif() -> bytes:
    """A picture in a format that has no place for a record."""
    buffer = io.BytesIO()
    Pillow.frombytes("RGB", (48, 32), ramp(48, 32).data).convert("P").save(buffer, "GIF")
    return buffer.getvalue()


def mp4() -> bytes:
    """The boxes of a video; nothing of it is ever decoded here."""
    boxes = ((b"ftyp", b"isom\0\0\0\0isom"), (b"moov", b"\0" * 40), (b"mdat", bytes(range(200))))
    return b"".join((8 + len(body)).to_bytes(4, "big") + kind + body for kind, body in boxes)


def webm() -> bytes:
    """A video in a format that has no place for a record."""
    from unit.imaging.clips import moving, vp9

    return vp9(moving(3))


def fragmented() -> bytes:
    """A video in pieces, as for streaming, whose header does not say how many frames it has."""
    import av
    from unit.imaging.clips import moving

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as file:
        stream = file.add_stream("libx264", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for image in moving(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(to_array(image), format="rgb24")))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def signed() -> bytes:
    """A picture with a C2PA credential."""
    body = b"JP\0\1\0\0\0\1\0\0\0\x20jumb\0\0\0\x10jumdc2pa"
    data = jpeg()
    return data[:2] + b"\xff\xeb" + (2 + len(body)).to_bytes(2, "big") + body + data[2:]


MADE: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "jpeg": (jpeg, "image/jpeg", ".jpg"),
    "webp": (webp, "image/webp", ".webp"),
    "mp4": (mp4, "video/mp4", ".mp4"),
    "fragmented": (fragmented, "video/mp4", ".mp4"),
    "webm": (webm, "video/webm", ".webm"),
    "gif": (gif, "image/gif", ".gif"),
    "signed": (signed, "image/jpeg", ".jpg"),
}
INSIDE = ["fragmented", "jpeg", "mp4", "webp"]
BESIDE = ["gif", "signed", "webm"]


def with_output(record: dict[str, Any], data: bytes, media_type: str) -> dict[str, Any]:
    """A record of a run whose output is this file; every digest in it is right."""
    snapshot = from_plain(Snapshot, record["snapshot"])
    old = snapshot.outputs[0].asset
    asset = Asset(digest=digest_bytes(data), size=len(data), media_type=media_type, width=48, height=32)
    text = json.dumps(plain(replace(snapshot, assets={}))).replace(old, asset.digest)
    assets = {name: each for name, each in snapshot.assets.items() if name != old} | {asset.digest: asset}
    new = replace(from_plain(Snapshot, json.loads(text)), assets=assets)
    version = replace(from_plain(Version, record["version"]), snapshot=digest(new), outputs=new.outputs)
    return {"digest": digest(version), "version": plain(version), "snapshot": plain(new)}


@pytest.fixture
def made(out: Path, tmp_path: Path) -> Iterator[Callable[[str], tuple[Studio, bytes, str]]]:
    """A library with a version whose output is of another kind than PNG, as a node of a plugin may make it."""
    opened: list[Studio] = []

    def make(kind: str) -> tuple[Studio, bytes, str]:
        build, media_type, _ = MADE[kind]
        data = build()
        folder = tmp_path / f"of-{kind}"
        shutil.copytree(out / "inputs", folder / "inputs")
        record = with_output(json.loads((out / "record.json").read_text()), data, media_type)
        (folder / "record.json").write_text(json.dumps(record))
        (folder / "any-name").write_bytes(data)
        opened.append(init(tmp_path / f"lib-{kind}", Settings(author="Ada")))
        return opened[-1], data, opened[-1].versions.import_(folder)[0]

    yield make
    for studio in opened:
        studio.close()


# -- out and in again -------------------------------------------------------------------------------------------------


def test_ING_3_a_picture_alone_brings_its_version_with_it(
    studio: Studio, out: Path, elsewhere: Studio, tmp_path: Path
) -> None:
    original, version = studio.versions.find("keeper")
    alone = tmp_path / "renamed.png"
    shutil.copy(out / "out.png", alone)
    [found] = elsewhere.assets.import_([alone])
    assert (found.record, found.match, found.known, found.step) == ("inside", "bytes", False, "out")
    assert (found.version, found.name) == (original, "plain/v1-keeper")
    assert elsewhere.versions.find("keeper") == (original, version), "the same record under the same digest"
    assert elsewhere.versions.snapshot("keeper") == studio.versions.snapshot("keeper")
    asset = version.outputs[0].asset
    assert found.asset == asset, "without its record it is the picture that was made"
    assert elsewhere.assets.get(asset) == studio.assets.get(asset)
    assert elsewhere.library.check().problems == ()
    assert found.missing == 1, "its reference picture is elsewhere"
    [again] = elsewhere.assets.import_([alone])
    assert (again.known, again.asset, again.version) == (True, found.asset, found.version)
    assert len(elsewhere.versions.list()) == 1


def test_ING_3_with_the_reference_picture_it_comes_back_identical(out: Path, elsewhere: Studio, tmp_path: Path) -> None:
    alone = tmp_path / "alone.png"
    shutil.copy(out / "out.png", alone)
    [reference] = (out / "inputs").iterdir()
    first, second = elsewhere.assets.import_([alone, reference])
    assert (first.missing, second.note) == (1, "no record inside")
    done = elsewhere.versions.reproduce("keeper")
    assert (done.grade.grade, done.fidelity.verdict) == ("full", "identical bytes")


def test_LIN_1_an_export_holds_what_went_into_it_and_import_takes_it_in(
    studio: Studio, out: Path, elsewhere: Studio, tmp_path: Path
) -> None:
    [reference] = (asset for step in studio.versions.snapshot("keeper").plan.steps for asset in step.assets.values())
    [file] = (out / "inputs").iterdir()
    assert file.name == f"{reference.digest.removeprefix('blake3:')}.png"
    assert digest_bytes(file.read_bytes()) == reference.digest
    elsewhere.versions.import_(out)
    assert elsewhere.versions.reproduce("keeper").fidelity.verdict == "identical bytes"
    with init(tmp_path / "third", Settings(author="Eve")) as third:
        [found] = third.assets.import_([out / "out.png"])
        assert found.missing == 0, "it lay beside the file"
        assert third.versions.reproduce("keeper").fidelity.verdict == "identical bytes"


def test_LIN_1_a_lost_reference_picture_is_said_and_the_rest_is_written(
    studio: Studio, out: Path, tmp_path: Path
) -> None:
    [file] = (out / "inputs").iterdir()
    (studio.root / "blobs" / file.stem[:2] / file.stem).unlink()
    said: list[str] = []
    studio.versions.export("keeper", tmp_path / "again", told=said.append)
    assert not (tmp_path / "again" / "inputs").exists()
    assert "reference.png is not among the files" in said[0]
    assert (tmp_path / "again" / "record.json").read_bytes() == (out / "record.json").read_bytes()


@pytest.mark.parametrize("kind", INSIDE)
def test_LIN_1_an_output_keeps_its_own_format_and_bytes_with_its_record_inside(
    kind: str, made: Callable[[str], tuple[Studio, bytes, str]], elsewhere: Studio, tmp_path: Path
) -> None:
    library, data, version = made(kind)
    files = library.versions.export(version, tmp_path / "written")
    name = f"out{MADE[kind][2]}"
    assert {path.name for path in files} >= {name, "record.json"}
    assert not (tmp_path / "written" / f"{name}.intaglio.json").exists()
    file = tmp_path / "written" / name
    assert file.read_bytes() != data
    assert without_claim(file.read_bytes()) == data
    [found] = elsewhere.assets.import_([file])
    assert (found.record, found.match, found.version) == ("inside", "bytes", version)
    assert (found.asset, found.media_type) == (digest_bytes(data), MADE[kind][1])
    assert elsewhere.assets.get(found.asset) == data
    assert elsewhere.assets.show(found.asset).frames == (3 if kind == "fragmented" else 0)
    assert elsewhere.versions.find(file)[0] == version
    assert elsewhere.library.check().problems == ()


@pytest.mark.parametrize("kind", BESIDE)
def test_LIN_1_where_nothing_may_be_added_the_record_is_beside_the_file(
    kind: str, made: Callable[[str], tuple[Studio, bytes, str]], elsewhere: Studio, tmp_path: Path
) -> None:
    library, data, version = made(kind)
    said: list[str] = []
    library.versions.export(version, tmp_path / "written", told=said.append)
    file = tmp_path / "written" / f"out{MADE[kind][2]}"
    sidecar = file.with_name(f"{file.name}.intaglio.json")
    assert file.read_bytes() == data, "not one byte differs, so a credential still holds"
    assert len(said) == 1
    assert sidecar.name in said[0]
    assert ("C2PA" in said[0]) == (kind == "signed")
    [found] = elsewhere.assets.import_([file])
    assert (found.record, found.match, found.version) == ("beside", "bytes", version)
    assert elsewhere.assets.get(found.asset) == data
    [same] = elsewhere.assets.import_([sidecar])
    assert (same.path, same.known) == (str(file), True), "its sidecar means the file"
    other = tmp_path / "written" / "other.png"
    other.write_bytes(encode(ramp(8, 8)))
    shutil.copy(sidecar, other.with_name("other.png.intaglio.json"))
    [refused] = elsewhere.assets.import_([other])
    assert (refused.code, refused.asset) == ("record.mismatch", "")
    assert "beside it" in refused.message


def test_LIN_1_a_record_too_large_for_the_file_is_beside_it_and_its_name_inside(
    out: Path, elsewhere: Studio, tmp_path: Path
) -> None:
    record = json.loads((out / "record.json").read_text())
    record["version"]["annotation"] = "".join(f"{zlib.crc32(str(n).encode())}" for n in range(120_000))
    record["digest"] = digest(from_plain(Version, record["version"]))
    folder = tmp_path / "large"
    shutil.copytree(out, folder)
    (folder / "record.json").write_text(json.dumps(record))
    with init(tmp_path / "large-library", Settings(author="Ada")) as library:
        version, _ = library.versions.import_(folder)
        library.versions.export(version, tmp_path / "written")
    claim = read_claim((tmp_path / "written" / "out.png").read_bytes())
    assert claim is not None
    assert (claim["version"], "record" in claim) == (version, False)
    [found] = elsewhere.assets.import_([tmp_path / "written" / "out.png"])
    assert (found.record, found.version) == ("beside", version)
    (tmp_path / "written" / "out.png.intaglio.json").unlink()
    with init(tmp_path / "third", Settings(author="Eve")) as third:
        [lost] = third.assets.import_([tmp_path / "written" / "out.png"])
        assert (lost.record, lost.version) == ("none", "")
        assert version in lost.note


def test_ING_3_a_video_alone_brings_its_version_and_plays_as_before(
    studio: Studio, elsewhere: Studio, tmp_path: Path
) -> None:
    (tmp_path / "reference.png").write_bytes(encode(ramp(32, 24)))
    grains = {f"g{number}": node("film-grain", "in", seed=number + 1, amount=0.2) for number in range(4)}
    clip = {"type": "frames-to-video", "inputs": {"frames": list(grains)}, "params": {"fps": 8}}
    first = {"in": node("reference-image", image="reference.png")}
    nodes = {**first, **grains, "clip": clip, "out": node("output", "clip")}
    task = studio.tasks.run(write(tmp_path / "film.json", "film", nodes), annotation="first cut")
    files = {path.name: path for path in studio.versions.export(task.version, tmp_path / "film")}
    file = files["out.mp4"]
    [found] = elsewhere.assets.import_([file])
    assert (found.record, found.match, found.version, found.media_type) == (
        "inside", "bytes", task.version, "video/mp4"
    )  # fmt: skip
    assert elsewhere.assets.show(found.asset) == studio.assets.show(found.asset), "its length is read from the file"
    assert elsewhere.assets.get(found.asset) == studio.assets.get(found.asset)
    seen = [
        [frame.image.digest for frame in frames(io.BytesIO(data))]
        for data in (file.read_bytes(), studio.assets.get(found.asset))
    ]
    assert len(seen[0]) == 4
    assert seen[0] == seen[1]
    changed = bytearray(file.read_bytes())
    changed[changed.index(b"mdat") + 40] ^= 1
    file.write_bytes(changed)
    [refused] = elsewhere.assets.import_([file])
    assert (refused.code, refused.asset) == ("record.mismatch", "")


# -- what a file turns out to be --------------------------------------------------------------------------------------


def test_ING_3_the_same_pixels_in_another_file_are_known(out: Path, elsewhere: Studio, tmp_path: Path) -> None:
    data = (out / "out.png").read_bytes()
    text = png.read_text(data, "intaglio")
    assert text is not None
    again = tmp_path / "again.png"
    with Pillow.open(io.BytesIO(data)) as opened:
        opened.load()
        opened.info.clear()
        buffer = io.BytesIO()
        opened.save(buffer, "PNG", compress_level=9)
    again.write_bytes(png.attach_text(buffer.getvalue(), "intaglio", text))
    [found] = elsewhere.assets.import_([again])
    assert (found.record, found.match, found.name) == ("inside", "pixels", "plain/v1-keeper")
    assert elsewhere.assets.get(found.asset) == again.read_bytes()


def test_ING_3_a_file_that_lost_its_record_is_kept_and_known_by_its_pixels_where_the_version_is(
    studio: Studio, out: Path, elsewhere: Studio, tmp_path: Path
) -> None:
    stripped = tmp_path / "stripped.webp"
    with Pillow.open(out / "out.png") as opened:
        opened.save(stripped, "WEBP", lossless=True)
    [here] = studio.assets.import_([stripped])
    assert (here.record, here.match, here.name, here.step) == ("none", "pixels", "plain/v1-keeper", "out")
    assert here.note == "no record inside"
    [there] = elsewhere.assets.import_([stripped])
    assert (there.record, there.version, there.note) == ("none", "", "no record inside")
    assert elsewhere.assets.get(there.asset) == stripped.read_bytes()
    assert elsewhere.versions.list() == []


def test_ING_3_a_file_that_was_added_with_its_record_inside_still_finds_its_version(studio: Studio, out: Path) -> None:
    studio.assets.add([out / "out.png"])
    assert studio.versions.find(out / "out.png")[1].label == "keeper"


def test_ING_3_a_file_written_before_records_were_inside_is_known_by_its_name(
    studio: Studio, out: Path, elsewhere: Studio, tmp_path: Path
) -> None:
    data = (out / "out.png").read_bytes()
    claim = read_claim(data)
    assert claim is not None
    short = {name: value for name, value in claim.items() if name not in ("record", "bytes")}
    old = tmp_path / "old.png"
    old.write_bytes(png.attach_text(without_claim(data), "intaglio", canonical(short).decode()))
    [here] = studio.assets.import_([old])
    assert (here.version, here.step, here.known) == (claim["version"], "out", True)
    [there] = elsewhere.assets.import_([old])
    assert there.version == ""
    assert claim["version"] in there.note


def test_LIN_1_an_exported_picture_that_is_used_again_is_the_output_it_was(
    studio: Studio, out: Path, tmp_path: Path
) -> None:
    made = studio.versions.find("keeper")[1].outputs[0].asset
    workflow = write(
        tmp_path / "again.json",
        "again",
        {
            "in": node("reference-image", image="out/out.png"),
            "grain": node("film-grain", "in", amount=0.1, seed=3),
            "end": node("output", "grain"),
        },
    )
    plan = studio.tasks.snapshot(studio.tasks.run(workflow).id).plan
    assert [asset.digest for step in plan.steps for asset in step.assets.values()] == [made]


# -- what does not belong together ------------------------------------------------------------------------------------


def forged(out: Path, change: Callable[[dict[str, Any]], object], pixels: Any = None) -> bytes:
    """A picture with the record of another, changed so that it claims to be its own."""
    data = (out / "out.png").read_bytes()
    claim = read_claim(data)
    assert claim is not None
    held = without_claim(data) if pixels is None else encode(pixels)
    claim = {name: value for name, value in claim.items() if name not in ("pixels", "bytes")}
    change(claim)
    return attach_claim(held, claim)


def test_ING_3_a_record_on_changed_pixels_is_refused_and_the_others_are_taken_in(
    out: Path, elsewhere: Studio, tmp_path: Path
) -> None:
    data = (out / "out.png").read_bytes()
    text = png.read_text(data, "intaglio")
    assert text is not None
    bad = tmp_path / "bad.png"
    bad.write_bytes(png.attach_text(encode(ramp(48, 32)), "intaglio", text))
    first, second = elsewhere.assets.import_([bad, out / "out.png"])
    assert (first.code, first.asset, first.version) == ("record.mismatch", "", "")
    assert "other pixels" in first.message
    assert "assets add" in first.hint
    assert second.name == "plain/v1-keeper"
    with pytest.raises(NotFound):
        elsewhere.assets.show(digest_bytes(bad.read_bytes()))


def other_version(claim: dict[str, Any]) -> None:
    claim["version"] = "blake3:" + "0" * 64


def other_output(claim: dict[str, Any]) -> None:
    claim["asset"] = "blake3:" + "1" * 64


def other_step(claim: dict[str, Any]) -> None:
    claim["step"] = "grain"


FORGED: dict[str, tuple[Callable[[dict[str, Any]], object], bool]] = {
    "a record bound anew to other pixels": (lambda claim: None, True),
    "the name of another version": (other_version, False),
    "an output the run did not make": (other_output, False),
    "a step the output did not come from": (other_step, False),
}


@pytest.mark.parametrize("what", FORGED)
def test_ING_3_a_forged_claim_is_refused_and_nothing_is_kept(
    what: str, out: Path, elsewhere: Studio, tmp_path: Path
) -> None:
    change, painted_over = FORGED[what]
    file = tmp_path / "forged.png"
    file.write_bytes(forged(out, change, ramp(48, 32) if painted_over else None))
    [found] = elsewhere.assets.import_([file])
    assert (found.code, found.asset) == ("record.mismatch", "")
    assert elsewhere.versions.list() == []
    assert elsewhere.tasks.list() == []


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "no record at all": lambda claim: claim.update(record=[1, 2]),
    "without a snapshot": lambda claim: claim["record"].pop("snapshot"),
    "path as step": lambda claim: claim["record"]["snapshot"]["plan"]["steps"][0].update(id="../x"),
    "path as task": lambda claim: claim["record"]["snapshot"].update(task="../../etc"),
    "newer format": lambda claim: claim["record"]["snapshot"].update(format=2),
    "more threads than there are": lambda claim: claim["record"]["snapshot"]["plan"].update(threads=4096),
    "text as output": lambda claim: claim["record"]["snapshot"].update(outputs="all"),
    "unknown field": lambda claim: claim["record"]["version"].update(colour="red"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_ING_3_a_record_inside_goes_through_the_same_checks_as_one_by_itself(
    what: str, out: Path, elsewhere: Studio, tmp_path: Path
) -> None:
    file = tmp_path / "hostile.png"
    file.write_bytes(forged(out, HOSTILE[what]))
    [found] = elsewhere.assets.import_([file])
    assert (found.asset, found.version) == ("", "")
    assert found.message
    assert elsewhere.versions.list() == []
    assert elsewhere.library.check().problems == ()


BODIES = {
    "a bomb": b"intaglio\0\1\0\0\0" + zlib.compress(b" " * 60_000_000, 9),
    "deep": b"intaglio\0\0\0\0\0" + b"[" * 1_000_000,
    "double keys": b'intaglio\0\0\0\0\0{"bytes":1,"bytes":2}',
    "cut off": b"intaglio\0\1\0\0\0" + zlib.compress(b"{}")[:-3],
    "no text": b"intaglio\0\0\0\0\0\xff\xfe",
    "no claim": b"intaglio\0\0\0\0\0[]",
}


@pytest.mark.parametrize("what", BODIES)
def test_ING_3_what_is_no_claim_is_refused_by_name(what: str, elsewhere: Studio, tmp_path: Path) -> None:
    data = encode(ramp(8, 8))
    file = tmp_path / "odd.png"
    file.write_bytes(data[:33] + build_chunk(b"iTXt", BODIES[what]) + data[33:])
    [found] = elsewhere.assets.import_([file])
    assert found.code in ("record.invalid", "image.invalid")
    assert found.asset == ""


def test_ING_3_a_record_that_was_altered_is_kept_as_such(out: Path, elsewhere: Studio, tmp_path: Path) -> None:
    def another_prompt(claim: dict[str, Any]) -> None:
        claim["record"]["snapshot"]["plan"]["steps"][1]["params"]["amount"] = 0.9

    file = tmp_path / "altered.png"
    file.write_bytes(forged(out, another_prompt))
    [found] = elsewhere.assets.import_([file])
    assert found.altered == ("the snapshot",)
    assert "record.altered" in {gap.code for gap in elsewhere.versions.grade("v1").gaps}


def test_ING_3_what_cannot_be_taken_in_is_named_and_the_rest_is_taken_in(
    out: Path, elsewhere: Studio, tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "dangling.png").symlink_to("nowhere")
    (folder / "folder.png").mkdir()
    (folder / "words.png").write_text("hello")
    (folder / "cut.png").write_bytes((out / "out.png").read_bytes()[:500])
    (folder / "broken.png").write_bytes(encode(ramp(8, 8)))
    (folder / "broken.png.intaglio.json").write_text('{"x":')
    files = sorted(path for path in folder.iterdir() if path.suffix == ".png")
    *refused, last = elsewhere.assets.import_([*files, out / "out.png"])
    assert {Path(one.path).stem: one.code for one in refused} == {
        "broken": "record.invalid",
        "cut": "image.invalid",
        "dangling": "not_found",
        "folder": "invalid",
        "words": "image.invalid",
    }
    assert all(one.message and one.hint and not one.asset for one in refused)
    assert last.name == "plain/v1-keeper"


# -- through the command ----------------------------------------------------------------------------------------------


def test_ING_3_the_command_says_of_each_file_what_it_is(
    out: Path, command: Command, tmp_path: Path, elsewhere: Studio
) -> None:
    bad = tmp_path / "bad.png"
    text = png.read_text((out / "out.png").read_bytes(), "intaglio")
    bad.write_bytes(png.attach_text(encode(ramp(48, 32)), "intaglio", str(text)))
    library = {"INTAGLIO_LIBRARY": str(elsewhere.root)}
    done = command("assets", "import", str(out / "out.png"), str(tmp_path / "reference.png"), **library)
    assert done.returncode == 0, done.stderr
    assert "plain/v1-keeper  new here" in done.stdout
    assert "out, byte for byte" in done.stdout
    assert "no record inside" in done.stdout
    refused = command("assets", "import", str(bad), str(out), str(out / "out.png"), "--json", **library)
    assert refused.returncode == 2
    assert [one["code"] for one in json.loads(refused.stdout)] == ["record.mismatch", "invalid", ""]
    missing = command("assets", "import", str(tmp_path / "nowhere.png"), **library)
    assert (missing.returncode, "nowhere.png" in missing.stderr) == (3, True)


def test_LIN_1_an_asset_is_written_with_its_record_when_it_is_of_one_version(
    studio: Studio, out: Path, plain_chain: Path, command: Command, tmp_path: Path
) -> None:
    asset = studio.versions.find("keeper")[1].outputs[0].asset
    file = tmp_path / "with.png"
    done = command("assets", "get", asset, "-o", str(file), "--with-record")
    assert done.returncode == 0, done.stderr
    assert file.read_bytes() == (out / "out.png").read_bytes()
    assert studio.assets.get(asset) == without_claim(file.read_bytes()), "without asking for it: the exact bytes"
    [reference] = (
        each.digest for step in studio.versions.snapshot("keeper").plan.steps for each in step.assets.values()
    )
    with pytest.raises(NotFound, match="version"):
        studio.assets.with_record(reference)
    seed = studio.versions.find("keeper")[1].seeds["grain"].value
    studio.tasks.run(plain_chain, set=[f"grain.seed={seed}"], label="twin", annotation="the same again")
    with pytest.raises(Conflict, match="plain/v2-twin, plain/v1-keeper"):
        studio.assets.with_record(asset)


def test_LIN_1_nothing_is_written_over(studio: Studio, out: Path) -> None:
    (out / "inputs").rename(out / "away")
    (out / "inputs").write_text("a file")
    with pytest.raises(Conflict, match="is a file"):
        studio.versions.export("keeper", out)
    assert (out / "inputs").read_text() == "a file"


def test_ING_3_several_outputs_each_bring_the_same_version(studio: Studio, elsewhere: Studio, tmp_path: Path) -> None:
    (tmp_path / "reference.png").write_bytes(encode(ramp(24, 16)))
    workflow = write(
        tmp_path / "two.json",
        "two",
        {
            "in": node("reference-image", image="reference.png"),
            "grain": node("film-grain", "in", amount=0.3),
            "small": node("output", "grain"),
            "big": node("upscale", "grain", factor=2),
            "out": node("output", "big"),
        },
    )
    task = studio.tasks.run(workflow, annotation="two of them")
    files = [path for path in studio.versions.export(task.version, tmp_path / "both") if path.parent.name == "both"]
    found = elsewhere.assets.import_([path for path in files if path.suffix == ".png"])
    assert sorted(one.step for one in found) == ["out", "small"]
    assert [one.known for one in found] == [False, True]
    assert {one.version for one in found} == {task.version}
