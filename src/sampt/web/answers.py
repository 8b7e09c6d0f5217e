"""Sessions as the interface tells them: plain values that become JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sampt.session.values import BoxInput, Click, FrameUpdate, MaskInput, ObjectResult, ObjectStrip, SessionObject
from sampt.types import FramePoints

if TYPE_CHECKING:
    from sampt.web.open_session import OpenSession

__all__ = ["masks_of", "object_of", "point_of", "state_of", "strips_text", "update_of"]


def state_of(held: OpenSession) -> dict[str, Any]:
    """As :class:`sampt.web.models.State`."""
    session = held.session
    height, width = session.size_hw
    task = held.propagation
    return {
        "revision": session.revision,
        "video": {
            "name": held.name,
            "num_frames": session.num_frames,
            "width": width,
            "height": height,
            "fps": session.video.fps,
            "times_s": held.times_s,
            "key": held.key,
        },
        "project": held.project,
        "tracker": session.tracker_name,
        "segmenter": session.segmenter_name,
        "can_undo": session.can_undo,
        "can_redo": session.can_redo,
        "objects": [object_of(o) for o in session.objects],
        "points": [point_of(c) for c in session.clicks()],
        "boxes": [_box(b) for b in session.boxes()],
        "masks": [_mask(m) for m in session.given_masks()],
        "stale": {str(o): [(r.start, r.stop) for r in ranges] for o, ranges in session.stale().items()},
        "propagation": None if task is None else task.told(),
    }


def object_of(item: SessionObject) -> dict[str, Any]:
    """As :class:`sampt.web.models.Object`."""
    color = "#{:02x}{:02x}{:02x}".format(*item.color_rgb)
    flags = {"is_hidden": item.is_hidden, "is_locked": item.is_locked}
    return {"object_id": item.object_id, "name": item.name, "color": color, **flags}


def point_of(click: Click) -> dict[str, Any]:
    """As :class:`sampt.web.models.Point`."""
    place = {"object_id": click.object_id, "frame": click.frame_idx, "x": click.xy[0], "y": click.xy[1]}
    return {"point_id": click.point_id, **place, "is_positive": click.is_positive}


def _box(box: BoxInput) -> dict[str, Any]:
    x0, y0, x1, y1 = box.box_xyxy
    return {"object_id": box.object_id, "frame": box.frame_idx, "x0": x0, "y0": y0, "x1": x1, "y1": y1}


def _mask(mask: MaskInput) -> dict[str, Any]:
    return {"object_id": mask.object_id, "frame": mask.frame_idx}


def masks_of(frame_idx: int, revision: int, results: Mapping[int, ObjectResult], points: FramePoints) -> dict[str, Any]:
    """As :class:`sampt.web.models.FrameMasksAnswer`."""
    told = [_result(results[object_id]) for object_id in sorted(results)]
    return {"frame": frame_idx, "revision": revision, "objects": told, "points": _points(points)}


def update_of(update: FrameUpdate) -> dict[str, Any]:
    """A propagated frame for the event stream."""
    return {"frame": update.frame_idx, "objects": [_result(update.results[o]) for o in sorted(update.results)]}


def _result(result: ObjectResult) -> dict[str, Any]:
    rle = None if result.rle is None else {"size": list(result.rle.size_hw), "counts": result.rle.counts}
    score = None if result.score is None or not np.isfinite(result.score) else round(float(result.score), 4)
    return {
        "object_id": result.object_id,
        "state": result.state.name.lower(),
        "score": score,
        "rle": rle,
        "num_visible_points": result.num_visible_points,
        "is_stale": result.is_stale,
    }


def _points(points: FramePoints) -> list[dict[str, Any]]:
    rows = zip(
        points.point_id.tolist(),
        points.object_id.tolist(),
        np.round(points.xy.astype(np.float64), 2).tolist(),
        points.is_positive.tolist(),
        points.visible.tolist(),
        strict=True,
    )
    names = ("point_id", "object_id", "x", "y", "is_positive", "visible")
    return [dict(zip(names, (p, o, x, y, s, v), strict=True)) for p, o, (x, y), s, v in rows]


def strips_text(revision: int, strips: Mapping[int, ObjectStrip]) -> bytes:
    """As :class:`sampt.web.models.Strips`, as JSON. Of all objects and frames at once there is nothing but this text."""
    objects = ",".join(json.dumps(_strip(o, strips[o]), separators=(",", ":")) for o in sorted(strips))
    return f'{{"revision":{revision},"objects":[{objects}]}}'.encode("ascii")


def _strip(object_id: int, strip: ObjectStrip) -> dict[str, Any]:
    percent = np.clip(np.nan_to_num(strip.score) * 100, 0, 100).round().astype(int).tolist()
    return {
        "object_id": object_id,
        "state": _runs(strip.state.tolist()),
        "score": [None if gone else value for gone, value in zip(np.isnan(strip.score).tolist(), percent, strict=True)],
        "area": strip.area_px.tolist(),
        "points": strip.num_visible_points.tolist(),
        "flags": _runs(strip.flags.tolist()),
        "inputs": np.flatnonzero(strip.has_input).tolist(),
    }


def _runs(values: Iterable[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1] = (value, runs[-1][1] + 1)
        else:
            runs.append((value, 1))
    return runs
