"""What resolving a workflow asks a library for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from intaglio.core.errors import ModelUnavailable
from intaglio.core.model import ModelVersion
from intaglio.core.plan import AssetRef
from intaglio.core.seeds import FIRST_IN_SEQUENCE, drawer
from intaglio.core.workflow import Workflow
from intaglio.engine.resources import Resources
from intaglio.studio.assets import Assets, is_relative
from intaglio.studio.files import reached
from intaglio.studio.models import Models
from intaglio.studio.parts import Parts


def _check_newest(models: Models, model: ModelVersion, reference: str) -> None:
    """Whether what a mere name means is what lies where that was. Content that is also elsewhere does not make up for
    another file in its place: who says only a name means the file that has it. Raises ModelUnavailable."""
    checked = models.verify(f"{model.name}:{model.version}")
    if checked.state == "changed":
        raise ModelUnavailable(
            f"model {reference!r} means {model.name}:{model.version}, and its file is another one now: {checked.found}",
            hint=f"Index it again (intaglio models scan {checked.path.parent}), or name a version: "
            f"{model.name}:{model.version}.",
        )


def glancing(parts: Parts) -> Resources:
    """The same for a check: a model must be known, of the right kind and somewhere; no byte of it is read."""
    models = Models(parts)

    def find_model(reference: str, kind: str) -> ModelVersion:
        model = models.find(reference, kind)
        for digest in model.ref.digests:
            models.check_there(digest, kept=models.is_exact(reference))
        return model

    return replace(resources(parts, Path()), find_model=find_model)


def resources(parts: Parts, base: Path | None, *, paranoid: bool = False) -> Resources:
    """Seeds, models, reference pictures and settled values of one library; relative paths start from `base`.

    None for `base`: the workflow comes from the library, and a relative path in it would mean any file of that name.
    """
    models, assets = Models(parts), Assets(parts)
    checked: dict[str, ModelVersion] = {}

    def find_model(reference: str, kind: str) -> ModelVersion:
        model = models.find(reference, kind)
        if model.digest not in checked:
            # A model that is not there is refused before any work; a mere name does not take one from the archive.
            models.file(model.ref, full=paranoid, kept=models.is_exact(reference))
            if not models.is_exact(reference):
                _check_newest(models, model, reference)
            checked[model.digest] = model
        return model

    def take_image(given: str) -> AssetRef:
        return assets.take(given, base)

    return Resources(
        types=parts.types,
        draw=drawer(
            parts.settings.seeds,
            now=datetime.now,
            next_in_sequence=lambda: parts.counters.next("seed", FIRST_IN_SEQUENCE),
        ),
        find_model=find_model,
        is_exact=models.is_exact,
        take_image=take_image,
        settle=parts.settle_rules(),
        is_file=lambda given: base is not None or _is_somewhere(given, parts.reach),
        threads=parts.settings.threads,
        deterministic=parts.settings.deterministic,
    )


def _is_somewhere(given: str, reach: Path | None) -> bool:
    """Whether a picture can be looked for by what was typed, which starts from no folder."""
    return not is_relative(given) if reach is None else reached(given, reach) is not None


def check_alone(parts: Parts, workflow: Workflow) -> None:
    """Check a workflow by itself, whatever models there are; in production also that it is fixed.

    Raises InvalidWorkflow, UnpinnedSeed, UnpinnedModel, Unfixed.
    """
    from intaglio.engine.resolve import check

    check(workflow, resources(parts, Path()))
