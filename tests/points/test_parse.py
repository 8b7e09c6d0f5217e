"""Every form in which queries are written, and every way to write them wrongly."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.errors import LimitError, QueryError
from sampt.files.limits import MAX_CLICKS
from sampt.points.parse import parse_boxes, parse_click, parse_mask_location, read_queries, read_query_masks
from sampt.types import Points

CASES = Path(__file__).parents[3] / "shared" / "cases" / "queries"
BEES = Path(__file__).parents[3] / "shared" / "clips" / "bees_query_points.txt"


def plain(points: Points) -> list[tuple[int, int, float, float, bool]]:
    columns = (points.object_id, points.frame_idx, points.xy[:, 0], points.xy[:, 1], points.is_positive)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def test_a_click() -> None:
    assert plain(parse_click("1,0,420,250,+")) == [(1, 0, 420, 250, True)]
    assert plain(parse_click("2,17,0.5,-0.25,-")) == [(2, 17, 0.5, -0.25, False)]
    assert plain(parse_click("3,4,5,6")) == [(3, 4, 5, 6, True)]
    for sign, is_positive in (("1", True), ("+1", True), ("0", False), ("-1", False)):
        assert plain(parse_click(f"1,0,1,2,{sign}")) == [(1, 0, 1, 2, is_positive)]
    assert plain(parse_click("1.0,2.0,3,4")) == [(1, 2, 3, 4, True)]
    assert plain(parse_click(" 1,0,1,2  2,0,3,4,- ")) == [(1, 0, 1, 2, True), (2, 0, 3, 4, False)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "A click is empty; expected OBJECT,FRAME,X,Y with an optional sign"),
        ("1,0,420", "The click '1,0,420' cannot be read; expected OBJECT,FRAME,X,Y"),
        ("1,0,420,250,+,3", "cannot be read"),
        ("1,0,420,250,2", "A sign is '2'; expected"),
        ("1,0,420,250,", "A sign is ''; expected"),
        ("1,0,420,+", "'\\+' is not a number"),
        ("a,0,420,250", "'a' is not a whole number"),
        ("1,0.5,420,250", "'0.5' is not a whole number"),
        ("1,0,x,250", "'x' is not a number"),
        ("1,0,nan,250", "a coordinate is nan, expected a finite number"),
        ("1,0,inf,250", "a coordinate is inf"),
        ("1,0,1e39,250", "a coordinate is 1e39"),
        ("0,0,420,250", "the object id is 0, expected ids from 1"),
        ("-2,0,420,250", "the object id is -2"),
        ("1,-1,420,250", "the frame is -1, expected frames from 0"),
        ("99999999999999999999,0,1,1", "99999999999999999999 is too large, expected a number below 2147483648"),
    ],
)
def test_a_wrong_click_is_refused_with_one_line(text: str, message: str) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        parse_click(text)
    assert "\n" not in str(caught.value)


def test_the_reference_programs_text_format(tmp_path: Path) -> None:
    file = tmp_path / "queries.txt"
    file.write_text("2\n\n0 ; 1,2 3.5,4 5,6\n12;7,8 9,10\n")
    assert plain(read_queries(file)) == [
        (1, 0, 1, 2, True),
        (1, 0, 3.5, 4, True),
        (1, 0, 5, 6, False),
        (2, 12, 7, 8, True),
        (2, 12, 9, 10, True),
    ]


@pytest.mark.skipif(not BEES.exists(), reason="the shared clips are not here")
def test_the_bees() -> None:
    points = read_queries(BEES)
    assert points.object_ids == (1, 2)
    assert plain(points)[3] == (1, 0, 531.25, 242.5, False)
    assert plain(points)[4] == (2, 0, 1116.25, 428.75, True)
    assert points.is_positive.tolist() == [True, True, True, False] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"q.txt has 0 line\(s\) with content; expected the number of positive points on the first line"),
        ("3\n", r"q.txt has 1 line\(s\)"),
        ("x\n0;1,2", "Cannot read line 1 of q.txt: 'x' is not a whole number"),
        ("1\n0 1,2", "Cannot read line 2 of q.txt: '0 1,2'; expected"),
        ("1\n0;", "Cannot read line 2 of q.txt"),
        ("1\n\n0;1,2,3", "Cannot read line 3 of q.txt"),
        ("1\n0;1;2", "Cannot read line 2"),
        ("1\n0;1,2 3", "Cannot read line 2"),
        ("1\nz;1,2", "Cannot read line 2 of q.txt: 'z' is not a whole number"),
        ("1\n0;1,z", "Cannot read line 2 of q.txt: 'z' is not a number"),
        ("1\n0;1,nan", "Cannot read line 2 of q.txt: a coordinate is nan"),
        ("1\n-1;1,2", "Cannot read line 2 of q.txt: the frame is -1"),
        ("3\n0;1,2 3,4", r"it has 2 point\(s\), but the first line promises 3 positive ones; expected from 1"),
        ("0\n0;1,2 3,4", "promises 0 positive ones"),
        ("-1\n0;1,2 3,4", "promises -1 positive ones"),
    ],
)
def test_wrong_text_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text(text)
    with pytest.raises(QueryError, match=message) as caught:
        read_queries(tmp_path / "q.txt")
    assert "\n" not in str(caught.value)


def click(**changed: Any) -> dict[str, Any]:
    return {"frame": 0, "x": 1, "y": 2} | changed


def one_object(*clicks: Any, **changed: Any) -> dict[str, Any]:
    return {"objects": [{"id": 1, "clicks": list(clicks)} | changed]}


def test_our_json(tmp_path: Path) -> None:
    data = {
        "objects": [
            {"id": 4, "clicks": [{"frame": 0, "x": 2.5, "y": 241.25, "sign": "+"}, {"frame": 3, "x": 1, "y": 2, "sign": "-"}]},
            {"id": 2, "clicks": [{"frame": 7, "x": 3, "y": 4}]},
        ]
    }
    for name, encoding in (("q.json", "utf-8"), ("Q.JSON", "utf-8-sig")):  # some editors put a byte-order mark in front
        (tmp_path / name).write_text(json.dumps(data), encoding=encoding)
        assert plain(read_queries(tmp_path / name)) == [(4, 0, 2.5, 241.25, True), (4, 3, 1, 2, False), (2, 7, 3, 4, True)]


def test_boxes() -> None:
    one, two = parse_boxes("1,0,4,2.5,46,31  2.0,7,0,0,1,1")
    assert (one.object_id, one.frame_idx, one.box_xyxy.tolist()) == (1, 0, [4, 2.5, 46, 31])
    assert (two.object_id, two.frame_idx, two.box_xyxy.tolist()) == (2, 7, [0, 0, 1, 1])


@pytest.mark.parametrize(
    "text",
    ["", "1,0,4,2,46", "1,0,4,2,46,31,+", "0,0,4,2,46,31", "1,-1,4,2,46,31", "1,0,x,2,46,31", "1,0,46,2,4,31", "1,0,4,2,6,inf"],
)
def test_a_wrong_box_is_refused_with_one_line(text: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_boxes(text)
    assert "\n" not in str(caught.value)


def test_the_frame_of_a_mask_stands_behind_its_path(tmp_path: Path) -> None:
    assert parse_mask_location("a/m.png@12") == ("a/m.png", 12)
    assert parse_mask_location("a/m.png") == ("a/m.png", None)
    assert parse_mask_location("me@home/m@2x.png") == ("me@home/m@2x.png", None)
    (tmp_path / "m@3").write_text("")
    assert parse_mask_location(str(tmp_path / "m@3")) == (str(tmp_path / "m@3"), None)
    with pytest.raises(QueryError, match="too large"):
        parse_mask_location("m.png@99999999999")


@pytest.mark.parametrize("key", ["sign", "label", "labels", "is_positive"])
def test_a_label_means_the_same_under_every_name_and_in_every_spelling(key: str, tmp_path: Path) -> None:
    positive, negative = ["+", 1, 1.0, True, "1"], ["-", 0, 0.0, -1, False, "0", "-1"]
    clicks = [click(**{key: value}) for value in positive + negative]
    (tmp_path / "q.json").write_text(json.dumps(one_object(*clicks)))
    assert read_queries(tmp_path / "q.json").is_positive.tolist() == [True] * 5 + [False] * 7


def test_labels_of_an_object_are_those_of_its_clicks(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(json.dumps(one_object(click(), click(), click(), labels=[1, 0, "-"])))
    assert read_queries(tmp_path / "q.json").is_positive.tolist() == [True, False, False]


def test_whole_numbers_may_be_written_as_fractions(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(json.dumps(one_object(click(frame=3.0), id=2.0)))
    assert plain(read_queries(tmp_path / "q.json")) == [(2, 3, 1, 2, True)]
    (tmp_path / "q.txt").write_text("1.0\n2.0;3,4\n")
    assert plain(read_queries(tmp_path / "q.txt")) == [(1, 2, 3, 4, True)]


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here")
def test_the_shared_query_files() -> None:
    assert plain(read_queries(CASES / "label.json")) == [(1, 0, 35, 50, True), (1, 0, 120, 20, False)]
    assert plain(read_queries(CASES / "float.json")) == [(1, 0, 35, 50, True)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "q.json is not valid JSON: .* in line 1, column 2"),
        ("[" * 100_000, "nested too deeply"),
        ('{"objects": [{"id": ' + "1" * 5000 + "}]}", "thousands of digits"),
        ([], 'q.json has no list "objects"; expected'),
        ({}, 'q.json has no list "objects"'),
        ({"objects": {}}, 'q.json has no list "objects"'),
        ({"objects": []}, 'q.json has no list "objects"'),
        ({"objects": [3]}, r'Cannot read objects\[0\] of q.json: it has no "id"'),
        ({"objects": [{"clicks": []}]}, 'it has no "id"'),
        (one_object(click(), id=0), "the object id is 0"),
        (one_object(click(), id="one"), r"Cannot read objects\[0\] of q.json: 'one' is not a whole number"),
        (one_object(click(), id=1.5), "'1.5' is not a whole number"),
        (one_object(click(), id=True), "'True' is not a whole number"),
        (one_object(), "Object 1 of q.json has no clicks"),
        ({"objects": [{"id": 1}]}, 'Cannot read object 1 of q.json: it has no "clicks"'),
        (one_object(clicks={"frame": 0}), "Object 1 of q.json has no clicks"),
        (one_object("1,2"), 'Cannot read click 0 of object 1 in q.json: it has no "frame"'),
        (one_object(click(), click(sign="*")), r"click 1 of object 1 in q.json: A sign is '\*'; expected"),
        (one_object(click(sign=[])), r"A sign is '\[\]'; expected"),
        (one_object(click(sign=None)), "A sign is 'None'; expected"),
        (one_object(click(label=2)), "A sign is '2'; expected"),
        (one_object(click(label=1, sign="+")), 'It has both "sign" and "label"; give one of them'),
        (one_object(click(lable=1)), "has the unknown key 'lable'. Did you mean 'label'"),
        (one_object(click(), name="left"), "object 1 of q.json: it has the unknown key 'name'"),
        ({"objects": [{"id": 1, "clicks": [click()]}], "boxes": []}, "q.json: it has the unknown key 'boxes'"),
        (one_object(click(), click(), labels=[1]), "it has 1 labels for 2 clicks"),
        (one_object(click(), labels=1), "it has 1 for 1 clicks"),
        (one_object(click(sign="+"), labels=[1]), 'it has a sign beside the "labels" of its object'),
        (one_object(click(), labels=["x"]), "A sign is 'x'"),
        (one_object({"x": 1, "y": 2}), 'it has no "frame"'),
        (one_object({"frame": 1, "y": 2}), 'it has no "x"'),
        (one_object(click(frame=-3)), "the frame is -3"),
        (one_object(click(frame=2.5)), "'2.5' is not a whole number"),
        (one_object(click(frame=10**30)), "is too large"),
        (one_object(click(x=None)), "'None' is not a number"),
        (one_object(click(x=[1])), "is not a number"),
        (one_object(click(x=True)), "a coordinate is True"),
        (one_object(click(x=float("nan"))), "a coordinate is nan"),
        (one_object(click(y=10**400)), "is not a number"),
        ({"objects": [{"id": 1, "clicks": [click()]}] * 2}, "q.json has two objects with id 1; give each object its own id"),
    ],
)
def test_wrong_json_is_refused(data: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises(QueryError, match=message) as caught:
        read_queries(tmp_path / "q.json")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"cannot be read: No such file or directory"):
        read_queries(tmp_path / "none.txt")
    with pytest.raises(QueryError, match=r"cannot be read: Is a directory"):
        read_queries(tmp_path)
    (tmp_path / "q.txt").write_bytes(b"1\n0;\x81,2")
    with pytest.raises(QueryError, match=r"cannot be read: it is not text"):
        read_queries(tmp_path / "q.txt")


def save(path: Path, labels: Any, mode: str) -> Path:
    array = np.array(labels, np.uint8)
    image = Image.fromarray(array)
    if mode == "P":
        image = Image.fromarray(array)
        image.putpalette([i // 3 for i in range(768)])
    elif mode != "L":
        image = image.convert(mode)
    image.save(path)
    return path


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "LA"])
def test_every_id_of_a_mask_image_is_an_object(mode: str, tmp_path: Path) -> None:
    masks = read_query_masks(save(tmp_path / "m.png", [[0, 1, 1], [3, 0, 3]], mode), 5)
    assert [(m.object_id, m.frame_idx) for m in masks] == [(1, 5), (3, 5)]
    assert masks[0].mask.tolist() == [[False, True, True], [False, False, False]]
    assert masks[1].mask.tolist() == [[False, False, False], [True, False, True]]


def test_sixteen_bit_ids(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 700], [2, 2]], np.uint16)).save(tmp_path / "m.png")
    assert [m.object_id for m in read_query_masks(tmp_path / "m.png", 0)] == [2, 700]


@pytest.mark.parametrize("mode", ["L", "1"])
def test_black_and_white_is_one_object(mode: str, tmp_path: Path) -> None:
    masks = read_query_masks(save(tmp_path / "m.png", [[0, 255], [255, 0]], mode), 0)
    assert [m.object_id for m in masks] == [1]
    assert masks[0].mask.tolist() == [[False, True], [True, False]]


def test_void_belongs_to_no_object_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    masks = read_query_masks(save(tmp_path / "m.png", [[0, 1, 255], [3, 255, 3]], "P"), 0)
    assert [(m.object_id, int(m.mask.sum())) for m in masks] == [(1, 1), (3, 2)]
    assert "2 pixels of the value 255 are void" in caplog.text


def test_masks_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"is empty: every pixel is 0"):
        read_query_masks(save(tmp_path / "e.png", [[0, 0]], "L"), 0)
    noise = np.random.default_rng(0).integers(0, 255, (20, 20, 3))
    Image.fromarray(noise.astype(np.uint8)).save(tmp_path / "c.png")
    with pytest.raises(QueryError, match=r"The mask 'c.png' is a colour photograph \(RGB\); expected a palette or grey PNG"):
        read_query_masks(tmp_path / "c.png", 0)
    many = np.kron(np.arange(200).reshape(10, 20), np.ones((4, 4)))
    with pytest.raises(QueryError, match=r"holds 199 different values; it looks like a photograph"):
        read_query_masks(save(tmp_path / "g.png", many, "L"), 0)
    with pytest.raises(QueryError, match=r"cannot be read: No such file"):
        read_query_masks(tmp_path / "none.png", 0)
    (tmp_path / "t.png").write_text("text")
    with pytest.raises(QueryError, match=r"is not an image"):
        read_query_masks(tmp_path / "t.png", 0)


def test_every_truncation_of_a_mask_is_refused(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 5, (40, 40)).astype(np.uint8)
    whole = save(tmp_path / "w.png", labels, "L").read_bytes()
    for keep in (0, 4, 20, 40, len(whole) // 2, len(whole) - 60):
        (tmp_path / "t.png").write_bytes(whole[:keep])
        with pytest.raises(QueryError) as caught:
            read_query_masks(tmp_path / "t.png", 0)
        assert "\n" not in str(caught.value)


def test_more_clicks_than_the_limit_are_refused(tmp_path: Path) -> None:
    clicks = [{"frame": 0, "x": 1, "y": 2}] * (MAX_CLICKS // 2 + 1)
    (tmp_path / "many.json").write_text(json.dumps({"objects": [{"id": i, "clicks": clicks} for i in (1, 2)]}))
    (tmp_path / "many.txt").write_text("1\n" + f"0;{'1,2 ' * 1000}\n" * (MAX_CLICKS // 1000 + 1))
    for name in ("many.json", "many.txt"):
        with pytest.raises(LimitError, match=rf"{name} has \d+ clicks; expected at most {MAX_CLICKS}"):
            read_queries(tmp_path / name)


def test_as_many_clicks_as_the_limit_are_read_in_a_moment(tmp_path: Path) -> None:
    clicks = [{"frame": 0, "x": i % 90, "y": 2} for i in range(MAX_CLICKS)]
    (tmp_path / "many.json").write_text(json.dumps({"objects": [{"id": 1, "clicks": clicks}]}))
    started = time.process_time()
    points = read_queries(tmp_path / "many.json")
    assert time.process_time() - started < 4  # a value object a click took 11 s
    assert len(points) == MAX_CLICKS
    np.testing.assert_array_equal(points.xy[:200, 0], np.arange(200) % 90)
