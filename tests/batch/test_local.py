"""Real workers: results of a single run, broken videos, killed workers, a killed driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.testing.scenes import SceneVideo, crossing_scene, slow_scene
from tests.command import run_command

NUM_CLIPS = 4
OPTIONS = ("--preset", "fast-offline", "--formats", "png,npz,overlay", "--quiet")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small clips, each with a mask beside it, and one that is broken."""
    folder = tmp_path_factory.mktemp("clips")
    for k in range(NUM_CLIPS):
        scene = (slow_scene if k % 2 else crossing_scene)(5 + k)
        video = SceneVideo(scene)
        (folder / f"clip{k}").mkdir()
        for i in range(video.num_frames):
            Image.fromarray(video.read(i, i + 1)[0]).save(folder / f"clip{k}" / f"{i:03d}.png")
        labels = (scene.masks(0) * np.arange(1, len(scene.masks(0)) + 1)[:, None, None]).max(0)
        Image.fromarray(labels.astype(np.uint8)).save(folder / f"clip{k}.png")
    return folder


def batch(clips: Path, output: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "sampt", "batch", str(clips), "-o", str(output), *OPTIONS, *options]


def run(clips: Path, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run_command(*batch(clips, output, *options)[3:])


def digests(output: Path) -> dict[str, str]:
    """Of all results; run.json tells times."""
    files = [p for p in output.rglob("*") if p.is_file() and not p.name.startswith(("run.json", "batch.json"))]
    return {str(p.relative_to(output)): sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def single(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `sampt segment` makes of each clip, one at a time."""
    output = tmp_path_factory.mktemp("single")
    for k in range(NUM_CLIPS):
        command = [sys.executable, "-m", "sampt", "segment", str(clips / f"clip{k}"), "--mask", str(clips / f"clip{k}.png")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([*command, "-o", str(output / f"clip{k}"), *OPTIONS], check=True, timeout=120, env=environment)
    return digests(output)


def noted(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "batch.jsonl").read_text().splitlines()]


def test_results_are_those_of_single_runs_and_nothing_is_done_twice(
    clips: Path, single: dict[str, str], tmp_path: Path
) -> None:
    done = run(clips, tmp_path, "--workers", "2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert digests(tmp_path) == single
    again = run(clips, tmp_path, "--workers", "1")
    assert again.returncode == 0
    statuses = [line["status"] for line in noted(tmp_path)]
    assert statuses == ["done"] * NUM_CLIPS + ["was done"] * NUM_CLIPS
    assert digests(tmp_path) == single


def test_a_broken_video_is_recorded_and_the_others_go_on(clips: Path, tmp_path: Path) -> None:
    lines = [
        {"video": str(clips / "clip0"), "mask": str(clips / "clip0.png")},
        {"video": str(clips / "nothing.mp4"), "points": ["1,0,5,5"]},
        {"video": str(clips / "clip1"), "points": ["1,0,9999,5"]},
        {"video": str(clips / "clip2"), "mask": str(clips / "clip2.png"), "settings": {"sead": 1}},
        {"video": str(clips / "clip3"), "mask": str(clips / "clip3.png"), "settings": {"seed": 1}, "stop": 3},
    ]
    (tmp_path / "videos.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done = run_command(*batch(tmp_path / "videos.jsonl", tmp_path / "out", "--workers", "2")[3:-3])
    assert done.returncode == 1
    assert "2 videos (8 frames)" in done.stderr
    assert "nothing: There is no file or folder" in done.stderr
    assert "clip1: The point (9999, 5) of object 1 lies outside the frame" in done.stderr
    assert "clip2: Unknown setting 'sead'. Did you mean 'seed'" in done.stderr
    results = {r["name"]: r for r in json.loads((tmp_path / "out" / "batch.json").read_text())["results"]}
    assert {name: r["status"] for name, r in results.items()} == {
        "clip0": "done", "nothing": "failed", "clip1": "failed", "clip2": "failed", "clip3": "done"
    }  # fmt: skip
    assert json.loads((tmp_path / "out" / "clip3" / "run.json").read_text())["config"]["seed"] == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["batch.json", "batch.jsonl", "clip0", "clip3"]


def workers_of(driver: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(driver)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_workers_video_goes_to_another(clips: Path, single: dict[str, str], tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with subprocess.Popen(batch(clips, tmp_path, "--workers", "2", "--retries", "5")) as driver:
        for _ in range(3):
            time.sleep(rng.uniform(0.3, 1.5))
            if pids := workers_of(driver.pid):
                os.kill(int(rng.choice(pids)), signal.SIGKILL)
        assert driver.wait(240) == 0
    assert digests(tmp_path) == single


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.parametrize("seed", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_a_killed_driver_takes_its_workers_along_and_the_batch_goes_on(
    clips: Path, single: dict[str, str], tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(3):
        with subprocess.Popen(batch(clips, tmp_path, "--workers", "2")) as driver:
            time.sleep(rng.uniform(0.5, 2.5))
            pids = workers_of(driver.pid)
            driver.kill()
            driver.wait()
        end = time.monotonic() + 20
        while any(map(is_running, pids)):
            assert time.monotonic() < end, "a worker outlived its driver"
            time.sleep(0.05)
    assert run(clips, tmp_path, "--workers", "2").returncode == 0
    assert digests(tmp_path) == single
    done = [line["name"] for line in noted(tmp_path) if line["status"] == "done"]
    assert len(done) == len(set(done))


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A manifest of one clip of two objects, and what one worker makes of it without re-initialisation."""
    folder = tmp_path_factory.mktemp("crossing")
    scene = crossing_scene(12)
    video = SceneVideo(scene)
    (folder / "clip").mkdir()
    for i in range(video.num_frames):
        Image.fromarray(video.read(i, i + 1)[0]).save(folder / "clip" / f"{i:03d}.png")
    Image.fromarray((scene.masks(0) * np.arange(1, 3)[:, None, None]).max(0).astype(np.uint8)).save(folder / "clip.png")
    (folder / "videos.jsonl").write_text(json.dumps({"video": "clip", "mask": "clip.png"}))
    alone = folder / "alone"
    assert run(folder / "videos.jsonl", alone, "--no-reinit", "--workers", "1", "--threads", "1").returncode == 0
    return folder / "videos.jsonl", results_of(alone)


def results_of(output: Path) -> dict[str, str]:
    return {name: digest for name, digest in digests(output).items() if name != "batch.jsonl"}


SHARING = ("--no-reinit", "--workers", "2", "--threads", "1", "--shared-frames", "12")


def test_two_workers_share_one_video_by_its_objects(crossing: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    manifest, alone = crossing
    assert run(manifest, tmp_path, *SHARING).returncode == 0
    assert results_of(tmp_path) == alone
    assert [(line["status"], line["num_parts"]) for line in noted(tmp_path)] == [("done", 2)]
    assert not (tmp_path / ".parts").exists()
    assert run(manifest, tmp_path, *SHARING).returncode == 0
    assert noted(tmp_path)[-1]["status"] == "was done"


@pytest.mark.parametrize("option", ["--reinit", "--shared-frames=13"])
def test_what_would_change_or_is_short_is_not_shared(
    crossing: tuple[Path, dict[str, str]], tmp_path: Path, option: str
) -> None:
    assert run(crossing[0], tmp_path, *SHARING, option).returncode == 0
    assert noted(tmp_path)[0]["num_parts"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.parametrize("seed", [5, pytest.param(6, marks=pytest.mark.slow)])
def test_killed_workers_and_drivers_do_not_hurt_a_shared_video(
    crossing: tuple[Path, dict[str, str]], tmp_path: Path, seed: int
) -> None:
    manifest, alone = crossing
    rng = np.random.default_rng(seed)
    with subprocess.Popen(batch(manifest, tmp_path, *SHARING)) as driver:
        time.sleep(rng.uniform(1, 3))
        driver.kill()
    with subprocess.Popen(batch(manifest, tmp_path, *SHARING, "--retries", "5")) as driver:
        time.sleep(rng.uniform(0.5, 2.5))
        if pids := workers_of(driver.pid):
            os.kill(int(rng.choice(pids)), signal.SIGKILL)
        assert driver.wait(240) == 0
    assert results_of(tmp_path) == alone


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--workers", "0"), "There are to be 0 workers"),
        (("--threads", "0"), "There are to be 0 threads a worker"),
        (("--retries", "-1"), "--retries is -1; expected a whole number from 0"),
        (("--formats", "gif"), "Unknown output 'gif'"),
        (("--tracker", "nanno"), "Unknown tracker 'nanno'. Did you mean 'nano'"),
    ],
)
def test_what_all_videos_have_in_common_is_checked_first(
    clips: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = run(clips, tmp_path / "out", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
