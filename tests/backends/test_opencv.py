"""Builds of OpenCV that lie over each other are reported, and a cv2 that one of them took along ends in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sampt
from sampt.backends.opencv import check_opencv, describe_builds
from sampt.errors import BackendError

SOURCES = Path(sampt.__file__).parents[1]
BUILDS = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")


def install(folder: Path, name: str, version: str = "9.9.0") -> None:
    """As far as pip's records go."""
    record = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder that packages are looked for in."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    return tmp_path


@pytest.mark.parametrize("build", BUILDS)
def test_one_build_is_nothing_to_tell(build: str, alone: Path) -> None:
    install(alone, build)
    assert describe_builds() is None


@pytest.mark.parametrize("build", BUILDS[1:])
def test_two_builds_are_told(build: str, alone: Path) -> None:
    install(alone, BUILDS[0], "5.0.0.93")
    install(alone, build)
    text = describe_builds()
    assert text is not None
    assert f"opencv-python-headless 5.0.0.93 and {build} 9.9.0 " in text
    assert "\n" not in text


def test_a_whole_cv2_passes(alone: Path) -> None:
    (alone / "cv2").mkdir()
    (alone / "cv2" / "__init__.py").touch()
    check_opencv()


@pytest.mark.parametrize("remains", [False, True])
def test_what_repairs_a_cv2_that_is_gone_is_the_build_that_pip_knows(remains: bool, alone: Path) -> None:
    install(alone, "opencv-contrib-python")
    if remains:
        (alone / "cv2").mkdir()
        (alone / "cv2" / "left.py").touch()
    with pytest.raises(BackendError, match=r"pip install --force-reinstall --no-deps opencv-contrib-python "):
        check_opencv()


@pytest.mark.parametrize("remains", [False, True])
@pytest.mark.parametrize("command", [["-m", "sampt", "demo"], ["-c", "import sampt; sampt.open_video('a.mp4')"]])
def test_without_cv2_there_is_one_line(command: list[str], remains: bool, tmp_path: Path) -> None:
    if remains:
        (tmp_path / "cv2").mkdir()
    (tmp_path / "numpy.py").write_text("raise AttributeError('numpy is of no use to this test')")
    environment = os.environ | {"PYTHONPATH": f"{SOURCES}{os.pathsep}{tmp_path}"}
    run = subprocess.run(
        [sys.executable, "-S", "-s", *command], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    last = run.stderr.strip().splitlines()[-1]
    assert f"OpenCV (cv2) is {'broken' if remains else 'missing'}" in last
    if command[0] == "-m":
        assert run.returncode == 2
        assert len(run.stderr.strip().splitlines()) == 1
