"""Broken frames: how they are listed for people, and videos that go on without them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby
from typing import Literal, get_args

from sampt.errors import ConfigError, VideoError
from sampt.types import UInt8Array
from sampt.video.base import Damage, SubVideo, Video, VideoView, read_frames

__all__ = ["ON_DAMAGE", "OnDamage", "RepeatedVideo", "check_on_damage", "describe_frames", "without_damage"]

_LOG = logging.getLogger(__name__)
_MAX_RANGES = 6

OnDamage = Literal["stop", "repeat", "skip"]
"""What becomes of frames that cannot be had: an error, the frame before instead, or nothing."""
ON_DAMAGE: tuple[str, ...] = get_args(OnDamage)


def check_on_damage(on_damage: str) -> None:
    """Raises ConfigError when it is none of :data:`ON_DAMAGE`."""
    if on_damage not in ON_DAMAGE:
        raise ConfigError(f"Broken frames are to be treated by {on_damage!r}; expected one of: {', '.join(ON_DAMAGE)}.")


def describe_frames(frames: Sequence[int]) -> str:
    """Ascending numbers of frames as people write them: ``3, 121-132``."""
    runs = [[i for _, i in run] for _, run in groupby(enumerate(frames), lambda pair: pair[1] - pair[0])]
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs[:_MAX_RANGES]]
    return ", ".join(texts) + (f" and {len(runs) - _MAX_RANGES} more" if len(runs) > _MAX_RANGES else "")


def without_damage(video: Video, on_damage: str) -> Video:
    """``video`` with its broken frames repeated or left out; itself for "stop", and where nothing is broken.

    Raises:
        ConfigError: ``on_damage`` is none of :data:`ON_DAMAGE`.
        VideoError: no frame can be had.
    """
    check_on_damage(on_damage)
    if on_damage == "stop":
        return video
    damage = video.find_damage()
    _warn(video, damage, on_damage)
    if not damage.unreadable:
        return video
    if on_damage == "repeat":
        return RepeatedVideo(video, damage)
    return SubVideo(video, _readable(video, damage))


def _readable(video: Video, damage: Damage) -> list[int]:
    broken = set(damage.unreadable)
    readable = [i for i in range(video.num_frames) if i not in broken]
    if not readable:
        raise VideoError(f"No frame of {video.label} can be read: the first {damage.reason}. Copy it again.")
    return readable


def _warn(video: Video, damage: Damage, on_damage: str) -> None:
    """One line on what is broken, when something is."""
    texts = []
    if damage.unreadable:
        what = "repeated from the frame before" if on_damage == "repeat" else "left out"
        frames = describe_frames(damage.unreadable)
        texts.append(f"{len(damage.unreadable)} frames cannot be read and are {what}: {frames} (the first {damage.reason})")
    if damage.doubtful:
        frames = describe_frames(damage.doubtful)
        texts.append(f"{len(damage.doubtful)} lack frames that they refer to and may look wrong: {frames}")
    if texts:
        _LOG.warning("%s is damaged: %s.", video.label, "; ".join(texts))


class RepeatedVideo(VideoView):
    """``video`` with the readable frame before instead of each unreadable one, at the start the one after.

    Raises:
        VideoError: all are unreadable.
    """

    def __init__(self, video: Video, damage: Damage) -> None:
        super().__init__(video)
        readable = _readable(video, damage)
        broken, source = set(damage.unreadable), readable[0]
        self._sources: list[int] = []
        for i in range(video.num_frames):
            source = source if i in broken else i
            self._sources.append(source)

    def check_complete(self, stop: int) -> None:
        self.video.check_complete(max(self._sources[:stop]) + 1)

    def check_unchanged(self, frame_idx: int | None = None) -> None:
        self.video.check_unchanged(None if frame_idx is None else self._sources[frame_idx])

    def read(self, start: int, stop: int) -> UInt8Array:
        self._check_range(start, stop)
        return read_frames(self.video, self._sources[start:stop])
