"""What systems leave in folders is no frame, no video, no list and no result, wherever folders are listed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampt.batch.items import read_batch
from sampt.batch.remote import make_mark
from sampt.evaluation.datasets import open_dataset
from sampt.evaluation.vos.predicted import find_predictions
from sampt.session.project import check_new
from sampt.video.open import open_video
from sampt.web.roots import Roots
from sampt.weights import weights_identity

LEFTOVERS = ("._a.png", "._a.mp4", "._val.txt", ".DS_Store", "Thumbs.db", "desktop.ini", "Desktop.ini")
FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", ".Trashes")


def litter(folder: Path) -> None:
    """Leave what macOS, Windows and a NAS leave, with images and videos in it."""
    for name in LEFTOVERS:
        (folder / name).write_bytes(b"\x00\x05\x16\x07")
    for name in FOLDERS:
        (folder / name).mkdir()
        for inside in ("._00000.png", "00000.png", "a.mp4"):
            (folder / name / inside).write_bytes(b"\x00\x05\x16\x07")


def images(folder: Path, count: int = 2) -> Path:
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(np.full((4, 6), i, np.uint8)).save(folder / f"{i:05d}.png")
    return folder


def test_a_folder_of_frames_and_a_pattern(tmp_path: Path) -> None:
    litter(images(tmp_path / "v"))
    assert open_video(tmp_path / "v").num_frames == 2
    assert open_video(str(tmp_path / "v" / "*.png")).num_frames == 2
    assert open_video(str(tmp_path / "**" / "*.png")).num_frames == 2
    litter(tmp_path)
    assert open_video(str(tmp_path / "*" / "*.png")).num_frames == 2


def test_a_batch(tmp_path: Path) -> None:
    images(tmp_path / "v")
    (tmp_path / "v.txt").write_text("1\n0;1,1\n")
    (tmp_path / "a.mp4").write_bytes(b"?")
    (tmp_path / "a.txt").write_text("1\n0;1,1\n")
    before = make_mark(str(tmp_path / "v"))
    for folder in (tmp_path, tmp_path / "v"):
        litter(folder)
    assert [(item.name, item.error) for item in read_batch(tmp_path)] == [("a", None), ("v", None)]
    assert make_mark(str(tmp_path / "v")) == before


def test_the_batch_of_the_cases(tmp_path: Path) -> None:
    cases = Path(__file__).resolve().parents[3] / "shared" / "cases" / "batch"
    if not cases.exists():
        pytest.skip(f"{cases} is not there")
    shutil.copytree(cases, tmp_path / "batch")
    assert [(i.name, i.error) for i in read_batch(tmp_path / "batch" / "in")] == [("a", None)]
    assert [i.points for i in read_batch(tmp_path / "batch" / "bom.jsonl")] == [("1,0,35,50",)]


def test_data_sets_and_predictions(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for location in ("JPEGImages", "Annotations"):
        images(root / location / "bear")
        litter(root / location)
        litter(root / location / "bear")
    (root / "ImageSets").mkdir()
    (root / "ImageSets" / "val.txt").write_text("bear\n")
    litter(root / "ImageSets")
    litter(root)
    dataset = open_dataset("folder", root, "val")
    assert [sequence.name for sequence in dataset.sequences] == ["bear"]
    assert dataset.sequences[0].open().num_frames == 2
    assert [s.name for s in open_dataset("folder", root, "all").sequences] == ["bear"]
    objects = tmp_path / "out" / "bear"
    images(objects / "1")
    litter(objects)
    assert find_predictions(objects, "bear", ["00000", "00001"], [1]).object_folders == {1: objects / "1"}


def test_the_page(tmp_path: Path) -> None:
    images(tmp_path / "v")
    (tmp_path / "a.mp4").write_bytes(b"?")
    litter(tmp_path)
    (tmp_path / "none").mkdir()
    litter(tmp_path / "none")
    found = Roots({"r": tmp_path}).list("r")
    assert [(entry.name, entry.kind) for entry in found] == [("none", "folder"), ("v", "frames"), ("a.mp4", "video")]


def test_weights_and_new_projects(tmp_path: Path) -> None:
    weights, project = tmp_path / "w", tmp_path / "p.sampt"
    for folder in (weights, project):
        folder.mkdir()
    (weights / "model.safetensors").write_bytes(b"1234")
    before = weights_identity("nano", str(weights))
    litter(weights)
    assert weights_identity("nano", str(weights)) == before
    litter(project)
    check_new(project)  # a folder that holds nothing of the user's is new
