"""Inputs and outputs at addresses: the results of local ones, complete or not there, and known again without a download."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.batch.items import read_batch
from sampt.batch.remote import RemoteFolder
from sampt.batch.work import BatchSettings, Worker
from sampt.errors import BatchError
from sampt.presets import preset
from sampt.runs.job import RunOptions
from sampt.testing.scenes import SceneVideo, slow_scene
from tests.command import run_command

fsspec = pytest.importorskip("fsspec")
NUM_CLIPS = 2


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for k in range(NUM_CLIPS):
        scene = slow_scene(4 + k)
        video = SceneVideo(scene)
        (folder / f"clip{k}").mkdir()
        for i in range(video.num_frames):
            Image.fromarray(video.read(i, i + 1)[0]).save(folder / f"clip{k}" / f"{i:03d}.png")
        Image.fromarray(scene.masks(0)[0].astype(np.uint8)).save(folder / f"clip{k}.png")
    lines = [{"video": f"clip{k}", "mask": f"clip{k}.png"} for k in range(NUM_CLIPS)]
    (folder / "videos.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture
def store(clips: Path) -> Iterator[Any]:
    """The clips at memory://in."""
    memory = fsspec.filesystem("memory")
    memory.put(f"{clips}/", "/in/", recursive=True)
    yield memory
    for path in ("/in", "/out"):
        if memory.exists(path):
            memory.rm(path, recursive=True)


def run(source: str, output: str, *options: str) -> subprocess.CompletedProcess[str]:
    return run_command("batch", source, "-o", output, "--formats", "png,npz", "--threads", "1", *options)


