"""Which frames of a job's video are worked on, by start, stop and stride, and without those that are broken."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sampt.errors import QueryError, VideoError
from sampt.pipeline.queries import Queries
from sampt.runs.job import Job
from sampt.video.base import Damage, SubVideo, Video
from sampt.video.damage import check_on_damage, describe_frames, without_damage
from sampt.video.open import open_source

__all__ = ["ChosenFrames", "choose_frames"]


@dataclasses.dataclass(frozen=True)
class ChosenFrames:
    """The frames worked on.

    Attributes:
        video: these alone.
        indices: their numbers in the job's video, ascending.
        is_all: whether the job's video has no others.
        damage: what of the job's video is broken, where that was looked for.
    """

    video: Video
    indices: Sequence[int]
    is_all: bool
    damage: Damage

    def location(self, job: Job) -> Queries:
        """The job's queries with frames counted among these.

        Raises:
            QueryError: one is on another frame.
        """
        if self.is_all:
            return job.queries
        locations = {frame: i for i, frame in enumerate(self.indices)}
        for frame in job.queries.frames:
            if frame not in locations:
                step = f" in steps of {job.stride}" if job.stride > 1 else ""
                if frame in self.damage.unreadable:
                    step += f" without the broken ones ({describe_frames(self.damage.unreadable)})"
                raise QueryError(
                    f"A query is on frame {frame}, which is not among the frames worked on, {self.indices[0]} to "
                    f"{self.indices[-1]}{step}; choose other frames (start, stop, stride) or another prompt frame."
                )
        return job.queries.on_frames(locations)

    def describe(self, job: Job) -> dict[str, Any]:
        """For the manifest: which frames of the video these are and, unless broken ones end the run, which are broken."""
        choice = {"start": job.start, "stop": self.indices[-1] + 1, "stride": job.stride, "count": len(self.indices)}
        if job.options.on_damage == "stop":
            return choice
        broken = {"unreadable": self.damage.unreadable, "doubtful": self.damage.doubtful}
        return {
            **choice,
            "on_damage": job.options.on_damage,
            **{name: [i for i in frames if i in _range(job, i + 1)] for name, frames in broken.items()},
        }


def choose_frames(job: Job) -> ChosenFrames:
    """The frames between start and stop at the stride, the broken ones repeated or left out as the job says.

    Raises:
        ConfigError: the job names no way to treat broken frames.
        VideoError: the video cannot be opened, or has no such frames.
    """
    check_on_damage(job.options.on_damage)
    goes_on = job.options.on_damage != "stop"
    source = open_source(job.video, allow_broken=goes_on, allow_playlists=job.options.allow_playlists)
    indices: Sequence[int] = _check_range(job, source)
    damage = source.find_damage() if goes_on else Damage()
    video = without_damage(source, job.options.on_damage)
    if job.options.on_damage == "skip" and damage.unreadable:
        video, unreadable = source, set(damage.unreadable)
        indices = [i for i in indices if i not in unreadable]
        if not indices:
            raise VideoError(f"All of the chosen frames of {source.label} are broken; choose others.")
    is_all = indices == range(source.num_frames)
    return ChosenFrames(video if is_all else SubVideo(video, indices), indices, is_all, damage)


def _check_range(job: Job, video: Video) -> range:
    indices = _range(job, video.num_frames)
    if job.stride < 1:
        raise VideoError(f"The stride is {job.stride}; expected a whole number from 1.")
    if not 0 <= job.start < video.num_frames:
        raise VideoError(f"The first frame is {job.start}; {video.label} has frames 0 to {video.num_frames - 1}.")
    if not job.start < indices.stop <= video.num_frames:
        raise VideoError(
            f"The range stops before frame {indices.stop}; expected a stop from {job.start + 1} to {video.num_frames}, "
            f"since {video.label} has {video.num_frames} frames and the range starts at {job.start}."
        )
    return indices


def _range(job: Job, num_frames: int) -> range:
    return range(job.start, num_frames if job.stop is None else job.stop, max(job.stride, 1))
