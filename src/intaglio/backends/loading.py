"""From a model's files to a pipeline, without the network, without pickles and without anything left to chance."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

from intaglio.backends.inspect import inspect_config, inspect_model, pipeline_class
from intaglio.backends.quiet import library
from intaglio.backends.weights import is_pickle
from intaglio.core.context import ModelFile
from intaglio.core.errors import IntaglioError, InvalidModel, ModelUnavailable, Unavailable

# A weights file's name: stem, shard, variant, shard.
_WEIGHTS = re.compile(r"[A-Za-z_]+(?:-\d+-of-\d+)?(?:\.(\w+?))?(?:-\d+-of-\d+)?\.safetensors")
_COLOUR = re.compile("\x1b\\[[0-9;]*m")
_UNFILLED = ("newly initialized", "MISSING", "not initialized from")
# Parts that only judge or mark a finished picture; they would cost exactness and are not part of the model.
_NOT_LOADED = {"safety_checker": None, "requires_safety_checker": False, "add_watermarker": False}


def load(model: ModelFile, dtype: Any, device: str, logged: list[str]) -> Any:
    """The pipeline of `model` on `device`; `logged` is where the libraries' warnings arrive.

    Raises UnsafeModel and InvalidModel as `inspect_model`, InvalidModel for weights that do not fill the pipeline,
    ModelUnavailable when the file is gone, and Unavailable when a single file has no pipeline folder beside it.
    """
    start = len(logged)
    with checked(model):
        pipeline = _from_folder(model, dtype) if model.path.is_dir() else _from_file(model, dtype)
        check_filled(model, pipeline.components, logged[start:])
    return pipeline.to(device)


@contextmanager
def checked(model: ModelFile, failed: str = "cannot be loaded") -> Iterator[None]:
    """Around reading `model`: it is the recorded content before and after, and what the libraries make of a bad file
    becomes InvalidModel, "model NAME `failed`: why".

    Raises ModelUnavailable when the file is gone or changed meanwhile, which is then the reason for anything else.
    """
    if not model.path.exists():
        raise ModelUnavailable(f"model {model.name!r} is not at {model.path}")
    model.check()
    try:
        yield
    except IntaglioError:
        model.check()
        raise
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RuntimeError, ImportError) as error:
        model.check()
        raise InvalidModel(f"model {model.name!r} {failed}: {_brief(error)}") from error
    except Exception as error:
        # diffusers' own SingleFileComponentError derives from Exception alone; so does torch's unpickler's error.
        if type(error).__module__.partition(".")[0] not in {"diffusers", "safetensors", "safetensors_rust", "_pickle"}:
            raise
        raise InvalidModel(f"model {model.name!r} {failed}: {_brief(error)}") from error
    model.check()


def _brief(error: Exception) -> str:
    text = getattr(error, "message", "") or str(error) or type(error).__name__
    if "meta tensor" in text:
        return "it does not hold all weights of its pipeline"
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    # torch's heading over a list of what is wrong.
    told = [line for line in lines if not line.startswith("Error(s) in loading")] or lines
    return (told or [type(error).__name__])[0][:300]


def _from_folder(model: ModelFile, dtype: Any) -> Any:
    facts = inspect_model(model.path)
    if facts.kind not in {"checkpoint", "upscaler"}:
        raise InvalidModel(f"model {model.name!r} is a {facts.kind}, not a checkpoint")
    cls = _pipeline_type(model.path)
    return cls.from_pretrained(
        str(model.path),
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        variant=variant_of(model.path),
        **_left_out(cls),
    )


def _from_file(model: ModelFile, dtype: Any) -> Any:
    facts = inspect_model(model.path, allow_pickle=model.pickle_allowed)
    pickled = model.pickle_allowed and bool(is_pickle(model.path))
    if facts.kind != "checkpoint" and not pickled:
        raise InvalidModel(f"model {model.name!r} is of kind {facts.kind}, not a checkpoint")
    if model.config is None:
        # diffusers would look for a configuration on the hub here, even when told to use local files only.
        raise Unavailable(
            f"model {model.name!r} ({facts.family}) needs a pipeline folder that says how it is put together",
            hint="Add it with one: intaglio models add FILE --config FOLDER",
        )
    inspect_config(model.config)
    cls = _pipeline_type(model.config)
    if not hasattr(cls, "from_single_file"):
        raise InvalidModel(f"{cls.__name__} does not load single files; use a pipeline folder")
    with named(model.path, ".ckpt" if pickled else ".safetensors") as path:
        return cls.from_single_file(
            str(path), config=str(model.config), dtype=dtype, local_files_only=True, **_left_out(cls)
        )


@contextmanager
def named(path: Path, suffix: str) -> Iterator[Path]:
    """A path to the same file that ends in `suffix`: diffusers unpickles any file not named .safetensors.

    What it unpickles, it does with torch's weights-only reader, which builds tensors and nothing else.
    """
    if path.suffix == suffix:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="intaglio-") as folder:
        link = Path(folder) / f"model{suffix}"
        link.symlink_to(path.resolve())
        yield link


def _pipeline_type(folder: Path) -> Any:
    diffusers = library("diffusers")
    name = pipeline_class(folder)
    cls = getattr(diffusers, name, None)
    if not (isinstance(cls, type) and issubclass(cls, diffusers.DiffusionPipeline)):
        raise InvalidModel(f"{folder} asks for {name!r}, which diffusers {diffusers.__version__} does not have")
    return cls


def _left_out(cls: Any) -> dict[str, Any]:
    taken = signature(cls.__init__).parameters
    return {name: value for name, value in _NOT_LOADED.items() if name in taken}


def variant_of(folder: Path, files: str = "*/*") -> str | None:
    """The variant ("fp16") to load when some component of `folder` has its weights in no other form."""
    found: set[str] = set()
    for place in {file.parent for file in folder.glob(f"{files}.safetensors")}:
        # What tools leave beside a model is no part of it, nor of its digest, and decides nothing.
        if place.name.startswith((".", "__")):
            continue
        names = (_WEIGHTS.fullmatch(file.name) for file in place.glob("*.safetensors"))
        variants = {match.group(1) or "" for match in names if match}
        if "" not in variants:
            found |= variants
    return "fp16" if "fp16" in found else min(found, default=None)


def check_filled(model: ModelFile, parts: Mapping[str, Any], logged: list[str]) -> None:
    """Refuse weights with holes: the libraries would fill them with random numbers and say so in a log line."""
    for name, part in parts.items():
        if hasattr(part, "parameters") and any(tensor.is_meta for tensor in part.parameters()):
            raise InvalidModel(f"model {model.name!r} does not hold all weights of its {name}")
    lines = (line for text in logged for line in text.splitlines())
    line = next((line for line in lines if any(mark in line for mark in _UNFILLED)), None)
    if line is not None:
        reason = " ".join(_COLOUR.sub("", line).split())[:300]
        raise InvalidModel(f"model {model.name!r} does not hold all weights of its pipeline: {reason}")
