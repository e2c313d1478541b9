"""Low-rank adapters on a warm model: attached, weighed, and taken off again without a trace.

diffusers and peft do the work. They wrap the layers of a model and leave its own weights as they are, so taking an
adapter off gives back the very layers that were there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from intaglio.backends.files import adapter_file, adapter_tensors
from intaglio.backends.loading import checked, named
from intaglio.backends.quiet import library
from intaglio.core.context import Hooks, Lora, ModelFile
from intaglio.core.errors import Invalid, InvalidModel

_DOWN = (".lora_down.weight", ".lora_A.weight", ".lora.down.weight", "_lora.down.weight", ".lora_A.default.weight")
_UP = (".lora_up.weight", ".lora_B.weight", ".lora.up.weight", "_lora.up.weight", ".lora_B.default.weight")
_ALPHA = ".alpha"


@dataclass(frozen=True)
class _Attached:
    """What a model carries: the digests of its adapters in their order, and remarks on them."""

    digests: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


# What each warm model carries; it goes when the model goes.
_carried: WeakKeyDictionary[Any, _Attached] = WeakKeyDictionary()


def carry(base: Any, loras: tuple[Lora, ...], hooks: Hooks) -> None:
    """Make `base` carry exactly `loras` with their weights; their order does not count.

    Raises Invalid for a model that takes none, InvalidModel for a file that is no LoRA or fits nothing in this model
    (`base` is then half-way and must be dropped), BackendMissing without peft, and ModelUnavailable.
    """
    ordered = sorted(loras, key=lambda lora: (lora.file.digest, lora.weight))
    digests = tuple(lora.file.digest for lora in ordered)
    attached = _carried.get(base, _Attached())
    if attached.digests != digests:
        attached = _exchange(base, [lora.file for lora in ordered], attached)
    if ordered:
        base.set_adapters(_names(ordered), adapter_weights=[lora.weight for lora in ordered])
    for remark in attached.remarks:
        hooks.note(remark)


def _names(adapters: Iterable[object]) -> list[str]:
    return [f"lora_{index}" for index, _ in enumerate(adapters)]


def _exchange(base: Any, files: list[ModelFile], attached: _Attached) -> _Attached:
    if attached.digests:
        base.unload_lora_weights()
    _carried.pop(base, None)
    if not files:
        return _Attached()
    library("peft")
    if not hasattr(base, "load_lora_weights"):
        raise Invalid(f"{type(base).__name__} takes no LoRA")
    remarks = tuple(filter(None, map(_attach, [base] * len(files), files, _names(files))))
    _carried[base] = _Attached(tuple(file.digest for file in files), remarks)
    return _carried[base]


def _attach(base: Any, file: ModelFile, name: str) -> str:
    """Attach one LoRA under `name`; returns a remark when some of it has no place in the model."""
    tensors = adapter_tensors(file, "lora")
    layers = _layers(file, tensors)
    with checked(file, "does not fit this model as a LoRA"):
        path, pickled = adapter_file(file, "lora")
        if pickled or _uneven(tensors, layers):
            base.load_lora_weights(_weighed(tensors, layers), adapter_name=name)
        else:
            with named(path, ".safetensors") as link:
                base.load_lora_weights(
                    str(link.parent), weight_name=link.name, adapter_name=name, use_safetensors=True,
                    local_files_only=True,
                )  # fmt: skip
    placed = _placed(base, name)
    if not placed:
        raise InvalidModel(f"LoRA {file.name!r} fits nothing in this model", hint="Use one for this family of models.")
    return "" if placed >= len(layers) else f"LoRA {file.name!r}: {placed} of its {len(layers)} layers fit this model"


def _layers(file: ModelFile, tensors: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The two halves of each layer by what their names begin with. Raises InvalidModel for a half alone."""
    if any("dora_scale" in name for name in tensors):
        raise InvalidModel(f"LoRA {file.name!r} is a DoRA in kohya's layout, which diffusers loads only in part")
    halves: dict[str, list[str]] = {}
    for name in tensors:
        for ends in (_DOWN, _UP):
            end = next((end for end in ends if name.endswith(end)), None)
            if end:
                halves.setdefault(name.removesuffix(end) + end[0], []).append(name)
    alone = next((stem for stem, names in halves.items() if len(names) != len((_DOWN, _UP))), None)
    if alone is not None or not halves:
        what = f"holds only half of {alone[:-1][:80]!r}" if alone else "is of a kind that diffusers does not load here"
        raise InvalidModel(f"LoRA {file.name!r} {what}")
    pairs = {stem[:-1]: sorted(names, key=lambda name: name.endswith(_UP)) for stem, names in halves.items()}
    return {stem: (names[0], names[1]) for stem, names in pairs.items()}


def _uneven(tensors: Mapping[str, Any], layers: Mapping[str, object]) -> bool:
    """Whether the layers have strengths of their own: diffusers 0.42 would give them all the commonest one."""
    alphas = {stem: float(tensors[stem + _ALPHA]) for stem in layers if stem + _ALPHA in tensors}
    return bool(alphas) and (len(alphas) < len(layers) or len(set(alphas.values())) > 1)


def _weighed(tensors: Mapping[str, Any], layers: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """The tensors with each layer's strength, alpha over rank, worked into its second half."""
    weighed = {name: tensor for name, tensor in tensors.items() if not name.endswith(_ALPHA)}
    for stem, (down, up) in layers.items():
        if stem + _ALPHA in tensors:
            weighed[up] = tensors[up].float() * (float(tensors[stem + _ALPHA]) / tensors[down].shape[0])
    return weighed


def _placed(base: Any, name: str) -> int:
    """How many layers of the model carry the adapter `name`."""
    layer = library("peft.tuners.tuners_utils").BaseTunerLayer
    parts = [part for part in base.components.values() if hasattr(part, "modules")]
    return sum(isinstance(module, layer) and name in module.r for part in parts for module in part.modules())
