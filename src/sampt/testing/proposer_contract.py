"""The contract of a proposer, clause by clause."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sampt.geometry import find_mask_box
from sampt.proposers.base import Proposal, Proposer, ProposerFrame, ProposerInfo
from sampt.segmenters.base import PromptableSegmenter, SegmenterInfo
from sampt.testing.clauses import Clip, demand, maker, run_clauses, watched_random_state
from sampt.types import FloatArray, MaskPrediction, ObjectPrompt, UInt8Array

__all__ = ["PROPOSER_CLAUSES", "ColorSegmenter", "ProposerClause", "ProposerSetting", "check_proposer"]


class ColorSegmenter:
    """Masks of what has about the color of the positive points, or of the box's centre, within the box; on any frame.

    It makes the masks for a proposer that is held against its contract, fast and without weights.
    """

    info = SegmenterInfo("color", "Apache-2.0", None, source="for tests")

    def encode(self, frames: UInt8Array) -> Sequence[Any]:
        """See :meth:`~sampt.segmenters.base.PromptableSegmenter.encode`: the frames themselves."""
        return list(frames)

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        """See :meth:`~sampt.segmenters.base.PromptableSegmenter.decode`."""
        return [self._predict(np.asarray(embedding, np.float32), prompt, full_size) for prompt in prompts]

    def _predict(self, image: FloatArray, prompt: ObjectPrompt, full_size: bool) -> MaskPrediction:
        height, width = image.shape[:2]
        box = prompt.box_xyxy
        xy = (
            prompt.xy[prompt.is_positive]
            if prompt.is_positive.any()
            else np.asarray(box, np.float32).reshape(2, 2).mean(0)[None]
        )
        x, y = (np.clip(xy, 0, [width - 1, height - 1]) + 0.5).astype(int).T
        color = image[y, x].mean(0)
        logits = 40 - np.abs(image - color).max(2)
        if box is not None:
            rows, columns = np.mgrid[:height, :width]
            within = (columns >= box[0]) & (columns <= box[2]) & (rows >= box[1]) & (rows <= box[3])
            logits = np.where(within, logits, -40)
        logits = np.asarray(logits, np.float32)
        mask = logits > 0
        tight = find_mask_box(mask) if np.count_nonzero(mask) > 1 else None
        return MaskPrediction(prompt.object_id, 0.9, logits, tight, logits if full_size else None)


@dataclass(frozen=True)
class ProposerSetting:
    """What a proposer is tried with.

    Attributes:
        segmenter: makes the masks; of any frame, however small.
    """

    segmenter: PromptableSegmenter


ProposerClause = Callable[[Proposer, ProposerSetting], None]
_DEFAULT = ProposerSetting(ColorSegmenter())


def info_is_complete(proposer: Proposer, setting: ProposerSetting = _DEFAULT) -> None:
    """``info`` is a ProposerInfo with a name, the code's licence and a number of later frames."""
    info = proposer.info
    demand(isinstance(info, ProposerInfo), f"info is a {type(info).__name__}; expected a ProposerInfo.")
    named = f"name={info.name!r}, license_code={info.license_code!r}"
    demand(bool(info.name and info.license_code), f"info has {named}; expected both.")
    after = info.frames_after
    demand(isinstance(after, int) and after >= 0, f"info.frames_after is {after!r}; expected a whole number from 0.")


def proposals_keep_their_promise(proposer: Proposer, setting: ProposerSetting = _DEFAULT) -> None:
    """Masks are (h, w) bool, read-only and not empty; scores lie in 0 to 1, best first; labels are words, if it has any."""
    _propose(proposer, _Frames.of_clip(Clip.of("crossing")), 8, setting)


def equal_frames_give_equal_proposals(proposer: Proposer, setting: ProposerSetting = _DEFAULT) -> None:
    """The same frame gives the same proposals again, whatever was proposed on in between."""
    video = _Frames.of_clip(Clip.of("crossing"))
    first = _propose(proposer, video, 5, setting)
    _propose(proposer, video, 11, setting)
    second = _propose(proposer, video, 5, setting)
    same = len(first) == len(second) and all(
        one.score == two.score and one.label == two.label and np.array_equal(one.mask, two.mask)
        for one, two in zip(first, second, strict=True)
    )
    demand(same, "The same frame gave other proposals the second time; expected equal ones.")


def small_and_odd_sizes(proposer: Proposer, setting: ProposerSetting = _DEFAULT) -> None:
    """Frames that are high or wide, have odd sides or a few pixels get proposals of their own size."""
    for size_hw in ((97, 61), (83, 131)):
        _propose(proposer, _Frames.of_clip(Clip.sized(size_hw)), 1, setting)
    noise = np.random.default_rng(0).integers(0, 256, (3, 3, 5, 3), np.uint8)
    _propose(proposer, _Frames(noise), 1, setting)
    _propose(proposer, _Frames(noise[:, :1, :1]), 1, setting)


def plain_frame(proposer: Proposer, setting: ProposerSetting = _DEFAULT) -> None:
    """A frame of one color gives a list like any other, empty or not."""
    _propose(proposer, _Frames(np.full((3, 40, 60, 3), 128, np.uint8)), 1, setting)


