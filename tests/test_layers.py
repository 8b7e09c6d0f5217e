"""No module imports itself, and importing sampt is cheap. That the layers hold is for `make layers`."""

from __future__ import annotations

import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sampt

ROOT = Path(__file__).parents[1]
PACKAGE = Path(sampt.__file__).parent


def run_python(code: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-W", "error", "-c", code]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout.strip()


def test_no_module_imports_itself_by_way_of_others() -> None:
    grimp = pytest.importorskip("grimp", reason="import-linter, one of the [dev] extras, brings it")
    packages = ("sampt", "benchmarks", "tools", "training")
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=False, cache_dir=None)
    assert {"sampt.pipeline.segment", "tools.parity.fixtures", "training.run"} <= graph.modules
    TopologicalSorter({m: graph.find_modules_directly_imported_by(m) for m in graph.modules}).prepare()  # names a circle


def test_importing_sampt_imports_no_back_end_and_nothing_heavy() -> None:
    imported = set(run_python("import sampt, sys; print(*sys.modules)").split())
    assert "sampt" in imported
    assert not imported & {"torch", "cv2", "av", "numpy", "PIL", "rich", "pycocotools"}
    assert not [m for m in imported if m.startswith(("sampt.trackers", "sampt.segmenters", "sampt.video"))]


def test_public_names_load_and_are_listed() -> None:
    code = "import sampt; [getattr(sampt, n) for n in sampt.__all__]; print(*set(sampt.__all__) - set(dir(sampt)))"
    assert run_python(code) == ""
    assert {"segment_video", "Points", "open_video", "SegmentConfig", "create_tracker", "Session", "Job", "RunOptions"} <= set(
        sampt.__all__
    )


def test_loading_the_public_names_imports_no_back_end() -> None:
    code = "import sampt, sys; [getattr(sampt, n) for n in sampt.__all__]; print(*sys.modules)"
    imported = set(run_python(code).split())
    assert "torch" not in imported
    backends = {
        "sampt.trackers.dis_flow",
        "sampt.trackers.lucas_kanade",
        "sampt.segmenters.grabcut",
        "sampt.segmenters.nano",
        "sampt.testing",
    }
    assert not imported & backends


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'sampt' has no attribute 'segment_vidoe'"):
        sampt.segment_vidoe  # noqa: B018


def test_the_bundled_networks_run_without_pytorch() -> None:
    code = """
import sys
sys.modules["torch"] = sys.modules["onnx"] = None  # importing them fails, as where they are not installed
import numpy as np
from sampt.segmenters.create import create_segmenter
from sampt.trackers.create import create_tracker
from sampt.types import ObjectPrompt, Points
from sampt.video import open_video
frame = np.zeros((60, 80, 3), np.uint8)
frame[20:45, 25:60] = 220
nano = create_segmenter("nano")
answer = nano.decode(nano.encode(frame[None])[0], [ObjectPrompt(1, np.array([[40.0, 30.0]]), np.array([True]))])[0]
print((answer.logits > 0)[32, 42], (answer.logits > 0)[5, 5])
tracks = create_tracker("nano").track(open_video(np.stack([frame, np.roll(frame, 3, 1)])), Points.of(1, 0, [[25, 20]]))
print(bool(abs(tracks.xy[1, 0] - [28, 20]).max() < 2))
try:
    create_segmenter("nano", device="cuda")
except Exception as error:
    print(error)
"""
    first, tracked, second = run_python(code).splitlines()
    assert first == "True False"
    assert tracked == "True"
    assert second.startswith("'nano' with device 'cuda' needs PyTorch and onnx")
    assert second.endswith("Run: pip install 'sampt[torch]', or use device 'cpu'.")
