"""Objects that nobody named, through a video: each once, named on the frame that shows it best.

Every so many frames, and after cuts, a proposer is heard. Between these frames points are tracked, and on them every object
that was found is segmented from its points, so that proposals about it are recognised: by its mask there, or, where it was lost
for a while, by what the object memory knows of its appearance. What is left are new objects. In the end each object has one
frame on which proposal and propagated mask agree best. The mask there names it to the pipeline, as if a person had given it,
and is propagated in both directions. docs/algorithm.md, "Objects that nobody named".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sampt.checks import shape_repr
from sampt.config import FindConfig, SegmentConfig, default_config
from sampt.finding.choose import distinct, is_about, overlap_fractions, suitable
from sampt.masks.merge import ObjectMask
from sampt.memory import is_known
from sampt.pipeline.backends import make_segmenter, make_tracker
from sampt.pipeline.preparation import PreparedQueries, prepare_queries, working_video
from sampt.pipeline.propagation import Engine, ObjectPrediction
from sampt.pipeline.queries import Queries
from sampt.pipeline.randomness import RngPurpose, rng_for
from sampt.pipeline.recognition import Recognition
from sampt.points.sample import sample_object_points
from sampt.proposers.base import Proposal, Proposer, ProposerFrame
from sampt.proposers.create import create_proposer
from sampt.segmenters.base import PromptableSegmenter
from sampt.trackers.base import PointTracker
from sampt.tracks.feed import track_whole
from sampt.tracks.shots import ShotView
from sampt.types import BoolArray, FloatArray, FramePoints, ObjectState, Points, QueryMask
from sampt.video.base import CachedVideo, SubVideo, Video
from sampt.video.open import open_video

__all__ = ["Finder", "FoundObject", "FoundObjects", "find_objects", "is_doubtful"]

_SURE = 0.5
"""Probability that a proposal shows an object that was lost, from which it is that object."""

_FIRST = 0.8
"""What a proposal counts, for choosing where an object is named, on whose frame nothing was propagated to agree with."""

_OFTEN = 0.34
"""Fraction of the frames on which an object is there and on which it has to be proposed, too."""

_AGREES = 0.5
"""IoU from which a proposal supports the object that it is about."""


@dataclass(frozen=True, eq=False)
class FoundObject:
    """An object that was found.

    Attributes:
        object_id: its id; better objects have smaller ones.
        frame_idx: the frame that shows it best.
        mask: (h, w) bool there, at the video's own size, at least one pixel set.
        score: of its proposals together, from 0 to 1.
        label: what the proposer calls it, or None.
        frames: on which it was proposed.
    """

    object_id: int
    frame_idx: int
    mask: BoolArray
    score: float
    label: str | None
    frames: tuple[int, ...]

    __repr__ = shape_repr


@dataclass(frozen=True)
class FoundObjects:
    """What was found in a video.

    Attributes:
        objects: best first.
        searched: the frames on which the proposer was heard.
        num_left_out: objects beyond the most that were wanted.
    """

    objects: tuple[FoundObject, ...]
    searched: tuple[int, ...]
    num_left_out: int = 0

    @property
    def queries(self) -> Queries:
        """What names the objects to the pipeline."""
        return Queries.of([QueryMask(o.object_id, o.frame_idx, o.mask) for o in self.objects])

    @property
    def labels(self) -> dict[int, str]:
        """What objects are called, of those that the proposer has a word for."""
        return {o.object_id: o.label for o in self.objects if o.label is not None}


def _nothing(done: int, total: int) -> None:
    pass


def find_objects(
    video: Any,
    *,
    find: FindConfig | None = None,
    config: SegmentConfig | None = None,
    proposer: Proposer | None = None,
    tracker: PointTracker | str | None = None,
    segmenter: PromptableSegmenter | str | None = None,
    device: str = "auto",
    known: Queries | None = None,
    on_frame: Callable[[int, int], None] = _nothing,
) -> FoundObjects:
    """Find the objects of a video that nobody named; ``queries`` of the result is what :func:`sampt.segment_video` takes.

    Args:
        video: a Video, or what :func:`sampt.open_video` takes.
        find: where to search, and what counts.
        config, tracker, segmenter: as for :func:`sampt.segment_video`, which is to segment them.
        proposer: what proposes objects; that of ``find`` when left out.
        device: where backends given by name run.
        known: objects that are named already; they are not found again.
        on_frame: called with (frames done, frames in all).

    Returns:
        Their ids go on after those that are known.

    Raises:
        SamptError: the queries do not fit the video, a frame cannot be read, or a backend fails.
    """
    source, chosen, wanted = open_video(video), config or default_config(), find or FindConfig()
    if proposer is None:
        proposer = create_proposer(wanted.proposer, weights=wanted.proposer_weights, device=device)
    if tracker is None or isinstance(tracker, str):
        tracker = make_tracker(chosen, device, tracker)
    if segmenter is None or isinstance(segmenter, str):
        segmenter = make_segmenter(chosen, device, segmenter)
    working = working_video(source, chosen.longest_side)
    nobody = PreparedQueries(Points.concat([]), {})
    prepared = prepare_queries(source, working, known, chosen, segmenter) if known and known.object_ids else nobody
    return Finder(Engine(tracker, segmenter, chosen), source, working, wanted, proposer, prepared).run(on_frame)


@dataclass
class _Candidate:
    """Where an object might be named."""

    frame_idx: int
    mask: BoolArray
    quality: float


@dataclass
class _Object:
    """An object while the video is gone through.

    Attributes:
        object_id: of it, in the order in which objects were met.
        born: the frame on which it was met first.
        is_named: whether the user named it.
        points: on the last frame that was looked at; none while it is lost.
        best: where it might be named.
        scores: of the proposals about it, by frame.
        chances: frames on which it was there and could have been proposed.
    """

    object_id: int
    born: int
    is_named: bool = False
    points: Points | None = None
    best: _Candidate | None = None
    scores: dict[int, float] = field(default_factory=dict)
    labels: dict[str, float] = field(default_factory=dict)
    chances: int = 0


class Finder:
    """What is known of the objects of a video while it is gone through once.

    Args:
        engine: backends and settings.
        source: the video at its own size.
        working: the same at the size that is worked at; frames are read near the one that is gone to.
        find: where to search, and what counts.
        proposer: what proposes objects.
        known: what the user named.
    """

    def __init__(
        self,
        engine: Engine,
        source: Video,
        working: Video,
        find: FindConfig,
        proposer: Proposer,
        known: PreparedQueries,
    ) -> None:
        self._engine, self._find, self._proposer = engine, find, proposer
        self._source_hw = source.size_hw
        ends = () if source.is_streaming else (source.source_frame(0), source.source_frame(source.num_frames - 1))
        self._num_source_frames = max(ends) + 1 if ends else None
        step = engine.config.reinit.tracker_horizon
        self._step = min(step, find.every) if find.every else step
        self._video = ShotView(CachedVideo(working, self._step + 1))
        self._tracking = dataclasses.replace(engine.config.tracking, shot_cuts=False)
        self._recognition: Recognition | None = None
        if engine.config.prompting.object_memory:
            uses_prior = engine.segmenter.info.uses_prior
            self._recognition = Recognition(self._video, engine.config, uses_prior=uses_prior, check=engine.check)
        self._known = known.points
        self._first_id = self._next_id = max(known.object_ids, default=0) + 1
        self._max_id: int | None = None
        self._objects: dict[int, _Object] = {}
        self._searched: list[int] = []

    # ---- through the video -------------------------------------------------------------------------------------------------

    def run(self, on_frame: Callable[[int, int], None]) -> FoundObjects:
        total = self._video.num_frames if self._find.every else 1
        frame_idx, previous, due = 0, None, 0
        while frame_idx < total:
            on_frame(frame_idx, total)
            self._engine.check()
            is_cut = previous is not None and self._video.shot_end(previous, frame_idx + 1) == frame_idx
            rows = None if previous is None or is_cut else self._track(previous, frame_idx)
            is_due = frame_idx >= due or is_cut
            self._visit(frame_idx, rows, is_due=is_due)
            if is_due:
                due = frame_idx + (self._find.every or total)
            previous = frame_idx
            frame_idx = self._next(frame_idx, due)
        on_frame(total, total)
        return self._chosen()

    def _next(self, frame_idx: int, due: int) -> int:
        """The frame to go on with: after a step, on which to look, on which the user named something, or after a cut."""
        later = [int(f) for f in np.unique(self._known.frame_idx) if f > frame_idx]
        stop = min([frame_idx + self._step, due, *later, self._video.num_frames])
        return self._video.shot_end(frame_idx, stop)

    def _track(self, start: int, stop: int) -> FramePoints:
        """The objects' points on the frame ``stop``, from where they are on ``start``."""
        points = Points.concat([o.points for o in self._objects.values() if o.points is not None])
        if not len(points):
            return FramePoints.of(points)
        window = SubVideo(self._video, range(start, stop + 1))
        shifted = points.shifted(-start)
        masks = self._engine.query_masks(window, shifted)
        return track_whole(window, shifted, self._engine.tracker, self._tracking, masks).at(stop - start)

    # ---- one frame ---------------------------------------------------------------------------------------------------------

    def _visit(self, frame_idx: int, row: FramePoints | None, *, is_due: bool) -> dict[int, ObjectMask]:
        """Go to a frame: which objects are there, which are new, and points to go on with.

        Args:
            frame_idx: of the frame.
            row: the objects' points there; None where nothing leads there.
            is_due: whether the proposer is heard.

        Returns:
            The masks of the objects that are there.
        """
        view = self._view(frame_idx)
        priors = self._priors(frame_idx)
        shown = self._propagated(view, row, priors)
        named = self._named_on(view)
        for object_id, mask in named.items():  # what was found before may be what the user names here
            for other, there in list(shown.items()):
                if not self._objects[other].is_named and is_about(mask.mask(view.size_hw), there.mask(view.size_hw)):
                    del self._objects[other], shown[other]
            shown[object_id] = mask
        found = {o: m.mask(view.size_hw) for o, m in shown.items()}
        self._drop_doubles(found)
        if is_due:
            self._searched.append(frame_idx)
            proposals = distinct(suitable(self._proposer.propose(view), self._find, self._source_hw))
            for object_id, proposal in self._take(frame_idx, proposals, found, priors).items():
                whole = dataclasses.replace(ObjectMask.of_given(object_id, proposal.mask), score=proposal.score, is_given=False)
                shown[object_id] = whole
        self._renew(frame_idx, view, found)
        return {o: shown[o] for o in found}

    def _view(self, frame_idx: int) -> ProposerFrame:
        return ProposerFrame(
            self._video,
            frame_idx,
            self._engine.segmenter,
            source_hw=self._source_hw,
            source_idx=self._video.source_frame(frame_idx),
            source_name=self._video.frame_name(frame_idx) if self._video.has_names else None,
            num_source_frames=self._num_source_frames,
        )

    def _priors(self, frame_idx: int) -> dict[int, FloatArray]:
        """Where the objects may be by the object memory, where it is on."""
        return {} if self._recognition is None else self._recognition.priors(frame_idx, list(self._objects))

    def _propagated(self, view: ProposerFrame, row: FramePoints | None, priors: dict[int, FloatArray]) -> dict[int, ObjectMask]:
        """The masks of the objects whose points lead here."""
        if row is None or not len(row):
            return {}
        ids = sorted({int(o) for o in row.object_id})
        prompts = self._engine.prompts(view.frame_idx, row, ids)
        if self._recognition is not None:
            prompts = self._recognition.with_priors(prompts, priors)
        if not prompts:
            return {}
        found: dict[int, ObjectMask] = {}
        for prediction in self._engine.predict(view.embedding, prompts, view.size_hw):
            judged = prediction
            if self._recognition is not None:
                judged = self._recognition.judge(view.frame_idx, prediction, priors)
            if judged.mask.state is ObjectState.PRESENT:
                found[judged.mask.object_id] = judged.mask
        return found

    def _named_on(self, view: ProposerFrame) -> dict[int, ObjectMask]:
        """The user's objects whose points lie on this frame, by their masks."""
        own = self._known.select(self._known.frame_idx == view.frame_idx)
        if not len(own):
            return {}
        for object_id in own.object_ids:
            if object_id not in self._objects:
                self._objects[object_id] = _Object(object_id, view.frame_idx, is_named=True)
        prompts = self._engine.prompts(view.frame_idx, FramePoints.of(own), own.object_ids)
        found = self._engine.predict(view.embedding, prompts, view.size_hw) if prompts else []
        return {p.mask.object_id: p.mask for p in found if p.mask.state is ObjectState.PRESENT}

    def _drop_doubles(self, found: dict[int, BoolArray]) -> None:
        """Of two objects that have come to be the same one the later goes, never one that the user named."""
        for object_id in sorted(found, reverse=True):
            if self._objects[object_id].is_named:
                continue
            earlier = [o for o in found if o < object_id or self._objects[o].is_named]
            if any(is_about(found[object_id], found[o]) for o in earlier):
                del self._objects[object_id], found[object_id]

    def _take(
        self, frame_idx: int, proposals: Sequence[Proposal], found: dict[int, BoolArray], priors: dict[int, FloatArray]
    ) -> dict[int, Proposal]:
        """Give proposals to the objects that they are about; the others are new objects, or ones that were lost.

        ``found`` gets the masks of these, too; they are returned by their ids.
        """
        added: dict[int, Proposal] = {}
        for object_id in found:
            self._objects[object_id].chances += 1
        for proposal in proposals:
            about = [o for o, mask in found.items() if is_about(proposal.mask, mask)]
            if about:
                self._support(frame_idx, proposal, {o: found[o] for o in about})
                continue
            lost = self._recognised(frame_idx, proposal, [o for o in self._objects if o not in found], priors)
            if lost is None:
                if self._max_id is not None and self._next_id > self._max_id:
                    continue
                lost = self._next_id
                self._next_id += 1
                self._objects[lost] = _Object(lost, frame_idx)
            found[lost], added[lost] = proposal.mask, proposal
            self._note(self._objects[lost], frame_idx, proposal, _FIRST)
            self._objects[lost].chances += 1
        return added

    def _support(self, frame_idx: int, proposal: Proposal, about: dict[int, BoolArray]) -> None:
        """A proposal for an object that is propagated here: they agree, or the proposal is a part, or several things."""
        best, iou = max(((o, overlap_fractions(proposal.mask, m)[0]) for o, m in about.items()), key=lambda pair: pair[1])
        if iou >= _AGREES:
            self._note(self._objects[best], frame_idx, proposal, iou)

    def _note(self, item: _Object, frame_idx: int, proposal: Proposal, agreement: float) -> None:
        """A proposal is about an object; it may be named there."""
        if frame_idx in item.scores:
            return  # a better one was first
        item.scores[frame_idx] = proposal.score
        if proposal.label is not None:
            item.labels[proposal.label] = item.labels.get(proposal.label, 0.0) + proposal.score
        quality = proposal.score * agreement
        if item.best is None or quality > item.best.quality:
            item.best = _Candidate(frame_idx, proposal.mask, quality)

    def _recognised(self, frame_idx: int, proposal: Proposal, lost: Sequence[int], priors: dict[int, FloatArray]) -> int | None:
        """The object that was lost and that a proposal shows by its appearance."""
        if self._recognition is None:
            return None
        best: tuple[float, int] | None = None
        for object_id in lost:
            if object_id not in priors or not is_known(priors[object_id], proposal.mask):
                continue
            shown = dataclasses.replace(ObjectMask.of_given(object_id, proposal.mask), score=1.0)
            judged = self._recognition.judge(frame_idx, ObjectPrediction(shown, None), priors)
            if judged.mask.score >= _SURE and (best is None or judged.mask.score > best[0]):
                best = judged.mask.score, object_id
        return None if best is None else best[1]

    def _renew(self, frame_idx: int, view: ProposerFrame, found: dict[int, BoolArray]) -> None:
        """New points of the objects that are there, and what they look like."""
        sampling = self._engine.config.effective_sampling
        for object_id, item in self._objects.items():
            item.points = None
            mask = found.get(object_id)
            if mask is None or not mask.any():
                continue
            rng = rng_for(self._engine.config.seed, RngPurpose.FIND, object_id, frame_idx)
            item.points = sample_object_points(mask, view.image, object_id, frame_idx, sampling, rng)
        if self._recognition is not None:
            fresh = {o: m for o, m in found.items() if frame_idx in (self._objects[o].born, *self._objects[o].scores)}
            self._recognition.learn(frame_idx, fresh)
            self._recognition.forget(frame_idx)
        self._video.forget(frame_idx)

    # ---- the end -----------------------------------------------------------------------------------------------------------

    def _chosen(self) -> FoundObjects:
        """The objects that more than one glance speaks for, best first."""
        found = [o for o in self._objects.values() if not o.is_named and o.best is not None and not is_doubtful(o)]
        found.sort(key=lambda o: (-sum(o.scores.values()), o.object_id))
        chosen = found[: self._find.max_objects]
        objects = tuple(self._finished(self._first_id + k, item) for k, item in enumerate(chosen))
        return FoundObjects(objects, tuple(self._searched), len(found) - len(chosen))

    def _finished(self, object_id: int, item: _Object) -> FoundObject:
        assert item.best is not None
        working_hw = self._video.size_hw
        mask = ObjectMask.of_given(object_id, item.best.mask).resized(working_hw, self._source_hw).mask(self._source_hw)
        mask.setflags(write=False)
        score = float(np.mean(list(item.scores.values())))
        label = max(item.labels, key=lambda name: item.labels[name]) if item.labels else None
        return FoundObject(object_id, item.best.frame_idx, mask, score, label, tuple(sorted(item.scores)))


def is_doubtful(item: _Object) -> bool:
    """Whether an object was seldom proposed, although it was there on more of the frames where objects were looked for."""
    return len(item.scores) < _OFTEN * item.chances
