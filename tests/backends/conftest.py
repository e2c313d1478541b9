"""The bundled model, a backend that stays warm, and small checkpoints made on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from backends.single_file import one_file

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


@pytest.fixture(scope="session")
def single_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model as one file in the layout of the first Stable Diffusion."""
    path = tmp_path_factory.mktemp("single") / "scenes.safetensors"
    library("safetensors.torch").save_file(one_file(SCENES), path, metadata={"modelspec.title": "scenes"})
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


@pytest.fixture(scope="session")
def tiny_upscaler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random upscaler folder that makes a picture twice as wide and high."""
    diffusers, transformers = library("diffusers"), library("transformers")
    library("torch").manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=16, cross_attention_dim=32, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4, use_linear_projection=True, in_channels=7, num_class_embeds=100,
    )  # fmt: skip
    pipeline = diffusers.StableDiffusionUpscalePipeline(
        vae=_tiny_vae(diffusers, 0.08333), unet=unet,
        tokenizer=transformers.CLIPTokenizer.from_pretrained(SCENES / "tokenizer", local_files_only=True),
        text_encoder=transformers.CLIPTextModel(_text_config(transformers.CLIPTextConfig)),
        low_res_scheduler=diffusers.DDPMScheduler(), scheduler=diffusers.DDIMScheduler(), max_noise_level=99,
    )  # fmt: skip
    return _saved(pipeline, tmp_path_factory.mktemp("upscaler"))


def _tiny_vae(diffusers: Any, scaling_factor: float = 0.18215) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=["DownEncoderBlock2D"] * 2, norm_num_groups=4,
        up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=4, sample_size=32, shift_factor=0.1,
        scaling_factor=scaling_factor,
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
