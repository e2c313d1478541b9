"""The parts of measuring an envelope that need no model: the probes, the changes, the comparison, what went wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from intaglio.core.envelope import KINDS
from intaglio.core.errors import Cancelled, IntaglioError, Invalid, StorageFailed
from intaglio.core.image import Image
from intaglio.core.model import ModelVersion
from intaglio.core.workflow import parse_workflow
from intaglio.nodes import all_types
from intaglio.studio.envelope import _refusal, changes, compared
from intaglio.studio.probes import BATCH, check_takes, document, probes, reference_pictures

TYPES = all_types()
MODEL = ModelVersion(
    name="tiny",
    version="v1",
    digest="blake3:" + "a" * 64,
    model_kind="checkpoint",
    layout="diffusers",
    family="sd1",
    size=1,
    files=(),
    defaults={"width": 64, "height": 64, "scheduler": "DDIMScheduler"},
    added="2026-11-21T00:00:00.000000Z",
)


class TestProbes:
    def test_they_are_the_same_for_whoever_asks_and_all_different(self) -> None:
        made = probes(TYPES["text-to-image"], MODEL, 12)
        assert made == probes(TYPES["text-to-image"], MODEL, 12)
        assert len({probe.words for probe in made}) == 12
        assert made == probes(TYPES["text-to-image"], MODEL, 30)[:12]

    def test_they_are_hard(self) -> None:
        made = probes(TYPES["text-to-image"], MODEL, 12)
        assert {"euler_a", "dpmpp_2m_sde", "kdpm_2_a"} <= {probe.params.get("scheduler") for probe in made}
        assert {1.0, 6.0} == {probe.params["guidance"] for probe in made}
        assert {(64, 64), (64, 48)} == {(probe.params["width"], probe.params["height"]) for probe in made}
        assert len({probe.params["prompt"] for probe in made}) == 4
        assert {probe.place for probe in made} == set(range(BATCH))

    def test_a_flow_model_is_asked_for_flow_samplers_only(self) -> None:
        flow = replace(MODEL, defaults={"scheduler": "FlowMatchEulerDiscreteScheduler"})
        made = probes(TYPES["text-to-image"], flow, 12)
        assert {"flow_euler", "flow_heun"} == {
            probe.params["scheduler"] for probe in made if "scheduler" in probe.params
        }

    def test_no_two_pictures_of_any_batch_share_a_seed(self) -> None:
        seeds = [
            probe.seed - probe.place + index
            for probe in probes(TYPES["text-to-image"], MODEL, 100)
            for index in range(BATCH)
        ]
        assert len(set(seeds)) == len(seeds) and min(seeds) > 0

    def test_only_what_the_type_takes_is_set(self) -> None:
        for name in ("text-to-image", "image-to-image", "inpaint"):
            taken = {param.name for param in TYPES[name].params}
            assert all(set(probe.params) <= taken for probe in probes(TYPES[name], MODEL, 3))

    def test_a_batch_puts_each_probe_at_its_place(self) -> None:
        made = probes(TYPES["text-to-image"], MODEL, 4)
        nodes = document(TYPES["text-to-image"], MODEL.digest, made, {}, batch=True)["nodes"]
        assert [int(nodes[f"p{n}"]["seed"]) + probe.place for n, probe in enumerate(made)] == [p.seed for p in made]
        assert {node["count"] for node in nodes.values()} == {BATCH}

    def test_the_workflow_is_one_and_has_what_was_changed(self) -> None:
        made = probes(TYPES["inpaint"], MODEL, 2)
        found = parse_workflow(
            document(TYPES["inpaint"], MODEL.digest, made, {"dtype": "float16"}, again=True, batch=False)
        )
        assert set(found.nodes) == {"image", "mask", "p0", "p1", "r0", "r1"}
        assert {found.nodes[name].params["dtype"] for name in ("p0", "p1", "r0", "r1")} == {"float16"}
        assert found.nodes["p1"] == found.nodes["r1"]

    def test_the_reference_pictures_are_of_the_models_size(self) -> None:
        pictures = reference_pictures(MODEL)
        assert {name: (picture.mode, picture.width) for name, picture in pictures.items()} == {
            "image": ("RGB", 64),
            "mask": ("L", 64),
        }
        assert set(pictures["mask"].data) == {0, 255}

    @pytest.mark.parametrize(("name", "why"), [("film-grain", "no pictures"), ("model-upscale", "of kind upscaler")])
    def test_a_type_that_cannot_be_measured_is_refused_by_name(self, name: str, why: str) -> None:
        with pytest.raises(Invalid, match=f"{name}: .*{why}"):
            check_takes(TYPES[name], MODEL)


class TestChanges:
    @pytest.mark.parametrize(
        ("cores", "counts"), [(1, "1 2"), (2, "1 2"), (4, "1 2 4"), (6, "1 2 4 6"), (16, "1 2 4 8 16")]
    )
    def test_thread_counts_are_powers_of_two_up_to_the_cores(self, cores: int, counts: str) -> None:
        assert [change.after for change in changes(cores) if change.kind == "threads"] == counts.split()

    def test_every_kind_but_the_repeat_is_changed_somehow(self) -> None:
        assert {change.kind for change in changes(2)} == set(KINDS) - {"repeat"}

    def test_narrower_instructions_are_tried_in_torch_alone_and_in_what_it_calls(self) -> None:
        alone, everywhere = next(change.surroundings for change in changes(2) if change.after == "AVX2")
        assert alone == {"ATEN_CPU_CAPABILITY": "avx2"}
        assert everywhere == {**alone, "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"}


class TestCompared:
    def test_the_worst_of_all_pictures_is_told(self) -> None:
        grey, other = Image("RGB", 8, 8, bytes([100] * 192)), Image("RGB", 8, 8, bytes([103, *[100] * 191]))
        found = compared("threads", "2", "1", [(grey, grey), (grey, other), (grey, grey)])
        assert (found.runs, found.identical, found.max_difference) == (3, 2, 3)
        assert found.changed_share == 1 / 64 and found.mean_difference == 3 / 192
        assert found.psnr is not None and found.ssim < 1 and not found.same

    def test_identical_has_no_psnr(self) -> None:
        grey = Image("RGB", 8, 8, bytes(192))
        found = compared("repeat", "once", "again", [(grey, grey)])
        assert found.same and found.psnr is None and (found.max_difference, found.ssim) == (0, 1.0)


def said(code: str) -> str:
    """What a command prints when it fails, after some lines of progress."""
    return "  p0 ...\n" + json.dumps({"error": {"code": code, "message": "no such thing", "hint": "Look."}})


class TestRefusals:
    @pytest.mark.parametrize("code", ["unavailable", "node.failed", "backend.missing"])
    def test_what_is_not_possible_here_is_a_reason(self, code: str) -> None:
        assert _refusal(4, said(code)) == "no such thing"

    @pytest.mark.parametrize(
        ("code", "error"), [("cancelled", Cancelled), ("storage.failed", StorageFailed), ("internal", IntaglioError)]
    )
    def test_what_says_nothing_about_the_model_ends_it(self, code: str, error: type[IntaglioError]) -> None:
        with pytest.raises(error):
            _refusal(1, said(code))

    def test_a_process_that_was_killed_or_said_nothing_is_told_so(self) -> None:
        assert _refusal(-4, "") == "the process was ended by SIGILL"
        assert _refusal(1, "") == "the process ended with code 1: "
        assert _refusal(1, "Segmentation fault") == "the process ended with code 1: Segmentation fault"
        assert _refusal(1, "[1, 2]") == "the process ended with code 1: [1, 2]"
