"""The "everything" mode: what is generated, in which order, by which rules; all masks of the Segment Anything family."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.backends.table import SEGMENTERS
from sampt.errors import ConfigError, VideoError
from sampt.geometry import find_mask_box, mask_at
from sampt.segmenters.automatic import (
    AutomaticMaskConfig,
    CandidateSegmenter,
    GeneratedMask,
    compute_stability,
    distinct_boxes,
    generate_masks,
    grid_points,
)
from sampt.segmenters.base import SegmenterInfo, SegmenterView
from sampt.segmenters.create import create_segmenter
from sampt.testing.fakes import ExactSegmenter, RecordedClip
from sampt.testing.scenes import crossing_scene, slow_scene, static_scene
from sampt.types import BoolArray, FloatArray, MaskPrediction, ObjectPrompt, UInt8Array

_SIDE = 4
"""Points a side where networks are prompted."""
DAVIS = Path(__file__).resolve().parents[3] / "shared" / "davis"


def iou(one: BoolArray, other: BoolArray) -> float:
    return float((one & other).sum() / (one | other).sum())


def clip_of(*masks: BoolArray) -> RecordedClip:
    """One grey frame with these objects."""
    return RecordedClip(np.full((1, *masks[0].shape, 3), 90, np.uint8), np.stack(masks)[None])


class Answering:
    """A segmenter that predictions the k-th prompt about a frame with the k-th logits and score."""

    info = SegmenterInfo("answering", "Apache-2.0", None)

    def __init__(self, logits: Sequence[FloatArray], scores: Sequence[float]) -> None:
        self._predictions = list(zip(logits, scores, strict=True))
        self.num_encoded, self.prompted = 0, 0

    def encode(self, frames: UInt8Array) -> list[None]:
        self.num_encoded += len(frames)
        return [None] * len(frames)

    def decode(self, embedding: None, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        predictions = self._predictions[self.prompted : self.prompted + len(prompts)]
        self.prompted += len(prompts)
        return [
            MaskPrediction(p.object_id, score, None, None, low) for p, (low, score) in zip(prompts, predictions, strict=True)
        ]


def stripe(first: int, *counts_and_values: tuple[int, float]) -> FloatArray:
    """Logits of a 4 x 100 frame: -5, but for pixels of the first row from ``first`` on, so many of each value."""
    logits = np.full((4, 100), -5, np.float32)
    for count, value in counts_and_values:
        logits[0, first : first + count] = value
        first += count
    return logits


def proposed(logits: Sequence[FloatArray], scores: Sequence[float], **settings: Any) -> list[GeneratedMask]:
    """What comes of four predictions about a frame of 4 x 100."""
    segmenter = Answering(logits, scores)
    return generate_masks(np.zeros((4, 100, 3), np.uint8), segmenter, AutomaticMaskConfig(points_per_side=2, **settings))


@pytest.mark.parametrize("scene", [crossing_scene(), static_scene(), slow_scene()], ids=lambda scene: scene.name)
def test_every_object_of_a_scene_is_proposed_once_and_exactly(scene: Any) -> None:
    automatic_masks = generate_masks(scene.frame(0), ExactSegmenter(scene))
    gt = scene.masks(0)
    assert len(automatic_masks) == len(gt) == 2
    for found_mask, mask in zip(
        automatic_masks, sorted(gt, key=lambda m: -max(iou(m, p.mask) for p in automatic_masks[:1])), strict=True
    ):
        assert np.array_equal(found_mask.mask, mask)
        assert found_mask.box_xyxy.tolist() == find_mask_box(mask).tolist()  # type: ignore[union-attr]
        assert mask_at(mask, found_mask.point_xy)
        assert (found_mask.score, found_mask.stability) == (1.0, 1.0)
        assert not found_mask.mask.flags.writeable


def test_the_frame_is_encoded_once_and_every_point_asked_about_once() -> None:
    scene = static_scene()
    segmenter = ExactSegmenter(scene)
    alone = generate_masks(scene.frame(0), segmenter, AutomaticMaskConfig(points_per_side=9, batch=1))
    prompted = np.concatenate([call.xy for call in segmenter.calls])
    assert np.array_equal(prompted, grid_points((64, 96), 9))
    assert all(call.is_positive.tolist() == [True] and call.box_xyxy is None for call in segmenter.calls)
    together = generate_masks(scene.frame(0), segmenter, AutomaticMaskConfig(points_per_side=9, batch=7))
    assert [p.point_xy.tolist() for p in together] == [p.point_xy.tolist() for p in alone]

    counting = Answering([stripe(0)] * 4, [1.0] * 4)
    generate_masks(np.zeros((4, 100, 3), np.uint8), counting, AutomaticMaskConfig(points_per_side=2, batch=3))
    assert (counting.num_encoded, counting.prompted) == (1, 4)


def test_best_score_first_and_no_more_than_the_limit() -> None:
    scene = static_scene()
    segmenter = ExactSegmenter(scene, score=lambda _, object_id: {1: 0.9, 2: 0.95}[object_id])
    masks = scene.masks(0)
    both = generate_masks(scene.frame(0), segmenter)
    assert [p.score for p in both] == [0.95, 0.9]
    assert np.array_equal(both[0].mask, masks[1])
    (one,) = generate_masks(scene.frame(0), segmenter, AutomaticMaskConfig(max_masks=1))
    assert np.array_equal(one.mask, masks[1])
    (above,) = generate_masks(scene.frame(0), segmenter, AutomaticMaskConfig(score_threshold=0.9))  # 0.9 does not exceed 0.9
    assert above.score == 0.95
    assert generate_masks(scene.frame(0), segmenter, AutomaticMaskConfig(score_threshold=0.95)) == []


def test_points_lie_where_the_official_program_puts_them() -> None:
    assert grid_points((4, 8), 2).tolist() == [[2, 1], [6, 1], [2, 3], [6, 3]]
    assert grid_points((5, 7), 1).tolist() == [[3.5, 2.5]]  # half a pixel beyond the middle one, as in the official program
    points = grid_points((480, 854), 32)
    assert points.shape == (1024, 2)
    assert np.allclose(points + points[::-1], [854, 480])


def test_boxes_of_greater_iou_than_the_threshold_are_one() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 7], [2, 0, 12, 10], [30, 30, 40, 40]])
    # IoU with the first, without any + 1: 80 / 100, 70 / 100, 80 / 120, 0
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.95])
    assert distinct_boxes(boxes, scores, 0.7, 100) == [4, 0, 2, 3]
    assert distinct_boxes(boxes, scores, 0.69, 100) == [4, 0, 3]
    assert distinct_boxes(boxes, scores, 0.66, 100) == [4, 0]
    assert distinct_boxes(boxes, scores, 1.0, 100) == [4, 0, 1, 2, 3]
    assert distinct_boxes(boxes, scores, 0.7, 2) == [4, 0]
    assert distinct_boxes(boxes[:2], np.array([0.8, 0.8]), 0.7, 100) == [0]  # the earlier of equals
    assert distinct_boxes(boxes[:2], np.array([0.7, 0.8]), 0.7, 100) == [1]
    # A box that is gone takes no other with it: the last two overlap by 80 / 100, the first and the last by 64 / 100.
    chain = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 8, 8]])
    assert distinct_boxes(chain, np.array([0.9, 0.8, 0.7]), 0.7, 100) == [0, 2]


def test_boxes_one_pixel_wide_are_one_only_when_equal() -> None:
    boxes = np.array([[3, 5, 40, 5], [3, 5, 40, 5], [3, 5, 41, 5], [7, 7, 7, 7], [7, 7, 7, 7]])
    assert distinct_boxes(boxes, np.ones(5), 0.7, 100) == [0, 2, 3]
    line = np.zeros((64, 96), np.bool_)
    line[11, 4:90] = True
    (found_mask,) = generate_masks(clip_of(line).frame(0), ExactSegmenter(clip_of(line)))
    assert np.array_equal(found_mask.mask, line)


def test_stability_is_the_fraction_of_sure_pixels_among_possible_ones() -> None:
    assert compute_stability(np.array([19, 0, 0, 8]), np.array([20, 5, 0, 8])).tolist() == [0.95, 0, 0, 1]
    predictions = [
        stripe(0, (19, 2.0), (1, 0.5)),  # 19 / 20
        stripe(25, (19, 2.0), (1, 0.5), (1, -0.5)),  # 19 / 21
        stripe(50, (19, 2.0), (1, 1.0), (1, -1.0)),  # 19 / 20: neither limit is exceeded
        stripe(75, (20, 2.0), (5, -2.0)),  # 20 / 20
    ]
    found = proposed(predictions, [0.99, 0.98, 0.97, 0.96])
    assert [p.stability for p in found] == [0.95, 0.95, 1.0]
    assert [p.box_xyxy.tolist() for p in found] == [[0, 0, 19, 0], [50, 0, 69, 0], [75, 0, 94, 0]]
    assert [p.stability for p in proposed(predictions, [0.99, 0.98, 0.97, 0.96], stability_offset=2.5)] == []
    assert [p.score for p in proposed(predictions, [0.99, 0.98, 0.97, 0.96], stability_threshold=0.9)] == [
        0.99,
        0.98,
        0.97,
        0.96,
    ]


def test_empty_masks_are_never_proposed_and_scores_lie_within_their_range() -> None:
    predictions = [stripe(0), stripe(0, (10, -0.5)), stripe(20, (1, 3.0)), stripe(50, (9, 3.0))]
    found = proposed(predictions, [0.9, 0.9, -0.5, 1.5], score_threshold=0.0, stability_threshold=0.0)
    assert [(p.score, int(p.mask.sum())) for p in found] == [(1.0, 9), (0.0, 1)]
    assert [p.point_xy.tolist() for p in found] == [[75, 3], [25, 3]]


def test_masks_that_wait_take_little_room() -> None:
    automatic = np.ones((240, 320), np.bool_)
    clip = clip_of(automatic)
    segmenter = ExactSegmenter(clip)
    segmenter.encode(clip.frame(0)[None])
    tracemalloc.start()
    try:
        (found_mask,) = generate_masks(clip.frame(0), segmenter, AutomaticMaskConfig(batch=4))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found_mask.mask.all()
    assert peak < 8e6  # all 1024 masks, a byte a pixel, would take 79 MB, packed to bits 10 MB


@pytest.mark.parametrize(
    "setting",
    [
        {"points_per_side": 0},
        {"points_per_side": 2.5},
        {"batch": 0},
        {"score_threshold": 1.1},
        {"score_threshold": float("nan")},
        {"stability_threshold": -0.1},
        {"stability_offset": -1.0},
        {"nms_threshold": "0.7"},
        {"max_masks": 0},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.raises(ConfigError, match=f"^{name} is .*; expected [^\n]*$"):
        AutomaticMaskConfig(**setting)


@pytest.mark.parametrize(
    ("frame", "got"),
    [
        (np.zeros((4, 5, 3), np.float32), r"shape \(4, 5, 3\), float32"),
        (np.zeros((4, 5), np.uint8), r"shape \(4, 5\), uint8"),
        (np.zeros((4, 5, 4), np.uint8), r"shape \(4, 5, 4\), uint8"),
        (np.zeros((0, 5, 3), np.uint8), r"shape \(0, 5, 3\), uint8"),
        ([[[0, 0, 0]]], "list"),
    ],
    ids=["float", "grey", "alpha", "empty", "list"],
)
def test_frames_of_another_kind_are_refused(frame: Any, got: str) -> None:
    with pytest.raises(VideoError, match=rf"^generate_masks got a frame of {got}; expected \(h, w, 3\) uint8 RGB[^\n]*$"):
        generate_masks(frame, Answering([], []))


@pytest.mark.skipif(not DAVIS.is_dir(), reason="the project's shared data is not beside this checkout")
def test_nano_proposes_the_swan() -> None:
    """Its scores and stability are lower than SAM's, whose thresholds leave little: 0.8 and 0.9 instead of 0.88 and 0.95."""
    frame = np.asarray(Image.open(DAVIS / "JPEGImages" / "480p" / "blackswan" / "00000.jpg").convert("RGB"))
    swan = np.asarray(Image.open(DAVIS / "Annotations" / "480p" / "blackswan" / "00000.png")) > 0
    config = AutomaticMaskConfig(points_per_side=8, score_threshold=0.8, stability_threshold=0.9)
    automatic_masks = generate_masks(frame, create_segmenter("nano"), config)
    assert max(iou(p.mask, swan) for p in automatic_masks) > 0.7


