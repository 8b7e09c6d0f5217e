"""Windows of re-initialisation (docs/algorithm.md, "Re-initialisation"): track, segment, choose where to sample, go on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import numpy as np

from sampt.masks.merge import ObjectMask, contest
from sampt.masks.spool import Shelf
from sampt.pipeline.own_points import OwnPoints
from sampt.pipeline.propagation import Engine, ObjectPrediction, collect_predictions
from sampt.pipeline.randomness import RngPurpose, rng_for
from sampt.pipeline.recognition import Recognition
from sampt.points.sample import sample_object_points
from sampt.segmenters.base import MaskSegmenter
from sampt.segmenters.cache import EmbeddingCache
from sampt.tracks.appearance import ObjectAppearance
from sampt.tracks.feed import track_whole
from sampt.tracks.reinit import next_prompt_frames, signs_by_origin
from sampt.tracks.shots import ShotView
from sampt.types import FloatArray, FramePoints, ObjectPrompt, ObjectState, Points
from sampt.video.base import CachedVideo, SubVideo, Video

__all__ = ["KnownMasks", "run_windows"]


@dataclass
class _Span:
    """An object's points from one prompt frame on.

    Attributes:
        start: the prompt frame.
        points: on that frame.
        is_named: whether they are the user's own, at least in part.
        has_mask: whether the object there is known: what the points were drawn from.
        is_after_cut: whether it is the first frame of a shot.
    """

    start: int
    points: Points
    is_named: bool = False
    has_mask: bool = False
    is_after_cut: bool = False


@dataclass
class _Waiting:
    """Whose masks are final on a frame that still waits for other objects."""

    object_ids: list[int] = field(default_factory=list)
    points: list[FramePoints] = field(default_factory=list)


KnownMasks: TypeAlias = Mapping[tuple[int, int], ObjectMask]
"""Masks that are certain, a person's own say, by object and frame, at the working size."""


def run_windows(
    engine: Engine, video: Video, points: Points, known: KnownMasks | None = None
) -> Iterator[tuple[int, list[ObjectMask], list[FramePoints]]]:
    """With re-initialisation, in the one direction that ``video`` is read in.

    Args:
        engine: backends and settings.
        video: at the working size.
        points: query points; an object's later ones join it when their frame is reached.
        known: masks that replace the segmenter's where frames are prompted with the mask of the frame before.

    Yields:
        for every frame in order: its index, the objects whose prompt frame has been reached, and their points.
    """
    return _WindowedRun(engine, video, points, known or {}).frames()


