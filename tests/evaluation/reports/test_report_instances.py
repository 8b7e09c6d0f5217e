"""Reports of datasets whose objects have to be found, from real annotations: masks of DAVIS as YouTube-VIS, and OVIS."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.cli.main import main
from sampt.evaluation.reports.plots import Line, score_plot
from sampt.evaluation.reports.published import published
from sampt.masks.rle import encode_mask

SHARED = Path(__file__).resolve().parents[4] / "shared"
DAVIS, OVIS = SHARED / "davis", SHARED / "formats" / "ovis_train.json"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared data is not beside this checkout")
NAMES = {"dog": (2, "dog"), "camel": (5, "camel")}
"""Sequence -> category id and name."""


def collect_masks(name: str) -> list[np.ndarray]:
    paths = sorted((DAVIS / "Annotations" / "480p" / name).glob("*.png"))[:8:2]
    return [np.asarray(Image.open(path).convert("L").resize((214, 120), Image.Resampling.NEAREST)) > 0 for path in paths]


def video_of(root: Path, video_id: int, name: str) -> dict[str, Any]:
    files = []
    for path in sorted((DAVIS / "JPEGImages" / "480p" / name).glob("*.jpg"))[:8:2]:
        files.append(f"{name}/{path.name}")
        (root / "valid" / "JPEGImages" / name).mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((214, 120)).save(root / "valid" / "JPEGImages" / files[-1])
    return {"id": video_id, "width": 214, "height": 120, "length": len(files), "file_names": files}


def track(video_id: int, category_id: int, masks: list[np.ndarray], **more: Any) -> dict[str, Any]:
    codes = [encode_mask(mask).to_json() if mask.any() else None for mask in masks]
    return {"video_id": video_id, "category_id": category_id, "segmentations": codes, **more}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Scored predictions of another method: of YouTube-VIS with images (the dog moved, the camel not found), and of OVIS."""
    root = tmp_path_factory.mktemp("instances")
    (root / "YTVIS").mkdir()
    (root / "OVIS").mkdir()
    gt = {
        "videos": [video_of(root / "YTVIS", i, name) for i, name in enumerate(NAMES, 1)],
        "categories": [{"id": i, "name": name} for i, name in NAMES.values()],
        "annotations": [track(i, NAMES[name][0], collect_masks(name), id=i) for i, name in enumerate(NAMES, 1)],
    }
    (root / "YTVIS" / "valid.json").write_text(json.dumps(gt))
    moved = [np.roll(mask, 4 * k, 1) for k, mask in enumerate(collect_masks("dog"))]
    values = json.loads(OVIS.read_text())
    (root / "OVIS" / "annotations_train.json").write_text(OVIS.read_text())
    same = [{k: a[k] for k in ("video_id", "category_id", "segmentations")} | {"score": 0.5} for a in values["annotations"][1:]]
    for name, results in (("vis", [track(1, 2, moved, score=0.75)]), ("fish & co", same)):
        (root / name).mkdir()
        (root / name / "results.json").write_text(json.dumps(results))
    for name, dataset, split in (("vis", "youtube-vis-2019", "val"), ("fish & co", "ovis", "train")):
        location = root / ("OVIS" if dataset == "ovis" else "YTVIS")
        assert main(["eval", "score", str(root / name), "--dataset", dataset, "--root", str(location), "--split", split]) == 0
    return [str(root / "vis"), str(root / "fish & co")]


@pytest.fixture(scope="module")
def page(runs: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("report")
    assert main(["eval", "report", *runs, "-o", str(output)]) == 0
    table = (output / "report.md").read_text()
    assert "| fish &amp; co | ovis train | 1 | 10 | 9 | " in table
    return (output / "index.html").read_text()


def test_it_needs_no_other_file_and_tells_the_figures(page: str, runs: list[str]) -> None:
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    for run in runs:
        scores = json.loads((Path(run) / "scores.json").read_text())
        for name in ("ap", "ap50", "ap75", "ar1", "ar10", "ar100", "ap_small", "ar_small"):
            assert f"<td>{100 * scores[name]:.1f}</td>" in page
    assert "fish &amp; co" in page
    assert "fish & co" not in page


def test_categories_and_videos(page: str, runs: list[str]) -> None:
    (dog, camel) = json.loads((Path(runs[0]) / "scores.json").read_text())["videos"]
    iou = dog["tracks"][0]["iou"]
    assert 0.5 < iou < 1
    assert dog["tracks"][0]["frame_ious"][0] == 1
    assert camel["tracks"][0]["prediction"] is None
    assert f"<tr><td>dog</td><td>1</td><td>1</td><td>{100 * iou:.1f}</td>" in page
    assert "<tr><td>camel</td><td>1</td><td>0</td><td>0.0</td><td>0.0</td></tr>" in page
    assert f"<tr><td>1-dog</td><td>1</td><td>1</td><td>1</td><td>{100 * iou:.1f}</td></tr>" in page
    assert "<tr><td>2-camel</td><td>1</td><td>0</td><td>0</td><td>0.0</td></tr>" in page


def test_a_plot_a_video_with_a_line_a_track(page: str) -> None:
    assert page.count("<svg") == 3
    assert page.count('<polyline class="iou"') == 12  # a dog, a camel, ten fish
    assert "(score 0.75)" in page
    assert "1 camel: no prediction" in page


def test_worst_frames_have_the_ground_truth_beside_the_prediction_and_tell_when_images_lack(page: str) -> None:
    assert page.count("data:image/jpeg;base64,") == 6
    assert "1-dog, frame 00006, mean IoU" in page  # moved farthest on the last frame
    assert "2-camel, frame 00000, mean IoU 0.0" in page
    (notes,) = re.findall(r"<p>Masks on grey: (.*?)</p>", page)
    assert "There is no " in notes
    assert "img_0000001.jpg" in notes


def test_changed_predictions_are_told(runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "scores.json").write_text((Path(runs[0]) / "scores.json").read_text())
    for results, message in (("[]", "are others than when they were scored; score them again"), (None, "does not exist")):
        if results is None:
            (copy / "results.json").unlink()
        else:
            (copy / "results.json").write_text(results)
        assert main(["eval", "report", str(copy), "-o", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
    assert main(["eval", "report", str(copy), "-o", str(tmp_path / "out"), "--worst", "0"]) == 0


def test_published_figures_of_uvo_have_two_measures() -> None:
    found = published("uvo")
    assert found is not None
    assert (found.split, found.measures, found.figures["SAM-PT v1"]) == ("val", ("AR100", "AP"), (28.8, 6.7))
    assert published("ovis") is None


def test_a_plot_has_gaps_and_single_frames() -> None:
    plot = score_plot([0, 1, 2, 3, 4], [Line([1, 0.5, None, 0, None], "iou", (1, 2, 3))], "a & b")
    assert re.findall(r'points="([^"]*)"', plot) == ["30.0,8.0 135.5,54.0", "346.5,100.0 346.5,100.0"]
    assert "stroke:rgb(1, 2, 3)" in plot
    assert "<title>a &amp; b over frames 0 to 4</title>" in plot
