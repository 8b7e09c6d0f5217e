from xml.etree import ElementTree

import numpy as np
import pytest

from sampt.exporters.base import ExportObject
from tests.exporters.test_polygons import fill, iou


def read_head(root, mode):
    assert root.tag == "annotations"
    assert root.findtext("version") == "1.1"
    task = root.find("meta/task")
    assert (task.findtext("size"), task.findtext("mode")) == ("6", mode)
    assert [task.findtext(f"original_size/{side}") for side in ("width", "height")] == ["85", "47"]
    return {label.findtext("name"): label.findtext("color") for label in task.iterfind("labels/label")}


def cvat_mask(element, size_hw):
    """As CVAT reads it: the runs alternate from background on, row by row inside the box."""
    left, top, width, height = (int(element.attrib[key]) for key in ("left", "top", "width", "height"))
    runs = [int(number) for number in element.attrib["rle"].split(",")]
    assert sum(runs) == width * height
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask = np.zeros(size_hw, np.bool_)
    mask[top : top + height, left : left + width] = flat.reshape(height, width)
    return mask


def test_masks_read_back_exactly(case):
    root = ElementTree.parse(case.export("cvat", "o.xml")).getroot()
    assert read_head(root, "annotation") == {item.name: item.color_hex for item in case.objects}
    images = root.findall("image")
    assert [(i.get("id"), i.get("name")) for i in images] == [(str(n), f"{n:05d}.png") for n in range(6)]
    for number, image in enumerate(images):
        assert (image.get("width"), image.get("height")) == ("85", "47")
        found = {int(element.get("group_id")): element for element in image}
        assert set(found) == {i for i in case.name if case.mask(number, i).any()}
        for object_id, element in found.items():
            assert element.tag == "mask"
            assert (element.get("label"), element.get("occluded")) == (case.name[object_id], "0")
            assert np.array_equal(cvat_mask(element, (47, 85)), case.mask(number, object_id))


def test_smaller_ids_lie_on_top(case):
    image = ElementTree.parse(case.export("cvat", "o.xml")).getroot().find("image")
    order = sorted(image, key=lambda element: int(element.get("z_order")))
    assert [element.get("group_id") for element in order] == ["5", "2", "1"]


def test_objects_of_one_name_are_one_label_and_two_groups(case):
    objects = [ExportObject(1, "bee", (1, 2, 3)), ExportObject(5, "bee", (4, 5, 6))]
    root = ElementTree.parse(case.export("cvat", "o.xml", objects=objects)).getroot()
    assert read_head(root, "annotation") == {"bee": "#010203"}
    assert [(e.get("label"), e.get("group_id")) for e in root.find("image")] == [("bee", "1"), ("bee", "5")]


def shown_boxes(track, num_frames):
    """(frame -> box) as CVAT shows a track: a key frame holds until the next one, unless it is outside."""
    keys = {int(box.get("frame")): box for box in track}
    assert list(keys) == sorted(keys)
    assert next(iter(keys.values())).get("outside") == "0"  # CVAT refuses a track that starts outside
    shown, current = {}, None
    for frame in range(num_frames):
        current = keys.get(frame, current)
        if current is not None and current.get("outside") == "0":
            shown[frame] = [float(current.get(side)) for side in ("xtl", "ytl", "xbr", "ybr")]
    return shown


def edges(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_boxes_are_shown_where_the_objects_are(case):
    root = ElementTree.parse(case.export("cvat-boxes", "o.xml")).getroot()
    read_head(root, "interpolation")
    tracks = {int(track.get("group_id")): track for track in root.findall("track")}
    assert set(tracks) == {1, 2, 5}  # CVAT fails on a track without a shape, so object 9 has none
    assert [track.get("id") for track in tracks.values()] == ["0", "1", "2"]
    for object_id, track in tracks.items():
        assert track.get("label") == case.name[object_id]
        assert {box.get("keyframe") for box in track} == {"1"}
        masks = {i: case.mask(i, object_id) for i in range(6)}
        assert shown_boxes(track, 6) == {i: edges(mask) for i, mask in masks.items() if mask.any()}


def test_boxes_end_where_the_exported_frames_end(case):
    root = ElementTree.parse(case.export("cvat-boxes", "o.xml", frames=case.frames[1:3])).getroot()
    assert set(shown_boxes(root.find("track"), 6)) == {1, 2}


def test_foreign_datumaro_imports_the_masks(case, foreign):
    datumaro = foreign("datumaro")
    folder = case.folder / "dataset"
    (folder / "images").mkdir(parents=True)
    for i in range(6):
        (folder / "images" / f"{i:05d}.png").write_bytes(b"")  # it requests that they are there
    case.export("cvat", "dataset/annotations.xml")
    dataset = datumaro.Dataset.import_from(str(folder), "cvat")
    labels = [label.name for label in dataset.categories()[datumaro.AnnotationType.label]]
    assert len(dataset) == 6
    for item in dataset:
        number = int(item.id)
        found = {a.group: a for a in item.annotations}
        assert set(found) == {i for i in case.name if case.mask(number, i).any()}
        for object_id, annotation in found.items():
            assert labels[annotation.label] == case.name[object_id]
            assert np.array_equal(np.asarray(annotation.image) > 0, case.mask(number, object_id))


def test_foreign_datumaro_imports_the_boxes(case, foreign):
    datumaro = foreign("datumaro")
    (case.folder / "dataset").mkdir()
    case.export("cvat-boxes", "dataset/annotations.xml")
    dataset = datumaro.Dataset.import_from(str(case.folder / "dataset"), "cvat")
    labels = [label.name for label in dataset.categories()[datumaro.AnnotationType.label]]
    for item in dataset:
        for box in item.annotations:
            number, object_id = int(item.attributes["frame"]), box.group
            assert labels[box.label] == case.name[object_id]
            if box.attributes["outside"]:
                assert not case.mask(number, object_id).any()
            else:
                left, top, right, bottom = edges(case.mask(number, object_id))
                assert box.get_bbox() == pytest.approx([left, top, right - left, bottom - top])


def cvat_polygon(element, size_hw):
    return fill(np.array([pair.split(",") for pair in element.get("points").split(";")], np.float64), size_hw)


def test_polygons_fill_the_masks(case):
    root = ElementTree.parse(case.export("cvat-polygons", "o.xml")).getroot()
    read_head(root, "annotation")
    for number, image in enumerate(root.findall("image")):
        found = {}
        for element in image:
            assert (element.tag, element.get("label")) == ("polygon", case.name[int(element.get("group_id"))])
            mask = found.setdefault(int(element.get("group_id")), np.zeros((47, 85), np.bool_))
            mask |= cvat_polygon(element, (47, 85))
        assert set(found) == {i for i in case.name if case.mask(number, i).any()}
        for object_id, mask in found.items():
            assert iou(mask, case.mask(number, object_id)) >= 0.98


def test_tracks_of_polygons_are_shown_where_the_objects_are(case):
    root = ElementTree.parse(case.export("cvat-tracks", "o.xml")).getroot()
    read_head(root, "interpolation")
    tracks = {int(track.get("group_id")): track for track in root.findall("track")}
    assert set(tracks) == {1, 2, 5}
    for object_id, track in tracks.items():
        keys = {int(element.get("frame")): element for element in track}
        current = None
        for frame in range(6):
            current = keys.get(frame, current)
            mask = case.mask(frame, object_id)
            assert (current.get("outside") == "0") == mask.any()
            if mask.any():
                assert iou(cvat_polygon(current, (47, 85)), mask) >= 0.98
