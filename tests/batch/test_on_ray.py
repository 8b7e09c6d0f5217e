"""Workers on a Ray cluster of several nodes on this machine: results of local workers, also when a node is killed."""

from __future__ import annotations

import subprocess
import sys
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
from sampt.config import preset
from sampt.errors import BatchError
from sampt.testing.scenes import SceneVideo, slow_scene

pytest.importorskip("ray")
NUM_CLIPS = 6
# Ray's own code warns and leaves what pytest takes for leaks; none of it is ours.
pytestmark = pytest.mark.filterwarnings("ignore")


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
    return BatchSettings(output, preset("default"), formats=("png", "npz", "overlay"))


def digests(output: Path) -> dict[str, str]:
    files = [p for p in output.rglob("*") if p.is_file() and not p.name.startswith(("run.json", "batch.json"))]
    return {str(p.relative_to(output)): sha256(p.read_bytes()).hexdigest() for p in files}


def test_a_killed_nodes_video_goes_to_another_and_results_are_those_of_local_workers(
    clips: Path, cluster: Any, tmp_path: Path
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
    with LocalPool(settings(tmp_path / "local"), 1, threads=1) as local:
        assert run_batch(items, settings(tmp_path / "local"), local).is_complete
    assert digests(tmp_path / "ray") == digests(tmp_path / "local")


@pytest.mark.parametrize("address", [["127.0.0.1:1"], []])
def test_no_cluster_is_one_line(clips: Path, tmp_path: Path, address: list[str]) -> None:
    command = [sys.executable, "-m", "sampt", "batch", str(clips), "-o", str(tmp_path / "out"), "--ray", *address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"There is no Ray cluster at {(address or ['auto'])[0]!r}" in line


@pytest.mark.parametrize(("workers", "threads"), [(0, None), (None, 0)])
def test_workers_and_threads_are_checked_before_ray_is_asked(tmp_path: Path, workers: int | None, threads: int | None) -> None:
    with pytest.raises(BatchError, match="expected 1 or more of both"):
        RayPool(settings(tmp_path), num_workers=workers, threads=threads)
