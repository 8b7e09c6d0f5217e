"""What goes into training: COCO instances, YOLO, MOTS and folders of frames and masks, read by readers that are not ours."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from sampt.errors import ConfigError, OutputError
from sampt.exporters.base import ExportContext, ExportObject
from sampt.exporters.registry import export
from sampt.exporters.table import BUILT_IN
from sampt.types import FrameMasks
from tests.exporters.conftest import HEIGHT, WIDTH, Case
from tests.exporters.test_polygons import fill, iou

SIZE = (HEIGHT, WIDTH)
ZIPPED = [name for name, exporter in BUILT_IN.items() if exporter.images_at]


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def image(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def written(case: Case, kind: str, file_name: str, **changes: Any) -> Path:
    options = {key: changes.pop(key) for key in ("images", "classes") if key in changes}
    given = replace(case, **changes)
    return export(kind, iter(given.frames), given.video, given.objects, given.folder / file_name, **options)


def read_coco(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(path)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with NumPy 2
@pytest.mark.parametrize(("kind", "at_least"), [("coco-instances", 1.0), ("coco-polygons", 0.98)])
def test_coco_instances_are_read_by_pycocotools(case: Case, kind: str, at_least: float) -> None:
    coco = read_coco(written(case, kind, "o.json"))
    assert [(i["id"], i["file_name"], i["height"], i["width"]) for i in coco.dataset["images"]] == [
        (n + 1, f"{n:05d}.png", HEIGHT, WIDTH) for n in range(6)
    ]
    assert [(c["id"], c["name"]) for c in coco.dataset["categories"]] == list(enumerate(case.name.values(), 1))
    for n in range(6):
        found = {a["attributes"]["track_id"]: a for a in coco.loadAnns(coco.getAnnIds(imgIds=[n + 1]))}
        # 2 is of single pixels, 9 is never there, 1 and 5 overlap.
        assert set(found) == {o for o in case.name if case.mask(n, o).any()}
        for object_id, annotation in found.items():
            mask = case.mask(n, object_id)
            assert iou(coco.annToMask(annotation) > 0, mask) >= at_least
            assert annotation["area"] == mask.sum()
            box = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask, np.uint8))).tolist()
            assert (annotation["bbox"], annotation["iscrowd"]) == (box, 0)
            assert coco.cats[annotation["category_id"]]["name"] == case.name[object_id]
    assert len({a["id"] for a in coco.dataset["annotations"]}) == len(coco.dataset["annotations"])
    assert not any("good_probability" in a["attributes"] for a in coco.dataset["annotations"])


def test_coco_instances_have_the_probability_that_a_mask_is_good_where_it_is_known(case: Case) -> None:
    frames = [
        replace(f, good_probability=np.linspace(0.25, np.nan if f.frame_idx else 0.25, len(f.masks))) for f in case.frames
    ]
    coco = read_coco(written(case, "coco-instances", "o.json", frames=frames))
    found = [{a["attributes"].get("good_probability") for a in coco.loadAnns(coco.getAnnIds(imgIds=[n + 1]))} for n in range(2)]
    assert found == [{0.25}, {None}]


def read_yolo(files: dict[str, bytes], frame: str) -> list[tuple[str, np.ndarray]]:
    """As https://docs.ultralytics.com/datasets/segment has it: "class x1 y1 x2 y2 ...", fractions of the image's size."""
    lines = files["data.yaml"].decode().split("names:\n")[1].splitlines()
    names = {int(number): ast.literal_eval(name) for number, _, name in (line.partition(": ") for line in lines)}
    found = []
    for line in files[f"labels/train/{frame}.txt"].decode().splitlines():
        number, *numbers = line.split()
        polygon = np.array(numbers, np.float64).reshape(-1, 2)
        assert len(polygon) >= 3
        assert polygon.min() >= 0
        assert polygon.max() <= 1
        found.append((names[int(number)], fill(polygon * [WIDTH, HEIGHT], SIZE)))
    return found


