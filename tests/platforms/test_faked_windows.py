"""Faked Windows (tests/platforms/windows.py): files in use, forbidden names, other locks, code pages. None ran on Windows."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.batch.items import BatchItem
from sampt.batch.local import LocalPool
from sampt.batch.work import BatchSettings, Worker
from sampt.cli import ui
from sampt.cli.main import main
from sampt.config import PromptConfig, SegmentConfig
from sampt.errors import FolderBusyError, OutputError
from sampt.exporters.table import BUILT_IN
from sampt.files import locking
from sampt.files.atomic import output_errors
from sampt.files.folder_lock import FolderLock
from sampt.runs.job import Job, RunOptions
from sampt.runs.run import run_job
from sampt.session import Session
from sampt.testing import ExactSegmenter, ExactTracker
from sampt.testing.fakes import ExactStreamTracker
from sampt.testing.scenes import SceneVideo, slow_scene
from sampt.types import QueryMask
from sampt.web import browsers, tasks

if sys.platform != "linux":
    pytest.skip(
        "the fakes are made of Linux's calls; where Windows is real, test_locks.py and tools/smoke.py run",
        allow_module_level=True,
    )

from tests.platforms.windows import FakeMsvcrt, windows_files

SCENE = slow_scene(6)


@pytest.fixture
def windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Below ``tmp_path`` files are as on Windows; the list has what was refused."""
    monkeypatch.setattr(locking, "_fcntl", None)
    monkeypatch.setattr(locking, "_msvcrt", FakeMsvcrt())
    with windows_files(tmp_path) as refused:
        yield refused


