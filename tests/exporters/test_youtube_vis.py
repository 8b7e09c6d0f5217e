import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sampt.exporters.base import ExportObject
from sampt.masks.rle import Rle, decode_mask

KEYS = {"id", "video_id", "category_id", "iscrowd", "score", "height", "width", "length", "areas", "bboxes", "segmentations"}


def read(path):
    """A strict reader: exactly the fields of the layout, lists of one length, ids that refer to each other."""
    content = json.loads(path.read_text())
    assert set(content) == {"info", "videos", "categories", "annotations"}
    (video,) = content["videos"]
    assert set(video) == {"id", "width", "height", "length", "file_names"}
    assert len(video["file_names"]) == video["length"]
    categories = {category["id"] for category in content["categories"]}
    for annotation in content["annotations"]:
        assert set(annotation) == KEYS
        assert annotation["video_id"] == video["id"]
        assert annotation["category_id"] in categories
        lists = [annotation[key] for key in ("areas", "bboxes", "segmentations")]
        assert {len(values) for values in lists} == {video["length"]}
        for area, box, code in zip(*lists, strict=True):
            assert (area is None) == (box is None) == (code is None)
            assert code is None or code["size"] == [video["height"], video["width"]]
    return content


def test_masks_areas_boxes_and_names_read_back_exactly(case):
    content = read(case.export("youtube-vis", "o.json"))
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert {a["id"]: names[a["category_id"]] for a in content["annotations"]} == case.name
    for annotation in content["annotations"]:
        for i in range(6):
            mask, code = case.mask(i, annotation["id"]), annotation["segmentations"][i]
            if not mask.any():
                assert code is None
                continue
            assert np.array_equal(decode_mask(Rle.from_json(code)), mask)
            compressed = {"size": code["size"], "counts": code["counts"].encode()}
            assert annotation["areas"][i] == mask.sum() == coco_mask.area(compressed)
            assert annotation["bboxes"][i] == coco_mask.toBbox(compressed).tolist()


def test_object_that_never_comes_has_an_annotation_of_nulls(case):
    annotation = read(case.export("youtube-vis", "o.json"))["annotations"][-1]
    assert (annotation["id"], annotation["score"]) == (9, 0.0)
    assert annotation["segmentations"] == [None] * 6


def test_listed_object_that_is_on_no_frame_at_all_is_the_same(case):
    objects = [case.objects[0], ExportObject(400, "elsewhere", (0, 0, 0))]
    annotations = read(case.export("youtube-vis", "o.json", objects=objects))["annotations"]
    assert [a["id"] for a in annotations] == [1, 400]
    assert annotations[1]["areas"] == [None] * 6


def test_objects_of_one_name_share_a_category_in_the_color_of_the_first(case):
    objects = [ExportObject(1, "bee", (1, 2, 3)), ExportObject(5, "bee", (4, 5, 6)), ExportObject(2, "ant", (7, 8, 9))]
    content = read(case.export("youtube-vis", "o.json", objects=objects))
    assert [(c["id"], c["name"], c["color"]) for c in content["categories"]] == [(1, "bee", [1, 2, 3]), (2, "ant", [7, 8, 9])]
    assert [(a["id"], a["category_id"]) for a in content["annotations"]] == [(1, 1), (2, 2), (5, 1)]


def test_frames_that_were_not_exported_are_null(case):
    content = read(case.export("youtube-vis", "o.json", frames=case.frames[1:3]))
    assert [a is not None for a in content["annotations"][0]["areas"]] == [False, True, True, False, False, False]
    assert content["annotations"][0]["score"] == pytest.approx(0.5)
