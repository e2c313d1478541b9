"""What a model file or folder is, learned without loading it (no torch, no diffusers, nothing is unpickled)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intaglio.backends.families import (
    ENLARGERS,
    FAMILY_DEFAULTS,
    UNKNOWN,
    family_of,
    family_of_pipeline,
    family_of_width,
    kind_of,
)
from intaglio.backends.weights import Header, is_pickle, read_header
from intaglio.core.errors import InvalidModel, NotFound, UnsafeModel

INDEX = "model_index.json"
CONFIG_LIMIT = 10_000_000
PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}

# Libraries a component may come from: the two, and those packages of diffusers that bring components of their own.
_LIBRARIES = {
    "diffusers", "transformers", "stable_diffusion", "stable_diffusion_safe", "stable_diffusion_xl", "deepfloyd_if",
    "kandinsky", "kolors", "latent_diffusion", "paint_by_example", "unclip", "unidiffuser", "versatile_diffusion",
    "wuerstchen", "stable_cascade", "stable_audio", "audioldm2", "musicldm", "blip_diffusion", "shap_e", "flux",
}  # fmt: skip
_WEIGHTLESS = ("Scheduler", "Tokenizer", "TokenizerFast", "Processor", "ProcessorFast", "ProcessorPil", "Extractor")
# Never loaded, so it may be missing.
_UNUSED = {"safety_checker"}
_PAIR = 2


@dataclass(frozen=True)
class ModelFacts:
    """What a model is.

    `kind` is "checkpoint", "lora", "vae", "controlnet", "textual-inversion", "upscaler" or "unknown"; `layout` is
    "diffusers" or "single-file"; `family` is "sd1", "sd2", "sdxl", "sd3", "flux", ..., or a pipeline class name.
    `defaults` holds width and height in pixels and a scheduler class name, as far as they are known, and for an
    upscaler "scale": how many times wider and higher it makes a picture; `metadata` the strings of the safetensors
    header; `parts` maps a pipeline's component to "library.Class".
    """

    kind: str
    layout: str
    family: str
    defaults: Mapping[str, object] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)


def inspect_model(path: Path, *, allow_pickle: bool = False) -> ModelFacts:
    """What the model at `path` (a file or a folder) is.

    Raises UnsafeModel when loading it could run code (a pickle under any name unless `allow_pickle`, custom Python
    code always), InvalidModel when it is damaged, incomplete or no model, and NotFound when nothing is there.
    """
    if path.is_dir():
        if (path / INDEX).is_file():
            return _pipeline_facts(path, weights=True, allow_pickle=allow_pickle)
        return _component_facts(path, allow_pickle=allow_pickle)
    if not path.is_file():
        raise NotFound("file or folder", str(path))
    if allow_pickle and is_pickle(path):
        return ModelFacts(UNKNOWN, "single-file", UNKNOWN)
    return _file_facts(read_header(path), "single-file")


def weights_file(path: Path) -> Path:
    """The one weights file of the LoRA or textual inversion at `path`: itself, or the only one in that folder.

    Raises InvalidModel when a folder holds none, or several.
    """
    if not path.is_dir():
        return path
    files = sorted(file for file in path.iterdir() if file.suffix in {".safetensors", *PICKLE_SUFFIXES})
    safe = [file for file in files if file.suffix == ".safetensors"] or files
    if len(safe) != 1:
        raise InvalidModel(
            f"{path} has no {INDEX}: not a diffusers pipeline folder; it holds {len(safe)} weights files"
        )
    return safe[0]


def _file_facts(header: Header, layout: str) -> ModelFacts:
    kind = kind_of(header.shapes)
    family = family_of(header.shapes, kind)
    defaults = FAMILY_DEFAULTS.get(family, {}) if kind == "checkpoint" else {}
    return ModelFacts(kind, layout, family, dict(defaults), header.metadata)


def inspect_config(folder: Path) -> ModelFacts:
    """What the pipeline folder that configures a single file is; it needs no weights. Raises as `inspect_model`."""
    if not (folder / INDEX).is_file():
        raise InvalidModel(f"{folder} has no {INDEX}: not a diffusers pipeline folder")
    return _pipeline_facts(folder, weights=False, allow_pickle=False)


def pipeline_class(folder: Path) -> str:
    """The name of the class that model_index.json asks for. Raises UnsafeModel when it is custom code."""
    name = _read_json(folder / INDEX).get("_class_name")
    if isinstance(name, list):
        raise UnsafeModel(f"{folder / INDEX} names custom code ({str(name)[:80]})", hint=_CODE_HINT)
    if not isinstance(name, str) or not name.isidentifier():
        raise InvalidModel(f"{folder / INDEX} names no pipeline class")
    return name


_CODE_HINT = "Use a model whose pipeline is part of diffusers."


def _pipeline_facts(folder: Path, *, weights: bool, allow_pickle: bool) -> ModelFacts:
    class_name = pipeline_class(folder)
    parts = _parts(folder)
    metadata: dict[str, str] = {}
    for name, part in parts.items():
        _check_code(folder / name)
        if name not in _UNUSED and (weights or (folder / name).is_dir()):
            metadata |= _check_part(folder, name, part, needed=weights, allow_pickle=allow_pickle)
    _check_code(folder)
    unet = _optional_json(folder / "unet" / "config.json")
    family = family_of_pipeline(class_name, unet.get("cross_attention_dim"))
    if class_name in ENLARGERS:
        return ModelFacts("upscaler", "diffusers", family, _scale(folder) | _scheduler(folder), metadata, parts)
    defaults = dict(FAMILY_DEFAULTS.get(family, {})) | _sizes(folder, unet, family) | _scheduler(folder)
    return ModelFacts("checkpoint", "diffusers", family, defaults, metadata, parts)


def _component_facts(folder: Path, *, allow_pickle: bool) -> ModelFacts:
    """A folder that holds one thing as diffusers saves it: a VAE, a ControlNet, a LoRA or a textual inversion."""
    config = _optional_json(folder / "config.json")
    class_name = str(config.get("_class_name", ""))
    kind = "vae" if "Autoencoder" in class_name else "controlnet" if "ControlNet" in class_name else ""
    if not kind:
        return _adapter_facts(folder, allow_pickle=allow_pickle)
    _check_code(folder)
    metadata = _check_weights(folder, class_name, needed=True, allow_pickle=allow_pickle)
    family = family_of_width(config.get("cross_attention_dim"))
    return ModelFacts(kind, "diffusers", family, {}, metadata, {kind: f"diffusers.{class_name}"})


def _adapter_facts(folder: Path, *, allow_pickle: bool) -> ModelFacts:
    file = weights_file(folder)
    _check_code(folder)
    _check_weights(folder, "an adapter", needed=True, allow_pickle=allow_pickle)
    if allow_pickle and is_pickle(file):
        return ModelFacts(UNKNOWN, "diffusers", UNKNOWN)
    facts = _file_facts(read_header(file), "diffusers")
    if facts.kind not in {"lora", "textual-inversion"}:
        raise InvalidModel(f"{folder} has no {INDEX}: not a diffusers pipeline folder")
    return facts


def _parts(folder: Path) -> dict[str, str]:
    parts: dict[str, str] = {}
    for name, value in _read_json(folder / INDEX).items():
        if name.startswith("_") or not isinstance(value, list) or len(value) != _PAIR or value[0] is None:
            continue
        library, class_name = str(value[0]), str(value[1])
        if library not in _LIBRARIES:
            raise UnsafeModel(
                f"{folder / INDEX} takes {name!r} from {library[:80]!r}, which is neither diffusers nor transformers",
                hint=_CODE_HINT,
            )
        if not name.isidentifier() or not class_name.isidentifier():
            raise InvalidModel(f"{folder / INDEX} names a component {name[:80]!r} that cannot be one")
        parts[name] = f"{library}.{class_name}"
    if not parts:
        raise InvalidModel(f"{folder / INDEX} names no components")
    return parts


def _check_code(folder: Path) -> None:
    code = next(folder.glob("*.py"), None)
    if code:
        raise UnsafeModel(f"{code} is Python code that comes with the model", hint=_CODE_HINT)


def _check_part(folder: Path, name: str, part: str, *, needed: bool, allow_pickle: bool) -> dict[str, str]:
    place = folder / name
    if not place.is_dir():
        raise InvalidModel(f"{folder} has no folder {name!r}, which its {INDEX} names")
    if not place.resolve().is_relative_to(folder.resolve()):
        raise InvalidModel(f"{place} leads out of the model's folder")
    if part.endswith(_WEIGHTLESS):
        return {}
    return _check_weights(place, part, needed=needed, allow_pickle=allow_pickle)


def _check_weights(place: Path, part: str, *, needed: bool, allow_pickle: bool) -> dict[str, str]:
    files = sorted(file for file in place.iterdir() if not file.is_dir())
    lost = next((file for file in files if not file.exists()), None)
    if lost:
        raise InvalidModel(f"{lost} is a link to a file that is not there")
    weights = [file for file in files if file.suffix == ".safetensors"]
    pickles = [file for file in files if file.suffix in PICKLE_SUFFIXES]
    if not weights and pickles and not allow_pickle:
        raise UnsafeModel(f"{pickles[0]} is a pickle: loading it can run code, and there is no safetensors beside it")
    if needed and not weights and not pickles:
        raise InvalidModel(f"{place} holds no weights for {part}")
    metadata: dict[str, str] = {}
    for file in weights:
        metadata |= read_header(file).metadata
    for file in files:
        if file.name.endswith(".safetensors.index.json"):
            _check_shards(file)
    return metadata


def _check_shards(index: Path) -> None:
    shards = _read_json(index).get("weight_map")
    names = set(shards.values()) if isinstance(shards, dict) else set()
    missing = sorted(str(name) for name in names if not (index.parent / str(name)).is_file())
    if missing:
        raise InvalidModel(f"{index} names the shard {missing[0][:80]!r}, which is missing")
    if not names:
        raise InvalidModel(f"{index} names no shards")


def _sizes(folder: Path, unet: Mapping[str, Any], family: str) -> dict[str, object]:
    """Width and height in pixels: the model's own sample size, in latents, times what the VAE makes of a latent."""
    sample = (unet or _optional_json(folder / "transformer" / "config.json")).get("sample_size")
    if sample is None and family == "flux":
        # FluxPipeline's own default_sample_size; its transformer's configuration has none.
        sample = 128
    blocks = _optional_json(folder / "vae" / "config.json").get("block_out_channels")
    if not isinstance(blocks, list) or not blocks:
        return {}
    height, width = sample if isinstance(sample, list) and len(sample) == _PAIR else (sample, sample)
    if type(height) is not int or type(width) is not int:
        return {}
    factor = 2 ** (len(blocks) - 1)
    return {"width": width * factor, "height": height * factor}


def _scale(folder: Path) -> dict[str, object]:
    """How many pixels of the result an upscaler makes of one: what its VAE makes of a latent."""
    blocks = _optional_json(folder / "vae" / "config.json").get("block_out_channels")
    if not isinstance(blocks, list) or not blocks:
        raise InvalidModel(f"{folder / 'vae' / 'config.json'} does not say how many times it enlarges")
    return {"scale": 2 ** (len(blocks) - 1)}


def _scheduler(folder: Path) -> dict[str, object]:
    name = _optional_json(folder / "scheduler" / "scheduler_config.json").get("_class_name")
    return {"scheduler": name} if isinstance(name, str) else {}


def _optional_json(path: Path) -> dict[str, Any]:
    return _read_json(path) if path.is_file() else {}


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InvalidModel(f"{path} is not a file")
    if path.stat().st_size > CONFIG_LIMIT:
        raise InvalidModel(f"{path} is larger than {CONFIG_LIMIT} bytes: not a configuration")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise InvalidModel(f"{path} is not valid JSON") from None
    if not isinstance(value, dict):
        raise InvalidModel(f"{path} is not a JSON object")
    return value
