"""Notes of runs and scores that somebody else may have written: a report is made of them, or one line says why not."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampt.cli.main import main
from sampt.errors import SamptError
from sampt.evaluation.reports import write_report
from tests.tampering import changed_at, find_windows


@pytest.fixture
def predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scored predictions P of a dataset D of one sequence, as `sampt eval run` would leave them."""
    for i in range(4):
        labels = np.zeros((20, 30), np.uint8)
        labels[2:9, 3 + i : 12 + i], labels[12:18, 3:9] = 1, 2
        for kind, suffix, image in (("JPEGImages", "jpg", np.zeros((20, 30, 3), np.uint8)), ("Annotations", "png", labels)):
            folder = tmp_path / "D" / kind / "480p" / "a"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{i:05d}.{suffix}")
    (tmp_path / "D" / "ImageSets" / "2017").mkdir(parents=True)
    (tmp_path / "D" / "ImageSets" / "2017" / "val.txt").write_text("a\n")
    (tmp_path / "P" / "a").mkdir(parents=True)
    shutil.copytree(tmp_path / "D" / "Annotations" / "480p" / "a", tmp_path / "P" / "a" / "masks")
    monkeypatch.chdir(tmp_path)
    seconds = {"total": 2.0, "read": 0.1, "track": 0.5, "encode": 0.5, "decode": 0.2, "write": 0.1}
    manifest = {
        "licenses": {"tracker x": "code MIT"},
        "platform": "here",
        "num_resumed": 0,
        "num_frames": 4,
        "seconds": seconds,
    }
    (tmp_path / "P" / "a" / "run.json").write_text(json.dumps(manifest))
    facts = {"name": "davis-2017", "root": str(tmp_path / "D"), "split": "val"}
    (tmp_path / "P" / "eval.json").write_text(json.dumps({"dataset": facts, "config": {"seed": 1}, "sequences": ["a"]}))
    assert main(["eval", "score", "P"]) == 0
    write_report([Path("P")], Path("R"))
    return tmp_path / "P"


@pytest.mark.parametrize("name", ["a/run.json", "eval.json", "scores.json"])
def test_any_part_of_a_note_may_be_wrong(name: str, predictions: Path) -> None:
    whole = json.loads((predictions / name).read_text())
    outcomes: Counter[str] = Counter()
    locations = find_windows(whole)
    for location in locations[:: max(1, len(locations) // 25)]:
        for new in (..., None, -1, 1e300, "x", [], {"a": 1}):
            (predictions / name).write_text(json.dumps(changed_at(whole, location, new)))
            try:
                write_report([predictions], predictions.parent / "R", worst=1)
                outcomes["fine"] += 1
            except SamptError as error:
                outcomes["several lines" if "\n" in str(error) else "refused"] += 1
    assert set(outcomes) == {"fine", "refused"}


@pytest.mark.parametrize("name", ["a/run.json", "eval.json", "scores.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "3", "\0", "{", "9" * 5000])
def test_a_note_that_is_none_is_told_in_one_line(
    name: str, text: str, predictions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (predictions / name).write_text(text)
    capsys.readouterr()
    assert main(["eval", "report", "P", "-o", "R"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
