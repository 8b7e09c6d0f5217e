"""One video from its queries to a complete folder of results: resumable, and complete only when ``run.json`` says so."""

from __future__ import annotations

import dataclasses
import functools
import glob
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sampt.config import SegmentConfig
from sampt.errors import OutputError, SamptError, one_line
from sampt.files.atomic import make_folder
from sampt.files.names import real_path
from sampt.finding import FoundObjects
from sampt.pipeline.queries import Queries
from sampt.pipeline.segment import merge_parts, segment_nothing, segment_part, segment_video
from sampt.runs.backends import Backends, describe_info, make_backends
from sampt.runs.finding import Finding, describe_found, find_for, make_proposer
from sampt.runs.folder import RunFolder
from sampt.runs.frames import choose_frames
from sampt.runs.job import Job, JobResult, ObjectSummary, RunOptions
from sampt.runs.journal import Journal
from sampt.runs.manifest import config_digest
from sampt.runs.outputs import check_outputs, open_outputs, output_name
from sampt.runs.parts import PartFile, write_part
from sampt.runs.record import build_manifest, collect_licenses, identify, peak_memory_bytes
from sampt.runs.streaming import run_streaming
from sampt.runs.timing import StageClock, TimedSegmenter, TimedTracker, TimedVideo
from sampt.runs.writing import write_all
from sampt.segmenters.base import SegmenterInfo
from sampt.trackers.base import TrackerInfo, frames_at_once
from sampt.types import FrameMasks, ObjectState
from sampt.video.base import CachedVideo, Video
from sampt.video.file import VideoFile
from sampt.video.streaming import StreamingVideo

__all__ = ["Job", "JobResult", "ObjectSummary", "Run", "RunOptions", "peak_memory_bytes", "prepare_run", "run_job", "run_part"]

_LOG = logging.getLogger(__name__)
_Frame = TypeVar("_Frame")


def run_job(
    job: Job,
    on_frame: Callable[[int, int | None], None] | None = None,
    on_weights: Callable[[str], None] | None = None,
    *,
    make: Callable[[SegmentConfig, RunOptions], Backends] | None = None,
    parts: Sequence[Path] = (),
    on_find: Callable[[int, int | None], None] | None = None,
) -> JobResult:
    """Segment a video into ``job.output``.

    A run that was killed is taken up when it is started again with the same input and settings: without re-initialisation it
    goes on, frames that are in the journal are not segmented again; with re-initialisation it starts over. A complete run is
    recognised by its manifest and not repeated.

    Args:
        job: what to do.
        on_frame: called with (frames done, frames in all) before the first and after every frame; the second is None for a
            stream, whose run ends with the video or when its ``end()`` is called, and is never taken up again.
        on_weights: called with one line a backend that loads more than what its package holds: what, from where, how large,
            under which licence. All lines come before anything is fetched or loaded.
        make: makes the backends of the job's settings, or gives those that it made before; not for streams.
        parts: files of :func:`run_part` that make up all objects: the results are merged from these.
        on_find: as ``on_frame``, for the way through the video on which objects are found, of a job that wants this.

    Raises:
        SamptError: wrong input, or results that cannot be written; nothing that looks complete is left.
    """
    if isinstance(job.video, StreamingVideo):
        return run_streaming(job, job.video, on_frame, on_weights)
    started = time.perf_counter()
    run = prepare_run(job, on_weights, make=make)
    if run.finished is not None:
        return run.finished
    clock, video, options = StageClock(), run.video, job.options
    found = None
    if run.finding is not None:
        job, run, found = _with_found(job, run, on_find or (lambda done, total: None))
    cached = CachedVideo(TimedVideo(video, clock), _cache_frames(job, video.size_hw))
    summaries = {o: ObjectSummary(o, label=job.labels.get(o)) for o in run.object_ids}
    report = on_frame or (lambda done, total: None)
    ids, overlapping = run.object_ids, job.config.overlapping
    with run.folder.started(overwrite=options.overwrite, expected=(video.size_hw, ids)) as journal, _check_one_input(video):
        num_resumed = len(journal)
        results = _segment(job, run, cached, clock, journal, parts)
        named: dict[str, Any] = {"labels": job.labels, "classes": job.classes, "images": options.images}
        with open_outputs(job.output, options.formats, video, object_ids=ids, overlapping=overlapping, **named) as outputs:
            report(0, video.num_frames)
            write_all(results, cached, outputs, summaries, clock, lambda done: report(done, video.num_frames))
    infos = run.infos if run.finding is None else (*run.infos, run.finding.info)
    seconds, licenses, objects = time.perf_counter() - started, collect_licenses(*infos), list(summaries.values())
    counts: dict[str, Any] = {"num_resumed": num_resumed, "num_left_out": 0 if found is None else found.num_left_out}
    result = JobResult(job.output, outputs.files, video.num_frames, objects, licenses, seconds, **counts)
    manifest = build_manifest(job, run.identity, video, result, clock)
    if found is not None:
        manifest["found"] = describe_found(found)
    run.folder.finish(manifest, outputs.files.values())
    return result


