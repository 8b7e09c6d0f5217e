"""What cannot be scored or reported is one line that says why, and exit status 2, on the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.cli.main import main


@pytest.fixture
def location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset D in DAVIS layout, two sequences of two objects, and right predictions P; it is the current folder."""
    for i in range(4):
        labels = np.zeros((20, 30), np.uint8)
        labels[2:9, 3 + i : 12 + i], labels[12:18, 3:9] = 1, 2
        for name in ("a", "b"):
            for kind, suffix, image in (("JPEGImages", "jpg", np.zeros((20, 30, 3), np.uint8)), ("Annotations", "png", labels)):
                folder = tmp_path / "D" / kind / "480p" / name
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(folder / f"{i:05d}.{suffix}")
    (tmp_path / "D" / "ImageSets" / "2017").mkdir(parents=True)
    (tmp_path / "D" / "ImageSets" / "2017" / "val.txt").write_text("a\nb\n")
    shutil.copytree(tmp_path / "D" / "Annotations" / "480p", tmp_path / "P")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["eval", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


def score(capsys: pytest.CaptureFixture[str], *more: str) -> str:
    return refused(capsys, "score", "P", "--dataset", "davis-2017", "--root", "D", *more)


def save(path: str, values: Any) -> None:
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


FRAME = "P/b/00002.png"
BAD_MASKS: list[tuple[Callable[[], object], str]] = [
    (lambda: shutil.rmtree("P"), "P is not a folder"),
    (lambda: shutil.rmtree("P/b"), "predictions of b are missing: P/b is not a folder"),
    (lambda: Path(FRAME).unlink(), f"predicted frame {FRAME} is missing"),
    (lambda: save(FRAME, np.zeros((5, 4))), f"predicted frame {FRAME} is 4x5; expected 30x20"),
    (lambda: save(FRAME, np.full((20, 30), 7)), f"predicted frame {FRAME} holds the id 7; expected ids of b: 1, 2"),
    (lambda: save(FRAME, np.eye(30)[:20, :, None] * [9, 8, 7]), f"{FRAME}' has colours that are not of the DAVIS palette"),
    (lambda: save(FRAME, np.random.default_rng(0).integers(0, 255, (20, 30, 3))), f"{FRAME}' is a colour photograph"),
    (lambda: Path(FRAME).write_bytes(Path(FRAME).read_bytes()[:50]), f"{FRAME}' cannot be read"),
    (lambda: Path("D/ImageSets/2017/val.txt").write_bytes(b"\xff\xfe\x00"), "val.txt cannot be read as a list"),
    (lambda: Path("D/ImageSets/2017/val.txt").write_text("a\nzz\n"), "zz is not a folder"),
    (lambda: save("D/Annotations/480p/a/00002.png", np.zeros((5, 4))), "00002.png is 4x5; expected 30x20"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD_MASKS)
def test_masks(location: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[], object], message: str) -> None:
    spoil()
    assert message in score(capsys)
    assert not Path("P/scores.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dataset", "davis-17"), "Unknown dataset 'davis-17'. Did you mean 'davis-2017'?"),
        (("--root", "nowhere"), "nowhere is not a DAVIS-2017 folder"),
        (("--split", "vall"), "Unknown split 'vall' of D (DAVIS-2017). Did you mean 'val'?"),
        (("--sequence", "c"), "Unknown sequence 'c'. Available: a, b"),
        (("--workers", "0"), "workers is 0, expected at least 1"),
        (("--categories",), "no category is reported; leave --categories out"),
        (("-o", "P"), "P cannot be written"),
    ],
)
def test_options(location: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str) -> None:
    assert message in score(capsys, *options)


def test_automatic_masks_are_for_data_sets_whose_objects_have_to_be_found(
    location: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "run", "davis-2017", "--root", "D", "-o", "out", "--mask-score", "0.5")
    assert "No mask is generated on the first frame of davis-2017; leave --mask-... out" in line
    assert "leave --find... out" in refused(capsys, "run", "davis-2017", "--root", "D", "-o", "out", "--find-every", "5")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "eval.json cannot be read as JSON"),
        ('{"dataset": {"na', "eval.json cannot be read as JSON"),
        ("[]", "eval.json is damaged (TypeError"),
        ("{}", "eval.json is damaged (KeyError 'sequences')"),
        ('{"dataset": {}, "config": {}, "sequences": [], "rules": [{"setting": 1}]}', "eval.json is damaged (TypeError"),
        ('{"dataset": {}, "config": {}, "sequences": [], "rules": 5}', "eval.json is damaged (TypeError"),
        ('{"dataset": {}, "config": {}, "sequences": []}', "P does not tell its dataset; give --dataset and --root"),
        ('{"dataset": {"name": "davis-2017", "root": "D"}, "config": {}, "sequences": [5]}', "Unknown sequence '5'"),
    ],
)
def test_notes_of_a_run(location: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    Path("P/eval.json").write_text(text)
    assert message in refused(capsys, "score", "P")


def without_objects(scores: dict[str, Any]) -> None:
    scores["sequences"]["a"]["objects"] = {}


def with_few_values(scores: dict[str, Any]) -> None:
    scores["sequences"]["a"]["objects"]["1"]["j_frames"] = [1]


def with_text(scores: dict[str, Any]) -> None:
    scores["sequences"]["a"]["objects"]["1"]["j"]["mean"] = "high"


BAD_SCORES: list[tuple[str | Callable[[dict[str, Any]], object], str]] = [
    ("", "scores.json cannot be read as JSON"),
    ('{"ground truth": {"na', "scores.json cannot be read as JSON"),
    ("[]", "scores.json holds no scores (TypeError"),
    ("{}", "scores.json holds no scores (KeyError 'gt')"),
    (lambda scores: scores.pop("sequences"), "scores.json is damaged. These are no scores: KeyError 'sequences'"),
    (lambda scores: scores["sequences"].clear(), "scores.json is damaged"),
    (without_objects, "scores.json is damaged"),
    (with_few_values, "1 j_frames for 2 frames"),
    (with_text, "scores.json is damaged"),
    (lambda scores: scores["gt"].update(root="gone"), "gone is not a DAVIS-2017 folder"),
]


@pytest.mark.parametrize(("change", "message"), BAD_SCORES)
def test_scores(
    location: Path, capsys: pytest.CaptureFixture[str], change: str | Callable[[dict[str, Any]], object], message: str
) -> None:
    path = Path("P/scores.json")
    if callable(change):
        assert main(["eval", "score", "P", "--dataset", "davis-2017", "--root", "D"]) == 0
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))
    else:
        path.write_text(change)
    assert message in refused(capsys, "report", "P", "-o", "out")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "run.json cannot be read as a manifest"), ("{}", "does not tell of its run (KeyError 'licenses')")],
)
def test_manifests(location: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    assert main(["eval", "score", "P", "--dataset", "davis-2017", "--root", "D"]) == 0
    Path("P/a/run.json").write_text(text)
    assert message in refused(capsys, "report", "P", "-o", "out")


def test_frames_that_are_gone_are_told_in_the_report(location: Path) -> None:
    assert main(["eval", "score", "P", "--dataset", "davis-2017", "--root", "D"]) == 0
    Path("D/JPEGImages/480p/a/00001.jpg").write_bytes(b"broken")
    assert main(["eval", "report", "P", "-o", "out"]) == 0
    page = Path("out/index.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 4
    assert page.count("Masks on grey") == 1
    assert "JPEGImages/480p/a/00001.jpg" in page
