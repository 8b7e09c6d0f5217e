"""Average precision and recall of video instances: by hand, against COCO's own program, and against TrackEval."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sampt.errors import EvaluationError
from sampt.evaluation.instances.metrics import AREA_RANGES, InstanceScores, evaluate_instances, read_instance_results
from sampt.masks.rle import encode_mask

SHARED = Path(__file__).resolve().parents[4] / "shared"
Box = tuple[int, int, int, int] | None
"""y, x, height, width on one frame."""


def mask_of(box: Box, size_hw: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size_hw, np.bool_)
    if box:
        mask[box[0] : box[0] + box[2], box[1] : box[1] + box[3]] = True
    return mask


def codes(boxes: Sequence[Box], size_hw: tuple[int, int]) -> list[Any]:
    return [encode_mask(mask_of(box, size_hw)).to_json() if box else None for box in boxes]


class Scene:
    """Videos of ``frames`` frames with true and predicted boxes."""

    def __init__(self, frames: int = 2, size_hw: tuple[int, int] = (20, 20), videos: int = 1, categories: int = 1) -> None:
        self.size_hw, self.frames = size_hw, frames
        names = tuple(f"{i:05d}" for i in range(frames))
        self.videos = [SimpleNamespace(id=i + 1, frame_names=names, size_hw=size_hw) for i in range(videos)]
        self.categories = {i + 1: f"kind {i + 1}" for i in range(categories)}
        self.annotations: list[dict[str, Any]] = []
        self.predictions: list[dict[str, Any]] = []
        self.boxes: list[tuple[list[Box], list[Box]]] = []

    def gt(self, *boxes: Box, video: int = 1, category: int = 1, **more: Any) -> Scene:
        areas = [box[2] * box[3] if box else None for box in boxes]
        item = {"id": len(self.annotations) + 1, "video_id": video, "category_id": category, "iscrowd": 0, "areas": areas}
        self.annotations.append(item | {"segmentations": codes(boxes, self.size_hw), "boxes": boxes} | more)
        return self

    def predicted(self, score: float, *boxes: Box, video: int = 1, category: int = 1) -> Scene:
        item = {"video_id": video, "category_id": category, "score": score, "boxes": boxes}
        self.predictions.append(item | {"segmentations": codes(boxes, self.size_hw)})
        return self

    def scores(self, *, use_categories: bool = True) -> InstanceScores:
        return evaluate_instances(self, self.predictions, use_categories=use_categories)


A, B, C = (0, 0, 4, 4), (10, 10, 4, 4), (0, 10, 4, 4)


def test_a_perfect_track() -> None:
    found = Scene().gt(A, B).predicted(0.3, A, B).scores()
    assert (found.ap, found.ap50, found.ap75, found.ap_small) == (1, 1, 1, 1)
    assert (found.ar1, found.ar10, found.ar100, found.ar_small) == (1, 1, 1, 1)
    assert (found.ap_medium, found.ap_large, found.ar_medium, found.ar_large) == (None,) * 4
    assert found.category_ap == {"kind 1": 1}


def test_iou_is_over_space_and_time_together() -> None:
    # 16 pixels are shared, 32 are in either: an IoU of exactly 0.5, although it is 1 and 0 on the frames
    found = Scene().gt(A, A).predicted(1, A, None).scores()
    assert (found.ap, found.ap50, found.ap75, found.ar100) == (pytest.approx(0.1), 1, 0, pytest.approx(0.1))
    # 16 of 16 + 16 + 16 with a prediction elsewhere on the second frame: 1/3
    assert Scene().gt(A, A).predicted(1, A, B).scores().ap == 0
    # frames where neither is do not count
    assert Scene(3).gt(A, None, None).predicted(1, A, None, None).scores().ap == 1


def test_precision_at_101_recalls() -> None:
    scene = Scene().gt(A, A).gt(B, B)
    found = scene.predicted(0.9, A, A).predicted(0.8, C, C).predicted(0.7, B, B).scores()
    # Precision is 1 up to a recall of 0.5 (51 of the 101), 2/3 from there on.
    assert found.ap == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert (found.ar1, found.ar10) == (0.5, 1)


def test_the_better_score_takes_the_track_and_the_other_is_wrong() -> None:
    nearly = (0, 0, 4, 3)  # IoU 0.75
    found = Scene().gt(A, A).predicted(0.9, nearly, nearly).predicted(0.8, A, A).scores()
    # Up to 0.75 the first matches: AP 1. Above only the second does, after a wrong one: precision 1/2.
    assert (found.ap50, found.ap75) == (1, 1)
    assert found.ap == pytest.approx((6 * 1 + 4 * 0.5) / 10)


def test_crowds_take_any_number_of_predictions_and_count_for_nothing() -> None:
    scene = Scene().gt(A, A).gt(B, B, iscrowd=1)
    for score in (0.9, 0.8):
        scene.predicted(score, B, B)
    assert scene.predicted(0.7, A, A).scores().ap == 1
    assert Scene().gt(B, B, iscrowd=1).predicted(1, B, B).scores().ap is None
    # An ignored track that is no crowd (its area is out of range) takes one prediction only.
    large = (0, 0, 140, 140)
    twice = Scene(size_hw=(300, 300)).gt(large, large).predicted(0.9, large, large).gt(A, A)
    assert twice.predicted(0.8, A, A).scores().ap_small == 1


def test_areas_are_means_over_the_frames_where_a_track_is() -> None:
    at_the_limit = (0, 0, 128, 128)
    scene = Scene(3, (300, 300)).gt(at_the_limit, None, at_the_limit).predicted(1, at_the_limit, None, at_the_limit)
    found = scene.scores()
    assert (found.ap_small, found.ap_medium, found.ap_large) == (1, 1, None)  # the limit belongs to both
    # The areas of the file are believed, as by the API: OVIS gives those of boxes there.
    scene.annotations[0]["areas"] = [70000, None, 70000]
    found = scene.scores()
    assert (found.ap_small, found.ap_large) == (None, 1)
    del scene.annotations[0]["areas"]
    assert scene.scores().ap_small == 1
    # A wrong prediction counts only in the range of its own area.
    scene = Scene(2, (300, 300)).gt(A, A).predicted(0.5, A, A).predicted(0.9, (0, 0, 200, 200), (0, 0, 200, 200))
    found = scene.scores()
    assert (found.ap, found.ap_small) == (0.5, 1)


def test_categories_and_none() -> None:
    scene = Scene(categories=3).gt(A, A, category=1).gt(B, B, category=2)
    scene.predicted(0.9, A, A, category=2).predicted(0.8, B, B, category=2).predicted(1, C, C, category=9)
    found = scene.scores()
    assert found.category_ap == {"kind 1": 0, "kind 2": 0.5}  # category 3 has no track, 9 is unknown
    assert found.ap == 0.25
    assert scene.scores(use_categories=False).ap == 1
    assert scene.scores(use_categories=False).category_ap == {}


def test_videos_share_one_ranking() -> None:
    scene = Scene(videos=2).gt(A, A, video=1).gt(A, A, video=2)
    scene.predicted(0.5, A, A, video=1).predicted(0.9, B, B, video=2).predicted(0.4, A, A, video=2)
    found = scene.scores()
    # Over all: wrong, right, right: precision 1/2 and 2/3, raised to 2/3 everywhere.
    assert found.ap == pytest.approx(2 / 3)
    assert (found.ar1, found.ar10) == (0.5, 1)


def test_no_prediction_is_a_recall_of_zero() -> None:
    found = Scene().gt(A, A).scores()
    assert (found.ap, found.ar100) == (0, 0)


def test_polygons_and_uncompressed_codes_are_read() -> None:
    scene = Scene().gt(A, A).predicted(1, A, A)
    scene.annotations[0]["segmentations"] = [
        [[0, 0, 4, 0, 4, 4, 0, 4]],
        {"size": [20, 20], "counts": [0, *[4, 16] * 3, 4, 336]},
    ]
    assert scene.scores().ap == 1


def random_scene(seed: int) -> Scene:
    """Boxes of all sizes, predictions near ground-truth tracks, some absent on some frames; scores with ties across videos."""
    rng = np.random.default_rng(seed)
    scene = Scene(frames=3, size_hw=(400, 400), videos=4, categories=2)

    def box(side: int) -> tuple[int, int, int, int]:
        y, x = rng.integers(0, 400 - side, 2).tolist()
        return (y, x, side, side)

    for video in range(1, 5):
        for _ in range(6):
            side, category = int(rng.choice([30, 100, 150, 200, 270])), int(rng.integers(1, 3))
            boxes = [box(side) if rng.random() < 0.8 else None for _ in range(3)]
            scene.gt(*boxes, video=video, category=category)
            for _ in range(int(rng.integers(0, 4))):
                moved = [
                    (min(b[0] + int(rng.integers(0, side // 6 + 1)), 400 - side), b[1], side, side)
                    if b and rng.random() < 0.9
                    else None
                    for b in boxes
                ]
                wrong = rng.random() < 0.1
                kind = 3 - category if wrong else category
                scene.predicted(round(float(rng.random()), 2), *moved, video=video, category=kind)
        scene.predicted(round(float(rng.random()), 2), *[box(60) for _ in range(3)], video=video, category=1)
    return scene


def coco_scores(scene: Scene, use_categories: bool) -> list[float]:
    """COCO's program on images: frames below one another make the IoU of an image that of the video."""
    h, w = scene.size_hw

    def tall(item: dict[str, Any]) -> dict[str, Any]:
        return encode_mask(np.concatenate([mask_of(box, scene.size_hw) for box in item["boxes"]])).to_json()

    def area(item: dict[str, Any]) -> float:
        present = [box[2] * box[3] for box in item["boxes"] if box]
        return sum(present) / len(present) if present else 0.0

    def image(item: dict[str, Any]) -> dict[str, Any]:
        shared = {"image_id": item["video_id"], "category_id": item["category_id"], "bbox": [0, 0, 1, 1]}
        return shared | {"segmentation": tall(item), "area": area(item)}

    counted_visible = COCO()
    counted_visible.dataset = {
        "info": {},
        "images": [{"id": v.id, "height": h * scene.frames, "width": w} for v in scene.videos],
        "annotations": [image(item) | {"id": item["id"], "iscrowd": 0} for item in scene.annotations],
        "categories": [{"id": i, "name": name} for i, name in scene.categories.items()],
    }
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counted_visible.createIndex()
        found = counted_visible.loadRes([image(item) | {"score": item["score"]} for item in scene.predictions])
        for item, values in zip(scene.predictions, found.dataset["annotations"], strict=True):
            values["area"] = area(item)
        program = COCOeval(counted_visible, found, "segm")
        program.params.areaRng = [list(bounds) for bounds in AREA_RANGES.values()]
        program.params.useCats = int(use_categories)
        program.evaluate()
        program.accumulate()
        program.summarize()
    return [float(value) for value in program.stats]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("use_categories", [True, False])
