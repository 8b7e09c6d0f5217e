"""What the tests of video object segmentation datasets open them with."""

from __future__ import annotations

from pathlib import Path

from sampt.evaluation.datasets import VosDataset, VosSequence, open_dataset

__all__ = ["given", "only", "opened"]


def opened(name: str, root: Path, split: str | None = None) -> VosDataset:
    dataset = open_dataset(name, root, split)
    assert isinstance(dataset, VosDataset)
    assert dataset.name == name
    return dataset


def only(dataset: VosDataset) -> VosSequence:
    (sequence,) = dataset.sequences
    return sequence


def given(sequence: VosSequence) -> dict[int, tuple[int, int]]:
    """Object -> the frame on which it is given, and the pixels of its mask."""
    return {query.object_id: (query.frame_idx, int(query.mask.sum())) for query in sequence.query_masks()}
