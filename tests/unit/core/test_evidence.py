from __future__ import annotations

import dataclasses
from typing import Any

from intaglio.core.envelope import Condition, Envelope
from intaglio.core.environment import Environment
from intaglio.core.evidence import ENOUGH, weighed
from intaglio.core.fidelity import Fidelity, OutputFidelity, Reproduction, Verdict
from intaglio.core.gaps import UNMEASURED, environment_gaps
from intaglio.core.grade import Gap, Grade, grade_of
from intaglio.core.plan import Step

from .samples import MODEL, REF, TIME, environment, name_of, step

THEN = environment()
NOW = environment(backend={"devices": ["cpu"], "cpu_capability": "AVX2"})
SETTINGS = {"dtype": "float32", "device": "cpu", "width": 64, "height": 48}
PAINTING = step("base", "text-to-image", models={"model": REF}, params=SETTINGS)


def condition(**more: Any) -> Condition:
    """A change of instruction set that made no difference in twelve pictures."""
    facts: dict[str, Any] = {
        "kind": "cpu_capability",
        "before": "AVX512",
        "after": "AVX2",
        "runs": ENOUGH,
        "identical": ENOUGH,
        "max_difference": 0,
        "mean_difference": 0.0,
        "changed_share": 0.0,
        "psnr": None,
        "ssim": 1.0,
    }
    return Condition(**(facts | more))


def envelope(*conditions: Condition, **more: Any) -> Envelope:
    """What was measured for the sample model."""
    facts: dict[str, Any] = {
        "model": REF,
        "node_type": "text-to-image",
        "type_version": PAINTING.type_version,
        "device": "cpu",
        "created": TIME,
        "author": "Ada",
        "environment": THEN,
        "probes": ("seed 1001, 8 steps, 64x48, 'a house'",),
        "conditions": conditions,
    }
    return Envelope(**(facts | more))


def reproduction(verdict: Verdict, largest: int = 0) -> Reproduction:
    """An attempt that came to this."""
    output = OutputFidelity(
        node="out",
        step="out",
        stored=name_of("1"),
        produced=name_of("2"),
        verdict=verdict,
        same_bytes=False,
        same_pixels=False,
        max_difference=largest,
    )
    return Reproduction(
        version=name_of("3"),
        task="t",
        created=TIME,
        grade=Grade(grade="approximate"),
        fidelity=Fidelity(verdict=verdict, outputs=(output,)),
    )


def weigh(
    *envelopes: Envelope,
    earlier: tuple[Reproduction, ...] = (),
    steps: tuple[Step, ...] = (PAINTING,),
    now: Environment = NOW,
) -> list[Gap]:
    """The gaps between THEN and now, with what is known."""
    gaps = environment_gaps(THEN, now, devices={"cpu"})
    return list(weighed(gaps, then=THEN, now=now, steps=steps, envelopes=envelopes, earlier=earlier))


def only(gaps: list[Gap]) -> Gap:
    """The one gap there is."""
    (gap,) = gaps
    return gap


def test_without_evidence_it_is_said_that_nothing_was_measured() -> None:
    gap = only(weigh())
    assert (gap.code, gap.measured, gap.evidence) == ("device.changed", "", UNMEASURED)
    assert grade_of([gap]).grade == "approximate"


def test_REP_6_an_envelope_that_measured_this_very_change_decides() -> None:
    gap = only(weigh(envelope(condition())))
    assert (gap.measured, grade_of([gap]).grade) == ("identical", "full")
    assert "12 of 12 identical" in gap.evidence
    backwards = only(weigh(envelope(condition(before="AVX2", after="AVX512"))))
    assert backwards.measured == "identical", "the way back is the same change"


def test_REP_6_less_than_all_or_too_few_pictures_only_inform() -> None:
    near = only(weigh(envelope(condition(identical=3, max_difference=1))))
    assert (near.measured, grade_of([near]).grade) == ("close", "approximate")
    assert "3 of 12 identical, at most 1/255 apart" in near.evidence
    far = only(weigh(envelope(condition(identical=0, max_difference=90))))
    assert far.measured == "different"
    few = only(weigh(envelope(condition(runs=11, identical=11))))
    assert (few.measured, grade_of([few]).grade) == ("close", "approximate")


