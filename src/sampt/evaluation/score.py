"""Scores label maps on disk against the ground truth by the official protocol; never runs a model.

The first frame is given and the last one is left out, as in the DAVIS toolkit. Statistics are taken per object; a data set's
figure is the mean over all its objects, which for one object a sequence (DAVIS-2016) is the mean over sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from sampt.errors import EvaluationError
from sampt.evaluation.datasets import DavisSequence, read_label_map
from sampt.evaluation.metrics import Statistics, boundary_f, db_statistics, jaccard
from sampt.types import IntArray

__all__ = ["ObjectScore", "Scores", "SequenceScore", "score_folder", "score_sequence"]


@dataclass(frozen=True)
class ObjectScore:
    """How well one object was followed: J is the measure of its region, F that of its contour."""

    object_id: int
    j: Statistics
    f: Statistics


@dataclass(frozen=True)
class SequenceScore:
    """The scores of the objects of one sequence, at least one."""

    name: str
    objects: tuple[ObjectScore, ...]

    @property
    def j(self) -> Statistics:
        """Means over the objects."""
        return _mean([score.j for score in self.objects])

    @property
    def f(self) -> Statistics:
        """Means over the objects."""
        return _mean([score.f for score in self.objects])

    @property
    def j_and_f(self) -> float:
        return (self.j.mean + self.f.mean) / 2


@dataclass(frozen=True)
class Scores:
    """The scores of a data set's sequences, at least one."""

    sequences: tuple[SequenceScore, ...]

    @property
    def total(self) -> SequenceScore:
        """All objects of all sequences together."""
        return SequenceScore("total", tuple(score for sequence in self.sequences for score in sequence.objects))

    def to_markdown(self) -> str:
        """A table with a row for each sequence, for each object where a sequence has several, and for the total."""
        lines = [
            "| sequence | J&F | J mean | J recall | J decay | F mean | F recall | F decay |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for sequence in self.sequences:
            lines.append(_row(sequence))
            if len(sequence.objects) > 1:
                lines += [_row(SequenceScore(f"{sequence.name} #{one.object_id}", (one,))) for one in sequence.objects]
        return "\n".join([*lines, _row(self.total)])

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {
            "total": _plain(self.total),
            "sequences": {
                sequence.name: {**_plain(sequence), "objects": {str(one.object_id): asdict(one) for one in sequence.objects}}
                for sequence in self.sequences
            },
        }


def score_folder(predictions: Path | str, sequences: Sequence[DavisSequence]) -> Scores:
    """Score the label maps ``predictions/SEQUENCE/FRAME.png`` of all ``sequences``.

    Args:
        predictions: folder of label maps; an object has the same id as in the annotations.
        sequences: the ground truth.

    Raises:
        EvaluationError: there is no sequence, or one cannot be scored; see :func:`score_sequence`.
    """
    if not sequences:
        raise EvaluationError("There is no sequence to score, expected at least one.")
    return Scores(tuple(score_sequence(Path(predictions) / sequence.name, sequence) for sequence in sequences))


def score_sequence(folder: Path | str, sequence: DavisSequence) -> SequenceScore:
    """Score the label maps ``folder/FRAME.png`` of one sequence.

    Raises:
        EvaluationError: a predicted frame is missing, has another size than the ground truth or holds an id that the first
            frame does not have; or the sequence has fewer than three frames or no object.
    """
    ids = [mask.object_id for mask in sequence.query_masks()]
    scored = range(1, len(sequence.annotation_paths) - 1)
    if not scored:
        raise EvaluationError(
            f"{sequence.name} has {len(sequence.annotation_paths)} frames; expected at least 3, of which the first and the "
            "last are not scored."
        )
    j: dict[int, list[float]] = {i: [] for i in ids}
    f: dict[int, list[float]] = {i: [] for i in ids}
    for frame_idx in scored:
        truth = sequence.label_map(frame_idx)
        labels = _predicted(Path(folder) / f"{sequence.frame_names[frame_idx]}.png", sequence, truth)
        for i in ids:
            j[i].append(jaccard(labels == i, truth == i))
            f[i].append(boundary_f(labels == i, truth == i))
    return SequenceScore(sequence.name, tuple(ObjectScore(i, db_statistics(j[i]), db_statistics(f[i])) for i in ids))


def _predicted(path: Path, sequence: DavisSequence, truth: IntArray) -> IntArray:
    """The label map at ``path``, which must fit the true one."""
    if not path.is_file():
        raise EvaluationError(f"The predicted frame {path} is missing; expected a label map for each frame of {sequence.name}.")
    labels = read_label_map(path)
    if sequence.is_binary:
        labels = sequence.without_255(labels)
    if labels.shape != truth.shape:
        raise EvaluationError(
            f"The predicted frame {path} is {labels.shape[1]}x{labels.shape[0]}; expected {truth.shape[1]}x{truth.shape[0]} as "
            "its annotation."
        )
    unknown = sorted(set(labels[labels > 0].tolist()) - set(sequence.object_ids))
    if unknown:
        known = ", ".join(map(str, sequence.object_ids))
        raise EvaluationError(
            f"The predicted frame {path} holds the id {unknown[0]}; expected ids of {sequence.name}: {known}."
        )
    return labels


def _mean(parts: Sequence[Statistics]) -> Statistics:
    return Statistics(*(sum(getattr(part, item.name) for part in parts) / len(parts) for item in fields(Statistics)))


def _row(score: SequenceScore) -> str:
    values = [score.j_and_f, *asdict(score.j).values(), *asdict(score.f).values()]
    return f"| {score.name} | " + " | ".join(f"{value:.3f}" for value in values) + " |"


def _plain(score: SequenceScore) -> dict[str, Any]:
    return {"j_and_f": score.j_and_f, "j": asdict(score.j), "f": asdict(score.f)}
