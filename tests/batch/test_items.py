"""Manifests and folders: what they name, and what is wrong with them, reported before anything is done."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.batch.items import BatchItem, read_batch
from sampt.batch.work import BatchSettings, Worker
from sampt.errors import BatchError
from sampt.files.names import fold_name, portable_name


def manifest(folder: Path, *lines: Any) -> Path:
    path = folder / "videos.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_a_manifest_names_videos_beside_it(tmp_path: Path) -> None:
    more = {"name": "b1", "start": 2, "stop": 9, "stride": 3, "settings": {"seed": 5}, "mask": "m.png", "mask_frame": 5}
    first, second, third = read_batch(
        manifest(
            tmp_path,
            {"video": "clips/my clip.mp4", "points": ["1,0,2,3", "1,0,4,5,-"]},
            "",
            {"video": "s3://bucket/b.mp4", **more},
            {"video": "frames/*.jpg", "queries": "/q/c.json"},
        )
    )
    assert first == BatchItem("my_clip", str(tmp_path / "clips/my clip.mp4"), ("1,0,2,3", "1,0,4,5,-"))
    assert (second.name, second.video, second.mask) == ("b1", "s3://bucket/b.mp4", str(tmp_path / "m.png"))
    assert (second.start, second.stop, second.stride, second.mask_frame, second.settings) == (2, 9, 3, 5, {"seed": 5})
    assert (third.name, third.queries) == ("frames", "/q/c.json")
    assert [BatchItem.from_json(json.loads(json.dumps(i.to_json()))) for i in (first, second, third)] == [first, second, third]


def test_boxes_and_several_masks_of_a_line(tmp_path: Path) -> None:
    for name, value in (("one", 1), ("two", 2)):
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(tmp_path / f"{name}.png")
    line = {"video": "a.mp4", "boxes": ["4,0,1,1,2,2"], "masks": ["one.png", "two.png@7"], "start": 3}
    (item,) = read_batch(manifest(tmp_path, line))
    assert BatchItem.from_json(json.loads(json.dumps(item.to_json()))) == item
    found = item.read_queries()
    assert not len(found.points)
    assert [(type(q).__name__, q.object_id, q.frame_idx) for q in (*found.boxes, *found.masks)] == [
        ("QueryBox", 4, 0),
        ("QueryMask", 1, 3),
        ("QueryMask", 2, 7),
    ]


def test_masks_elsewhere_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(url: str, location: Path) -> Path:
        location.with_suffix(".png").write_text(url)
        return location.with_suffix(".png")

    monkeypatch.setattr("sampt.batch.items.fetched", fetched)
    line = {"video": "/a.mp4", "masks": ["s3://bucket/one.png@4", "/here.png", "https://me@host/two.png"]}
    (item,) = read_batch(manifest(tmp_path, line))
    assert item.has_urls
    here = item.fetched(tmp_path)
    assert not here.has_urls
    assert here.masks[1] == "/here.png"
    assert [Path(here.masks[0]).name, Path(here.masks[2]).name] == ["mask-0.png@4", "mask-2.png"]
    assert (tmp_path / "mask-0.png").read_text() == "s3://bucket/one.png"


def test_a_folder_names_the_videos_that_have_queries_beside_them(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"?")
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b10").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "b10" / "0.jpg")
    (tmp_path / "b10.png").write_bytes(b"?")
    (tmp_path / "b9.MOV").write_bytes(b"?")
    (tmp_path / "b9.txt").write_text("1")
    (tmp_path / "notes.md").write_text("no video")
    (tmp_path / "empty").mkdir()
    items = read_batch(tmp_path)
    assert [i.name for i in items] == ["a", "b9", "b10"]
    assert [i.queries for i in items] == [str(tmp_path / "a.json"), str(tmp_path / "b9.txt"), None]
    assert items[2].mask == str(tmp_path / "b10.png")


GOOD = {"video": "a.mp4", "points": ["1,0,2,3"]}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], r"Line 1 of .*videos.jsonl is no JSON"),
        ([GOOD, "[1]"], "Line 3 of .* is a list; expected an object"),
        ([{"video": "a.mp4", "point": ["1,0,2,3"]}], "unknown key 'point'. Did you mean 'points'"),
        ([{"points": ["1,0,2,3"]}], 'has no "video"'),
        ([{"video": "a.mp4"}], "names no object"),
        ([{"video": "a.mp4", "points": "1,0,2,3"}], "has \"1,0,2,3\" for 'points'; expected a list"),
        ([{"video": "a.mp4", "points": [7]}], "has 7 among its points; expected text"),
        ([{"video": "a.mp4", "boxes": ["1,0,2,3,4"]}], "The box '1,0,2,3,4' cannot be read"),
        ([{"video": "a.mp4", "masks": "a.png"}], "has \"a.png\" for 'masks'; expected a list"),
        ([{"video": "a.mp4", "masks": [{"path": "a.png"}]}], 'has {"path": "a.png"} among its masks; expected text'),
        ([{"video": "a.mp4", "points": ["1,0,2,3,7"]}], "A sign is '7'; expected"),
        ([{"video": "a.mp4", "points": ["1,0"]}], "Line 1 of .*: The click '1,0' cannot be read"),
        ([{**GOOD, "loader": "os:system", "arguments": {"command": "true"}}], "unknown key 'loader'"),
        ([{**GOOD, "stride": "2"}], "has \"2\" for 'stride'; expected a whole number"),
        ([{**GOOD, "stop": 1.5}], "has 1.5 for 'stop'; expected a whole number or null"),
        ([{**GOOD, "labels": {"dog": "1"}}], 'has {"dog": "1"} among its labels; expected an object id and a name'),
        ([{**GOOD, "start": True}], "has true for 'start'"),
        ([{**GOOD, "name": "../up"}], "has the name '../up'; expected the name of a folder"),
        ([{**GOOD, "name": ".hidden"}], "has the name '.hidden'"),
        ([{**GOOD, "name": "x"}, {**GOOD, "name": "x"}], "Line 3 of .* has the name 'x' of an earlier line"),
    ],
)
def test_a_wrong_line_is_an_item_with_an_error_and_alone_it_is_raised(tmp_path: Path, lines: list[Any], message: str) -> None:
    items = read_batch(manifest(tmp_path, {**GOOD, "name": "good"}, *lines))
    number, bad = len(items), items[-1]
    assert [item.error for item in items[:-1]] == [None] * (number - 1)
    # A line that lacks nothing but an object has its video's name.
    assert bad.name == ("a" if message == "names no object" else f"line-{number}")
    assert re.search(message.replace("Line 1 of", "Line 2 of"), bad.error or "")
    assert "\n" not in (bad.error or "")
    with pytest.raises(BatchError):
        read_batch(manifest(tmp_path, lines[-1] if isinstance(lines[-1], str) else {**lines[-1], "name": ".x"}))


def test_a_video_without_queries_and_a_missing_manifest_are_told(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="There is no file or folder"):
        read_batch(tmp_path / "nothing.jsonl")
    with pytest.raises(BatchError, match="names no video"):
        read_batch(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"?")
    with pytest.raises(BatchError, match=r"a\.mp4 has no queries; expected a\.json, a\.txt, or the mask a\.png beside it"):
        read_batch(tmp_path)
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BatchError, match="cannot be read as a manifest"):
        read_batch(tmp_path / "x.jsonl")


def test_videos_of_one_stem_get_folders_of_their_own(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mov", "b.mp4", "c.mp4"):
        (tmp_path / name).write_bytes(b"?")
    (tmp_path / "c").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "c" / "0.jpg")
    for name in ("a.txt", "a.mov.json", "b.mp4.txt", "c.txt", "c.mp4.png"):
        (tmp_path / name).write_text("1")
    items = read_batch(tmp_path)
    assert [item.name for item in items] == ["a.mov", "a.mp4", "b", "c", "c.mp4"]
    beside = [Path(item.queries or item.mask or "").name for item in items]
    assert beside == ["a.mov.json", "a.txt", "b.mp4.txt", "c.txt", "c.txt"]  # clicks go before a mask, in either form

    lines = [
        {"video": f"{video}", "points": ["1,0,2,3"]}
        for video in ("x/a.mp4", "y/a.mp4", "y/a.mov", "y/a.mov", "x/f/*.jpg", "y/f/*.png", "s t.mp4", "s_t.mp4")
    ]
    named = [{"video": "z/a.mp4", "name": "y-a.mov", "points": ["1,0,2,3"]}]
    names = [item.name for item in read_batch(manifest(tmp_path, *lines, *named))]
    assert names == ["x-a.mp4", "y-a.mp4", "y-a.mov-2", "y-a.mov-3", "x-f", "y-f", names[6], names[7], "y-a.mov"]
    assert names[6] != names[7]
    assert len({name.casefold() for name in names}) == len(names)


def test_no_two_videos_share_a_folder_where_names_differ_by_case_alone(tmp_path: Path) -> None:
    """Nor has a folder a name that Windows does not take."""
    names = ["A.mp4", "a.mp4", "cafe\u0301.mp4", "caf\u00e9.mov", "CON.mp4", "x:y.mp4", "dots..mp4", "a.mp4-2"]
    file = tmp_path / "list.jsonl"
    file.write_text(
        "".join(json.dumps({"video": f"in{i}/{name}", "points": ["1,0,1,1"]}) + "\n" for i, name in enumerate(names))
    )
    found = [item.name for item in read_batch(file)]
    assert len({fold_name(name) for name in found}) == len(names)
    assert [portable_name(name) for name in found] == found
    assert found[:2] == ["in0-A.mp4", "in1-a.mp4"]
    assert found[4:7] == ["CON_", "x_y", "dots_"]
    lines = [{"video": "a.mp4", "name": name, "points": ["1,0,1,1"]} for name in ("Clip", "clip", "nul.1", "other")]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, second, third, last = read_batch(file)
    assert (first.name, first.error, last.name, last.error) == ("Clip", None, "other", None)
    assert "has the name 'clip' of an earlier line" in str(second.error)
    assert "'nul.1', which Windows does not take; expected one such as 'nul_.1'" in str(third.error)


def test_a_video_without_queries_is_recorded_while_the_others_go_on(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "b.txt"):
        (tmp_path / name).write_text("1")
    first, second = read_batch(tmp_path)
    assert (first.name, second.name, second.error) == ("a", "b", None)
    assert "a.mp4 has no queries" in (first.error or "")
    result = Worker(BatchSettings(tmp_path / "out")).do(first)
    assert (result.status, result.error) == ("failed", first.error)
    assert BatchItem.from_json(json.loads(json.dumps(first.to_json()))) == first


def test_stacks_and_animations_with_queries_beside_them_are_videos(tmp_path: Path) -> None:
    for name in ("a.tif", "a.json", "b.webp", "c.webp", "c.png", "d.png", "d.txt"):
        (tmp_path / name).write_text("1")
    assert [(item.name, Path(item.video).name, item.error) for item in read_batch(tmp_path)] == [
        ("a", "a.tif", None),
        ("c", "c.webp", None),
    ]


def test_where_objects_are_found_no_queries_need_lie_beside_a_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "b.mp4").write_bytes(b"")
    (tmp_path / "b.json").write_text("{}")
    manifest = tmp_path / "videos.jsonl"
    manifest.write_text('{"video": "a.mp4"}\n{"vide": "b.mp4"}\n')
    assert [item.error is None for item in read_batch(tmp_path)] == [False, True]
    assert [(item.error, item.queries is None) for item in read_batch(tmp_path, finds=True)] == [(None, True), (None, False)]
    found = read_batch(manifest, finds=True)
    assert found[0].error is None
    assert "unknown key 'vide'" in (found[1].error or "")
    with pytest.raises(BatchError, match="or let --find find them"):
        read_batch(tmp_path / "videos.jsonl")