def _with_found(job: Job, run: Run, on_frame: Callable[[int, int], None]) -> tuple[Job, Run, FoundObjects]:
    """Job and run with the objects that are found; what is to be made of them is checked once more."""
    assert run.finding is not None
    job, queries, found = find_for(job, run.video, run.queries, run.backends, run.finding, on_frame)
    more: dict[str, Any] = {"labels": job.labels, "images": job.options.images}
    check_outputs(job.options.formats, queries.object_ids, overlapping=job.config.overlapping, **more)
    return job, dataclasses.replace(run, queries=queries), found


def _segment(
    job: Job, run: Run, cached: Video, clock: StageClock, journal: Journal, parts: Sequence[Path]
) -> Iterator[FrameMasks]:
    """The results, from the parts when there are any; each stage's time goes to the clock."""
    tracker, segmenter = TimedTracker(run.backends[0], clock), TimedSegmenter(run.backends[1], clock)
    backends: dict[str, Any] = {"tracker": tracker, "segmenter": segmenter, "config": job.config}
    if not run.object_ids:
        return segment_nothing(run.video)
    if parts:
        return merge_parts(cached, run.queries, [PartFile(path).frames() for path in parts], **backends)
    return segment_video(cached, run.queries, memo=_CheckedMemo(journal, run.video), **backends)


def run_part(job: Job, part: tuple[int, int], path: Path, *, make: Callable[[SegmentConfig, RunOptions], Backends]) -> int:
    """A fraction of a job's objects into a file, for :func:`run_job` with ``parts``; it is not made again when it is there.

    Args:
        job: all of it; without re-initialisation.
        part: (k, n): the objects k, k + n, ... in the order of their ids.
        path: the file.
        make: as for :func:`run_job`.

    Returns:
        The frames.

    Raises:
        SamptError: as :func:`run_job`.
    """
    run = prepare_run(job, make=make)
    digest = config_digest({**run.identity, "part": list(part)})
    if PartFile(path).is_of(digest):
        return run.video.num_frames
    tracker, segmenter = run.backends
    cached = CachedVideo(run.video, _cache_frames(job, run.video.size_hw))
    own = run.object_ids[part[0] :: part[1]]
    frames = segment_part(cached, run.queries, own, config=job.config, tracker=tracker, segmenter=segmenter)
    make_folder(path.parent)
    return write_part(path, digest, _checked_to_the_end(frames, run.video))


class _CheckedMemo:
    """A journal that takes no frame of a video that was replaced: the next run would believe it."""

    def __init__(self, journal: Journal, video: Video) -> None:
        self._journal, self._video = journal, video
        self.lookup = journal.lookup

    def append(self, frame_masks: FrameMasks, prompt_digest: str) -> None:
        self._video.check_unchanged(frame_masks.frame_idx)
        self._journal.append(frame_masks, prompt_digest)


@contextmanager
def _check_one_input(video: Video) -> Iterator[None]:
    """What is made inside the block is made of the video that was opened before, or it ends with InputChangedError."""
    try:
        yield
    except SamptError:
        video.check_unchanged()  # then whatever was met is only what came of it
        raise
    video.check_unchanged()


def _checked_to_the_end(frames: Iterator[_Frame], video: Video) -> Iterator[_Frame]:
    with _check_one_input(video):
        yield from frames


