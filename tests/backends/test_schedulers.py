"""Scheduler names, without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from intaglio.backends import schedulers
from intaglio.core.errors import BackendMissing, Invalid


def test_a_field_name_stands_for_a_class_and_its_settings() -> None:
    name, settings = schedulers.scheduler_class("dpmpp_2m_sde_k")
    assert name == "DPMSolverMultistepScheduler"
    assert dict(settings) == {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True}


def test_the_settings_cannot_be_changed_by_a_caller() -> None:
    _, settings = schedulers.scheduler_class("euler_k")
    with pytest.raises(TypeError):
        settings["use_karras_sigmas"] = False  # type: ignore[index]


def test_a_class_name_stands_for_itself() -> None:
    assert schedulers.scheduler_class("SASolverScheduler") == ("SASolverScheduler", {})


def test_an_unknown_name_is_refused_with_near_matches() -> None:
    with pytest.raises(Invalid, match="no scheduler 'euler_aa'") as caught:
        schedulers.scheduler_class("euler_aa")
    assert "euler_a" in caught.value.hint


@pytest.mark.parametrize("name", ["", "os.system", "eulerScheduler()", "x" * 10_000, "DDIMScheduler\n", "🦄"])
def test_names_that_are_no_names_are_refused(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        schedulers.scheduler_class(name)
    assert "x" * 100 not in str(caught.value)
    assert caught.value.hint


def test_a_scheduler_whose_package_is_missing_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedulers, "find_spec", lambda name: None)
    assert "lms" not in schedulers.known_schedulers()
    with pytest.raises(BackendMissing, match="needs the package scipy") as caught:
        schedulers.scheduler_class("lms")
    assert "pip install scipy" in caught.value.hint


def test_a_scheduler_whose_package_is_there_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedulers, "find_spec", lambda name: object())
    assert {"lms", "dpmpp_sde_k"} <= set(schedulers.known_schedulers())
    assert schedulers.scheduler_class("lms") == ("LMSDiscreteScheduler", {})


def test_names_and_facts_are_known_without_torch() -> None:
    code = "import sys, intaglio.backends.schedulers, intaglio.backends.inspect; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
