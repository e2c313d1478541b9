"""REP 4: what the library lost is made again from its own record, and accepted only if it is the very same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from acceptance.conftest import Command, node, painting, ramp, write
from acceptance.models import copied, flipped

from intaglio.core.errors import Cancelled, NotFound
from intaglio.imaging import adjust
from intaglio.imaging.decode import decode
from intaglio.imaging.png import encode
from intaglio.studio.carry_out import Watch
from intaglio.studio.open import Studio


def blob(studio: Studio, digest: str) -> Path:
    """The file of an asset in the store."""
    name = digest.removeprefix("blake3:")
    return studio.root / "blobs" / name[:2] / name


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def damage(studio: Studio, digest: str) -> bytes:
    """One byte of a stored file flipped; the bytes it has now."""
    path = blob(studio, digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    overwrite(path, bytes(data))
    return bytes(data)


def mend(studio: Studio, digest: str, bad: bytes) -> None:
    """Flip the byte back that `damage` flipped."""
    data = bytearray(bad)
    data[len(data) // 2] ^= 1
    overwrite(blob(studio, digest), bytes(data))


def made(studio: Studio, task: str) -> dict[str, str]:
    """The picture that came out of each step."""
    return {result.step: result.outputs["image"] for result in studio.tasks.snapshot(task).results}


def test_REP_4_heal_makes_a_damaged_picture_again_and_keeps_the_damaged_bytes(studio: Studio, chain: Path) -> None:
    task = studio.tasks.run(chain, annotation="one")
    pictures = made(studio, task.id)
    good, bad = studio.assets.get(pictures["grain"]), damage(studio, pictures["grain"])
    [healed] = studio.library.heal()
    assert (healed.asset, healed.outcome, healed.step) == (pictures["grain"], "healed", "grain")
    assert healed.versions == ("chain/v1",)
    assert healed.grade is not None and healed.grade.grade == "full"
    assert studio.assets.get(pictures["grain"]) == good
    assert studio.library.check().problems == ()
    assert Path(healed.set_aside).read_bytes() == bad, "the damaged bytes are not thrown away"
    ran = studio.tasks.show(healed.task)
    assert [step.step for step in ran.steps] == ["refine:image", "grain"], "the intact picture before it is taken over"
    assert ran.task.purpose == "reproduce" and ran.task.reproduces == task.version
    assert [event.what for event in ran.events if "heal" in event.what] == ["healing", "healed"]
    assert len(studio.versions.list()) == 1, "healing makes no version"
    assert studio.library.heal() == []


def test_REP_4_heal_of_a_lost_chain_runs_what_leads_to_it_once(studio: Studio, chain: Path) -> None:
    pictures = made(studio, studio.tasks.run(chain, annotation="one").id)
    kept = {digest: studio.assets.get(digest) for digest in pictures.values()}
    blob(studio, pictures["grain"]).unlink()
    bad = {pictures[step]: damage(studio, pictures[step]) for step in ("base", "refine")}
    before = len(studio.tasks.list())
    healed = studio.library.heal()
    assert {one.asset for one in healed} == {pictures[step] for step in ("base", "refine", "grain")}
    assert {one.outcome for one in healed} == {"healed"}
    aside = {one.asset: Path(one.set_aside).read_bytes() for one in healed if one.set_aside}
    assert aside == bad, "also what was made again on the way to another is kept as it was"
    assert {digest: studio.assets.get(digest) for digest in kept} == kept
    assert len(studio.tasks.list()) - before <= 3


def test_REP_4_heal_through_the_command_only_what_is_named(studio: Studio, plain_chain: Path, command: Command) -> None:
    first = made(studio, studio.tasks.run(plain_chain, annotation="one").id)
    second = made(studio, studio.tasks.run(plain_chain, annotation="two").id)
    damage(studio, first["grain"])
    damage(studio, second["big"])
    dry = command("library", "heal", "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    assert {one["outcome"] for one in json.loads(dry.stdout)} == {"can be tried"}
    assert len(studio.library.check().problems) == 2, "a dry run heals nothing"
    done = command("library", "heal", "plain/v1", "--json")
    assert done.returncode == 0, done.stderr
    assert [(one["asset"], one["outcome"]) for one in json.loads(done.stdout)] == [(first["grain"], "healed")]
    assert [problem.id for problem in studio.library.check().problems] == [second["big"]]
    done = command("library", "heal", second["big"][7:19])
    assert done.returncode == 0, done.stderr
    assert "1 of 1 healed" in done.stdout
    assert "nothing is lost or damaged" in command("library", "heal").stdout
    assert command("library", "heal", "nothing/v9").returncode == 3
    with pytest.raises(NotFound):
        studio.library.heal(["nothing/v9"])


def test_REP_4_heal_is_refused_where_the_model_changed(studio: Studio, tmp_path: Path, command: Command) -> None:
    folder = copied(tmp_path / "mine")
    studio.models.add(folder, name="mine")
    workflow = write(
        tmp_path / "one.json",
        "one",
        {
            "base": node("text-to-image", **painting(model="mine")),
            "grain": node("film-grain", "base", amount=0.2),
        },
    )
    pictures = made(studio, studio.tasks.run(workflow, annotation="one").id)
    flipped(folder)
    bad = damage(studio, pictures["base"])
    done = command("library", "heal", "--json")
    assert done.returncode == 4, done.stdout
    [refused] = json.loads(done.stdout)
    assert (refused["outcome"], refused["grade"]["grade"], refused["task"]) == ("impossible", "partial", "")
    assert "model.changed" in {gap["code"] for gap in refused["grade"]["gaps"]}
    assert "is changed" in refused["message"] and refused["hint"]
    assert blob(studio, pictures["base"]).read_bytes() == bad, "nothing was touched"
    mend(studio, pictures["base"], bad)
    damage(studio, pictures["grain"])
    [healed] = studio.library.heal()
    assert healed.outcome == "healed", "what follows an intact picture needs no model"


def test_REP_4_heal_that_comes_out_differently_says_what_it_got(
    studio: Studio, plain_chain: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = made(studio, studio.tasks.run(plain_chain, annotation="one").id)
    stored = decode(studio.assets.get(pictures["grain"]))
    slightly = type(stored)(stored.mode, stored.width, stored.height, bytes([stored.data[0] ^ 1]) + stored.data[1:])
    overwrite(blob(studio, pictures["grain"]), encode(slightly))
    real = adjust.film_grain
    monkeypatch.setattr(adjust, "film_grain", lambda image, **more: real(image, **{**more, "amount": 0.31}))
    [found] = studio.library.heal()
    assert found.outcome == "different"
    assert found.grade is not None and found.grade.grade == "full", "nothing that was recorded changed"
    assert found.produced not in ("", pictures["grain"])
    assert found.produced in found.message
    assert found.difference is not None and 0 < found.difference.max_difference < 40
    assert decode(Path(found.set_aside).read_bytes()).data == slightly.data
    assert studio.assets.get(found.produced), "what came out is kept"
    assert [problem.id for problem in studio.library.check().problems] == [pictures["grain"]], "and never in its place"
    monkeypatch.undo()
    done = command("library", "heal")
    assert done.returncode == 0, done.stdout + done.stderr
    assert studio.library.check().problems == ()


def test_REP_4_heal_cannot_make_a_picture_that_was_brought_in(
    studio: Studio, plain_chain: Path, tmp_path: Path, command: Command
) -> None:
    pictures = made(studio, studio.tasks.run(plain_chain, annotation="one").id)
    data = studio.assets.get(pictures["in"])
    blob(studio, pictures["in"]).unlink()
    done = command("library", "heal")
    assert done.returncode == 4
    assert "it was brought in as 'reference.png'" in done.stdout
    assert "intaglio assets add FILE" in done.stdout
    (tmp_path / "found.png").write_bytes(data)
    assert command("assets", "add", str(tmp_path / "found.png")).returncode == 0
    assert command("library", "heal").returncode == 0


def test_REP_4_heal_says_which_reproduction_makes_a_difference_picture_again(
    studio: Studio, plain_chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = studio.tasks.run(plain_chain, annotation="one")
    real = adjust.film_grain
    monkeypatch.setattr(adjust, "film_grain", lambda image, **more: real(image, **{**more, "amount": 0.31}))
    [output] = studio.versions.reproduce(task.version).fidelity.outputs
    blob(studio, output.difference).unlink()
    [found] = studio.library.heal()
    assert (found.asset, found.outcome) == (output.difference, "impossible")
    assert found.hint == "Make it again with: intaglio versions reproduce plain/v1"


def test_REP_4_heal_sends_a_task_that_did_not_finish_to_be_resumed(studio: Studio, plain_chain: Path) -> None:
    ended: list[str] = []

    def note(step: object, done: int, total: int) -> None:
        if total and done == total:
            ended.append(str(step))

    with pytest.raises(Cancelled):
        studio.tasks.run(plain_chain, watch=Watch(progress=note, cancelled=lambda: len(ended) >= 2))
    task = studio.tasks.list()[0]
    [picture] = [step.outputs["image"] for step in studio.tasks.show(task.id).steps if step.step == "grain"]
    damage(studio, picture)
    [found] = studio.library.heal()
    assert (found.outcome, found.hint) == ("impossible", f"Go on with: intaglio tasks resume {task.id}")
    studio.tasks.resume(task.id)
    assert studio.library.heal() == []


def test_REP_4_heal_that_is_cancelled_keeps_what_is_healed(studio: Studio, tmp_path: Path, plain_chain: Path) -> None:
    tasks = [studio.tasks.run(plain_chain).id for _ in range(2)]
    for task in tasks:
        damage(studio, made(studio, task)["grain"])
    ended: list[object] = []

    def note(step: object, done: int, total: int) -> None:
        if total and done == total:
            ended.append(step)

    with pytest.raises(Cancelled) as stopped:
        studio.library.heal(watch=Watch(progress=note, cancelled=lambda: len(ended) >= 2))
    assert "intaglio library heal" in stopped.value.hint
    assert len(studio.library.lost()) == 1
    assert [one.outcome for one in studio.library.heal()] == ["healed"]


def test_REP_4_heal_a_picture_in_pixels_of_its_own_size(studio: Studio, tmp_path: Path) -> None:
    """A file cut short cannot be compared; it is healed all the same."""
    (tmp_path / "a.png").write_bytes(encode(ramp(24, 16)))
    workflow = write(
        tmp_path / "big.json",
        "big",
        {"in": node("reference-image", image="a.png"), "big": node("upscale", "in", factor=4)},
    )
    picture = made(studio, studio.tasks.run(workflow).id)["big"]
    path = blob(studio, picture)
    overwrite(path, path.read_bytes()[:100])
    [found] = studio.library.heal([picture])
    assert (found.outcome, found.difference, found.versions) == ("healed", None, ())
    assert studio.tasks.show(found.task).task.purpose == "run"
