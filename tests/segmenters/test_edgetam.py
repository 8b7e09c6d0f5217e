"""EdgeTAM and SAM 2.1 beside the official programs, and what is EdgeTAM's own: its encoder and its weights by their names."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")

from sampt.errors import BackendError  # noqa: E402
from sampt.segmenters.create import create_segmenter  # noqa: E402
from sampt.segmenters.edgetam.network import RepVitSizes, build, build_edgetam  # noqa: E402
from sampt.segmenters.sam.adapter import SamSegmenter  # noqa: E402
from sampt.segmenters.sam.checkpoint import fill_random  # noqa: E402
from sampt.segmenters.sam.models import MODELS  # noqa: E402
from sampt.segmenters.sam2.network import Sam2Network  # noqa: E402
from sampt.testing import SEGMENTER_CLAUSES, SegmenterLimits  # noqa: E402
from tools.parity.fixtures import Fixture  # noqa: E402
from tools.parity.segmenters import Sam2Case  # noqa: E402

PARITY = Path(__file__).resolve().parents[3] / "shared" / "parity"
needs_shared = pytest.mark.skipif(not PARITY.is_dir(), reason="the project's shared data is not beside this checkout")
REDUCED = RepVitSizes((16, 16, 24, 32), (1, 2, 2, 1), side=128)


@cache
def reduced() -> Sam2Network:
    with torch.random.fork_rng(devices=[]):
        network = build(REDUCED)
    fill_random(network, 0.1)
    return network


def check_official(name: str, fixture: str) -> None:
    case = Sam2Case(name, Fixture.read(PARITY, fixture))
    found = case.comparisons()
    assert [each.what for each in found if "logits" in each.what] == [
        f"logits, {call}" for call in ("first", "refined", "multi", "box", "single")
    ]
    assert sum("embedding" in each.what for each in found) == 3
    for each in found:
        assert each.passed, each
    logits, iou = case.predict(case.points)
    prediction = case.segmenter.decode(case.embedding, [case.points])[0]
    assert np.array_equal(prediction.low_res_logits.numpy(), logits[0])
    assert prediction.score == pytest.approx(float(iou[0]), abs=1e-6)


@needs_shared
def test_edgetam_equals_the_official_program() -> None:
    check_official("edgetam", "edgetam_image")


@needs_shared
@pytest.mark.slow
def test_sam2_equals_the_official_program() -> None:
    check_official("sam2.1-tiny", "sam2.1_tiny_image")


@pytest.mark.parametrize(("name", "clause"), SEGMENTER_CLAUSES, ids=[name for name, _ in SEGMENTER_CLAUSES])
def test_reduced_network_keeps_clause(name: str, clause: Any) -> None:
    segmenter = SamSegmenter(MODELS["edgetam"], reduced, torch.device("cpu"))
    clause(segmenter, SegmenterLimits(min_iou=None))


def test_levels_lie_at_strides_4_8_and_16_and_the_coarsest_one_is_added_to_the_last() -> None:
    network = reduced()
    images = torch.randn((1, 3, 128, 128), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        levels = network.vision_encoder.backbone(images)
        fine, middle, embedding = network.vision_encoder(images).fpn_hidden_states
        assert [tuple(level.shape[1:]) for level in levels] == [(16, 32, 32), (16, 16, 16), (24, 8, 8), (32, 4, 4)]
        convs = network.vision_encoder.neck.convs
        above = convs[0](levels[3]).repeat_interleave(2, 2).repeat_interleave(2, 3)
        assert torch.allclose(embedding, convs[1](levels[2]) + above, atol=1e-6)
        assert torch.allclose(middle, convs[2](levels[1]), atol=1e-6)
        assert torch.allclose(fine, convs[3](levels[0]), atol=1e-6)


def test_numbers_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in build_edgetam().parameters()) == 9_120_641


def test_weights_of_the_family_are_told_apart(tmp_path: Path) -> None:
    hiera = {"image_encoder.trunk.pos_embed": torch.zeros(1, 96, 7, 7)}
    torch.save({"model": hiera}, tmp_path / "hiera.pt")
    with pytest.raises(BackendError, match=r"'edgetam' got weights of another network in .*; they are those of 'sam2\.1-tiny'"):
        create_segmenter("edgetam", weights=str(tmp_path / "hiera.pt"), device="cpu")
    edge = {"image_encoder.trunk.body.stem.conv1.c.weight": torch.zeros(24, 3, 3, 3)}
    torch.save({"model": edge}, tmp_path / "edge.pt")
    with pytest.raises(BackendError, match=r"'sam2\.1-tiny' got weights of another network in .*; they are those of 'edgetam'"):
        create_segmenter("sam2.1-tiny", weights=str(tmp_path / "edge.pt"), device="cpu")
