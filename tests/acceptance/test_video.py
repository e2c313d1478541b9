"""Videos: made of pictures, kept, brought back and compared."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intaglio.core.asset import Asset
from intaglio.core.context import Context
from intaglio.core.errors import BackendMissing, CannotReproduce, Invalid, InvalidImage, InvalidWorkflow, NodeFailed
from intaglio.core.nodetype import node_type
from intaglio.core.record import plain
from intaglio.core.snapshot import Snapshot
from intaglio.core.video import Video
from intaglio.imaging.arrays import to_array
from intaglio.imaging.decode import decode
from intaglio.imaging.encode_video import encoder_facts
from intaglio.imaging.frames import frames
from intaglio.imaging.png import encode
from intaglio.studio.open import Studio
from intaglio.studio.variations import VariationView

from .conftest import Command, node, ramp, write
from .plugin import installer


def film(path: Path, *, shots: int = 6, size: tuple[int, int] = (32, 24), after: Any = (), **params: object) -> Path:
    """A workflow: grain over one picture, several times, as frames of a clip."""
    (path / "reference.png").write_bytes(encode(ramp(*size)))
    grains = {f"g{number}": node("film-grain", "in", seed=100 + number, amount=0.2) for number in range(shots)}
    clip = {"type": "frames-to-video", "inputs": {"frames": list(grains)}, "params": params}
    nodes = {"in": node("reference-image", image="reference.png"), **grains, "clip": clip, **dict(after)}
    return write(path / "film.json", "film", {**nodes, "out": node("output", "clip")})


def output_of(studio: Studio, task: Any) -> str:
    """The digest of a task's one output."""
    return snapshot_of(studio, task).outputs[0].asset


def snapshot_of(studio: Studio, task: Any) -> Snapshot:
    """What a task left."""
    return studio.tasks.snapshot(task.id)


def test_RUN_2_a_clip_is_an_asset_with_its_frames_and_duration(studio: Studio, tmp_path: Path) -> None:
    task = studio.tasks.run(film(tmp_path, fps="12"))
    asset = studio.assets.show(output_of(studio, task))
    assert (asset.media_type, asset.width, asset.height, asset.pixels) == ("video/mp4", 32, 24, "")
    assert (asset.frames, asset.seconds) == (6, 0.5)
    shown = list(frames(io.BytesIO(studio.assets.get(asset.digest))))
    assert [frame.seconds for frame in shown] == pytest.approx([place / 12 for place in range(6)], abs=1e-6)


def test_RUN_2_frames_come_in_the_order_listed_and_lossless_keeps_every_pixel(studio: Studio, tmp_path: Path) -> None:
    task = studio.tasks.run(film(tmp_path, codec="h264-lossless"))
    results = {result.step: result.outputs for result in snapshot_of(studio, task).results}
    made = [studio._parts.assets.get(results[f"g{number}"]["image"]).pixels for number in range(6)]
    clip = studio.assets.get(output_of(studio, task))
    assert [frame.image.digest for frame in frames(io.BytesIO(clip))] == made


