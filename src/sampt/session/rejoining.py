"""How far a correction reaches: from the corrected frame outward until its masks are those that were seen there before."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from sampt.masks.rle import decode_mask
from sampt.session.plan import Span
from sampt.session.state import SessionState
from sampt.session.types import Record
from sampt.types import BoolArray

__all__ = ["Rejoining", "measure_difference"]

# Chosen on the held-out sequences of davis2016_train_480 (docs/benchmarks.md, "Corrections in a session").
_REJOINED = 0.4
"""Two masks are the same for a correction when they differ by no more than this fraction of what it changed."""


class Rejoining:
    """What a correction replaces on the frames of one span, where results were seen before.

    A mistake begins somewhere between the frame that is corrected and a keyframe. Beyond, what was propagated from that
    keyframe is good, and what comes from the corrected frame is no better: another pose, and a way as long. So the results that
    were seen are kept from the first frame on at which both directions say the same. Before it they contradict each other, and
    the surer one counts: what was seen only where it is surer than it was on the frame that the person found wrong, too.

    Args:
        state: of the session.
        span: the frames, from the corrected one.

    Attributes:
        object_ids: those that are back at what was seen; nothing more is computed of them.
    """

    def __init__(self, state: SessionState, span: Span) -> None:
        self.object_ids: set[int] = set()
        self._state, self._span = state, span
        self._changes: dict[int, float | None] = {}

    def choose(self, record: Record, seen: Record) -> Record:
        """The result of the correction on a frame: the one just made, or the one that was seen there."""
        carried = self._span.prompt_frames[record.object_id].carried
        if carried is None or None in (carried.score, record.score, seen.score):
            return record
        assert carried.score is not None
        assert record.score is not None
        assert seen.score is not None
        is_surer = seen.score > max(record.score, carried.score)
        return dataclasses.replace(seen, digest=record.digest) if is_surer else record

    def begins(self, record: Record, seen: Record) -> bool:
        """Whether a result just made says the same as the one that was seen there."""
        object_id = record.object_id
        if object_id not in self._changes:
            self._changes[object_id] = self._measure_change(object_id)
        change = self._changes[object_id]
        return change is not None and measure_difference(record.mask(), seen.mask()) <= _REJOINED * change

    def keep_rest(self, object_id: int, frame_idx: int) -> Iterator[Record]:
        """Make what was seen on the frames after ``frame_idx`` results of the correction, as far as there is something."""
        self.object_ids.add(object_id)
        prompt_frame, frames = self._span.prompt_frames[object_id], self._span.frames
        for later in frames[frames.index(frame_idx) + 1 :]:
            if self._state.is_done(prompt_frame, later):
                continue
            seen = self._state.seen_from_elsewhere(prompt_frame, later)
            if seen is None:
                return
            kept = dataclasses.replace(seen, digest=prompt_frame.digest)
            if not self._state.write(kept, prompt_frame):
                return
            yield kept

    def _measure_change(self, object_id: int) -> float | None:
        """How much the corrected frame's mask differs from what was shown before; None where that is not known."""
        prompt_frame = self._span.prompt_frames[object_id]
        carried, entry = prompt_frame.carried, self._state.store.find(object_id, prompt_frame.frame_idx, prompt_frame.digest)
        if carried is None or carried.rle is None or entry is None:
            return None
        return measure_difference(self._state.store.read(entry).mask(), decode_mask(carried.rle))


def measure_difference(one: BoolArray, other: BoolArray) -> float:
    """1 - IoU of two (h, w) masks; 0 when both are empty."""
    either = np.count_nonzero(one | other)
    return 1 - np.count_nonzero(one & other) / either if either else 0.0
