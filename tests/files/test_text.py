"""One reader for all texts: what editors and shells of every system write is read as the same text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sampt.batch.items import read_batch
from sampt.evaluation.datasets.layout import read_names
from sampt.evaluation.json_files import read_json
from sampt.evaluation.sweep import read_sweep
from sampt.files.text import decode_text, read_text
from sampt.points.parse import read_queries
from sampt.runs.manifest import read_manifest

ENCODINGS = {
    "UTF-8": lambda text: text.encode(),
    "UTF-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16, Notepad's Unicode": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "UTF-16, big end first": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-16, big end first, without a mark": lambda text: text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "lines of Windows": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_text_that_is_read_may_have_any_encoding(encoding: str, tmp_path: Path) -> None:
    def written(name: str, text: str) -> Path:
        (tmp_path / name).write_bytes(ENCODINGS[encoding](text))
        return tmp_path / name

    assert read_text(written("a.txt", "Käse\n€ 𝄞\n")) == "Käse\n€ 𝄞\n"
    clicks = '{"objects": [{"id": 2, "clicks": [{"frame": 3, "x": 4.5, "y": 6, "sign": "-"}]}]}'
    points = read_queries(written("q.json", clicks))
    assert (points.object_id.tolist(), points.frame_idx.tolist(), points.is_positive.tolist()) == ([2], [3], [False])
    assert np.array_equal(read_queries(written("q.txt", "1\n0;35,50\n")).xy, [[35, 50]])
    items = read_batch(
        written("b.jsonl", '{"video": "Käse.mp4", "points": ["1,0,2,3"]}\n{"video": "b.mp4", "mask": "b.png"}\n')
    )
    assert [item.name for item in items] == ["Käse", "b"]
    assert read_names(written("val.txt", "bear\ncamel\n")) == ["bear", "camel"]
    assert read_json(written("m.json", '{"ä": [1]}'), "a list") == {"ä": [1]}
    sweep = read_sweep(written("s.json", json.dumps({"dataset": "davis-2017", "root": "x", "seeds": [3]})))
    assert sweep.seeds == (3,)
    assert read_manifest(written("run.json", '{"ä": 1}')) == {"ä": 1}


@pytest.mark.parametrize("data", [b"\x80\x81", b"a\x80", b"\xff\xfea", b"ab\x00c", b"\x00" * 8, b"\xef\xbb\xbf\xff"])
def test_bytes_that_are_no_text_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(ValueError, match="not text") as caught:
        decode_text(data)
    assert "\n" not in str(caught.value)


def test_a_text_may_be_empty_or_of_one_character() -> None:
    assert [decode_text(data) for data in (b"", b"1", b"\xef\xbb\xbf", b"\xff\xfe")] == ["", "1", "", ""]


def test_a_line_of_a_manifest_ends_only_at_the_end_of_a_line(tmp_path: Path) -> None:
    # JSON takes these characters in its texts as they are; str.splitlines() ends a line at them.
    video = "a\u2028b\u0085c.mp4"
    (tmp_path / "b.jsonl").write_text(json.dumps({"video": video, "points": ["1,0,2,3"]}, ensure_ascii=False), "utf-8")
    assert [item.video for item in read_batch(tmp_path / "b.jsonl")] == [str(tmp_path / video)]
