"""One video from its queries to a complete folder of results: resumable, and complete only when ``run.json`` says so."""

from __future__ import annotations

import dataclasses
import glob
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sampt.config import SegmentConfig, settings_of
from sampt.errors import BackendError, OutputError, QueryError, VideoError
from sampt.outputs import (
    FORMATS,
    OutputSet,
    check_outputs,
    config_digest,
    open_outputs,
    versions,
)
from sampt.outputs.behind import WriteBehind
from sampt.pipeline import segment_video
from sampt.plugins import check_option, create_segmenter, create_tracker, options_of
from sampt.points.check import check_queries
from sampt.preparation import QueryLike, split_queries
from sampt.run_folder import RunFolder
from sampt.segmenters.base import PromptableSegmenter, SegmenterInfo
from sampt.timing import StageClock, TimedSegmenter, TimedTracker, TimedVideo
from sampt.trackers.base import PointTracker, TrackerInfo, frames_at_once
from sampt.types import FrameMasks, ObjectState, Points, QueryMask
from sampt.video.base import CachedVideo, SubVideo, Video
from sampt.video.file import VideoFile
from sampt.video.open import open_video
from sampt.weights import facts_of, told_source, weights_identity

__all__ = ["Job", "JobResult", "ObjectSummary", "peak_memory_bytes", "run_job"]

_Info = TypeVar("_Info", TrackerInfo, SegmenterInfo)


@dataclass(frozen=True)
class Job:
    """One video, what to follow in it, and where the results go.

    Attributes:
        video: what :func:`sampt.open_video` takes.
        queries: clicks and masks; frames count as in ``video``, whatever ``start`` and ``stride``.
        output: folder of the results.
        config: settings of the method.
        formats: names of :data:`sampt.outputs.FORMATS`.
        start, stop, stride: frames start, start + stride, ... before stop are worked on; None: to the end.
        device: where the back ends run.
        runtime, precision: values of :data:`sampt.plugins.OPTIONS`, for the back end that leaves this choice; for both when
            both do.
        overwrite: replace the results of another run in ``output``, and repeat this one when it is complete; when it is not, it
            goes on all the same.
    """

    video: Any
    queries: QueryLike
    output: Path
    config: SegmentConfig = field(default_factory=SegmentConfig)
    formats: Sequence[str] = tuple(FORMATS)
    start: int = 0
    stop: int | None = None
    stride: int = 1
    device: str = "auto"
    runtime: str = "auto"
    precision: str = "auto"
    overwrite: bool = False


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


def run_job(
    job: Job, on_frame: Callable[[int, int], None] | None = None, on_weights: Callable[[str], None] | None = None
) -> JobResult:
    """Segment a video into ``job.output``.

    A run that was killed is taken up when it is started again with the same input and settings: without re-initialisation it
    goes on, frames that are in the journal are not segmented again; with re-initialisation it starts over. A complete run is
    recognised by its manifest and not repeated.

    Args:
        job: what to do.
        on_frame: called with (frames done, frames in all) before the first and after every frame.
        on_weights: called with one line a back end that loads more than what its package holds: what, from where, how large,
            under which licence. All lines come before anything is fetched or loaded.

    Raises:
        SamptError: wrong input, or results that cannot be written; nothing that looks complete is left.
    """
    started = time.perf_counter()
    clock = StageClock()
    video = _chosen_frames(job, open_video(job.video))
    video.read(video.num_frames - 1, video.num_frames)  # a file that was cut off is told before any result is touched
    points, masks = split_queries(job.queries)
    queries = _on_chosen_frames(points, masks, video)
    object_ids = sorted({*points.object_ids, *(m.object_id for m in masks)})
    _check_before(job, video, queries, object_ids)
    tracker, segmenter = _back_ends(job, on_weights)
    infos = (_info_of(job, tracker.info), _info_of(job, segmenter.info))
    identity = _identity(job, video, points, masks, *infos)
    folder = RunFolder(job.output, config_digest(identity))
    finished = _finished_result(job, folder)
    if finished is not None:
        return finished
    cached = CachedVideo(TimedVideo(video, clock), _cache_frames(job, video.size_hw))
    parts: dict[str, Any] = {"tracker": TimedTracker(tracker, clock), "segmenter": TimedSegmenter(segmenter, clock)}
    folder.make_room(overwrite=job.overwrite)
    summaries = {o: ObjectSummary(o) for o in object_ids}
    with folder.started() as journal:
        num_resumed = len(journal)
        results = segment_video(cached, queries, config=job.config, memo=journal, **parts)
        with open_outputs(job.output, job.formats, video, object_ids=object_ids, overlapping=job.config.overlapping) as outputs:
            _write_all(results, cached, outputs, summaries, clock, on_frame)
    result = JobResult(
        job.output,
        outputs.files,
        video.num_frames,
        list(summaries.values()),
        _licences(*infos),
        time.perf_counter() - started,
        num_resumed=num_resumed,
    )
    folder.finish(_manifest(job, identity, video, result, clock))
    return result


