"""The constants of `nano`'s adapter."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NanoSettings"]


@dataclass(frozen=True)
class NanoSettings:
    """Constants chosen on held-out DAVIS-2016 train sequences (`training/segmenter/README.md`).

    Attributes:
        side: of a window in its own pixels, a multiple of 16.
        first_side: likewise of the first windows.
        shared_longest: largest size at which a frame is encoded as a whole; smaller windows are encoded by themselves.
        few_points: up to so many positive points say little of the object's size.
        few_extents: sides of the first windows around these, over the longest side of the frame; the best score counts.
        close_extent: one more of these, for three points or more that all lie within ``first_apart``.
        first_apart: of a few positive points, those this close together count once in first windows; over the longest side.
        apart: likewise in the second window, where the mask of the first covers them both.
        points_extent: side of the first window over the extent of the points when they are more.
        mask_extent: side of the second window over the extent of the mask found in the first.
        click_radius: standard deviation of what a click changes whose sign the network did not give, in pixels of the window.
        sharpen_radius: of the edge filter, in pixels of the window.
        sharpen_epsilon: its minimal colour variance.
        batch: windows that are decoded together at most.
        batch_points: and these times the points in one of them, at most, but one window at least: what the decoder holds in
            between grows with it, some 90 kB each.
        window_points: of more points in a window as many are left out evenly; negative ones first. The evidence is a mean over
            points, which such a part gives as well, and with a hundred objects nearly all points are other objects'.
        view_margin: what the saliency network sees around the box or the points, over their longer side.
        saliency: whether the saliency network sees the second windows.
        saliency_first: and, where there is no earlier mask and at most so many positive points, at the first ones.
    """

    side: int = 160
    first_side: int = 128
    shared_longest: int = 453
    few_points: int = 6
    few_extents: tuple[float, ...] = (0.7, 0.5)
    close_extent: float = 0.35
    first_apart: float = 0.1
    apart: float = 0.03
    points_extent: float = 2.0
    mask_extent: float = 1.5
    click_radius: float = 2.5
    sharpen_radius: int = 3
    sharpen_epsilon: float = 3e-4
    batch: int = 16
    batch_points: int = 2560
    window_points: int = 512
    view_margin: float = 0.35
    saliency: bool = True
    saliency_first: int = 8