@dataclasses.dataclass(frozen=True)
class Run:
    """A job that has been checked, and what it is made of.

    Attributes:
        video: the frames worked on.
        queries: checked, with frames counted among these.
        backends: tracker and segmenter.
        infos: what they say of themselves.
        finding: how objects are found that nobody named, for a job that wants this.
        identity: see :func:`sampt.runs.record.identify`.
        folder: of the results.
        finished: the result, when the folder holds it complete.
    """

    video: Video
    queries: Queries
    backends: Backends
    infos: tuple[TrackerInfo, SegmenterInfo]
    finding: Finding | None
    identity: dict[str, Any]
    folder: RunFolder
    finished: JobResult | None

    @property
    def object_ids(self) -> list[int]:
        """Ascending."""
        return self.queries.object_ids

    @property
    def run_digest(self) -> str:
        """Of ``identity``."""
        return config_digest(self.identity)


def prepare_run(
    job: Job,
    on_weights: Callable[[str], None] | None = None,
    *,
    make: Callable[[SegmentConfig, RunOptions], Backends] | None = None,
) -> Run:
    """Everything before the first frame; arguments and errors as for :func:`run_job`."""
    chosen = choose_frames(job)
    video = chosen.video
    video.read(video.num_frames - 1, video.num_frames)  # a file that was cut off is reported before any result is touched
    queries = chosen.location(job)
    if job.find is None or queries.object_ids:
        queries = queries.checked(video.num_frames, video.size_hw)
    _check_before(job, video, queries.object_ids)
    tracker, segmenter = (make or functools.partial(make_backends, on_weights=on_weights))(job.config, job.options)
    infos = (describe_info(job.config, tracker.info), describe_info(job.config, segmenter.info))
    finding = None if job.find is None else make_proposer(job.find, job.options, on_weights)
    identity = identify(job, video.digest(), chosen.describe(job), infos)
    if finding is not None:
        identity["find"] = finding.facts()
    folder = RunFolder(job.output, config_digest(identity))
    return Run(video, queries, (tracker, segmenter), infos, finding, identity, folder, _finished_result(job, folder))


def _check_before(job: Job, video: Video, object_ids: Sequence[int]) -> None:
    """All else that can be known to fail before a file is touched and before any work is done."""
    # Which objects will be found nobody knows yet; they may have labels, too.
    more: dict[str, Any] = {"labels": None if job.find is not None else job.labels, "images": job.options.images}
    check_outputs(job.options.formats, object_ids, overlapping=job.config.overlapping, **more)
    video.check_complete(video.num_frames)
    if isinstance(job.video, (str, Path)) and not isinstance(video, VideoFile):
        name = Path(job.video)
        frames = name.parent if glob.has_magic(str(name)) and not name.is_dir() else name
        if real_path(frames) == real_path(job.output):
            raise OutputError(
                f"The output folder {job.output} is the folder of the video's images, where results would be taken for frames; "
                "choose another output folder."
            )


def _finished_result(job: Job, folder: RunFolder) -> JobResult | None:
    """The result of this very run, when its folder is complete."""
    files = {name: job.output / output_name(name, job.options.images) for name in job.options.formats}
    manifest = None if job.options.overwrite else folder.complete_manifest(files.values())
    if manifest is None:
        return None
    try:
        return _describe_result(job, files, manifest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        text = one_line(error)
        _LOG.warning("The run.json in %s was changed (%s); the run is repeated.", job.output, text)
        return None


def _describe_result(job: Job, files: dict[str, Path], manifest: dict[str, Any]) -> JobResult:
    """What a manifest says of its run; errors of any kind where it was changed."""
    objects = []
    for item in manifest["objects"]:
        score, state = item["score"], ObjectState[item["last_state"]]
        is_scored = score is not None
        values = (int(item["id"]), int(item["frames_present"]), float(score or 0), int(is_scored), state)
        objects.append(ObjectSummary(*values, label=item.get("label")))
    licenses = {str(name): str(license) for name, license in manifest["licenses"].items()}
    num_frames, seconds = int(manifest["num_frames"]), float(manifest["seconds"]["total"])
    return JobResult(job.output, files, num_frames, objects, licenses, seconds, was_complete=True)


def _cache_frames(job: Job, size_hw: tuple[int, int]) -> int:
    """Enough frames to write a frame's results without decoding it again."""
    return frames_at_once(size_hw) + 1 + (job.config.reinit.horizon if job.config.reinit.enabled else 0)
