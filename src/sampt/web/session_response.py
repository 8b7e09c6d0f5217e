"""All of an open session as the model that is sent."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

from sampt.session import types
from sampt.web.open_session import OpenSession
from sampt.web.opening import working_side
from sampt.web.responses import object_model, point_model
from sampt.web.schemas.session import AbsentRange, Box, ClicksAlone, GivenMask, SessionResponse, VideoInfo

__all__ = ["session_response"]


def session_response(held: OpenSession) -> SessionResponse:
    """All of a session but its masks."""
    session, task = held.session, held.propagation
    return SessionResponse(
        revision=session.revision,
        video=_video_model(held),
        project=held.project,
        tracker=session.tracker_name,
        segmenter=session.segmenter_name,
        can_undo=session.can_undo,
        can_redo=session.can_redo,
        objects=[object_model(o) for o in session.objects],
        points=[point_model(c) for c in session.clicks()],
        boxes=[_box_model(b) for b in session.boxes()],
        masks=[_mask_model(m) for m in session.given_masks()],
        absent=[
            AbsentRange(object_id=o, frame=own.start, stop=own.stop) for o, found in session.absent().items() for own in found
        ],
        clicks_alone=[ClicksAlone(object_id=o, frame=f) for o, f in session.clicks_alone()],
        stale=_range_models(session.stale()),
        reviewed=_range_models(session.reviewed()),
        propagation=None if task is None else task.to_response(),
    )


def _range_models(ranges: Mapping[int, Sequence[range]]) -> dict[str, list[tuple[int, int]]]:
    """[start, stop) by object."""
    return {str(o): [(r.start, r.stop) for r in own] for o, own in ranges.items()}


def _video_model(held: OpenSession) -> VideoInfo:
    session = held.session
    height, width = session.size_hw
    return VideoInfo(
        name=held.name,
        num_frames=session.num_frames,
        width=width,
        height=height,
        fps=session.video.fps,
        times_s=held.times_s,
        key=held.key,
        longest_side=working_side(session.config, session.size_hw),
    )


def _mask_model(mask: types.MaskInput) -> GivenMask:
    key = zlib.crc32(mask.rle.counts.encode())
    return GivenMask(object_id=mask.object_id, frame=mask.frame_idx, is_edited=mask.is_edited, key=key)


def _box_model(box: types.BoxInput) -> Box:
    x0, y0, x1, y1 = box.box_xyxy
    return Box(object_id=box.object_id, frame=box.frame_idx, x0=x0, y0=y0, x1=x1, y1=y1)
