"""REP 4: any two pictures or clips held against each other, in words, in numbers and as pictures."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acceptance.conftest import Command, ramp
from PIL import Image as Pillow
from unit.imaging.clips import animated, changed, exact, h264, moving
from unit.imaging.samples import raw_png

from intaglio.cli.main import main
from intaglio.core.errors import Conflict
from intaglio.imaging.adjust import film_grain
from intaglio.imaging.arrays import to_array
from intaglio.imaging.decode import decode
from intaglio.imaging.metrics import compare, difference_picture
from intaglio.imaging.phash import distance, phash
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings

SHEET = Path(__file__).resolve().parents[2] / "models" / "contact_sheet.png"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A new library; nothing here needs a model."""
    with init(tmp_path / "studio", Settings(author="Ada")) as opened:
        yield opened


@pytest.fixture
def command(studio: Studio, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """The `intaglio` command in this process; what decoders written in C say is seen too."""
    monkeypatch.setenv("INTAGLIO_LIBRARY", str(studio.root))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = main(arguments)
        said = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A picture of the bundled model, and others near it and far from it."""
    sheet = Pillow.open(io.BytesIO(SHEET.read_bytes())).convert("RGB")
    boat, other = (sheet.crop((x, 264, x + 128, 392)) for x in (432, 696))
    boat.save(tmp_path / "boat.png")
    boat.save(tmp_path / "packed.png", optimize=True)
    boat.save(tmp_path / "boat.jpg", quality=95, subsampling=0)
    boat.resize((64, 64)).save(tmp_path / "small.webp", lossless=True)
    boat.convert("RGBA").save(tmp_path / "clear.png")
    other.save(tmp_path / "other.png")
    return tmp_path


def held(command: Command, *words: object) -> tuple[int, dict[str, Any]]:
    """The exit code of a comparison, and what it said."""
    done = command("assets", "compare", *map(str, words), "--json")
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_REP_4_the_verdict_and_the_exit_code(command: Command, pictures: Path) -> None:
    boat = pictures / "boat.png"
    for name, verdict, code in (
        ("boat.png", "identical bytes", 0),
        ("packed.png", "identical pixels", 0),
        ("boat.jpg", "similar", 10),
        ("other.png", "different", 10),
        ("small.webp", "different", 10),
        ("clear.png", "similar", 10),
    ):
        returned, found = held(command, boat, pictures / name)
        assert (returned, found["verdict"]) == (code, verdict), name
        assert found["same_pixels"] == (code == 0)


def test_REP_4_the_numbers_are_those_of_the_pictures(command: Command, pictures: Path) -> None:
    _, found = held(command, pictures / "boat.png", pictures / "boat.jpg")
    old, new = (decode((pictures / name).read_bytes()) for name in ("boat.png", "boat.jpg"))
    expected = compare(old, new)
    assert found["difference"] == vars(expected)
    assert expected.flip is not None and expected.flip > 0, "FLIP is installed where the tests run"
    assert found["phash_distance"] == distance(phash(old), phash(new)) <= 2
    assert (found["a"]["phash"], found["b"]["phash"]) == (phash(old), phash(new))
    assert held(command, pictures / "boat.png", pictures / "other.png")[1]["phash_distance"] >= 12


def test_REP_4_in_words(command: Command, pictures: Path) -> None:
    done = command("assets", "compare", str(pictures / "boat.png"), str(pictures / "other.png"))
    assert done.returncode == 10
    for word in (
        "different",
        "128 x 128",
        "largest difference",
        "changed pixels",
        "PSNR",
        "SSIM",
        "FLIP",
        "of 64 bits",
    ):
        assert word in done.stdout


def test_REP_4_assets_are_named_by_digest_or_its_beginning(studio: Studio, command: Command, pictures: Path) -> None:
    boat, other = studio.assets.add([pictures / "boat.png", pictures / "other.png"])
    assert held(command, boat.digest, pictures / "packed.png")[0] == 0
    code, found = held(command, boat.address, other.digest.removeprefix("blake3:")[:16])
    assert (code, found["b"]["digest"]) == (10, other.digest)


def test_REP_4_pictures_of_other_sizes_and_modes_say_so(command: Command, pictures: Path) -> None:
    _, found = held(command, pictures / "boat.png", pictures / "small.webp")
    assert found["difference"] is None
    assert found["phash_distance"] <= 2
    assert "128 x 128 pixels" in found["notes"][0] and "64 x 64" in found["notes"][0]
    _, found = held(command, pictures / "boat.png", pictures / "clear.png")
    assert found["difference"]["max_difference"] == 0
    assert found["notes"][0].endswith("clear.png RGBA; every pixel looks the same")


def test_REP_4_pictures_of_16_bits_are_not_called_identical_by_8(command: Command, tmp_path: Path) -> None:
    for name, low in (("one.png", 1), ("two.png", 2)):
        (tmp_path / name).write_bytes(raw_png(2, 1, 16, 0, bytes([0, 77, low, 77, low])))
    code, found = held(command, tmp_path / "one.png", tmp_path / "two.png")
    assert (code, found["verdict"], found["difference"]["max_difference"]) == (10, "similar", 0)
    assert found["notes"] == ["of more than 8 bits a channel the upper 8 were compared"]
    assert held(command, tmp_path / "one.png", tmp_path / "one.png")[0] == 0


def test_REP_4_a_heat_map_and_a_sheet_are_written(command: Command, pictures: Path) -> None:
    folder = pictures / "out" / "deep"
    words = (pictures / "boat.png", pictures / "boat.jpg", "--to", folder)
    _, found = held(command, *words)
    assert found["written"] == [str(folder / "comparison.png"), str(folder / "difference.png")]
    old, new = (decode((pictures / name).read_bytes()) for name in ("boat.png", "boat.jpg"))
    assert decode((folder / "difference.png").read_bytes()) == difference_picture(old, new)
    sheet = to_array(decode((folder / "comparison.png").read_bytes()))
    assert (sheet[94:606, 36:548] == to_array(old).repeat(4, axis=0).repeat(4, axis=1)).all()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert held(command, *words)[0] == 10
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before, "the same bytes each time"


def test_REP_4_nothing_of_other_content_is_written_over(studio: Studio, pictures: Path) -> None:
    folder = pictures / "out"
    folder.mkdir()
    (folder / "comparison.png").write_text("mine")
    for target in (folder, pictures / "boat.png"):
        with pytest.raises(Conflict):
            studio.assets.compare(pictures / "boat.png", pictures / "boat.jpg", to=target)
    assert [path.name for path in folder.iterdir()] == ["comparison.png"]
    assert (folder / "comparison.png").read_text() == "mine"
    assert decode((pictures / "boat.png").read_bytes()).width == 128


def test_REP_4_the_worst_frame_of_a_clip_is_named(command: Command, tmp_path: Path) -> None:
    frames = moving()
    (tmp_path / "one.mp4").write_bytes(h264(frames))
    (tmp_path / "two.mp4").write_bytes(h264(changed(frames, 4)))
    code, found = held(command, tmp_path / "one.mp4", tmp_path / "two.mp4", "--to", tmp_path / "out")
    assert (code, found["a"]["frames"], found["b"]["frames"], found["difference"]) == (10, 6, 6, None)
    worst = found["clip"]["worst"]
    assert (worst["index"], worst["seconds"]) == (4, pytest.approx(0.4))
    assert worst["difference"]["flip"] > 0
    assert worst["difference"]["ssim"] == found["clip"]["lowest_ssim"]
    heat = to_array(decode((tmp_path / "out" / "difference.png").read_bytes()))
    assert heat[30:40, 20:40].mean() > 5 * heat[:20, 40:].mean(), "the heat is where that frame was changed"
    said = command("assets", "compare", str(tmp_path / "one.mp4"), str(tmp_path / "two.mp4")).stdout
    assert "4, at 0.400 s" in said


def test_REP_4_the_same_frames_in_other_containers_are_identical_pixels(command: Command, tmp_path: Path) -> None:
    frames = moving()
    (tmp_path / "film.mkv").write_bytes(exact(frames))
    (tmp_path / "film.png").write_bytes(animated(frames, "PNG"))
    (tmp_path / "film.webp").write_bytes(animated(frames, "WEBP"))
    for name in ("film.png", "film.webp"):
        code, found = held(command, tmp_path / "film.mkv", tmp_path / name)
        assert (code, found["verdict"], found["clip"]["identical"]) == (0, "identical pixels", 6), name
    assert held(command, tmp_path / "film.mkv", tmp_path / "film.mkv")[1]["verdict"] == "identical bytes"


def test_REP_4_clips_of_other_lengths_and_sizes_say_so(command: Command, tmp_path: Path) -> None:
    frames = moving()
    small = [film_grain(ramp(32, 32), amount=0.1, seed=number) for number in range(6)]
    for name, data in (("long", exact(frames)), ("short", exact(frames[:4])), ("small", exact(small))):
        (tmp_path / name).write_bytes(data)
    code, found = held(command, tmp_path / "long", tmp_path / "short", "--to", tmp_path / "out")
    assert (code, found["verdict"], found["clip"]["identical"]) == (10, "different", 4)
    assert found["notes"][0].startswith("frames: 6 in ")
    code, found = held(command, tmp_path / "long", tmp_path / "small")
    assert (code, found["verdict"], found["clip"]["other_sizes"]) == (10, "different", 6)
    assert "32 x 32" in found["notes"][0]
    code, found = held(command, tmp_path / "short", tmp_path / "small", "--to", tmp_path / "sizes")
    assert [Path(name).name for name in found["written"]] == ["comparison.png"], "no heat map for two sizes"


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("nothing.png", 3, "no asset 'nothing.png'"),
        ("words.png", 2, "words.png: this is not a PNG, JPEG, WebP or GIF picture, nor an MP4, WebM or MKV video"),
        ("empty.png", 2, "empty.png: the file is empty"),
        ("cut.png", 2, "cut.png: the picture is cut off after"),
        ("cut.mp4", 2, "cut.mp4: the video is cut off"),
        ("bomb.png", 2, "bomb.png: 60000 x 60000 pixels is more than the limit of 100 megapixels"),
        ("folder.png", 2, "folder.png is not a file"),
        ("pipe.png", 2, "pipe.png is not a file"),
        ("loop.png", 2, "loop.png is a link, not a file"),
        ("dangling.png", 3, "dangling.png"),
        ("", 3, "no asset ''"),
    ],
)
def test_REP_4_bad_input_is_named_with_a_way_out(
    command: Command, pictures: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int, words: str
) -> None:
    monkeypatch.chdir(pictures)
    whole, film = (pictures / "boat.png").read_bytes(), h264(moving())
    Path("words.png").write_text("these are words")
    Path("empty.png").touch()
    Path("cut.png").write_bytes(whole[: len(whole) // 2])
    Path("cut.mp4").write_bytes(film[: len(film) // 2])
    Path("bomb.png").write_bytes(raw_png(60_000, 60_000, 8, 2, b""))
    Path("folder.png").mkdir()
    os.mkfifo("pipe.png")
    Path("loop.png").symlink_to("loop.png")
    Path("dangling.png").symlink_to("not-there.png")
    for order in ((name, "boat.png"), ("boat.png", name)):
        done = command("assets", "compare", *order, "--to", "out")
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) >= 2, "there is a way out"
    assert not Path("out").exists()


def test_REP_4_comparing_leaves_the_library_as_it_was(studio: Studio, pictures: Path) -> None:
    studio.assets.add([pictures / "boat.png"])

    def blobs() -> list[Path]:
        return sorted((studio.root / "blobs").rglob("*"))

    before = blobs()
    (pictures / "grainy.png").write_bytes(encode(film_grain(ramp(40, 30), amount=0.2, seed=1)))
    studio.assets.compare(str(pictures / "boat.png"), str(pictures / "grainy.png"), to=pictures / "out")
    assert blobs() == before
