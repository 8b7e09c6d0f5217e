"""Readers of annotated videos: layouts, the meaning of 255, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampt.errors import EvaluationError
from sampt.evaluation.datasets import (
    VosDataset,
    davis_sequences,
    open_dataset,
    read_label_map,
    select_sequences,
    training_sequences,
)

SHARED = Path(__file__).resolve().parents[4] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared data is not beside this checkout")


def save(path: Path, values: object, mode: str = "L", size_wh: tuple[int, int] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(values, np.uint8)).convert(mode)
    (image.resize(size_wh) if size_wh else image).save(path)


def make_davis(root: Path, labels: list[object], name: str = "duck") -> None:
    """A sequence of 4 x 2 frames in DAVIS layout."""
    (root / "ImageSets" / "480p").mkdir(parents=True, exist_ok=True)
    (root / "ImageSets" / "480p" / "dev.txt").write_text(f"{name}\n")
    for i, values in enumerate(labels):
        save(root / "JPEGImages" / "480p" / name / f"{i:05d}.jpg", np.zeros((2, 4, 3)), "RGB")
        save(root / "Annotations" / "480p" / name / f"{i:05d}.png", values)


def test_binary_annotations_hold_object_1(tmp_path: Path) -> None:
    make_davis(tmp_path, [[[0, 255, 255, 0], [0, 0, 0, 0]], [[0] * 4, [255] * 4]])
    (sequence,) = davis_sequences(tmp_path)
    assert (sequence.name, sequence.frame_names, sequence.is_binary) == ("duck", ("00000", "00001"), True)
    assert sequence.label_map(0).tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]
    assert sequence.label_map(1).tolist() == [[0] * 4, [1] * 4]
    (query,) = sequence.query_masks()
    assert (query.object_id, query.frame_idx, query.mask.sum()) == (1, 0, 2)


def test_255_is_background_among_ids(tmp_path: Path) -> None:
    make_davis(tmp_path, [[[0, 1, 3, 255], [0] * 4], [[255] * 4, [0, 0, 7, 7]]])
    (sequence,) = davis_sequences(tmp_path)
    assert not sequence.is_binary
    assert sequence.label_map(0).tolist() == [[0, 1, 3, 0], [0] * 4]
    assert sequence.label_map(1).tolist() == [[0] * 4, [0, 0, 7, 7]]
    assert sequence.object_ids == (1, 3)
    assert [query.object_id for query in sequence.query_masks()] == [1, 3]


def test_palette_values_are_ids_not_colors(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8))
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    image.save(tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as saved:
        assert saved.mode == "P"
    assert read_label_map(tmp_path / "p.png").tolist() == [[0, 1], [2, 0]]


def test_flat_folder(tmp_path: Path) -> None:
    for name, n in (("cat-run", 3), ("cat", 2)):
        for i in range(n):
            save(tmp_path / f"{name}_{2 * i:05d}.jpg", np.zeros((2, 4, 3)), "RGB")
            save(tmp_path / f"{name}_{2 * i:05d}.png", [[0, 1, 1, 0]] * 2)
    cat, cat_run = training_sequences(tmp_path)
    assert (cat.name, cat.frame_names) == ("cat", ("cat_00000", "cat_00002"))
    assert (cat_run.name, cat_run.frame_names) == ("cat-run", ("cat-run_00000", "cat-run_00002", "cat-run_00004"))
    assert cat_run.open().num_frames == 3
    assert select_sequences([cat, cat_run], ["cat-run"]) == [cat_run]
    with pytest.raises(EvaluationError, match=r"Unknown sequence 'cat-rum'. Did you mean 'cat-run'\? Available: cat, cat-run"):
        select_sequences([cat, cat_run], ["cat-rum"])


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"480p/dev.txt does not exist"):
        davis_sequences(tmp_path)
    with pytest.raises(EvaluationError, match="holds no"):
        training_sequences(tmp_path)
    with pytest.raises(EvaluationError, match="nowhere is not a folder"):
        training_sequences(tmp_path / "nowhere")
    make_davis(tmp_path, [[[0, 1, 1, 0]] * 2] * 3)
    (tmp_path / "JPEGImages" / "480p" / "duck" / "00001.jpg").unlink()
    with pytest.raises(EvaluationError, match="duck has 2 frames and 3 annotations; '00001' is only one of both"):
        davis_sequences(tmp_path)
    (tmp_path / "ImageSets" / "480p" / "dev.txt").write_text("goose\n")
    with pytest.raises(EvaluationError, match="goose is not a folder"):
        davis_sequences(tmp_path)
    (tmp_path / "ImageSets" / "480p" / "dev.txt").write_text("\n")
    with pytest.raises(EvaluationError, match="is empty"):
        davis_sequences(tmp_path)


def test_sizes_that_differ_are_refused(tmp_path: Path) -> None:
    make_davis(tmp_path, [[[0, 1, 1, 0]] * 2, [[0, 1, 1, 0, 0]] * 3])
    (sequence,) = davis_sequences(tmp_path)
    with pytest.raises(EvaluationError, match=r"00001.png is 5x3; expected 4x2 as the first annotation of duck"):
        sequence.label_map(1)
    for i in range(2):
        save(tmp_path / "JPEGImages" / "480p" / "duck" / f"{i:05d}.jpg", np.zeros((4, 8, 3)), "RGB")
    with pytest.raises(EvaluationError, match="duck has 2 frames of 8x4 but 2 annotations of 4x2"):
        sequence.open()


def test_one_bit_is_object_1(tmp_path: Path) -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[2:6, 2:6] = 1
    Image.fromarray(labels.astype(bool)).save(tmp_path / "bit.png")
    save(tmp_path / "grey.png", labels)
    for name in ("bit.png", "grey.png"):
        np.testing.assert_array_equal(read_label_map(tmp_path / name), labels)


def test_images_that_are_no_label_maps_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "rgb.png", [[[9, 9, 0], [0, 0, 0]]] * 2, "RGB")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(EvaluationError, match="colours that are not of the DAVIS palette"):
        read_label_map(tmp_path / "rgb.png")
    with pytest.raises(EvaluationError, match="is not an image"):
        read_label_map(tmp_path / "text.png")
    make_davis(tmp_path, [[[0] * 4] * 2] * 3)
    with pytest.raises(EvaluationError, match="holds no object"):
        davis_sequences(tmp_path)[0].query_masks()


@needs_shared
def test_the_ten_sequences() -> None:
    sequences = davis_sequences(SHARED / "davis")
    assert {s.name: len(s.frame_names) for s in sequences} == {
        "blackswan": 50,
        "bmx-trees": 80,
        "camel": 90,
        "car-shadow": 40,
        "dance-twirl": 90,
        "dog": 60,
        "horsejump-high": 50,
        "libby": 49,
        "paragliding-launch": 80,
        "soapbox": 99,
    }
    assert all(s.is_binary and s.object_ids == (1,) for s in sequences)
    video = sequences[0].open()
    assert (video.num_frames, video.size_hw) == (50, (480, 854))


@needs_shared
def test_training_sequences_in_folders_of_their_own_are_read_alike() -> None:
    root = SHARED / "training"
    full, half = training_sequences(root / "davis2016_train_480"), training_sequences(root / "davis2016_train")
    assert [s.name for s in full] == [s.name for s in half]
    bear = full[0]
    assert bear.frame_names[:2] == ("00000", "00001")
    assert bear.label_map(0).max() == 1
    assert bear.open().size_hw == bear.label_map(0).shape


@needs_shared
def test_the_thirty_training_sequences() -> None:
    sequences = training_sequences(SHARED / "training" / "davis2016_train")
    assert (len(sequences), sum(len(s.frame_names) for s in sequences)) == (30, 1044)
    assert not any(s.is_binary for s in sequences)
    assert all(s.object_ids == (1,) for s in sequences)


@needs_shared
def test_real_sequences_of_davis() -> None:
    dataset = open_dataset("davis-2016", SHARED / "davis")
    assert isinstance(dataset, VosDataset)
    assert (dataset.split, len(dataset.sequences)) == ("dev", 10)  # the only list that is there
    camel = select_sequences(dataset.sequences, ["camel"])[0]
    assert (camel.object_ids, len(camel.annotated_frames), camel.size_hw) == ((1,), 90, (480, 854))
    assert sorted(np.unique(camel.label_map(7)).tolist()) == [0, 1]
