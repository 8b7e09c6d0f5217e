import dataclasses
import json
import os
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from sampt.errors import OutputError
from sampt.exporters.masks import CocoRleWriter, LabelMapWriter, ObjectMaskWriter
from sampt.files.palette import PALETTE
from sampt.masks.rle import Rle, decode_mask, encode_mask
from sampt.types import FrameMasks
from sampt.video.array import ArrayVideo
from tests.results import context, shown


def one_mask(mask, object_id=1, frame_idx=0, score=1.0):
    return FrameMasks(frame_idx, [object_id], np.asarray(mask, np.bool_)[None], [score], [0])


def test_label_map_reads_back_as_palette_png_with_ids(tmp_path, kit):
    result = kit.result(3)
    LabelMapWriter(tmp_path / "masks", kit.context()).write(kit.shown(result, "frame_7"))
    image = Image.open(tmp_path / "masks" / "frame_7.png")
    assert image.mode == "P"
    assert np.array_equal(np.asarray(image), result.label_map())
    assert image.getpalette() == PALETTE.ravel().tolist()
    assert kit.names_in(tmp_path) == {"masks/frame_7.png"}


def test_smaller_id_wins_where_masks_overlap(tmp_path, kit):
    masks = np.ones((2, *kit.size_hw), np.bool_)
    masks[0, :, 40:] = False
    LabelMapWriter(tmp_path, kit.context()).write(kit.shown(FrameMasks(0, [3, 255], masks, [1, 1], [0, 0])))
    labels = np.asarray(Image.open(tmp_path / "0.png"))
    assert (labels[:, :40] == 3).all()
    assert (labels[:, 40:] == 255).all()


def test_id_256_does_not_fit_into_a_label_map(tmp_path, kit):
    with pytest.raises(OutputError, match=r"Object id 256 .* up to 255") as info:
        LabelMapWriter(tmp_path, kit.context()).write(kit.shown(one_mask(np.ones(kit.size_hw), object_id=256)))
    assert "\n" not in str(info.value)
    assert kit.names_in(tmp_path) == set()


def test_the_same_masks_give_the_same_bytes(tmp_path, kit):
    for folder in ("a", "b"):
        LabelMapWriter(tmp_path / folder, kit.context()).write(kit.shown(kit.result()))
        ObjectMaskWriter(tmp_path / f"{folder}o", kit.context()).write(kit.shown(kit.result()))
    assert (tmp_path / "a/0.png").read_bytes() == (tmp_path / "b/0.png").read_bytes()
    assert (tmp_path / "ao/2/0.png").read_bytes() == (tmp_path / "bo/2/0.png").read_bytes()


def test_object_masks_keep_overlaps_and_empty_frames(tmp_path, kit):
    rng = np.random.default_rng(0)
    masks = rng.random((3, *kit.size_hw)) < [[[0.5]], [[0.5]], [[0.0]]]
    result = FrameMasks(0, [1, 2, 900], masks, [1, 1, np.nan], [0, 0, 1])
    ObjectMaskWriter(tmp_path, kit.context()).write(kit.shown(result, "00000"))
    assert kit.names_in(tmp_path) == {"1/00000.png", "2/00000.png", "900/00000.png"}
    for object_id, mask in zip((1, 2, 900), masks, strict=True):
        assert np.array_equal(np.asarray(Image.open(tmp_path / str(object_id) / "00000.png")), mask)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (48, 85)])
@pytest.mark.parametrize("density", [0.0, 0.4, 1.0])
def test_rle_round_trip_equals_pycocotools_own(shape, density):
    mask = np.random.default_rng(1).random(shape) < density
    rle = encode_mask(mask).to_json()
    assert rle["size"] == list(shape)
    assert rle["counts"].encode() == coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"]
    assert np.array_equal(decode_mask(Rle.from_json(rle)), mask)


def written_coco(tmp_path, video, results):
    writer = CocoRleWriter(tmp_path / "masks.json", context(video))
    for result in results:
        writer.write(shown(result))
    writer.close(success=True)
    return json.loads((tmp_path / "masks.json").read_text())


