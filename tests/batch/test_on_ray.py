"""Workers on a Ray cluster of several nodes on this machine: results of local workers, also when a node is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.batch.driver import run_batch
from sampt.batch.items import read_batch
from sampt.batch.local import LocalPool
from sampt.batch.on_ray import RayPool
from sampt.batch.work import BatchSettings, ItemResult
from sampt.errors import BatchError
from sampt.presets import preset
from sampt.runs.job import RunOptions
from sampt.testing.scenes import SceneVideo, slow_scene

pytest.importorskip("ray")
NUM_CLIPS = 4
# Ray's own code warns and leaves what pytest takes for leaks; none of it is ours.
# A thread can end a test that waits inside Ray; a signal waits with it.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(180, method="thread")]


@pytest.fixture(autouse=True)
def own_signal_handlers() -> Iterator[None]:
    """Ray puts a handler of SIGTERM into the process that it is started in, and leaves it there."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for k in range(NUM_CLIPS):
        scene = slow_scene(5 + k)
        video = SceneVideo(scene)
        (folder / f"clip{k}").mkdir()
        for i in range(video.num_frames):
            Image.fromarray(video.read(i, i + 1)[0]).save(folder / f"clip{k}" / f"{i:03d}.png")
        Image.fromarray(scene.masks(0)[0].astype(np.uint8)).save(folder / f"clip{k}.png")
    return folder


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without room for workers, and a node with one CPU."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80 << 20})
    nodes.add_node(num_cpus=1, object_store_memory=80 << 20)
    yield nodes
    nodes.shutdown()


def settings(output: Path) -> BatchSettings:
    return BatchSettings(output, preset("default"), RunOptions(formats=("png", "npz", "overlay")))


def digests(output: Path) -> dict[str, str]:
    files = [p for p in output.rglob("*") if p.is_file() and not p.name.startswith(("run.json", "batch.json"))]
    assert not [p for p in files if p.suffix == ".partial"]
    return {str(p.relative_to(output)): sha256(p.read_bytes()).hexdigest() for p in files}


def test_a_killed_nodes_video_goes_to_another_and_results_are_those_of_local_workers(
    clips: Path, cluster: Any, local: dict[str, str], tmp_path: Path
) -> None:
    items = read_batch(clips)
    doomed = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    done: list[ItemResult] = []

    def note(result: ItemResult) -> None:
        done.append(result)
        if len(done) == 2:
            cluster.remove_node(doomed, allow_graceful=False)

    with RayPool(settings(tmp_path / "ray"), cluster.address) as pool:
        assert pool.num_workers == 2
        report = run_batch(items, settings(tmp_path / "ray"), pool, retries=5, on_result=note)
    assert report.is_complete
    assert sorted(r.name for r in done) == [f"clip{k}" for k in range(NUM_CLIPS)]
    assert digests(tmp_path / "ray") == local


@pytest.mark.slow
def test_more_workers_than_places_do_all_items(clips: Path, cluster: Any, tmp_path: Path) -> None:
    """As after the loss of a node: the actor that took the dead one's place gets none, and its items go to the other."""
    with RayPool(settings(tmp_path), cluster.address, num_workers=2) as pool:
        done: list[str] = []
        report = run_batch(read_batch(clips), settings(tmp_path), pool, on_result=lambda r: done.append(r.name))
    assert report.is_complete
    assert sorted(done) == [f"clip{k}" for k in range(NUM_CLIPS)]


@pytest.fixture(scope="module")
def local(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a local worker makes of the clips."""
    output = tmp_path_factory.mktemp("local")
    with LocalPool(settings(output), 1, threads=1) as pool:
        assert run_batch(read_batch(clips), settings(output), pool).is_complete
    return digests(output)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_raylet_killed_at_any_moment_loses_nothing(
    clips: Path, cluster: Any, local: dict[str, str], tmp_path: Path, seed: int
) -> None:
    """``kill -9`` to the daemon of a node: its workers go with it, another node does what they had."""
    rng = np.random.default_rng(seed)
    doomed = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    (raylet,) = [info.process.pid for info in doomed.all_processes["raylet"]]
    with RayPool(settings(tmp_path), cluster.address) as pool:
        killer = threading.Timer(rng.uniform(0.3, 2.5), os.kill, (raylet, signal.SIGKILL))
        killer.start()
        done: list[str] = []
        report = run_batch(read_batch(clips), settings(tmp_path), pool, retries=5, on_result=lambda r: done.append(r.name))
        killer.join()
    assert report.is_complete
    assert sorted(done) == [f"clip{k}" for k in range(NUM_CLIPS)]
    assert digests(tmp_path) == local


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_a_killed_driver_on_ray_is_taken_up(clips: Path, cluster: Any, local: dict[str, str], tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    command = [sys.executable, "-m", "sampt", "batch", str(clips), "-o", str(tmp_path), "--formats", "png,npz,overlay"]
    command += ["--quiet", "--retries", "5", "--ray", cluster.address]
    with subprocess.Popen(command) as driver:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("*/run.json")):  # in the midst of it
            assert time.monotonic() < deadline
            assert driver.poll() is None
            time.sleep(0.05)
        driver.kill()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/run.json")}
    assert 0 < len(before) < NUM_CLIPS
    assert subprocess.run(command, timeout=240).returncode == 0
    assert digests(tmp_path) == local
    assert {p: p.stat().st_mtime_ns for p in before} == before  # nothing is done twice


@pytest.mark.parametrize("address", [["127.0.0.1:1"], []])
def test_no_cluster_is_one_line(clips: Path, tmp_path: Path, address: list[str]) -> None:
    command = [sys.executable, "-m", "sampt", "batch", str(clips), "-o", str(tmp_path / "out"), "--ray", *address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"There is no Ray cluster at {(address or ['auto'])[0]!r}" in line


@pytest.mark.parametrize(("workers", "threads"), [(0, None), (None, 0)])
def test_workers_and_threads_are_checked_before_ray_is_asked(tmp_path: Path, workers: int | None, threads: int | None) -> None:
    with pytest.raises(BatchError, match="expected 1 or more"):
        RayPool(settings(tmp_path), num_workers=workers, threads=threads)
