"""What a model file is, told without loading it; hostile and damaged ones included."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from intaglio.backends.inspect import inspect_config, inspect_model
from intaglio.backends.weights import METADATA_CHARS, METADATA_ENTRIES
from intaglio.core.errors import InvalidModel, NotFound, UnsafeModel

Shape = tuple[int, ...]


def write(path: Path, shapes: Mapping[str, Shape], metadata: Mapping[str, str] | None = None) -> Path:
    """A small safetensors file of zeros, one byte per element."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name, shape in shapes.items():
        size = 1
        for side in shape:
            size *= side
        header[name] = {"dtype": "U8", "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    return raw(path, json.dumps(header).encode(), bytes(position))


def raw(path: Path, header: bytes, data: bytes = b"", length: int | None = None) -> Path:
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/intaglio-was-run",)


@pytest.fixture
def folder(scenes: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scenes, tmp_path / "model"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# -- what things are ------------------------------------------------------------------------------------------------


def test_the_bundled_folder(scenes: Path) -> None:
    facts = inspect_model(scenes)
    unet = json.loads((scenes / "unet" / "config.json").read_text())
    blocks = json.loads((scenes / "vae" / "config.json").read_text())["block_out_channels"]
    side = unet["sample_size"] * 2 ** (len(blocks) - 1)
    assert (facts.kind, facts.layout, facts.family) == ("checkpoint", "diffusers", "sd1")
    assert (facts.defaults["width"], facts.defaults["height"]) == (side, side)
    scheduler = json.loads((scenes / "scheduler" / "scheduler_config.json").read_text())["_class_name"]
    assert facts.defaults["scheduler"] == scheduler
    assert facts.parts["unet"] == "diffusers.UNet2DConditionModel"
    assert facts.parts["tokenizer"].startswith("transformers.")
    assert "safety_checker" not in facts.parts


def test_the_bundled_model_as_a_single_file(single_file: Path) -> None:
    facts = inspect_model(single_file)
    assert (facts.kind, facts.layout, facts.family) == ("checkpoint", "single-file", "sd1")
    assert facts.defaults == {"width": 512, "height": 512, "scheduler": "PNDMScheduler"}
    assert facts.metadata == {"modelspec.title": "scenes"}


CASES: list[tuple[str, str, dict[str, Shape]]] = [
    ("checkpoint", "sd1", {"model.diffusion_model.a": (1,), "cond_stage_model.transformer.text_model.x": (1,)}),
    ("checkpoint", "sd2", {"model.diffusion_model.a": (1,), "cond_stage_model.model.ln_final.weight": (1,)}),
    ("checkpoint", "sdxl", {"model.diffusion_model.a": (1,), "conditioner.embedders.1.model.ln_final.weight": (1,)}),
    ("checkpoint", "sd1", {"down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (2, 768)}),
    ("checkpoint", "sdxl", {"down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (2, 2048)}),
    ("checkpoint", "flux", {"double_blocks.0.img_attn.qkv.weight": (1,)}),
    ("checkpoint", "sd3", {"model.diffusion_model.joint_blocks.0.x": (1,)}),
    ("lora", "sdxl", {"lora_te2_text_model_x.lora_down.weight": (1,), "lora_te2_text_model_x.lora_up.weight": (1,)}),
    ("lora", "sd1", {"lora_unet_down_blocks_0_attn2_to_k.lora_down.weight": (4, 768)}),
    ("lora", "unknown", {"unet.mid_block.attn1.processor.to_q_lora.down.weight": (4, 320)}),
    ("lora", "flux", {"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": (1,)}),
    ("vae", "unknown", {"decoder.up_blocks.0.x": (1,), "encoder.conv_in.weight": (1,)}),
    ("vae", "unknown", {"first_stage_model.decoder.conv_in.weight": (1,)}),
    ("controlnet", "sd1", {"control_model.x": (1,), "control_model.attn2.to_k.weight": (1, 768)}),
    ("textual-inversion", "sd1", {"emb_params": (2, 768)}),
    ("textual-inversion", "sdxl", {"clip_l": (2, 768), "clip_g": (2, 1280)}),
    ("textual-inversion", "unknown", {"<ink>": (3, 128)}),
    ("textual-inversion", "sd1", {"my-style": (768,)}),
    ("unknown", "unknown", {"conv.weight": (4, 768)}),
    ("upscaler", "unknown", {"model.1.sub.0.RDB1.conv1.0.weight": (1,)}),
    ("upscaler", "unknown", {"conv_first.weight": (1,), "conv_last.weight": (1,)}),
    ("unknown", "unknown", {"some.thing": (1,)}),
]


@pytest.mark.parametrize(("kind", "family", "shapes"), CASES)
def test_single_files_are_told_apart(tmp_path: Path, kind: str, family: str, shapes: dict[str, Shape]) -> None:
    facts = inspect_model(write(tmp_path / "file", shapes))
    assert (facts.kind, facts.family) == (kind, family)


def test_a_vae_folder(tmp_path: Path, scenes: Path) -> None:
    facts = inspect_model(scenes / "vae")
    assert (facts.kind, facts.parts) == ("vae", {"vae": "diffusers.AutoencoderKL"})


def test_a_control_net_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "ControlNetModel", "cross_attention_dim": 768}))
    with pytest.raises(InvalidModel, match="holds no weights"):
        inspect_model(tmp_path)
    write(tmp_path / "diffusion_pytorch_model.safetensors", {"controlnet_mid_block.weight": (1,)})
    facts = inspect_model(tmp_path)
    assert (facts.kind, facts.family, facts.layout) == ("controlnet", "sd1", "diffusers")
    assert facts.parts == {"controlnet": "diffusers.ControlNetModel"}


@pytest.mark.parametrize(
    ("kind", "name", "shapes"),
    [
        ("lora", "pytorch_lora_weights.safetensors", {"unet.mid_block.attn2.to_k.lora_A.weight": (4, 768)}),
        ("textual-inversion", "learned_embeds.safetensors", {"<ink>": (2, 768)}),
    ],
)
def test_a_folder_with_one_adapter(tmp_path: Path, kind: str, name: str, shapes: dict[str, Shape]) -> None:
    write(tmp_path / name, shapes, {"trained_by": "me"})
    (tmp_path / "README.md").write_text("hello")
    facts = inspect_model(tmp_path)
    assert (facts.kind, facts.family, facts.layout) == (kind, "sd1", "diffusers")
    assert facts.metadata == {"trained_by": "me"}
    (tmp_path / "run.py").write_text("print('hello')")
    with pytest.raises(UnsafeModel, match=r"run\.py is Python code"):
        inspect_model(tmp_path)
    (tmp_path / "run.py").unlink()
    write(tmp_path / "another.safetensors", shapes)
    with pytest.raises(InvalidModel, match="holds 2 weights files"):
        inspect_model(tmp_path)


def test_a_folder_with_one_adapter_that_is_a_pickle(tmp_path: Path) -> None:
    torch_zip(tmp_path / "pytorch_lora_weights.bin")
    with pytest.raises(UnsafeModel, match="is a pickle"):
        inspect_model(tmp_path)
    assert inspect_model(tmp_path, allow_pickle=True).kind == "unknown"


def test_a_folder_with_one_file_of_something_else(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", {"some.thing": (1,)})
    with pytest.raises(InvalidModel, match="not a diffusers pipeline folder"):
        inspect_model(tmp_path)


def test_an_upscaler_folder(folder: Path) -> None:
    edit(folder / "model_index.json", _class_name="StableDiffusionUpscalePipeline")
    facts = inspect_model(folder)
    assert facts.kind == "upscaler"
    assert facts.defaults["scale"] == 4
    assert "width" not in facts.defaults
    edit(folder / "vae" / "config.json", block_out_channels=[])
    with pytest.raises(InvalidModel, match="does not say how many times"):
        inspect_model(folder)


def test_a_folder_as_the_hub_has_them(folder: Path) -> None:
    """Safety checker from a package of diffusers (and never loaded), preprocessors without weights."""
    edit(
        folder / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
    )
    (folder / "feature_extractor").mkdir()
    (folder / "feature_extractor" / "preprocessor_config.json").write_text("{}")
    assert inspect_model(folder).parts["safety_checker"] == "stable_diffusion.StableDiffusionSafetyChecker"


def test_families_of_folders_without_a_sample_size(folder: Path) -> None:
    edit(folder / "model_index.json", _class_name="FluxPipeline")
    edit(folder / "unet" / "config.json", sample_size=None)
    facts = inspect_model(folder)
    blocks = json.loads((folder / "vae" / "config.json").read_text())["block_out_channels"]
    assert (facts.family, facts.defaults["width"]) == ("flux", 128 * 2 ** (len(blocks) - 1))
    edit(folder / "model_index.json", _class_name="SanaPipeline")
    facts = inspect_model(folder)
    assert facts.family == "SanaPipeline"
    assert "width" not in facts.defaults


def test_metadata_is_bounded(tmp_path: Path) -> None:
    metadata = {"ss_tag_frequency": "x" * 1_000_000} | {f"key{i}": "v" for i in range(5000)}
    facts = inspect_model(write(tmp_path / "file", {"a": (1,)}, metadata))
    assert len(facts.metadata) <= METADATA_ENTRIES
    assert max(map(len, facts.metadata.values())) <= METADATA_CHARS


def test_links_to_files_elsewhere_are_followed(folder: Path, tmp_path: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    blob = tmp_path / "blob"
    weights.rename(blob)
    weights.symlink_to("../../blob")
    assert inspect_model(folder).kind == "checkpoint"
    blob.unlink()
    with pytest.raises(InvalidModel, match="link to a file that is not there"):
        inspect_model(folder)


# -- files that could run code --------------------------------------------------------------------------------------


def torch_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil()))
        archive.writestr("archive/data/0", b"\0" * 16)


def torch_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            info = tarfile.TarInfo(name)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"abcd"))


def torch_legacy(path: Path) -> None:
    path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps(Evil(), 2))


