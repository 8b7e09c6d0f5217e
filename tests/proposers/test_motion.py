"""What moves against the camera, by flow to frames before and after."""

from __future__ import annotations

import numpy as np
import pytest

from sampt.errors import BackendError
from sampt.finding.choose import overlap_fractions
from sampt.geometry import find_mask_box
from sampt.proposers.base import ProposerFrame
from sampt.proposers.create import create_proposer
from sampt.testing import ExactSegmenter, SceneVideo, leave_and_return_scene, static_scene
from sampt.testing.proposer_contract import ColorSegmenter
from sampt.video.array import ArrayVideo

SCENE = leave_and_return_scene()  # the camera pans, the object goes faster


@pytest.mark.parametrize("name", ["motion", "motion-causal"])
def test_what_moves_by_itself_is_proposed_and_what_the_camera_moves_is_not(name: str) -> None:
    proposer = create_proposer(name)
    found = proposer.propose(ProposerFrame(SceneVideo(SCENE), 4, ExactSegmenter(SCENE)))
    assert overlap_fractions(found[0].mask, SCENE.masks(4)[0])[0] > 0.99
    box, gt_box = find_mask_box(found[0].mask), find_mask_box(SCENE.masks(4)[0])
    assert box is not None
    np.testing.assert_array_equal(box, gt_box)
    still = static_scene()
    assert proposer.propose(ProposerFrame(SceneVideo(still), 4, ExactSegmenter(still))) == []


def test_on_the_first_frame_later_ones_tell_where_they_may() -> None:
    first = ProposerFrame(SceneVideo(SCENE), 0, ExactSegmenter(SCENE))
    assert overlap_fractions(create_proposer("motion").propose(first)[0].mask, SCENE.masks(0)[0])[0] > 0.99
    assert create_proposer("motion-causal").propose(first) == []


def test_slow_motion_shows_over_more_frames() -> None:
    """A patch that moves three tenths of a pixel a frame."""
    rng = np.random.default_rng(0)
    ground = np.kron(rng.integers(60, 200, (20, 30, 3)), np.ones((8, 8, 1))).astype(np.float32)
    patch = np.kron(rng.integers(0, 255, (10, 10, 3)), np.ones((4, 4, 1))).astype(np.float32)
    frames = []
    for k in range(19):
        x = 90 + 0.3 * k
        frame, whole, part = ground.copy(), int(x), x - int(x)
        frame[60:100, whole : whole + 41] = np.pad(patch, ((0, 0), (0, 1), (0, 0)), "edge") * (1 - part) + part * np.pad(
            patch, ((0, 0), (1, 0), (0, 0)), "edge"
        )
        frames.append(frame.astype(np.uint8))
    found = create_proposer("motion").propose(ProposerFrame(ArrayVideo(np.stack(frames)), 9, ColorSegmenter()))
    assert found
    box = find_mask_box(found[0].mask)
    assert box is not None
    assert (np.abs(box - [91, 60, 132, 100]) < 12).all()


def test_weights_and_devices_are_refused() -> None:
    with pytest.raises(BackendError, match="'motion' has no weights, got"):
        create_proposer("motion", weights="a.pt")
    with pytest.raises(BackendError, match="'motion-causal' cannot run on device 'cuda'"):
        create_proposer("motion-causal", device="cuda")
