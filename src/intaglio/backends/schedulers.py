"""Schedulers by the names people know them by, and by their diffusers class names. No torch at import."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType

from intaglio.core.errors import BackendMissing, Invalid

Settings = Mapping[str, object]

_KARRAS: dict[str, object] = {"use_karras_sigmas": True}
_SDE: dict[str, object] = {"algorithm_type": "sde-dpmsolver++"}

# Field name -> diffusers class and what its configuration changes. The names are those of InvokeAI, which say the
# same as AUTOMATIC1111's and ComfyUI's; `_k` is "Karras". What is not named here is left as the model has it.
_TABLE: dict[str, tuple[str, dict[str, object]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "deis_k": ("DEISMultistepScheduler", _KARRAS),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_k": ("DPMSolverMultistepScheduler", _KARRAS),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", _SDE),
    "dpmpp_2m_sde_k": ("DPMSolverMultistepScheduler", _SDE | _KARRAS),
    "dpmpp_2s": ("DPMSolverSinglestepScheduler", {}),
    "dpmpp_2s_k": ("DPMSolverSinglestepScheduler", _KARRAS),
    "dpmpp_3m": ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    "dpmpp_3m_k": ("DPMSolverMultistepScheduler", {"solver_order": 3} | _KARRAS),
    "dpmpp_sde": ("DPMSolverSDEScheduler", {}),
    "dpmpp_sde_k": ("DPMSolverSDEScheduler", _KARRAS),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_k": ("EulerDiscreteScheduler", _KARRAS),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "flow_euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow_heun": ("FlowMatchHeunDiscreteScheduler", {}),
    "flow_lcm": ("FlowMatchLCMScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "heun_k": ("HeunDiscreteScheduler", _KARRAS),
    "kdpm_2": ("KDPM2DiscreteScheduler", {}),
    "kdpm_2_k": ("KDPM2DiscreteScheduler", _KARRAS),
    "kdpm_2_a": ("KDPM2AncestralDiscreteScheduler", {}),
    "kdpm_2_a_k": ("KDPM2AncestralDiscreteScheduler", _KARRAS),
    "lcm": ("LCMScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "lms_k": ("LMSDiscreteScheduler", _KARRAS),
    "plms": ("PNDMScheduler", {"skip_prk_steps": True}),
    "pndm": ("PNDMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "unipc_k": ("UniPCMultistepScheduler", _KARRAS),
}
# Classes that diffusers offers only beside another package.
_NEEDS = {"DPMSolverSDEScheduler": "torchsde", "LMSDiscreteScheduler": "scipy"}
_CLASS_NAME = re.compile(r"[A-Z][A-Za-z0-9]{0,60}Scheduler")


def known_schedulers() -> tuple[str, ...]:
    """The field names usable here, in order; those that need a package that is not installed are left out."""
    return tuple(name for name, (cls, _) in _TABLE.items() if _missing_package(cls) is None)


def scheduler_class(name: str) -> tuple[str, Settings]:
    """The diffusers class name and the settings that `name`, a field name or a diffusers class name, stands for.

    Whether diffusers has a class of that name is only known when it is loaded. Raises Invalid for any other name,
    with near matches, and BackendMissing when the scheduler needs a package that is not installed.
    """
    cls, settings = _TABLE.get(name, (name, {}))
    if name not in _TABLE and not _CLASS_NAME.fullmatch(name):
        raise unknown_scheduler(name, known_schedulers())
    package = _missing_package(cls)
    if package is not None:
        hint = f"Install it with: pip install {package}"
        raise BackendMissing(f"scheduler {name!r} needs the package {package}", hint=hint)
    return cls, MappingProxyType(settings)


def unknown_scheduler(name: str, known: tuple[str, ...]) -> Invalid:
    """The error for a scheduler that is not among `known`, naming those that look like it."""
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5) or difflib.get_close_matches(name, known)
    known_ones = f"Known are: {', '.join(known)}; or a diffusers class name."
    hint = f"Did you mean {' or '.join(near)}?" if near else known_ones
    return Invalid(f"no scheduler {name[:80]!r}", hint=hint)


def _missing_package(class_name: str) -> str | None:
    package = _NEEDS.get(class_name)
    return package if package and find_spec(package) is None else None
