"""TAP-Vid measures and PCK: figures worked out by hand, what does not count, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sampt.errors import EvaluationError
from sampt.evaluation.points.metrics import (
    QUERY_MODES,
    TAP_VID_THRESHOLDS,
    TapVidScore,
    mean_tap_vid,
    pck,
    tap_vid_queries,
    tap_vid_score,
)

SQUARE = (256, 256)
ROOM = 100.0


def score(
    error_px: Any, pred_visible: Any, gt_visible: Any, query: Any = None, size_hw: tuple[int, int] = SQUARE
) -> TapVidScore:
    """Of (t, n) errors along x; points are given on frame 0 unless given."""
    error = np.array(error_px, np.float32)
    gt_xy = np.full((*error.shape, 2), ROOM, np.float32)
    pred_xy = gt_xy + np.stack([error, np.zeros_like(error)], -1)
    query_idx = np.zeros(error.shape[1], np.int64) if query is None else np.array(query)
    return tap_vid_score(pred_xy, np.array(pred_visible, bool), gt_xy, np.array(gt_visible, bool), query_idx, size_hw)


def test_perfect_tracks_score_one() -> None:
    found = score([[0, 0], [0, 0]], [[1, 1], [1, 0]], [[1, 1], [1, 0]])
    assert found == TapVidScore(1.0, (1.0,) * 5, (1.0,) * 5)
    assert (found.delta_avg, found.average_jaccard) == (1.0, 1.0)


def test_every_case_of_a_point_at_once() -> None:
    """Six points on frame 1: right; 3 px off; right but hidden; falsely shown; rightly hidden; 20 px off, hidden."""
    errors = [0, 3, 0, 0, 50, 20]
    pred = [1, 1, 0, 1, 0, 0]
    true = [1, 1, 1, 0, 0, 1]
    found = score([[0] * 6, errors], [[1] * 6, pred], [[1] * 6, true])
    # Agree: points 0, 1, 4. Of the four truly visible ones two are within 1 and 2 px, three within 4, 8 and 16.
    assert found.occlusion_accuracy == 3 / 6
    assert found.within == (2 / 4, 2 / 4, 3 / 4, 3 / 4, 3 / 4)
    # 1 and 2 px: TP point 0, FP 1 and 3, FN 1, 2, 5 -> 1 / 6. From 4 px: TP 0 and 1, FP 3, FN 2 and 5 -> 2 / 5.
    assert found.jaccard == (1 / 6, 1 / 6, 2 / 5, 2 / 5, 2 / 5)
    assert found.delta_avg == pytest.approx(13 / 20)
    assert found.average_jaccard == pytest.approx((2 / 6 + 6 / 5) / 5)


def test_a_location_exactly_at_a_threshold_is_not_within_it() -> None:
    found = score([[0], [4]], [[1], [1]], [[1], [1]])
    assert found.within == (0, 0, 0, 1, 1)
    assert score([[0], [3.999]], [[1], [1]], [[1], [1]]).within == (0, 0, 1, 1, 1)


def test_the_query_frame_and_those_before_it_do_not_count() -> None:
    """Point 1 is given on frame 2 of 4: all is wrong before it, and on it."""
    errors = [[99, 99], [0, 99], [0, 99], [0, 0]]
    pred = [[0, 0], [1, 0], [1, 0], [1, 1]]
    found = score(errors, pred, np.ones((4, 2)), query=[0, 2])
    assert found == TapVidScore(1.0, (1.0,) * 5, (1.0,) * 5)
    worse = score(errors, pred, np.ones((4, 2)), query=[0, 1])
    # Frames counted: 3 of point 0, 2 of point 1, of which frame 2 is hidden and wrong.
    assert worse.occlusion_accuracy == 4 / 5
    assert worse.within == (4 / 5,) * 5
    assert worse.jaccard == (4 / 5,) * 5


def test_distances_are_those_of_a_256_square() -> None:
    """6 px along x are 6 * 256 / 512 = 3 of the square, 6 along y are 6 * 256 / 128 = 12."""
    gt_xy = np.zeros((2, 2, 2))
    pred_xy = gt_xy.copy()
    pred_xy[1] = [[6, 0], [0, 6]]
    seen = np.ones((2, 2), bool)
    found = tap_vid_score(pred_xy, seen, gt_xy, seen, np.zeros(2, int), (128, 512))
    assert found.within == (0, 0, 0.5, 0.5, 1)
    diagonal = np.stack([gt_xy[0], [[6, 1.5], [0, 0]]])
    # (3, 3) of the square: 4.24 px.
    assert tap_vid_score(diagonal, seen, gt_xy, seen, np.zeros(2, int), (128, 512)).within == (0.5, 0.5, 0.5, 1, 1)


def test_where_a_hidden_point_is_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    gt_visible = rng.random((6, 8)) < 0.6
    gt_xy, pred_xy = rng.uniform(0, 50, (6, 8, 2)), rng.uniform(0, 50, (6, 8, 2))
    pred_visible = rng.random((6, 8)) < 0.5
    moved = np.where(gt_visible[..., None], gt_xy, 1e6)
    arguments = pred_visible, gt_visible, np.zeros(8, int), SQUARE
    one, other = (tap_vid_score(pred_xy, arguments[0], xy, *arguments[1:]) for xy in (gt_xy, moved))
    assert one == other
    assert 0 < one.average_jaccard < 1


@pytest.mark.parametrize("query_mode", QUERY_MODES)
def test_equals_plain_counting_on_random_tracks(query_mode: str) -> None:
    rng = np.random.default_rng(3)
    t, n, size_hw = 9, 7, (160, 320)
    gt_xy = rng.uniform(0, 100, (t, n, 2))
    pred_xy = gt_xy + rng.normal(0, 6, (t, n, 2))
    gt_visible, pred_visible = rng.random((t, n)) < 0.7, rng.random((t, n)) < 0.7
    query = rng.integers(0, t - 1, n)
    found = tap_vid_score(pred_xy, pred_visible, gt_xy, gt_visible, query, size_hw, query_mode)
    for k, limit in enumerate(TAP_VID_THRESHOLDS):
        tp = fp = fn = near = truly = agree = counted = 0
        for f in range(t):
            for i in range(n):
                if f == query[i] or (f < query[i] and query_mode == "first"):
                    continue
                dx, dy = (pred_xy[f, i] - gt_xy[f, i]) * (256 / 320, 256 / 160)
                within = math.hypot(dx, dy) < limit
                shown, seen = pred_visible[f, i], gt_visible[f, i]
                counted, agree = counted + 1, agree + int(shown == seen)
                truly, near = truly + int(seen), near + int(seen and within)
                tp += int(shown and seen and within)
                fp += int(shown and not (seen and within))
                fn += int(seen and not (shown and within))
        assert found.within[k] == pytest.approx(near / truly)
        assert found.jaccard[k] == pytest.approx(tp / (tp + fp + fn))
        assert found.occlusion_accuracy == pytest.approx(agree / counted)


def test_mean_over_clips_counts_each_clip_once() -> None:
    short, long = TapVidScore(1.0, (1.0,) * 5, (0.5,) * 5), TapVidScore(0.5, (0.0,) * 5, (0.1,) * 5)
    mean = mean_tap_vid([short, long])
    assert (mean.occlusion_accuracy, mean.delta_avg) == (0.75, 0.5)
    assert mean.average_jaccard == pytest.approx(0.3)
    with pytest.raises(EvaluationError, match="no scored clip"):
        mean_tap_vid([])


def test_pck_counts_what_it_is_told_to() -> None:
    gt_xy = np.zeros((2, 3, 2))
    pred_xy = np.array([[[0, 0], [99, 0], [3, 4]], [[0, 7.9], [8, 0], [np.nan, 0]]])
    counted = np.array([[True, False, True], [True, True, False]])
    # Distances of the four that count: 0, 5, 7.9, 8.
    assert pck(pred_xy, gt_xy, counted, (4, 8, 16)) == (1 / 4, 3 / 4, 1)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"pred_xy": np.zeros((3, 3, 2))}, r"pred_xy has shape \(3, 3, 2\), expected \(4, 3, 2\)"),
    ({"gt_xy": np.zeros((4, 3))}, r"gt_xy has shape \(4, 3\), expected \(t, n, 2\)"),
    ({"pred_visible": np.ones((3, 4), bool)}, r"pred_visible has shape \(3, 4\), expected \(t, n\) = \(4, 3\)"),
    ({"gt_visible": np.ones((4, 3, 1), bool)}, r"gt_visible has shape \(4, 3, 1\)"),
    ({"pred_visible": np.ones((4, 3))}, "pred_visible has type float64, expected bool"),
    ({"prompt_frame_idx": np.zeros(4, int)}, r"prompt_frame_idx is int64 \(4,\), expected \(3,\) integers"),
    ({"prompt_frame_idx": np.zeros(3)}, r"prompt_frame_idx is float64"),
    ({"prompt_frame_idx": np.array([0, 4, 0])}, "holds 0 to 4, expected frames of a clip of 4"),
    ({"prompt_frame_idx": np.array([3, 3, 3])}, "No point is truly visible after its prompt frame"),
    ({"gt_visible": np.zeros((4, 3), bool)}, "No point is truly visible"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_what_does_not_fit_together_is_refused(change: dict[str, Any], message: str) -> None:
    seen = np.ones((4, 3), bool)
    arguments: dict[str, Any] = {
        "pred_xy": np.zeros((4, 3, 2)),
        "pred_visible": seen,
        "gt_xy": np.zeros((4, 3, 2)),
        "gt_visible": seen,
        "prompt_frame_idx": np.zeros(3, int),
        "size_hw": SQUARE,
    }
    with pytest.raises(EvaluationError, match=message) as caught:
        tap_vid_score(**arguments | change)
    assert "\n" not in str(caught.value)


def test_strided_counts_the_frames_before_the_query_too() -> None:
    """One point given on frame 2 of 4: wrong and hidden before it, right after it."""
    xy, seen = np.zeros((4, 1, 2)), np.ones((4, 1), bool)
    pred_xy, pred_seen = xy.copy(), seen.copy()
    pred_xy[:2], pred_seen[:2] = 99, False
    first, strided = (tap_vid_score(pred_xy, pred_seen, xy, seen, np.array([2]), SQUARE, mode) for mode in QUERY_MODES)
    assert (first.occlusion_accuracy, first.delta_avg, first.average_jaccard) == (1, 1, 1)
    assert (strided.occlusion_accuracy, strided.delta_avg) == (1 / 3, pytest.approx(1 / 3))
    assert strided.average_jaccard == pytest.approx(1 / 3)
    with pytest.raises(EvaluationError, match=r"Unknown query mode 'stride'\. Did you mean 'strided'\?"):
        tap_vid_score(xy, seen, xy, seen, np.array([2]), SQUARE, "stride")
    only = np.array([[False], [False], [True], [False]])
    with pytest.raises(EvaluationError, match="No point is truly visible apart from its prompt frame"):
        tap_vid_score(xy, seen, xy, only, np.array([2]), SQUARE, "strided")


def test_queries_of_both_modes() -> None:
    seen = np.zeros((12, 3), bool)
    seen[[3, 5, 10], 0], seen[[0, 5], 1] = True, True  # point 2 is never seen
    assert [v.tolist() for v in tap_vid_queries(seen, "first")] == [[0, 1], [3, 0]]
    # frames 0, 5 and 10, and on each the points that are seen there
    assert [v.tolist() for v in tap_vid_queries(seen, "strided")] == [[1, 0, 1, 0], [0, 5, 5, 10]]
    assert [v.tolist() for v in tap_vid_queries(np.zeros((4, 0), bool), "first")] == [[], []]
    with pytest.raises(EvaluationError, match=r"gt_visible has shape \(12,\), expected \(t, n\)"):
        tap_vid_queries(seen[:, 0], "first")


def test_pck_as_a_part_of_the_size_of_the_object() -> None:
    """BADJA's: within 0.2 of the root of the mask's area, here 10 and 50 pixels, so nearer than 2 and than 10."""
    gt_xy = np.zeros((2, 3, 2))
    pred_xy = np.array([[[1.9, 0], [2, 0], [9, 0]], [[9.9, 0], [6, 8], [0, 3]]])
    counted = np.ones((2, 3), bool)
    assert pck(pred_xy, gt_xy, counted, (0.2,), np.array([10, 50])) == (3 / 6,)
    with pytest.raises(EvaluationError, match=r"sizes_px has shape \(3,\), expected \(t,\) = \(2,\)"):
        pck(pred_xy, gt_xy, counted, (0.2,), np.ones(3))
    with pytest.raises(EvaluationError, match=r"sizes_px holds 0\.0"):
        pck(pred_xy, gt_xy, counted, (0.2,), np.array([10, 0]))


def test_pck_refuses_what_does_not_fit_together() -> None:
    xy, seen = np.zeros((4, 3, 2)), np.ones((4, 3), bool)
    with pytest.raises(EvaluationError, match=r"counted has shape \(3, 4\)"):
        pck(xy, xy, seen.T, (4,))
    with pytest.raises(EvaluationError, match="No location is counted"):
        pck(xy, xy, ~seen, (4,))
