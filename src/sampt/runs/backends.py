"""The backends of a run: how they are made, and what they say of themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from sampt.backends.options import check_option
from sampt.backends.registry import list_choices
from sampt.config import SegmentConfig
from sampt.errors import BackendError
from sampt.pipeline.backends import setting_options
from sampt.runs.job import RunOptions
from sampt.segmenters.base import PromptableSegmenter, SegmenterInfo
from sampt.segmenters.create import create_segmenter
from sampt.trackers.base import PointTracker, TrackerInfo
from sampt.trackers.create import create_tracker
from sampt.weights import describe_source, describe_weights

__all__ = ["Backends", "backend_options", "describe_info", "make_backends"]

_Info = TypeVar("_Info", TrackerInfo, SegmenterInfo)


Backends: TypeAlias = tuple[PointTracker, PromptableSegmenter]


def make_backends(config: SegmentConfig, options: RunOptions, on_weights: Callable[[str], None] | None = None) -> Backends:
    """The tracker and the segmenter of the settings; ``on_weights`` as in :func:`sampt.runs.run.run_job`."""
    of_tracker, of_segmenter = backend_options(config, options.runtime, options.precision)
    for kind in ("tracker", "segmenter"):
        name = getattr(config, kind)
        text = describe_source(name, getattr(config, f"{kind}_weights"))
        if text is not None and on_weights is not None:
            on_weights(f"{kind} {name!r} {text}")
    return (
        create_tracker(config.tracker, weights=config.tracker_weights, device=options.device, **of_tracker),
        create_segmenter(config.segmenter, weights=config.segmenter_weights, device=options.device, **of_segmenter),
    )


def backend_options(config: SegmentConfig, runtime: str, precision: str) -> tuple[dict[str, str], dict[str, str]]:
    """How tracker and segmenter are to be made: as the settings say, with this runtime and precision where they have them.

    Raises:
        BackendError: a backend or a value is unknown, or neither has it.
    """
    names = {"tracker": config.tracker, "segmenter": config.segmenter}
    choices = {kind: list_choices(kind, name) for kind, name in names.items()}
    chosen = {kind: setting_options(kind, name, config) for kind, name in names.items()}
    for what, value in (("runtime", runtime), ("precision", precision)):
        check_option(what, value)
        taking = [kind for kind, its in choices.items() if value in its.get(what, ())]
        if value != "auto" and not taking:
            had = sorted({one for its in choices.values() for one in its.get(what, ())})
            text = f"has the {what} {value!r}; expected one of: {', '.join(had)}."
            if not had:
                text = f"has a choice of {what}, got {value!r}; leave the option out."
            raise BackendError(f"Neither the tracker {names['tracker']!r} nor the segmenter {names['segmenter']!r} {text}")
        if value != "auto":
            for kind in taking:
                chosen[kind][what] = value
    return chosen["tracker"], chosen["segmenter"]


def describe_info(config: SegmentConfig, info: _Info) -> _Info:
    """What a backend says of itself, with the licence of the weights that it was given: it knows that of its own alone."""
    kind = "tracker" if isinstance(info, TrackerInfo) else "segmenter"
    name, weights = getattr(config, kind), getattr(config, f"{kind}_weights")
    facts = None if weights == "default" else describe_weights(name, weights)
    return info if facts is None else dataclasses.replace(info, license_weights=facts.license)