def test_coco_file_has_the_youtube_vis_layout(tmp_path, kit, video):
    data = written_coco(tmp_path, video, [kit.result(i) for i in (0, 1, 3, 4)])
    assert list(data) == ["info", "videos", "categories", "annotations"]
    assert data["videos"][0]["length"] == 5
    assert (data["videos"][0]["height"], data["videos"][0]["width"]) == kit.size_hw
    assert data["videos"][0]["file_names"][4] == "ArrayVideo/00004.jpg"
    assert [a["id"] for a in data["annotations"]] == [1, 2, 7]
    first = data["annotations"][0]
    assert {k: first[k] for k in ("video_id", "category_id", "iscrowd", "height", "width", "length")} == {
        "video_id": 1, "category_id": 1, "iscrowd": 0, "height": 48, "width": 85, "length": 5,
    }  # fmt: skip
    assert first["areas"] == [300, 300, None, 300, 300]
    assert first["bboxes"] == [[5, 10, 30, 10], [6, 10, 30, 10], None, [8, 10, 30, 10], [9, 10, 30, 10]]
    assert data["annotations"][1]["bboxes"][0] == [84, 47, 1, 1]
    assert kit.names_in(tmp_path) == {"masks.json"}


def test_coco_segmentations_and_scores_are_those_written(tmp_path, kit, video):
    results = [kit.result(i) for i in range(5)]
    first, second, absent = written_coco(tmp_path, video, results)["annotations"]
    for i, result in enumerate(results):
        assert np.array_equal(decode_mask(Rle.from_json(first["segmentations"][i])), result.masks[0])
        assert coco_mask.area(second["segmentations"][i]) == 1
    assert absent["segmentations"] == absent["areas"] == absent["bboxes"] == [None] * 5
    assert first["score"] == pytest.approx(0.1 + 2 / 7, abs=1e-7)  # mean over frames 0 to 4
    assert (second["score"], absent["score"]) == (1.0, 0.0)
    assert first["scores"] == [float(result.scores[0]) for result in results]
    assert absent["scores"] == [None] * 5


def test_coco_score_is_the_mean_over_prompted_frames_only(tmp_path, kit, video):
    results = [
        dataclasses.replace(one_mask(np.ones(kit.size_hw), score=s), frame_idx=i) for i, s in enumerate([0.25, np.nan, 0.75])
    ]
    (annotation,) = written_coco(tmp_path, video, results)["annotations"]
    assert annotation["score"] == 0.5
    assert annotation["scores"] == [0.25, None, 0.75, None, None]


def test_coco_without_a_frame_is_an_empty_list(tmp_path, video):
    data = written_coco(tmp_path, video, [])
    assert data["annotations"] == []
    assert data["videos"][0]["length"] == 5


def test_failed_coco_leaves_no_file(tmp_path, kit, video):
    writer = CocoRleWriter(tmp_path / "masks.json", kit.context(video))
    writer.write(kit.shown(kit.result()))
    writer.close(success=False)
    assert kit.names_in(tmp_path) == set()


def test_coco_of_three_objects_and_a_thousand_frames_costs_under_five_megabytes(tmp_path):
    video = ArrayVideo([np.zeros((120, 160, 3), np.uint8)] * 1000)
    rng = np.random.default_rng(0)
    masks = rng.random((3, 120, 160)) < 0.5  # noise: 1000 frames make a file of tens of megabytes
    tracemalloc.start()
    writer = CocoRleWriter(tmp_path / "masks.json", context(video))
    before = tracemalloc.get_traced_memory()[0]
    for i in range(1000):
        writer.write(shown(FrameMasks(i, [1, 2, 3], masks, [1, 1, 1], [0, 0, 0])))
    writer.close(success=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "masks.json").stat().st_size > 20e6
    assert peak - before < 5e6


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, whose writes fail as on a full disk")
@pytest.mark.parametrize("overlapping", [False, True])
def test_full_disk_is_one_line_and_leaves_no_mask(tmp_path, kit, overlapping):
    writer = (ObjectMaskWriter if overlapping else LabelMapWriter)(tmp_path, kit.context())
    target = tmp_path / "1" / "0.png" if overlapping else tmp_path / "0.png"
    target.parent.mkdir(exist_ok=True)
    kit.block(target)
    with pytest.raises(OutputError, match=r"No space left on device.*free some") as info:
        writer.write(kit.shown(kit.result()))
    assert "\n" not in str(info.value)
    assert kit.names_in(tmp_path) == set()
