"""What the benchmarks of found objects have in common: objects found and segmented as `sampt segment --find` does."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sampt.config import FindConfig, SegmentConfig
from sampt.finding import FoundObjects, find_objects
from sampt.pipeline.backends import make_segmenter, make_tracker
from sampt.pipeline.queries import Queries
from sampt.pipeline.segment import segment_video
from sampt.proposers.base import Proposer
from sampt.proposers.create import create_proposer
from sampt.segmenters.base import PromptableSegmenter
from sampt.trackers.base import PointTracker
from sampt.types import FrameMasks, IntArray
from sampt.video.base import Video

__all__ = ["Method", "add_find_arguments", "find_config"]


@dataclass
class Method:
    """How objects are found and segmented; backends are made when they are first needed."""

    config: SegmentConfig
    find: FindConfig

    @cached_property
    def tracker(self) -> PointTracker:
        return make_tracker(self.config, "cpu")

    @cached_property
    def segmenter(self) -> PromptableSegmenter:
        return make_segmenter(self.config, "cpu")

    @cached_property
    def proposer(self) -> Proposer:
        return create_proposer(self.find.proposer, weights=self.find.proposer_weights)

    def found(self, video: Video) -> FoundObjects:
        return find_objects(
            video,
            proposer=self.proposer,
            tracker=self.tracker,
            segmenter=self.segmenter,
            config=self.config,
            find=self.find,
        )

    def frames(self, video: Video, found: FoundObjects, count: int | None = None) -> Iterator[FrameMasks]:
        """The results of the best ``count`` of the found objects, of all where None; at least one object is needed."""
        queries = Queries.of(list(found.queries.masks[:count]))
        return segment_video(video, queries, config=self.config, tracker=self.tracker, segmenter=self.segmenter)

    def label_maps(self, video: Video, found: FoundObjects, count: int | None = None) -> Iterator[IntArray]:
        """(h, w) object ids of every frame, in which nothing was found when there is no object."""
        if not found.objects:
            yield from (np.zeros(video.size_hw, np.int64) for _ in range(video.num_frames))
            return
        yield from (frame.label_map() for frame in self.frames(video, found, count))


def add_find_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--proposer`` and ``--find-every``."""
    parser.add_argument("--proposer", default=FindConfig.proposer, help="what proposes objects (default: %(default)s)")
    parser.add_argument(
        "--find-every", type=int, default=FindConfig.every, metavar="N", help="look so often, in frames (default: %(default)s)"
    )


def find_config(args: argparse.Namespace, max_objects: int) -> FindConfig:
    return FindConfig(proposer=args.proposer, every=args.find_every, max_objects=max_objects)
