"""The whole pipeline beside the authors' whole program: the same frames, tracks and weights give the same masks.

``../shared/end_to_end`` holds what SAM-PT's own program returned with MobileSAM, whose weights are filled by a formula.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")
pytest.importorskip("kornia", reason="kornia is one of the [sam] extras")

from sampt.config import (  # noqa: E402
    PromptConfig,
    ReinitConfig,
    SamplingConfig,
    SegmentConfig,
    TrackingConfig,
    with_settings,
)
from sampt.pipeline.segment import segment_video  # noqa: E402
from sampt.segmenters.base import PromptableSegmenter  # noqa: E402
from sampt.segmenters.cache import CachedSegmenter  # noqa: E402
from sampt.segmenters.create import create_segmenter  # noqa: E402
from sampt.trackers.base import TrackerInfo  # noqa: E402
from sampt.types import FrameMasks, HiddenBy, Points, Tracks, UInt8Array  # noqa: E402
from sampt.video.open import open_video  # noqa: E402
from tools.parity.fixtures import Fixture  # noqa: E402

SHARED = Path(__file__).resolve().parents[3] / "shared"
pytestmark = pytest.mark.skipif(
    not (SHARED / "end_to_end").is_dir(), reason="the project's shared data is not beside this checkout"
)
NAMES = (
    *("no_negatives_R0", "three_objects_R3"),  # on the same four frames, which are encoded once
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("one_object_R0", "one_object_R3", "query_frames_R3")),
)
MAX_PIXELS = 2
"""By which a mask may differ, from rounding."""
MAX_SCORE_DIFFERENCE = 1e-6
MEMORY_BYTES = 256 << 20
"""Room for the embeddings of all frames."""


@dataclass(frozen=True, eq=False)
class Official:
    """What went into the authors' program, and what came out.

    Attributes:
        spec: frames and settings.
        points: query points of all objects, each object's together, positives first.
        tracks: of these points, as they were given to the program.
        masks: (t, m, h, w) bool; they may overlap.
        scores: (t, m) predicted IoU.
    """

    spec: dict[str, Any]
    points: Points
    tracks: Tracks
    masks: np.ndarray
    scores: np.ndarray

    @classmethod
    def read(cls, name: str) -> Official:
        path = SHARED / "end_to_end" / f"sam_pt_{name}"
        spec = json.loads(path.with_suffix(".json").read_text())
        with np.load(path.with_suffix(".npz")) as arrays:
            query, xy, visible = arrays["query"], arrays["xy"], arrays["visible"]
            width = spec["height_width"][1]
            masks = np.unpackbits(arrays["masks"], axis=-1)[..., :width].astype(np.bool_)
            scores = arrays["scores"]
        m, k, t = *query.shape[:2], len(xy)
        query, xy, visible = query.reshape(m * k, 3), xy.reshape(t, m * k, 2), visible.reshape(t, m * k)
        is_positive = np.tile(np.arange(k) < spec["positives_first"], m)
        points = Points(query[:, 1:], query[:, 0].astype(np.int64), np.repeat(np.arange(1, m + 1), k), is_positive)
        hidden_by = np.where(visible, HiddenBy.NONE, HiddenBy.TRACKER).astype(np.uint8)
        tracks = Tracks(points, xy, visible, visible.astype(np.float32), hidden_by)
        return cls(spec, points, tracks, masks, scores)

    def frames(self) -> UInt8Array:
        wanted, (height, width) = self.spec["frames"], self.spec["height_width"]
        davis, name = SHARED / "davis", wanted["sequence"]
        clip = davis / "multi_object" / name / "frames.mp4"
        video = open_video(clip if clip.is_file() else davis / "JPEGImages" / "480p" / name)
        frames = video.read(wanted["first"], wanted["first"] + wanted["count"])
        return np.stack([Image.fromarray(f).resize((width, height), Image.Resampling.BILINEAR) for f in frames])

    def config(self, **changes: Any) -> SegmentConfig:
        prompting = PromptConfig(
            refinement_steps=self.spec["refinement_rounds"],
            iou_threshold=0.0,
            other_objects_as_negatives=self.spec["other_objects_as_negatives"],
        )
        config = SegmentConfig(
            sampling=SamplingConfig(negative_points=self.spec["negatives"]),
            tracking=TrackingConfig(border_fraction=0.0),
            prompting=prompting,
            reinit=ReinitConfig(),
            overlapping=True,
        )
        return with_settings(config, changes)


class GivenTracks:
    """A tracker of whole clips that predicts the given tracks."""

    info = TrackerInfo("given-tracks", "MIT", None, is_causal=False)

    def __init__(self, tracks: Tracks) -> None:
        self._tracks = tracks

    def track(self, video: Any, points: Points, query_masks: Sequence[Any] | None = None) -> Tracks:
        assert np.array_equal(points.xy, self._tracks.points.xy)
        return self._tracks


@pytest.fixture(scope="module")
def segmenter() -> Iterator[PromptableSegmenter]:
    """MobileSAM of full size with the weights of the fixtures; each frame is encoded once."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on busy cores several threads wait for each other most of the time
    with Fixture.read(SHARED / "parity", "mobile_sam").checkpoint() as path:
        yield CachedSegmenter(create_segmenter("mobile-sam", weights=path, device="cpu"), memory_bytes=MEMORY_BYTES)
    torch.set_num_threads(num_threads)


def run(official: Official, segmenter: PromptableSegmenter, **changes: Any) -> list[FrameMasks]:
    tracker, config = GivenTracks(official.tracks), official.config(**changes)
    return list(segment_video(official.frames(), official.points, config=config, tracker=tracker, segmenter=segmenter))


@pytest.mark.parametrize("name", NAMES)
def test_masks_and_scores_are_those_of_the_official_program(name: str, segmenter: PromptableSegmenter) -> None:
    official = Official.read(name)
    results = run(official, segmenter)
    assert [r.frame_idx for r in results] == list(range(official.spec["frames"]["count"]))
    pixels = [(r.masks ^ expected).sum((1, 2)) for r, expected in zip(results, official.masks, strict=True)]
    assert np.max(pixels) <= MAX_PIXELS, pixels
    assert np.abs(np.stack([r.scores for r in results]) - official.scores).max() <= MAX_SCORE_DIFFERENCE


@pytest.mark.slow
def test_under_protocol_vos_only_frames_before_an_object_differ(segmenter: PromptableSegmenter) -> None:
    # Points of the objects to come are there from the first frame on: they are negative ones for the object that is.
    official = Official.read("query_frames_R3")
    prompt_frames = [official.points.prompt_frame(object_id) for object_id in official.points.object_ids]
    assert prompt_frames == [0, 4, 7]
    for result, expected in zip(run(official, segmenter, protocol="vos"), official.masks, strict=True):
        begun = np.array(prompt_frames) <= result.frame_idx
        assert not result.masks[~begun].any()
        assert (result.masks ^ expected)[begun].sum((1, 2)).max() <= MAX_PIXELS
