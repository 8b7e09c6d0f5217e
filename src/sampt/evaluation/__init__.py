"""Measuring how good masks and point tracks are: data sets, metrics, scores of predictions on disk, and a baseline."""

from sampt.evaluation.baseline import carry_by_flow
from sampt.evaluation.datasets import DavisSequence, davis_sequences, select_sequences, training_sequences
from sampt.evaluation.metrics import Statistics, boundary_f, db_statistics, jaccard
from sampt.evaluation.point_metrics import TapVidScore, mean_tap_vid, pck, tap_vid_score
from sampt.evaluation.point_tracks import PointTracks, davis_point_tracks, read_badja
from sampt.evaluation.score import ObjectScore, Scores, SequenceScore, score_folder, score_sequence

__all__ = [
    "DavisSequence",
    "ObjectScore",
    "PointTracks",
    "Scores",
    "SequenceScore",
    "Statistics",
    "TapVidScore",
    "boundary_f",
    "carry_by_flow",
    "davis_point_tracks",
    "davis_sequences",
    "db_statistics",
    "jaccard",
    "mean_tap_vid",
    "pck",
    "read_badja",
    "score_folder",
    "score_sequence",
    "select_sequences",
    "tap_vid_score",
    "training_sequences",
]
