"""Three months of a campaign: explore 30, branch three directions, approve one, put two away, replace the model, be
warned, bring the approved one back from the archive, run 20 more in production, and try two headlines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from acceptance.conftest import SCENES, node, painting, write

from intaglio.core.version import standing
from intaglio.studio import clock
from intaglio.studio.carry_out import Watch
from intaglio.studio.drift import Warning
from intaglio.studio.open import Studio, init
from intaglio.studio.settings import Settings
from intaglio.studio.variations import VariationView

SEA = "a white sailboat in the middle, blue sea, orange sky at sunset"
HILLS = "a red house on the left, green hills, blue sky, day"
PROMPTS = (SEA, HILLS, "a tree on the right, green hills, orange sky at sunset")


class Calendar:
    """The clock of the story: each look is a second later, and months go by when they are told to."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 6, 1, 9, tzinfo=UTC)

    def now(self) -> str:
        self.moment += timedelta(seconds=1)
        return clock.written(self.moment)

    def turn_to(self, month: int) -> None:
        self.moment = datetime(2026, month, 1, 9, tzinfo=UTC)


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch) -> Calendar:
    calendar = Calendar()
    monkeypatch.setattr(clock, "now", calendar.now)
    return calendar


@pytest.fixture
def agency(tmp_path: Path, calendar: Calendar) -> Iterator[Studio]:
    """A library whose model is a file of the agency's own, which somebody may replace."""
    shutil.copytree(SCENES, tmp_path / "models" / "scenes")
    with init(tmp_path / "agency", Settings(author="Mara")) as studio:
        studio.models.add(tmp_path / "models" / "scenes", name="scenes")
        yield studio


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """A picture, graded, with grain, enlarged, a headline laid over it; the form wants to know the client."""
    for name, shade in (("fresh", 255), ("bold", 16)):
        headline(tmp_path / f"{name}.png", shade)
    nodes = {
        "base": node("text-to-image", **painting(prompt=SEA)),
        "grade": node("colour-grade", "base", temperature=0.1),
        "grain": node("film-grain", "grade", amount=0.05),
        "big": node("upscale", "grain", factor=2),
        "headline": node("reference-image", image="fresh.png"),
        "ad": {"type": "composite", "inputs": {"base": "big", "overlay": "headline"}, "params": {"x": 8, "y": 96}},
        "form": node("form", "ad", question="Why this one?", fields="client"),
        "version": node("version-record", "form"),
        "out": node("output", "version"),
    }
    return write(tmp_path / "campaign.json", "Summer", nodes)


def headline(path: Path, shade: int) -> None:
    """Letters of one shade of grey on nothing: a bar with gaps will do."""
    from intaglio.core.image import Image
    from intaglio.imaging.png import encode

    pixels = bytes(value for y in range(16) for x in range(96) for value in (shade, shade, shade, 255 * (x % 8 < 6)))
    path.write_bytes(encode(Image("RGBA", 96, 16, pixels)))


def retrain(folder: Path) -> None:
    """Somebody updates the checkpoint in place: the same name, other weights."""
    from safetensors.numpy import load_file, save_file

    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor * 1.05 for name, tensor in tensors.items()}, weights)


def run(studio: Studio, workflow: str | Path, annotation: str, *settings: str, label: str = "") -> str:
    """A run that becomes a version; returns the version's digest."""
    return studio.tasks.run(
        workflow, set=settings, annotation=annotation, label=label, fields={"client": "Acme"}
    ).version


