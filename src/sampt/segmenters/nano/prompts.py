"""Prompts as the network takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sampt.checks import shape_repr
from sampt.errors import BackendError
from sampt.segmenters.base import check_prompt
from sampt.segmenters.nano.low_res_logits import LowResLogits
from sampt.segmenters.nano.runtime import PromptArrays
from sampt.segmenters.nano.settings import NanoSettings
from sampt.segmenters.nano.windows import Window
from sampt.types import BoolArray, FloatArray, IntArray, ObjectPrompt

__all__ = ["FramePrompt", "convert_prompt", "select_points", "split_batches", "stack_prompts"]


@dataclass(frozen=True, eq=False)
class FramePrompt:
    """A prompt in pixels from the frame's corner: points (k, 2), signs, box (4,) of edges or None, previous logits; and which
    fraction of the points was tracked there, and where the object may be."""

    xy: FloatArray
    is_positive: BoolArray
    box: FloatArray | None
    previous: LowResLogits | None
    tracked: float = 0.0
    prior: FloatArray | None = None

    __repr__ = shape_repr


def convert_prompt(prompt: ObjectPrompt, size_hw: tuple[int, int]) -> FramePrompt:
    check_prompt(prompt, "nano")
    previous = prompt.mask_logits
    if previous is not None and (not isinstance(previous, LowResLogits) or previous.size_hw != size_hw):
        got = (
            f"logits predicted for frames of {previous.size_hw}"
            if isinstance(previous, LowResLogits)
            else type(previous).__name__
        )
        raise BackendError(
            f"'nano' got mask_logits that are {got}, expected low_res_logits that it gave for a frame of (h, w) = {size_hw}."
        )
    box = None if prompt.box_xyxy is None else np.asarray(prompt.box_xyxy + np.array([0.0, 0.0, 1.0, 1.0]), np.float32)
    once = _find_distinct_points(prompt.xy, prompt.is_positive)
    tracked = 1.0 - float(prompt.is_certain.mean()) if len(prompt.xy) else 0.0
    xy = np.asarray(prompt.xy[once] + 0.5, np.float32)
    return FramePrompt(xy, prompt.is_positive[once], box, previous, tracked, prompt.prior)


def _find_distinct_points(xy: FloatArray, is_positive: BoolArray) -> npt.NDArray[np.intp]:
    """Indices, in order, of the points without those that repeat an earlier one: a double click says nothing new."""
    return np.sort(np.unique(np.column_stack([xy, is_positive]), axis=0, return_index=True)[1])


def select_points(prompt: FramePrompt, window: Window, side: int, max_points: int) -> tuple[FloatArray, BoolArray]:
    """At most ``max_points`` of the prompt's points that lie in its window (k, 2), in pixels of the window, and their signs."""
    xy = window.to_window(prompt.xy)
    there = np.flatnonzero(((xy >= 0) & (xy <= side)).all(1))
    if len(there) > max_points:
        is_positive = prompt.is_positive[there]
        positive = _thin_evenly(there[is_positive], max(max_points // 2, max_points - int(np.count_nonzero(~is_positive))))
        there = np.sort(np.concatenate([positive, _thin_evenly(there[~is_positive], max_points - len(positive))]))
    return xy[there], prompt.is_positive[there]


def _thin_evenly(values: IntArray, max_count: int) -> IntArray:
    """At most ``max_count`` of the values (n,), the same distance apart."""
    return values if len(values) <= max_count else values[np.arange(max_count) * len(values) // max_count]


def split_batches(num_points: Sequence[int], settings: NanoSettings) -> Iterator[slice]:
    """Windows that are decoded together, by how many points lie in each."""
    start, max_points = 0, 1
    for k, count in enumerate(num_points):
        max_points = max(max_points, count)
        if k > start and (k - start == settings.batch or (k - start + 1) * max_points > settings.batch_points):
            yield slice(start, k)
            start, max_points = k, max(1, count)
    if start < len(num_points):
        yield slice(start, len(num_points))


def stack_prompts(
    prompts: Sequence[FramePrompt],
    windows: list[Window],
    points: Sequence[tuple[FloatArray, BoolArray]],
    side: int,
    size_hw: tuple[int, int],
) -> PromptArrays:
    n, quarter = len(prompts), side // 4
    max_points = max(1, *(len(xy) for xy, _ in points))
    arrays = PromptArrays(
        np.zeros((n, 1, quarter, quarter), np.float32),
        np.zeros((n, max_points, 2), np.float32),
        np.full((n, max_points), -1, np.float32),
        np.zeros((n, 4), np.float32),
        np.zeros((n, 1, quarter, quarter), np.float32),
        np.zeros(n, np.float32),
        np.array([prompt.tracked for prompt in prompts], np.float32),
        np.zeros((n, 1, quarter, quarter), np.float32),
    )
    for k, (prompt, window, (xy, is_positive)) in enumerate(zip(prompts, windows, points, strict=True)):
        arrays.inside[k, 0] = _compute_inside(window, quarter, size_hw)
        arrays.points_xy[k, : len(xy)] = xy
        arrays.labels[k, : len(xy)] = is_positive
        if prompt.box is not None:
            arrays.box[k] = window.to_window(prompt.box.reshape(2, 2)).ravel()
        if prompt.prior is not None:
            arrays.memory[k, 0] = _warp_prior(prompt.prior, window, quarter, size_hw) * arrays.inside[k, 0]
        if prompt.previous is not None:
            arrays.previous[k, 0] = _warp_previous(prompt.previous, window, quarter)
            arrays.has_previous[k] = 1
    return arrays


def _compute_inside(window: Window, quarter: int, size_hw: tuple[int, int]) -> FloatArray:
    """(s/4, s/4) fraction of each cell that the frame covers."""
    high = window.to_window(np.array(size_hw[::-1], np.float32)) / 4
    low = window.to_window(np.zeros(2, np.float32)) / 4
    edges = np.arange(quarter)
    x, y = (np.clip(np.minimum(edges + 1, high[k]) - np.maximum(edges, low[k]), 0, 1) for k in (0, 1))
    return np.asarray(y[:, None] * x[None], np.float32)


def _warp_previous(previous: LowResLogits, window: Window, quarter: int) -> FloatArray:
    """(s/4, s/4) probabilities of a prediction in another window; 0 beyond that."""
    probability = 0.5 + 0.5 * np.tanh(previous.logits / 2)
    size = (previous.logits.shape[1] // 4, previous.logits.shape[0] // 4)
    small = np.asarray(cv2.resize(probability, size, interpolation=cv2.INTER_AREA), np.float32)
    return _warp_into_window(
        small, window, quarter, lambda xy: np.asarray(previous.window.to_window(xy) / 4, np.float32), cv2.BORDER_CONSTANT
    )


def _warp_prior(prior: FloatArray, window: Window, quarter: int, size_hw: tuple[int, int]) -> FloatArray:
    """(s/4, s/4) log odds that the object is there."""
    cells = np.array(prior.shape[::-1], np.float32) / np.array(size_hw[::-1], np.float32)
    return _warp_into_window(prior, window, quarter, lambda xy: np.asarray(xy * cells, np.float32), cv2.BORDER_REPLICATE)


def _warp_into_window(
    values: FloatArray, window: Window, quarter: int, to_values: Callable[[FloatArray], FloatArray], border: int
) -> FloatArray:
    """(s/4, s/4) the (h, w) ``values`` at the window's locations; ``to_values`` goes from the frame's corner to theirs."""
    first, second = (to_values(window.to_frame(np.full(2, at, np.float32))) - 0.5 for at in (2.0, 6.0))
    step = second - first
    matrix = np.array([[step[0], 0, first[0]], [0, step[1], first[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(values, matrix, (quarter, quarter), flags=flags, borderMode=border), np.float32)
