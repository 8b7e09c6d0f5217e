"""What a run ends with: the next commands to try."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from sampt.cli.main import main
from sampt.cli.progress import show_next
from sampt.runs.job import JobResult, ObjectSummary
from sampt.types import ObjectState
from tests.cli.conftest import CLICK


def result(folder: Path, states: list[ObjectState], formats: tuple[str, ...] = ("png",)) -> JobResult:
    objects = [ObjectSummary(i, 5, 4.5, 5, state) for i, state in enumerate(states, 1)]
    return JobResult(folder, {name: folder / name for name in formats}, 5, objects, {}, 1.0)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_run_names_the_page_and_an_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = tmp_path / "my clip.mp4"
    video.touch()
    show_next(video, result(tmp_path / "out", [ObjectState.PRESENT]))
    page, export = lines(capsys)
    assert shlex.split(page.split("#")[0]) == ["next:", "sampt", "ui", str(video)]
    assert shlex.split(export.split("#")[0]) == ["sampt", "export", str(tmp_path / "out"), "cvat"]
    assert "lost" not in page


def test_lost_objects_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    states = [ObjectState.RETIRED, ObjectState.PRESENT, ObjectState.NO_VISIBLE_POINT, ObjectState.HIDDEN_BY_OTHERS]
    show_next(tmp_path, result(tmp_path, states))
    assert "click objects 1, 3 again where it was lost" in lines(capsys)[0]


def test_nothing_is_said_that_cannot_be_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_next(object(), result(tmp_path, [ObjectState.PRESENT], formats=("npz",)))
    show_next("rtsp://camera/stream", result(tmp_path, []))
    assert lines(capsys) == []


def test_the_export_that_a_run_names_works_and_quiet_is_quiet(
    media: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["segment", media.path("clip.mp4"), *CLICK, "-o", "out", "--preset", "classical", "--formats", "png"]
    assert main(command) == 0
    (export,) = [line for line in lines(capsys) if "sampt export" in line]
    assert main(shlex.split(export.split("#")[0].removeprefix("next:"))[1:]) == 0
    assert "<annotations>" in next(tmp_path.glob("*.xml")).read_text(encoding="utf-8")
    capsys.readouterr()
    assert main([*command, "--overwrite", "--quiet"]) == 0
    assert lines(capsys) == []
