"""Predictions where a dataset gives no object: run by one worker in this process on what a file of boxes says, then scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.batch.driver import WorkerReply
from sampt.batch.items import BatchItem
from sampt.batch.work import BatchSettings, Worker
from sampt.cli import evaluate
from sampt.config import FindConfig
from sampt.errors import EvaluationError
from sampt.evaluation import open_dataset
from sampt.evaluation.finding import choose_finding
from sampt.geometry import find_mask_box
from sampt.testing import SceneVideo, slow_scene
from tests.command import run_command
from tests.evaluation.instances.test_predict_instances import annotation

SCENE = slow_scene(5)
FRAMES = range(SCENE.num_frames)


class HerePool:
    """One worker, here."""

    num_workers = 1

    def __init__(self, settings: BatchSettings) -> None:
        # As workers elsewhere get them.
        self._worker = Worker(BatchSettings.from_json(json.loads(json.dumps(settings.to_json()))))
        self._replies: list[WorkerReply] = []

    def give(self, worker: int, item: BatchItem, num_free: int) -> None:
        self._replies.append((worker, self._worker.do(BatchItem.from_json(item.to_json()), num_free)))

    def wait(self) -> list[WorkerReply]:
        replies, self._replies = self._replies, []
        return replies


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def pool_for(arguments: Any, settings: BatchSettings, num_items: int) -> Any:
        yield HerePool(settings)

    monkeypatch.setattr(evaluate, "pool_for", pool_for)


def write_frames(folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    names = [f"{i:05d}.jpg" for i in FRAMES]
    for i, name in enumerate(names):
        Image.fromarray(SceneVideo(SCENE).read(i, i + 1)[0]).save(folder / name, quality=97)
    return names


def write_boxes(path: Path, names: dict[int, str], objects: tuple[int, ...] = (1, 2)) -> Path:
    """Detections of the objects on every frame, object 1 the surest, each of the category of its id."""
    height, width = SCENE.size_hw
    annotations = []
    for i in FRAMES:
        for object_id in objects:
            box = find_mask_box(SCENE.masks(i)[object_id - 1])
            assert box is not None
            x0, y0, x1, y1 = (float(v) for v in box)
            bbox = [x0, y0, x1 + 1 - x0, y1 + 1 - y0]
            annotations.append({"image_id": i, "category_id": object_id, "bbox": bbox, "score": 1 - object_id / 10})
    images = [{"id": i, "file_name": f"{i:05d}.jpg", "width": width, "height": height} for i in FRAMES]
    categories = [{"id": i, "name": name} for i, name in names.items()]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


@pytest.fixture(scope="module")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("DAVIS")
    write_frames(root / "JPEGImages" / "480p" / "slow")
    for folder in ("Annotations", "Annotations_unsupervised"):
        (root / folder / "480p" / "slow").mkdir(parents=True)
        for i in FRAMES:
            labels = (SCENE.masks(i) * np.arange(1, 3)[:, None, None]).max(0).astype(np.uint8)
            Image.fromarray(labels).save(root / folder / "480p" / "slow" / f"{i:05d}.png")
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
        (root / "ImageSets" / year / "val.txt").write_text("slow\n")
    return root


def run(dataset: str, root: Path, output: Path, boxes: Path, *options: str) -> dict[str, Any]:
    """What `eval run` and `eval score` say."""
    given = (
        "--root",
        str(root),
        "-o",
        str(output),
        "--quiet",
        "--no-reinit",
        "--no-object-memory",
        "--tracker",
        "lucas-kanade",
        "--segmenter",
        "grabcut",
    )
    done = run_command("eval", "run", dataset, *given, "--proposer", f"boxes:{boxes}", "--find-every", "2", *options)
    assert (done.returncode, done.stderr) == (0, "")
    scored = run_command("eval", "score", str(output))
    assert scored.returncode == 0, scored.stderr
    scores: dict[str, Any] = json.loads((output / "scores.json").read_text())
    return scores


def test_davis_without_given_masks(davis: Path, tmp_path: Path) -> None:
    boxes = write_boxes(tmp_path / "boxes.json", {1: "warm", 2: "cool"})
    both = run("davis-2017-unsupervised", davis, tmp_path / "2017", boxes)
    assert both["protocol"] == "davis-2017-unsupervised"
    assert {o: one["found_id"] for o, one in both["sequences"]["slow"]["objects"].items()} == {"1": 1, "2": 2}
    assert both["overall"] > 0.85
    salient = run("davis-2016-unsupervised", davis, tmp_path / "2016", boxes)  # the surest one alone, of two that count as one
    assert 0.3 < salient["overall"] < 0.7
    said = json.loads((tmp_path / "2016" / "eval.json").read_text())["dataset"]["find"]
    assert (said["every"], said["max_objects"]) == (2, 1)
    report = run_command("eval", "report", str(tmp_path / "2017"), "-o", str(tmp_path / "report"))
    assert report.returncode == 0, report.stderr
    assert "boxes.json" in (tmp_path / "report" / "index.html").read_text()


def test_where_nothing_is_found_every_object_is_missed(davis: Path, tmp_path: Path) -> None:
    boxes = write_boxes(tmp_path / "boxes.json", {1: "warm", 2: "cool"})
    scores = run("davis-2017-unsupervised", davis, tmp_path / "out", boxes, "--find-min-score", "1")
    assert scores["overall"] == 0


def test_words_of_the_proposer_become_categories(tmp_path: Path) -> None:
    names = write_frames(tmp_path / "train" / "clip")
    masks = [SCENE.masks(i) for i in FRAMES]
    gt = {
        "videos": [{"id": 7, "width": 96, "height": 64, "length": len(names), "file_names": [f"clip/{n}" for n in names]}],
        "categories": [{"id": 4, "name": "Fish"}, {"id": 9, "name": "giant_panda"}],
        "annotations": [annotation(k + 1, [m[k] for m in masks]) | {"category_id": 9 - 5 * k} for k in range(2)],
    }
    (tmp_path / "annotations_train.json").write_text(json.dumps(gt))
    boxes = write_boxes(tmp_path / "boxes.json", {1: "a giant panda", 2: "stone"})
    scores = run("ovis", tmp_path, tmp_path / "out", boxes, "--split", "train")
    tracks = json.loads((tmp_path / "out" / "results.json").read_text())
    assert sorted(track["category_id"] for track in tracks) == [4, 9]  # no category is called stone: the first one
    assert scores["ar100"] > 0.5
    with_categories = run_command("eval", "score", str(tmp_path / "out"), "--categories")
    assert with_categories.returncode == 0, with_categories.stderr


def test_what_is_looked_for_depends_on_dataset_and_preset(davis: Path, tmp_path: Path) -> None:
    (tmp_path / "annotations_train.json").write_text(json.dumps({"videos": [], "categories": [], "annotations": []}))
    ovis, given = open_dataset("ovis", tmp_path, "train"), open_dataset("davis-2016", davis)
    one, several = (open_dataset(f"davis-{year}-unsupervised", davis) for year in ("2016", "2017"))
    assert choose_finding(given, "default", None) is None
    assert choose_finding(one, "default", None) == FindConfig(max_objects=1)
    assert choose_finding(several, "paper-v1", {"every": 5}) == FindConfig(every=5, max_objects=20)
    assert choose_finding(ovis, "default", None) == FindConfig("automatic", max_objects=100)
    for preset, said, generates in (("paper-v1", None, False), ("default", {"every": 0}, True), ("default", None, True)):
        assert choose_finding(ovis, preset, said, generates=generates) is None
    assert choose_finding(ovis, "paper-v1", {}) == FindConfig("automatic", max_objects=100)
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: choose_finding(given, "default", {}), "leave --find... out"),
        (lambda: choose_finding(several, "default", {"max_objects": 21}), "--find-max is 21; expected 20 at most"),
        (lambda: choose_finding(ovis, "default", {"every": 3}, generates=True), "on the first frame alone; leave them out"),
    ]
    for choose, message in refused:
        with pytest.raises(EvaluationError, match=message):
            choose()