def test_REP_6_an_envelope_of_something_else_says_nothing() -> None:
    elsewhere = dataclasses.replace(THEN, libraries={**THEN.libraries, "torch": "2.12.0"})
    others = [
        envelope(condition(), model=dataclasses.replace(REF, digest=name_of("9"))),
        envelope(condition(), node_type="image-to-image"),
        envelope(condition(), type_version=99),
        envelope(condition(), device="cuda"),
        envelope(condition(), environment=elsewhere),
        envelope(condition(after="DEFAULT")),
        envelope(condition(kind="threads")),
        envelope(condition(), environment=dataclasses.replace(THEN, threads=1)),
        envelope(condition(), environment=dataclasses.replace(THEN, python="3.13.1")),
        envelope(condition(), environment=environment(backend={**THEN.backend, "mkldnn": False})),
        envelope(),
    ]
    for other in others:
        assert only(weigh(other)).measured == "", other
    half = dataclasses.replace(PAINTING, params={**SETTINGS, "dtype": "bfloat16"})
    assert only(weigh(envelope(condition()), steps=(half,))).measured == ""
    unknown = step("more", "image-to-image", models={"model": REF}, params=SETTINGS)
    assert only(weigh(envelope(condition()), steps=(PAINTING, unknown))).measured == "", "every step must be known"


def test_REP_6_adapters_were_not_measured_with_the_model() -> None:
    adapted = dataclasses.replace(PAINTING, models={"model": REF, "loras[0]": MODEL.ref})
    gap = only(weigh(envelope(condition()), steps=(adapted,)))
    assert (gap.measured, grade_of([gap]).grade) == ("close", "approximate")
    assert "without its adapters" in gap.evidence


def test_REP_6_another_size_is_other_arithmetic() -> None:
    large = dataclasses.replace(PAINTING, params={**SETTINGS, "width": 1024})
    gap = only(weigh(envelope(condition()), steps=(large,)))
    assert (gap.measured, grade_of([gap]).grade) == ("close", "approximate")
    assert "at other sizes" in gap.evidence


def test_REP_6_of_several_measurements_the_worst_counts() -> None:
    gap = only(weigh(envelope(condition()), envelope(condition(identical=11, max_difference=1))))
    assert gap.measured == "close"
    assert "11 of 12" in gap.evidence


def test_REP_6_another_library_is_no_condition_of_an_envelope() -> None:
    newer = dataclasses.replace(THEN, libraries={**THEN.libraries, "torch": "2.14.1"})
    gap = only(weigh(envelope(condition()), now=newer))
    assert (gap.code, gap.measured) == ("library.changed", "")


def test_REP_6_two_changes_at_once_were_not_measured() -> None:
    both = dataclasses.replace(NOW, libraries={**NOW.libraries, "torch": "2.14.1"})
    gaps = weigh(envelope(condition()), now=both)
    assert [(gap.code, gap.measured) for gap in gaps] == [("library.changed", ""), ("device.changed", "")]
    another = dataclasses.replace(NOW, python="3.13.0")
    gaps = weigh(envelope(condition()), now=another)
    assert {gap.code: gap.measured for gap in gaps} == {"python.changed": "", "device.changed": ""}
    assert grade_of(gaps).grade == "approximate"


def test_REP_6_this_very_version_back_in_these_very_surroundings_is_the_best_evidence() -> None:
    gap = only(weigh(earlier=(reproduction("identical pixels"),)))
    assert (gap.measured, grade_of([gap]).grade) == ("identical", "full")
    assert "once" in gap.evidence
    twice = only(weigh(earlier=(reproduction("identical bytes"), reproduction("identical bytes"))))
    assert "2 of 2 times" in twice.evidence


def test_REP_6_one_attempt_that_failed_outweighs_those_that_did_not() -> None:
    gap = only(weigh(envelope(condition()), earlier=(reproduction("similar", 2), reproduction("identical bytes"))))
    assert (gap.measured, grade_of([gap]).grade) == ("close", "approximate")
    assert "1 of 2 times, at most 2/255 apart" in gap.evidence
    gap = only(weigh(earlier=(reproduction("missing"),)))
    assert gap.measured == "different", "nothing is known of how far, so nothing good is claimed"


def test_what_is_not_about_surroundings_is_left_alone() -> None:
    gap = Gap(code="model.missing", subject="m", message="m is not there", remedy="Bring it back.")
    earlier = [reproduction("identical bytes")]
    assert list(weighed([gap], then=THEN, now=NOW, steps=[], envelopes=[], earlier=earlier)) == [gap]
