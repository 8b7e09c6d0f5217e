"""sampt: click an object in one frame, get its mask in every frame.

The public names are loaded on first use, so that ``import sampt`` is quick and imports no backend.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sampt.backends.telemetry import switch_off
from sampt.version import __version__

switch_off()  # here, because every process that uses sampt comes by before it imports a backend

_WHERE = {
    "CachedSegmenter": "sampt.segmenters.cache",
    "FindConfig": "sampt.config",
    "FoundObjects": "sampt.finding.find",
    "FrameMasks": "sampt.types",
    "FramePoints": "sampt.types",
    "HiddenBy": "sampt.types",
    "Job": "sampt.runs.job",
    "MaskPrediction": "sampt.types",
    "ObjectPrompt": "sampt.types",
    "ObjectState": "sampt.types",
    "PRESETS": "sampt.presets",
    "Points": "sampt.types",
    "Queries": "sampt.pipeline.queries",
    "QueryBox": "sampt.types",
    "QueryMask": "sampt.types",
    "RunOptions": "sampt.runs.job",
    "SamptError": "sampt.errors",
    "SegmentConfig": "sampt.config",
    "Session": "sampt.session.session",
    "Tracks": "sampt.types",
    "create_proposer": "sampt.proposers.create",
    "create_segmenter": "sampt.segmenters.create",
    "create_tracker": "sampt.trackers.create",
    "find_in_stream": "sampt.finding.stream",
    "find_objects": "sampt.finding.find",
    "open_stream": "sampt.video.streaming",
    "open_video": "sampt.video.open",
    "preset": "sampt.presets",
    "generate_masks": "sampt.segmenters.automatic",
    "read_queries": "sampt.points.parse",
    "run_job": "sampt.runs.run",
    "segment_stream": "sampt.pipeline.segment",
    "segment_video": "sampt.pipeline.segment",
}

__all__ = ["__version__", *sorted(_WHERE)]

if TYPE_CHECKING:
    from sampt.config import FindConfig as FindConfig
    from sampt.config import SegmentConfig as SegmentConfig
    from sampt.errors import SamptError as SamptError
    from sampt.finding.find import FoundObjects as FoundObjects
    from sampt.finding.find import find_objects as find_objects
    from sampt.finding.stream import find_in_stream as find_in_stream
    from sampt.pipeline.queries import Queries as Queries
    from sampt.pipeline.segment import segment_stream as segment_stream
    from sampt.pipeline.segment import segment_video as segment_video
    from sampt.points.parse import read_queries as read_queries
    from sampt.presets import PRESETS as PRESETS
    from sampt.presets import preset as preset
    from sampt.proposers.create import create_proposer as create_proposer
    from sampt.runs.job import Job as Job
    from sampt.runs.job import RunOptions as RunOptions
    from sampt.runs.run import run_job as run_job
    from sampt.segmenters.automatic import generate_masks as generate_masks
    from sampt.segmenters.cache import CachedSegmenter as CachedSegmenter
    from sampt.segmenters.create import create_segmenter as create_segmenter
    from sampt.session.session import Session as Session
    from sampt.trackers.create import create_tracker as create_tracker
    from sampt.types import FrameMasks as FrameMasks
    from sampt.types import FramePoints as FramePoints
    from sampt.types import HiddenBy as HiddenBy
    from sampt.types import MaskPrediction as MaskPrediction
    from sampt.types import ObjectPrompt as ObjectPrompt
    from sampt.types import ObjectState as ObjectState
    from sampt.types import Points as Points
    from sampt.types import QueryBox as QueryBox
    from sampt.types import QueryMask as QueryMask
    from sampt.types import Tracks as Tracks
    from sampt.video.open import open_video as open_video
    from sampt.video.streaming import open_stream as open_stream


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'sampt' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_WHERE[name]), name)
    except (AttributeError, ImportError):
        from sampt.backends.opencv import check_opencv

        check_opencv()
        raise


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
