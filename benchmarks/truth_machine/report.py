"""What many trials came to: the matrix, the counts, the offences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.truth_machine.judge import Result

GRADES = ("full", "approximate", "partial", "")
MEASURED = ("identical bytes", "identical pixels", "similar", "different", "missing", "failed", "refused")


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """One JSON object; the counts that people look for are at its end."""
    identical = [result for result in results if result.identical]
    offences = [offence for result in results for offence in result.offences]

    def having(*kinds: str) -> int:
        return sum(any(offence.kind in kinds for offence in result.offences) for result in results)

    return {
        "matrix": matrix(results),
        "perturbations": perturbations(results),
        "identical": len(identical),
        "repaired": sum(result.repaired for result in results),
        "offences": [vars(offence) for offence in offences],
        "pessimistic": [
            {"trial": result.seed, "perturbation": result.perturbation, "gaps": result.gaps}
            for result in results
            if result.pessimistic
        ],
        "other_offences": having("ran_although_partial", "verdict", "failed", "evidence", "repair", "error"),
        "raw_pessimistic_share": _share(sum(result.raw_pessimistic for result in identical), len(identical)),
        "trials": len(results),
        "false_full": having("false_full"),
        "wrong_or_missing_gaps": having("gaps"),
        "pessimistic_share": _share(sum(result.pessimistic for result in identical), len(identical)),
    }


def matrix(results: Sequence[Result]) -> dict[str, dict[str, int]]:
    """Predicted grade by measured fidelity; "" for trials that did not come to a prediction."""
    counts = Counter((result.predicted, result.measured) for result in results)
    return {
        grade or "none": {measured: counts[grade, measured] for measured in MEASURED}
        for grade in GRADES
        if grade or any(counts[grade, measured] for measured in MEASURED)
    }


def perturbations(results: Sequence[Result]) -> dict[str, dict[str, int]]:
    """For each perturbation how many trials there were, how they were graded, and how many offended."""
    found: dict[str, dict[str, int]] = {}
    for result in results:
        counts = found.setdefault(
            result.perturbation,
            dict.fromkeys(("trials", "full", "approximate", "partial", "identical", "offending"), 0),
        )
        counts["trials"] += 1
        counts["identical"] += result.identical
        counts["offending"] += bool(result.offences)
        if result.predicted:
            counts[result.predicted] += 1
    return dict(sorted(found.items()))


def words(report: dict[str, Any]) -> str:
    """The same for people."""
    lines = [
        *_table("predicted \\ measured", report["matrix"]),
        "",
        *_table("perturbation", report["perturbations"]),
        "",
        f"partial ones whose cause was taken away again, and came back identical: {report['repaired']}",
    ]
    for one in report["pessimistic"]:
        gaps = ", ".join(f"{code} ({subject})" for code, subject in one["gaps"])
        lines.append(f"pessimistic: trial {one['trial']}, {one['perturbation']}: identical in spite of {gaps}")
    for offence in report["offences"]:
        lines += ["", f"offence: trial {offence['trial']}, {offence['perturbation']}: {offence['kind']}"]
        lines += [f"  expected {offence['expected']}", "  got      " + offence["got"].replace("\n", "\n           ")]
    lines.append("")
    lines += [
        f"{name:<22} {report[name]:{'.4f' if name.endswith('share') else 'd'}}"
        for name in (
            "other_offences",
            "raw_pessimistic_share",
            "trials",
            "false_full",
            "wrong_or_missing_gaps",
            "pessimistic_share",
        )
    ]
    return "\n".join(lines)


def _table(heading: str, rows: dict[str, dict[str, int]]) -> list[str]:
    columns = list(next(iter(rows.values()), {}))
    width = max(len(heading), *map(len, rows), 0) if rows else len(heading)
    lines = [f"{heading:<{width}}  " + "  ".join(columns)]
    for name, counts in rows.items():
        lines.append(f"{name:<{width}}  " + "  ".join(f"{counts[column]:>{len(column)}}" for column in columns))
    return lines


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
