"""What every run is made of, whether its video lies there or arrives: the job, its back ends, its results, its manifest."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np

from sampt.back_end_settings import setting_options
from sampt.config import SegmentConfig, default_config, settings_of
from sampt.errors import BackendError
from sampt.outputs import FORMATS, OutputSet, config_digest, versions
from sampt.outputs.behind import WriteBehind
from sampt.plugins import check_option, choices_of, create_segmenter, create_tracker
from sampt.preparation import Given, QueryLike
from sampt.segmenters.base import PromptableSegmenter, SegmenterInfo
from sampt.timing import StageClock
from sampt.trackers.base import PointTracker, TrackerInfo
from sampt.types import FrameMasks, ObjectState
from sampt.video.base import Video
from sampt.video.damage import OnDamage
from sampt.video.live import LiveVideo
from sampt.weights import facts_of, told_source, weights_identity

__all__ = [
    "BackEnds",
    "Job",
    "JobResult",
    "ObjectSummary",
    "back_end_options",
    "identity_of",
    "licences_of",
    "make_back_ends",
    "manifest_of",
    "peak_memory_bytes",
    "told_info",
    "write_all",
]

_Info = TypeVar("_Info", TrackerInfo, SegmenterInfo)
BackEnds: TypeAlias = tuple[PointTracker, PromptableSegmenter]


@dataclass(frozen=True)
class Job:
    """One video, what to follow in it, and where the results go.

    Attributes:
        video: what :func:`sampt.open_video` takes, or a :class:`sampt.video.live.LiveVideo`, whose frames arrive.
        queries: clicks, masks and boxes; frames count as in ``video``, whatever ``start`` and ``stride``.
        output: folder of the results.
        config: settings of the method; the preset ``default`` when left out, of a live video without re-initialisation.
        formats: names of :data:`sampt.outputs.FORMATS`.
        start, stop, stride: frames start, start + stride, ... before stop are worked on; None: to the end. Of a live video all
            frames are, and these are left as they are.
        on_damage: what becomes of frames that cannot be read: "stop" ends the run with an error that names them, "repeat" puts
            the frame before in their place, "skip" leaves them out; with these two, ``frames`` of ``run.json`` lists them.
        allow_playlists: see :func:`sampt.open_video`.
        device: where the back ends run.
        runtime, precision: values of :data:`sampt.plugins.OPTIONS`, for the back end that leaves this choice; for both when
            both do.
        overwrite: replace the results of another run in ``output``, and repeat this one when it is complete; when it is not, it
            goes on all the same.
    """

    video: Any
    queries: QueryLike
    output: Path
    config: SegmentConfig = None  # type: ignore[assignment]  # by __post_init__, for the default depends on the video
    formats: Sequence[str] = tuple(FORMATS)
    start: int = 0
    stop: int | None = None
    stride: int = 1
    on_damage: OnDamage = "stop"
    allow_playlists: bool = False
    device: str = "auto"
    runtime: str = "auto"
    precision: str = "auto"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.config is None:
            object.__setattr__(self, "config", default_config(streaming=isinstance(self.video, LiveVideo)))


@dataclass
class ObjectSummary:
    """What became of one object: frames with a mask, the mean predicted IoU where it was asked for, the last frame's state."""

    object_id: int
    frames_present: int = 0
    score_sum: float = 0.0
    frames_scored: int = 0
    last_state: ObjectState = ObjectState.PRESENT

    @property
    def score(self) -> float | None:
        """Mean predicted IoU, None when the segmenter was never asked."""
        return self.score_sum / self.frames_scored if self.frames_scored else None


@dataclass(frozen=True)
class JobResult:
    """What a run did.

    Attributes:
        output: the folder.
        files: format -> what it made.
        num_frames: frames of the result.
        objects: one summary an object.
        licences: "tracker NAME" and "segmenter NAME" -> the licences it comes under.
        seconds: wall time of the run.
        was_complete: True when the folder already held this very run, so that nothing was done.
        num_resumed: frames that an interrupted run had already segmented.
    """

    output: Path
    files: dict[str, Path]
    num_frames: int
    objects: list[ObjectSummary]
    licences: dict[str, str]
    seconds: float
    was_complete: bool = False
    num_resumed: int = 0


def make_back_ends(job: Job, on_weights: Callable[[str], None] | None = None) -> BackEnds:
    """The job's tracker and segmenter; ``on_weights`` as in :func:`sampt.job.run_job`."""
    config = job.config
    of_tracker, of_segmenter = back_end_options(config, job.runtime, job.precision)
    for kind in ("tracker", "segmenter"):
        name = getattr(config, kind)
        told = told_source(name, getattr(config, f"{kind}_weights"))
        if told is not None and on_weights is not None:
            on_weights(f"{kind} {name!r} {told}")
    return (
        create_tracker(config.tracker, weights=config.tracker_weights, device=job.device, **of_tracker),
        create_segmenter(config.segmenter, weights=config.segmenter_weights, device=job.device, **of_segmenter),
    )


