"""What recording costs: the sample workflow, beside a bare diffusers script that does the same work."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured, cpu
from benchmarks.samples import MODEL, SUNSET, settings, workplace
from intaglio.core.image import Image
from intaglio.core.task import Task
from intaglio.imaging import adjust
from intaglio.imaging.decode import decode
from intaglio.studio.documents import read_workflow
from intaglio.studio.open import Studio, init

ROUNDS = 9
THREADS = 1  # with more, waiting threads spin, and the neighbours decide the CPU time


def measure() -> Iterator[Measured]:
    """Both by turns in one process, models loaded and warm."""
    with workplace() as folder, init(folder, settings(THREADS)) as studio:
        studio.models.add(MODEL, name="scenes")
        script = Script(folder / "bare.png")
        same = _made_the_same(studio, script)  # loads and warms, too
        pairs = [(cpu(script.run), cpu(lambda: run(studio))) for _ in range(ROUNDS)]
    alone, through = (min(pair[side] for pair in pairs) for side in (0, 1))
    middle = statistics.median(through / alone for alone, through in pairs)
    note = f"pixels {'identical' if same else 'DIFFERENT'}; median of pairs {middle:.3f}x"
    yield Measured(
        "sunset.yaml through Intaglio", through, "s CPU", "bare diffusers script", alone, 1.03, "ratio", note
    )
    yield Measured("sunset.yaml: pictures unlike the bare script's", float(not same), "", target=0.0)


def run(studio: Studio) -> Task:
    """The workflow, in full, and a version of it."""
    return studio.tasks.run(SUNSET, annotation="measured", reuse=False)


def _made_the_same(studio: Studio, script: Script) -> bool:
    task = run(studio)
    snapshot = studio.tasks.snapshot(task.id)
    script.seeds = {step.id: step.seed.number for step in snapshot.plan.steps if step.seed}
    kept = decode(studio.assets.get(snapshot.outputs[0].asset))
    return kept == script.run() and kept == decode(script.file.read_bytes())


class Script:
    """What one would write without Intaglio: two pipelines, three edits, one file."""

    def __init__(self, file: Path) -> None:
        import torch
        from diffusers import DiffusionPipeline, StableDiffusionImg2ImgPipeline

        self.file = file
        self.seeds: dict[str, int] = {}
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
        # Whoever wants the same picture again asks torch for it; what exactness costs is not what recording costs.
        self.torch.use_deterministic_algorithms(True)
        picture = self._paint(self.text_to_image, "base", negative_prompt=self.nodes["base"]["negative_prompt"])
        strength = self.nodes["refine"]["strength"]
        picture = self._paint(self.image_to_image, "refine", image=picture, strength=strength)
        self.torch.use_deterministic_algorithms(False)
        image = Image("RGB", picture.width, picture.height, picture.tobytes())
        image = adjust.film_grain(
            image, size=1, monochrome=True, seed=self.seeds["grain"], amount=self.nodes["grain"]["amount"]
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
            generator=self.torch.Generator("cpu").manual_seed(self.seeds[node]),
            **more,
        ).images[0]


def _pillow(image: Image) -> Any:
    from PIL import Image as Pillow

    return Pillow.frombytes(image.mode, (image.width, image.height), image.data)
