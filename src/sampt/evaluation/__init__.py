"""Measuring how good masks are: data sets, metrics, scores of predictions on disk, and a baseline."""

from sampt.evaluation.baseline import carry_by_flow
from sampt.evaluation.datasets import DavisSequence, davis_sequences, select_sequences, training_sequences
from sampt.evaluation.metrics import Statistics, boundary_f, db_statistics, jaccard
from sampt.evaluation.score import ObjectScore, Scores, SequenceScore, score_folder, score_sequence

__all__ = [
    "DavisSequence",
    "ObjectScore",
    "Scores",
    "SequenceScore",
    "Statistics",
    "boundary_f",
    "carry_by_flow",
    "davis_sequences",
    "db_statistics",
    "jaccard",
    "score_folder",
    "score_sequence",
    "select_sequences",
    "training_sequences",
]
