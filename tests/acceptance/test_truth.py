"""REP: a slice of benchmarks/truth.py, and that the machine would notice if grades did not tell the truth."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # the benchmarks lie beside the package and the tests

from benchmarks import truth  # noqa: E402
from benchmarks.truth_machine.bench import Bench  # noqa: E402
from benchmarks.truth_machine.catalogue import catalogue, perturbation_of, seed_for  # noqa: E402
from benchmarks.truth_machine.draft import draw  # noqa: E402
from benchmarks.truth_machine.judge import run_trial  # noqa: E402
from benchmarks.truth_machine.report import summary  # noqa: E402
from benchmarks.truth_machine.trial import Trial  # noqa: E402
from intaglio.core.fidelity import Fidelity  # noqa: E402
from intaglio.core.gaps import input_gaps  # noqa: E402
from intaglio.core.grade import Gap, Grade  # noqa: E402
from intaglio.core.task import Task  # noqa: E402
from intaglio.studio.carry_out import carry_out  # noqa: E402
from intaglio.studio.measure import measure  # noqa: E402

SLICE = (
    "nothing",
    "model renamed",
    "model moved and nobody told",
    "model header edited",
    "one weight byte changed",
    "model replaced, the current one chosen",
    "model deleted but archived",
    "LoRA file changed",
    "model and reference both lost",
    "seed removed from an imported record",
    "seed changed in an imported record",
    "library version changed",
    "library not installed any more",
    "processor changed",
    "dtype changed in the file",
    "scheduler not known any more",
    "cache on",
    "reference lost from the store",
    "node version raised without a migration",
    "node version raised with a migration",
    "node type removed",
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One place for all trials here, so that the model is loaded once."""
    with Bench(tmp_path_factory.mktemp("truth")) as opened:
        yield opened


@pytest.mark.parametrize("name", SLICE)
def test_REP_7_what_is_promised_is_what_comes_back(name: str, bench: Bench) -> None:
    result = run_trial(bench, seed_for(name))
    assert result.perturbation == name
    assert result.offences == [], result.workflow
    assert not result.pessimistic


# -- the machine itself can fail --------------------------------------------------------------------------------------


def kinds(bench: Bench, name: str) -> set[str]:
    """What is found wrong in a trial."""
    return {offence.kind for offence in run_trial(bench, seed_for(name, 1)).offences}


def test_a_grade_that_does_not_look_at_models_is_found_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intaglio.studio.grading.model_gaps", lambda *facts: iter(()))
    result = run_trial(bench, seed_for("one weight byte changed", 1))
    assert result.predicted == "full"
    assert {"false_full", "gaps"} <= {offence.kind for offence in result.offences}
    report = summary([result])
    assert (report["false_full"], report["wrong_or_missing_gaps"]) == (1, 1)
    assert [offence["trial"] for offence in report["offences"]] == [result.seed] * len(result.offences)


def test_a_gap_about_something_else_is_found_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "intaglio.studio.grading.input_gaps", lambda *facts: [replace(gap, subject="x") for gap in input_gaps(*facts)]
    )
    assert kinds(bench, "reference lost from the store") == {"gaps"}


def test_running_although_something_is_missing_is_found_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intaglio.studio.reproduce.grade", lambda *facts, **more: Grade(grade="full"))
    assert "ran_although_partial" in kinds(bench, "library not installed any more")


def test_a_measurement_that_flatters_is_found_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def flattering(*facts: Any, **more: Any) -> Fidelity:
        return replace(measure(*facts, **more), verdict="identical bytes")

    monkeypatch.setattr("intaglio.studio.reproduce.measure", flattering)
    assert "verdict" in kinds(bench, "seed changed in an imported record")


def test_reuse_of_what_was_there_already_is_found_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def reusing(*facts: Any, **more: Any) -> Task:
        return carry_out(*facts, **{**more, "reuse": "any"})

    monkeypatch.setattr("intaglio.studio.reproduce.carry_out", reusing)
    assert "verdict" in kinds(bench, "cache on")


def test_a_grade_that_always_doubts_is_found_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    doubt = Gap(code="tool.unknown", subject="environment", message="who knows", remedy="none")
    monkeypatch.setattr("intaglio.studio.grading.environment_gaps", lambda *facts, **more: [doubt])
    results = [run_trial(bench, seed_for("nothing", nth)) for nth in range(2)]
    assert [(result.measured, result.pessimistic) for result in results] == [("identical bytes", True)] * 2
    report = summary(results)
    assert (report["pessimistic_share"], report["wrong_or_missing_gaps"]) == (1.0, 2)


def test_a_grade_that_learns_nothing_from_evidence_is_found_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intaglio.studio.grading.weighed", lambda gaps, **facts: gaps)
    result = run_trial(bench, seed_for("Python changed"))
    assert {offence.kind for offence in result.offences} == {"evidence"}
    assert result.pessimistic


def test_an_exception_is_an_offence_and_stops_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*facts: Any, **more: Any) -> None:
        raise KeyError("out of order")

    with monkeypatch.context() as patched:
        patched.setattr("intaglio.studio.versions.grade", broken)
        (offence,) = run_trial(bench, seed_for("nothing")).offences
    assert (offence.kind, "KeyError: 'out of order'" in offence.got) == ("error", True)
    assert run_trial(bench, seed_for("nothing")).offences == []


# -- the same trial again ---------------------------------------------------------------------------------------------


def plain_seed(name: str) -> int:
    """A trial of this perturbation in which no model takes part, so that it is quick in a process of its own."""
    seeds = (seed_for(name, nth) for nth in count())
    return next(seed for seed in seeds if not draw(random.Random(seed), seed, catalogue()[name].wants).uses_models)


def test_a_trial_is_decided_by_its_seed(bench: Bench) -> None:
    seed = next(seed for seed in count() if "seed" not in draw(random.Random(seed), seed, frozenset()).nodes["base"])
    pictures = []
    for _ in range(2):
        trial = Trial(bench, seed, frozenset())
        try:
            trial.run()
            pictures.append((trial.draft, trial.originals))
        finally:
            trial.close()
    assert pictures[0] == pictures[1], "drawn seeds included"


def test_every_perturbation_comes_in_a_round() -> None:
    length = sum(each.weight for each in catalogue().values())
    assert {perturbation_of(seed).name for seed in range(7, 7 + length)} == set(catalogue())
    assert {perturbation_of(seed).name for seed in range(40)} > {"nothing", "model renamed", "another process"}
    assert all(perturbation_of(seed_for(name, nth)).name == name for name in catalogue() for nth in (0, 5))


def test_the_command_runs_one_trial_again_alone_and_counts() -> None:
    seed = plain_seed("library version changed")
    done = subprocess.run(
        [sys.executable, "benchmarks/truth.py", "--trial", str(seed), "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report)[-4:] == ["trials", "false_full", "wrong_or_missing_gaps", "pessimistic_share"]
    assert (report["trials"], report["offences"], report["matrix"]["approximate"]["identical bytes"]) == (1, [], 1)
    assert f'"seed": {seed}' in done.stderr, "told at length"


def test_the_command_ends_with_1_and_names_the_trial(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("intaglio.studio.grading.environment_gaps", lambda *facts, **more: [])
    seed = plain_seed("library version changed")
    assert truth.main(["--trial", str(seed)]) == 1
    printed = capsys.readouterr().out
    assert f"offence: trial {seed}, library version changed: gaps" in printed
    assert [line.split()[0] for line in printed.splitlines()[-4:]] == [
        "trials", "false_full", "wrong_or_missing_gaps", "pessimistic_share",
    ]  # fmt: skip
