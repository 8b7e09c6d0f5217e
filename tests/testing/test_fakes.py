"""The exact fakes give exactly what they promise, on any view of a scene's video."""

from __future__ import annotations

import numpy as np
import pytest

from sampt.errors import BackendError
from sampt.testing.fakes import ExactSegmenter, ExactStreamTracker, ExactTracker, RecordedClip
from sampt.testing.rendering import SceneVideo
from sampt.testing.scenes import crossing_scene, leave_and_return_scene, static_scene
from sampt.types import ObjectPrompt, Points
from sampt.video.base import ResizedVideo, SubVideo


def prompt(
    object_id: int, positive: list[list[float]], negative: list[list[float]] | None = None, **more: object
) -> ObjectPrompt:
    negative = negative or []
    xy = np.array([*positive, *negative], np.float32).reshape(-1, 2)
    return ObjectPrompt(object_id, xy, np.arange(len(xy)) < len(positive), **more)  # type: ignore[arg-type]


def test_tracker_is_exact_on_windows_strides_and_reversed_copies() -> None:
    scene = crossing_scene()
    points = Points.of(1, 2, [[30, 30], [65, 35], [5, 5]])
    for indices in (range(16), range(3, 11), range(1, 16, 2), range(12, 2, -1)):
        on_scene = Points.of(1, indices[2], points.xy)
        exact = scene.point_positions(on_scene)
        for tracker in (ExactTracker(scene), ExactStreamTracker(scene)):
            tracks = tracker.track(SubVideo(SceneVideo(scene), indices), points)
            assert np.abs(tracks.xy - exact.xy[list(indices)]).max() < 1e-4
            assert np.array_equal(tracks.visible, exact.visible[list(indices)])


def test_locations_outside_the_frame_are_right_though_those_frames_look_alike() -> None:
    scene = leave_and_return_scene()
    points = Points.of(1, 0, [[77, 32]])
    exact = scene.point_positions(points)
    assert np.array_equal(ExactTracker(scene).track(SceneVideo(scene), points).xy, exact.xy)
    backward = SubVideo(SceneVideo(scene), range(23, -1, -1))
    stream = ExactStreamTracker(scene).track(backward, Points.of(1, 23, [[77, 32]]))
    assert np.abs(stream.xy - exact.xy[::-1]).max() < 1e-4


def test_jitter_and_dropout_have_the_size_asked_for_and_spare_the_query() -> None:
    scene = static_scene()
    points = Points.of(1, 4, np.random.default_rng(0).uniform(5, 55, (200, 2)))
    noisy = ExactTracker(scene, jitter_px=0.5, dropout=0.25, rng=np.random.default_rng(1)).track(SceneVideo(scene), points)
    others = np.arange(12) != 4
    assert (noisy.xy - points.xy)[others].std() == pytest.approx(0.5, rel=0.05)
    assert noisy.visible[others].mean() == pytest.approx(0.75, abs=0.03)
    assert np.array_equal(noisy.xy[4], points.xy)
    assert noisy.visible[4].all()


def test_noise_without_a_generator_is_refused() -> None:
    with pytest.raises(BackendError, match=r"jitter_px=1\.0, dropout=0\.0 and no rng"):
        ExactTracker(static_scene(), jitter_px=1.0)


def test_a_frame_of_no_scene_is_refused() -> None:
    video = ResizedVideo(SceneVideo(static_scene()), (32, 48))
    with pytest.raises(BackendError, match=r"frame of shape \(32, 48, 3\) that none of its 1 clips has"):
        ExactTracker(static_scene()).track(video, Points.of(1, 0, [[3, 3]]))


def test_segmenter_answers_with_the_mask_that_most_points_mean() -> None:
    scene = static_scene()
    masks = scene.masks(0)
    segmenter = ExactSegmenter(scene, score=0.9)
    embedding = segmenter.encode(scene.frame(0)[None])[0]
    one, two, off = [27.0, 29.0], [70.0, 34.0], [2.0, 2.0]
    prompted = [
        prompt(5, [one]),
        prompt(6, [one, two, [71, 35]]),
        prompt(7, [one, two], [one]),
        prompt(8, [off]),
        prompt(9, [one], [one]),
    ]
    predictions = segmenter.decode(embedding, prompted)
    expected = [masks[0], masks[1], masks[1], np.zeros_like(masks[0]), np.zeros_like(masks[0])]
    for prediction, mask in zip(predictions, expected, strict=True):
        assert prediction.logits is not None
        assert np.array_equal(prediction.logits, np.where(mask, 8, -8))
    assert [a.object_id for a in predictions] == [5, 6, 7, 8, 9]
    assert [a.score for a in predictions] == [0.9, 0.9, 0.9, 0, 0]
    assert predictions[0].low_res_logits.shape == (16, 24)
    assert predictions[3].box_xyxy is None
    assert [call.chosen_id for call in segmenter.calls] == [1, 2, 2, None, None]


def test_segmenter_records_what_it_was_asked() -> None:
    scene = crossing_scene()
    segmenter = ExactSegmenter(scene, score=lambda frame_idx, object_id: frame_idx / 100 + object_id / 10)
    embedding = segmenter.encode(scene.frame(3)[None])[0]
    prediction = segmenter.decode(embedding, [prompt(4, [], box_xyxy=[55, 20, 85, 50], mask_logits=object())], full_size=False)[
        0
    ]
    assert prediction.logits is None
    assert prediction.score == pytest.approx(0.23)
    call = segmenter.calls[0]
    assert (call.frame_idx, call.object_id, call.has_mask_logits, call.full_size, call.chosen_id) == (3, 4, True, False, 2)
    assert call.box_xyxy is not None
    assert call.box_xyxy.tolist() == [55, 20, 85, 50]


def test_segmenter_knows_recorded_clips() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, 8, 12, 3), np.uint8)
    masks = np.zeros((2, 1, 8, 12), np.bool_)
    masks[1, 0, 2:5, 3:9] = True
    segmenter = ExactSegmenter(RecordedClip(frames, masks))
    prediction = segmenter.decode(segmenter.encode(frames)[1], [prompt(1, [[4, 3]])])[0]
    assert prediction.box_xyxy is not None
    assert prediction.box_xyxy.tolist() == [3, 2, 8, 4]


def test_stream_wants_a_frame_before_points() -> None:
    with pytest.raises(BackendError, match="points before any frame"):
        ExactStreamTracker(static_scene()).stream().add(np.zeros((1, 2), np.float32))