def _back_ends(job: Job, on_weights: Callable[[str], None] | None) -> tuple[PointTracker, PromptableSegmenter]:
    config = job.config
    of_tracker, of_segmenter = _options(job)
    for kind in ("tracker", "segmenter"):
        name = getattr(config, kind)
        told = told_source(name, getattr(config, f"{kind}_weights"))
        if told is not None and on_weights is not None:
            on_weights(f"{kind} {name!r} {told}")
    return (
        create_tracker(config.tracker, weights=config.tracker_weights, device=job.device, **of_tracker),
        create_segmenter(config.segmenter, weights=config.segmenter_weights, device=job.device, **of_segmenter),
    )


def _options(job: Job) -> tuple[dict[str, str], dict[str, str]]:
    """Runtime and precision for the tracker and for the segmenter: each goes to those that leave the choice of it."""
    names = {"tracker": job.config.tracker, "segmenter": job.config.segmenter}
    chosen: dict[str, dict[str, str]] = {kind: {} for kind in names}
    for what, value in (("runtime", job.runtime), ("precision", job.precision)):
        check_option(what, value)
        taking = [kind for kind, name in names.items() if what in options_of(kind, name)]
        if value != "auto" and not taking:
            raise BackendError(
                f"Neither the tracker {names['tracker']!r} nor the segmenter {names['segmenter']!r} has a choice of {what}, "
                f"got {value!r}; leave the option out."
            )
        for kind in taking:
            chosen[kind][what] = value
    return chosen["tracker"], chosen["segmenter"]


def _info_of(job: Job, info: _Info) -> _Info:
    """What a back end says of itself, with the licence of the weights that it was given: it knows that of its own alone."""
    kind = "tracker" if isinstance(info, TrackerInfo) else "segmenter"
    name, weights = getattr(job.config, kind), getattr(job.config, f"{kind}_weights")
    facts = None if weights == "default" else facts_of(name, weights)
    return info if facts is None else dataclasses.replace(info, licence_weights=facts.licence)


def _chosen_frames(job: Job, video: Video) -> Video:
    """The frames between start and stop at the stride."""
    stop = video.num_frames if job.stop is None else job.stop
    if job.stride < 1:
        raise VideoError(f"The stride is {job.stride}; expected a whole number from 1.")
    if not 0 <= job.start < video.num_frames:
        raise VideoError(f"The first frame is {job.start}; {video.label} has frames 0 to {video.num_frames - 1}.")
    if not job.start < stop <= video.num_frames:
        raise VideoError(
            f"The range stops before frame {stop}; expected a stop from {job.start + 1} to {video.num_frames}, "
            f"since {video.label} has {video.num_frames} frames and the range starts at {job.start}."
        )
    indices = range(job.start, stop, job.stride)
    return video if indices == range(video.num_frames) else SubVideo(video, indices)


def _on_chosen_frames(points: Points, masks: Sequence[QueryMask], video: Video) -> list[Points | QueryMask]:
    """The queries with frames counted among the chosen ones."""
    if isinstance(video, SubVideo):
        places = {frame: i for i, frame in enumerate(video.indices)}
        for frame in [*points.frame_idx.tolist(), *(m.frame_idx for m in masks)]:
            if frame not in places:
                frames = video.indices
                step = f" in steps of {frames.step}" if frames.step > 1 else ""
                raise QueryError(
                    f"A query is on frame {frame}, which is not among the frames worked on, {frames[0]} to {frames[-1]}{step}; "
                    "choose other frames (start, stop, stride) or another query frame."
                )
        moved = np.array([places[f] for f in points.frame_idx.tolist()], np.int64)
        points = Points(points.xy, moved, points.object_id, points.is_positive)
        masks = [dataclasses.replace(m, frame_idx=places[m.frame_idx]) for m in masks]
    return [points, *masks]


