import dataclasses
import json
from functools import partial
from xml.etree import ElementTree

import numpy as np
import pytest

from sampt.errors import OutputError
from sampt.exporters.base import Exporter, ExportObject
from sampt.exporters.label_studio import LabelStudioBoxes, LabelStudioMasks, brush_rle, label_studio_config
from sampt.exporters.registry import export


def unpack(data):
    """The values of a packing of thi.ng/rle-pack, bit by bit as its decoder reads them; padding must be zeros."""
    bits = "".join(f"{byte:08b}" for byte in data)
    location = 0

    def take(count):
        nonlocal location
        location += count
        assert location <= len(bits)
        return int(bits[location - count : location], 2)

    num, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < num:
        is_run = take(1)
        count = take(sizes[take(2)]) + 1
        values += [take(word)] * count if is_run else [take(word) for _ in range(count)]
    assert len(values) == num
    assert "1" not in bits[location:]
    assert len(bits) - location < 8
    return np.array(values, np.uint8)


def mask_of(region):
    value = region["value"]
    assert value["format"] == "rle"
    pixels = unpack(value["rle"]).reshape(region["original_height"], region["original_width"], 4)
    assert (pixels == pixels[..., :1]).all()
    assert set(np.unique(pixels)) <= {0, 255}
    return pixels[..., 3] == 255


def read_brush(path):
    tasks = json.loads(path.read_text())
    for task in tasks:
        assert set(task) == {"data", "predictions"}
        (prediction,) = task["predictions"]
        assert prediction["score"] == min(region["score"] for region in prediction["result"])
        for region in prediction["result"]:
            assert (region["type"], region["from_name"], region["to_name"]) == ("brushlabels", "brush", "image")
            assert region["image_rotation"] == 0
            assert 0 <= region["score"] <= 1
            assert len(region["value"]["brushlabels"]) == 1
    return tasks


def test_brush_masks_read_back_exactly(case):
    tasks = read_brush(case.export("label-studio", "o.json"))
    assert [task["data"]["frame_idx"] for task in tasks] == list(range(6))
    for number, task in enumerate(tasks):
        regions = {int(r["meta"]["text"][0].removeprefix("object ")): r for r in task["predictions"][0]["result"]}
        assert set(regions) == {i for i in case.name if case.mask(number, i).any()}
        for object_id, region in regions.items():
            assert region["value"]["brushlabels"] == [case.name[object_id]]
            assert np.array_equal(mask_of(region), case.mask(number, object_id))
    ids = [r["id"] for task in tasks for r in task["predictions"][0]["result"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 63, 64, 65, 16383, 16384, 16385, 40000])
def test_every_length_of_run_is_packed(count):
    mask = np.zeros((1, count + 3), np.bool_)
    mask[0, 1 : count + 1] = True
    values = unpack(brush_rle(mask))
    assert np.array_equal(values, np.repeat(mask.ravel() * np.uint8(255), 4))


def test_address_of_the_images_can_be_given(case):
    path = case.folder / "o.json"
    masks = Exporter("masks", ".json", partial(LabelStudioMasks, image_url="s3://bees/{clip}/{frame}.png"))
    export(masks, case.frames, case.video, case.objects, path)
    assert read_brush(path)[3]["data"]["image"] == f"s3://bees/{case.video.label}/00003.png"
    with pytest.raises(OutputError, match="unknown placeholder"):
        masks = Exporter("masks", ".json", partial(LabelStudioMasks, image_url="{nothing}"))
        export(masks, case.frames, case.video, case.objects, path)
    with pytest.raises(OutputError, match="unknown placeholder"):
        boxes = Exporter("boxes", ".json", partial(LabelStudioBoxes, video_url="{0}"))
        export(boxes, case.frames, case.video, case.objects, path)


def read_video(path):
    (task,) = json.loads(path.read_text())
    assert set(task) == {"data", "predictions"}
    for region in task["predictions"][0]["result"]:
        assert (region["type"], region["from_name"], region["to_name"]) == ("videorectangle", "box", "video")
        for key in region["value"]["sequence"]:
            assert set(key) == {"frame", "enabled", "rotation", "x", "y", "width", "height", "time"}
    return task


def shown(sequence, frame):
    """The box on a frame (from 1) as Label Studio shows it: from a key frame on while enabled, else on that frame alone."""
    before = [key for key in sequence if key["frame"] <= frame]
    if not before or not (before[-1]["enabled"] or before[-1]["frame"] == frame):
        return None
    return [before[-1][side] for side in ("x", "y", "width", "height")]


