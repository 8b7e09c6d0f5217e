"""The segmenter's own masks as proposals."""

from __future__ import annotations

import numpy as np

from sampt.proposers.base import ProposerFrame
from sampt.proposers.create import create_proposer
from sampt.segmenters.automatic import AutomaticMaskConfig, generate_masks
from sampt.testing import ExactSegmenter, SceneVideo, static_scene


def test_proposals_are_the_segmenters_automatic_masks_without_encoding_the_frame_again() -> None:
    scene = static_scene()
    segmenter = ExactSegmenter(scene)
    frame = ProposerFrame(SceneVideo(scene), 0, segmenter)
    embedding = frame.embedding
    segmenter.encode = None  # type: ignore[assignment, method-assign]  # whoever calls it fails
    found = create_proposer("automatic").propose(frame)
    assert frame.embedding is embedding
    expected = generate_masks(frame.image, ExactSegmenter(scene), AutomaticMaskConfig(points_per_side=16))
    assert len(found) == len(expected) >= 2
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.score == other.score
