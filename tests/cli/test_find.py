"""``sampt segment --find``: objects that nobody named, beside those that are, and none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.evaluation.datasets import read_label_map
from sampt.evaluation.vos.jf import jaccard
from sampt.testing import slow_scene


def boxes_file(folder: Path, *boxes: tuple[float, ...], name: str = "fish") -> Path:
    """Detections on frame 0, as COCO JSON: x, y, w, h."""
    height, width = slow_scene(1).size_hw
    items = [{"id": k, "image_id": 0, "category_id": 1, "bbox": [*box], "score": 0.9} for k, box in enumerate(boxes)]
    path = folder / "boxes.json"
    images = [{"id": 0, "width": width, "height": height, "file_name": "00000.png"}]
    path.write_text(json.dumps({"images": images, "annotations": items, "categories": [{"id": 1, "name": name}]}))
    return path


def box_of(mask: np.ndarray) -> tuple[float, ...]:
    ys, xs = np.nonzero(mask)
    return float(xs.min()), float(ys.min()), float(np.ptp(xs) + 1), float(np.ptp(ys) + 1)


def test_detections_of_another_program_become_objects_with_their_names(media: Any, kit: Any, call: Any, tmp_path: Path) -> None:
    warm, cool = slow_scene(1).masks(0)
    file = boxes_file(tmp_path, box_of(warm), box_of(cool))
    output = tmp_path / "out"
    named = ("segment", media.path("clip.mp4"), *kit.click, *kit.fast, "--proposer", f"boxes:{file}", "-o", output)
    outcome = call(*named, "--formats", "png,coco-instances")
    assert outcome.status == 0, outcome.err
    lines = outcome.err.splitlines()
    assert lines[0].startswith("6 frames, 2 objects in ")  # object 1 is named; its box is not found again
    assert lines[2].startswith("  object 2 (fish): mask on 6 of 6 frames")
    assert "proposer boxes: code Apache-2.0, no weights" in outcome.err
    run = json.loads((output / "run.json").read_text())
    assert [(o["id"], o["frame"], o["label"]) for o in run["found"]["objects"]] == [(2, 0, "fish")]
    labels = read_label_map(output / "masks" / "00000.png")
    assert jaccard(labels == 2, cool) > 0.6
    classes = {c["name"] for c in json.loads((output / "coco-instances.json").read_text())["categories"]}
    assert "fish" in classes
    assert call(*named, "--formats", "png,coco-instances").err.startswith("Already complete")
    one = ("--find-max", "1", "--labels", "1=cod,7=none", "-o", tmp_path / "few")
    few = call("segment", media.path("clip.mp4"), *kit.fast, *named[-4:-2], *one).err.splitlines()
    assert "  1 more object found and left out; --find-max takes more" in few
    assert few[1].startswith("  object 1 (cod): mask on ")
    boxes_file(tmp_path, box_of(cool), name="shark")  # the same file, and another run
    assert "with other settings or input" in call(*named, "--formats", "png,coco-instances").err


def test_where_nothing_is_found_the_run_is_complete_and_says_so(call: Any, tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / "grey").mkdir(exist_ok=True)
        Image.new("RGB", (64, 48), (90, 90, 90)).save(tmp_path / "grey" / f"{i}.png")
    outcome = call("segment", tmp_path / "grey", "--find", "--find-min-score", "0.99", "-o", tmp_path / "out")
    assert outcome.status == 0, outcome.err
    assert outcome.err.splitlines()[0].startswith("3 frames, 0 objects in ")
    assert "nothing was found that may be an object" in outcome.err
    assert json.loads((tmp_path / "out" / "run.json").read_text())["objects"] == []
    assert [read_label_map(path).any() for path in (tmp_path / "out" / "masks").iterdir()] == [False] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--find-region", "1,2,3"), "expected X0,Y0,X1,Y1"),
        (("--find-region", "9,0,3,5"), "X0 up to X1"),
        (("--find-max", "0"), "max_objects is 0; expected a number at least 1"),
        (("--proposer", "objectnes"), "Unknown proposer 'objectnes'. Did you mean 'objectness'?"),
        (("--proposer", "objectness:dog"), "takes nothing after a colon"),
        (("--proposer", "boxes:nothing.json"), "nothing.json"),
    ],
)
def test_bad_input_is_one_line(media: Any, call: Any, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    outcome = call("segment", media.path("clip.mp4"), *options, "-o", tmp_path / "out")
    assert outcome.status == 2
    assert message in outcome.err
    assert not (tmp_path / "out").exists()
