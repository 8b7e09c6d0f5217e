"""Interactive sessions: click objects in a video, correct any frame, keep everything in a project folder."""

from __future__ import annotations

from sampt.session.session import Session
from sampt.session.suggestions import Suggestion
from sampt.session.types import (
    BoxInput,
    Click,
    FrameStatus,
    FrameUpdate,
    MaskInput,
    NeedsReview,
    ObjectResult,
    ObjectTimeline,
    PropagationWatch,
    ReviewEvent,
    SessionBusyError,
    SessionObject,
)

__all__ = [
    "BoxInput",
    "Click",
    "FrameStatus",
    "FrameUpdate",
    "MaskInput",
    "NeedsReview",
    "ObjectResult",
    "ObjectTimeline",
    "PropagationWatch",
    "ReviewEvent",
    "Session",
    "SessionBusyError",
    "SessionObject",
    "Suggestion",
]
