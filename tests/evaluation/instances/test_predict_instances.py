"""The video-instance protocol end to end: masks generated on the first frame, tracked, and scored against the ground truth."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from sampt.segmenters.automatic import AutomaticMaskConfig
from sampt.testing.scenes import SceneVideo, demo_scene
from tests.command import run_command

SCENE = demo_scene(num_frames=5, size_hw=(135, 240))


def eval_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command("eval", *arguments)


def annotation(number: int, masks: list[np.ndarray]) -> dict[str, Any]:
    found = [coco.encode(np.asfortranarray(m.astype(np.uint8))) for m in masks]
    codes = [{"size": c["size"], "counts": c["counts"].decode()} for c in found]
    return {
        "id": number,
        "video_id": 7,
        "category_id": 1,
        "iscrowd": 0,
        "segmentations": [code if m.any() else None for code, m in zip(codes, masks, strict=True)],
        "areas": [int(m.sum()) or None for m in masks],
        "bboxes": [None] * len(masks),
    }


@pytest.fixture(scope="module", autouse=True)
def coarse_grid() -> Iterator[None]:
    """Masks are generated from 144 points instead of 1024, which take most of a minute; workers are given it with the rest."""
    made = AutomaticMaskConfig.for_segmenter
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AutomaticMaskConfig, "for_segmenter", lambda info, **given: made(info, points_per_side=12, **given))
        yield


@pytest.fixture(scope="module")
def ovis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One video of the rendered demo, with its three fish as instances."""
    root = tmp_path_factory.mktemp("OVIS")
    (root / "train" / "fish").mkdir(parents=True)
    video = SceneVideo(SCENE)
    names = [f"fish/img_{i + 1:07d}.jpg" for i in range(video.num_frames)]
    for i, name in enumerate(names):
        Image.fromarray(video.read(i, i + 1)[0]).save(root / "train" / name, quality=97)
    masks = [SCENE.masks(i) for i in range(video.num_frames)]
    gt = {
        "info": {},
        "videos": [{"id": 7, "width": 240, "height": 135, "length": len(names), "file_names": names}],
        "categories": [{"id": 1, "name": "Fish", "supercategory": "object"}],
        "annotations": [annotation(k + 1, [m[k] for m in masks]) for k in range(len(masks[0]))],
    }
    (root / "annotations_train.json").write_text(json.dumps(gt))
    return root


@pytest.fixture(scope="module")
def predictions(ovis: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "fish"
    limits = ("--mask-score", "0.8", "--mask-stability", "0.9")
    options = ("--root", str(ovis), "--split", "train", "-o", str(output), "--no-reinit", "--quiet", *limits)
    done = eval_command("run", "ovis", *options)
    assert (done.returncode, done.stderr) == (0, "")
    return output


def test_objects_are_found_followed_and_scored(predictions: Path) -> None:
    tracks = json.loads((predictions / "results.json").read_text())
    assert len(tracks) >= 3
    for track in tracks:
        assert (track["video_id"], track["category_id"], len(track["segmentations"])) == (7, 1, 5)
        assert 0 <= track["score"] <= 1
    done = eval_command("score", str(predictions))
    assert done.returncode == 0, done.stderr
    scores = json.loads((predictions / "scores.json").read_text())
    # Two of the three fish are found on frame 0, and tracked over five: IoU 0.90 and 0.85, which are 8 and 7 of ten thresholds.
    assert scores["ar100"] >= 0.5
    assert 0 < scores["ap"] <= 1
    assert f"{scores['ar100']:.3f}" in done.stdout


def test_the_report_tells_of_the_run(predictions: Path, tmp_path: Path) -> None:
    assert eval_command("score", str(predictions)).returncode == 0
    done = eval_command("report", str(predictions), "-o", str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "index.html").read_text()
    assert "categories are not distinguished" in page  # sampt does not tell what an object is
    assert page.count("data:image/jpeg;base64,") == 2
    assert "Masks on grey" not in page
    assert "frames/s over tracking, prompting and merging" in page
    assert "tracker nano" in page
    assert "score_threshold&quot;: 0.8," in page
    assert "| fish | ovis train | 1 | 3 | " in (tmp_path / "report.md").read_text()


def test_where_a_server_scores_there_is_an_archive_for_it(ovis: Path, tmp_path: Path) -> None:
    """And tracks carry a category that the dataset has, or every scorer would leave them out."""
    values = json.loads((ovis / "annotations_train.json").read_text())
    (tmp_path / "valid").symlink_to(ovis / "train")
    video = values["videos"][0]
    short = [video | {"length": 2, "file_names": video["file_names"][:2]}]
    kept_back = values | {
        "videos": short,
        "annotations": None,
        "categories": [{"id": 4, "name": "Fish"}, {"id": 9, "name": "Bird"}],
    }
    (tmp_path / "annotations_valid.json").write_text(json.dumps(kept_back))
    options = ("--root", str(tmp_path), "-o", str(tmp_path / "out"), "--no-reinit", "--quiet", "--preset", "fast-offline")
    done = eval_command("run", "ovis", *options, "--mask-score", "0.8", "--mask-stability", "0.9")
    assert (done.returncode, done.stderr) == (0, "")
    with zipfile.ZipFile(tmp_path / "out" / "submission.zip") as archive:
        assert archive.namelist() == ["results.json"]
        tracks = json.loads(archive.read("results.json"))
    assert {track["category_id"] for track in tracks} == {4}
    refused = eval_command("score", str(tmp_path / "out"))
    assert refused.returncode == 2
    assert "annotations of ovis valid are not public" in refused.stderr


def test_other_thresholds_are_another_run(predictions: Path, ovis: Path) -> None:
    options = ("--root", str(ovis), "--split", "train", "-o", str(predictions), "--no-reinit", "--quiet")
    done = eval_command("run", "ovis", *options)
    assert done.returncode == 2
    assert "holds predictions with another dataset" in done.stderr


def test_a_video_without_a_proposal_is_recorded(ovis: Path, tmp_path: Path) -> None:
    limits = ("--mask-score", "1.0", "--mask-stability", "1.0")
    done = eval_command("run", "ovis", "--root", str(ovis), "--split", "train", "-o", str(tmp_path), *limits)
    assert done.returncode == 1
    assert "No mask is generated on the first frame; lower --mask-score" in done.stderr
    assert json.loads((tmp_path / "results.json").read_text()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sequence", "fish"), "is scored as a whole"),
        (("--formats", "png"), "Tracks are made from the format coco"),
        (("--mask-score", "2"), "score_threshold is 2"),
    ],
)
def test_what_does_not_fit_is_one_line(ovis: Path, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    done = eval_command("run", "ovis", "--root", str(ovis), "--split", "train", "-o", str(tmp_path / "out"), *options)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line
