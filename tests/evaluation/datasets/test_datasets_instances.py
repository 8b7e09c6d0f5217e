"""Video instance sets in the JSON layout of YouTube-VIS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.errors import EvaluationError
from sampt.evaluation.datasets import InstanceDataset, open_dataset
from sampt.evaluation.instances.metrics import evaluate_instances
from sampt.video.writer import VideoWriter

SHARED = Path(__file__).resolve().parents[4] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared data is not beside this checkout")

RLE = {"size": [2, 4], "counts": [2, 2, 4]}
"""Columns of a 4 x 2 frame: the second one is the object."""


def make_labels(file_names: list[str], **more: Any) -> dict[str, Any]:
    """A dataset of one video with one object, absent on the last frame."""
    n = len(file_names)
    masks: list[Any] = [RLE, [[0, 0, 2, 0, 2, 2, 0, 2]], *[RLE] * n][: n - 1]
    annotation = {"id": 5, "video_id": 3, "category_id": 1, "iscrowd": 0, "segmentations": [*masks, None]}
    annotation |= {"areas": [2] * (n - 1) + [None], "bboxes": [[1, 0, 1, 2]] * (n - 1) + [None]}
    video = {"id": 3, "width": 4, "height": 2, "length": n, "file_names": file_names}
    return {"videos": [video], "annotations": [annotation], "categories": [{"id": 1, "name": "dog"}]} | more


def write_json(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def write_frames(folder: Path, file_names: list[str]) -> None:
    for name in file_names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((2, 4, 3), np.uint8)).save(folder / name)


def opened(name: str, root: Path, split: str | None = None) -> InstanceDataset:
    dataset = open_dataset(name, root, split)
    assert isinstance(dataset, InstanceDataset)
    return dataset


JPEGS = ["v/00000.jpg", "v/00005.jpg", "v/00010.jpg"]


@pytest.mark.parametrize(
    ("name", "json_path", "frames", "file_names", "split"),
    [
        ("youtube-vis-2019", "valid.json", "valid/JPEGImages", JPEGS, "val"),
        ("youtube-vis-2021", "train/instances.json", "train/JPEGImages", JPEGS, "train"),
        ("ovis", "annotations_valid.json", "valid", ["v/img_0000001.jpg", "v/img_0000002.jpg"], None),
        ("ovis", "annotations_train.json", "Images/train", ["v/img_0000001.jpg", "v/img_0000002.jpg"], "train"),
        ("uvo", "VideoDenseSet/UVO_video_val_dense.json", "uvo_videos_dense_frames", ["v/0.png", "v/1.png"], None),
        (
            "uvo",
            "VideoSparseSet/UVO_sparse_train_video.json",
            "uvo_videos_sparse_frames",
            ["v/0.png", "v/10.png"],
            "train-sparse",
        ),
    ],
)
def test_layouts(tmp_path: Path, name: str, json_path: str, frames: str, file_names: list[str], split: str | None) -> None:
    write_json(tmp_path / json_path, make_labels(file_names))
    write_frames(tmp_path / frames, file_names)
    dataset = opened(name, tmp_path, split)
    (video,) = dataset.videos
    assert (video.id, video.name, video.size_hw) == (3, "v", (2, 4))
    assert video.frame_names == tuple(Path(file).stem for file in file_names)
    assert (video.open().num_frames, video.open().frame_name(1)) == (len(file_names), video.frame_names[1])
    assert dataset.categories == {1: "dog"}
    (annotation,) = dataset.annotations
    assert (annotation["id"], annotation["segmentations"][-1], dataset.is_server_scored) == (5, None, False)


def test_frames_of_uvo_may_still_be_in_the_video(tmp_path: Path) -> None:
    write_json(tmp_path / "VideoDenseSet/UVO_video_val_dense.json", make_labels(["abc/0.png", "abc/1.png"]))
    (video,) = opened("uvo", tmp_path).videos
    with pytest.raises(
        EvaluationError, match=r"There is no .*abc/0.png and no .*uvo_videos_dense/abc.mp4; expected the frames"
    ):
        video.open()
    (tmp_path / "uvo_videos_dense").mkdir()
    for count in (3, 2):
        with VideoWriter(tmp_path / "uvo_videos_dense" / "abc.mp4", 10, (2, 4)) as writer:
            for _ in range(count):
                writer.write(np.zeros((2, 4, 3), np.uint8))
        if count == 3:
            with pytest.raises(EvaluationError, match="abc has 3 frames of 4x2; expected 2 of 4x2"):
                video.open()
    assert video.open().num_frames == 2


def test_annotations_that_are_kept_back(tmp_path: Path) -> None:
    for kept_back in (None, []):
        write_json(tmp_path / "valid.json", make_labels(JPEGS, annotations=kept_back))
        assert opened("youtube-vis-2019", tmp_path).is_server_scored
    without = make_labels(JPEGS)
    del without["annotations"]
    write_json(tmp_path / "valid.json", without)
    assert opened("youtube-vis-2019", tmp_path).annotations == []


def test_the_file_is_read_when_it_is_asked_for_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "annotations_train.json"
    path.write_text("[]")
    dataset = opened("ovis", tmp_path, "train")
    with pytest.raises(EvaluationError, match="holds a JSON list; expected a file of the YouTube-VIS kind"):
        assert dataset.videos
    for values, message in (
        ({"videos": 1}, "tells no videos"),
        (make_labels([]), "has a broken entry in videos: IndexError"),
        (make_labels(JPEGS, categories=[{"id": 1}]), "has a broken entry in categories: KeyError 'name'"),
        (
            make_labels(JPEGS, annotations=[make_labels(JPEGS)["annotations"][0] | {"video_id": 9}]),
            "annotation 5 of the video 9",
        ),
        (
            make_labels(JPEGS, annotations=[make_labels(JPEGS)["annotations"][0] | {"category_id": 2}]),
            "annotation 5 of the category 2",
        ),
        (make_labels(JPEGS, annotations=["abc"]), "has a broken entry in annotations: AttributeError"),
        (make_labels(JPEGS, videos=make_labels(JPEGS)["videos"] * 2), "lists the video 3 more than once"),
        (
            make_labels(JPEGS, annotations=make_labels(JPEGS[:2])["annotations"]),
            "2 segmentations in the annotation 5; expected 3",
        ),
    ):
        write_json(path, values)
        dataset = opened("ovis", tmp_path, "train")
        with pytest.raises(EvaluationError, match=message):
            _ = dataset.categories, dataset.annotations
    write_json(path, make_labels(JPEGS))
    write_frames(tmp_path / "train", JPEGS[:2])
    with pytest.raises(EvaluationError, match=r"00010\.jpg does not exist; expected that frame of v"):
        opened("ovis", tmp_path, "train").videos[0].open()


def test_unknown_split(tmp_path: Path) -> None:
    write_json(tmp_path / "train" / "instances.json", make_labels(JPEGS))
    with pytest.raises(EvaluationError, match=r"Unknown split 'valid' of .* \(YouTube-VIS\)\. Available: train\.$"):
        open_dataset("youtube-vis-2021", tmp_path, "valid")
    assert open_dataset("youtube-vis-2021", tmp_path).split == "train"  # the only one that is there


@needs_shared
def test_a_real_video_of_ovis(tmp_path: Path) -> None:
    (tmp_path / "annotations_train.json").symlink_to(SHARED / "formats" / "ovis_train.json")
    dataset = opened("ovis", tmp_path, "train")
    (video,) = dataset.videos
    assert (video.name, video.frame_names, video.size_hw) == (
        "85aa3b0e",
        ("img_0000001", "img_0000002", "img_0000003"),
        (886, 1920),
    )
    assert (len(dataset.annotations), len(dataset.categories), dataset.categories[3]) == (10, 25, "Cat")
    found = [
        {"video_id": a["video_id"], "category_id": a["category_id"], "score": 1.0, "segmentations": a["segmentations"]}
        for a in dataset.annotations
    ]
    assert evaluate_instances(dataset, found).ap == pytest.approx(1)
    with pytest.raises(EvaluationError, match=r"There is no .*85aa3b0e/img_0000001.jpg and no .*; expected the frames"):
        video.open()
