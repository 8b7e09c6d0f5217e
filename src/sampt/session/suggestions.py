"""Suggestions: what may be objects on a frame that nobody has named, for a person to accept or not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sampt.config import FindConfig
from sampt.errors import BackendError
from sampt.finding.choose import choose_new
from sampt.geometry import SizeHW
from sampt.masks.merge import ObjectMask
from sampt.masks.rle import Rle, decode_mask
from sampt.proposers.base import Proposal, Proposer, ProposerFrame
from sampt.proposers.create import create_proposer
from sampt.segmenters.base import PromptableSegmenter
from sampt.session.edits import MAX_NAME_CHARS, Inputs, add_object
from sampt.session.mask_edits import set_mask
from sampt.session.watched import WatchedSegmenter, WatchedVideo
from sampt.types import BoolArray
from sampt.video.base import Video

__all__ = ["Suggester", "Suggestion", "accept_suggestion"]


@dataclass(frozen=True)
class Suggestion:
    """A mask on a frame that may be of an object nobody has named; nothing in the session before a person accepts it.

    Attributes:
        frame_idx: the frame.
        rle: the mask, at the video's size; at least one pixel set.
        score: how sure the proposer is, from 0 to 1.
        label: what it is, in the proposer's words; None where it does not know.
        color_rgb: of the object that it would become.
    """

    frame_idx: int
    rle: Rle
    score: float
    label: str | None
    color_rgb: tuple[int, int, int]

    @property
    def mask(self) -> BoolArray:
        """(h, w) bool."""
        return decode_mask(self.rle)


def accept_suggestion(inputs: Inputs, suggestion: Suggestion) -> Inputs:
    """With a new object, of which a person has given this mask; its label, if there is one, is the object's name."""
    taken = {item.color_rgb for item in inputs.objects}
    color = None if suggestion.color_rgb in taken else suggestion.color_rgb
    added = add_object(inputs, _name(suggestion.label), color)
    return set_mask(added, inputs.next_object_id, suggestion.frame_idx, suggestion.mask)


def _name(label: str | None) -> str | None:
    """A label as one line that an object can be called; None: the session calls it."""
    if label is None:
        return None
    line = " ".join("".join(c if c.isprintable() else " " for c in label).split())
    return line[:MAX_NAME_CHARS].strip() or None


class Suggester:
    """Looks for objects on single frames, one search at a time.

    Args:
        segmenter: of the session.
        video: at its own size.
        working: the same at the size worked on.
        embedding: of a frame, from the session's cache.
        device: where proposers run that are made by name.
    """

    def __init__(
        self,
        segmenter: PromptableSegmenter,
        video: Video,
        working: Video,
        embedding: Callable[[int], Any],
        device: str,
    ) -> None:
        self._segmenter, self._video, self._working = segmenter, video, working
        self._embedding, self._device = embedding, device
        self._made: dict[str, Proposer] = {}
        self._lock = threading.Lock()

    def find(
        self,
        frame_idx: int,
        proposer: Proposer | str,
        config: FindConfig,
        known: Callable[[], Iterable[BoolArray]],
        check: Callable[[object], None],
    ) -> list[tuple[Proposal, BoolArray]]:
        """New objects on a frame, best first, each with its (h, w) mask at the video's size.

        Args:
            proposer: one, or the name of one.
            known: gives the masks, at the video's size, of the objects that are known when it has proposed.
            check: called before every part of the work; raises :class:`sampt.session.watched.Stopped`.
        """
        with self._lock:
            check(None)
            chosen = self._make(proposer) if isinstance(proposer, str) else proposer
            proposals = chosen.propose(self._make_frame(frame_idx, check))
        check(None)
        own_hw, video_hw = self._working.size_hw, self._video.size_hw
        _check_proposals(proposals, chosen.info.name, own_hw)
        masks = [small for mask in known() if (small := _resize(mask, video_hw, own_hw)).any()]
        found = choose_new(proposals, masks, config, video_hw)
        sized = ((proposal, _resize(proposal.mask, own_hw, video_hw)) for proposal in found)
        return [(proposal, mask) for proposal, mask in sized if mask.any()]

    def _make(self, name: str) -> Proposer:
        if name not in self._made:
            self._made[name] = create_proposer(name, device=self._device)
        return self._made[name]

    def _make_frame(self, frame_idx: int, check: Callable[[object], None]) -> ProposerFrame:
        known = np.array(self._working.read(frame_idx, frame_idx + 1)[0]), lambda: self._embedding(frame_idx)
        return ProposerFrame(
            WatchedVideo(self._working, lambda: check(None)),
            frame_idx,
            WatchedSegmenter(self._segmenter, check, known),
            source_hw=self._video.size_hw,
            source_name=self._video.frame_name(frame_idx) if self._video.has_names else None,
            num_source_frames=self._video.num_frames,
        )


def _resize(mask: BoolArray, from_hw: SizeHW, to_hw: SizeHW) -> BoolArray:
    return mask if from_hw == to_hw else ObjectMask.of_given(1, mask).resized(from_hw, to_hw).mask(to_hw)


def _check_proposals(proposals: Sequence[Proposal], name: str, size_hw: SizeHW) -> None:
    """Refuse masks of another kind than a proposer promises; raises BackendError."""
    for mask in (proposal.mask for proposal in proposals):
        if mask.dtype != np.bool_ or mask.shape != size_hw:
            raise BackendError(
                f"The proposer {name!r} gave a {mask.dtype} mask of shape {mask.shape}; expected bool of shape {size_hw}."
            )
