"""Small random adapters for the models of these tests, written the ways that trainers write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from intaglio.backends.quiet import library, quiet
from intaglio.core.context import ModelFile
from intaglio.core.image import Image

KOHYA = {"text_encoder": "lora_te_text_model_", "unet": "lora_unet_"}


def model(path: Path, config: Path | None = None, layout: str = "diffusers") -> ModelFile:
    return ModelFile(path.name, f"blake3:{path}", layout, path, config)


def adapter(path: Path) -> ModelFile:
    return model(path, layout="diffusers" if path.is_dir() else "single-file")


def save(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> ModelFile:
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    library("safetensors.torch").save_file(whole, path, metadata=dict(metadata) if metadata else None)
    return adapter(path)


def pipeline(folder: Path) -> Any:
    """The pipeline of `folder` as a bare script loads it."""
    with quiet():
        return library("diffusers").DiffusionPipeline.from_pretrained(folder, dtype=library("torch").float32)


def targets(loaded: Any, part: str) -> dict[str, Any]:
    """The weights that LoRAs are trained on: all of the text encoder's linear layers, the U-Net's attention."""
    linear = library("torch").nn.Linear
    named = getattr(loaded, part).named_modules()
    found = {name: module.weight for name, module in named if isinstance(module, linear)}
    return found if part.startswith("text") else {name: weight for name, weight in found.items() if ".attn" in name}


def lora_layers(loaded: Any, seed: int, part: str, rank: int = 2) -> dict[str, tuple[Any, Any]]:
    """Both halves of a random LoRA for each target of `part`, strong enough to be seen."""
    torch = library("torch")
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator) * 0.2

    return {name: (normal(rank, w.shape[1]), normal(w.shape[0], rank)) for name, w in targets(loaded, part).items()}


def kohya_lora(
    path: Path, loaded: Any, seed: int, alpha: Callable[[int], float] = lambda index: 1.0, parts: tuple[str, ...] = ()
) -> ModelFile:
    """As kohya's trainer and A1111 write it; `alpha` gives each layer's strength by its place."""
    tensors: dict[str, Any] = {}
    for part in parts or tuple(KOHYA):
        for index, (name, (down, up)) in enumerate(lora_layers(loaded, seed, part).items()):
            stem = KOHYA[part] + name.replace(".", "_")
            tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
            tensors[f"{stem}.alpha"] = library("torch").tensor(alpha(index))
    return save(path, tensors)


def diffusers_lora(path: Path, loaded: Any, seed: int, parts: tuple[str, ...] = ("unet",)) -> ModelFile:
    """As diffusers' save_lora_weights writes it."""
    tensors: dict[str, Any] = {}
    for part in parts:
        for name, (down, up) in lora_layers(loaded, seed, part).items():
            tensors |= {f"{part}.{name}.lora_A.weight": down, f"{part}.{name}.lora_B.weight": up}
    return save(path, tensors)


def control_net(folder: Path, loaded: Any, seed: int = 0, more: int = 0) -> ModelFile:
    """A ControlNet for `loaded` whose last layers are not zero, as they would be before training.

    It shrinks its picture `more` times by two than the model does.
    """
    torch = library("torch")
    torch.manual_seed(seed)
    steps = len(loaded.vae.config.block_out_channels) + more
    net = library("diffusers").ControlNetModel.from_unet(
        loaded.unet, conditioning_embedding_out_channels=(16, 32, 32, 32)[:steps]
    )
    for parameter in [*net.controlnet_down_blocks.parameters(), *net.controlnet_mid_block.parameters()]:
        torch.nn.init.normal_(parameter, std=0.5)
    torch.nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=0.5)
    with quiet():
        net.save_pretrained(folder, safe_serialization=True)
    return adapter(folder)


def stripes(width: int, height: int, every: int = 8) -> Image:
    rows = (bytes([255 * (row // every % 2)]) * 3 * width for row in range(height))
    return Image("RGB", width, height, b"".join(rows))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