def test_RUN_2_a_batch_becomes_a_clip(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(encode(ramp(16, 16)))
    params = {"model": "scenes", "prompt": "sea", "steps": 1}
    base = {"type": "text-to-image", "params": params, "count": 3, "seed": 5}
    clip = {"type": "frames-to-video", "inputs": {"frames": "base"}, "params": {"fps": 3}}
    task = studio.tasks.run(write(tmp_path / "w.json", "batch", {"base": base, "clip": clip}))
    snapshot = snapshot_of(studio, task)
    assert [step.id for step in snapshot.plan.steps] == ["base[0]", "base[1]", "base[2]", "clip"]
    assert studio.assets.show(snapshot.outputs[0].asset).frames == 3


def test_RUN_2_reproducing_a_version_with_a_video_gives_the_same_bytes(studio: Studio, tmp_path: Path) -> None:
    task = studio.tasks.run(film(tmp_path), annotation="first cut")
    predicted = studio.versions.grade("film/v1")
    found = studio.versions.reproduce("film/v1")
    assert found.fidelity.verdict == "identical bytes"
    assert predicted.grade == "full"
    assert found.fidelity.outputs[0].stored == output_of(studio, task)


def test_RUN_2_what_encoded_a_video_is_recorded_where_one_was_made_and_nowhere_else(
    studio: Studio, tmp_path: Path, plain_chain: Path
) -> None:
    named = {"av", "av:libavcodec", "av:libavformat", "av:libavutil", "av:libx264"}
    with_video = snapshot_of(studio, studio.tasks.run(film(tmp_path))).environment
    without = snapshot_of(studio, studio.tasks.run(plain_chain)).environment
    assert named <= with_video.libraries.keys() and all(with_video.libraries[name] for name in named)
    assert not named & without.libraries.keys()


def test_RUN_2_another_encoder_lowers_the_grade(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import intaglio.engine.environment as surroundings

    studio.tasks.run(film(tmp_path), annotation="first cut")
    here = surroundings._encoder()
    monkeypatch.setattr(surroundings, "_encoder", lambda: {**here, "av:libx264": "999"})
    found = studio.versions.reproduce("film/v1")
    assert found.grade.grade == "approximate"
    assert [(gap.code, gap.subject) for gap in found.grade.gaps] == [("library.changed", "av:libx264")]
    assert found.fidelity.verdict == "identical bytes"


def test_RUN_2_without_pyav_nothing_is_begun(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BackendMissing, match="PyAV") as caught:
        studio.tasks.run(film(tmp_path))
    assert "intaglio[video]" in caught.value.hint
    assert studio.tasks.list() == []


def test_RUN_2_a_picture_node_that_is_fed_a_video_is_refused_before_any_work(studio: Studio, tmp_path: Path) -> None:
    after = {"big": node("upscale", "clip")}
    with pytest.raises(InvalidWorkflow, match="takes a picture, and clip gives a video"):
        studio.tasks.run(film(tmp_path, after=after))
    assert studio.tasks.list() == []


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"fps": 0}, "out of range"),
        ({"fps": "1/0"}, "divides by zero"),
        ({"codec": "gif"}, "is not one of: h264, h264-lossless"),
        ({"crf": 52}, "out of range"),
        ({"pixel_format": "rgb24"}, "is not one of"),
    ],
)
def test_RUN_2_settings_that_make_no_video_are_refused(
    studio: Studio, tmp_path: Path, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidWorkflow, match=message):
        studio.tasks.run(film(tmp_path, **params))


def test_RUN_2_an_odd_size_fails_its_node_with_the_way_out_and_the_frames_are_kept(
    studio: Studio, tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match="even sizes only") as caught:
        studio.tasks.run(film(tmp_path, size=(31, 24)))
    assert caught.value.step == "clip" and "32 x 24" in caught.value.hint
    view = studio.tasks.show(studio.tasks.list()[0].id)
    assert view.task.status == "failed" and view.task.error is not None and view.task.error.step == "clip"
    assert {record.step for record in view.steps} == {"in", *(f"g{number}" for number in range(6))}


def test_RUN_2_changing_one_frame_makes_only_that_frame_and_the_clip_anew(studio: Studio, tmp_path: Path) -> None:
    first = studio.tasks.run(film(tmp_path))
    second = studio.tasks.run(tmp_path / "film.json", set=["g2.seed=7"])
    records = {record.step: record for record in studio._parts.tasks.steps(second.id)}
    assert {step for step, record in records.items() if not record.reused_from} == {"g2", "clip", "out"}
    assert output_of(studio, first) != output_of(studio, second)


def test_RUN_2_a_record_that_wires_a_video_into_a_picture_node_fails_that_node(studio: Studio, tmp_path: Path) -> None:
    from intaglio.core.plan import Plan
    from intaglio.studio.carry_out import Watch, carry_out
    from intaglio.studio.queue import queue

    found = studio._parts.documents.get(Plan, studio.tasks.run(film(tmp_path)).plan)
    grade = replace(
        found.steps[-1], id="grade", node="grade", type="upscale", params={"factor": 2}, inputs=found.step("out").inputs
    )
    task, lock = queue(studio._parts, replace(found, steps=(*found.steps, grade)))
    with pytest.raises(NodeFailed, match="upscale takes image as its image, and got something else"):
        carry_out(studio._parts, task.id, lock, reuse="any", watch=Watch())


