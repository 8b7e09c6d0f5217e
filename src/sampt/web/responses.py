"""From a session's values to the models that are sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from sampt.masks.rle import Rle
from sampt.session import suggestions, types
from sampt.types import FloatArray, FramePoints
from sampt.web.schemas.base import RleMask
from sampt.web.schemas.session import (
    FrameMasksResponse,
    ObjectMask,
    ObjectTimeline,
    Point,
    ReviewEvent,
    SessionObject,
    TrackedPoint,
)
from sampt.web.schemas.stream import FrameEvent
from sampt.web.schemas.suggestions import Suggestion

__all__ = ["frame_event", "masks_response", "object_model", "point_model", "suggestion_model", "timelines_text"]


def object_model(item: types.SessionObject) -> SessionObject:
    """An object of a session."""
    return SessionObject(
        object_id=item.object_id,
        name=item.name,
        color=_color_text(item.color_rgb),
        is_hidden=item.is_hidden,
        is_locked=item.is_locked,
    )


def suggestion_model(number: int, item: suggestions.Suggestion) -> Suggestion:
    """A suggestion with its id."""
    rle = RleMask(size=item.rle.size_hw, counts=item.rle.counts)
    score, color = round(float(item.score), 4), _color_text(item.color_rgb)
    return Suggestion(suggestion_id=number, score=score, label=item.label, color=color, rle=rle)


def _color_text(color_rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color_rgb)


def point_model(click: types.Click) -> Point:
    """A click of a session."""
    x, y = click.xy
    return Point(
        point_id=click.point_id,
        object_id=click.object_id,
        frame=click.frame_idx,
        x=x,
        y=y,
        is_positive=click.is_positive,
        is_whole=click.is_whole,
    )


def masks_response(
    frame_idx: int, revision: int, results: Mapping[int, types.ObjectResult], points: FramePoints
) -> FrameMasksResponse:
    """All objects and points on a frame."""
    objects = [_mask_model(results[object_id]) for object_id in sorted(results)]
    return FrameMasksResponse(frame=frame_idx, revision=revision, objects=objects, points=_tracked_models(points))


def frame_event(update: types.FrameUpdate, *, is_provisional: bool) -> FrameEvent:
    """A propagated frame for the event stream."""
    objects = [_mask_model(update.results[o]) for o in sorted(update.results)]
    return FrameEvent(frame=update.frame_idx, objects=objects, is_provisional=is_provisional)


def _mask_model(result: types.ObjectResult) -> ObjectMask:
    return ObjectMask(
        object_id=result.object_id,
        state=result.state.name.lower(),
        score=None if result.score is None or not np.isfinite(result.score) else round(float(result.score), 4),
        good_probability=None if result.good_probability is None else round(result.good_probability, 4),
        rle=_rle_model(result.rle),
        num_visible_points=result.num_visible_points,
        is_stale=result.is_stale,
        whole_rle=_rle_model(result.whole_rle),
    )


def _rle_model(rle: Rle | None) -> RleMask | None:
    return None if rle is None else RleMask(size=rle.size_hw, counts=rle.counts)


def _tracked_models(points: FramePoints) -> list[TrackedPoint]:
    rows = zip(
        points.point_id.tolist(),
        points.object_id.tolist(),
        np.round(points.xy.astype(np.float64), 2).tolist(),
        points.is_positive.tolist(),
        points.visible.tolist(),
        strict=True,
    )
    return [
        TrackedPoint(point_id=p, object_id=o, x=x, y=y, is_positive=is_positive, visible=visible)
        for p, o, (x, y), is_positive, visible in rows
    ]


def timelines_text(revision: int, timelines: Mapping[int, types.ObjectTimeline]) -> bytes:
    """A :class:`sampt.web.schemas.session.TimelinesResponse` as JSON.

    Of all objects and frames at once there is nothing but this text.
    """
    objects = ",".join(_timeline_model(o, timelines[o]).model_dump_json() for o in sorted(timelines))
    return f'{{"revision":{revision},"objects":[{objects}]}}'.encode("ascii")


def _timeline_model(object_id: int, timeline: types.ObjectTimeline) -> ObjectTimeline:
    return ObjectTimeline(
        object_id=object_id,
        state=_runs(timeline.state.tolist()),
        score=_percent(timeline.score),
        good=_percent(timeline.good_probability),
        area=timeline.area_px.tolist(),
        points=timeline.num_visible_points.tolist(),
        flags=_runs(timeline.flags.tolist()),
        inputs=np.flatnonzero(timeline.has_input).tolist(),
        events=[_event_model(event) for event in timeline.events],
    )


def _event_model(event: types.ReviewEvent) -> ReviewEvent:
    return ReviewEvent(
        start=event.start,
        stop=event.stop,
        frame=event.frame_idx,
        reasons=int(event.reasons),
        is_reviewed=event.is_reviewed,
    )


def _percent(values: FloatArray) -> list[int | None]:
    percent = np.clip(np.nan_to_num(values) * 100, 0, 100).round().astype(int).tolist()
    return [None if gone else value for gone, value in zip(np.isnan(values).tolist(), percent, strict=True)]


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for value in numbers:
        if runs and runs[-1][0] == value:
            runs[-1] = (value, runs[-1][1] + 1)
        else:
            runs.append((value, 1))
    return runs