class _WindowedRun:
    """Window after window: track, segment, choose each object's next prompt frame, sample, go on."""

    def __init__(self, engine: Engine, video: Video, points: Points, known: KnownMasks) -> None:
        self._engine = engine
        self._config = engine.config
        present = {key: mask for key, mask in known.items() if mask.state is ObjectState.PRESENT}
        self._known = present if engine.config.reinit.previous_mask else {}
        video = CachedVideo(video, engine.config.reinit.horizon + 1)
        self._shots = ShotView(video) if engine.config.tracking.shot_cuts else None
        self._video: Video = self._shots or video
        # A window ends where a shot does: what lies in it needs no filter for that.
        self._tracking = dataclasses.replace(engine.config.tracking, shot_cuts=False)
        self._later: dict[int, list[_Span]] = {}
        self._active: dict[int, _Span] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._in_long_window: set[int] = set()
        self._appearances: dict[int, ObjectAppearance] = {}
        self._recognition: Recognition | None = None
        if engine.config.prompting.object_memory:
            uses_prior = engine.segmenter.info.uses_prior
            self._recognition = Recognition(self._video, engine.config, uses_prior=uses_prior, check=engine.check)
        self._found: Shelf[tuple[int, int], ObjectPrediction] = Shelf(engine.waiting_bytes, _num_bytes)  # by object and frame
        self._next_frame = 0
        # The earliest frames make way: later ones are in more of the windows to come, and no window drives out what it needs.
        self._embeddings: EmbeddingCache[int] = EmbeddingCache(engine.segmenter, engine.cache_bytes, min)
        self._points = points
        self._own: OwnPoints | None = None
        self._next_point_id = 0
        if engine.config.reinit.keep_queries:
            self._track_own()
        for object_id in points.object_ids:
            own = points.select(points.object_id == object_id)
            first = own.prompt_frame(object_id)
            frames = [f for f in np.unique(own.frame_idx).tolist() if f >= first]
            spans = [_Span(f, own.select(own.frame_idx == f), is_named=True) for f in frames]
            self._active[object_id], self._later[object_id] = spans[0], spans[1:]

    def frames(self) -> Iterator[tuple[int, list[ObjectMask], list[FramePoints]]]:
        while self._active:
            start = min(span.start for span in self._active.values())
            yield from self._finish(start)
            self._run_window(start)
        yield from self._finish(self._video.num_frames)

    def _finish(self, stop: int) -> Iterator[tuple[int, list[ObjectMask], list[FramePoints]]]:
        """Frames before ``stop``: no active object will change them any more."""
        self._embeddings.drop_all(lambda frame_idx: frame_idx < stop)
        if self._recognition is not None:
            self._recognition.forget(stop)
        if self._own is not None:
            self._own.forget(stop)
        if self._shots is not None:
            self._shots.forget(stop - 1)
        for frame_idx in range(self._next_frame, stop):
            waiting = self._waiting.pop(frame_idx, None) or _Waiting()
            self._next_frame = frame_idx + 1
            found = [self._found.take((o, frame_idx)) for o in waiting.object_ids]
            yield frame_idx, [prediction.mask for prediction in found if prediction is not None], waiting.points

    def _length(self, object_id: int, start: int) -> int:
        """Frames of the window: the horizon, or the tracker's on a second, longer window; a later click or the video's end ends
        it."""
        reinit = self._config.reinit
        horizon = reinit.tracker_horizon if object_id in self._in_long_window else reinit.horizon
        stop = min(start + horizon, self._video.num_frames)
        if self._later[object_id]:
            stop = min(stop, self._later[object_id][0].start + 1)
        return stop - start

    def _run_window(self, start: int) -> None:
        ready = sorted(o for o, span in self._active.items() if span.start == start)
        length = self._length(ready[0], start)
        assert 0 < length <= self._video.num_frames - start, "a window has a frame and ends within the video"
        group = [o for o in ready if self._length(o, start) == length]
        points = Points.concat(self._active[o].points for o in group)
        rows = self._track(start, length, points)
        is_cut = len(rows) < length or self._ends_shot(start + length)
        rows = self._with_own(start, rows, group)
        predictions = self._at_start(start, rows[0], group)
        self._save_appearances(start, predictions)
        areas = [self._shelve(start, predictions)]
        areas += [self._shelve(start + i, self._segment(start + i, rows[i], group)) for i in range(1, len(rows))]
        if is_cut:
            self._cross_cut(start, rows, group)
        elif start + length == self._video.num_frames:
            for object_id in group:
                self._keep(start, rows, object_id, length)
                del self._active[object_id]
        else:
            self._choose_next(start, rows, areas, group)
        going_on = [o for o in group if o in self._active and o not in self._in_long_window]
        assert all(self._active[o].start > start for o in going_on), "objects go on from a later frame, or a run never ends"

    def _shelve(self, frame_idx: int, predictions: Sequence[ObjectPrediction]) -> list[int]:
        """Put what was found on a frame aside; how many pixels each object has there."""
        for prediction in predictions:  # a frame may be looked at again, from another window: the last word counts
            self._found.put((prediction.mask.object_id, frame_idx), prediction)
        if self._engine.on_masks is not None:
            self._engine.on_masks(frame_idx, [prediction.mask for prediction in predictions])
        return [_area(prediction.mask) for prediction in predictions]

    def _recall(self, object_id: int, frame_idx: int) -> ObjectPrediction:
        found = self._found.get((object_id, frame_idx))
        assert found is not None, "what was found in a window waits until its frames are final"
        return found

    def _ends_shot(self, stop: int) -> bool:
        """Whether the video goes on with another shot at frame ``stop``, in which no object is known to be."""
        return self._shots is not None and stop < self._video.num_frames and self._shots.shot_end(stop - 1, stop + 1) == stop

    def _cross_cut(self, start: int, rows: list[FramePoints], group: Sequence[int]) -> None:
        """Nothing leads from a shot to the next; there objects wait until enough of the user's points are found."""
        if self._own is None:
            self._track_own()
        stop = start + len(rows)
        for object_id in group:
            self._keep(start, rows, object_id, len(rows))
            self._in_long_window.discard(object_id)
            later = self._later[object_id]
            is_named = bool(later) and later[0].start == stop
            span = later.pop(0) if is_named else _Span(stop, Points.concat([]))
            self._active[object_id] = dataclasses.replace(span, is_after_cut=True)

    def _track_own(self) -> None:
        self._own = OwnPoints(self._engine, self._video, self._points, self._next_point_id)
        self._next_point_id += len(self._points)

    def _track(self, start: int, length: int, points: Points) -> list[FramePoints]:
        """The points on the window's frames, up to a cut if there is one."""
        stop = min(start + self._config.reinit.tracker_horizon, self._video.num_frames)
        if self._engine.tracker.info.is_causal:  # later frames cannot matter
            stop = start + length
        elif self._shots is not None:
            stop = self._shots.shot_end(start, stop)
        window = SubVideo(self._video, range(start, stop))
        shifted = points.shifted(-start)
        masks = self._engine.query_masks(window, shifted)
        tracks = track_whole(window, shifted, self._engine.tracker, self._tracking, masks)
        first_id = self._next_point_id
        self._next_point_id += len(points)
        if self._shots is not None and self._engine.tracker.info.is_causal:  # not earlier: it has read the frames anyway
            stop = self._shots.shot_end(start, stop)
        length = min(length, stop - start)
        return [dataclasses.replace(row, point_id=row.point_id + first_id) for row in map(tracks.at, range(length))]

    def _with_own(self, start: int, rows: list[FramePoints], group: Sequence[int]) -> list[FramePoints]:
        """The rows with the user's points of the objects whose window does not start from those anyway."""
        if self._own is None:
            return rows
        ids = [o for o in group if not self._active[o].is_named and self._tracks_own_of(o)]
        return [FramePoints.concat([row, self._own.at(start + i, ids)]) for i, row in enumerate(rows)]

    def _tracks_own_of(self, object_id: int) -> bool:
        """Whether the user's own points of the object are tracked beside its span, or instead of points that it has not."""
        return self._config.reinit.keep_queries or not len(self._active[object_id].points)

    def _at_start(self, start: int, row: FramePoints, group: Sequence[int]) -> list[ObjectPrediction]:
        """What is on the window's first frame; what points were drawn from is not segmented a second time."""
        known = {o: self._recall(o, start) for o in group if self._active[o].has_mask}
        new = [o for o in group if o not in known]
        if new:
            known |= zip(new, self._segment(start, row, new), strict=True)
        return [known[o] for o in group]

    def _segment(self, frame_idx: int, row: FramePoints, group: Sequence[int]) -> list[ObjectPrediction]:
        others = self._waiting[frame_idx].points if frame_idx in self._waiting else []
        # Where the segmenter makes logits of a known mask, its own prediction is not needed.
        makes_logits = self._engine.segmenter.info.has_mask_logits
        prompted = [o for o in group if not (makes_logits and (o, frame_idx) in self._known)]
        prompts = self._engine.prompts(frame_idx, FramePoints.concat([row, *others]), prompted)
        if self._config.reinit.previous_mask:
            prompts = [dataclasses.replace(p, mask_logits=self._last_logits(p.object_id, frame_idx)) for p in prompts]
        if self._recognition is None or not (prompts or self._recognition.has_lookalikes(prompted)):
            found = self._predictions(frame_idx, prompts)
        else:
            priors = self._recognition.priors(frame_idx, prompted)
            found = self._predictions(frame_idx, self._recognition.with_priors(prompts, priors))
            recognise = functools.partial(self._recognised, self._recognition, frame_idx, priors)
            # Where the user named an object it is, whatever it looks like.
            found = [p if self._is_named(p.mask.object_id, frame_idx) else recognise(p) for p in found]
            self._recognition.update_lookalikes(frame_idx, [p.mask for p in found], priors)
        predictions = collect_predictions(found, group)
        return self._contested([self._prefer_known(frame_idx, prediction) for prediction in predictions])

    def _recognised(
        self, recognition: Recognition, frame_idx: int, priors: Mapping[int, FloatArray], prediction: ObjectPrediction
    ) -> ObjectPrediction:
        """The prediction with the score that its looks leave it, without the parts that look like something else."""
        judged = recognition.judge(frame_idx, prediction, priors)
        own = recognition.without_foreign_parts(judged.mask, priors)
        return judged if own is judged.mask else self._with_mask(judged, own)

    def _is_named(self, object_id: int, frame_idx: int) -> bool:
        return self._active[object_id].is_named and self._active[object_id].start == frame_idx

    def _contested(self, predictions: list[ObjectPrediction]) -> list[ObjectPrediction]:
        """Without what another object has: a mistake that two objects share would be both's on the next frame, too."""
        if len(predictions) < 2 or self._config.overlapping or not self._config.reinit.compete:
            return predictions
        found = contest([p.mask for p in predictions], self._video.size_hw)
        pairs = zip(predictions, found, strict=True)
        return [before if after is before.mask else self._with_mask(before, after) for before, after in pairs]

    def _prefer_known(self, frame_idx: int, prediction: ObjectPrediction) -> ObjectPrediction:
        """The prediction, or what is known better."""
        known = self._known.get((prediction.mask.object_id, frame_idx))
        return prediction if known is None else self._with_mask(prediction, known)

    def _with_mask(self, prediction: ObjectPrediction, mask: ObjectMask) -> ObjectPrediction:
        """The prediction with another mask, which is what its next frame is prompted with where the segmenter can."""
        segmenter = self._engine.segmenter
        logits = prediction.low_res_logits
        if self._config.reinit.previous_mask and segmenter.info.has_mask_logits and mask.state is ObjectState.PRESENT:
            logits = cast(MaskSegmenter, segmenter).make_mask_logits(mask.mask(self._video.size_hw))
        return ObjectPrediction(mask, logits)

    def _last_logits(self, object_id: int, frame_idx: int) -> object:
        """The prediction on the frame before, where the object was there."""
        span = self._active[object_id]
        if span.is_after_cut and span.start == frame_idx:
            return None
        last = self._found.get((object_id, frame_idx - 1))
        return last.low_res_logits if last is not None and last.mask.state is ObjectState.PRESENT else None

    def _predictions(self, frame_idx: int, prompts: Sequence[ObjectPrompt]) -> list[ObjectPrediction]:
        """What the segmenter says of the prompts; a frame that an earlier window has decoded is not encoded again."""
        if not prompts:
            return []
        embedding = self._embeddings.get(frame_idx)
        if embedding is None:
            frame = np.array(self._video.read(frame_idx, frame_idx + 1))  # a copy: frames of this video cannot be written to
            embedding = self._engine.segmenter.encode(frame)[0]
            self._embeddings.put_all({frame_idx: embedding})
        predictions = self._engine.predict(embedding, prompts, self._video.size_hw)
        self._embeddings.trim()  # an embedding may grow when it is decoded
        return predictions

    def _save_appearances(self, frame_idx: int, predictions: Sequence[ObjectPrediction]) -> None:
        """What objects look like where the user named them."""
        named = [m for m, _ in predictions if self._active[m.object_id].is_named and m.logits is not None]
        if not named or (self._recognition is None and not self._config.reinit.anchor):
            return
        masks = {m.object_id: m.mask(self._video.size_hw) for m in named}
        if self._config.reinit.anchor:  # the last time, if there were several
            frame = self._video.read(frame_idx, frame_idx + 1)[0]
            self._appearances |= {o: ObjectAppearance(frame, mask) for o, mask in masks.items()}
        if self._recognition is not None:
            self._recognition.learn(frame_idx, masks)

    def _choose_next(self, start: int, rows: list[FramePoints], areas: list[list[int]], group: Sequence[int]) -> None:
        """Give every object of the group its next span, or retire it; what lies before the next span is final.

        An object without a candidate, hidden for a while maybe, is looked at once more over the tracker's whole horizon first.
        """
        waiting = [span.start - start for span in self._active.values() if span.start > start]
        chosen = next_prompt_frames([*zip(*areas, strict=True)], self._config.reinit, min(waiting, default=None))
        for object_id, offset in zip(group, chosen, strict=True):
            later = self._later[object_id]
            last = len(rows) - 1
            if later and later[0].start == start + last:  # the user's click ends the window
                offset = last
                self._active[object_id] = _join(rows[last], later.pop(0), object_id)
            elif offset is not None:
                points = self._renew(object_id, start + offset)
                self._active[object_id] = _Span(start + offset, points, has_mask=True)
            elif object_id not in self._in_long_window and len(rows) < self._config.reinit.tracker_horizon:
                self._in_long_window.add(object_id)
                continue
            elif self._tracks_own_of(object_id):  # absent, until enough of the user's points are seen again
                offset = last
                self._active[object_id] = _Span(start + last, Points.concat([]))
            elif later:  # retired until the user clicks on it again
                self._active[object_id] = later.pop(0)
            else:
                del self._active[object_id]
            self._in_long_window.discard(object_id)
            self._keep(start, rows, object_id, len(rows) if offset is None else offset)

    def _renew(self, object_id: int, frame_idx: int) -> Points:
        """Points to go on with, sampled from the predicted mask."""
        self._engine.check()
        size_hw, start = self._video.size_hw, self._active[object_id].start
        found = self._recall(object_id, frame_idx).mask
        mask = found.mask(size_hw)
        frame = self._video.read(frame_idx, frame_idx + 1)[0]
        if self._recognition is not None:
            self._recognition.learn_if_sure(frame_idx, found)
        rng = rng_for(self._config.seed, RngPurpose.REINIT, object_id, frame_idx)
        positive, negative = mask, None
        if object_id in self._appearances:
            positive, negative = self._appearances[object_id].regions(frame, mask)
        sampling = self._config.effective_sampling
        points = sample_object_points(positive, frame, object_id, frame_idx, sampling, rng, negative)
        at_start = self._recall(object_id, start).mask
        if self._config.reinit.backward_consistency and at_start.logits is not None:
            return self._check_signs_backward(points, start, at_start.mask(size_hw))
        return points

    def _check_signs_backward(self, points: Points, start: int, mask: np.ndarray) -> Points:
        """The points, their signs checked by where they came from: ``mask`` is the object on the frame ``start``.

        A mask that has grown onto the background takes points there for the object's, and the mistake adds up from window to
        window. Tracks know better: what was off the object a window ago and is seen to be so is still off it.
        """
        window = SubVideo(self._video, range(start, int(points.frame_idx[0]) + 1))
        shifted = points.shifted(-start)
        tracks = track_whole(window, shifted, self._engine.tracker, self._tracking, self._engine.query_masks(window, shifted))
        return dataclasses.replace(points, is_positive=signs_by_origin(tracks.at(0), mask))

    def _keep(self, start: int, rows: Sequence[FramePoints], object_id: int, count: int) -> None:
        for i in range(count):
            waiting = self._waiting.setdefault(start + i, _Waiting())
            waiting.object_ids.append(object_id)
            waiting.points.append(rows[i].select(rows[i].object_id == object_id))


def _num_bytes(prediction: ObjectPrediction) -> int:
    mask = 0 if prediction.mask.logits is None else prediction.mask.logits.nbytes
    return mask + int(getattr(prediction.low_res_logits, "nbytes", 0))


def _area(item: ObjectMask) -> int:
    return 0 if item.logits is None else int(np.count_nonzero(item.logits > 0))


def _join(row: FramePoints, clicks: _Span, object_id: int) -> _Span:
    """The points of an object that are visible on the frame, and the user's new ones."""
    kept = row.select((row.object_id == object_id) & row.visible)
    return _Span(clicks.start, Points.concat([kept.to_points(clicks.start), clicks.points]), is_named=True)