def test_RUN_2_the_workflow_with_its_list_is_shown_as_it_was_written(
    studio: Studio, tmp_path: Path, command: Command
) -> None:
    studio.tasks.run(film(tmp_path, shots=2))
    shown = json.loads(command("workflows", "show", "film", "--json").stdout)
    assert "frames" in json.dumps(shown)
    workflow, _ = studio.workflows.show("film")
    assert plain(workflow)["nodes"]["clip"]["inputs"] == {"frames": ["g0", "g1"]}


def shown(studio: Studio, digest: str) -> Any:
    """A stored picture."""
    return decode(studio.assets.get(digest))


def test_REP_4_clips_are_compared_frame_by_frame_and_the_worst_frame_is_shown(
    studio: Studio, tmp_path: Path, command: Command
) -> None:
    first = studio.tasks.run(film(tmp_path, fps=8))
    second = studio.tasks.run(tmp_path / "film.json", set=["g4.amount=0.9"])
    found = studio.tasks.diff(first.id, second.id)
    (output,) = found.outputs
    assert output.verdict == "different"
    assert output.note.startswith("worst frame 4 at 0.500 s; ")
    assert output.max_difference is not None and output.max_difference > 20
    assert output.ssim is not None and 0 < output.ssim < 0.95
    assert output.flip is not None and output.flip > 0 and output.psnr is not None
    heat, sheet = shown(studio, output.difference), shown(studio, output.sheet)
    assert (heat.width, heat.height) == (32, 24) and any(heat.data)
    assert sheet.width > 3 * 32
    told = command("tasks", "diff", first.id, second.id).stdout
    assert "worst frame 4 at 0.500 s" in told
    assert found.first_in_words.startswith("node g4: ") and "amount 0.2 -> 0.9" in found.first_in_words


def test_REP_4_one_pixel_of_one_frame_is_a_difference_with_its_numbers(studio: Studio, tmp_path: Path) -> None:
    first = studio.tasks.run(film(tmp_path, codec="h264-lossless"))
    dot = {"dot": {"type": "colour-grade", "inputs": {"image": "g3"}, "params": {"brightness": 1.01}}}
    path = film(tmp_path, codec="h264-lossless")
    document = json.loads(path.read_text())
    document["nodes"] |= dot
    document["nodes"]["clip"]["inputs"]["frames"][3] = "dot"
    path.write_text(json.dumps(document))
    second = studio.tasks.run(path)
    (output,) = studio.tasks.diff(first.id, second.id).outputs
    assert output.note == "worst frame 3 at 0.125 s; 5 of 6 frames identical"
    assert (output.verdict, output.same_pixels) == ("similar", False)
    assert output.max_difference is not None and 1 <= output.max_difference <= 3


def test_REP_4_another_file_of_the_same_pixels_is_identical_in_pixels(studio: Studio, tmp_path: Path) -> None:
    """The encoder searches otherwise, so that the bytes are others, and lossless keeps all pixels."""
    first = studio.tasks.run(film(tmp_path, codec="h264-lossless"))
    second = studio.tasks.run(tmp_path / "film.json", set=["clip.preset=ultrafast"])
    assert output_of(studio, first) != output_of(studio, second)
    found = studio.tasks.diff(first.id, second.id)
    assert found.verdict == "identical pixels"
    assert found.outputs[0].max_difference == 0 and found.outputs[0].difference == ""
    assert found.first_in_words == ""


def test_REP_4_clips_of_other_lengths_are_different_whatever_they_share(studio: Studio, tmp_path: Path) -> None:
    first = studio.tasks.run(film(tmp_path, codec="h264-lossless"))
    second = studio.tasks.run(film(tmp_path, shots=5, codec="h264-lossless"))
    (output,) = studio.tasks.diff(first.id, second.id).outputs
    assert output.verdict == "different"
    assert output.note == "5 of 5 frames identical; 6 frames became 5"


def test_REP_4_a_clip_at_another_rate_is_not_identical(studio: Studio, tmp_path: Path) -> None:
    first = studio.tasks.run(film(tmp_path, codec="h264-lossless"))
    second = studio.tasks.run(film(tmp_path, codec="h264-lossless", fps=12))
    (output,) = studio.tasks.diff(first.id, second.id).outputs
    assert (output.verdict, output.same_pixels) == ("similar", False)
    assert output.note == "6 of 6 frames identical; shown at other times"