def test_yolo_labels_come_back(case: Case) -> None:
    files = members(written(case, "yolo-seg", "o.zip"))
    assert set(files) == {"data.yaml"} | {f"labels/train/{n:05d}.txt" for n in range(6)}
    for n in range(6):
        there = [o for o in case.name if case.mask(n, o).any()]
        found = read_yolo(files, f"{n:05d}")
        assert [name.encode("utf-16", "surrogatepass").decode("utf-16") for name, _ in found] == [case.name[o] for o in there]
        for (_, mask), object_id in zip(found, there, strict=True):
            assert iou(mask, case.mask(n, object_id)) >= 0.98


def test_a_frame_without_an_object_trains_as_background(case: Case) -> None:
    empty = [replace_masks(frame, np.zeros_like(frame.masks)) for frame in case.frames[:1]]
    frames = empty + case.frames[1:2]
    files = members(written(case, "yolo-seg", "o.zip", frames=frames, images="png"))
    assert files["labels/train/00000.txt"] == b""
    assert "images/train/00000.png" in files
    coco = read_coco(written(case, "coco-instances", "o.json", frames=frames))
    assert coco.getAnnIds(imgIds=[1]) == []
    assert len(coco.getAnnIds(imgIds=[2])) == 3
    assert not image(members(written(case, "mots", "m.zip", frames=frames))["train/instances/00000.png"]).any()
    folder = members(written(case, "image-folder", "f.zip", frames=frames))
    assert json.loads(folder["metadata.jsonl"].splitlines()[0])["classes"] == []


def replace_masks(frame: FrameMasks, masks: np.ndarray) -> FrameMasks:
    return FrameMasks(frame.frame_idx, frame.object_ids, masks, frame.scores, frame.states, frame.points)