def _check_before(job: Job, video: Video, queries: QueryLike, object_ids: Sequence[int]) -> None:
    """All that can be known to fail before a file is touched and before any work is done."""
    check_queries(*split_queries(queries), video.num_frames, video.size_hw)
    check_outputs(job.formats, object_ids, overlapping=job.config.overlapping)
    video.check_complete(video.num_frames)
    if isinstance(job.video, (str, Path)) and not isinstance(video, VideoFile):
        name = Path(job.video)
        frames = name.parent if glob.has_magic(str(name)) and not name.is_dir() else name
        if frames.resolve() == job.output.resolve():
            raise OutputError(
                f"The output folder {job.output} is the folder of the video's images, where results would be taken for frames; "
                "choose another output folder."
            )


def _identity(
    job: Job, video: Video, points: Points, masks: Sequence[QueryMask], tracker: TrackerInfo, segmenter: SegmenterInfo
) -> dict[str, Any]:
    """Everything that decides the results: equal identities give equal results, wherever the files lie."""
    stop = job.start + (video.num_frames - 1) * job.stride + 1
    config = job.config
    return {
        "config": {name: value for name, value in settings_of(config).items() if not name.endswith("_weights")},
        "formats": list(job.formats),
        "frames": {"start": job.start, "stop": stop, "stride": job.stride, "count": video.num_frames},
        "inputs": {
            "video_sha256": video.digest(),
            "points": [
                {"object": int(o), "frame": int(f), "x": float(x), "y": float(y), "sign": "+" if s else "-"}
                for o, f, (x, y), s in zip(points.object_id, points.frame_idx, points.xy, points.is_positive, strict=True)
            ],
            "masks": [
                {"object": m.object_id, "frame": m.frame_idx, "sha256": sha256(np.packbits(m.mask).tobytes()).hexdigest()}
                for m in masks
            ],
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


def _finished_result(job: Job, folder: RunFolder) -> JobResult | None:
    """The result of this very run, when its folder is complete."""
    files = {name: job.output / FORMATS[name] for name in job.formats}
    manifest = None if job.overwrite else folder.complete_manifest(files.values())
    if manifest is None:
        return None
    objects = []
    for item in manifest["objects"]:
        score, state = item["score"], ObjectState[item["last_state"]]
        objects.append(ObjectSummary(item["id"], item["frames_present"], score or 0.0, int(score is not None), state))
    num_frames, licences, seconds = manifest["num_frames"], manifest["licences"], manifest["seconds"]["total"]
    return JobResult(job.output, files, num_frames, objects, licences, seconds, was_complete=True)


def _cache_frames(job: Job, size_hw: tuple[int, int]) -> int:
    """Enough frames to write a frame's results without decoding it again."""
    return frames_at_once(size_hw) + 1 + (job.config.reinit.horizon if job.config.reinit.enabled else 0)


def _write_all(
    results: Iterator[FrameMasks],
    video: Video,
    outputs: OutputSet,
    summaries: dict[int, ObjectSummary],
    clock: StageClock,
    on_frame: Callable[[int, int], None] | None,
) -> None:
    report = on_frame or (lambda done, total: None)
    report(0, video.num_frames)
    with WriteBehind(outputs.write) as writer:
        for result in results:
            writer.put(video.read(result.frame_idx, result.frame_idx + 1)[0], result)
            _count(result, summaries)
            report(result.frame_idx + 1, video.num_frames)
    clock.seconds["write"] = writer.seconds


def _count(result: FrameMasks, summaries: dict[int, ObjectSummary]) -> None:
    for object_id, mask, score, state in zip(result.object_ids, result.masks, result.scores, result.states, strict=True):
        summary = summaries[int(object_id)]
        summary.frames_present += bool(mask.any())
        summary.last_state = ObjectState(int(state))
        if not np.isnan(score):
            summary.score_sum += float(score)
            summary.frames_scored += 1


def _licences(tracker: TrackerInfo, segmenter: SegmenterInfo) -> dict[str, str]:
    def both(info: TrackerInfo | SegmenterInfo) -> str:
        weights = info.licence_weights
        return f"code {info.licence_code}, " + ("no weights" if weights is None else f"weights {weights}")

    # The two may bear the same name.
    return {f"tracker {tracker.name}": both(tracker), f"segmenter {segmenter.name}": both(segmenter)}


def _manifest(job: Job, identity: dict[str, Any], video: Video, result: JobResult, clock: StageClock) -> dict[str, Any]:
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
