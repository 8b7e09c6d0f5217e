"""Annotated videos to evaluate on, as they lie on disk after the official download: a module a format, one way to open them."""

from sampt.evaluation.datasets.base import (
    Annotation,
    InstanceDataset,
    InstanceVideo,
    LazySequences,
    SubmissionLayout,
    VosDataset,
    VosSequence,
    select_sequences,
)
from sampt.evaluation.datasets.davis import davis_sequences
from sampt.evaluation.datasets.folder import training_sequences
from sampt.evaluation.datasets.label_maps import LabelMapSequence, read_label_map
from sampt.evaluation.datasets.registry import DATASETS, open_dataset

__all__ = [
    "DATASETS",
    "Annotation",
    "InstanceDataset",
    "InstanceVideo",
    "LabelMapSequence",
    "LazySequences",
    "SubmissionLayout",
    "VosDataset",
    "VosSequence",
    "davis_sequences",
    "open_dataset",
    "read_label_map",
    "select_sequences",
    "training_sequences",
]
