"""Codes in the values that flow between the stages: why a point does not count, what happened to an object."""

from __future__ import annotations

import enum

__all__ = ["HiddenBy", "ObjectState"]


class HiddenBy(enum.IntEnum):
    """Why a point does not count in a frame; ``NONE`` means that it is visible."""

    NONE = 0
    TRACKER = 1
    """The tracker itself calls the point occluded, lost or outside the frame."""
    BORDER = 2
    """The point is within the border margin of the frame."""
    PATCH = 3
    """The patch around the point no longer looks like the one in its prompt frame."""
    AFTER_PATCH = 4
    """The patch filter rejected the point in an earlier frame (a later one, going backward)."""
    NOT_TRACKED = 5
    """The frame lies outside the range over which the point is tracked."""
    SHOT = 6
    """After a cut the point's object has not been found again."""


class ObjectState(enum.IntEnum):
    """What happened to an object in a frame."""

    PRESENT = 0
    NO_VISIBLE_POINT = 1
    """Absent: no positive point of the object is visible."""
    LOW_SCORE = 2
    """Absent: the segmenter's predicted IoU is below the gate."""
    RETIRED = 3
    """Absent: re-initialisation found no mask to go on from."""
    BEFORE_QUERY = 4
    """Absent: the frame lies before the object's prompt frame and the protocol leaves it empty."""
    HIDDEN_BY_OTHERS = 5
    """Segmented, but every pixel went to other objects in the merge."""
    EMPTY = 6
    """Absent: the segmenter ran and set no pixel."""
    GIVEN_ABSENT = 7
    """Absent: a person said that it is not there."""
