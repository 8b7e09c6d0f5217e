"""What a run is given, and what it gives back: jobs, options, results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sampt.config import FindConfig, SegmentConfig, default_config
from sampt.exporters.base import ImageFormat
from sampt.pipeline.queries import Queries, QueryLike
from sampt.runs.outputs import DEFAULT_FORMATS
from sampt.types import ObjectState
from sampt.video.damage import OnDamage
from sampt.video.streaming import StreamingVideo

__all__ = [
    "Job",
    "JobResult",
    "ObjectSummary",
    "RunOptions",
]


@dataclass(frozen=True)
class RunOptions:
    """How videos are run: what many jobs have in common.

    Attributes:
        formats: names of :func:`sampt.exporters.registry.exporter_names`.
        on_damage: what becomes of frames that cannot be read: "stop" ends the run with an error that names them, "repeat" puts
            the frame before instead, "skip" leaves them out; with these two, ``frames`` of ``run.json`` lists them.
        allow_playlists: see :func:`sampt.open_video`.
        device: where the backends run.
        runtime, precision: values of :data:`sampt.backends.options.OPTIONS`, for the backend that leaves this choice; for
            both when both do.
        overwrite: replace the results of another run in the output folder, and repeat this one when it is complete; when it is
            not, it goes on all the same.
        images: "jpg" or "png": formats that can have the frames beside do, in one archive.
    """

    formats: Sequence[str] = DEFAULT_FORMATS
    on_damage: OnDamage = "stop"
    allow_playlists: bool = False
    device: str = "auto"
    runtime: str = "auto"
    precision: str = "auto"
    overwrite: bool = False
    images: ImageFormat | None = None


@dataclass(frozen=True, init=False)
class Job:
    """One video, what to segment in it, and where the results go.

    Attributes:
        video: what :func:`sampt.open_video` takes, or a :class:`sampt.video.streaming.StreamingVideo`, whose frames are
        streamed.
        queries: clicks, masks and boxes; frames count as in ``video``, whatever ``start`` and ``stride``. None need be given
            where objects are found.
        output: folder of the results.
        config: settings of the method; the preset ``default`` when left out, of a stream without re-initialisation.
        options: how it is run.
        labels: object id -> what it is called in formats that have names or classes; of all objects, or none. Where objects are
            found, of any ids: found objects have the proposer's words where these say nothing.
        classes: all classes in the order of their numbers; left out: the names, by object id.
        find: which objects are segmented that nobody named; None: none.
        start, stop, stride: frames start, start + stride, ... before stop are worked on; None: to the end. Of a stream all
            frames are, and these are left as they are.
    """

    video: Any
    queries: Queries
    output: Path
    config: SegmentConfig
    options: RunOptions
    start: int
    stop: int | None
    stride: int
    labels: Mapping[int, str]
    classes: Sequence[str]
    find: FindConfig | None

    def __init__(
        self,
        video: Any,
        queries: QueryLike,
        output: Path,
        config: SegmentConfig | None = None,
        options: RunOptions | None = None,
        *,
        start: int = 0,
        stop: int | None = None,
        stride: int = 1,
        labels: Mapping[int, str] | None = None,
        classes: Sequence[str] = (),
        find: FindConfig | None = None,
    ) -> None:
        chosen = config or default_config(streaming=isinstance(video, StreamingVideo))
        values = {"video": video, "queries": Queries.of(queries), "output": output, "config": chosen}
        values |= {"options": options or RunOptions(), "start": start, "stop": stop, "stride": stride}
        values |= {"labels": dict(labels or {}), "classes": tuple(classes), "find": find}
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass
class ObjectSummary:
    """What became of one object: frames with a mask, the mean predicted IoU where it was requested, the last frame's state, and
    what it is called, where it has a name."""

    object_id: int
    frames_present: int = 0
    score_sum: float = 0.0
    frames_scored: int = 0
    last_state: ObjectState = ObjectState.PRESENT
    label: str | None = None

    @property
    def score(self) -> float | None:
        """Mean predicted IoU, None when the segmenter never ran."""
        return self.score_sum / self.frames_scored if self.frames_scored else None


@dataclass(frozen=True)
class JobResult:
    """What a run did.

    Attributes:
        output: the folder.
        files: format -> what it made.
        num_frames: frames of the result.
        objects: one summary an object.
        licenses: "tracker NAME" and "segmenter NAME" -> the licences it comes under.
        seconds: wall time of the run.
        was_complete: True when the folder already held this very run, so that nothing was done.
        num_resumed: frames that an interrupted run had already segmented.
        num_left_out: objects that were found beyond the most that were wanted.
    """

    output: Path
    files: dict[str, Path]
    num_frames: int
    objects: list[ObjectSummary]
    licenses: dict[str, str]
    seconds: float
    was_complete: bool = False
    num_resumed: int = 0
    num_left_out: int = 0
