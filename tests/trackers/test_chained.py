"""Points carried by a known motion: what hides them, what brings them back, what loses them for good."""

from __future__ import annotations

import numpy as np
import pytest

from sampt.trackers.base import TrackStep
from sampt.trackers.chained import ChainedStream, ChainLimits

GREY = np.full((40, 60, 3), 128, np.uint8)
RED = GREY.copy()
RED[..., 0], RED[..., 1:] = 220, 20


class Known(ChainedStream):
    """Moves every point by ``step_xy`` and back to ``error_px`` away from where it was."""

    def __init__(self, step_xy: tuple[float, float] = (0, 0), max_error_px: float = 1.0, fraction: float = 0.0) -> None:
        super().__init__(ChainLimits(error_px=max_error_px, error_step=fraction))
        self.step_xy, self.error_px = step_xy, 0.0
        self.frames = 0

    def _advance(self, frame: np.ndarray) -> None:
        self.frames += 1

    def _there_and_back(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        there = xy + np.array(self.step_xy, np.float32)
        return there, xy + np.array([0, self.error_px], np.float32)


def started(stream: Known, *xy: tuple[float, float], frame: np.ndarray = GREY) -> Known:
    stream.push(frame)
    stream.add(np.array(xy, np.float32))
    return stream


def push(stream: Known, frame: np.ndarray = GREY, error_px: float = 0.0) -> TrackStep:
    stream.error_px = error_px
    return stream.push(frame)


def test_steps_add_up() -> None:
    stream = started(Known((1.5, -0.5)), (10, 20), (30, 30))
    push(stream)
    step = push(stream)
    assert step.xy.tolist() == [[13, 19], [33, 29]]
    assert step.visible.tolist() == [True, True]
    assert step.confidence.tolist() == [1, 1]


def test_a_point_that_does_not_return_is_hidden_moves_on_and_may_be_seen_again() -> None:
    stream = started(Known((1, 0), max_error_px=1.0), (10, 20))
    step = push(stream, error_px=1.01)
    assert (step.visible.tolist(), step.confidence.tolist(), step.xy.tolist()) == ([False], [0], [[11, 20]])
    step = push(stream, error_px=0.99)
    assert (step.visible.tolist(), step.xy.tolist()) == ([True], [[12, 20]])


def test_confidence_falls_to_one_over_e_at_the_limit() -> None:
    stream = started(Known(max_error_px=2.0), (10, 20))
    assert push(stream, error_px=1.0).confidence[0] == pytest.approx(np.exp(-0.5))
    assert push(stream, error_px=2.0).confidence[0] == pytest.approx(np.exp(-1))


def test_long_steps_may_err_more() -> None:
    # 1 px and a tenth of a step of 10 px.
    assert push(started(Known((10, 0), 1.0, 0.1), (10, 20)), error_px=1.99).visible.tolist() == [True]
    assert push(started(Known((10, 0), 1.0, 0.1), (10, 20)), error_px=2.01).visible.tolist() == [False]
    assert push(started(Known((10, 0), 1.0, 0.0), (10, 20)), error_px=1.99).visible.tolist() == [False]


def test_a_point_that_leaves_the_frame_is_lost_and_stays_on_its_edge() -> None:
    stream = started(Known((4, 0)), (50, 20), (55, 20))
    assert push(stream).visible.tolist() == [True, True]  # at 54 and 59
    step = push(stream)
    assert (step.visible.tolist(), step.xy.tolist()) == ([True, False], [[58, 20], [59, 20]])
    stream.step_xy = (-20, 0)
    step = push(stream)
    assert (step.visible.tolist(), step.xy.tolist()) == ([True, False], [[38, 20], [59, 20]])
    assert step.confidence.tolist() == [1, 0]


def test_a_point_that_another_color_covers_is_hidden_until_it_is_itself_again() -> None:
    stream = started(Known(), (10, 20))
    assert push(stream, GREY).visible.tolist() == [True]
    for _ in range(30):  # what covers it is not learned
        assert push(stream, RED).visible.tolist() == [False]
    assert push(stream, GREY).visible.tolist() == [True]


def test_slowly_changing_light_does_not_hide_a_point() -> None:
    stream = started(Known(), (10, 20))
    levels = np.linspace(128, 200, 150).astype(np.uint8)
    seen = [push(stream, np.full_like(GREY, level)).visible[0] for level in levels]
    assert all(seen)
    assert not push(started(Known(), (10, 20)), np.full_like(GREY, 240)).visible[0]  # the same at once does


def test_points_added_later_come_last_and_do_not_disturb_the_others() -> None:
    stream = started(Known((1, 0)), (10, 20))
    push(stream)
    stream.add(np.array([[30, 5], [31, 6]], np.float32))
    step = push(stream)
    assert step.xy.tolist() == [[12, 20], [31, 5], [32, 6]]
    assert step.visible.tolist() == [True] * 3


def test_a_stream_without_points_gives_none() -> None:
    step = Known().push(GREY)
    assert (step.xy.shape, step.visible.shape, step.confidence.shape) == ((0, 2), (0,), (0,))


def test_an_answer_is_not_changed_by_later_frames() -> None:
    stream = started(Known((1, 0)), (10, 20))
    first = push(stream)
    push(stream)
    assert first.xy.tolist() == [[11, 20]]
