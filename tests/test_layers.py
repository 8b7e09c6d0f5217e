"""The layers of the architecture hold, and importing sampt is cheap."""

from __future__ import annotations

import os
import subprocess
import sys
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


def test_layers_hold() -> None:
    pytest.importorskip("importlinter", reason="import-linter is one of the [dev] extras")
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stdout[-3000:]
    assert "1 kept, 0 broken" in run.stdout


def test_importing_sampt_imports_no_back_end_and_nothing_heavy() -> None:
    imported = set(run_python("import sampt, sys; print(*sys.modules)").split())
    assert "sampt" in imported
    assert not imported & {"torch", "cv2", "av", "numpy", "PIL", "rich", "pycocotools"}
    assert not [m for m in imported if m.startswith(("sampt.trackers", "sampt.segmenters", "sampt.video"))]


def test_public_names_load_and_are_listed() -> None:
    code = "import sampt; [getattr(sampt, n) for n in sampt.__all__]; print(*set(sampt.__all__) - set(dir(sampt)))"
    assert run_python(code) == ""
    assert {"segment_video", "Points", "open_video", "SegmentConfig", "create_tracker"} <= set(sampt.__all__)


def test_loading_the_public_names_imports_no_back_end() -> None:
    code = "import sampt, sys; [getattr(sampt, n) for n in sampt.__all__]; print(*sys.modules)"
    imported = set(run_python(code).split())
    assert "torch" not in imported
    backends = {"sampt.trackers.dis_flow", "sampt.trackers.lucas_kanade", "sampt.segmenters.grabcut", "sampt.testing"}
    assert not imported & backends


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'sampt' has no attribute 'segment_vidoe'"):
        sampt.segment_vidoe  # noqa: B018
