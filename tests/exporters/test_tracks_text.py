import csv
import json

import numpy as np
import pytest

from sampt.exporters.base import ExportObject
from sampt.exporters.tracks_text import CSV_COLUMNS
from sampt.types import HiddenBy


def test_json_reads_back_every_point_exactly(case):
    content = json.loads(case.export("tracks-json", "o.json").read_text())
    assert set(content) == {"format", "video", "objects", "frames"}
    assert content["format"] == "sampt-tracks-1"
    assert content["video"] == {"label": case.video.label, "width": 85, "height": 47, "num_frames": 6, "fps": 12.5}
    assert {o["id"]: o["name"] for o in content["objects"]} == case.name
    assert content["objects"][1]["color"] == "#0280ff"
    for frame, entry in zip(case.frames, content["frames"], strict=True):
        assert (entry["frame_idx"], entry["name"]) == (frame.frame_idx, f"{frame.frame_idx:05d}")
        assert entry["time_s"] == pytest.approx(frame.frame_idx / 12.5)
        points, rows = frame.points, entry["points"]
        assert [row["point_id"] for row in rows] == points.point_id.tolist()
        assert [row["object_id"] for row in rows] == points.object_id.tolist()
        assert [row["is_positive"] for row in rows] == points.is_positive.tolist()
        assert np.array_equal(np.float32([[row["x"], row["y"]] for row in rows]), points.xy)
        assert np.array_equal(np.float32([row["confidence"] for row in rows]), points.confidence)
        assert [row["visible"] for row in rows] == points.visible.tolist()
        assert [HiddenBy[row["hidden_by"].upper()] for row in rows] == points.hidden_by.tolist()


def test_csv_holds_the_same(case):
    listed = json.loads(case.export("tracks-json", "o.json").read_text())["frames"]
    with case.export("tracks-csv", "o.csv").open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, strict=True)
        rows = list(table)
    assert tuple(table.fieldnames) == CSV_COLUMNS
    points = [(entry, point) for entry in listed for point in entry["points"]]
    assert len(rows) == len(points) == 18
    for row, (entry, point) in zip(rows, points, strict=True):
        assert row["object_name"] == case.name[point["object_id"]]
        assert (int(row["frame_idx"]), row["frame_name"]) == (entry["frame_idx"], entry["name"])
        for key in ("point_id", "object_id", "x", "y", "confidence", "is_positive", "visible"):
            assert float(row[key]) == point[key]
        assert row["hidden_by"] == point["hidden_by"]


def test_points_of_other_objects_are_left_out(case):
    frames = json.loads(case.export("tracks-json", "o.json", objects=case.objects[2:3]).read_text())["frames"]
    assert [[p["point_id"] for p in frame["points"]] for frame in frames] == [[8]] * 6


FORMULAS = ["=1+1", "+1", "-2+3", "@SUM(A1)", " =cmd|' /C calc'!A0", "＝1+1", "－1", "'already"]
PLAIN = ["bee", "Größe", "a=b", "3-4", "x@y", "蜂"]


@pytest.mark.parametrize("name", [*FORMULAS, *PLAIN])
def test_no_name_is_a_formula_for_a_spreadsheet(case, name, monkeypatch):
    objects = [ExportObject(1, name, (1, 2, 3)), *case.objects[1:]]
    monkeypatch.setattr(type(case.video), "frame_name", lambda video, i: f"{name}{i}")
    with case.export("tracks-csv", "o.csv", objects=objects).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    own = [row for row in rows if row["object_id"] == "1"]
    assert own
    for row in own:
        for cell, text in ((row["object_name"], name), (row["frame_name"], f"{name}{row['frame_idx']}")):
            assert cell == (f"'{text}" if name in FORMULAS else text)
            assert cell.lstrip()[0] not in "=+-@＝＋－＠"
    # Numbers stay numbers.
    assert {float(row["x"]) for row in own}
