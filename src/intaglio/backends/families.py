"""What a weights file is and which family it belongs to, told from its tensor names and shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Shapes = Mapping[str, tuple[int, ...]]

UNKNOWN = "unknown"

# Picture side in pixels and scheduler a family was trained with; used only where no configuration says it.
FAMILY_DEFAULTS: dict[str, dict[str, object]] = {
    "sd1": {"width": 512, "height": 512, "scheduler": "PNDMScheduler"},
    "sd2": {"width": 768, "height": 768, "scheduler": "DDIMScheduler"},
    "sdxl": {"width": 1024, "height": 1024, "scheduler": "EulerDiscreteScheduler"},
    "sdxl-refiner": {"width": 1024, "height": 1024, "scheduler": "EulerDiscreteScheduler"},
    "sd3": {"width": 1024, "height": 1024, "scheduler": "FlowMatchEulerDiscreteScheduler"},
    "flux": {"width": 1024, "height": 1024, "scheduler": "FlowMatchEulerDiscreteScheduler"},
    "flux2": {"width": 1024, "height": 1024, "scheduler": "FlowMatchEulerDiscreteScheduler"},
}

# Pipelines that enlarge a picture as many times as their VAE makes of a latent.
ENLARGERS = ("StableDiffusionUpscalePipeline",)

_LORA = (
    ".lora_up.weight", ".lora_down.weight", ".lora_A.weight", ".lora_B.weight", ".lora.up.weight", ".lora.down.weight",
    ".hada_w1_a", ".hada_w2_a", ".lokr_w1", ".lokr_w1_a", ".lokr_w2", ".lora_A.default.weight",
    "_lora.up.weight", "_lora.down.weight",
)  # fmt: skip
_CONTROLNET = ("control_model.", "controlnet_cond_embedding.", "controlnet_blocks.", "controlnet_down_blocks.",
               "input_hint_block.")  # fmt: skip
_CHECKPOINT = (
    "model.diffusion_model.", "double_blocks.", "joint_blocks.", "transformer_blocks.", "single_transformer_blocks.",
    "down_blocks.", "input_blocks.",
)  # fmt: skip
_VAE = ("first_stage_model.", "decoder.up_blocks.", "decoder.up.", "decoder.mid.", "decoder.mid_block.", "vae.decoder.")
_UPSCALER = (
    "RDB1.conv1.", "rdb1.conv1.", "conv_hr.", "HRconv.", "upconv1.", "relative_position_bias_table", "params_ema",
    "layers.0.residual_group.", "conv_after_body.",
)  # fmt: skip
_EMBEDDINGS = {"emb_params", "clip_l", "clip_g", "t5"}
_FEW = 3


def kind_of(shapes: Shapes) -> str:
    """What the tensors are: checkpoint, lora, vae, controlnet, textual-inversion, upscaler or unknown."""
    return next((kind for kind, test in _KINDS if test(shapes)), UNKNOWN)


def family_of(shapes: Shapes, kind: str) -> str:
    """The family the tensors belong to ("sd1", "sdxl", "flux", ...), or "unknown"."""
    if kind == "lora":
        return _lora_family(shapes)
    if kind == "textual-inversion":
        return _embedding_family(shapes)
    if kind in {"vae", "upscaler", UNKNOWN}:
        return UNKNOWN
    return next((family for family, marks in _MARKS if _any_contains(shapes, marks)), None) or _by_attention(shapes)


def _any_contains(shapes: Shapes, marks: tuple[str, ...]) -> bool:
    return any(mark in name for name in shapes for mark in marks)


def _starts(marks: tuple[str, ...]) -> Callable[[Shapes], bool]:
    return lambda shapes: any(name.startswith(marks) for name in shapes)


def _is_embedding(shapes: Shapes) -> bool:
    if len(shapes) > _FEW:
        return False
    if not all(len(shape) in {1, 2} for shape in shapes.values()):
        return False
    if set(shapes) <= _EMBEDDINGS or all(name.startswith("<") for name in shapes):
        return True
    # One vector or a few, as wide as some model's words, under the word itself; parts of models have dotted names.
    (name, shape), *more = shapes.items()
    return not more and "." not in name and shape[-1] in _TEXT_WIDTHS


def _is_upscaler(shapes: Shapes) -> bool:
    ends = "conv_first.weight" in shapes and any(name.startswith(("conv_last.", "upsample")) for name in shapes)
    return ends or _any_contains(shapes, _UPSCALER)


_KINDS: tuple[tuple[str, Callable[[Shapes], bool]], ...] = (
    ("lora", lambda shapes: any(name.endswith(_LORA) for name in shapes)),
    ("textual-inversion", _is_embedding),
    ("controlnet", _starts(_CONTROLNET)),
    ("checkpoint", _starts(_CHECKPOINT)),
    ("vae", _starts(_VAE)),
    ("upscaler", _is_upscaler),
)

# Tried from the top: the first family one of whose marks occurs in a tensor's name.
_MARKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("sdxl-refiner", ("conditioner.embedders.0.model.ln_final.",)),
    ("sdxl", ("conditioner.embedders.", "label_emb.", "add_embedding.")),
    ("sd3", ("joint_blocks.", "pos_embed.pos_embed")),
    ("flux2", ("double_stream_modulation_img.",)),
    ("flux", ("double_blocks.", "single_transformer_blocks.")),
    ("sd2", ("cond_stage_model.model.",)),
    ("sd1", ("cond_stage_model.transformer.",)),
)
_LORA_MARKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("sdxl", ("lora_te2_", "text_encoder_2.", "add_embedding", "label_emb")),
    ("sd3", ("joint_blocks",)),
    ("flux", ("double_blocks", "single_transformer_blocks", "single_blocks")),
)
# The width of the text that cross-attention reads tells the Stable Diffusions apart.
_TEXT_WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl-refiner"}


def _by_attention(shapes: Shapes) -> str:
    widths = {shape[-1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight") and shape}
    return _TEXT_WIDTHS.get(max(widths, default=0), UNKNOWN)


def _lora_family(shapes: Shapes) -> str:
    marked = next((family for family, marks in _LORA_MARKS if _any_contains(shapes, marks)), None)
    if marked:
        return marked
    downs = ("lora_down.weight", "lora_A.weight", "lora.down.weight", "hada_w1_b")
    widths = {
        shape[-1]
        for name, shape in shapes.items()
        if shape and name.endswith(downs) and ("attn2_to_k" in name or "attn2.to_k" in name)
    }
    return _TEXT_WIDTHS.get(max(widths, default=0), UNKNOWN)


def _embedding_family(shapes: Shapes) -> str:
    if "clip_g" in shapes:
        return "sdxl"
    return _TEXT_WIDTHS.get(max((shape[-1] for shape in shapes.values() if shape), default=0), UNKNOWN)


# Tried from the top, by how the pipeline's class begins.
_PIPELINES = (
    ("StableDiffusionXL", "sdxl"),
    ("StableDiffusion3", "sd3"),
    ("Flux2", "flux2"),
    ("Flux", "flux"),
)
_PLAIN = (
    "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline",
    "StableDiffusionControlNetPipeline", "StableDiffusionPAGPipeline", "LatentConsistencyModelPipeline",
)  # fmt: skip
_SD2_WIDTH = 1024


def family_of_width(text_width: object) -> str:
    """The Stable Diffusion whose text is `text_width` wide (a cross_attention_dim), or "unknown"."""
    return _TEXT_WIDTHS.get(text_width, UNKNOWN) if isinstance(text_width, int) else UNKNOWN


def family_of_pipeline(class_name: str, text_width: object) -> str:
    """The family of a pipeline class; `text_width` is the U-Net's cross_attention_dim. Falls back to the class name."""
    if class_name in _PLAIN:
        return "sd2" if text_width == _SD2_WIDTH else "sd1"
    return next((family for start, family in _PIPELINES if class_name.startswith(start)), class_name)
