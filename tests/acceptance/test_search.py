"""VER 7: versions are found by what is known of them, by their files, and by what only looks like their files."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from acceptance.conftest import Command, node, write
from PIL import Image as Pillow
from PIL import ImageDraw

from intaglio.core.errors import Invalid, InvalidImage, NotFound, OnlySimilar
from intaglio.studio.open import Studio


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A picture with something in it."""
    picture = Pillow.new("RGB", (320, 240), (30, 60, 120))
    draw = ImageDraw.Draw(picture)
    for row in range(240):
        draw.line((0, row, 320, row), fill=(30 + row // 2, 60 + row // 3, 160 - row // 2))
    draw.ellipse((180, 30, 260, 110), fill=(250, 200, 90))
    draw.polygon(((20, 230), (110, 90), (200, 230)), fill=(20, 40, 30))
    path = tmp_path / "scene.png"
    picture.save(path)
    return path


@pytest.fixture
def poster(tmp_path: Path, scene: Path) -> Path:
    """A workflow without a model, that draws and ends in an output."""
    nodes = {
        "in": node("reference-image", image=scene.name),
        "grain": node("film-grain", "in", amount=0.1),
        "out": node("output", "grain"),
    }
    return write(tmp_path / "poster.json", "poster", nodes)


def saved(studio: Studio, workflow: Path, annotation: str, *settings: str, label: str = "") -> str:
    """A run that is kept as a version; its digest."""
    task = studio.tasks.run(workflow, set=settings)
    return studio.versions.save(task.id, annotation=annotation, label=label)[0]


def named(studio: Studio, query: str, **more: object) -> list[str]:
    return [found.name for _, found in studio.versions.search(query, **more)]  # type: ignore[arg-type]


def test_VER_7_search_by_what_a_record_says(studio: Studio, poster: Path) -> None:
    saved(studio, poster, "at the blue hour", "grain.amount=0.1", "grain.seed=42", label="warm dusk")
    saved(studio, poster, "hour of the blue whale", "grain.amount=0.2", "grain.seed=43")
    third = saved(studio, poster, "Café in the rain", "grain.amount=0.3", "grain.seed=18446744073709551615")
    task = studio.versions.find("v2")[1].task
    expected = {
        '"blue hour"': ["v1-warm-dusk"],
        "blue hour": ["v2", "v1-warm-dusk"],
        "cafe": ["v3"],
        "wha*": ["v2"],
        "amount>0.1": ["v3", "v2"],
        "grain.amount<=0.2": ["v2", "v1-warm-dusk"],
        "amount:0.2": ["v2"],
        "seed:42": ["v1-warm-dusk"],
        "grain.seed:18446744073709551615": ["v3"],
        "seed>=43": ["v3", "v2"],
        "label:warm*": ["v1-warm-dusk"],
        "branch:post*": ["v3", "v2", "v1-warm-dusk"],
        "by:ada -label:*": ["v3", "v2"],
        f"task:{task}": ["v2"],
        f"task:{task[:4]}": ["v3", "v2", "v1-warm-dusk"],
        f"version:{third[7:15]}": ["v3"],
        "version:v1": ["v1-warm-dusk"],
        "after:2020": ["v3", "v2", "v1-warm-dusk"],
        "before:2020": [],
        "whale OR cafe": ["v3", "v2"],
        "monochrome:true -whale": ["v3", "v1-warm-dusk"],
        "": ["v3", "v2", "v1-warm-dusk"],
    }
    assert {query: named(studio, query) for query in expected} == expected
    assert named(studio, "hour", limit=1) == ["v2"]
    assert named(studio, "hour", before=studio.versions.find("v2")[0]) == ["v1-warm-dusk"]
    assert named(studio, "hour", workflow="other") == []


def test_VER_7_search_by_model_name_or_any_hash(studio: Studio, tmp_path: Path) -> None:
    painted = {
        "base": node("text-to-image", model="scenes", prompt="a red house", steps=1),
        "out": node("output", "base"),
    }
    saved(studio, write(tmp_path / "p.json", "painted", painted), "one", "base.guidance=7.5")
    model, _ = studio.models.list()[0]
    digest = model.digest.removeprefix("blake3:")
    part = next(part.digest for part in model.files).removeprefix("blake3:")
    hashes = (f"model:{digest[:10]}", f"model:blake3:{part[:12]}", f"model:{part}")
    names = ("model:scenes", "model:scen*", f"model:scenes:{model.version}")
    for query in (*hashes, *names, "cfg>7", "base.cfg:7.5", "sampler:*", "red house", 'prompt:"red house"'):
        assert named(studio, query) == ["v1"], query
    for query in ("model:scene", "model:other*", "model:0123456789", "cfg<7", "-model:scenes", "house red -red"):
        assert named(studio, query) == [], query


def test_VER_7_search_by_what_was_said_and_measured_since(studio: Studio, poster: Path, command: Command) -> None:
    first = saved(studio, poster, "one", "grain.seed=1")
    second = saved(studio, poster, "two", "grain.seed=2")
    studio.versions.tag(first, ["hero"])
    studio.versions.comment(first, "the client loves the moon")
    studio.versions.annotate(second, "printed in June")
    studio.versions.reject(second)
    for query, expected in (("tag:hero", ["v1"]), ("moon", ["v1"]), ("printed", ["v2"]), ("rejected", ["v2"]),
                            ("-rejected", ["v1"]), ("reproduced:never", ["v2", "v1"]), ("approved", [])):  # fmt: skip
        assert named(studio, query) == expected, query
    studio.versions.tag(first, ["hero"], holds=False)
    studio.versions.reject(second, holds=False)
    studio.versions.approve(first, note="signed off")
    studio.versions.reproduce(second)
    for query, expected in (("tag:hero", []), ("rejected", []), ("approved", ["v1"]), ("grade:full", ["v2"]),
                            ("reproduced:identical", ["v2"]), ("reproduced:never", ["v1"])):  # fmt: skip
        assert named(studio, query) == expected, query
    studio.workflows.archive("poster", note="not chosen")
    assert named(studio, "archived") == ["v2", "v1"]
    studio.workflows.revive("poster")
    assert named(studio, "archived") == []
    assert studio.library.check().problems == ()
    done = command("versions", "list", "approved", "seed:1", "--json")
    assert [(each["version"]["number"], each["standing"]["approval"]) for each in json.loads(done.stdout)] == [
        (1, "approved")
    ]
    assert "approved" in command("versions", "list", "one").stdout


def test_VER_7_what_cannot_be_meant_is_said(studio: Studio, poster: Path, command: Command) -> None:
    assert named(studio, "anything>3") == []  # an empty library says nothing of names
    saved(studio, poster, "one")
    assert named(studio, "cfg>7") == []  # a parameter of nodes that are not used here
    for query, said in (("amunt>3", "amount"), ("grain.amont>3", "grain.amount"), ("cfg>much", "cfg>7"),
                        ("after:june", "2026-06"), ("grade:best", "approximate")):  # fmt: skip
        with pytest.raises(Invalid) as refused:
            studio.versions.search(query)
        assert query in str(refused.value)
        assert said.split(".")[-1] in refused.value.hint
    with pytest.raises(Invalid):
        studio.versions.search("one", limit=0)
    done = command("versions", "list", "amunt>3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean amount?" in done.stderr


def chat(picture: bytes, *, quality: int, scale: float) -> bytes:
    """What a chat makes of a picture: stripped, resized, recompressed."""
    with Pillow.open(io.BytesIO(picture)) as opened:
        small = opened.convert("RGB").resize((round(opened.width * scale), round(opened.height * scale)))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=quality)
    return data.getvalue()


def test_VER_7_a_picture_from_a_chat_finds_its_recipe(
    studio: Studio, poster: Path, tmp_path: Path, command: Command
) -> None:
    wanted = saved(studio, poster, "one", "grain.seed=1", label="warm")
    output = studio.versions.find(wanted)[1].outputs[0].asset
    sent = tmp_path / "IMG-0042.jpg"
    sent.write_bytes(chat(studio.assets.get(output), quality=60, scale=0.7))
    found = studio.versions.matches(sent)
    assert [(match.digest, match.how) for match in found.found] == [(wanted, "similar")]
    assert found.waiting == 0
    assert 0 <= found.found[0].bits <= 8
    for act in (studio.versions.find, studio.versions.reproduce, studio.versions.approve, studio.versions.grade):
        with pytest.raises(OnlySimilar, match=r"only similar: poster/v1-warm \(\d+ of 64 bits differ\)"):
            act(sent)
    assert studio.versions.history(wanted) == []
    exact = tmp_path / "exact.png"
    exact.write_bytes(studio.assets.get(output))
    assert [(each.digest, each.how, each.bits) for each in studio.versions.matches(exact).found] == [
        (wanted, "exact", 0)
    ]
    done = command("versions", "find", str(sent))
    assert done.returncode == 0
    assert "similar  poster/v1-warm" in done.stdout
    assert "bits differ" in done.stdout
    assert "its own" in command("versions", "find", str(exact)).stdout
    assert command("versions", "reproduce", str(sent)).returncode == 3


def test_VER_7_a_stranger_is_not_taken_for_a_version(
    studio: Studio, poster: Path, tmp_path: Path, command: Command
) -> None:
    saved(studio, poster, "one")
    stranger = Pillow.effect_noise((200, 200), 90)
    stranger.save(tmp_path / "stranger.png")
    Pillow.new("RGB", (64, 64), (9, 9, 9)).save(tmp_path / "flat.png")
    for name in ("stranger.png", "flat.png"):
        assert studio.versions.matches(tmp_path / name).found == ()
        with pytest.raises(NotFound, match="no version"):
            studio.versions.find(tmp_path / name)
    (tmp_path / "text.txt").write_text("no picture")
    with pytest.raises(InvalidImage):
        studio.versions.matches(tmp_path / "text.txt")
    with pytest.raises(NotFound):
        studio.versions.matches(tmp_path / "nowhere.png")
    assert "no version has this picture" in command("versions", "find", str(tmp_path / "flat.png")).stdout


def test_VER_7_a_file_means_the_version_that_was_made_not_the_one_that_goes_back_to_it(
    studio: Studio, poster: Path, tmp_path: Path
) -> None:
    first = saved(studio, poster, "one", "grain.seed=1")
    saved(studio, poster, "two", "grain.seed=2")
    back, _ = studio.versions.roll_back(first, annotation="as it was")
    record = studio.versions.find(first)[1]
    (tmp_path / "one.png").write_bytes(studio.assets.get(record.outputs[0].asset))
    assert studio.versions.find(back)[1].restores == first
    for reference in (tmp_path / "one.png", record.snapshot, record.snapshot[:20], record.task):
        assert studio.versions.find(reference)[0] == first
    assert studio.versions.find("v3")[0] == back
    found = studio.versions.matches(tmp_path / "one.png").found
    assert [(match.how, match.digest) for match in found if match.digest in (first, back)] == [("exact", first)]


def test_VER_7_a_search_that_was_spoilt_is_told_and_mended(studio: Studio, poster: Path, command: Command) -> None:
    from intaglio.store.schema import picture_hashes, search_words

    saved(studio, poster, "one")
    with studio._parts.database.write() as connection:
        connection.execute(search_words.delete().where(search_words.c.word == "one"))
        connection.execute(picture_hashes.insert().values(asset="blake3:" + "0" * 64, hash="0" * 16, seal="?"))
    assert named(studio, "one") == []
    checked = command("library", "check")
    assert checked.returncode != 0
    assert "is not found by said 'one'" in checked.stdout + checked.stderr
    assert "its perceptual hash is damaged" in checked.stdout + checked.stderr
    assert "versions reindex" in checked.stdout + checked.stderr
    assert "1 version can be found again" in command("versions", "reindex").stdout
    assert named(studio, "one") == ["v1"]
    assert studio.library.check().problems == ()


def test_VER_7_of_what_looks_alike_the_one_of_its_colours_comes_first(
    studio: Studio, poster: Path, tmp_path: Path
) -> None:
    """A perceptual hash knows no colours: a black and white grade has the same as the picture it was made from."""
    document = json.loads(poster.read_text())
    document["nodes"]["grade"] = node("colour-grade", "grain", saturation=1.0)
    document["nodes"]["out"]["inputs"]["image"] = "grade"
    poster.write_text(json.dumps(document))
    coloured = saved(studio, poster, "in colour", "grain.seed=1")
    grey = saved(studio, poster, "black and white", "grain.seed=1", "grade.saturation=0")
    for digest in (coloured, grey):
        asset = studio.versions.find(digest)[1].outputs[0].asset
        chat = tmp_path / "chat.jpg"
        Pillow.open(io.BytesIO(studio.assets.get(asset))).convert("RGB").resize((200, 150)).save(chat, quality=50)
        found = studio.versions.matches(chat).found
        assert found[0].digest == digest
        assert found[0].colours < found[1].colours