def test_the_fake_refuses_what_windows_refuses(windows: list[str], tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "a.txt"
    with path.open("wb"):
        for act in (path.unlink, lambda: path.replace(tmp_path / "b"), lambda: (tmp_path / "folder").rename(tmp_path / "c")):
            with pytest.raises(PermissionError, match="in use"):
                act()
    for name in ("CON", "nul.png", "a:b", "a. ", "who?"):
        with pytest.raises(OSError, match="no name on Windows"):
            (tmp_path / name).write_bytes(b"")
    with pytest.raises(OSError, match="no name on Windows"):
        (tmp_path / "com1.sampt").mkdir()
    assert len(windows) == 9
    path.replace(tmp_path / "b")
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["b"]


def test_a_run_in_every_format_goes_on_and_is_replaced(
    windows: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = ExactSegmenter(SCENE)
    monkeypatch.setattr("sampt.runs.backends.create_segmenter", lambda name, **options: exact)
    monkeypatch.setattr("sampt.runs.backends.create_tracker", lambda name, **options: ExactStreamTracker(SCENE))
    clip = _write_frames(tmp_path / "Clip")
    config = SegmentConfig(tracker="dis-flow", prompting=PromptConfig(refinement_steps=0))
    queries = [QueryMask(i, 0, mask) for i, mask in enumerate(SCENE.masks(0), 1)]
    output = tmp_path / "out" / "clip"
    for overwrite in (False, True):
        options = RunOptions(formats=tuple(BUILT_IN), overwrite=overwrite)
        result = run_job(Job(SceneVideo(SCENE), queries, output, config, options))
        assert all(path.exists() for path in result.files.values())
    item = BatchItem("Clip", str(clip), tuple(f"{i + 1},0,{x},{y}" for i, (x, y) in enumerate(map(_inside, (0, 1)))))
    worker = Worker(BatchSettings(tmp_path / "batch", config, options=RunOptions(formats=("png", "overlay"))))
    assert [worker.do(item).status for _ in range(2)] == ["done", "was done"]
    assert windows == []
    assert list(tmp_path.rglob("*.sampt-lock")) == []


def test_a_project_is_edited_propagated_and_opened_again(windows: list[str], tmp_path: Path) -> None:
    exact: dict[str, Any] = {"tracker": ExactTracker(SCENE), "segmenter": ExactSegmenter(SCENE)}
    project = tmp_path / "clip.sampt"
    clip = _write_frames(tmp_path / "Clip")
    with Session.create(clip, project, config=SegmentConfig(prompting=PromptConfig(refinement_steps=0)), **exact) as session:
        for object_id in (1, 2):
            session.add_object(f"con: {object_id}?")
            session.set_mask(object_id, 0, SCENE.masks(0)[object_id - 1])
        with pytest.raises(FolderBusyError, match="open in another session"):
            Session.open(project, **exact)
        session.undo()
        session.redo()
        assert len(list(session.propagate())) == SCENE.num_frames
    with Session.open(project, **exact) as session:
        assert [found.name for found in session.objects] == ["con: 1?", "con: 2?"]
        assert [len(session.results(i)) for i in range(SCENE.num_frames)] == [2] * SCENE.num_frames
    assert windows == []
    assert list(tmp_path.rglob("*.sampt-lock")) == []


def test_a_folder_is_locked_by_a_file_beside_it(windows: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    lock = tmp_path / ".run.sampt-lock"
    lock.write_bytes(b"")  # a killed process left it
    with FolderLock(folder, "busy"):
        with pytest.raises(FolderBusyError, match="busy"):
            FolderLock(folder, "busy")
        assert lock.exists()  # it is the other one's
        folder.rmdir()  # an empty folder is still empty
    assert not lock.exists()


def test_another_process_is_looked_for_without_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """There ``os.kill(pid, 0)`` is a Ctrl-C."""
    closed = []

    class Kernel(SimpleNamespace):
        class OpenProcess:
            def __call__(self, access: int, inherit: bool, process_id: int) -> int | None:
                return process_id if process_id < 100 else None

        def GetExitCodeProcess(self, handle: Any, status: Any) -> int:  # noqa: N802
            status._obj.value = {7: 259, 8: 0}[handle.value]
            return 1

        def CloseHandle(self, handle: Any) -> None:  # noqa: N802
            closed.append(handle.value)

    monkeypatch.setattr(ctypes, "WinDLL", lambda name, use_last_error: Kernel(OpenProcess=Kernel.OpenProcess()), raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: 5 if denied else 87, raising=False)
    monkeypatch.setattr(os, "kill", None)
    monkeypatch.setattr(browsers, "os", SimpleNamespace(name="nt", getpid=lambda: 9))
    denied = False
    assert [browsers._is_alive(n) for n in (7, 8, 9, 100)] == [True, False, False, False]
    denied = True
    assert browsers._is_alive(100)
    assert closed == [7, 8]


def test_workers_get_no_ctrl_c_and_no_pipe_is_selected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class StartError(Exception):
        """What the process would have been started with."""

    def start(command: list[str], **options: Any) -> None:
        raise StartError(options)

    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 512, raising=False)
    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.delattr(signal, "pthread_sigmask")
    with pytest.raises(StartError) as caught, LocalPool(BatchSettings(tmp_path), 1) as pool:
        pool.give(0, BatchItem("a", "a.mp4"))
    assert caught.value.args[0]["creationflags"] == 512
    assert caught.value.args[0]["encoding"] == "utf-8"


def test_what_a_code_page_lacks_is_printed_as_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "cp1252"))
    monkeypatch.setattr("sampt.cli.backends._run", lambda arguments: print("größe/日本.mp4") or 0)
    assert main(["backends"]) == 0
    sys.stdout.flush()
    assert written.getvalue() == "größe/\\u65e5\\u672c.mp4".encode("cp1252") + os.linesep.encode()


def test_results_are_named_as_windows_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[Job] = []
    monkeypatch.setattr("sampt.cli.segment.run_with_progress", lambda job, name, quiet: jobs.append(job))
    for video in ("nul.mp4", "a:b..mp4"):
        assert main(["segment", video, "--points", "1,0,1,1"]) == 0
    assert [job.output for job in jobs] == [Path("sampt-output", "nul_"), Path("sampt-output", "a_b_")]
    session: Any = SimpleNamespace(video=SimpleNamespace(label="con.mp4"))
    assert tasks._stem(session) == "con_"


def test_two_servers_do_not_have_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_KEEPALIVE, raising=False)  # any that can be read back
    with ui._bound("127.0.0.1", 0) as bound:
        assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def test_a_path_that_is_too_long_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampt.files.atomic.os", SimpleNamespace(name="nt", path=os.path))
    with (
        pytest.raises(OutputError, match="at most 259 characters; choose an output folder with a shorter path"),
        output_errors(Path("/a" * 130)),
    ):
        raise FileNotFoundError(2, "The system cannot find the path specified")


def _inside(index: int) -> tuple[int, int]:
    y, x = np.argwhere(SCENE.masks(0)[index]).mean(0).round().astype(int).tolist()
    return x, y


def _write_frames(folder: Path) -> Path:
    folder.mkdir()
    for i in range(SCENE.num_frames):
        Image.fromarray(SCENE.frame(i)).save(folder / f"{i}.png")
    return folder