def test_VER_3_VER_4_VER_5_VER_6_VER_7_VAR_2_VAR_3_three_months_of_a_campaign(
    agency: Studio, campaign: Path, calendar: Calendar, tmp_path: Path
) -> None:
    # June: thirty looks, of three ideas.
    for number in range(30):
        run(agency, campaign, f"look {number + 1}", f"base.prompt={PROMPTS[number % 3]}")
    assert [found.number for _, found in agency.versions.list(limit=100)] == [*range(30, 0, -1)]
    sails = agency.versions.search('sailboat "look 1"')
    assert all("sailboat" in found.parameters["base"]["prompt"] for _, found in sails)
    chosen = agency.versions.find("v4")[0]
    seed = agency.versions.find("v4")[1].seeds["base"].value
    assert [digest for digest, _ in agency.versions.search(f"seed:{seed}")] == [chosen]

    # July: three directions from the look the client liked, each with runs of its own.
    calendar.turn_to(7)
    for name in ("Summer-A-Warm", "Summer-B-Cool", "Summer-C-Bare"):
        agency.workflows.branch(chosen, name)
    warm = run(agency, "Summer-A-Warm", "golden hour", "grade.temperature=0.5", "base.guidance=6", label="golden")
    cool = run(agency, "Summer-B-Cool", "crisp", "grade.temperature=-0.4", "base.guidance=8")
    run(agency, "Summer-C-Bare", "no grain at all", "grain.amount=0")
    assert agency.versions.find(warm)[1].parent == chosen
    agency.versions.tag(warm, ["hero"])
    agency.versions.comment(cool, "too cold for a beach")
    assert [digest for digest, _ in agency.versions.search("cfg>7 after:2026-07")] == [cool]
    approved = agency.versions.approve(warm, note="the client signed it off")
    for name in ("Summer-B-Cool", "Summer-C-Bare"):
        agency.workflows.archive(name, note="not chosen")
    assert {name for name, *_ in agency.workflows.list()} == {"Summer", "Summer-A-Warm"}
    assert [digest for digest, _ in agency.versions.search("approved tag:hero branch:Summer-A*")] == [warm]
    assert approved.workflow is not None and agency.workflows.show("Summer-A-Warm")[0].mode == "production"
    agency.models.keep("scenes")

    # August: the checkpoint is updated in place, and nobody says a word. Intaglio does.
    calendar.turn_to(8)
    retrain(tmp_path / "models" / "scenes")
    heard: list[Warning] = []
    again = agency.tasks.run(
        "Summer-A-Warm", annotation="is it still the same?", fields={"client": "Acme"}, watch=Watch(warn=heard.append)
    )
    assert [(warning.code, warning.node) for warning in heard] == [("model.differs", "base")]
    (signed,) = agency.versions.find(warm)[1].outputs
    assert [output.asset for output in agency.tasks.snapshot(again.id).outputs] == [signed.asset]
    back = agency.versions.reproduce(warm)
    assert (back.grade.grade, back.fidelity.verdict) == ("full", "identical bytes")
    assert any(
        "came from the archive" in note for record in agency.tasks.show(back.task.id).steps for note in record.notes
    )

    # Twenty more of the approved one, for every format there is: fresh seeds, nothing else.
    volume = agency.variations.more(warm, count=20)
    assert isinstance(volume, VariationView)
    assert (volume.checked.verdict, volume.checked.runs) == ("only this differs", 20), volume.checked.found
    drawn = [agency.tasks.snapshot(state.task).plan.step("base") for state in volume.runs]
    assert len({step.seed.value for step in drawn if step.seed}) == 20
    assert {step.models["model"].digest for step in drawn} == {
        agency.versions.snapshot(warm).plan.step("base").models["model"].digest
    }

    # Two headlines: the pictures beneath are the same, pair by pair, and made once.
    test = agency.variations.ab(
        warm,
        {"Fresh": [f"headline.image={tmp_path / 'fresh.png'}"], "Bold": [f"headline.image={tmp_path / 'bold.png'}"]},
        count=4,
    )
    assert isinstance(test, VariationView)
    assert (test.checked.verdict, test.checked.runs) == ("only this differs", 8), test.checked.found
    agency.variations.winner(test.variation.id, "Bold", note="reads better on a phone")
    brief = agency.variations.export(test.variation.id, tmp_path / "brief")
    assert {".json", ".md", ".png"} <= {file.suffix for file in brief}
    told = json.loads(next(file for file in brief if file.suffix == ".json").read_text())
    assert (told["verdict"], told["contaminated"]) == ("only this differs", [])
    more = agency.variations.more(test.variation.id, count=3)
    assert isinstance(more, VariationView) and more.checked.verdict == "only this differs"

    # Months later: what was put away comes back, and every picture can say where it is from.
    calendar.turn_to(9)
    assert agency.versions.reproduce(cool).fidelity.verdict == "identical bytes"
    agency.workflows.revive("Summer-B-Cool")
    assert standing(agency.versions.remarks(cool)).comments[0].note == "too cold for a beach"
    files = agency.versions.export(warm, tmp_path / "delivery")
    picture = next(file for file in files if file.name == "out.png")
    with init(tmp_path / "elsewhere", Settings(author="Client")) as elsewhere:
        elsewhere.assets.import_([picture])
        assert elsewhere.versions.find(picture)[1].annotation == "golden hour"
    assert agency.library.check().problems == ()
