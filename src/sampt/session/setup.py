"""What a session needs before it can begin: settings that fit it, backends, and what its results depend on besides inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import Protocol, TypeVar

from sampt.backends.registry import available
from sampt.config import SegmentConfig, flatten_settings, with_settings
from sampt.errors import BackendError, ConfigError
from sampt.pipeline.backends import setting_options
from sampt.segmenters.base import PromptableSegmenter, SegmenterInfo
from sampt.segmenters.create import create_segmenter
from sampt.session.project import ProjectFile
from sampt.trackers.base import PointTracker, TrackerInfo
from sampt.trackers.create import create_tracker
from sampt.weights import no_downloads, weights_identity

__all__ = ["PROJECT_NAMES_THEM", "checked_config", "make_session_backends", "session_settings", "settings_digest"]

PROJECT_NAMES_THEM = "a project's file names them and no person does"
_ALONE = {"prompting.other_objects_as_negatives": False, "tracking.group_size": 1}
"""Settings under which objects do not influence each other."""


class _BackendChoice(Protocol):
    @property
    def info(self) -> TrackerInfo | SegmenterInfo: ...


_B = TypeVar("_B", bound=_BackendChoice)


def checked_config(config: SegmentConfig) -> SegmentConfig:
    """The settings, when a session can keep to them.

    Raises:
        ConfigError: they request what only a run with queries known beforehand has.
    """
    if config.protocol != "bidirectional":
        raise ConfigError(
            f"protocol is {config.protocol!r}; a session propagates objects in both directions: expected 'bidirectional'."
        )
    if config.sampling.one_click:
        raise ConfigError("one_click is on; a session keeps masks as they are given: switch it off.")
    return config


def session_settings(config: SegmentConfig) -> SegmentConfig:
    """The settings as a session uses them: every object stands for itself."""
    return with_settings(config, _ALONE)


def make_session_backends(
    config: SegmentConfig,
    tracker: PointTracker | None,
    segmenter: PromptableSegmenter | None,
    device: str,
    last_names: tuple[str, str] | None = None,
) -> tuple[PointTracker, PromptableSegmenter]:
    """The given backends; those left out are made by name.

    Args:
        last_names: of the tracker and the segmenter that a project was worked on with last. What a project's file names is not
            downloaded: nobody may have looked at it.

    Raises:
        BackendError: one cannot be made.
    """
    of_tracker, of_segmenter = last_names or (None, None)
    with nullcontext() if last_names is None else no_downloads(PROJECT_NAMES_THEM):
        if tracker is None:
            tracker = _made("tracker", create_tracker, config, device, of_tracker)
        if segmenter is None:
            segmenter = _made("segmenter", create_segmenter, config, device, of_segmenter)
    return tracker, segmenter


def _made(kind: str, create: Callable[..., _B], config: SegmentConfig, device: str, last_name: str | None) -> _B:
    name: str = getattr(config, kind)
    if last_name is not None and last_name != name and last_name in available(kind):
        return create(last_name, device=device, **setting_options(kind, last_name, config))
    weights = getattr(config, f"{kind}_weights")
    made = create(name, weights=weights, device=device, **setting_options(kind, name, config))
    if last_name not in (None, made.info.name):
        raise BackendError(
            f"The project was worked on with the {kind} {last_name!r}, which cannot be made by its name; give it ({kind}=...)."
        )
    return made


def settings_digest(content: ProjectFile, settings: SegmentConfig) -> str:
    """Changes with everything that decides results and is not given by a person: video, settings, backends, weights."""
    chosen = flatten_settings(settings)
    weights = {}
    for kind in ("tracker", "segmenter"):
        name, path = chosen.pop(kind), chosen.pop(f"{kind}_weights")
        used = getattr(content, kind)
        weights[kind] = (used, weights_identity(used, path) if used == name else None)
    facts = (content.video.sha256, content.video.num_frames, content.video.size_hw)
    return hashlib.blake2b(json.dumps([facts, chosen, weights], sort_keys=True).encode(), digest_size=16).hexdigest()
