"""Measuring how good masks and point tracks are: datasets, metrics, scores of predictions on disk, and a baseline."""

from sampt.evaluation.datasets import (
    DATASETS,
    InstanceDataset,
    InstanceVideo,
    LabelMapSequence,
    VosDataset,
    VosSequence,
    davis_sequences,
    open_dataset,
    select_sequences,
    training_sequences,
)
from sampt.evaluation.instances.matches import ScoredInstances, TrackMatch, VideoMatches, score_instances
from sampt.evaluation.instances.metrics import InstanceScores, evaluate_instances, read_instance_results
from sampt.evaluation.points.metrics import TapVidScore, mean_tap_vid, pck, tap_vid_queries, tap_vid_score
from sampt.evaluation.points.tracks import PointTracks, davis_point_tracks, read_badja
from sampt.evaluation.vos.baseline import carry_by_flow
from sampt.evaluation.vos.jf import Statistics, boundary_f, db_statistics, jaccard, region_and_contour
from sampt.evaluation.vos.protocols import SCORING_RULES, GroupScore
from sampt.evaluation.vos.score import ObjectScore, Scores, SequenceScore, score_dataset, score_folder, score_sequence

__all__ = [
    "DATASETS",
    "SCORING_RULES",
    "GroupScore",
    "InstanceDataset",
    "InstanceScores",
    "InstanceVideo",
    "LabelMapSequence",
    "ObjectScore",
    "PointTracks",
    "ScoredInstances",
    "Scores",
    "SequenceScore",
    "Statistics",
    "TapVidScore",
    "TrackMatch",
    "VideoMatches",
    "VosDataset",
    "VosSequence",
    "boundary_f",
    "carry_by_flow",
    "davis_point_tracks",
    "davis_sequences",
    "db_statistics",
    "evaluate_instances",
    "jaccard",
    "mean_tap_vid",
    "open_dataset",
    "pck",
    "read_badja",
    "read_instance_results",
    "region_and_contour",
    "score_dataset",
    "score_folder",
    "score_instances",
    "score_sequence",
    "select_sequences",
    "tap_vid_queries",
    "tap_vid_score",
    "training_sequences",
]