def percent(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    wide, high = columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
    return [100 * columns[0] / 85, 100 * rows[0] / 47, 100 * wide / 85, 100 * high / 47]


def test_video_boxes_are_shown_where_the_objects_are(case):
    task = read_video(case.export("label-studio-video", "o.json"))
    regions = {int(r["id"].removeprefix("object-")): r for r in task["predictions"][0]["result"]}
    assert set(regions) == {1, 2, 5}
    for object_id, region in regions.items():
        value = region["value"]
        assert value["labels"] == [case.name[object_id]]
        assert (value["framesCount"], value["duration"]) == (6, pytest.approx(0.48))
        for i in range(6):
            mask, box = case.mask(i, object_id), shown(value["sequence"], i + 1)
            assert (box is not None) == mask.any()
            assert box is None or box == pytest.approx(percent(mask))
        assert [key["time"] for key in value["sequence"]] == pytest.approx([key["frame"] / 12.5 for key in value["sequence"]])


def test_scores_are_those_of_the_frames_and_of_the_tracks_their_means(case):
    scores = {1: 0.5, 2: 1.0, 5: 0.25}  # as the fixture has them, on every frame
    for task in read_brush(case.export("label-studio", "o.json")):
        for region in task["predictions"][0]["result"]:
            assert region["score"] == scores[int(region["meta"]["text"][0].removeprefix("object "))]
    (prediction,) = read_video(case.export("label-studio-video", "o.json"))["predictions"]
    assert {int(r["id"].removeprefix("object-")): r["score"] for r in prediction["result"]} == scores
    assert prediction["score"] == 0.25


def test_without_scores_there_is_none(case):
    for i, frame in enumerate(case.frames):
        case.frames[i] = dataclasses.replace(frame, scores=np.full(len(frame.object_ids), np.nan))
    for name in ("label-studio", "label-studio-video"):
        for task in json.loads(case.export(name, "o.json").read_text()):
            for prediction in task["predictions"]:
                assert not [part for part in (prediction, *prediction["result"]) if "score" in part]
    known = {1: 0.5, 2: 0.0, 5: 0.75}  # of a run whose folder has the means alone; 2 was never prompted
    path = export("label-studio-video", case.frames, case.video, case.objects, case.folder / "m.json", mean_scores=known)
    (prediction,) = read_video(path)["predictions"]
    assert {r["id"]: r.get("score") for r in prediction["result"]} == {"object-1": 0.5, "object-2": None, "object-5": 0.75}


def test_config_lists_each_name_once_in_the_color_of_the_first(case):
    objects = [*case.objects, ExportObject(12, case.name[1], (9, 9, 9))]
    for kind in ("image", "video"):
        root = ElementTree.fromstring(label_studio_config(objects, case.video, kind))
        labels = {label.get("value"): label.get("background") for label in root.iter("Label")}
        assert labels == {item.name: item.color_hex for item in case.objects}
        assert list(labels) == list(case.name.values())


def test_foreign_label_studio_decodes_the_masks(case, foreign):
    brush = foreign("label_studio_sdk.converter.brush")
    for number, task in enumerate(read_brush(case.export("label-studio", "o.json"))):
        for region in task["predictions"][0]["result"]:
            object_id = int(region["meta"]["text"][0].removeprefix("object "))
            alpha = brush.decode_rle(region["value"]["rle"]).reshape(47, 85, 4)[..., 3]
            assert np.array_equal(alpha == 255, case.mask(number, object_id))


def test_foreign_label_studio_packs_the_same_bytes(case, foreign):
    brush = foreign("label_studio_sdk.converter.brush")
    mask = case.mask(0, 1)
    theirs = brush.mask2rle(mask.astype(np.uint8) * 255)
    ours = brush_rle(mask)
    assert theirs[: len(ours)] == ours
    assert not any(theirs[len(ours) :])  # theirs may end with a byte of padding


@pytest.mark.parametrize(("name", "kind"), [("label-studio", "image"), ("label-studio-video", "video")])
def test_foreign_label_studio_accepts_tasks_and_config(case, foreign, name, kind):
    interface = foreign("label_studio_sdk.label_interface").LabelInterface(label_studio_config(case.objects, case.video, kind))
    interface.validate()
    for task in json.loads(case.export(name, "o.json").read_text()):
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction, return_errors=True) == []


def test_foreign_label_studio_fills_no_frame_where_an_object_is_absent(case, foreign):
    video = foreign("label_studio_sdk._extensions.label_studio_tools.postprocessing.video")
    task = read_video(case.export("label-studio-video", "o.json"))
    for region in video.extract_key_frames(task["predictions"][0]["result"]):
        object_id = int(region["id"].removeprefix("object-"))
        frames = [key["frame"] - 1 for key in region["value"]["sequence"]]
        assert frames == [i for i in range(6) if case.mask(i, object_id).any()]
