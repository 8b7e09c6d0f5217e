"""``kill -9`` and Ctrl-C at any moment: started again, the run ends with the very same files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampt.testing.scenes import crossing_scene
from tests.command import run_command

NUM_FRAMES = 12
SIZE_HW = (96, 160)
REINIT = ("--reinit", "--reinit-horizon", "5", "--reinit-tracker-horizon", "5")
# A moment in each fifth of the run: frames already finished, and a delay in seconds on top.
_RNG = np.random.default_rng(20)
MOMENTS = [(int(_RNG.integers(i * 2, i * 2 + 2)), round(float(_RNG.uniform(0, 0.05)), 3)) for i in range(5)]


def some_of(moments: Sequence[tuple[int, float]], quick: set[int]) -> list[Any]:
    """All of them, but the others are slow tests."""
    return [moment if i in quick else pytest.param(*moment, marks=pytest.mark.slow) for i, moment in enumerate(moments)]


def _heed_control_c() -> None:
    """In the child: a shell that starts tests in the background has Control-C ignored, and children would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Runs:
    """One clip, and the command line on it."""

    def __init__(self, root: Path, kit: Any) -> None:
        self.root, self._kit = root, kit
        self.scene = crossing_scene(NUM_FRAMES, SIZE_HW)
        kit.write_clip(root / "clip.mp4", self.scene)
        self._common = ["segment", str(root / "clip.mp4"), *self.click(2), "--no-reinit"]

    def click(self, object_id: int) -> tuple[str, str]:
        """A click on the middle of an object on the first frame."""
        y, x = np.argwhere(self.scene.masks(0)[object_id - 1]).mean(0)
        return "--points", f"{object_id},0,{x:.0f},{y:.0f}"

    def command(self, output: Path, *options: str) -> list[str]:
        return [*self._common, "-o", str(output), *options]

    def finish(self, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
        done = run_command(*self.command(output, *options))
        assert done.returncode == 0, done.stderr
        return done

    def stop(self, output: Path, number: int, delay_s: float, how: signal.Signals, *options: str) -> tuple[int, str]:
        """Start a run, send a signal when ``number`` frames are on disk and ``delay_s`` are over; its status and messages."""
        command = [sys.executable, "-m", "sampt", *self.command(output, *options)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_control_c) as process:
            deadline = time.monotonic() + 60
            while len(list(output.glob("masks/*.png"))) < number or not output.exists():
                assert process.poll() is None, "the run ended before it could be stopped"
                assert time.monotonic() < deadline
                time.sleep(0.002)
            time.sleep(delay_s)
            process.send_signal(how)
            _, err = process.communicate(timeout=60)
        return process.returncode, err

    def kill_after(self, output: Path, number: int, *options: str) -> None:
        """Kill a run that goes on, when ``number`` frames are in its journal."""
        command = [sys.executable, "-m", "sampt", *self.command(output, *options)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            while frames_in_journal(output) < number:
                assert process.poll() is None, "the run ended before it could be killed"
                time.sleep(0.002)
            process.kill()
        assert process.returncode == -signal.SIGKILL

    def results(self, output: Path) -> dict[str, str]:
        """Digests of what depends on the input and the settings alone."""
        digests: dict[str, str] = self._kit.digests(output)
        assert "run.json" in digests
        assert not [name for name in digests if name.endswith((".partial", ".journal"))]
        return {name: digest for name, digest in digests.items() if name not in ("run.json", "overlay.mp4")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, kit: Any) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"), kit)


@pytest.fixture(scope="module")
def whole(runs: Runs) -> Callable[..., dict[str, str]]:
    """The results of runs that nothing interrupted, by their options."""
    known: dict[Sequence[str], dict[str, str]] = {}

    def results(*options: str) -> dict[str, str]:
        if options not in known:
            output = runs.root / f"whole-{len(known)}"
            runs.finish(output, *options)
            known[options] = runs.results(output)
        return known[options]

    return results


def manifest(output: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((output / "run.json").read_text())
    return data


def frames_in_journal(output: Path) -> int:
    """Whole lines but the first; a torn last line has no line feed."""
    path = output / "resume.journal"
    return max(0, path.read_bytes().count(b"\n") - 1) if path.exists() else 0


@pytest.mark.parametrize(("number", "delay_s"), some_of(MOMENTS, {1, 3}))
def test_killed_run_goes_on_and_ends_with_the_same_files(
    number: int, delay_s: float, runs: Runs, whole: Any, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    status, _ = runs.stop(output, number, delay_s, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert not (output / "run.json").exists()
    assert not [name for name in ("masks.json", "tracks.npz", "overlay.mp4", "sheet.png") if (output / name).exists()]
    in_journal = frames_in_journal(output)
    assert in_journal >= number
    done = runs.finish(output)
    assert runs.results(output) == whole()
    assert manifest(output)["num_resumed"] == in_journal
    assert (f"{in_journal} frames were already segmented" in done.stderr) == (in_journal > 0)


def test_two_objects_killed_again_and_again_end_with_the_same_files(runs: Runs, whole: Any, tmp_path: Path) -> None:
    output, other = tmp_path / "out", runs.click(1)
    for number in (2, 4, 7):
        runs.kill_after(output, number, *other)
    runs.finish(output, *other)
    assert manifest(output)["num_resumed"] >= 7
    assert runs.results(output) == whole(*other)
    assert whole(*other) != whole()


@pytest.mark.parametrize(("number", "delay_s"), some_of(MOMENTS, {1}))
def test_killed_run_with_reinit_starts_over_cleanly(
    number: int, delay_s: float, runs: Runs, whole: Any, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    # A window's frames come all at once: earlier moments leave time before the end.
    assert runs.stop(output, number // 2, delay_s / 5, signal.SIGKILL, *REINIT)[0] == -signal.SIGKILL
    assert not (output / "run.json").exists()
    runs.finish(output, *REINIT)
    assert runs.results(output) == whole(*REINIT)
    assert manifest(output)["num_resumed"] == 0


def test_torn_journal_line_is_segmented_again(runs: Runs, whole: Any, tmp_path: Path) -> None:
    output = tmp_path / "out"
    runs.stop(output, 5, 0.0, signal.SIGKILL)
    journal = output / "resume.journal"
    lines = journal.read_bytes().splitlines(keepends=True)[:5]  # the head and four frames
    journal.write_bytes(b"".join(lines)[:-20])
    runs.finish(output)
    assert manifest(output)["num_resumed"] == 3
    assert runs.results(output) == whole()


def test_killed_before_the_first_line_of_the_journal(runs: Runs, whole: Any, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "resume.journal").write_bytes(b'{"format": "sam')
    runs.finish(output)
    assert runs.results(output) == whole()


def test_control_c_ends_with_130_and_one_line(runs: Runs, whole: Any, tmp_path: Path) -> None:
    output = tmp_path / "out"
    status, err = runs.stop(output, 4, 0.0, signal.SIGINT)
    assert (status, err) == (130, "sampt: interrupted; start the same command again to go on.\n")
    assert not (output / "run.json").exists()
    in_journal = frames_in_journal(output)
    assert in_journal >= 4
    runs.finish(output)
    assert manifest(output)["num_resumed"] == in_journal
    assert runs.results(output) == whole()


def test_control_c_while_starting_is_one_line_too(runs: Runs, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sampt", *runs.command(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_control_c) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        while process.poll() is None and "numpy" not in maps.read_text():  # the command is at work, and imports
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    # When the signal meets an exec() inside an import (namedtuple, dataclasses), CPython ends by the signal itself although the
    # exception was handled; a shell shows 130 for both.
    assert process.returncode in (130, -signal.SIGINT)
    assert err == "sampt: interrupted; start the same command again to go on.\n"
    assert not (tmp_path / "out" / "run.json").exists()


def test_complete_run_is_recognised_and_left_as_it_is(runs: Runs, whole: Any, kit: Any, tmp_path: Path) -> None:
    whole()
    output = runs.root / "whole-0"
    before = kit.digests(output), {p: p.stat().st_mtime_ns for p in output.rglob("*")}
    done = runs.finish(output)
    assert f"Already complete: {output} holds this very run; --overwrite repeats it." in done.stderr
    assert (kit.digests(output), {p: p.stat().st_mtime_ns for p in output.rglob("*")}) == before


def test_other_settings_are_refused_then_replaced(runs: Runs, whole: Any, kit: Any, tmp_path: Path) -> None:
    output = tmp_path / "out"
    runs.stop(output, 5, 0.0, signal.SIGKILL, "--seed", "1")
    before = kit.digests(output)
    refused = kit.call_process(runs.command(output))
    assert refused.returncode == 2
    assert refused.stderr == (
        f"sampt: error: {output} holds an unfinished run with other settings or input; choose another output folder, or "
        "replace it with --overwrite (overwrite=True).\n"
    )
    assert kit.digests(output) == before
    runs.finish(output, "--overwrite")
    assert runs.results(output) == whole()
    assert manifest(output)["num_resumed"] == 0


def test_run_with_overwrite_goes_on_after_a_kill(runs: Runs, whole: Any, tmp_path: Path) -> None:
    output = tmp_path / "out"
    runs.finish(output, "--seed", "1", "--stop", "3")
    runs.stop(output, 6, 0.0, signal.SIGKILL, "--overwrite")
    in_journal = frames_in_journal(output)
    runs.finish(output, "--overwrite")
    assert manifest(output)["num_resumed"] == in_journal >= 6
    assert runs.results(output) == whole()
