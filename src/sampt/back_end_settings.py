"""What the settings of a run say of how its back ends are made."""

from __future__ import annotations

from sampt.config import SegmentConfig
from sampt.plugins import choices_of

__all__ = ["setting_options"]


def setting_options(kind: str, name: str, config: SegmentConfig) -> dict[str, str]:
    """Options for :func:`sampt.plugins.create_tracker` or ``create_segmenter``, of those that the back end has.

    Args:
        kind: "tracker" or "segmenter".
        name: of the back end.
        config: the settings.

    Raises:
        BackendError: the back end is unknown, or cannot be imported.
    """
    wanted: dict[str, str] = {"support_grid": config.tracking.support_grid}
    if config.full_precision:
        wanted["precision"] = "float32"
    choices = choices_of(kind, name)
    return {what: value for what, value in wanted.items() if value in choices.get(what, ())}
