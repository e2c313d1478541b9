"""The brief of a variation: what was varied, and for each picture the seeds, models and task that made it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intaglio.core.plan import Plan
from intaglio.core.record import plain
from intaglio.core.snapshot import Snapshot
from intaglio.core.variation import Variation, VariationRemark
from intaglio.core.variation_rules import target
from intaglio.core.version import Version
from intaglio.studio.export import file_names
from intaglio.studio.files import write_into
from intaglio.studio.parts import Parts
from intaglio.studio.vary_check import Checked
from intaglio.studio.vary_run import CellRun

_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "video/mp4": "mp4"}


def brief(
    parts: Parts,
    variation: Variation,
    version: Version,
    states: Sequence[CellRun],
    checked: Checked,
    remarks: Sequence[VariationRemark],
) -> dict[str, Any]:
    """All that one needs to judge a variation, as JSON values."""
    return {
        "variation": variation.id,
        "what": variation.what,
        "version": {"name": f"{version.workflow.name}/{version.name}", "digest": variation.version},
        "created": variation.created,
        "author": variation.author,
        "note": variation.note,
        "varied": list(checked.varied),
        "axes": plain(variation.axes),
        "verdict": checked.verdict,
        "claim": checked.claim,
        "contaminated": [plain(found) for found in checked.found],
        "no effect": list(checked.no_effect),
        "failed": list(checked.failed),
        "remarks": list(checked.remarks),
        "winner": plain(next((remark for remark in reversed(remarks) if remark.what == "winner"), None)),
        "sheets": [remark.value for remark in remarks if remark.what == "sheet"],
        "clips": [remark.value for remark in remarks if remark.what == "clip"],
        "runs": [_run(parts, variation, state) for state in states],
    }


def _run(parts: Parts, variation: Variation, state: CellRun) -> dict[str, Any]:
    cell = variation.cells[state.cell]
    plan = parts.documents.get(Plan, cell.plan)
    found: dict[str, Any] = {
        "number": state.cell + 1,
        "label": cell.label,
        "arm": cell.arm,
        "changes": list(cell.changes),
        "task": state.task,
        "status": state.status,
        "seeds": {step.id: step.seed.value for step in plan.steps if step.seed},
        "models": {
            step.id: {
                name: {"name": model.name, "version": model.version, "digest": model.digest}
                for name, model in step.models.items()
            }
            for step in plan.steps
            if step.models
        },
        "outputs": [],
    }
    if state.done:
        snapshot = parts.documents.get(Snapshot, parts.tasks.get(state.task).snapshot)
        found["outputs"] = [{"step": output.step, "asset": output.asset} for output in snapshot.outputs]
    return found


def markdown(found: dict[str, Any]) -> str:
    """The brief as a page to read."""
    done = sum(bool(run["outputs"]) for run in found["runs"])
    lines = [f"# {_title(found)}", ""]
    lines += [
        f"- version: {found['version']['name']} (`{found['version']['digest']}`)",
        f"- varied: {', '.join(found['varied']) or 'nothing'}",
        f"- made: {found['created'][:10]} by {found['author']}, `{found['variation']}`",
    ]
    if found["note"]:
        lines.append(f"- why: {_cell(found['note'])}")
    lines.append(f"- verdict: **{found['claim']}** ({done} of {len(found['runs'])} runs)")
    for each in found["contaminated"]:
        lines.append(f"  - {', '.join(each['runs'])} against {each['against']}: {_cell(each['words'])}")
    for name in ("no effect", "failed", "remarks"):
        lines += [f"- {name}: {_cell(words)}" for words in found[name]]
    if found["winner"]:
        note = f": {_cell(found['winner']['note'])}" if found["winner"]["note"] else ""
        lines.append(f"- winner: **{_cell(found['winner']['value'])}**, by {found['winner']['author']}{note}")
    lines += ["", "![contact sheet](sheet.png)", ""] if found["sheets"] else [""]
    lines += ["| run | changes | seeds | models | task | picture |", "|---|---|---|---|---|---|"]
    lines += [_row(run) for run in found["runs"]]
    return "\n".join(lines) + "\n"


def _title(found: dict[str, Any]) -> str:
    names = {"walk": "Seed walk", "sweep": "Sweep", "interpolate": "Interpolation", "ab": "A/B test", "more": "More"}
    return f"{names[found['what']]} of {found['version']['name']}"


def _row(run: dict[str, Any]) -> str:
    models = {
        f"{model['name']}:{model['version']} `{model['digest'][7:19]}`"
        for held in run["models"].values()
        for model in held.values()
    }
    cells = [
        run["label"],
        ", ".join(_without_seeds(run["changes"])) or "none",
        ", ".join(f"{step} {seed}" for step, seed in run["seeds"].items()),
        ", ".join(sorted(models)),
        run["task"] or run["status"],
        ", ".join(f"`{output['asset'][7:19]}`" for output in run["outputs"]) or run["status"],
    ]
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _without_seeds(changes: Sequence[str]) -> list[str]:
    """What was changed beside seeds, which have a place of their own."""
    return [change for change in changes if target(change)[1] != "seed"]


def _cell(text: str) -> str:
    """Text that stays in its cell of a table, and is read as text."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def write(parts: Parts, variation: Variation, found: dict[str, Any], folder: Path, *, pictures: bool) -> list[Path]:
    """Write brief.json, brief.md, the sheets and clips, and with `pictures` every picture into a folder.

    Raises Conflict when a file of that name with other content is there, Damaged, NotFound.
    """
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    names: dict[str, bytes | str] = {"brief.json": text.encode(), "brief.md": markdown(found).encode()}
    for kind in ("sheets", "clips"):
        for place, digest in enumerate(dict.fromkeys(found[kind])):
            ending = _ENDINGS.get(parts.assets.get(digest).media_type, "bin")
            names[f"{kind[:-1]}{f'-{place + 1}' if place else ''}.{ending}"] = digest
    if pictures:
        names |= _pictures(parts, variation, found)
    held = {name: data if isinstance(data, bytes) else parts.blobs.read(data) for name, data in names.items()}
    return write_into(folder, held)


def _pictures(parts: Parts, variation: Variation, found: dict[str, Any]) -> dict[str, bytes | str]:
    """Each output by the number of its run, its arm and its name: "003-B-poster.png"."""
    width = max(3, len(str(len(found["runs"]))))
    names: dict[str, bytes | str] = {}
    for run in found["runs"]:
        if not run["outputs"]:
            continue
        snapshot = parts.documents.get(Snapshot, parts.tasks.get(run["task"]).snapshot)
        arm = f"-{run['arm']}" if run["arm"] else ""
        for name, output in zip(file_names(snapshot), snapshot.outputs, strict=True):
            names[f"{run['number']:0{width}}{arm}-{name}"] = output.asset
    return names
