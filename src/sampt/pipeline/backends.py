"""What the settings of a run say of how its backends are made."""

from __future__ import annotations

from sampt.backends.registry import list_choices
from sampt.config import SegmentConfig
from sampt.segmenters.base import PromptableSegmenter
from sampt.segmenters.create import create_segmenter
from sampt.trackers.base import PointTracker
from sampt.trackers.create import create_tracker

__all__ = ["make_segmenter", "make_tracker", "setting_options"]


def setting_options(kind: str, name: str, config: SegmentConfig) -> dict[str, str]:
    """Options for :func:`sampt.trackers.create.create_tracker` or ``create_segmenter``, of those that the backend has.

    Args:
        kind: "tracker" or "segmenter".
        name: of the backend.
        config: the settings.

    Raises:
        BackendError: the backend is unknown, or cannot be imported.
    """
    wanted: dict[str, str] = {"support_grid": config.tracking.support_grid}
    if config.full_precision:
        wanted["precision"] = "float32"
    choices = list_choices(kind, name)
    return {what: value for what, value in wanted.items() if value in choices.get(what, ())}


def make_tracker(config: SegmentConfig, device: str, name: str | None = None) -> PointTracker:
    """The tracker of the settings, or the one called ``name`` with their weights, made as they say.

    Raises:
        BackendError: it cannot be made.
    """
    name = config.tracker if name is None else name
    return create_tracker(name, weights=config.tracker_weights, device=device, **setting_options("tracker", name, config))


def make_segmenter(config: SegmentConfig, device: str, name: str | None = None) -> PromptableSegmenter:
    """The same of the segmenter."""
    name = config.segmenter if name is None else name
    return create_segmenter(name, weights=config.segmenter_weights, device=device, **setting_options("segmenter", name, config))
