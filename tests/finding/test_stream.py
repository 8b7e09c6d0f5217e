"""Objects found in streamed frames, with exact backends."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sampt.config import FindConfig, default_config, with_settings
from sampt.errors import BackendError, ConfigError
from sampt.evaluation.vos.jf import jaccard
from sampt.finding import find_in_stream
from sampt.proposers.base import Proposal, ProposerFrame
from sampt.testing import ExactProposer, ExactSegmenter, ExactStreamTracker, ExactTracker, Scene, exchange_scene, slow_scene
from sampt.types import FrameMasks, ObjectState

CONFIG = with_settings(default_config(streaming=True), {"prompting.refinement_steps": 0})


def found_in(scene: Scene, find: FindConfig) -> list[FrameMasks]:
    return list(
        find_in_stream(
            (scene.frame(i) for i in range(scene.num_frames)),
            proposer=ExactProposer(scene, min_pixels=60),
            tracker=ExactStreamTracker(scene),
            segmenter=ExactSegmenter(scene),
            config=CONFIG,
            find=find,
        )
    )


def test_objects_are_found_as_they_come_and_keep_their_ids() -> None:
    scene = exchange_scene(30, (96, 160), seed=3)
    results = found_in(scene, FindConfig(every=5, max_objects=4))
    assert [r.frame_idx for r in results] == list(range(30))
    assert results[0].object_ids.tolist() == [1, 2, 3, 4]
    truth = np.stack([scene.masks(i) for i in range(30)])
    assert jaccard(results[0].masks[0], truth[0, 0]) == 1
    assert results[0].states.tolist() == [ObjectState.PRESENT, *[ObjectState.BEFORE_QUERY] * 3]
    assert jaccard(results[-1].masks[1], truth[-1, 1]) > 0.95  # the second one came later, and is no other
    assert not any(r.masks[2:].any() for r in results)


def test_no_more_objects_than_are_wanted() -> None:
    results = found_in(slow_scene(8), FindConfig(every=3, max_objects=1))
    assert all(r.masks.shape[0] == 1 and r.masks.any() for r in results)


def test_points_are_renewed_more_often_than_the_proposer_is_heard() -> None:
    scene = slow_scene(29)
    proposer, heard = ExactProposer(scene), []

    class Heard:
        info = proposer.info

        def propose(self, frame: ProposerFrame) -> list[Proposal]:
            heard.append(frame.frame_idx)
            return proposer.propose(frame)

    results = find_in_stream(
        (scene.frame(i) for i in range(29)),
        proposer=Heard(),
        tracker=ExactStreamTracker(scene),
        segmenter=ExactSegmenter(scene),
        config=CONFIG,
        find=FindConfig(every=27, max_objects=2),  # points are at most 24 frames old
    )
    assert all(frame.masks.any((1, 2)).all() for frame in results)
    assert heard == [0, 27]


def test_what_does_not_fit_a_stream_is_refused_at_once() -> None:
    scene = slow_scene(2)
    exact = {"segmenter": ExactSegmenter(scene), "tracker": ExactStreamTracker(scene)}
    later = ExactProposer(scene)
    later.info = dataclasses.replace(later.info, frames_after=2)
    with pytest.raises(BackendError, match="looks at 2 later frames"):
        find_in_stream([], proposer=later, config=CONFIG, **exact)
    with pytest.raises(BackendError, match="is not causal"):
        find_in_stream([], proposer=ExactProposer(scene), config=CONFIG, **(exact | {"tracker": ExactTracker(scene)}))
    with pytest.raises(ConfigError, match="read once"):
        find_in_stream([], proposer=ExactProposer(scene), config=with_settings(CONFIG, {"reinit.enabled": True}), **exact)