def results_of(folder: Path) -> dict[str, str]:
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix in (".png", ".npz")]
    return {str(p.relative_to(folder)): sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("source", ["videos.jsonl", ""])
def test_a_batch_between_addresses_gives_what_a_local_one_gives(clips: Path, tmp_path: Path, source: str) -> None:
    assert run(str(clips / source), str(tmp_path / "local"), "--quiet").returncode == 0
    there = f"file://{tmp_path}/there"
    done = run(f"file://{clips}/{source}", there, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "2 videos (9 frames) in" in done.stderr
    assert f"all in {there}" in done.stderr
    assert results_of(tmp_path / "there") == results_of(tmp_path / "local") != {}
    again = run(f"file://{clips}/{source}", there, "--workers", "1")
    assert "2 done before" in again.stderr
    lines = (tmp_path / "there" / "batch.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["done", "done", "was done", "was done"]
    assert json.loads((tmp_path / "there" / "batch.json").read_text())["counts"] == {"was done": 2}


def settings(folder: Path, **changes: Any) -> BatchSettings:
    return BatchSettings(folder, preset("classical"), RunOptions(formats=("png",), **changes), upload="memory://out")


def test_what_is_done_is_known_without_its_input(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = read_batch("memory://in/videos.jsonl")[0]
    assert item.video == "memory://in/clip0"
    assert Worker(settings(tmp_path)).do(item).status == "done"
    assert store.exists("/out/clip0/run.json")
    monkeypatch.setattr("sampt.batch.items.fetched", lambda *_: pytest.fail("it was fetched again"))
    found = Worker(settings(tmp_path)).do(item)
    assert (found.status, found.num_frames, found.error) == ("was done", 4, None)


def test_another_input_is_another_run(store: Any, tmp_path: Path) -> None:
    item = read_batch("memory://in/videos.jsonl")[0]
    worker = Worker(settings(tmp_path))
    assert worker.do(item).status == "done"
    store.cp_file("/in/clip0/001.png", "/in/clip0/000.png")
    found = worker.do(item)
    assert found.status == "failed"
    assert found.error is not None
    assert "memory://out/clip0 holds the results of a run with other settings or input" in found.error
    assert Worker(settings(tmp_path, overwrite=True)).do(item).status == "done"
    assert worker.do(item).status == "was done"


def test_a_lost_ticket_costs_a_look_and_no_work(store: Any, tmp_path: Path) -> None:
    item = read_batch("memory://in/videos.jsonl")[1]
    worker = Worker(settings(tmp_path))
    worker.do(item)
    store.rm_file("/out/clip1/done.json")
    before = store.created("/out/clip1/run.json")
    assert worker.do(item).status == "was done"
    assert store.created("/out/clip1/run.json") == before


@pytest.mark.parametrize("has_ticket", [True, False])
@pytest.mark.parametrize("damage", ["a mask is gone", "a mask is empty", "run.json lists nothing", "done.json is odd"])
def test_results_that_are_not_whole_any_more_are_made_again(damage: str, has_ticket: bool, store: Any, tmp_path: Path) -> None:
    item = read_batch("memory://in/videos.jsonl")[0]
    worker = Worker(settings(tmp_path))
    worker.do(item)
    masks = sorted(store.ls("/out/clip0/masks", detail=False))
    before = [store.cat_file(name) for name in masks]
    if not has_ticket:
        store.rm_file("/out/clip0/done.json")
    if damage == "a mask is gone":
        store.rm_file(masks[1])
    elif damage == "a mask is empty":
        store.pipe_file(masks[1], b"")
    elif damage == "run.json lists nothing":
        facts = json.loads(store.cat_file("/out/clip0/run.json"))
        store.pipe_file("/out/clip0/run.json", json.dumps(facts | {"results": [1]}).encode())
    else:
        store.pipe_file("/out/clip0/done.json", b"[" * 100_000)
        store.rm_file(masks[1])
    assert worker.do(item).status == "done"
    assert [store.cat_file(name) for name in masks] == before
    assert worker.do(item).status == "was done"


def test_results_that_were_not_all_copied_do_not_look_complete(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = read_batch("memory://in/videos.jsonl")[1]
    put = type(store).put_file
    copied: list[str] = []

    def cut_off(self: Any, here: str, there: str, **more: Any) -> None:
        if len(copied) == 3:
            raise ConnectionError("the line is dead")
        copied.append(there)
        put(self, here, there, **more)

    monkeypatch.setattr(type(store), "put_file", cut_off)
    found = Worker(settings(tmp_path)).do(item)
    assert (found.status, found.error) == ("broke down", "ConnectionError: the line is dead")  # so that it is tried again
    assert len(copied) == 3
    assert not store.exists("/out/clip1/run.json")
    monkeypatch.undo()
    assert Worker(settings(tmp_path)).do(item).status == "done"
    assert len(store.ls("/out/clip1/masks")) == 5


def test_a_pattern_and_a_query_file_are_fetched(store: Any, tmp_path: Path) -> None:
    store.pipe_file("/in/click.txt", b"1\n0;30,30\n")
    store.pipe_file("/in/more.jsonl", json.dumps({"video": "clip1/*.png", "queries": "click.txt", "name": "x"}).encode())
    (item,) = read_batch("memory://in/more.jsonl")
    found = Worker(settings(tmp_path)).do(item)
    assert (found.status, found.num_frames) == ("done", 5), found.error


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("memory://in/nothing.jsonl", "There is nothing at memory://in/nothing.jsonl; expected a file or folder."),
        ("nosuch://in/videos.jsonl", "nosuch://in/videos.jsonl cannot be opened (Protocol not known: nosuch"),
        ("memory://in/clip0/000.png", "memory://in/clip0/000.png cannot be read as a manifest"),
    ],
)
def test_wrong_addresses_are_one_line(store: Any, source: str, message: str) -> None:
    with pytest.raises(BatchError) as caught:
        read_batch(source)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_item_that_is_not_there_fails_alone(store: Any, tmp_path: Path) -> None:
    item = replace(read_batch("memory://in/videos.jsonl")[0], video="memory://in/absent.mp4")
    found = Worker(settings(tmp_path)).do(item)
    assert (found.status, found.error) == ("failed", "There is nothing at memory://in/absent.mp4; expected a file or folder.")


def test_a_folder_without_queries_is_told(store: Any) -> None:
    store.rm_file("/in/clip1.png")
    store.pipe_file("/in/._clip2.mp4", b"?")  # what macOS leaves is no video
    errors = {item.name: item.error for item in read_batch("memory://in") if item.error is not None}
    assert list(errors) == ["clip1"]
    assert "memory://in/clip1 has no queries; expected clip1.json, clip1.txt, or the mask clip1" in errors["clip1"]


def test_the_command_line_tells_a_wrong_output_before_any_work(clips: Path) -> None:
    done = run(str(clips), "nosuch://out")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "nosuch://out cannot be opened" in done.stderr


def test_a_remote_folder_reads_what_it_wrote(store: Any) -> None:
    folder = RemoteFolder("memory://out") / "a"
    assert folder.read("x") is None
    folder.write("x", b"1")
    assert folder.read("x") == b"1"
