"""Perturbations of model files."""

from __future__ import annotations

import os
import shutil

from benchmarks.truth_machine.catalogue import perturbation
from benchmarks.truth_machine.doors import Here
from benchmarks.truth_machine.files import PLACES, OwnModel, with_flipped_byte, with_metadata, with_other_weights
from benchmarks.truth_machine.trial import Expected, Trial, approximate, partial, restorable

SAME_WEIGHTS = "same weights, other header"


def _tell(trial: Trial, model: OwnModel) -> None:
    """Have the library know where a model is now: by a scan of the folder, or by adding it, under whatever name."""
    if trial.source.random() < 0.5:
        trial.studio.models.scan(model.path.parent)
    else:
        name = trial.source.choice((model.name, f"{model.name}-again"))
        trial.studio.models.add(model.path, name=name)


def _maybe_scan(trial: Trial) -> None:
    """Now and then the index is brought up to date with what was done; that must not change what is said."""
    if trial.source.random() < 0.5:
        trial.studio.models.scan(trial.folder / "models")


@perturbation("model renamed", "own", weight=3)
def _renamed(trial: Trial) -> Expected:
    trial.run()
    model = trial.own
    model.move(model.path.with_name("another-name" + model.path.suffix))
    _tell(trial, model)
    return Expected()


@perturbation("model moved", "own", weight=3)
def _moved(trial: Trial) -> Expected:
    trial.run()
    model = trial.own
    model.move(trial.folder / "elsewhere" / "deep" / model.path.name)
    _tell(trial, model)
    return Expected()


@perturbation("model moved and nobody told", "own")
def _lost(trial: Trial) -> Expected:
    trial.run()
    model = trial.own
    model.move(trial.folder / "elsewhere" / model.path.name)
    return partial(("model.missing", model.name), repair=lambda: _tell(trial, model))


@perturbation("model header edited", "own", weight=3)
def _header_edited(trial: Trial) -> Expected:
    trial.run()
    trial.studio.models.hash_pending()  # what the command does behind everything else
    model = trial.own
    data = model.weights.read_bytes()
    model.weights.write_bytes(with_metadata(data, author="somebody else"))
    _maybe_scan(trial)
    return partial(("model.changed", model.name), words=SAME_WEIGHTS, repair=lambda: model.weights.write_bytes(data))


@perturbation("one weight byte changed", "own", weight=3)
def _byte_changed(trial: Trial) -> Expected:
    trial.run()
    if trial.source.random() < 0.5:
        trial.studio.models.hash_pending()
    model, at = trial.own, trial.source.randrange(2, 2000)
    with_flipped_byte(model.weights, at)
    _maybe_scan(trial)
    return partial(
        ("model.changed", model.name),
        other_words=SAME_WEIGHTS,
        repair=lambda: with_flipped_byte(model.weights, at),  # the same bit again
    )


@perturbation("model replaced", "own", weight=3)
def _replaced(trial: Trial) -> Expected:
    trial.run()
    model = trial.own
    data = model.weights.read_bytes()
    _swap(model, with_other_weights(data))
    _maybe_scan(trial)
    return partial(
        ("model.changed", model.name), other_words=SAME_WEIGHTS, repair=lambda: model.weights.write_bytes(data)
    )


@perturbation("model replaced, the current one chosen", "own")
def _replaced_and_used(trial: Trial) -> Expected:
    trial.run()
    model = trial.own
    _swap(model, with_other_weights(model.weights.read_bytes()))
    _maybe_scan(trial)
    return approximate(("model.substituted", model.name), door=Here(trial.studio, models="current"))


def _swap(model: OwnModel, data: bytes) -> None:
    """Another file in its place, as most tools save: under another name first, then renamed over it."""
    beside = model.weights.with_name("beside")
    beside.write_bytes(data)
    os.replace(beside, model.weights)


@perturbation("model deleted", "own", weight=3)
def _deleted(trial: Trial) -> Expected:
    trial.run()
    model, aside = trial.own, trial.folder / "aside"
    place = model.path
    model.move(aside)
    _maybe_scan(trial)
    return partial(("model.missing", model.name), repair=lambda: model.move(place))


@perturbation("model deleted but archived", "own", weight=3)
def _archived(trial: Trial) -> Expected:
    trial.run()
    trial.studio.models.keep(trial.own.name, copy=trial.source.random() < 0.3)
    trial.own.delete()
    _maybe_scan(trial)
    return restorable(trial.own.name)


@perturbation("model changed but archived", "own")
def _changed_archived(trial: Trial) -> Expected:
    trial.run()
    trial.studio.models.keep(trial.own.name, copy=True)
    with_flipped_byte(trial.own.weights, trial.source.randrange(2, 2000))
    return restorable(trial.own.name)


@perturbation("model archived by link, then changed inside", "own", weight=1)
def _changed_with_archive(trial: Trial) -> Expected:
    """The kept copy shares its bytes with the file where the file system has hard links and nothing better."""
    trial.run()
    kept = trial.studio.models.keep(trial.own.name).kept
    with_flipped_byte(trial.own.weights, trial.source.randrange(2, 2000))
    if kept.how == "hard link":
        return partial(("model.changed", trial.own.name))
    return restorable(trial.own.name)


@perturbation("model deleted, the archive damaged", "own", weight=1)
def _archive_damaged(trial: Trial) -> Expected:
    trial.run()
    model = trial.own
    trial.studio.models.keep(model.name, copy=True)
    kept = trial.studio.models.find(model.name)
    digest = next((part.digest for part in kept.files if part.path == model.inner), kept.digest)
    blob = trial.blob(digest)
    blob.chmod(0o644)
    with_flipped_byte(blob, 100)
    model.delete()
    return partial(("model.missing", model.name))


@perturbation("LoRA file changed", "own", "loras", weight=3)
def _lora_changed(trial: Trial) -> Expected:
    trial.run()
    model, data = trial.own, trial.own.path.read_bytes()
    if trial.source.random() < 0.5:
        shutil.copyfile(PLACES["dusk"], model.path)
    else:
        with_flipped_byte(model.path, trial.source.randrange(2, 2000))
    return partial(("model.changed", model.name), repair=lambda: model.path.write_bytes(data))


@perturbation("ControlNet file deleted", "own", "controlnet", "reference", weight=1)
def _controlnet_deleted(trial: Trial) -> Expected:
    trial.run()
    trial.own.delete()
    return partial(("model.missing", trial.own.name))


@perturbation("model and reference both lost", "own", "reference")
def _two_lost(trial: Trial) -> Expected:
    trial.run()
    model = trial.own
    with_flipped_byte(model.weights, 10)
    blob = trial.blob(trial.digest_of_reference())
    data = blob.read_bytes()
    blob.unlink()

    def repair() -> None:
        with_flipped_byte(model.weights, 10)
        picture = trial.folder / "found-again"
        picture.write_bytes(data)
        trial.studio.assets.add([picture])

    return partial(("model.changed", model.name), ("input.missing", "ref.image"), repair=repair)
