"""Which frames belong to which query frame, what they were made from, and what has to be computed.

A query frame of an object is one with a mask, a box, a positive click, or a click on what was carried there. Every frame
belongs to the nearest query frame, ties to the earlier. A result is good when it was made from what its frame's query frame
says now (:attr:`Query.digest`). So an edit invalidates, of its object alone:

- at a query frame: the frames that belong to it;
- a new query frame: those that now belong to it, up to the middles towards its neighbours;
- a query frame taken away: those that belonged to it, which fall to its neighbours;
- a negative click on a frame that is no query frame, names and colours: nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sampt.session.edits import Inputs
from sampt.session.values import Carried, Click
from sampt.types import IntArray

__all__ = ["Leg", "ObjectPlan", "Query", "legs_of", "plan_of", "ranges_of"]

_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Query:
    """What was said about an object on one of its query frames.

    Attributes:
        frame_idx: the query frame.
        frames: those that belong to it.
        digest: of everything that decides the results on ``frames``.
        clicks: those on the frame.
        box_xyxy: the box there, if any.
        mask_at: position of the given mask in ``Inputs.masks``, if any.
        carried: what the clicks start from; not used where there is a box or a mask.
    """

    object_id: int
    frame_idx: int
    frames: range
    digest: bytes
    clicks: tuple[Click, ...]
    box_xyxy: tuple[float, float, float, float] | None
    mask_at: int | None
    carried: Carried | None


@dataclass(frozen=True)
class ObjectPlan:
    """An object's query frames, ascending; their ``frames`` cover the video, unless there is none."""

    queries: tuple[Query, ...]

    def at(self, frame_idx: int) -> Query | None:
        """The query frame that a frame belongs to."""
        place = bisect_right(self.queries, frame_idx, key=lambda q: q.frames.start) - 1
        return self.queries[place] if place >= 0 else None


@dataclass(frozen=True)
class Leg:
    """Frames to be computed one after another, for objects that have the same ones.

    Attributes:
        queries: of each object, by id.
        start: where the points are taken from: the query frame, or the last frame in its direction that is done.
        last: inclusive; before ``start`` when the leg goes backward.
    """

    queries: dict[int, Query]
    start: int
    last: int

    @property
    def is_backward(self) -> bool:
        return self.last < self.start

    @property
    def frames(self) -> range:
        """From ``start`` to ``last``."""
        step = -1 if self.is_backward else 1
        return range(self.start, self.last + step, step)


def plan_of(inputs: Inputs, object_id: int, settings_digest: str) -> ObjectPlan:
    """The object's query frames under settings that ``settings_digest`` names."""
    parts = _parts(inputs, object_id)
    asking = [f for f in sorted(parts) if _asks(parts[f])]
    queries = []
    for i, frame_idx in enumerate(asking):
        first = 0 if i == 0 else (asking[i - 1] + frame_idx) // 2 + 1
        stop = inputs.num_frames if i == len(asking) - 1 else (frame_idx + asking[i + 1]) // 2 + 1
        part = parts[frame_idx]
        counts = None if part["mask_at"] is None else inputs.masks[part["mask_at"]].rle.counts
        said = (part["clicks"], part["box_xyxy"], counts, part["carried"])
        digest = _digest(settings_digest, object_id, frame_idx, *said)
        queries.append(Query(object_id, frame_idx, range(first, stop), digest, **part))
    return ObjectPlan(tuple(queries))


def _parts(inputs: Inputs, object_id: int) -> dict[int, dict[str, Any]]:
    """What was given for the object, by frame, as fields of :class:`Query`."""
    found: dict[int, dict[str, Any]] = {}

    def at(frame_idx: int) -> dict[str, Any]:
        return found.setdefault(frame_idx, {"clicks": (), "box_xyxy": None, "mask_at": None, "carried": None})

    for click in inputs.clicks:
        if click.object_id == object_id:
            at(click.frame_idx)["clicks"] += (click,)
    for box in inputs.boxes:
        if box.object_id == object_id:
            at(box.frame_idx)["box_xyxy"] = box.box_xyxy
    for i, mask in enumerate(inputs.masks):
        if mask.object_id == object_id:
            at(mask.frame_idx)["mask_at"] = i
    for base in inputs.carried:
        if base.object_id == object_id and (part := at(base.frame_idx))["box_xyxy"] is None and part["mask_at"] is None:
            part["carried"] = base
    return found


def _asks(part: dict[str, Any]) -> bool:
    has_positive = any(c.is_positive for c in part["clicks"])
    return has_positive or any(part[name] is not None for name in ("box_xyxy", "mask_at", "carried"))


@functools.lru_cache(maxsize=4096)
def _digest(
    settings_digest: str,
    object_id: int,
    frame_idx: int,
    clicks: tuple[Click, ...],
    box_xyxy: tuple[float, float, float, float] | None,
    mask_counts: str | None,
    carried: Carried | None,
) -> bytes:
    """Kept, because every edit asks for those of all query frames again."""
    said = {
        "settings": settings_digest,
        "object": object_id,  # the randomness depends on it
        "frame": frame_idx,
        "clicks": [(*c.xy, c.is_positive) for c in clicks],
        "box": box_xyxy,
        "mask": mask_counts,
        "carried": None if carried is None else dataclasses.astuple(carried),
    }
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=_DIGEST_BYTES).digest()


def ranges_of(frames: IntArray | list[int]) -> tuple[range, ...]:
    """Ascending frames as ranges without gaps."""
    found: list[range] = []
    for frame in frames:
        if found and found[-1].stop == frame:
            found[-1] = range(found[-1].start, int(frame) + 1)
        else:
            found.append(range(int(frame), int(frame) + 1))
    return tuple(found)


def legs_of(
    plans: dict[int, ObjectPlan],
    wanted: range,
    is_done: Callable[[Query, int], bool],
    can_start: Callable[[Query, int], bool],
) -> list[Leg]:
    """What has to be computed, in the order of query frames, forward before backward.

    A leg goes from its query frame to the last wanted frame that is not done. Where frames next to the query frame are done,
    it starts from the last of these that can be started from. Frames on the way are computed though they were not wanted.

    Args:
        plans: by object.
        wanted: frames.
        is_done: whether the result of a frame is good.
        can_start: whether a good result has the points to go on from.
    """
    found: dict[tuple[int, bool, int, int], dict[int, Query]] = {}
    for object_id, plan in plans.items():
        for query in plan.queries:
            for way in (range(query.frame_idx, query.frames.stop), range(query.frame_idx, query.frames.start - 1, -1)):
                span = _span(query, way, wanted, is_done, can_start)
                if span is not None:
                    found.setdefault((query.frame_idx, way.step < 0, *span), {})[object_id] = query
    return [Leg(queries, *key[2:]) for key, queries in sorted(found.items(), key=lambda item: item[0])]


def _span(
    query: Query,
    way: Iterable[int],
    wanted: range,
    is_done: Callable[[Query, int], bool],
    can_start: Callable[[Query, int], bool],
) -> tuple[int, int] | None:
    """First and last frame of a leg along ``way``, or None when all that is wanted there is done."""
    start, last, is_whole = query.frame_idx, None, True
    for frame_idx in way:
        done = is_done(query, frame_idx)
        if frame_idx in wanted and not done:
            last = frame_idx
        is_whole &= done
        if is_whole and frame_idx != query.frame_idx and can_start(query, frame_idx):
            start = frame_idx
    if last is None or (last == query.frame_idx and isinstance(way, range) and way.step < 0):
        return None
    return start, last