@cache
def small_network(kind: str) -> Any:
    """A reduced network of the family, with random weights."""
    torch = pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
    pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")
    from sampt.segmenters.hq_sam import network as hq_sam
    from sampt.segmenters.sam import network as sam
    from sampt.segmenters.sam.checkpoint import fill_random
    from sampt.segmenters.sam2 import network as sam2

    vit = sam.VitSizes(width=32, depth=2, heads=2, global_layers=(1,), side=128)
    builders: dict[str, Callable[[], Any]] = {
        "sam": lambda: sam.build_vit(vit),
        "hq-sam": lambda: hq_sam.build_vit(vit),
        "sam2": lambda: sam2.build(sam2.HieraSizes(16, 1, (1, 1, 2, 1), (3,), side=128)),
    }
    with torch.random.fork_rng(devices=[]):
        network = builders[kind]()
    fill_random(network, 0.1)
    return network


def plain_reference(network: Any, frame: UInt8Array, config: AutomaticMaskConfig) -> tuple[list[dict[str, Any]], list[int]]:
    """The rules one mask at a time: those that pass the thresholds, and which of them are kept, best first."""
    import torch
    import torch.nn.functional as F

    from sampt.segmenters.sam.prompts import make_batch
    from sampt.segmenters.sam.resizing import to_square

    cpu, (h, w), n = torch.device("cpu"), frame.shape[:2], config.points_per_side
    fit, found = network.fit((h, w)), []
    image = network.encode(to_square(frame[None], fit, cpu))
    for i in range(n * n):
        xy = np.array([(i % n + 0.5) / n * w, (i // n + 0.5) / n * h], np.float32)
        batch = make_batch([ObjectPrompt(1, xy[None], np.array([True]))], fit, 32, cpu, "reference")
        logits, scores = network.predict(image, batch, multimask=True)
        for one, score in zip(logits[0], scores[0].tolist(), strict=True):
            square = one[None, None]
            if not fit.is_stretched:
                square = F.interpolate(square, (128, 128), mode="bilinear")[..., : fit.resized_hw[0], : fit.resized_hw[1]]
            full = F.interpolate(square, (h, w), mode="bilinear")[0, 0].numpy()
            stability = (full > config.stability_offset).sum() / max((full > -config.stability_offset).sum(), 1)
            assert abs(score - config.score_threshold) > 1e-4  # else rounding may decide
            if score > config.score_threshold and stability >= config.stability_threshold and (full > 0).any():
                y, x = np.nonzero(full > 0)
                box = [x.min(), y.min(), x.max(), y.max()]
                found.append({"mask": full > 0, "box": box, "score": score, "stability": stability, "xy": xy})
    kept: list[int] = []
    for k in sorted(range(len(found)), key=lambda k: -found[k]["score"]):
        if all(overlap(found[k]["box"], found[j]["box"]) <= config.nms_threshold for j in kept):
            kept.append(k)
    return found, kept


def overlap(one: Sequence[int], other: Sequence[int]) -> float:
    """IoU of boxes, measured between their first and last pixels."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(shared / (sum(areas) - shared)) if sum(areas) else float(one == other)


def less(network: Any, frame: UInt8Array, fraction: float) -> Callable[..., Any]:
    """``network.predict`` with so much taken off the logits that they are above 0 at this fraction of the locations.

    Masks of random networks are specks all over the frame, and all boxes the same; this leaves some of the specks.
    """
    import torch

    from sampt.segmenters.sam.prompts import make_batch
    from sampt.segmenters.sam.resizing import to_square

    cpu, predict = torch.device("cpu"), network.predict
    fit = network.fit(frame.shape[:2])
    prompts = [ObjectPrompt(1, xy[None], np.array([True])) for xy in grid_points(frame.shape[:2], _SIDE)]
    with torch.inference_mode():
        image = network.encode(to_square(frame[None], fit, cpu))
        logits = predict(image, make_batch(prompts, fit, 32, cpu, "test"), multimask=True)[0]
        limit = torch.quantile(logits.flatten(), 1 - fraction)

    def predict_less(*arguments: Any, **keywords: Any) -> Any:
        logits, scores = predict(*arguments, **keywords)
        return logits - limit, scores

    return predict_less


@pytest.mark.parametrize(
    ("kind", "masks_a_point", "offset", "stability_threshold"),
    [("sam", 3, 0.1, 0.68), ("hq-sam", 1, 0.3, 0.887), ("sam2", 3, 0.3, 0.71)],
)
def test_the_family_proposes_what_the_rules_say_of_all_its_masks(
    kind: str, masks_a_point: int, offset: float, stability_threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small_network(kind)
    import torch

    from sampt.segmenters.sam.adapter import SamSegmenter
    from sampt.segmenters.sam.models import MODELS

    frame = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    monkeypatch.setattr(network, "predict", less(network, frame, 0.05))
    segmenter = SamSegmenter(MODELS["sam-vit-b"], lambda: network, torch.device("cpu"))
    assert isinstance(segmenter, CandidateSegmenter)
    config = AutomaticMaskConfig(
        points_per_side=_SIDE,
        batch=11,
        score_threshold=0.1,
        stability_offset=offset,
        stability_threshold=stability_threshold,
    )
    with torch.inference_mode():
        expected, kept = plain_reference(network, frame, config)
    found = generate_masks(frame, SegmenterView(segmenter), config)
    assert len(found) == len(kept) > 1
    for found_mask, wanted in zip(found, (expected[k] for k in kept), strict=True):
        assert np.array_equal(found_mask.mask, wanted["mask"])
        assert found_mask.box_xyxy.tolist() == wanted["box"]
        assert found_mask.score == pytest.approx(min(wanted["score"], 1.0), abs=1e-4)
        assert found_mask.stability == pytest.approx(wanted["stability"])
        assert np.array_equal(found_mask.point_xy, wanted["xy"])

    embedding = segmenter.encode(frame[None])[0]
    unfiltered = AutomaticMaskConfig(score_threshold=0.0, stability_threshold=0.0)
    candidates = segmenter.candidates(embedding, grid_points((60, 100), _SIDE), unfiltered)
    assert all(c.found_mask((60, 100)).mask.any() for c in candidates)  # "sam" also gives empty ones
    every = [c.score for c in candidates]
    likely = [score for score in every if score > 0.1]
    assert len(kept) < len(expected) < len(likely) < len(every) <= masks_a_point * _SIDE**2  # every rule matters
    assert len(set(every)) > 0.9 * len(every)  # the masks of one point have scores of their own


def test_every_segmenter_has_thresholds_of_its_own() -> None:
    """What a network is sure of differs: one that never says more than 0.7 gives masks where its own threshold is lower."""
    scene = static_scene()

    class Modest(ExactSegmenter):
        @property
        def info(self) -> SegmenterInfo:
            return replace(super().info, mask_thresholds=(0.6, 0.9))

    official = AutomaticMaskConfig()
    assert (official.score_threshold, official.stability_threshold) == (0.88, 0.95)
    assert generate_masks(scene.frame(0), ExactSegmenter(scene, score=0.7)) == []
    assert len(generate_masks(scene.frame(0), Modest(scene, score=0.7))) == 2
    assert generate_masks(scene.frame(0), Modest(scene, score=0.55)) == []
    config = AutomaticMaskConfig.for_segmenter(Modest(scene).info, score_threshold=0.5)
    assert (config.score_threshold, config.stability_threshold) == (0.5, 0.9)
    assert len(generate_masks(scene.frame(0), Modest(scene, score=0.55), config)) == 2


def test_those_of_nano_are_not_segment_anythings() -> None:
    """With 0.88 and 0.95 it finds nothing on most frames (docs/benchmarks.md, "Automatic masks")."""
    for name in ("nano", "nano-fast"):
        score, stability = SEGMENTERS[name].info.mask_thresholds
        assert score < 0.88
        assert stability < 0.95
