"""Which predicted track goes with which true one, by hand; and the file that tells it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampt.errors import EvaluationError
from sampt.evaluation.datasets import InstanceDataset, open_dataset
from sampt.evaluation.instances.matches import ScoredInstances, score_instances
from sampt.evaluation.instances.tracks import read_tracks
from sampt.masks.rle import encode_mask

Box = tuple[int, int, int, int] | None
"""y, x, height, width on one frame."""
A, B, FAR = (0, 0, 4, 4), (10, 10, 4, 4), (0, 10, 4, 4)
RIGHT_OF_A = (0, 2, 4, 4)
"""8 pixels shared with A, 24 in either."""


def code(box: Box) -> dict[str, Any] | None:
    if box is None:
        return None
    mask = np.zeros((20, 20), np.bool_)
    mask[box[0] : box[0] + box[2], box[1] : box[1] + box[3]] = True
    return encode_mask(mask).to_json()


def gt(*boxes: Box, category: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": 5, "video_id": 3, "category_id": category, "segmentations": [code(box) for box in boxes], **more}


def predicted(score: float, *boxes: Box, category: int = 1) -> dict[str, Any]:
    return {"video_id": 3, "category_id": category, "score": score, "segmentations": [code(box) for box in boxes]}


def written(root: Path, annotations: list[Any], predictions: list[Any]) -> InstanceDataset:
    """A dataset in OVIS layout without images, its predictions beside it; a second video has nothing."""
    n = len(annotations[0]["segmentations"])
    shape = {"width": 20, "height": 20, "length": n}
    videos = [{"id": i, "file_names": [f"{name}/{k}.jpg" for k in range(n)], **shape} for i, name in ((3, "a/b"), (4, "c"))]
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    gt = {"videos": videos, "categories": categories, "annotations": annotations}
    (root / "annotations_train.json").write_text(json.dumps(gt))
    (root / "results.json").write_text(json.dumps(predictions))
    dataset = open_dataset("ovis", root, "train")
    assert isinstance(dataset, InstanceDataset)
    return dataset


def scored(root: Path, annotations: list[Any], predictions: list[Any], *, use_categories: bool = False) -> ScoredInstances:
    return score_instances(written(root, annotations, predictions), root, use_categories=use_categories)


def test_ious_of_frames_and_of_the_whole(tmp_path: Path) -> None:
    # Frame by frame: equal, 8 of 24, only true, only predicted, neither.
    found = scored(tmp_path, [gt(A, A, A, None, None)], [predicted(0.5, A, RIGHT_OF_A, None, B, None)])
    (video,) = found.videos
    (track,) = video.tracks
    assert (video.video_id, video.name, video.folder, video.num_predictions) == (3, "a/b", "3-a_b", 1)
    assert track.frame_ious == (1, pytest.approx(1 / 3), 0, 0, None)
    assert track.iou == pytest.approx(24 / (16 + 24 + 16 + 16))
    assert (track.annotation, track.category, track.prediction, track.score) == (0, "dog", 0, 0.5)
    assert (video.num_found, video.mean_iou) == (0, track.iou)


def test_the_best_pair_comes_first_whatever_the_scores(tmp_path: Path) -> None:
    predictions = [predicted(0.9, RIGHT_OF_A), predicted(0.1, A), predicted(0.5, FAR)]
    ((one, two),) = (v.tracks for v in scored(tmp_path, [gt(RIGHT_OF_A), gt(A)], predictions).videos)
    assert (one.prediction, one.iou, two.prediction, two.iou) == (0, 1, 1, 1)
    # With one prediction for both, the other track stays alone; so does one that is only touched (1 of 31 pixels).
    ((one, two),) = (v.tracks for v in scored(tmp_path, [gt(RIGHT_OF_A), gt(A)], [predicted(0.1, A)]).videos)
    assert (one.prediction, one.score, one.iou, one.frame_ious) == (None, None, 0, (0,))
    assert two.prediction == 0
    ((track,),) = (v.tracks for v in scored(tmp_path, [gt(A)], [predicted(0.9, (3, 3, 4, 4))]).videos)
    assert track.prediction is None


def test_categories_keep_tracks_apart_only_when_told(tmp_path: Path) -> None:
    annotations, predictions = [gt(A), gt(B, category=2)], [predicted(0.9, A, category=2), predicted(0.8, B, category=2)]
    apart = scored(tmp_path, annotations, predictions, use_categories=True)
    assert [track.prediction for track in apart.videos[0].tracks] == [None, 1]
    assert apart.scores.category_ap == {"dog": 0, "cat": 0.5}
    together = scored(tmp_path, annotations, predictions)
    assert [track.prediction for track in together.videos[0].tracks] == [0, 1]
    assert (together.scores.ap, together.scores.category_ap) == (1, {})
    assert {name: [t.iou for t in tracks] for name, tracks in together.by_category.items()} == {"cat": [1], "dog": [1]}


def test_crowds_are_not_told_of(tmp_path: Path) -> None:
    (video,) = scored(tmp_path, [gt(A), gt(B, iscrowd=1)], [predicted(0.9, B)]).videos
    assert [(track.annotation, track.prediction) for track in video.tracks] == [(0, None)]


def test_values_survive_json(tmp_path: Path) -> None:
    found = scored(tmp_path, [gt(A, None), gt(B, B, category=2)], [predicted(0.9, A, None)], use_categories=True)
    assert ScoredInstances.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    for change in ({"videos": 3}, {"ap": "x"}, {"category_ap": None}):
        with pytest.raises(EvaluationError, match="These are no scores"):
            ScoredInstances.from_dict(found.to_dict() | change)


def test_ground_truth_that_is_kept_back_is_not_scored(tmp_path: Path) -> None:
    written(tmp_path, [gt(A)], [predicted(0.9, A)])
    values = json.loads((tmp_path / "annotations_train.json").read_text())
    (tmp_path / "annotations_train.json").write_text(json.dumps(values | {"annotations": None}))
    dataset = open_dataset("ovis", tmp_path, "train")
    assert isinstance(dataset, InstanceDataset)
    with pytest.raises(EvaluationError, match="annotations of ovis train are not public; expected a split that has them"):
        score_instances(dataset, tmp_path, use_categories=True)


def test_predictions_of_no_known_category_are_told(tmp_path: Path) -> None:
    dataset = written(tmp_path, [gt(A)], [])
    with pytest.raises(EvaluationError, match="first one of 0; expected one of the ids 1, 2"):
        read_tracks(dataset, [predicted(0.9, A, category=0)])
    assert len(read_tracks(dataset, [predicted(0.9, A, category=0), predicted(0.9, A)]).predicted) == 1  # as in the API
    assert read_tracks(dataset, []).predicted == ()


@pytest.mark.parametrize("counts", ["", "abc", "zzzzzzz", "\u20ac", code(A)["counts"][:-1], [5, -5, 400]])  # type: ignore[index]
def test_codes_of_another_length_are_no_masks(tmp_path: Path, counts: Any) -> None:
    dataset = written(tmp_path, [gt(A)], [])
    item = predicted(0.9, A) | {"segmentations": [{"size": [20, 20], "counts": counts}]}
    with pytest.raises(EvaluationError, match="Prediction 0, frame 0, "):
        read_tracks(dataset, [item])


def test_every_code_of_pycocotools_is_a_mask(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    dataset = written(tmp_path, [gt(A)], [])
    for fraction in (0, 0.001, 0.1, 0.5, 0.99, 1):
        item = predicted(0.9, A) | {"segmentations": [encode_mask(rng.random((20, 20)) < fraction).to_json()]}
        assert read_tracks(dataset, [item]).predicted[0].number == 0