def test_equals_coco_on_frames_laid_below_one_another(seed: int, use_categories: bool) -> None:
    scene = random_scene(seed)
    ours = list(scene.scores(use_categories=use_categories).to_dict().values())[:12]
    assert [-1.0 if value is None else value for value in ours] == pytest.approx(coco_scores(scene, use_categories), abs=1e-12)
    assert 0.1 < ours[0] < 0.9


@pytest.mark.parametrize("seed", range(3))
def test_equals_trackeval(seed: int, tmp_path: Path) -> None:
    """Per category, as its YouTube-VIS example does. It wants uncompressed ground truth, and takes no track number 0."""
    trackeval = pytest.importorskip("trackeval", reason="trackeval is one of the [dev] extras")
    scene = random_scene(seed)
    scene.predictions.insert(0, Scene(3, scene.size_hw).predicted(0.0, None, None, None).predictions[0])
    settings = write_for_trackeval(scene, tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        data = trackeval.datasets.YouTubeVIS(settings)
        metric = trackeval.metrics.TrackMAP(
            {
                "AREA_RANGES": [list(bounds) for name, bounds in AREA_RANGES.items() if name != "all"],
                "USE_TIME_RANGES": False,
                "MAX_DETECTIONS": 100,
                "PRINT_CONFIG": False,
            }
        )
        raw = {name: data.get_raw_seq_data("ours", name) for name in data.seq_list}
        results = {}
        for kind in scene.categories.values():
            one = {name: metric.eval_sequence(data.get_preprocessed_seq_data(raw[name], kind)) for name in raw}
            results[kind] = metric.combine_sequences(one)
    found = scene.scores()
    assert found.category_ap == pytest.approx({kind: float(np.mean(r["AP_all"])) for kind, r in results.items()}, abs=1e-9)
    for ours, field in (
        (found.ap, "AP_all"),
        (found.ap_small, "AP_area_s"),
        (found.ap_medium, "AP_area_m"),
        (found.ap_large, "AP_area_l"),
        (found.ar100, "AR_all"),
        (found.ar_small, "AR_area_s"),
        (found.ar_medium, "AR_area_m"),
        (found.ar_large, "AR_area_l"),
    ):
        assert ours == pytest.approx(float(np.mean([r[field] for r in results.values()])), abs=1e-9), field


def write_for_trackeval(scene: Scene, root: Path) -> dict[str, Any]:
    h, w = scene.size_hw

    def plain(box: Box) -> dict[str, Any] | None:
        if not box:
            return None
        columns = mask_of(box, scene.size_hw).ravel(order="F").astype(int)
        ends = np.flatnonzero(np.diff(columns, prepend=0, append=1 - columns[-1]))
        return {"size": [h, w], "counts": np.diff(ends, prepend=0).tolist()}

    counted_visible = {
        "videos": [
            {"id": v.id, "height": h, "width": w, "file_names": [f"clip{v.id}/{n}.jpg" for n in v.frame_names]}
            for v in scene.videos
        ],
        "categories": [{"id": i, "name": name} for i, name in scene.categories.items()],
        "annotations": [
            item | {"height": h, "width": w, "segmentations": [plain(box) for box in item["boxes"]]}
            for item in scene.annotations
        ],
    }
    for path, values in (
        (root / "gt" / "youtube_vis_val" / "counted_visible.json", counted_visible),
        (root / "pred" / "youtube_vis_val" / "ours" / "data" / "results.json", scene.predictions),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    folders = {"GT_FOLDER": f"{root}/gt/", "TRACKERS_FOLDER": f"{root}/pred/", "OUTPUT_FOLDER": f"{root}/out"}
    return folders | {"SPLIT_TO_EVAL": "val", "PRINT_CONFIG": False}


@pytest.mark.skipif(not SHARED.exists(), reason="../shared, with the real annotations, is not there")
def test_real_annotations_against_themselves(tmp_path: Path) -> None:
    values = json.loads((SHARED / "formats" / "ovis_train.json").read_text(encoding="utf-8"))
    videos = [
        SimpleNamespace(id=v["id"], frame_names=tuple(v["file_names"]), size_hw=(v["height"], v["width"]))
        for v in values["videos"]
    ]
    categories = {c["id"]: c["name"] for c in values["categories"]}
    counted_visible = SimpleNamespace(videos=videos, categories=categories, annotations=values["annotations"])
    path = tmp_path / "results.json"
    keys = ("video_id", "category_id", "segmentations")
    path.write_text(json.dumps([{key: a[key] for key in keys} | {"score": 0.5} for a in values["annotations"]]))
    for use_categories in (True, False):
        found = evaluate_instances(counted_visible, read_instance_results(path), use_categories=use_categories)
        assert (found.ap, found.ap50, found.ap75, found.ar100) == (1, 1, 1, 1)
        assert found.ar1 == 1 / 10  # ten tracks of one category


def test_markdown() -> None:
    rows = Scene(categories=2).gt(A, A).gt(B, B, category=2).predicted(1, A, A).scores().to_markdown().splitlines()
    assert rows[0].startswith("| ap | ap50 | ap75 | ap small |")
    assert rows[2].startswith("| 0.500 | 0.500 | 0.500 | 0.500 | - | - | 0.500 |")
    assert rows[-2:] == ["| kind 1 | 1.000 |", "| kind 2 | 0.000 |"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"video_id": 7}, "Prediction 0 is of the video 7, expected one of the dataset's 1 videos"),
    ({"segmentations": [None]}, "Prediction 0 has 1 segmentations; expected 2, one a frame of the video 1"),
    ({"segmentations": None}, "Prediction 0 has no list of segmentations"),
    ({"segmentations": [{"size": [9, 8], "counts": "0"}, None]}, "Prediction 0, frame 0, is 8x9, expected 20x20"),
    ({"segmentations": [None, {"size": [20, 20], "counts": [3]}]}, "frame 1, has runs of 3 pixels, expected 400"),
    ({"segmentations": [{"size": [20, 20]}, None]}, "Prediction 0, frame 0, is no mask"),
    ({"score": None}, "Prediction 0 lacks a number"),
    ({"score": float("nan")}, "Prediction 0 has the score nan"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_what_cannot_be_scored_is_named(change: dict[str, Any], message: str) -> None:
    scene = Scene().gt(A, A).predicted(1, A, A)
    scene.predictions[0] |= change
    with pytest.raises(EvaluationError, match=message) as caught:
        scene.scores()
    assert "\n" not in str(caught.value)


def test_results_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with pytest.raises(EvaluationError, match="does not exist"):
        read_instance_results(path)
    for text, message in (("{", "cannot be read as JSON"), ("{}", "holds no list of tracks"), ("[1]", "holds no list")):
        path.write_text(text)
        with pytest.raises(EvaluationError, match=message):
            read_instance_results(path)
    path.write_text('{"annotations": [{"id": 1}]}')
    assert read_instance_results(path) == [{"id": 1}]