def test_mots_images_and_text_are_one_result_to_the_byte(case: Case) -> None:
    files = members(written(case, "mots", "o.zip", objects=[*dog_and_bees(), ExportObject(9, "dog", (1, 2, 3))]))
    (text,) = [data for name, data in files.items() if name.startswith("instances_txt/")]
    rows = [line.split(" ") for line in text.decode("ascii").splitlines()]
    assert files["train/instances/labels.txt"] == b"dog\nbee\n"
    values = {1: 1001, 2: 2002, 5: 2005}
    for n in range(6):
        labels = image(files[f"train/instances/{n:05d}.png"])
        assert labels.dtype == np.uint16
        left = np.ones(SIZE, np.bool_)
        coded = {int(value): (int(kind), [int(h), int(w)], counts) for f, value, kind, h, w, counts in rows if int(f) == n}
        for object_id, value in values.items():
            mask = case.mask(n, object_id) & left  # the smaller id lies on top
            left &= ~mask
            assert np.array_equal(labels == value, mask)
            if mask.any():
                kind, size, counts = coded.pop(value)
                assert (kind, size) == (value // 1000, [HEIGHT, WIDTH])
                assert coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode() == counts
        assert not coded


def dog_and_bees() -> list[ExportObject]:
    return [ExportObject(1, "dog", (1, 2, 3)), ExportObject(2, "bee", (4, 5, 6)), ExportObject(5, "bee", (7, 8, 9))]


def test_a_folder_of_frames_and_masks_has_classes_as_values(case: Case) -> None:
    files = members(written(case, "image-folder", "o.zip", objects=dog_and_bees()))
    rows = [json.loads(line) for line in files["metadata.jsonl"].splitlines()]
    assert [row["frame_idx"] for row in rows] == list(range(6))
    meta = json.loads(files["dataset_meta.json"])
    assert meta["label_map"] == {"0": "background", "1": "dog", "2": "bee"}
    for n, row in enumerate(rows):
        assert np.array_equal(image(files[row["file_name"]]), case.video.read(n, n + 1)[0])
        labels = image(files[row["mask_file_name"]])
        dog = case.mask(n, 1)
        assert np.array_equal(labels == 1, dog)
        assert np.array_equal(labels == 2, (case.mask(n, 2) | case.mask(n, 5)) & ~dog)
        colors = np.asarray(Image.open(io.BytesIO(files[row["mask_file_name"]])).convert("RGB"))
        assert {tuple(c) for c in colors[dog].tolist()} == {tuple(meta["segmentation_colors"][1])}


@pytest.mark.parametrize("kind", ZIPPED)
def test_frames_are_written_beside_on_request(case: Case, kind: str) -> None:
    exporter = BUILT_IN[kind]
    files = members(written(case, kind, "o.zip", images="png"))
    for n in range(6):
        name = exporter.image_stem.format(name=f"{n:05d}", frame_idx=n)
        assert np.array_equal(image(files[f"{exporter.images_at}/{name}.png"]), case.video.read(n, n + 1)[0])
    if exporter.result_at:
        alone = written(case, kind, f"alone{exporter.suffix}").read_bytes()
        if kind != "label-studio":  # there the images' addresses are other ones
            assert files[exporter.result_at] == alone
    assert case.files() == {"o.zip"} | ({f"alone{exporter.suffix}"} if exporter.result_at else set())


def test_jpegs_are_named_as_such_wherever_a_frame_is_named(case: Case) -> None:
    files = members(written(case, "coco-instances", "c.zip", images="jpg"))
    names = [i["file_name"] for i in json.loads(files["annotations/instances_default.json"])["images"]]
    assert names == [f"{n:05d}.jpg" for n in range(6)]
    assert {f"images/default/{name}" for name in names} < set(files)
    near = np.abs(image(files["images/default/00000.jpg"]).astype(int) - case.video.read(0, 1)[0])
    assert near.mean() < 3
    assert b'name="00003.jpg"' in members(written(case, "cvat-polygons", "p.zip", images="jpg"))["annotations.xml"]
    studio = members(written(case, "label-studio", "l.zip", images="jpg"))
    url = json.loads(studio["tasks.json"])[2]["data"]["image"]
    assert url.endswith("/images/00002.jpg")
    assert b"BrushLabels" in studio["label-config.xml"]


def test_classes_have_the_numbers_of_the_list_in_every_format(case: Case) -> None:
    given: dict[str, Any] = {"objects": dog_and_bees(), "classes": ("cat", "bee", "dog")}
    coco = read_coco(written(case, "coco-polygons", "o.json", **given))
    assert [c["name"] for c in coco.dataset["categories"]] == ["cat", "bee", "dog"]
    assert {(a["attributes"]["track_id"], a["category_id"]) for a in coco.dataset["annotations"]} == {(1, 3), (2, 2), (5, 2)}
    assert written(case, "cvat", "o.xml", **given).read_text().count("<name>cat</name>") == 1
    yolo = members(written(case, "yolo-seg", "y.zip", **given))["labels/train/00000.txt"].decode().splitlines()
    assert [line.split()[0] for line in yolo] == ["2", "1", "1"]
    mots = image(members(written(case, "mots", "m.zip", **given))["train/instances/00000.png"])
    assert set(np.unique(mots).tolist()) == {0, 3001, 2002, 2005}
    vis = json.loads(written(case, "youtube-vis", "v.json", **given).read_text())
    assert [(a["id"], a["category_id"]) for a in vis["annotations"]] == [(1, 3), (2, 2), (5, 2)]


@pytest.mark.parametrize(
    ("kind", "changes", "text"),
    [
        ("mots", {"objects": [ExportObject(i, f"kind {i}", (1, 2, 3)) for i in range(1, 11)]}, "of 10 classes; MOTS has 9"),
        ("mots", {"objects": [ExportObject(1000, "dog", (1, 2, 3))]}, "Object id 1000 does not fit into MOTS"),
        ("mots", {"objects": [ExportObject(1, " dog", (1, 2, 3))]}, "named ' dog'"),
        ("mots", {"objects": [ExportObject(1, "a\u2028b", (1, 2, 3))]}, "MOTS wants a line"),
        ("image-folder", {"objects": [ExportObject(1, "background", (1, 2, 3))]}, "named 'background'"),
        ("yolo-seg", {"classes": ("dog",)}, "which is none of the classes dog"),
        ("cvat", {"classes": ("dog", "dog")}, "'dog' is listed twice"),
        ("coco-instances", {"images": "png", "name": "o.json"}, "ends in .zip"),
    ],
)
def test_what_a_format_cannot_hold_is_one_line_and_leaves_nothing(
    case: Case, kind: str, changes: dict[str, Any], text: str
) -> None:
    name = changes.pop("name", f"o{BUILT_IN[kind].suffix}")
    with pytest.raises(OutputError, match=text) as info:
        written(case, kind, name, **changes)
    assert "\n" not in str(info.value)
    assert case.files() == set()


def test_kinds_without_a_place_for_frames_say_so(case: Case) -> None:
    with pytest.raises(ConfigError, match=r"export overlay has no place for the frames.*coco-instances"):
        written(case, "overlay", "o.zip", images="png")


@pytest.mark.parametrize("kind", ZIPPED)
def test_an_export_with_frames_that_fails_leaves_what_was_there(case: Case, failing_frames: Any, kind: str) -> None:
    (case.folder / "o.zip").write_bytes(b"older")
    with pytest.raises(OutputError, match="the segmentation failed"):
        export(kind, failing_frames(case), case.video, case.objects, case.folder / "o.zip", images="png")
    assert (case.folder / "o.zip").read_bytes() == b"older"
    assert case.files() == {"o.zip"}


KILLED = """
import sys, numpy as np
from sampt.exporters.base import object_named
from sampt.exporters.registry import export
from sampt.types import FrameMasks
from sampt.video.array import ArrayVideo
def frames():
    for i in range(3):
        yield FrameMasks(i, [1], np.ones((1, 8, 9), bool), [1.0], [0])
    print("three are written", flush=True)
    sys.stdin.read()
video = ArrayVideo(np.zeros((9, 8, 9, 3), np.uint8), fps=5)
export(sys.argv[1], frames(), video, [object_named(1)], sys.argv[2], images="png")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("kind", ["coco-instances", "yolo-seg"])
def test_a_killed_export_leaves_nothing_that_looks_complete(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", KILLED, kind, str(tmp_path / "o.zip")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"three are written\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    left = {path.name for path in tmp_path.iterdir()}
    assert left
    assert all(name.endswith(".partial") for name in left)


def test_a_context_numbers_classes_by_object_id_when_none_are_listed(case: Case) -> None:
    context = ExportContext(case.video, list(reversed(dog_and_bees())))
    assert context.class_names == ("dog", "bee")
    assert context.class_numbers() == {1: 0, 2: 1, 5: 1}
    assert context.class_colors == {"dog": (1, 2, 3), "bee": (4, 5, 6)}


@pytest.mark.parametrize(
    ("kind", "foreign_name"),
    [
        ("coco-instances", "coco_instances"),
        ("coco-polygons", "coco_instances"),
        ("cvat", "cvat"),
        ("cvat-polygons", "cvat"),
        ("cvat-tracks", "cvat"),
        ("mots", "mots"),
        ("image-folder", "common_semantic_segmentation"),
    ],
)
def test_foreign_datumaro_opens_the_archive_as_it_is(case: Case, foreign: Any, kind: str, foreign_name: str) -> None:
    datumaro = foreign("datumaro")
    objects = dog_and_bees()
    with zipfile.ZipFile(written(case, kind, "o.zip", objects=objects, images="png")) as archive:
        archive.extractall(case.folder / "unpacked")
    dataset = datumaro.Dataset.import_from(str(case.folder / "unpacked"), foreign_name)
    labels = [label.name for label in dataset.categories()[datumaro.AnnotationType.label]]
    assert [label for label in labels if label != "background"] == ["dog", "bee"]
    seen = set()
    for item in dataset:
        n = int(item.id.removeprefix("frame_"))
        seen.add(n)
        assert np.array_equal(np.asarray(item.media.data)[..., ::-1], case.video.read(n, n + 1)[0])
        found: dict[str, np.ndarray] = {}
        for a in item.annotations:
            if a.attributes.get("outside") or a.type == datumaro.AnnotationType.bbox:  # COCO's boxes come beside the masks
                continue
            is_polygon = a.type == datumaro.AnnotationType.polygon
            mask = fill(np.array(a.points).reshape(-1, 2), SIZE) if is_polygon else np.asarray(a.image) > 0
            found[labels[a.label]] = found.get(labels[a.label], np.zeros(SIZE, np.bool_)) | mask
        dog, bees = case.mask(n, 1), case.mask(n, 2) | case.mask(n, 5)
        assert iou(found["dog"], dog) >= 0.98
        assert iou(found["bee"], bees & ~dog if kind in ("mots", "image-folder") else bees) >= 0.98
    assert seen == set(range(6))