def test_REP_4_a_reproduction_that_differs_names_the_frame(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import intaglio.imaging.encode_video as encoding

    studio.tasks.run(film(tmp_path), annotation="first cut")
    monkeypatch.setattr(encoding, "_FIXED", f"{encoding._FIXED}:deblock=-3,-3:me=dia")
    found = studio.versions.reproduce("film/v1")
    assert found.fidelity.verdict in ("similar", "different")
    assert found.fidelity.first_difference == "clip"
    assert "worst frame" in found.fidelity.outputs[0].note


def test_REP_4_a_reproduction_of_other_bytes_with_all_pixels_the_same_differs_nowhere(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import intaglio.imaging.encode_video as encoding

    studio.tasks.run(film(tmp_path, codec="h264-lossless"), annotation="first cut")
    monkeypatch.setattr(encoding, "_FIXED", f"{encoding._FIXED}:me=dia:subme=1")
    found = studio.versions.reproduce("film/v1").fidelity
    assert (found.verdict, found.first_difference, found.cause) == ("identical pixels", "", None)
    assert found.outputs[0].stored != found.outputs[0].produced


def test_REP_4_bisect_finds_the_frame_that_changed(studio: Studio, tmp_path: Path) -> None:
    first = studio.tasks.run(film(tmp_path))
    second = studio.tasks.run(tmp_path / "film.json", set=["g4.amount=0.9", "g1.seed=101"])
    found = studio.versions.bisect(first.id, second.id)
    assert found.verdict == "alone" and "g4.amount" in found.answer
    apart = [one.from_good for one in found.tries if one.like == "bad"]
    assert apart and all(one is not None and one.ssim is not None and (one.max_difference or 0) > 20 for one in apart)


def test_REP_4_bisect_takes_films_of_the_same_pixels_for_the_same(studio: Studio, tmp_path: Path) -> None:
    first = studio.tasks.run(film(tmp_path, codec="h264-lossless"))
    second = studio.tasks.run(tmp_path / "film.json", set=["clip.preset=ultrafast"])
    assert studio.versions.bisect(first.id, second.id).verdict == "same"


def test_REP_4_a_damaged_clip_is_missing_and_can_be_made_again(studio: Studio, tmp_path: Path) -> None:
    first = studio.tasks.run(film(tmp_path), annotation="first cut")
    digest = output_of(studio, first)
    path = studio._parts.blobs._path(digest)
    path.chmod(0o644)
    path.write_bytes(b"\0" * path.stat().st_size)
    problems = studio.library.check().problems
    assert [(found.kind, found.id, found.versions) for found in problems] == [("asset", digest, ("film/v1",))]
    (healing,) = studio.library.heal()
    assert (healing.outcome, healing.step) == ("healed", "clip")
    assert studio.library.check().problems == ()


def test_RUN_2_clips_are_kept_by_gc(studio: Studio, tmp_path: Path) -> None:
    digest = output_of(studio, studio.tasks.run(film(tmp_path)))
    assert studio.library.gc(dry_run=False, grace_seconds=-1).blobs == ()
    assert studio.assets.get(digest)


# -- clips that are brought in, and small pictures of them -----------------------------------------------------------


def clip_file(path: Path, container: str = "mp4", codec: str = "libx264", count: int = 5, **options: str) -> Path:
    """A clip that another tool wrote: a grey that gets lighter."""
    import av
    import numpy as np

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=10, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            pixels = np.full((48, 64, 3), 40 * number + 20, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode(None))
    path.write_bytes(buffer.getvalue())
    return path


@pytest.mark.parametrize(
    ("name", "container", "codec", "media_type"),
    [
        ("clip.mp4", "mp4", "libx264", "video/mp4"),
        ("clip.mov", "mov", "libx264", "video/quicktime"),
        ("clip.webm", "webm", "libvpx-vp9", "video/webm"),
        ("clip.mkv", "matroska", "ffv1", "video/x-matroska"),
        ("clip.txt", "mp4", "libx264", "video/mp4"),
    ],
)
def test_RUN_2_clips_are_brought_in_with_their_frames_and_duration(
    studio: Studio, tmp_path: Path, command: Command, name: str, container: str, codec: str, media_type: str
) -> None:
    path = clip_file(tmp_path / name, container, codec)
    (asset,) = studio.assets.add([path])
    assert (asset.media_type, asset.width, asset.height, asset.frames) == (media_type, 64, 48, 5)
    assert asset.seconds == pytest.approx(0.5, abs=0.002) and asset.pixels == ""
    assert studio.assets.get(asset.digest) == path.read_bytes()
    assert studio.assets.add([path]) == [asset] == [studio.assets.show(str(path))]
    words = command("assets", "show", asset.digest).stdout
    assert "video    64 x 48" in words and "frames   5" in words and "lasts    0.500 s" in words
    assert "64x48, 5 frames, 0.500 s" in command("assets", "add", str(path)).stdout


@pytest.mark.parametrize("spoilt", ["cut", "empty", "no frames", "text"])
def test_RUN_2_a_broken_clip_is_refused_and_nothing_is_kept(
    studio: Studio, tmp_path: Path, command: Command, spoilt: str
) -> None:
    path = clip_file(tmp_path / "clip.mp4")
    whole = path.read_bytes()
    text = whole[:8] + b"mp42" + b"nonsense" * 99
    path.write_bytes({"cut": whole[:-50], "empty": b"", "no frames": whole[:32], "text": text}[spoilt])
    done = command("assets", "add", str(path))
    assert done.returncode == 2 and "clip.mp4" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert studio.library.check().blobs == 0


def test_RUN_2_a_clip_is_no_reference_picture(studio: Studio, tmp_path: Path) -> None:
    clip_file(tmp_path / "clip.mp4")
    with pytest.raises(InvalidImage, match=r"clip\.mp4 is a video, and a picture is wanted"):
        studio.tasks.run(write(tmp_path / "w.json", "w", {"in": node("reference-image", image="clip.mp4")}))


def test_RUN_2_a_thumbnail_is_the_first_frame_or_a_strip(studio: Studio, tmp_path: Path, command: Command) -> None:
    path = clip_file(tmp_path / "clip.mp4")
    (asset,) = studio.assets.add([path])
    first = decode(studio.assets.thumbnail(asset.digest, size=32))
    assert (first.width, first.height) == (32, 24)
    assert abs(first.data[0] - 20) <= 3
    done = command("assets", "thumbnail", asset.digest, "-o", str(tmp_path / "t.png"), "--size", "32", "--frames", "3")
    assert done.returncode == 0, done.stderr
    film = to_array(decode((tmp_path / "t.png").read_bytes()))
    assert film.shape == (24, 3 * 32 + 2 * 4, 3)
    assert [round(int(film[12, 16 + 36 * place, 0]), -1) for place in range(3)] == [20, 100, 180], "first, middle, last"
    again = command("assets", "thumbnail", asset.digest, "-o", str(tmp_path / "t.png"))
    assert again.returncode == 2 and "is there already" in again.stderr


def test_RUN_2_a_strip_has_no_more_frames_than_there_are(studio: Studio, tmp_path: Path) -> None:
    (asset,) = studio.assets.add([clip_file(tmp_path / "clip.mp4", count=2)])
    assert decode(studio.assets.thumbnail(asset.digest, size=32, frames=9)).width == 2 * 32 + 4


def test_RUN_2_a_thumbnail_of_a_picture_keeps_its_transparency_and_is_turned_as_it_says(
    studio: Studio, tmp_path: Path
) -> None:
    from PIL import Image as Pillow

    glass = Pillow.new("RGBA", (600, 300), (10, 20, 30, 128))
    glass.save(tmp_path / "glass.png")
    turned, exif = Pillow.new("RGB", (600, 300), (200, 0, 0)), Pillow.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    clear, upright = (
        decode(studio.assets.thumbnail(studio.assets.add([tmp_path / name])[0].digest, size=100, frames=4))
        for name in ("glass.png", "turned.jpg")
    )
    assert (clear.mode, clear.width, clear.height, clear.data[3]) == ("RGBA", 100, 50, 128)
    assert (upright.width, upright.height) == (50, 100)


@pytest.mark.parametrize(("size", "frames_"), [(0, 1), (15, 1), (4096, 1), (256, 0), (256, 65), (2048, 64)])
def test_RUN_2_thumbnails_of_no_size_or_number_are_refused(
    studio: Studio, tmp_path: Path, size: int, frames_: int
) -> None:
    (asset,) = studio.assets.add([clip_file(tmp_path / "clip.mp4")])
    with pytest.raises(Invalid, match=r"frames|pixels"):
        studio.assets.thumbnail(asset.digest, size=size, frames=frames_)


def test_RUN_2_what_a_library_says_of_its_clips_is_what_is_in_them(studio: Studio, tmp_path: Path) -> None:
    """What was recorded when a clip was made is what measuring its file tells."""
    from intaglio.imaging.frames import clip_info

    asset = studio.assets.show(output_of(studio, studio.tasks.run(film(tmp_path, fps="30000/1001"))))
    found = clip_info(io.BytesIO(studio.assets.get(asset.digest)))
    assert (found.media_type, found.frames, found.width, found.height) == ("video/mp4", 6, 32, 24)
    assert found.seconds == pytest.approx(asset.seconds, rel=1e-9)


# -- what else meets a video -------------------------------------------------------------------------------------------


def test_RUN_2_without_pyav_a_version_with_a_video_is_graded_partial_and_nothing_runs(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import intaglio.engine.environment as surroundings

    studio.tasks.run(film(tmp_path), annotation="first cut")
    before = len(studio.tasks.list())
    monkeypatch.setattr(surroundings, "_encoder", encoder_facts.__wrapped__)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(CannotReproduce) as caught:
        studio.versions.reproduce("film/v1")
    (gap,) = caught.value.grade.gaps  # type: ignore[attr-defined]
    assert (gap.code, gap.subject) == ("library.missing", "av")
    assert gap.remedy.startswith("Install it with: pip install av==")
    assert len(studio.tasks.list()) == before


@node_type("slower", version=1)
def slower(ctx: Context, video: Video) -> Video:
    """Show a clip for twice as long: a video node of a third party."""
    return replace(video, data=video.data + b"\0\0\0\x08free", seconds=2 * video.seconds)


@pytest.mark.parametrize("lost", ["clip", "slow"])
def test_REP_4_a_video_made_of_a_video_can_be_made_again(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    installer(monkeypatch)(slower)
    slow = {"type": "slower", "inputs": {"video": "clip"}}
    path = film(tmp_path, after={"slow": slow, "shown": node("output", "slow")})
    task = studio.tasks.run(path, annotation="slow motion")
    made = {result.step: next(iter(result.outputs.values())) for result in snapshot_of(studio, task).results}
    assert studio.assets.show(made["slow"]).seconds == 2 * studio.assets.show(made["clip"]).seconds
    studio._parts.blobs._path(made[lost]).unlink()
    (healing,) = studio.library.heal()
    assert (healing.outcome, healing.step) == ("healed", lost), healing
    assert studio.versions.reproduce("film/v1").fidelity.verdict == "identical bytes"


def test_RUN_2_a_record_that_says_nonsense_of_a_clip_is_no_traceback(studio: Studio, tmp_path: Path) -> None:
    from intaglio.studio.carry_out import load

    parts = studio._parts
    data = clip_file(tmp_path / "clip.mp4").read_bytes()
    digest = parts.blobs.put(data)
    parts.assets.add(Asset(digest=digest, size=len(data), media_type="video/mp4", width=64, height=48))
    with pytest.raises(InvalidImage, match="makes no sense"):
        load(parts, digest)


def test_VAR_1_a_sweep_over_a_clip_shows_its_first_frames(studio: Studio, tmp_path: Path) -> None:
    studio.tasks.run(film(tmp_path, size=(64, 48)), annotation="first cut")
    made = studio.variations.sweep("film/v1", set=["clip.crf=30,51"])
    assert isinstance(made, VariationView) and all(run.done for run in made.runs)
    sheet = next(remark.value for remark in made.remarks if remark.what == "sheet")
    shown_ = to_array(decode(studio.assets.get(sheet)))
    blue_green = (shown_[..., 2].astype(int) - shown_[..., 0] > 40).sum()
    assert blue_green > 500, "the colours of the frames, which paper and letters have not"
