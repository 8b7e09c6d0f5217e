"""Values are frozen, checked when made, and say which axis disagrees."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest

from sampt.errors import SamptError, ValueCheckError
from sampt.types import FrameMasks, FramePoints, HiddenBy, ObjectPrompt, ObjectState, Points, QueryMask, Tracks


def points(n: int = 2) -> Points:
    return Points(np.arange(2 * n).reshape(n, 2), np.zeros(n), np.ones(n), np.ones(n, bool))


def tracks(**changed: Any) -> Tracks:
    fields: dict[str, Any] = {
        "xy": np.zeros((3, 2, 2)),
        "visible": np.ones((3, 2), bool),
        "confidence": np.ones((3, 2)),
        "hidden_by": np.zeros((3, 2)),
    }
    return Tracks(points(), **(fields | changed))


def test_points_are_read_only_copies_of_the_types_promised() -> None:
    xy = np.array([[1.5, 2], [3, 4]])
    made = Points(xy, [0, 7], [1, 2], [True, False])  # type: ignore[arg-type]
    xy[0] = 9
    assert made.xy.tolist() == [[1.5, 2], [3, 4]]
    assert [a.dtype for a in (made.xy, made.frame_idx, made.object_id, made.is_positive)] == [
        np.float32,
        np.int64,
        np.int64,
        np.bool_,
    ]
    with pytest.raises(ValueError, match=r"read-only"):
        made.xy[0, 0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.xy = xy  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (([[1, 2]], [0, 1], [1], [True]), "Points.frame_idx has n=2, expected n=1"),
        (([[1, 2]], [0], [1, 1], [True]), "Points.object_id has n=2, expected n=1"),
        (([[1, 2]], [0], [1], [[True]]), r"Points.is_positive has shape \(1, 1\), expected 1 axes \(n\)"),
        (([[1, 2, 3]], [0], [1], [True]), "Points.xy has 2=3, expected 2=2"),
        (([[1, np.nan]], [0], [1], [True]), "Points.xy holds NaN or infinity"),
        (([[np.inf, 1]], [0], [1], [True]), "Points.xy holds NaN or infinity"),
        (([[1, 2]], [-1], [1], [True]), "Points.frame_idx holds -1, expected frames from 0"),
        (([[1, 2]], [0], [0], [True]), "Points.object_id holds 0, expected ids from 1"),
        (([[1, 2]], [0.5], [1], [True]), "Points.frame_idx holds numbers that are no int64, expected whole ones"),
        (([[1, 2]], [0], [2**70], [True]), "Points.object_id cannot be read as int64"),
        (([["a", 2]], [0], [1], [True]), "Points.xy cannot be read as float32"),
    ],
)
def test_broken_points_are_refused_with_one_line(fields: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueCheckError, match=message) as caught:
        Points(*fields)
    assert isinstance(caught.value, SamptError)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


def test_points_of_spreads_one_object_and_one_sign() -> None:
    made = Points.of(3, 5, [1, 2])
    assert made.xy.tolist() == [[1, 2]]
    assert made.is_positive.tolist() == [True]
    made = Points.of(3, 5, [[1, 2], [3, 4]], [True, False])
    assert (made.object_id.tolist(), made.frame_idx.tolist(), made.is_positive.tolist()) == ([3, 3], [5, 5], [True, False])
    assert len(Points.of(1, 0, [])) == 0
    with pytest.raises(ValueCheckError, match=r"expected whole ones"):
        Points.of(1, 0.5, [1, 2])  # type: ignore[arg-type]


def test_points_join_select_and_know_their_objects() -> None:
    joined = Points.concat([Points.of(7, 4, [[1, 1]]), Points.of(2, 1, [[2, 2]], False), Points.of(2, 3, [[3, 3], [4, 4]])])
    assert joined.object_ids == (2, 7)
    assert joined.prompt_frame(2) == 3  # the negative point on frame 1 does not say where the object is
    assert joined.prompt_frame(7) == 4
    assert joined.select(joined.object_id == 2).xy[:, 0].tolist() == [2, 3, 4]
    assert joined.select(np.array([3, 0])).xy[:, 0].tolist() == [4, 1]
    assert len(Points.concat([])) == 0
    assert Points.concat([]).object_ids == ()


def test_a_sign_means_the_same_wherever_points_are_made() -> None:
    signs = [1, -1, 0, True, False, "+", "-", np.int64(-1), np.True_]
    meant = [True, False, False, True, False, True, False, False, True]
    xy = np.zeros((9, 2))
    assert Points.of(1, 0, xy, signs).is_positive.tolist() == meant
    assert Points.of(1, 0, xy, "-").is_positive.tolist() == [False] * 9
    assert Points(xy, np.zeros(9), np.ones(9), signs).is_positive.tolist() == meant  # type: ignore[arg-type]
    assert ObjectPrompt(1, xy, signs).is_positive.tolist() == meant  # type: ignore[arg-type]
    for wrong in (2, -2, 0.5, "yes", None, float("nan"), [1, 1], [[1]], [1, [0, 1]]):
        with pytest.raises(ValueCheckError):
            Points.of(1, 0, [[1, 2]], wrong)


@pytest.mark.parametrize(
    "arguments",
    [
        (1, 0, [[1, 2, 3]]),
        (1, 0, [1, 2, 3, 4]),
        (1, 0, [[[1, 2]]]),
        (1, 0, 5),
        (1, 0, [[1, 2], [3]]),
        (1, 0, [["a", "b"]]),
        (1, 0, [[1, 2], [3, 4]], [1, 0, 1]),
        (1, 0, [[1, 2], [3, 4]], []),
        ([1, 2], 0, [[1, 2], [3, 4]]),
        (1, [0, 0, 0], [[1, 2]]),
        ("a", 0, [[1, 2]]),
        (1, 0.5, [[1, 2]]),
        (None, 0, [[1, 2]]),
    ],
)
def test_points_of_a_wrong_shape_get_our_error(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueCheckError):
        Points.of(*arguments)


def test_points_of_one_location_or_of_none() -> None:
    assert Points.of(1.0, 2.0, (3, 4)).xy.tolist() == [[3, 4]]  # type: ignore[arg-type]
    assert len(Points.of(1, 0, [])) == len(Points.of(1, 0, np.zeros((0, 2)), [])) == 0


def test_query_mask_takes_any_numbers_and_wants_a_pixel() -> None:
    assert QueryMask(1, 0, np.array([[0, 255]], np.uint8)).mask.tolist() == [[False, True]]  # type: ignore[arg-type]
    with pytest.raises(ValueCheckError, match=r"mask of object 4 on frame 2 is empty"):
        QueryMask(4, 2, np.zeros((3, 3), bool))
    for location in ((0, 0), (1, -2), (1.5, 0), ("1", 0), (True, 0), (1, None)):
        with pytest.raises(ValueCheckError, match=r"QueryMask has (object_id|frame_idx)=.*; expected a whole number from"):
            QueryMask(*location, np.ones((3, 3), bool))  # type: ignore[arg-type]
    assert (QueryMask(2.0, 3.0, np.ones((1, 1), bool)).object_id) == 2  # type: ignore[arg-type]
    with pytest.raises(ValueCheckError, match=r"QueryMask.mask has shape \(2, 2, 3\), expected 2 axes"):
        QueryMask(1, 0, np.ones((2, 2, 3), bool))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"visible": np.ones((3, 1), bool)}, "Tracks.visible has n=1, expected n=2"),
        ({"confidence": np.ones((4, 2))}, "Tracks.confidence has t=4, expected t=3"),
        ({"xy": np.zeros((3, 5, 2))}, "Tracks.xy has n=5, expected n=2"),
        ({"xy": np.full((3, 2, 2), np.nan)}, "Tracks.xy holds NaN"),
        ({"confidence": np.full((3, 2), np.inf)}, "Tracks.confidence holds NaN or infinity"),
        ({"hidden_by": np.ones((3, 2))}, "disagree: visible is expected exactly where the code is 0"),
        ({"visible": np.zeros((3, 2), bool)}, "disagree"),
        ({"visible": None, "hidden_by": None}, "Tracks got neither visible nor hidden_by, expected one of them or both"),
        ({"hidden_by": np.full((3, 2), 300)}, "Tracks.hidden_by holds numbers that are no uint8"),
    ],
)
def test_broken_tracks_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueCheckError, match=message):
        tracks(**changed)


def test_tracks_give_the_points_of_a_frame() -> None:
    codes = np.zeros((3, 2), np.uint8)
    codes[1, 0] = HiddenBy.BORDER
    xy = np.arange(12).reshape(3, 2, 2)
    made = tracks(xy=xy, visible=codes == 0, hidden_by=codes)
    row = made.at(1)
    assert made.num_frames == 3
    assert row.xy.tolist() == [[4, 5], [6, 7]]
    assert row.visible.tolist() == [False, True]
    assert row.point_id.tolist() == [0, 1]


def test_frame_points_join_and_select() -> None:
    row = tracks().at(0)
    both = FramePoints.concat([row.select(np.array([1])), row])
    assert both.point_id.tolist() == [1, 0, 1]
    assert len(FramePoints.concat([])) == 0
    with pytest.raises(ValueCheckError, match=r"FramePoints.confidence has n=1, expected n=2"):
        FramePoints(row.point_id, row.object_id, row.is_positive, row.xy, row.confidence[:1], row.hidden_by)


def test_object_prompt_checks_points_and_box() -> None:
    with pytest.raises(ValueCheckError, match=r"ObjectPrompt.is_positive has k=2, expected k=1"):
        ObjectPrompt(1, [[1, 2]], [True, False])  # type: ignore[arg-type]
    with pytest.raises(ValueCheckError, match=r"ObjectPrompt.box_xyxy has 4=3, expected 4=4"):
        ObjectPrompt(1, [[1, 2]], [True], [1, 2, 3])  # type: ignore[arg-type]
    assert ObjectPrompt(1, [], [], [1, 2, 3, 4]).xy.shape == (0, 2)  # type: ignore[arg-type]
    assert ObjectPrompt(1, [[1, 2]] * 2, [True, False]).is_certain.tolist() == [True, True]  # type: ignore[arg-type]
    with pytest.raises(ValueCheckError, match=r"ObjectPrompt.is_certain has k=2, expected k=1"):
        ObjectPrompt(1, [[1, 2]], [True], is_certain=[True, False])  # type: ignore[arg-type]


def test_label_map_gives_overlaps_to_the_smaller_id() -> None:
    masks = np.zeros((2, 1, 4), bool)
    masks[0, 0, :2], masks[1, 0, 1:3] = True, True
    made = FrameMasks(0, [4, 9], masks, [0.5, np.nan], [ObjectState.PRESENT] * 2)  # type: ignore[arg-type]
    assert made.label_map().tolist() == [[4, 4, 9, 0]]
    assert len(made.points) == 0
    with pytest.raises(ValueError, match=r"read-only"):
        made.masks[0, 0, 0] = False
    with pytest.raises(ValueCheckError, match=r"FrameMasks.masks has shape \(1, 1, 4\), expected \(m=2, h, w\)"):
        FrameMasks(0, [4, 9], masks[:1], [0, 0], [0, 0])  # type: ignore[arg-type]


def test_either_of_visible_and_hidden_by_tells_the_other() -> None:
    seen = np.array([[True, False], [True, True], [False, True]])
    made = Tracks(points(), np.zeros((3, 2, 2)), seen)
    assert made.hidden_by.tolist() == [[0, HiddenBy.TRACKER], [0, 0], [HiddenBy.TRACKER, 0]]
    assert made.confidence.tolist() == seen.tolist()
    codes = np.array([[0, HiddenBy.NOT_TRACKED], [HiddenBy.BORDER, 0], [0, 0]])
    other = Tracks(points(), np.zeros((3, 2, 2)), confidence=np.full((3, 2), 0.5), hidden_by=codes)
    assert other.visible.tolist() == (codes == 0).tolist()
    assert other.confidence.tolist() == [[0.5] * 2] * 3
    assert [a.dtype for a in (made.hidden_by, made.confidence, other.visible)] == [np.uint8, np.float32, np.bool_]
    again = dataclasses.replace(made, xy=np.ones((3, 2, 2)))
    assert again.hidden_by.tolist() == made.hidden_by.tolist()
    assert pickle.loads(pickle.dumps(made)).visible.tolist() == seen.tolist()


def test_points_elsewhere_and_on_other_frames() -> None:
    points = Points.of(2, 5, [[1, 2], [3, 4]], [True, False])
    moved = points.with_xy(points.xy + 1)
    assert (moved.xy.tolist(), moved.frame_idx.tolist()) == ([[2, 3], [4, 5]], [5, 5])
    assert points.with_frames(np.array([0, 9])).frame_idx.tolist() == [0, 9]
    assert (points.shifted(-5).frame_idx.tolist(), points.shifted(2).frame_idx.tolist()) == ([0, 0], [7, 7])
    for other in (moved, points.shifted(3)):
        assert (other.object_id.tolist(), other.is_positive.tolist()) == ([2, 2], [True, False])
    with pytest.raises(ValueCheckError, match="frame_idx holds -1"):
        points.shifted(-6)
