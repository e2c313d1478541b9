"""The bundled model as one file, with the names that the first Stable Diffusion gave its tensors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from intaglio.backends.quiet import library


def _swap(name: str, pairs: list[tuple[str, str]]) -> str:
    for pattern, replacement in pairs:
        name = re.sub(pattern, replacement, name)
    return name


_RESNET = [
    (r"\.norm1\.", ".in_layers.0."), (r"\.conv1\.", ".in_layers.2."), (r"\.time_emb_proj\.", ".emb_layers.1."),
    (r"\.norm2\.", ".out_layers.0."), (r"\.conv2\.", ".out_layers.3."), (r"\.conv_shortcut\.", ".skip_connection."),
]  # fmt: skip


def _unet_name(name: str, layers: int, attention: set[str]) -> str:
    """The name the first Stable Diffusion gave to the U-Net tensor that diffusers calls `name`."""
    heads = [
        (r"^time_embedding\.linear_1\.", "time_embed.0."), (r"^time_embedding\.linear_2\.", "time_embed.2."),
        (r"^conv_in\.", "input_blocks.0.0."), (r"^conv_norm_out\.", "out.0."), (r"^conv_out\.", "out.2."),
        (r"^mid_block\.resnets\.0\.", "middle_block.0."), (r"^mid_block\.attentions\.0\.", "middle_block.1."),
        (r"^mid_block\.resnets\.1\.", "middle_block.2."),
    ]  # fmt: skip
    found = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
    if found:
        side, block, part, index, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        first = block * (layers + 1)
        if part == "downsamplers":
            name = f"input_blocks.{first + layers + 1}.0.op.{rest.removeprefix('conv.')}"
        elif part == "upsamplers":
            name = f"output_blocks.{first + layers}.{2 if f'up_blocks.{block}' in attention else 1}.{rest}"
        else:
            place = f"input_blocks.{first + index + 1}" if side == "down" else f"output_blocks.{first + index}"
            name = f"{place}.{0 if part == 'resnets' else 1}.{rest}"
    name = _swap(name, heads)
    return name if ".transformer_blocks." in name else _swap(name, _RESNET)


def _vae_name(name: str, blocks: int) -> str:
    name = re.sub(r"decoder\.up_blocks\.(\d+)", lambda found: f"decoder.up.{blocks - 1 - int(found[1])}", name)
    pairs = [
        (r"encoder\.down_blocks\.", "encoder.down."), (r"\.resnets\.", ".block."),
        (r"\.downsamplers\.0\.", ".downsample."), (r"\.upsamplers\.0\.", ".upsample."),
        (r"\.mid_block\.block\.0\.", ".mid.block_1."), (r"\.mid_block\.block\.1\.", ".mid.block_2."),
        (r"\.mid_block\.attentions\.0\.group_norm\.", ".mid.attn_1.norm."),
        (r"\.mid_block\.attentions\.0\.to_([qkv])\.", r".mid.attn_1.\1."),
        (r"\.mid_block\.attentions\.0\.to_out\.0\.", ".mid.attn_1.proj_out."),
        (r"conv_norm_out", "norm_out"), (r"conv_shortcut", "nin_shortcut"),
    ]  # fmt: skip
    return _swap(name, pairs)


def _vae_tensor(name: str, tensor: Any) -> Any:
    """Attention was made of 1x1 convolutions then."""
    return tensor[:, :, None, None] if ".attn_1." in name and tensor.ndim == 2 else tensor


def one_file(folder: Path) -> dict[str, Any]:
    """All tensors of a pipeline folder under the names of a single-file checkpoint."""
    weights = library("safetensors.torch")
    config = json.loads((folder / "unet" / "config.json").read_text())
    layers = config["layers_per_block"]
    attention = {f"up_blocks.{i}" for i, kind in enumerate(config["up_block_types"]) if "CrossAttn" in kind}
    blocks = len(json.loads((folder / "vae" / "config.json").read_text())["block_out_channels"])
    tensors: dict[str, Any] = {}
    for name, tensor in weights.load_file(folder / "unet" / "diffusion_pytorch_model.safetensors").items():
        tensors["model.diffusion_model." + _unet_name(name, layers, attention)] = tensor
    for name, tensor in weights.load_file(folder / "vae" / "diffusion_pytorch_model.safetensors").items():
        old = _vae_name(name, blocks)
        tensors["first_stage_model." + old] = _vae_tensor(old, tensor).contiguous()
    for name, tensor in weights.load_file(folder / "text_encoder" / "model.safetensors").items():
        whole = name if name.startswith("text_model.") else f"text_model.{name}"
        tensors["cond_stage_model.transformer." + whole] = tensor
    return tensors
