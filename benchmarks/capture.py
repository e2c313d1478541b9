"""What recording costs: the sample workflow through Intaglio, beside a bare diffusers script that does the same work."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured, cpu
from benchmarks.samples import MODEL, SUNSET, settings, workplace
from intaglio.core.image import Image
from intaglio.imaging import adjust
from intaglio.imaging.decode import decode
from intaglio.studio.documents import read_workflow
from intaglio.studio.open import Studio, init

ROUNDS = 9
THREADS = 1  # with more, waiting threads spin, and the neighbours decide the CPU time
SEEDS = {"base": 11, "refine": 12, "grain": 13}


def measure() -> Iterator[Measured]:
    """Both by turns in one process, models loaded and warm."""
    with workplace() as folder, init(folder, settings(THREADS)) as studio:
        studio.models.add(MODEL, name="scenes")
        script = Script(folder / "bare.png")
        captured, bare = run(studio), script.run()  # loads and warms
        same = decode(captured) == decode(script.file.read_bytes()) and decode(captured) == bare
        pairs = [(cpu(script.run), cpu(lambda: run(studio))) for _ in range(ROUNDS)]
    alone, through = (min(pair[side] for pair in pairs) for side in (0, 1))
    middle = statistics.median(through / alone for alone, through in pairs)
    note = f"pixels {'identical' if same else 'DIFFERENT'}; median of pairs {middle:.3f}"
    yield Measured("sunset.yaml through Intaglio", through, "s CPU", "bare diffusers script", alone, 1.03, "ratio", note)
    yield Measured("sunset.yaml: pixels that differ from the bare script's", float(not same), "", target=0.0)


def run(studio: Studio) -> bytes:
    """The workflow, in full; the file it made."""
    changes = [f"{node}.seed={seed}" for node, seed in SEEDS.items()]
    task = studio.tasks.run(SUNSET, set=changes, annotation="measured", reuse=False)
    return studio.assets.get(studio.tasks.snapshot(task.id).outputs[0].asset)


class Script:
    """What one would write without Intaglio: two pipelines, three edits, one file."""

    def __init__(self, file: Path) -> None:
        import torch
        from diffusers import DiffusionPipeline, StableDiffusionImg2ImgPipeline

        self.file = file
        self.torch: Any = torch
        torch.set_num_threads(THREADS)
        self.text_to_image: Any = DiffusionPipeline.from_pretrained(
            MODEL, local_files_only=True, torch_dtype=torch.float32
        )
        self.text_to_image.set_progress_bar_config(disable=True)
        self.image_to_image: Any = StableDiffusionImg2ImgPipeline(**self.text_to_image.components)
        self.image_to_image.set_progress_bar_config(disable=True)
        self.nodes = {name: node.params for name, node in read_workflow(SUNSET).nodes.items()}

    def run(self) -> Image:
        """The same picture, saved."""
        self.torch.set_num_threads(THREADS)
        picture = self._paint(self.text_to_image, "base", negative_prompt=self.nodes["base"]["negative_prompt"])
        strength = self.nodes["refine"]["strength"]
        picture = self._paint(self.image_to_image, "refine", image=picture, strength=strength)
        image = Image("RGB", picture.width, picture.height, picture.tobytes())
        image = adjust.film_grain(
            image, size=1, monochrome=True, seed=SEEDS["grain"], amount=self.nodes["grain"]["amount"]
        )
        image = adjust.colour_grade(image, brightness=1.0, gamma=1.0, **self.nodes["grade"])
        image = adjust.upscale(image, **self.nodes["large"])
        _pillow(image).save(self.file)
        return image

    def _paint(self, pipeline: Any, node: str, **more: Any) -> Any:
        params = self.nodes[node]
        return pipeline(
            params["prompt"],
            num_inference_steps=params["steps"],
            guidance_scale=params["guidance"],
            generator=self.torch.Generator("cpu").manual_seed(SEEDS[node]),
            **more,
        ).images[0]


def _pillow(image: Image) -> Any:
    from PIL import Image as Pillow

    return Pillow.frombytes(image.mode, (image.width, image.height), image.data)
