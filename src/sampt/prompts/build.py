"""From tracked points on one frame to prompts (docs/algorithm.md, "Prompts and masks")."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from sampt.config import PromptConfig
from sampt.types import FramePoints, HiddenBy, ObjectPrompt

__all__ = ["build_prompts", "prompts_digest"]


def build_prompts(
    points: FramePoints,
    object_ids: Sequence[int],
    config: PromptConfig,
    rng_for: Callable[[int], np.random.Generator],
) -> list[ObjectPrompt]:
    """One prompt for each of ``object_ids`` that has enough visible positive points; an object without is absent.

    The object's own visible points, then the visible positive points of all other objects in ``points`` as negatives.

    Args:
        points: all tracked points on the frame.
        object_ids: the objects to prompt for.
        config: how many visible points are enough, and whether and how many points of other objects count.
        rng_for: the source of randomness for an object, used when there are more of them than ``max_other_points``.
    """
    visible = points.visible
    prompts = []
    for object_id in object_ids:
        own = visible & (points.object_id == object_id)
        positive = points.is_positive & (points.object_id == object_id) & (points.hidden_by != HiddenBy.NOT_TRACKED)
        if (own & positive).sum() < max(1, config.min_visible * positive.sum()):
            continue
        xy = [points.xy[own]]
        labels = [points.is_positive[own]]
        if config.other_objects_as_negatives:
            others = np.flatnonzero(visible & points.is_positive & (points.object_id != object_id))
            if config.max_other_points is not None and len(others) > config.max_other_points:
                others = np.sort(rng_for(object_id).choice(others, config.max_other_points, replace=False))
            xy.append(points.xy[others])
            labels.append(np.zeros(len(others), np.bool_))
        signs = np.concatenate(labels)
        prompts.append(ObjectPrompt(int(object_id), np.concatenate(xy), signs, is_certain=np.zeros(len(signs), np.bool_)))
    return prompts


def prompts_digest(prompts: Sequence[ObjectPrompt]) -> str:
    """A short name of what is prompted: equal for equal prompts, so that a prediction on disk can be recognised."""
    digest = hashlib.blake2b(digest_size=12)
    for prompt in prompts:
        digest.update(f"{prompt.object_id}:{len(prompt.xy)};".encode())
        digest.update(prompt.xy.tobytes())
        digest.update(prompt.is_positive.tobytes())
        digest.update(prompt.is_certain.tobytes())
    return digest.hexdigest()