def cut_zip(path: Path) -> None:
    torch_zip(path)
    path.write_bytes(path.read_bytes()[:150])


def plain(protocol: int) -> object:
    return lambda path: path.write_bytes(pickle.dumps({"state_dict": Evil()}, protocol))


MAKERS = [torch_zip, torch_tar, torch_legacy, cut_zip, *(plain(protocol) for protocol in range(6))]


@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt", "model"])
@pytest.mark.parametrize("maker", MAKERS)
def test_pickles_are_known_by_content(tmp_path: Path, name: str, maker: object) -> None:
    assert callable(maker)
    path = tmp_path / name
    maker(path)
    with pytest.raises(UnsafeModel, match="can run code") as caught:
        inspect_model(path)
    assert str(path) in str(caught.value)
    assert not Path("/tmp/intaglio-was-run").exists()
    assert inspect_model(path, allow_pickle=True).kind == "unknown"
    assert not Path("/tmp/intaglio-was-run").exists()


def test_a_header_length_that_looks_like_a_pickle_is_none(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    path = raw(tmp_path / "file", header + b" " * (0x0280 - len(header)), b"\0")
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert inspect_model(path).kind == "unknown"


def test_a_folder_of_pickles_is_refused(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(UnsafeModel, match=r"unet.*\.bin is a pickle"):
        inspect_model(folder)
    assert inspect_model(folder, allow_pickle=True).kind == "checkpoint"


def test_a_pickle_named_safetensors_inside_a_folder_is_refused(folder: Path) -> None:
    torch_zip(folder / "vae" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(UnsafeModel, match="vae"):
        inspect_model(folder)


@pytest.mark.parametrize("library", ["os", "my_module", "../evil", "diffusers_modules.local", "torch", ""])
def test_other_libraries_are_refused(folder: Path, library: str) -> None:
    edit(folder / "model_index.json", unet=[library, "UNet2DConditionModel"])
    with pytest.raises(UnsafeModel, match="neither diffusers nor transformers"):
        inspect_model(folder)


def test_custom_code_is_refused(folder: Path) -> None:
    (folder / "unet" / "my_unet.py").write_text("print('hello')")
    with pytest.raises(UnsafeModel, match=r"my_unet\.py is Python code"):
        inspect_model(folder)
    (folder / "unet" / "my_unet.py").rename(folder / "pipeline.py")
    with pytest.raises(UnsafeModel, match=r"pipeline\.py is Python code"):
        inspect_config(folder)
    (folder / "pipeline.py").unlink()
    edit(folder / "model_index.json", _class_name=["pipeline", "MyPipeline"])
    with pytest.raises(UnsafeModel, match="custom code"):
        inspect_model(folder)


# -- damaged and incomplete -----------------------------------------------------------------------------------------


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        inspect_model(tmp_path / "gone")


def test_a_folder_that_is_no_pipeline(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"has no model_index\.json: not a diffusers pipeline folder"):
        inspect_model(tmp_path)
    with pytest.raises(InvalidModel, match=r"has no model_index\.json"):
        inspect_config(tmp_path)


def test_a_truncated_file_says_how_much_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "file", {"a": (1000,)})
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InvalidModel, match=f"cut off: the header promises {whole} bytes, the file has {whole - 1}"):
        inspect_model(path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(InvalidModel, match="cut off"):
        inspect_model(path)


ENTRY = b'{"a":{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}}'
TWO = b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[%d,%d]},"b":{"dtype":"U8","shape":[4],"data_offsets":[%d,%d]}}'
DAMAGED: list[tuple[str, bytes, bytes, int | None]] = [
    ("claims a header of", b"{}", b"", 2**63),
    ("claims a header of", b"{}", b"", 100_000_001),
    ("holds no tensors", b"{}", b"", None),
    ("holds no tensors", b'{"__metadata__":{"a":"b"}}', b"", None),
    ("damaged safetensors header", b'{"a":', b"", None),
    ("damaged safetensors header", b'{"a":' + b"[" * 200_000, b"", None),
    ("damaged safetensors header", b'{"a":1}', b"", None),
    ("damaged safetensors header", b'{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}', b"\0", None),
    ("damaged safetensors header", b'{"a":{"dtype":"U8","shape":[true],"data_offsets":[0,1]}}', b"\0", None),
    ("damaged safetensors header", b'{"\xff":{}}', b"", None),
    ("contradicts its shape", ENTRY % (2, 0, 1), b"\0", None),
    ("contradicts its shape", ENTRY % (10**30, 0, 1), b"\0", None),
    ("hole or overlap", ENTRY % (1, 1, 2), b"\0\0", None),
    ("hole or overlap", TWO % (0, 4, 2, 6), b"\0" * 6, None),
    ("hole or overlap", TWO % (0, 4, 0, 4), b"\0" * 4, None),
    ("damaged safetensors header", TWO % (-4, 0, 0, 4), b"\0" * 4, None),
    ("damaged safetensors header", TWO % (0, 4, -1, 3), b"\0" * 4, None),
    ("contradicts its shape", TWO % (4, 0, 4, 8), b"\0" * 8, None),
    ("describes", ENTRY % (1, 0, 1), b"\0\0", None),
    ("cut off", ENTRY % (9, 0, 9), b"\0", None),
]


