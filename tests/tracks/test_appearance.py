"""Colours of an object against those of the rest of its frame."""

from __future__ import annotations

import numpy as np

from sampt.tracks.appearance import ObjectAppearance

RED, BLUE, GREEN = (220, 30, 20), (20, 30, 200), (30, 180, 40)


def image(at: tuple[int, int], color: tuple[int, int, int] = RED) -> tuple[np.ndarray, np.ndarray]:
    """A 20 x 20 square on blue with a little noise, and its mask."""
    noise = np.random.default_rng(0).integers(-4, 5, (80, 120, 3))
    frame = np.full((80, 120, 3), BLUE) + noise
    mask = np.zeros((80, 120), bool)
    mask[at[0] : at[0] + 20, at[1] : at[1] + 20] = True
    frame[mask] = np.array(color) + noise[mask]
    return np.clip(frame, 0, 255).astype(np.uint8), mask


def inner(mask: np.ndarray, px: int = 3) -> np.ndarray:
    ys, xs = np.nonzero(mask)
    out = np.zeros_like(mask)
    out[ys.min() + px : ys.max() + 1 - px, xs.min() + px : xs.max() + 1 - px] = True
    return out


def test_the_log_ratio_tells_object_from_background_on_another_frame() -> None:
    look = ObjectAppearance(*image((10, 10)))
    frame, mask = image((40, 70))
    ratio = look.log_ratio(frame)
    assert ratio.shape == mask.shape
    assert ratio[inner(mask)].min() > 2.5
    assert ratio[~mask & ~inner(np.roll(mask, 0), -3)].max() < -2.5


def test_regions_leave_out_where_mask_and_colors_disagree_and_reach_out_where_colors_are_sure() -> None:
    look = ObjectAppearance(*image((10, 10)))
    frame, true = image((40, 70))
    slid = np.roll(true, 5, axis=1)  # a quarter of the mask is background, a quarter of the object is missed
    positive, negative = look.regions(frame, slid)
    assert positive[inner(true & slid)].all()
    assert not positive[inner(slid & ~true, 2)].any()
    assert not negative[inner(true & ~slid, 1)].any()
    assert positive[45:55, 72].all()  # 3 px from the mask, sure by colour
    assert not (positive & negative).any()


def test_colors_reach_only_near_the_mask() -> None:
    look = ObjectAppearance(*image((10, 10)))
    frame, mask = image((40, 70))
    other, far = image((5, 5))
    frame[far] = other[far]  # something as red, far away: not this object, and no location for its negatives either
    positive, negative = look.regions(frame, mask)
    assert not positive[inner(far)].any()
    assert not negative[inner(far)].any()


def test_an_object_that_changed_its_color_is_sampled_from_its_whole_mask() -> None:
    look = ObjectAppearance(*image((10, 10)))
    frame, mask = image((40, 70), color=BLUE)
    positive, negative = look.regions(frame, mask)
    assert np.array_equal(positive, mask)
    assert negative.sum() > 0.9 * (~mask).sum()


def test_large_frames_are_compared_at_a_reduced_size() -> None:
    frame, mask = image((10, 10))
    large, large_mask = (np.repeat(np.repeat(a, 6, 0), 6, 1) for a in (frame, mask))
    ratio = ObjectAppearance(large, large_mask).log_ratio(large)
    assert ratio.shape == large_mask.shape
    assert ratio[inner(large_mask, 18)].min() > 2
    assert ratio[~large_mask].mean() < -2
