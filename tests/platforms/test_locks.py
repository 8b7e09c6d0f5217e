"""Locks and names as this system has them: run on Linux, macOS and Windows by .github/workflows/tests.yml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sampt.errors import FolderBusyError
from sampt.files.folder_lock import FolderLock
from sampt.files.names import fold_name, portable_name

HOLD = "import sys; from pathlib import Path; from sampt.files.folder_lock import FolderLock\n"
HOLD += "lock = FolderLock(Path(sys.argv[1]), 'busy'); print('locked', flush=True); sys.stdin.read()"


def test_a_folder_is_free_when_its_process_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"locked"
        with pytest.raises(FolderBusyError, match="busy"):
            FolderLock(folder, "busy")
        other.kill()
        other.wait()
    for _ in range(2):
        with FolderLock(folder, "busy"), pytest.raises(FolderBusyError):
            FolderLock(folder, "busy")
    assert [p.name for p in tmp_path.iterdir()] == ["run"] or sys.platform == "win32"


@pytest.mark.parametrize(
    ("name", "portable"),
    [
        ("clip", "clip"),
        ("größe.mp4", "größe.mp4"),
        ("console", "console"),
        ("com10", "com10"),
        ("CON", "CON_"),
        ("nul.tar.gz", "nul_.tar.gz"),
        ("Com1.mp4", "Com1_.mp4"),
        ("lpt\u00b2", "lpt\u00b2_"),
        ("a:b*c?", "a_b_c_"),
        ('a\\b/c|"d"<e>\x07', "a_b_c__d__e__"),
        ("take 2. ", "take 2__"),
        ("...", "___"),
    ],
)
def test_names_that_every_system_takes(tmp_path: Path, name: str, portable: str) -> None:
    assert portable_name(name) == portable
    assert portable_name(portable) == portable
    (tmp_path / portable).write_bytes(b"kept")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(portable, b"kept")]


def test_names_that_some_systems_take_for_one() -> None:
    assert fold_name("Clip.MP4") == fold_name("clip.mp4")
    assert fold_name("caf\u00e9") == fold_name("CAFE\u0301")
    assert fold_name("stra\u00dfe") == fold_name("STRASSE")
    assert fold_name("clip") != fold_name("clip2")
