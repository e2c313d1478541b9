"""Carrying a trial out and judging it: the promise, the pixels, and whether the two agree.

What is an offence, by kind:
- `false_full`: graded full, and it did not come back, or not identical;
- `gaps`: the grade is another than expected, or a gap is missing, too many, about another thing, or in wrong words;
- `ran_although_partial`: a run was started although something needed is not there;
- `verdict`: Intaglio's measurement is not what the decoded pixels say, or something was reused;
- `failed`: it was graded approximate, and could not be run at all;
- `evidence`: after it came back identical (or not) in changed surroundings, the next prediction does not say so;
- `repair`: with the cause taken away again it is not full and identical;
- `error`: something else was raised.

Pessimism is no offence of one trial, but a share. A trial is pessimistic when it came back identical, had been graded
below full, and no gap has a measured reason: neither in the prediction nor in the one that is made after the
reproduction, which has that reproduction as evidence. The first prediction cannot know what nobody measured; the
second one must have learnt. The raw share, in which only the first prediction counts, is reported beside it.
"""

from __future__ import annotations

import io
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.truth_machine.bench import Bench
from benchmarks.truth_machine.catalogue import perturbation_of
from benchmarks.truth_machine.doors import Back, Door, Here, Said
from benchmarks.truth_machine.trial import Expected, Trial
from intaglio.core.errors import Cancelled

# Changes of surroundings: those that an earlier reproduction in the same surroundings speaks of.
SURROUNDINGS = ("library.changed", "python.changed", "device.changed", "threads.changed", "precision.changed")
IDENTICAL = ("identical bytes", "identical pixels")


@dataclass(frozen=True)
class Offence:
    """What was wrong in a trial: enough to run it again alone."""

    trial: int
    perturbation: str
    kind: str
    expected: str
    got: str


@dataclass
class Result:
    """What a trial came to. `measured` is what the pixels say: a verdict, "refused" or "failed"."""

    seed: int
    perturbation: str
    workflow: str = ""
    predicted: str = ""
    gaps: list[tuple[str, str]] = field(default_factory=list)
    measured: str = ""
    after: str = ""
    repaired: bool = False
    pessimistic: bool = False
    raw_pessimistic: bool = False
    seconds: float = 0.0
    offences: list[Offence] = field(default_factory=list)

    @property
    def identical(self) -> bool:
        """Whether every pixel came back."""
        return self.measured in IDENTICAL

    def offend(self, kind: str, expected: object, got: object) -> None:
        """Note what is wrong."""
        self.offences.append(Offence(self.seed, self.perturbation, kind, str(expected), str(got)))

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def run_trial(bench: Bench, seed: int) -> Result:
    """The trial of this seed, whatever happens in it."""
    perturbation = perturbation_of(seed)
    result = Result(seed, perturbation.name)
    started = time.perf_counter()
    trial = Trial(bench, seed, perturbation.wants)
    result.workflow = trial.draft.words()
    try:
        expected = perturbation.work(trial)
        _judge(trial, expected, result)
    except Cancelled as error:  # nobody but Ctrl-C cancels here
        raise KeyboardInterrupt from error
    except Exception:
        result.measured = result.measured or "failed"
        result.offend("error", "no exception", traceback.format_exc())
    finally:
        trial.close()
    result.seconds = round(time.perf_counter() - started, 3)
    return result


def _judge(trial: Trial, expected: Expected, result: Result) -> None:
    door = expected.door or Here(trial.studio)
    said = door.grade(trial.version)
    _check_prediction(expected, said, result)
    before = _newest_task(door)
    back = door.reproduce(trial.version)
    if back.said is not None and (back.said.grade, back.said.named) != (said.grade, said.named):
        result.offend("gaps", f"the prediction as before: {_shown(said)}", f"while reproducing: {_shown(back.said)}")
    if said.grade == "partial":
        _check_refusal(door, before, back, result)
    else:
        _check_return(trial, door, said, back, result)
        if said.grade == "approximate" and not back.failed:
            _learn(trial, door, said, result)
    if expected.repair is not None and said.grade == "partial":
        _repair(trial, expected, door, result)


def _check_prediction(expected: Expected, said: Said, result: Result) -> None:
    result.predicted, result.gaps = said.grade, sorted(said.named)
    if said.grade != expected.grade or said.named != expected.gaps:
        wanted = f"{expected.grade} {sorted(expected.gaps)}"
        result.offend("gaps", wanted, _shown(said))
    text = " ".join(gap.message for gap in said.gaps)
    if expected.words not in text or (expected.other_words and expected.other_words in text):
        wanted = f"with {expected.words!r}" if expected.words else f"without {expected.other_words!r}"
        result.offend("gaps", f"a message {wanted}", text)
    if not all(gap.message and gap.remedy for gap in said.gaps):
        result.offend("gaps", "a message and a remedy for each gap", _shown(said))