def ends_of_the_video(proposer: Proposer, setting: ProposerSetting = _DEFAULT) -> None:
    """The first and the last frame of a video, and the only one, give proposals like any other."""
    clip = Clip.of("crossing")
    for frame_idx in (0, clip.num_frames - 1):
        _propose(proposer, _Frames.of_clip(clip), frame_idx, setting)
    _propose(proposer, _Frames.of_clip(Clip.of("crossing", 4, 5)), 0, setting)


def later_frames_as_announced(proposer: Proposer, setting: ProposerSetting = _DEFAULT) -> None:
    """No frame is read that is later than ``info.frames_after`` says."""
    clip = Clip.of("crossing")
    for frame_idx in (0, 9):
        video = _Frames.of_clip(clip)
        _propose(proposer, video, frame_idx, setting)
        last, allowed = video.last_read, frame_idx + proposer.info.frames_after
        demand(
            last <= allowed, f"Frame {last} was read for proposals on frame {frame_idx}; expected none after frame {allowed}."
        )


def frames_are_left_alone(proposer: Proposer, setting: ProposerSetting = _DEFAULT) -> None:
    """Frames are not written to, and may be read-only."""
    for read_only in (False, True):
        video = _Frames.of_clip(Clip.of("crossing"))
        kept = video.frames.copy()
        video.frames.setflags(write=not read_only)
        _propose(proposer, video, 6, setting)
        demand(np.array_equal(video.frames, kept), "The proposer wrote into a frame; expected it unchanged.")


def global_random_state_is_left_alone(proposer: Proposer, setting: ProposerSetting = _DEFAULT) -> None:
    """Neither numpy's nor Python's global random numbers are drawn from or seeded."""
    with watched_random_state("proposer"):
        _propose(proposer, _Frames.of_clip(Clip.of("crossing")), 6, setting)


PROPOSER_CLAUSES: tuple[tuple[str, ProposerClause], ...] = tuple(
    (clause.__name__, clause)
    for clause in (
        info_is_complete,
        proposals_keep_their_promise,
        equal_frames_give_equal_proposals,
        small_and_odd_sizes,
        plain_frame,
        ends_of_the_video,
        later_frames_as_announced,
        frames_are_left_alone,
        global_random_state_is_left_alone,
    )
)
"""Name and function of every clause; ``function(proposer)`` raises ContractError when the clause is broken."""


def check_proposer(proposer: Proposer | Callable[[], Proposer], *, segmenter: PromptableSegmenter | None = None) -> None:
    """Hold a proposer against every clause of the contract.

    Args:
        proposer: a proposer, or a function that makes a fresh one for each clause.
        segmenter: see :class:`ProposerSetting`; default: :class:`ColorSegmenter`.

    Raises:
        ContractError: with a sentence for every broken clause; or there is none to try, for its factory is broken or a class.
    """
    setting = _DEFAULT if segmenter is None else ProposerSetting(segmenter)
    run_clauses("proposer", PROPOSER_CLAUSES, maker("proposer", proposer, "propose"), setting)


class _Frames:
    """Frames in memory, which know the last one that was read."""

    def __init__(self, frames: UInt8Array) -> None:
        self.frames = frames
        self.last_read = -1

    @classmethod
    def of_clip(cls, clip: Clip) -> _Frames:
        return cls(clip.video.read(0, clip.num_frames).copy())

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.frames.shape[1], self.frames.shape[2]

    def read(self, start: int, stop: int) -> UInt8Array:
        self.last_read = max(self.last_read, stop - 1)
        return self.frames[start:stop]


def _propose(proposer: Proposer, video: _Frames, frame_idx: int, setting: ProposerSetting) -> list[Proposal]:
    """Propose, and demand what all proposals have to be."""
    found = proposer.propose(ProposerFrame(video, frame_idx, setting.segmenter))
    demand(isinstance(found, list), f"propose() returned a {type(found).__name__}; expected a list.")
    for proposal in found:
        _check(proposal, video.size_hw, proposer.info)
    scores = [proposal.score for proposal in found]
    demand(scores == sorted(scores, reverse=True), f"Scores are {scores}; expected the best one first.")
    return found


def _check(proposal: Any, size_hw: tuple[int, int], info: ProposerInfo) -> None:
    demand(isinstance(proposal, Proposal), f"propose() gave a {type(proposal).__name__}; expected a Proposal.")
    mask, score, label = proposal.mask, proposal.score, proposal.label
    demand(
        isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == size_hw,
        f"A mask is {getattr(mask, 'dtype', type(mask).__name__)} {np.shape(mask)}; expected bool {size_hw}, the frame's size.",
    )
    demand(bool(mask.any()), "A mask is empty; expected at least one pixel, or no proposal.")
    demand(not mask.flags.writeable, "A mask can be written to; expected it read-only.")
    is_score = isinstance(score, float) and math.isfinite(score) and 0 <= score <= 1
    demand(is_score, f"A score is {score!r}; expected a number from 0 to 1.")
    is_label = label is None or (isinstance(label, str) and bool(label.strip()) and info.has_labels)
    demand(is_label, f"A label is {label!r} with info.has_labels={info.has_labels}; expected words with True, else None.")
