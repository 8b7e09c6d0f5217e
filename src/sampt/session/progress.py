"""How far a project is, in a small file of its own: a list of many projects reads no results and decodes no video."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from sampt.errors import SamptError
from sampt.files.atomic import write_atomic
from sampt.files.limits import parse_json, read_bounded
from sampt.session.types import Coverage, ObjectTimeline

__all__ = ["PROGRESS_NAME", "Progress", "WorkState", "read_progress", "write_progress"]

PROGRESS_NAME = "progress.json"
_MAX_BYTES = 1 << 16
_LARGEST = 1 << 53

WorkState: TypeAlias = Literal["new", "partly", "complete", "reviewed"]


@dataclass(frozen=True)
class Progress:
    """How far a project is.

    Attributes:
        video: the file's or folder's name.
        num_frames: of the video.
        num_objects: of which something is said.
        num_done: frames on which each of these has a result of the inputs as they are, or a preview of them.
        num_events: runs of frames that need review (:class:`~sampt.session.types.ReviewEvent`), of all objects.
        num_reviewed: those of them that a person has looked at.
    """

    video: str
    num_frames: int
    num_objects: int
    num_done: int
    num_events: int
    num_reviewed: int

    @property
    def state(self) -> WorkState:
        """``new``: nothing is said yet. ``partly``: frames are missing or out of date. ``complete``: none is. ``reviewed``: nor
        is there an event left that nobody has looked at, and there were some."""
        if not self.num_objects:
            return "new"
        if self.num_done < self.num_frames:
            return "partly"
        return "reviewed" if self.num_events and self.num_reviewed >= self.num_events else "complete"

    @classmethod
    def of(cls, video: str, coverage: Coverage, timelines: Mapping[int, ObjectTimeline]) -> Progress:
        """Of a whole session."""
        events = [event for timeline in timelines.values() for event in timeline.events]
        return cls(
            video,
            coverage.num_frames,
            sum(bool(timeline.has_input.any()) for timeline in timelines.values()),
            coverage.num_up_to_date,
            len(events),
            sum(event.is_reviewed for event in events),
        )


def write_progress(project: Path, progress: Progress) -> None:
    """Write it beside ``project.json``; where that fails, the list knows less and nothing else is lost."""
    with contextlib.suppress(SamptError, OSError):
        write_atomic(project / PROGRESS_NAME, json.dumps(dataclasses.asdict(progress)).encode())


def read_progress(project: Path) -> Progress | None:
    """What :func:`write_progress` wrote last; None where there is nothing that can be read."""
    path = project / PROGRESS_NAME
    try:
        if path.is_symlink() or not path.is_file():
            return None
        data = parse_json(read_bounded(path, _MAX_BYTES, f"a file of at most {_MAX_BYTES}").decode())
        progress = Progress(**data)
    except (SamptError, OSError, ValueError, TypeError, RecursionError):
        return None
    numbers = [v for name, v in dataclasses.asdict(progress).items() if name != "video"]
    is_good = isinstance(progress.video, str) and all(type(v) is int and 0 <= v < _LARGEST for v in numbers)
    return progress if is_good else None