def _check_refusal(door: Door, before: str, back: Back, result: Result) -> None:
    result.measured = "refused"
    if not back.refused or _newest_task(door) != before:
        result.measured = back.verdict or "failed"
        result.offend("ran_although_partial", "CannotReproduce, and nothing run", back)


def _check_return(trial: Trial, door: Door, said: Said, back: Back, result: Result) -> None:
    if back.refused or back.failed:
        result.measured = "refused" if back.refused else "failed"
        kind = "false_full" if said.grade == "full" else "failed"
        result.offend(kind, f"{said.grade}: to come back", back.failed or "refused")
        return
    apart = compared(trial.originals, _outputs(door, back.task))
    result.measured = back.verdict if apart.worst == "not identical" else apart.worst
    if (back.verdict in IDENTICAL) != (apart.worst in IDENTICAL) or (
        apart.worst in IDENTICAL and apart.worst != back.verdict
    ):
        result.measured = apart.worst
        result.offend("verdict", f"what the pixels say: {apart.worst}", back.verdict)
    elif apart.farthest != dict(back.farthest):
        result.offend("verdict", f"largest differences {apart.farthest}", f"{dict(back.farthest)}")
    reused = [step.step for step in door.studio.tasks.show(back.task).steps if step.reused_from]
    if reused:
        result.offend("verdict", "nothing reused", f"reused: {reused}")
    if said.grade == "full" and not result.identical:
        result.offend("false_full", "identical", f"{result.measured}, {apart.farthest} of 255")


def _learn(trial: Trial, door: Door, said: Said, result: Result) -> None:
    """Ask again: the reproduction just made is evidence now."""
    after = door.grade(trial.version)
    result.after = after.grade
    surroundings = all(gap.code in SURROUNDINGS for gap in said.gaps)
    if surroundings and result.identical and (after.grade, after.measured) != ("full", True):
        result.offend("evidence", "full, measured to be identical", _shown(after))
    if surroundings and not result.identical and (after.grade, after.measured) != ("approximate", True):
        result.offend("evidence", "approximate, measured to differ", _shown(after))
    if result.identical:
        result.raw_pessimistic = not said.measured
        result.pessimistic = not said.measured and not after.measured


def _repair(trial: Trial, expected: Expected, door: Door, result: Result) -> None:
    assert expected.repair is not None
    expected.repair()
    said = door.grade(trial.version)
    back = door.reproduce(trial.version)
    if said.grade != "full" or said.gaps or back.refused or back.failed:
        result.offend("repair", "full, and to come back", f"{_shown(said)}; {back.failed or back.verdict or 'refused'}")
        return
    apart = compared(trial.originals, _outputs(door, back.task))
    if apart.worst not in IDENTICAL:
        result.offend("repair", "identical", f"{apart.worst}, {apart.farthest}")
    result.repaired = True


# -- the pixels themselves --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Apart:
    """How far two sets of pictures are apart: the worst of them, and the largest difference of each."""

    worst: str
    farthest: dict[str, int | None]


def compared(originals: Mapping[str, bytes], again: Mapping[str, bytes]) -> Apart:
    """Pictures by step, decoded by Pillow and compared number by number; nothing of Intaglio's has a say in it."""
    import numpy as np
    from PIL import Image

    if originals.keys() != again.keys() or not originals:
        return Apart("missing", {})
    farthest: dict[str, int | None] = {}
    for step, data in originals.items():
        one, other = (np.asarray(Image.open(io.BytesIO(each))).astype(int) for each in (data, again[step]))
        farthest[step] = int(np.abs(one - other).max()) if one.shape == other.shape else None
    if dict(originals) == dict(again):
        return Apart("identical bytes", farthest)
    same = all(distance == 0 for distance in farthest.values())
    return Apart("identical pixels" if same else "not identical", farthest)


def _outputs(door: Door, task: str) -> dict[str, bytes]:
    outputs = door.studio.tasks.snapshot(task).outputs
    return {output.step: door.studio.assets.get(output.asset) for output in outputs}


def _newest_task(door: Door) -> str:
    return next((task.id for task in door.studio.tasks.list(limit=1)), "")


def _shown(said: Said) -> str:
    gaps = [(gap.code, gap.subject, *filter(None, (gap.measured, gap.evidence))) for gap in said.gaps]
    return f"{said.grade} {sorted(gaps)}"
