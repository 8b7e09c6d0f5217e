"""Objects that nobody named, found with exact backends: each once, wherever it enters, leaves or is cut away."""

from __future__ import annotations

import numpy as np
import pytest

from sampt.config import FindConfig, with_settings
from sampt.evaluation.vos.jf import jaccard
from sampt.finding import FoundObjects, find_objects
from sampt.pipeline.queries import Queries
from sampt.pipeline.segment import segment_video
from sampt.presets import preset
from sampt.proposers.base import Proposal, Proposer, ProposerFrame, ProposerInfo
from sampt.testing import (
    ExactProposer,
    ExactSegmenter,
    ExactTracker,
    RecordedClip,
    Scene,
    SceneVideo,
    exchange_scene,
    leave_and_return_scene,
    slow_scene,
)
from sampt.testing.fakes import KnownClip
from sampt.types import Points
from sampt.video.array import ArrayVideo
from sampt.video.base import Video

CONFIG = with_settings(preset("default"), {"prompting.refinement_steps": 0})


def find_in(
    scene: Scene,
    find: FindConfig | None = None,
    known: Queries | None = None,
    *,
    proposer: Proposer | None = None,
    clip: KnownClip | None = None,
    video: Video | None = None,
) -> FoundObjects:
    """What is found of a scene by backends that know it, or, of ``clip`` or ``video``, what these show instead."""
    return find_objects(
        video or SceneVideo(scene),
        proposer=proposer or ExactProposer(clip or scene, min_pixels=60),
        tracker=ExactTracker(scene),
        segmenter=ExactSegmenter(clip or scene),
        config=CONFIG,
        find=find or FindConfig(every=6),
        known=known,
    )


def test_each_object_is_found_once_and_named_by_its_mask() -> None:
    scene = slow_scene(14)
    found = find_in(scene, proposer=ExactProposer(scene, labels=("warm", "cool")))
    assert [o.object_id for o in found.objects] == [1, 2]
    assert found.searched == (0, 6, 12)
    for item in found.objects:
        best = max(scene.masks(item.frame_idx), key=lambda mask: jaccard(item.mask, mask))
        assert np.array_equal(item.mask, best)
        assert item.frames == (0, 6, 12)
    assert sorted(found.labels.values()) == ["cool", "warm"]
    result = list(
        segment_video(
            SceneVideo(scene), found.queries, config=CONFIG, tracker=ExactTracker(scene), segmenter=ExactSegmenter(scene)
        )
    )
    assert len(result) == 14
    assert result[-1].masks.any((1, 2)).all()


def test_what_enters_later_is_found_then_and_what_left_keeps_its_own_identity() -> None:
    scene = exchange_scene(36, seed=3)
    found = find_in(scene)
    assert len(found.objects) == 2
    first, second = (next(o for o in found.objects if (0 in o.frames) is early) for early in (True, False))
    assert jaccard(first.mask, scene.masks(first.frame_idx)[0]) == 1
    assert jaccard(second.mask, scene.masks(second.frame_idx)[1]) == 1


def test_an_object_that_leaves_and_comes_back_is_one() -> None:
    scene = leave_and_return_scene(36)
    found = find_in(scene)
    assert len(found.objects) == 1
    assert found.objects[0].frames[-1] >= 30


def test_known_objects_are_not_found_again() -> None:
    scene = slow_scene(14)
    x, y = np.argwhere(scene.masks(9)[0]).mean(0)[::-1]
    found = find_in(scene, known=Queries.of(Points.of(4, 9, [[x, y]])))
    assert [o.object_id for o in found.objects] == [5]
    assert np.array_equal(found.objects[0].mask, scene.masks(found.objects[0].frame_idx)[1])


def test_a_cut_is_searched_and_ends_what_was_there() -> None:
    one, other = slow_scene(8, seed=5), leave_and_return_scene(8, size_hw=slow_scene(1).size_hw, seed=9)
    frames = np.concatenate([np.stack([s.frame(i) for i in range(8)]) for s in (one, other)])
    frames[8:] = 255 - frames[8:, :, :, ::-1]
    nothing = np.zeros((1, *one.size_hw), bool)
    masks = np.stack(
        [np.concatenate([one.masks(i), nothing]) for i in range(8)]
        + [np.concatenate([nothing, nothing, other.masks(i)]) for i in range(8)]
    )
    clip = RecordedClip(frames, masks)
    found = find_in(one, FindConfig(every=20), clip=clip, video=ArrayVideo(frames))
    assert 8 in found.searched
    assert len(found.objects) == 3


@pytest.mark.parametrize(
    ("find", "count"),
    [
        (FindConfig(every=6, max_objects=1), 1),
        (FindConfig(every=6, min_area=0.5), 0),
        (FindConfig(every=6, region=(0, 0, 63, 96)), 1),
        (FindConfig(every=6, min_score=0.95), 0),
    ],
    ids=["most", "area", "region", "score"],
)
def test_filters(find: FindConfig, count: int) -> None:
    found = find_in(slow_scene(8), find)
    assert len(found.objects) == count
    assert found.num_left_out == (1 if find.max_objects == 1 else 0)


def test_first_frame_alone() -> None:
    found = find_in(exchange_scene(36, seed=3), FindConfig(every=0))
    assert found.searched == (0,)
    assert len(found.objects) == 1


class Noisy:
    """An exact proposer that sees a thing that is not there on one frame."""

    info = ProposerInfo("noisy", "Apache-2.0", None)

    def __init__(self, scene: Scene) -> None:
        self._exact = ExactProposer(scene)

    def propose(self, frame: ProposerFrame) -> list[Proposal]:
        found = self._exact.propose(frame)
        if frame.frame_idx == 6:
            mask = np.zeros(frame.size_hw, bool)
            mask[:20, :30] = True
            found.append(Proposal(mask & ~np.any([p.mask for p in found], axis=0), 0.9))
        return found


def test_what_is_proposed_once_and_is_there_later_is_dropped() -> None:
    scene = slow_scene(14)
    ground = RecordedClip(
        np.stack([scene.frame(i) for i in range(14)]),
        np.stack([np.concatenate([scene.masks(i), ~scene.masks(i).any(0, keepdims=True)]) for i in range(14)]),
    )
    found = find_in(scene, FindConfig(every=3), proposer=Noisy(scene), clip=ground)
    assert len(found.objects) == 2
