"""Scores masks on disk, of any method, against the ground truth by a benchmark's protocol; never runs a model.

Which frames count and how means are taken is reported in :mod:`sampt.evaluation.vos.protocols`. Statistics are taken per
object; a dataset's figure is the mean over all its objects, which for one object a sequence (DAVIS-2016) is the mean over
sequences.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from sampt.backends.machine import num_cores
from sampt.errors import EvaluationError
from sampt.evaluation.vos.jf import Statistics, db_statistics, region_and_contour
from sampt.evaluation.vos.matching import best_matching
from sampt.evaluation.vos.predicted import PredictedMasks, find_predictions
from sampt.evaluation.vos.protocols import MAX_PROPOSALS, ObjectScore, ScoringRule, scoring_rule
from sampt.evaluation.vos.results import Scores, SequenceScore
from sampt.types import BoolArray, IntArray

__all__ = ["ObjectScore", "Scores", "SequenceScore", "score_dataset", "score_folder", "score_sequence"]

_WAITING_PER_WORKER = 4
"""Frames given out ahead of the one that is waited for: enough that no worker idles, and few after an error."""
_PERFECT = Statistics(1.0, 1.0, 0.0)


class LabelledSequence(Protocol):
    """A sequence of which every frame is annotated and every object is given on the first one."""

    @property
    def name(self) -> str: ...
    @property
    def frame_names(self) -> tuple[str, ...]: ...
    @property
    def object_ids(self) -> tuple[int, ...]: ...
    def label_map(self, frame_idx: int) -> IntArray: ...


class TrueSequence(LabelledSequence, Protocol):
    """What scoring needs of a sequence of a dataset; see ``VosSequence`` of :mod:`sampt.evaluation.datasets`."""

    @property
    def first_frame(self) -> Mapping[int, int]: ...
    @property
    def end_frame(self) -> Mapping[int, int]: ...
    @property
    def annotated_frames(self) -> tuple[int, ...]: ...
    @property
    def groups(self) -> Mapping[int, str]: ...
    @property
    def categories(self) -> Mapping[int, str]: ...
    def void_mask(self, frame_idx: int) -> BoolArray | None: ...


class GtDataset(Protocol):
    """What scoring needs of a dataset; see ``VosDataset`` of :mod:`sampt.evaluation.datasets`."""

    @property
    def name(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def protocol(self) -> str: ...
    @property
    def sequences(self) -> Sequence[TrueSequence]: ...
    @property
    def is_server_scored(self) -> bool: ...


_Values: TypeAlias = tuple[float, float, bool]
"""J, F, and whether the object is truly seen."""
_Pair: TypeAlias = tuple[int, int | None]
"""Ids of a true object and of a predicted one; None for no mask at all."""
_FrameValues: TypeAlias = dict[_Pair, _Values]


@dataclass(frozen=True)
class _FullyAnnotated:
    """A labelled sequence as one of a dataset."""

    labelled: LabelledSequence
    groups: Mapping[int, str] = field(default_factory=dict)
    categories: Mapping[int, str] = field(default_factory=dict)

    end_frame: Mapping[int, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.labelled.name

    @property
    def frame_names(self) -> tuple[str, ...]:
        return self.labelled.frame_names

    @property
    def object_ids(self) -> tuple[int, ...]:
        return self.labelled.object_ids

    @property
    def first_frame(self) -> Mapping[int, int]:
        return dict.fromkeys(self.object_ids, 0)

    @property
    def annotated_frames(self) -> tuple[int, ...]:
        return tuple(range(len(self.frame_names)))

    def label_map(self, frame_idx: int) -> IntArray:
        return self.labelled.label_map(frame_idx)

    def void_mask(self, frame_idx: int) -> BoolArray | None:
        return None


@dataclass(frozen=True)
class _Work:
    """A sequence with what is to be scored of it: object id -> its scored frames."""

    sequence: TrueSequence
    predictions: PredictedMasks
    rule: ScoringRule
    frames: Mapping[int, tuple[int, ...]]

    def objects_by_frame(self) -> dict[int, list[int]]:
        """Ascending frame -> the objects that are scored on it."""
        found: dict[int, list[int]] = defaultdict(list)
        for object_id, frames in self.frames.items():
            for frame_idx in frames:
                found[frame_idx].append(object_id)
        return dict(sorted(found.items()))


def score_dataset(dataset: GtDataset, predictions: Path | str, *, workers: int | None = None) -> Scores:
    """Score the masks of any method for all sequences of a dataset, by the dataset's protocol.

    Args:
        dataset: the ground truth.
        predictions: folder with one folder a sequence, of the sequence's name: label maps ``FRAME.png``, or one folder
            ``OBJECT_ID`` of black and white ``FRAME.png`` for each object where masks may overlap; either may lie in a folder
            ``masks`` in it, as ``sampt segment`` writes them. Objects have the ids of the annotations, or, where they had to be
            found, any from 1 to :data:`sampt.evaluation.vos.protocols.MAX_PROPOSALS`.
        workers: frames scored at once; None for one a processor core.

    Raises:
        EvaluationError: the annotations are not public, there is no sequence or no scored frame, or a sequence cannot be
            scored; see :func:`score_sequence`.
    """
    if dataset.is_server_scored:
        raise EvaluationError(
            f"The annotations of {dataset.name} {dataset.split} are not public; expected a split that has them: submit the "
            "predictions to the benchmark's server instead."
        )
    name = f"{dataset.name} {dataset.split}".strip()
    return _score(dataset.sequences, Path(predictions), dataset.protocol, workers, name)


def score_folder(
    predictions: Path | str, sequences: Sequence[LabelledSequence], protocol: str = "davis-2017", *, workers: int | None = None
) -> Scores:
    """:func:`score_dataset` for ``sequences`` alone.

    Raises:
        EvaluationError: there is no sequence, or one cannot be scored; see :func:`score_sequence`.
    """
    return _score(sequences, Path(predictions), protocol, workers, "")


def score_sequence(
    folder: Path | str, sequence: LabelledSequence, protocol: str = "davis-2017", *, workers: int | None = 1
) -> SequenceScore:
    """Score the masks of one sequence, which lie in ``folder`` as :func:`score_dataset` tells.

    A sequence that does not tell ``annotated_frames`` is annotated on every frame, with all objects given on the first.

    Raises:
        EvaluationError: a predicted frame is missing, has another size than the ground truth or holds an id that is not
            given; the sequence has no scored frame or no object; or there is no such protocol.
    """
    rule = scoring_rule(protocol)
    work = _work(sequence, Path(folder), rule)
    with ThreadPoolExecutor(_parse_number(workers)) as pool:
        ((_, values),) = _in_order(pool, [work], _parse_number(workers))
    scored = _sequence_score(work, values)
    if scored is None:
        raise EvaluationError(f"{sequence.name} has no scored frame; expected an annotated one after that of an object's mask.")
    return scored


def _score(sequences: Sequence[LabelledSequence], root: Path, protocol: str, workers: int | None, name: str) -> Scores:
    if not len(sequences):
        raise EvaluationError("There is no sequence to score, expected at least one.")
    rule, number = scoring_rule(protocol), _parse_number(workers)
    scored, left_out = [], []
    with ThreadPoolExecutor(number) as pool:
        works = (_work(sequence, root / sequence.name, rule) for sequence in sequences)
        for work, values in _in_order(pool, works, number):
            found = _sequence_score(work, values)
            kept = {item.object_id for item in found.objects} if found else set()
            left_out += [(work.sequence.name, i) for i in work.frames if i not in kept]
            scored += [found] if found else []
    if not scored:
        raise EvaluationError(f"None of the {len(sequences)} sequences has a scored frame; expected at least one.")
    return Scores(tuple(scored), name, protocol, tuple(left_out))


def _parse_number(workers: int | None) -> int:
    if workers is None:
        return num_cores()
    if workers < 1:
        raise EvaluationError(f"workers is {workers}, expected at least 1.")
    return workers


def _work(labelled: LabelledSequence, folder: Path, rule: ScoringRule) -> _Work:
    sequence = cast(TrueSequence, labelled) if hasattr(labelled, "annotated_frames") else _FullyAnnotated(labelled)
    if not sequence.object_ids:
        raise EvaluationError(f"{sequence.name} holds no object; expected at least one on the frames that are given.")
    annotated = sequence.annotated_frames
    if not rule.is_per_object and rule.drops_first and len(annotated) < 3:
        raise EvaluationError(
            f"{sequence.name} has {len(annotated)} annotated frames; expected at least 3, of which the first and the last are "
            "not scored."
        )
    frames = {i: rule.frames(annotated, sequence.first_frame[i], sequence.end_frame.get(i)) for i in sequence.object_ids}
    names, ids = sequence.frame_names, sequence.object_ids
    predictions = find_predictions(folder, sequence.name, names, ids if rule.pairing == "id" else None)
    return _Work(sequence, predictions, rule, frames)


def _in_order(
    pool: ThreadPoolExecutor, works: Iterable[_Work], workers: int
) -> Iterator[tuple[_Work, dict[int, _FrameValues]]]:
    """Every work with frame -> object -> values; frames are scored across works, so that short ones keep all workers busy."""
    waiting: deque[tuple[_Work, dict[int, Future[_FrameValues]]]] = deque()
    pending: deque[Future[_FrameValues]] = deque()
    for work in works:
        futures: dict[int, Future[_FrameValues]] = {}
        waiting.append((work, futures))
        for frame_idx, object_ids in work.objects_by_frame().items():
            while len(pending) >= _WAITING_PER_WORKER * workers:
                pending.popleft().result()
            futures[frame_idx] = pool.submit(_score_frame, work, frame_idx, object_ids)
            pending.append(futures[frame_idx])
        while len(waiting) > 1 and all(future.done() for future in waiting[0][1].values()):
            yield _results(*waiting.popleft())
    while waiting:
        yield _results(*waiting.popleft())


def _results(work: _Work, futures: dict[int, Future[_FrameValues]]) -> tuple[_Work, dict[int, _FrameValues]]:
    return work, {frame_idx: future.result() for frame_idx, future in futures.items()}


def _score_frame(work: _Work, frame_idx: int, object_ids: Sequence[int]) -> _FrameValues:
    gt = work.sequence.label_map(frame_idx)
    void = work.sequence.void_mask(frame_idx) if work.rule.ignores_void else None
    values: _FrameValues = {}
    for (object_id, found_id), mask in _predicted(work, frame_idx, object_ids, gt.shape):
        gt_mask = gt == object_id
        j, f = region_and_contour(mask, gt_mask, void)
        values[object_id, found_id] = (j, f, bool(gt_mask.any()))
    return values


def _predicted(
    work: _Work, frame_idx: int, object_ids: Sequence[int], shape: tuple[int, ...]
) -> Iterator[tuple[_Pair, BoolArray]]:
    """The predicted masks that the objects are compared with on a frame."""
    size_hw = (shape[0], shape[1])
    if work.rule.pairing == "id":
        masks = work.predictions.read(frame_idx, size_hw)
        yield from (((i, i), masks(i)) for i in object_ids)
        return
    nothing = np.zeros(size_hw, np.bool_)
    if work.rule.pairing == "all":
        found = work.predictions.read_found(frame_idx, size_hw)
        whole = np.logical_or.reduce([nothing, *found.values()])
        yield from (((i, None), whole) for i in object_ids)
        return
    found = work.predictions.read_found(frame_idx, size_hw, MAX_PROPOSALS)
    if len(found) > 1 and (np.sum(list(found.values()), axis=0, dtype=np.uint8) > 1).any():
        raise EvaluationError(
            f"On frame {work.predictions.frame_names[frame_idx]} of {work.sequence.name} predicted masks overlap; expected "
            "masks without overlap, as the rules of this benchmark say: merge them, or run without --overlapping."
        )
    yield from (((i, k), mask) for i in object_ids for k, mask in ((None, nothing), *found.items()))


def _sequence_score(work: _Work, values: Mapping[int, _FrameValues]) -> SequenceScore | None:
    """The scores of the objects that have any; None when none has."""
    objects = []
    found_ids = _pair(work, values)
    for object_id, frames in work.frames.items():
        named: dict[str, Any] = {
            "group": work.sequence.groups.get(object_id),
            "category": work.sequence.categories.get(object_id),
            "found_id": found_ids[object_id] if work.rule.pairing == "match" else None,
        }
        if frames:
            rows = (_pair_values(values[i], object_id, found_ids[object_id]) for i in frames)
            j, f, visible = zip(*rows, strict=True)
            objects.append(ObjectScore(object_id, db_statistics(j), db_statistics(f), frames, j, f, visible, **named))
        elif work.rule.perfect_if_unscored:
            objects.append(ObjectScore(object_id, _PERFECT, _PERFECT, **named))
    return SequenceScore(work.sequence.name, tuple(objects)) if objects else None


def _pair_values(frame: _FrameValues, object_id: int, found_id: int | None) -> _Values:
    """What is not on a frame has no mask there."""
    return frame.get((object_id, found_id)) or frame[object_id, None]


def _pair(work: _Work, values: Mapping[int, _FrameValues]) -> dict[int, int | None]:
    """Object id -> that of the prediction it is scored by."""
    if work.rule.pairing != "match":
        return {i: i if work.rule.pairing == "id" else None for i in work.frames}
    used = {k for frame in values.values() for _, k in frame if k is not None}
    # As in the official program, ids that are left out below the largest count as found objects without a mask, and so many
    # more come to them that every true object has a partner.
    found = [k if k in used else None for k in range(1, max(used, default=0) + 1)]
    found += [None] * (len(work.frames) - len(found))
    means = np.zeros((len(work.frames), len(found)))
    for row, (object_id, frames) in enumerate(work.frames.items()):
        for column, found_id in enumerate(found):
            both = [_pair_values(values[i], object_id, found_id)[:2] for i in frames]
            means[row, column] = np.mean(np.mean(both, axis=0))
    return {i: found[column] for i, column in zip(work.frames, best_matching(means), strict=True)}
