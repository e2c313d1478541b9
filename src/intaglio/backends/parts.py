"""Parts that take a place in a model for one generation: another VAE, ControlNets. The model itself stays as it is."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from intaglio.backends.files import KINDS
from intaglio.backends.inspect import inspect_model
from intaglio.backends.loading import check_filled, checked, named, variant_of
from intaglio.backends.quiet import library
from intaglio.backends.weights import is_pickle, read_header
from intaglio.core.context import ModelFile
from intaglio.core.errors import Invalid, InvalidModel

# What a ControlNet must have in common with the U-Net it steers.
_SHARED = ("in_channels", "cross_attention_dim", "block_out_channels")
_CONDITION = "controlnet_cond_embedding."


def load_vae(file: ModelFile, base: Any, dtype: Any, device: str, logged: list[str]) -> Any:
    """The VAE of `file` for the model `base`: a folder as diffusers saves it, or a file put together as `base`'s own.

    Raises InvalidModel when it does not fit the model or its weights do not fill it, and ModelUnavailable.
    """
    if getattr(base, "vae", None) is None:
        raise Invalid(f"{type(base).__name__} has no VAE to replace")
    vae = _load(file, "vae", type(base.vae), dict(base.vae.config), dtype, logged)
    own, new = base.vae.config.get("latent_channels"), vae.config.get("latent_channels")
    if own != new:
        raise InvalidModel(f"VAE {file.name!r} is for latents of {new} channels, this model's have {own}")
    own, new = _factor(base.vae), _factor(vae)
    if own != new:
        raise InvalidModel(f"VAE {file.name!r} makes {new} pixels of a latent's side, this model's {own}")
    return vae.to(device)


def load_controlnet(file: ModelFile, base: Any, dtype: Any, device: str, logged: list[str]) -> Any:
    """The ControlNet of `file` for the model `base`: a folder, or a file put together to go with `base`'s U-Net.

    Raises InvalidModel when it was made for another model or its weights do not fill it, and ModelUnavailable.
    """
    unet, cls = getattr(base, "unet", None), library("diffusers").ControlNetModel
    if unet is None or not hasattr(unet, "mid_block"):
        raise Invalid(f"{type(base).__name__} takes no ControlNet here")
    config = {} if file.path.is_dir() else _config_beside(file, unet, cls)
    net = _load(file, "controlnet", cls, config, dtype, logged)
    for name in _SHARED:
        if _plain(net.config.get(name)) != _plain(unet.config.get(name)):
            raise InvalidModel(
                f"ControlNet {file.name!r} was made for another model: "
                f"its {name} is {net.config.get(name)}, not {unet.config.get(name)}"
            )
    _check_factor(file, net, base)
    return net.to(device)


def _check_factor(file: ModelFile, net: Any, base: Any) -> None:
    own, new = _factor(base.vae), 2 ** (len(net.config.conditioning_embedding_out_channels) - 1)
    if own != new:
        raise InvalidModel(f"ControlNet {file.name!r} shrinks its picture {new} times, this model's VAE {own} times")


def _factor(vae: Any) -> int:
    """How many pixels wide and high a VAE makes a latent."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _load(file: ModelFile, kind: str, cls: Any, config: Mapping[str, Any], dtype: Any, logged: list[str]) -> Any:
    start = len(logged)
    with checked(file):
        pickled = file.pickle_allowed and file.path.is_file() and bool(is_pickle(file.path))
        facts = inspect_model(file.path, allow_pickle=file.pickle_allowed)
        if facts.kind != kind and not pickled:
            raise InvalidModel(f"model {file.name!r} is of kind {facts.kind}, not a {KINDS[kind]}")
        if file.path.is_dir():
            part = _from_folder(file, facts.parts[kind].rpartition(".")[2], kind, dtype)
        else:
            part = _from_file(file, ".ckpt" if pickled else ".safetensors", cls, config, dtype)
        check_filled(file, {KINDS[kind]: part}, logged[start:])
    return part


def _from_folder(file: ModelFile, class_name: str, kind: str, dtype: Any) -> Any:
    if kind == "controlnet" and class_name != "ControlNetModel":
        raise InvalidModel(f"model {file.name!r} is a {class_name}; only ControlNetModel works here")
    return _part_type(file, class_name).from_pretrained(
        str(file.path), dtype=dtype, use_safetensors=True, local_files_only=True, variant=variant_of(file.path, "*")
    )


def _part_type(file: ModelFile, class_name: str) -> Any:
    diffusers = library("diffusers")
    cls = getattr(diffusers, class_name, None)
    if not (isinstance(cls, type) and issubclass(cls, diffusers.ModelMixin)):
        raise InvalidModel(f"model {file.name!r} asks for {class_name!r}, which diffusers does not have")
    return cls


def _from_file(file: ModelFile, suffix: str, cls: Any, config: Mapping[str, Any], dtype: Any) -> Any:
    """A single file says nothing about how it is put together, and diffusers would ask the hub."""
    with tempfile.TemporaryDirectory(prefix="intaglio-") as folder, named(file.path, suffix) as path:
        told = {name: value for name, value in config.items() if not name.startswith("_")}
        (Path(folder) / "config.json").write_text(json.dumps(told | {"_class_name": cls.__name__}))
        return cls.from_single_file(str(path), config=folder, dtype=dtype, local_files_only=True)


def _config_beside(file: ModelFile, unet: Any, cls: Any) -> dict[str, Any]:
    """How a ControlNet in a single file is put together: as the U-Net it steers, its eye as its own tensors say."""
    more: dict[str, Any] = {}
    if not (file.pickle_allowed and is_pickle(file.path)):
        shapes = read_header(file.path).shapes
        # conv_in, then pairs of layers that keep the channels and layers that go to the next.
        names = [f"{_CONDITION}conv_in.weight"]
        names += [f"{_CONDITION}blocks.{index}.weight" for index in range(1, len(shapes), 2)]
        more = {"conditioning_embedding_out_channels": tuple(shapes[name][0] for name in names if name in shapes)}
    with library("accelerate").init_empty_weights():
        made = cls.from_unet(
            unet, load_weights_from_unet=False, **{name: value for name, value in more.items() if value}
        )
    return dict(made.config)