def back_end_options(config: SegmentConfig, runtime: str, precision: str) -> tuple[dict[str, str], dict[str, str]]:
    """How tracker and segmenter are to be made: as the settings say, with this runtime and precision where they have them.

    Raises:
        BackendError: a back end or a value is unknown, or neither has it.
    """
    names = {"tracker": config.tracker, "segmenter": config.segmenter}
    choices = {kind: choices_of(kind, name) for kind, name in names.items()}
    chosen = {kind: setting_options(kind, name, config) for kind, name in names.items()}
    for what, value in (("runtime", runtime), ("precision", precision)):
        check_option(what, value)
        taking = [kind for kind, its in choices.items() if value in its.get(what, ())]
        if value != "auto" and not taking:
            had = sorted({one for its in choices.values() for one in its.get(what, ())})
            told = f"has the {what} {value!r}; expected one of: {', '.join(had)}."
            if not had:
                told = f"has a choice of {what}, got {value!r}; leave the option out."
            raise BackendError(f"Neither the tracker {names['tracker']!r} nor the segmenter {names['segmenter']!r} {told}")
        if value != "auto":
            for kind in taking:
                chosen[kind][what] = value
    return chosen["tracker"], chosen["segmenter"]


def told_info(job: Job, info: _Info) -> _Info:
    """What a back end says of itself, with the licence of the weights that it was given: it knows that of its own alone."""
    kind = "tracker" if isinstance(info, TrackerInfo) else "segmenter"
    name, weights = getattr(job.config, kind), getattr(job.config, f"{kind}_weights")
    facts = None if weights == "default" else facts_of(name, weights)
    return info if facts is None else dataclasses.replace(info, licence_weights=facts.licence)


def identity_of(
    job: Job,
    video_sha256: str,
    frames: dict[str, Any],
    queries: Given,
    infos: tuple[TrackerInfo, SegmenterInfo],
) -> dict[str, Any]:
    """Everything that decides the results: equal identities give equal results, wherever the files lie."""
    config, (points, masks, boxes), (tracker, segmenter) = job.config, queries, infos
    return {
        "config": {name: value for name, value in settings_of(config).items() if not name.endswith("_weights")},
        "formats": list(job.formats),
        "frames": frames,
        "inputs": {
            "video_sha256": video_sha256,
            "points": [
                {"object": int(o), "frame": int(f), "x": float(x), "y": float(y), "sign": "+" if s else "-"}
                for o, f, (x, y), s in zip(points.object_id, points.frame_idx, points.xy, points.is_positive, strict=True)
            ],
            "masks": [
                {"object": m.object_id, "frame": m.frame_idx, "sha256": sha256(np.packbits(m.mask).tobytes()).hexdigest()}
                for m in masks
            ],
            "boxes": [{"object": b.object_id, "frame": b.frame_idx, "box_xyxy": b.box_xyxy.tolist()} for b in boxes],
        },
        "backends": {"tracker": dataclasses.asdict(tracker), "segmenter": dataclasses.asdict(segmenter)},
        "weights": {
            "tracker": weights_identity(config.tracker, config.tracker_weights),
            "segmenter": weights_identity(config.segmenter, config.segmenter_weights),
        },
        "runtime": job.runtime,
        "precision": job.precision,
        "versions": {name: version for name, version in versions().items() if name != "platform"},
    }


def write_all(
    results: Iterable[FrameMasks],
    video: Video,
    outputs: OutputSet,
    summaries: dict[int, ObjectSummary],
    clock: StageClock,
    on_frame: Callable[[int], None],
) -> None:
    """Write every result with its frame, which ``video`` still has, sum it up, and call ``on_frame`` with how many are done."""
    with WriteBehind(outputs.write) as writer:
        for result in results:
            writer.put(video.read(result.frame_idx, result.frame_idx + 1)[0], result)
            _count(result, summaries)
            on_frame(result.frame_idx + 1)
    clock.seconds["write"] = writer.seconds


def _count(result: FrameMasks, summaries: dict[int, ObjectSummary]) -> None:
    for object_id, mask, score, state in zip(result.object_ids, result.masks, result.scores, result.states, strict=True):
        summary = summaries[int(object_id)]
        summary.frames_present += bool(mask.any())
        summary.last_state = ObjectState(int(state))
        if not np.isnan(score):
            summary.score_sum += float(score)
            summary.frames_scored += 1


def licences_of(tracker: TrackerInfo, segmenter: SegmenterInfo) -> dict[str, str]:
    def both(info: TrackerInfo | SegmenterInfo) -> str:
        weights = info.licence_weights
        return f"code {info.licence_code}, " + ("no weights" if weights is None else f"weights {weights}")

    # The two may bear the same name.
    return {f"tracker {tracker.name}": both(tracker), f"segmenter {segmenter.name}": both(segmenter)}


def manifest_of(job: Job, identity: dict[str, Any], video: Video, result: JobResult, clock: StageClock) -> dict[str, Any]:
    return {
        **identity,
        "config": settings_of(job.config),
        "video": video.label,
        "platform": versions()["platform"],
        "run_digest": config_digest(identity),
        "num_frames": result.num_frames,
        "num_resumed": result.num_resumed,
        "size_hw": list(video.size_hw),
        "fps": video.fps,
        "objects": [
            {"id": o.object_id, "frames_present": o.frames_present, "score": o.score, "last_state": o.last_state.name}
            for o in result.objects
        ],
        "files": {name: path.name for name, path in result.files.items()},
        "licences": result.licences,
        "seconds": {"total": result.seconds, **clock.seconds},
        "peak_memory_bytes": peak_memory_bytes(),
    }


def peak_memory_bytes() -> int | None:
    """The largest memory the process has had, or None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