@pytest.mark.parametrize(("message", "header", "data", "length"), DAMAGED)
def test_damaged_headers(tmp_path: Path, message: str, header: bytes, data: bytes, length: int | None) -> None:
    with pytest.raises(InvalidModel, match=message):
        inspect_model(raw(tmp_path / "file.safetensors", header, data, length))


def test_a_header_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    path = raw(tmp_path / "file.safetensors", b'{"a":', b"", 2**30)
    os.truncate(path, 2**30 + 100)
    tracemalloc.start()
    with pytest.raises(InvalidModel, match=f"claims a header of {2**30} bytes"):
        inspect_model(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "content", [b"hello", b"{}", b"\0" * 100, b"GGUF" + b"\0" * 100, b"\x89PNG\r\n\x1a\n" + b"1" * 50]
)
def test_other_files_are_no_models(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InvalidModel, match=r"nothing in it is recognised|cut off|claims a header"):
        inspect_model(tmp_path / "file")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidModel, match="is empty"):
        inspect_model(tmp_path / "file")


def test_a_missing_component_folder(folder: Path) -> None:
    shutil.rmtree(folder / "vae")
    with pytest.raises(InvalidModel, match="no folder 'vae'"):
        inspect_model(folder)
    assert inspect_config(folder).family == "sd1"


def test_a_component_without_weights(folder: Path) -> None:
    (folder / "text_encoder" / "model.safetensors").unlink()
    with pytest.raises(InvalidModel, match=r"text_encoder holds no weights for transformers\.CLIPTextModel"):
        inspect_model(folder)
    assert inspect_config(folder).kind == "checkpoint"


def test_a_missing_shard(folder: Path) -> None:
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "diffusion_pytorch_model-00002-of-00002.safetensors"}}))
    with pytest.raises(InvalidModel, match="00002-of-00002"):
        inspect_model(folder)


def test_a_component_that_leads_out_of_the_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "vae").rename(tmp_path / "elsewhere")
    (folder / "vae").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidModel, match="leads out of"):
        inspect_model(folder)
    edit(folder / "model_index.json", **{"../elsewhere": ["diffusers", "AutoencoderKL"]})
    with pytest.raises(InvalidModel, match="cannot be one"):
        inspect_model(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 100_000, '{"_class_name": 3}', '{"_class_name": "A"}', "\ufeff{}"]
)
def test_a_damaged_index(folder: Path, text: str) -> None:
    (folder / "model_index.json").write_text(text)
    with pytest.raises(InvalidModel, match=r"model_index\.json"):
        inspect_model(folder)
