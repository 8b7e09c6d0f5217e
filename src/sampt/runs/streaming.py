"""One stream from its queries to a complete folder of results."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from sampt.errors import ConfigError
from sampt.finding import find_in_stream, stream_object_ids
from sampt.pipeline.segment import segment_stream
from sampt.proposers.base import FRAMES_BEFORE
from sampt.runs.backends import describe_info, make_backends
from sampt.runs.finding import make_proposer
from sampt.runs.folder import RunFolder
from sampt.runs.job import Job, JobResult, ObjectSummary
from sampt.runs.manifest import config_digest
from sampt.runs.outputs import check_outputs, open_outputs
from sampt.runs.record import build_manifest, collect_licenses, identify
from sampt.runs.timing import StageClock, TimedSegmenter, TimedTracker
from sampt.runs.writing import MAX_WAITING, write_all
from sampt.types import ObjectState
from sampt.video.streaming import StreamingVideo

__all__ = ["run_streaming"]


def run_streaming(
    job: Job,
    video: StreamingVideo,
    on_frame: Callable[[int, int | None], None] | None = None,
    on_weights: Callable[[str], None] | None = None,
) -> JobResult:
    """See :func:`sampt.runs.run.run_job`; the frames are those of ``video``, and results are written as they come.

    Every run is a new one, for nobody can tell whether the frames are those of another: there is no journal to go on from.
    """
    if (job.start, job.stop, job.stride) != (0, None, 1):
        raise ConfigError("Frames of a stream are chosen when it is opened; leave start, stop and stride of the job out.")
    if job.find is not None and job.queries.object_ids:
        raise ConfigError("Of a stream objects are either named or found; leave the queries or --find out.")
    started, clock = time.perf_counter(), StageClock()
    config, options = job.config, job.options
    queries = job.queries if job.find is not None else job.queries.checked(None, video.size_hw)
    object_ids = queries.object_ids if job.find is None else stream_object_ids(job.find)
    check_outputs(options.formats, object_ids, overlapping=config.overlapping, labels=job.labels, images=options.images)
    named: dict[str, Any] = {
        "labels": job.labels,
        "classes": job.classes,
        "images": options.images,
        "overlapping": config.overlapping,
    }
    tracker, segmenter = make_backends(config, options, on_weights)
    infos = (describe_info(config, tracker.info), describe_info(config, segmenter.info))
    finding = None if job.find is None else make_proposer(job.find, options, on_weights)
    identity = identify(job, f"stream {uuid.uuid4().hex}", video.describe_frames(), infos)
    if finding is not None:
        identity["find"] = finding.facts()
    folder = RunFolder(job.output, config_digest(identity))
    # Whoever writes a frame requests its time; a proposer sees some frames that have been before.
    video.keep((tracker.info.streaming_latency or 0) + 2 + MAX_WAITING + (FRAMES_BEFORE if job.find is not None else 0))
    parts: dict[str, Any] = {"tracker": TimedTracker(tracker, clock), "segmenter": TimedSegmenter(segmenter, clock)}
    # Either raises here, before a file is touched.
    if finding is None:
        results = segment_stream(video, queries, config=config, **parts)
    else:
        results = find_in_stream(video, proposer=finding.proposer, config=config, find=finding.config, **parts)
    summaries = {o: ObjectSummary(o) for o in object_ids}
    report = on_frame or (lambda done, total: None)
    done = 0

    def count(frames: int) -> None:
        nonlocal done
        done = frames
        report(frames, None)

    with (
        folder.started(overwrite=options.overwrite, has_results=lambda: done > 0),
        open_outputs(job.output, options.formats, video, object_ids=object_ids, **named) as outputs,
    ):
        report(0, None)
        write_all(results, video, outputs, summaries, clock, count)
    seconds = time.perf_counter() - started
    licenses = collect_licenses(*infos, None if finding is None else finding.info)
    # Numbers that no object was found for are no objects.
    objects = [item for item in summaries.values() if finding is None or item.last_state is not ObjectState.BEFORE_QUERY]
    result = JobResult(job.output, outputs.files, video.num_frames, objects, licenses, seconds)
    folder.finish(build_manifest(job, identity, video, result, clock), outputs.files.values())
    return result
