"""Streamed frames on the command line: opened, tracked, and ended by the user with what there is."""

from __future__ import annotations

import argparse
import dataclasses
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sampt.cli.running import print_note, run_with_progress
from sampt.cli.settings import is_given
from sampt.config import SegmentConfig, with_settings
from sampt.errors import ConfigError, VideoError
from sampt.geometry import SizeHW
from sampt.runs.job import Job
from sampt.video.streaming import StreamingVideo, open_stream

__all__ = ["run_streaming_with_progress"]


def run_streaming_with_progress(job: Job, arguments: argparse.Namespace) -> int:
    """Run ``job`` on the stream that its ``video`` names. An interruption ends the video, a second one the run."""
    config = _without_reinit(job.config, arguments)
    video = open_stream(
        str(job.video),
        raw_size_hw=None if arguments.raw_size is None else _size_hw(arguments.raw_size),
        fps=_check_fps(arguments.fps),
        start=_from(0, "--start", job.start),
        stop=None if job.stop is None else _from(job.start + 1, "--stop", job.stop),
        stride=_from(1, "--stride", job.stride),
    )
    if config is not job.config and not arguments.quiet:
        print_note("streamed frames are tracked without re-initialisation, which needs a video that can be read again")
    streaming_job = dataclasses.replace(job, video=video, config=config, start=0, stop=None, stride=1)
    with _ended_by_signals(video):
        run_with_progress(streaming_job, video.label, quiet=arguments.quiet)
    return 0


def _without_reinit(config: SegmentConfig, arguments: argparse.Namespace) -> SegmentConfig:
    if not config.reinit.enabled:
        return config
    if is_given(arguments, "reinit.enabled"):
        raise ConfigError("--reinit needs a video that can be read again, and streamed frames cannot; leave it out.")
    return with_settings(config, {"reinit.enabled": False})


def _size_hw(text: str) -> SizeHW:
    found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text)
    if found is None:
        raise VideoError(f"--raw-size is {text!r}; expected width x height in pixels, such as 854x480.")
    return int(found[2]), int(found[1])


def _check_fps(fps: float | None) -> float | None:
    if fps is not None and not 0 < fps <= 1000:
        raise VideoError(f"--fps is {fps:g}; expected a number above 0, up to 1000.")
    return fps


def _from(minimum: int, option: str, value: int) -> int:
    if value < minimum:
        raise VideoError(f"{option} is {value}; expected a whole number from {minimum}.")
    return value


@contextmanager
def _ended_by_signals(video: StreamingVideo) -> Iterator[None]:
    """The first SIGINT or SIGTERM ends the video, so that results are completed with the frames that came."""

    def end(number: int, _: FrameType | None) -> None:
        video.end()
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
