"""The bundled model, a backend that stays warm, and small checkpoints made on the spot."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intaglio.backends.diffusers import DiffusersBackend
from intaglio.backends.inspect import inspect_model
from intaglio.backends.quiet import library, quiet
from intaglio.core.context import Generation, Hooks, ModelFile

SCENES = Path(__file__).parents[2] / "models" / "scenes"

Ask = Callable[..., Generation]


@pytest.fixture
def scenes() -> Path:
    return SCENES


@pytest.fixture(scope="session")
def backend() -> Iterator[DiffusersBackend]:
    backend = DiffusersBackend(threads=1)
    yield backend
    backend.close()


@pytest.fixture
def ask() -> Ask:
    """A request with settings that are quick; anything can be changed by name."""
    size = inspect_model(SCENES).defaults
    model = ModelFile("scenes", "blake3:scenes", "diffusers", SCENES)
    width, height = size["width"], size["height"]
    assert isinstance(width, int)
    assert isinstance(height, int)
    base = Generation(
        model, "a red house by the sea", "night", 7, 3, 4.0, width, height, "ddim", 0, "float32", "cpu"
    )  # fmt: skip
    return lambda **changes: replace(base, **changes)


class Heard:
    """Hooks that keep what they are told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.progress: list[tuple[int, int]] = []
        self.hooks = Hooks(
            progress=lambda done, total: self.progress.append((done, total)),
            note=self.notes.append,
        )


@pytest.fixture
def heard() -> Heard:
    return Heard()


def plain(request: Generation, **more: Any) -> bytes:
    """The picture of a bare diffusers script: no flags, Pillow conversion by diffusers itself."""
    with quiet():
        torch, library_ = library("torch"), library("diffusers")
        pipeline = library_.DiffusionPipeline.from_pretrained(request.model.path, dtype=getattr(torch, request.dtype))
        if request.image is not None:
            pipeline = library_.AutoPipelineForImage2Image.from_pipe(pipeline)
        picture = pipeline(
            prompt=request.prompt, negative_prompt=request.negative_prompt, num_inference_steps=request.steps,
            guidance_scale=request.guidance, generator=torch.Generator("cpu").manual_seed(request.seed), **more,
        ).images[0]  # fmt: skip
        return bytes(picture.tobytes())


@pytest.fixture(name="plain")
def plain_fixture() -> Callable[..., bytes]:
    return plain


@pytest.fixture
def one_thread() -> Any:
    torch = library("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(before)


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


@pytest.fixture(scope="session")
def single_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model as one file in the layout of the first Stable Diffusion."""
    weights = library("safetensors.torch")
    config = json.loads((SCENES / "unet" / "config.json").read_text())
    layers = config["layers_per_block"]
    attention = {f"up_blocks.{i}" for i, kind in enumerate(config["up_block_types"]) if "CrossAttn" in kind}
    blocks = len(json.loads((SCENES / "vae" / "config.json").read_text())["block_out_channels"])
    tensors: dict[str, Any] = {}
    for name, tensor in weights.load_file(SCENES / "unet" / "diffusion_pytorch_model.safetensors").items():
        tensors["model.diffusion_model." + _unet_name(name, layers, attention)] = tensor
    for name, tensor in weights.load_file(SCENES / "vae" / "diffusion_pytorch_model.safetensors").items():
        old = _vae_name(name, blocks)
        tensors["first_stage_model." + old] = _vae_tensor(old, tensor).contiguous()
    for name, tensor in weights.load_file(SCENES / "text_encoder" / "model.safetensors").items():
        whole = name if name.startswith("text_model.") else f"text_model.{name}"
        tensors["cond_stage_model.transformer." + whole] = tensor
    path = tmp_path_factory.mktemp("single") / "scenes.safetensors"
    weights.save_file(tensors, path, metadata={"modelspec.title": "scenes"})
    return path


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random SDXL pipeline folder of a few hundred kilobytes that makes pictures of 32 pixels."""
    diffusers, transformers = library("diffusers"), library("transformers")
    library("torch").manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=16, cross_attention_dim=64, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4), use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=8, transformer_layers_per_block=(1, 1), projection_class_embeddings_input_dim=80,
    )  # fmt: skip
    tokenizer = transformers.CLIPTokenizer.from_pretrained(SCENES / "tokenizer", local_files_only=True)
    text = _text_config(transformers.CLIPTextConfig)
    pipeline = diffusers.StableDiffusionXLPipeline(
        vae=_tiny_vae(diffusers), unet=unet, tokenizer=tokenizer, tokenizer_2=tokenizer,
        text_encoder=transformers.CLIPTextModel(text), text_encoder_2=transformers.CLIPTextModelWithProjection(text),
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", timestep_spacing="leading"),
        add_watermarker=False,
    )  # fmt: skip
    return _saved(pipeline, tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="session")
def tiny_flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Flux pipeline folder of a few hundred kilobytes."""
    diffusers, transformers = library("diffusers"), library("transformers")
    library("torch").manual_seed(0)
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    )  # fmt: skip
    tokenizer = transformers.CLIPTokenizer.from_pretrained(SCENES / "tokenizer", local_files_only=True)
    t5 = transformers.T5Config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    pipeline = diffusers.FluxPipeline(
        vae=_tiny_vae(diffusers), transformer=transformer, tokenizer=tokenizer, tokenizer_2=tokenizer,
        text_encoder=transformers.CLIPTextModel(_text_config(transformers.CLIPTextConfig)),
        text_encoder_2=transformers.T5EncoderModel(t5),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    )  # fmt: skip
    return _saved(pipeline, tmp_path_factory.mktemp("flux"))


def _tiny_vae(diffusers: Any) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=["DownEncoderBlock2D"] * 2, norm_num_groups=4,
        up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=4, sample_size=32, shift_factor=0.1,
    )  # fmt: skip


def _text_config(config: Any) -> Any:
    told = json.loads((SCENES / "text_encoder" / "config.json").read_text())
    kept = ("vocab_size", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")
    return config(
        **{name: told[name] for name in kept}, hidden_size=32, intermediate_size=32, num_attention_heads=2,
        num_hidden_layers=3, projection_dim=32,
    )  # fmt: skip


def _saved(pipeline: Any, folder: Path) -> Path:
    with quiet():
        pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
