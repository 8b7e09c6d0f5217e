"""Boxes that other programs detected, from their files; masks of them by the segmenter."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampt.errors import BackendError, LimitError
from sampt.files import limits
from sampt.finding.choose import overlap_fractions
from sampt.geometry import find_mask_box
from sampt.proposers.base import Proposal, ProposerFrame
from sampt.proposers.create import create_proposer
from sampt.testing import ExactSegmenter, SceneVideo, check_proposer, slow_scene
from sampt.video.array import ArrayVideo
from sampt.video.base import Video

SCENE = slow_scene()
HEIGHT, WIDTH = SCENE.size_hw


def box_of(object_id: int, frame_idx: int) -> tuple[float, float, float, float]:
    """Left, top, width and height of an object."""
    box = find_mask_box(SCENE.masks(frame_idx)[object_id - 1])
    assert box is not None
    x0, y0, x1, y1 = (float(v) for v in box)
    return x0, y0, x1 + 1 - x0, y1 + 1 - y0


def propose(given: Path, frame_idx: int, *, name: str | None = None, video: Video | None = None, **more: Any) -> list[Proposal]:
    video = video or SceneVideo(SCENE)
    frame = ProposerFrame(video, frame_idx, ExactSegmenter(SCENE), source_name=name, **more)
    return create_proposer(f"boxes:{given}").propose(frame)


def check_found(found: list[Proposal], frame_idx: int, expected: Sequence[tuple[int, float, str | None]]) -> None:
    """The masks of objects, with scores and labels, in order."""
    assert [(round(p.score, 3), p.label) for p in found] == [(score, label) for _, score, label in expected]
    for proposal, (object_id, _, _) in zip(found, expected, strict=True):
        assert overlap_fractions(proposal.mask, SCENE.masks(frame_idx)[object_id - 1])[0] > 0.99


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def yolo_line(number: int, object_id: int, frame_idx: int) -> str:
    x, y, w, h = box_of(object_id, frame_idx)
    return f"{number} {(x + w / 2) / WIDTH} {(y + h / 2) / HEIGHT} {w / WIDTH} {h / HEIGHT}"


def test_mot_counts_frames_from_1_and_leaves_out_what_does_not_count(tmp_path: Path) -> None:
    rows = [(5, 1, *box_of(1, 4), 0.5), (5, 2, *box_of(2, 4), 0.75), (5, 3, 1, 1, 5, 5, 0), (9, 1, *box_of(1, 8), 1)]
    text = "\n".join(",".join(map(str, row)) for row in rows)
    file = write(tmp_path / "det.txt", f"{text}\n")
    check_found(propose(file, 4), 4, [(2, 0.75, None), (1, 0.5, None)])
    check_found(propose(file, 8), 8, [(1, 1.0, None)])
    assert propose(file, 5) == []
    file = write(tmp_path / "0.txt", f"0 -1 1 1 9 9 1 -1 -1 -1\n{text.replace(',', ' ')}")  # one frame 0: all count from 0
    check_found(propose(file, 5), 5, [(2, 0.75, None), (1, 0.5, None)])


def test_scores_beyond_0_to_1_are_moved_there(tmp_path: Path) -> None:
    rows = [(1, -1, *box_of(1, 0), -20), (1, -1, *box_of(2, 0), 60), (2, -1, *box_of(2, 1), 20)]
    file = write(tmp_path / "det.csv", "frame,id,x,y,w,h,score\n" + "\n".join(",".join(map(str, row)) for row in rows))
    check_found(propose(file, 0), 0, [(2, 1.0, None), (1, 0.0, None)])
    check_found(propose(file, 1), 1, [(2, 0.5, None)])
    unsure = write(tmp_path / "unsure.txt", ",".join(map(str, (1, -1, *box_of(1, 0), -1))))
    check_found(propose(unsure, 0), 0, [(1, 1.0, None)])


def coco(**changes: Any) -> dict[str, Any]:
    return {
        "images": [
            {"id": 70, "file_name": "clip/img_0003.jpg", "width": WIDTH, "height": HEIGHT},
            {"id": 71, "file_name": "clip/img_0004.jpg", "width": WIDTH, "height": HEIGHT},
        ],
        "annotations": [
            {"image_id": 71, "category_id": 2, "bbox": box_of(1, 3), "score": 0.25},
            {"image_id": 71, "category_id": 9, "bbox": box_of(2, 3)},
            {"image_id": 71, "category_id": 2, "bbox": [0, 0, 9, 9], "iscrowd": 1},
            {"image_id": 71, "category_id": 2, "bbox": [3, 3, 0, 9]},
        ],
        "categories": [{"id": 2, "name": "fish"}],
    } | changes


def test_coco_by_names_by_their_numbers_and_by_ids(tmp_path: Path) -> None:
    expected = [(2, 1.0, None), (1, 0.25, "fish")]
    file = write(tmp_path / "all.json", coco())
    check_found(propose(file, 3), 3, expected)  # a video file: the fourth frame
    check_found(propose(file, 3, name="img_0004"), 3, expected)  # a folder that begins with another one
    assert propose(file, 3, name="img_0005") == []
    assert propose(file, 3, name="img_0003") == []
    results = [{k: v for k, v in a.items() if k != "iscrowd"} | {"image_id": 4} for a in coco()["annotations"][:2]]
    check_found(propose(write(tmp_path / "results.json", results), 3), 3, [(2, 1.0, None), (1, 0.25, None)])
    images = [{"id": 71, "frame_id": 3, "file_name": "x.jpg"}]
    check_found(propose(write(tmp_path / "video.json", coco(images=images)), 3), 3, expected)


def test_yolo_folder_with_names_of_classes(tmp_path: Path) -> None:
    labels = tmp_path / "labels" / "train"
    write(labels / "00002.txt", f"{yolo_line(1, 1, 2)} 0.5\n{yolo_line(0, 2, 2)} 0.8 17\n")
    write(tmp_path / "data.yaml", 'path: .\nnames:\n  0: cat\n  1: "dog \\"Rex\\""\nnc: 2\n')
    expected = [(2, 0.8, "cat"), (1, 0.5, 'dog "Rex"')]
    check_found(propose(labels, 2, name="00002"), 2, expected)
    assert propose(labels, 1, name="00001") == []
    write(labels / "00000.txt", "")
    check_found(propose(labels, 2), 2, expected)  # from 0, as there is a 0
    write(labels / "classes.txt", "bird\nfrog\n")
    x, y, w, h = box_of(1, 3)
    corners = [(x, y + 2), (x + w, y), (x + 1, y + h), (x, y + 3)]
    write(labels / "00003.txt", "1 " + " ".join(f"{cx / WIDTH} {cy / HEIGHT}" for cx, cy in corners))
    check_found(propose(labels, 3), 3, [(1, 1.0, "frog")])
    for listed in ("names: [bird, 'frog']\n", "names:\n- bird\n- frog\n"):
        (labels / "classes.txt").unlink(missing_ok=True)
        write(tmp_path / "data.yaml", listed)
        check_found(propose(labels, 3), 3, [(1, 1.0, "frog")])


def test_coordinates_are_those_of_the_videos_own_frames(tmp_path: Path) -> None:
    """The working frame is half as large, and every second frame is left out."""
    video = ArrayVideo(np.stack([f[::2, ::2] for f in SceneVideo(SCENE).read(0, 12)[::2]]))
    x, y, w, h = box_of(2, 6)
    file = write(tmp_path / "det.txt", f"7,-1,{x - 40},{y},{w + 40 + WIDTH},{h},1\n")
    boxes: list[np.ndarray] = []

    class Watching:
        info = ExactSegmenter.info

        def encode(self, frames: Any) -> Any:
            return list(frames)

        def decode(self, embedding: Any, prompts: Any, *, full_size: bool = True) -> Any:
            boxes.extend(p.box_xyxy for p in prompts)
            return []

    frame = ProposerFrame(video, 3, Watching(), source_hw=SCENE.size_hw, source_idx=6)
    with pytest.raises(ValueError):  # noqa: PT011  # no prediction comes back
        create_proposer(f"boxes:{file}").propose(frame)
    np.testing.assert_allclose(boxes[0], [max(0, (x - 40) / 2), y / 2, WIDTH / 2 - 1, (y + h) / 2 - 1], atol=1e-4)


def test_thousands_of_boxes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    line = ",".join(map(str, (1, -1, *box_of(1, 0))))
    file = write(tmp_path / "many.txt", "".join(f"{line},{k / 5000}\n" for k in range(5000)))
    with caplog.at_level(logging.WARNING):
        found = propose(file, 0)
    assert [len(found), round(found[0].score, 3), round(found[-1].score, 3)] == [100, 1.0, 0.98]
    assert f"{file} has 4999 boxes on frame 0; the best 100 are used." in caplog.text
    monkeypatch.setattr(limits, "MAX_BOXES", 3000)
    with pytest.raises(LimitError, match="has more than 3000 boxes or images; expected detections on one video"):
        propose(file, 0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.json", None, "No file of detections is at .*absent.json; expected COCO .json, MOT .txt, or a folder of YOLO"),
        ("a.xml", "<a/>", "a.xml is no file of detections that can be read; expected COCO"),
        ("a.json", "{", r"a.json cannot be read as detections \(Expecting property name.* line 1 column 2"),
        ("a.json", {"a": 1}, r"a.json cannot be read as detections \(it has no list of annotations\); expected"),
        ("a.json", [{"image_id": 1}], r"a.json, annotation 1: no box can be read \('bbox' is missing or unknown\); expected"),
        ("a.json", coco(images=[]), r"a.json, annotation 1: no box can be read \(71 is missing or unknown\)"),
        (
            "a.json",
            [{"image_id": 1, "bbox": [1, 2, -3, 4]}],
            "annotation 1: .*its numbers are not finite, or a side is negative",
        ),
        ("a.json", coco(images=[*coco()["images"], {"id": 1, "file_name": "b/img_0004.png"}]), "two images called 'img_0004'"),
        ("a.json", coco(images=[{"id": 71, "file_name": "a.jpg"}]), "names images such as 'a', without the numbers of frames"),
        (
            "a.json",
            coco(images=[{"id": 71, "file_name": "4.jpg", "width": 640, "height": 480}]),
            "a.json is of frames of 640x480, and the video has 96x64; expected detections on this video's own frames.",
        ),
        ("a.txt", "1,2,3\n", r"a.txt, line 1: '1,2,3' is no box \(it has 3 numbers\); expected frame, id, left, top"),
        ("a.txt", f"{yolo_line(0, 1, 0)}\n", "a.txt, line 1: .* is no box .it has 5 numbers"),
        (
            "a.txt",
            "1,1,2,2,5,5,1\n1,1,96,2,5,5,1\n",
            "a.txt, line 2: the box from x, y to x, y = 96, 2, 101, 7 lies outside of",
        ),
        ("a.txt", "\n", "a.txt has no line with a box; expected frame, id"),
        ("a.txt", "13,1,2,2,5,5,1\n", "has boxes from frame 12 on, and the video has frames 0 to 11; expected detections on"),
        ("a/", None, "a has no .txt file with the boxes of a frame; expected"),
        (
            "a/3.txt",
            "0 0.5 0.5 0.1\n",
            r"3.txt, line 1: '0 0.5 0.5 0.1' is no box \(it has 4 numbers.*expected class, centre x",
        ),
        ("a/3.txt", "0 50 50 10 10\n", "3.txt, line 1: .*its numbers are no fractions of the frame's sides"),
        ("a/3.txt", "0 1.5 0.5 0.2 0.2\n", "3.txt, line 1: the box .* lies outside of the video's frames"),
    ],
)
def test_a_bad_file_is_one_line(name: str, content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    elif content is not None:
        write(path, content)
    given = path.parent if path.parent != tmp_path else path
    with pytest.raises(BackendError) as caught:
        propose(given, 3, num_source_frames=12)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_is_needed() -> None:
    for name in ("boxes", "boxes:"):
        with pytest.raises(BackendError, match="'boxes' needs a file of detections; write it as boxes:FILE"):
            create_proposer(name)


def test_it_keeps_the_contract(tmp_path: Path) -> None:
    file = write(tmp_path / "det.txt", "\n".join(f"{frame},-1,0,0,1,1,0.5" for frame in range(1, 25)))
    check_proposer(create_proposer(f"boxes:{file}"))
