"""Perturbations of what surrounds a run: libraries, processor, threads, processes, places, languages."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest import mock

from benchmarks.truth_machine.catalogue import perturbation
from benchmarks.truth_machine.doors import Command, Here
from benchmarks.truth_machine.trial import Expected, Trial, approximate, partial
from intaglio.core.environment import Cpu
from intaglio.engine.environment import library_versions

# Which libraries can change pixels: in every node, and where a model runs. Of the others a change is of no account.
EVERY_NODE = ("numpy", "pillow")
MODELS = ("torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "tokenizers")
NEITHER = ("pydantic", "sqlalchemy", "blake3", "rfc8785")


def _with_libraries(**versions: str) -> AbstractContextManager[Any]:
    """Other versions of libraries than there are, as far as a record can tell."""
    return mock.patch("intaglio.engine.environment.library_versions", return_value={**library_versions(), **versions})


@perturbation("library version changed", weight=6)
def _library(trial: Trial) -> Expected:
    name = trial.source.choice((*EVERY_NODE, *MODELS) if trial.draft.uses_models else EVERY_NODE)
    with _with_libraries(**{name: trial.source.choice(("0.0.1", "99.1"))}):
        trial.run()
    return approximate(("library.changed", name))


@perturbation("version of a library that makes no pixels changed")
def _other_library(trial: Trial) -> Expected:
    name = trial.source.choice(NEITHER if trial.draft.uses_models else (*NEITHER, *MODELS))
    with _with_libraries(**{name: "0.0.1"}):
        trial.run()
    return Expected()


@perturbation("two library versions changed")
def _two_libraries(trial: Trial) -> Expected:
    with _with_libraries(numpy="0.0.1", pillow="0.0.1", sqlalchemy="0.0.1"):
        trial.run()
    return approximate(("library.changed", "numpy"), ("library.changed", "pillow"))


@perturbation("library not installed any more", "models")
def _library_gone(trial: Trial) -> Expected:
    trial.run()
    name = trial.source.choice(("peft", "accelerate"))
    without = ExitStack()
    without.enter_context(_with_libraries(**{name: ""}))
    trial.during(without)  # at the latest then
    return partial(("library.missing", name), repair=without.close)


@perturbation("Python changed")
def _python(trial: Trial) -> Expected:
    version = trial.source.choice(("3.9.1", "4.0.0"))
    with mock.patch("platform.python_version", return_value=version):
        trial.run()
    return approximate(("python.changed", "python"))


@perturbation("Python changed by its last number", weight=1)
def _python_patch(trial: Trial) -> Expected:
    import platform

    with mock.patch("platform.python_version", return_value=platform.python_version() + "7"):
        trial.run()
    return Expected()


@perturbation("processor changed")
def _processor(trial: Trial) -> Expected:
    """Counts only where a model ran: everything else is exact arithmetic."""
    other = Cpu(model="Another Processor", instruction_set="avx2", cores=4)
    with mock.patch("intaglio.engine.environment.cpu", return_value=other):
        trial.run()
    return approximate(("device.changed", "cpu")) if trial.draft.uses_models else Expected()


@perturbation("thread count", "models", weight=3)
def _threads(trial: Trial) -> Expected:
    """Made with one count, asked for under a setting of another: the recorded count is used again."""
    then, now = trial.source.choice(((1, 2), (2, 1), (2, 3)))
    shared, trial.studio = trial.studio, trial.open(trial.bench.reopened(trial.studio.root, threads=then))
    trial.run()
    trial.studio = shared
    later = shared if now == 1 else trial.open(trial.bench.reopened(shared.root, threads=now))
    return Expected(door=Here(later))


# -- processes and places ---------------------------------------------------------------------------------------------


def _process(trial: Trial, **environment: str) -> Expected:
    trial.run()
    return Expected(door=Command(trial.studio, environment, trial.folder))


@perturbation("another process", weight=2, slow=True)
def _another_process(trial: Trial) -> Expected:
    return _process(trial)


@perturbation("another user name", weight=1, slow=True)
def _user(trial: Trial) -> Expected:
    return _process(trial, INTAGLIO_AUTHOR="Żółw", USER="nobody", LOGNAME="nobody", HOME=str(trial.folder))


@perturbation("another time zone", weight=1, slow=True)
def _zone(trial: Trial) -> Expected:
    return _process(trial, TZ=trial.source.choice(("Pacific/Kiritimati", "America/St_Johns", "UTC-14")))


@perturbation("another locale", weight=1, slow=True)
def _locale(trial: Trial) -> Expected:
    return _process(trial, LC_ALL=trial.source.choice(("C", "POSIX", "tr_TR.UTF-8", "de_DE")), PYTHONUTF8="0")


@perturbation("another hash seed", weight=1, slow=True)
def _hash_seed(trial: Trial) -> Expected:
    return _process(trial, PYTHONHASHSEED=str(trial.source.randrange(1, 1000)))


@perturbation("narrower vector instructions in another process", "models", weight=1, slow=True)
def _capability(trial: Trial) -> Expected:
    """What stands in for another processor; the picture may really differ. The switch itself is a difference too."""
    trial.run()
    if trial.source.random() < 0.5:
        gaps = [("device.changed", "cpu_capability"), ("device.changed", "switches")]
        return approximate(*gaps, door=Command(trial.studio, {"ATEN_CPU_CAPABILITY": "default"}, trial.folder))
    door = Command(trial.studio, {"ONEDNN_MAX_CPU_ISA": "AVX2"}, trial.folder)
    return approximate(("device.changed", "switches"), door=door)


@perturbation("library folder moved", weight=3)
def _folder(trial: Trial) -> Expected:
    trial.studio = trial.bench.new_library(trial.folder / "here")
    try:
        trial.run()
    finally:
        trial.studio.close()
    target = trial.folder / "über all" / "there"
    target.mkdir(parents=True)
    shutil.move(trial.studio.root, target / ".intaglio")
    trial.studio = trial.open(trial.bench.reopened(target))
    return Expected()


@perturbation("another user in the same library", weight=1)
def _colleague(trial: Trial) -> Expected:
    trial.run()
    return Expected(door=Here(trial.open(trial.bench.reopened(trial.studio.root, author="Grace"))))


@perturbation("scheduler not known any more", "models")
def _scheduler_gone(trial: Trial) -> Expected:
    """A later version of Intaglio, or of what it stands on, calls the recorded sampler by another name."""
    from intaglio.backends import schedulers

    trial.run()
    recorded = trial.draft.nodes["base"]["params"]["scheduler"]
    without = {name: found for name, found in schedulers._TABLE.items() if name != recorded}
    trial.during(mock.patch.object(schedulers, "_TABLE", without))
    return partial(*(("parameter.unknown", f"{step}.scheduler") for step in trial.draft.steps("base")))
