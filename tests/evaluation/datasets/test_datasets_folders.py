"""Sequences in BDD100K's bitmasks, and in plain folders."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampt.errors import EvaluationError, SamptError
from sampt.evaluation.datasets import LazySequences, open_dataset, select_sequences
from sampt.evaluation.datasets.bdd100k import read_bitmask
from sampt.evaluation.datasets.label_maps import image_size_hw
from tests.evaluation.datasets.opening import given, only, opened

SHARED = Path(__file__).resolve().parents[4] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared data is not beside this checkout")

NO, ONE, BOTH = [0, 0, 0, 0], [0, 1, 1, 0], [2, 1, 1, 2]
"""Rows of 4 x 2 annotations."""


def save(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).save(path)


def add_video(location: Path, name: str, frames: int, rows: Mapping[int, object]) -> None:
    """Frames in ``JPEGImages``, annotations of the numbers in ``rows``; each row is repeated."""
    for i in range(frames):
        save(location / "JPEGImages" / name / f"{i:05d}.jpg", np.full((2, 4, 3), 9))
    for i, row in rows.items():
        save(location / "Annotations" / name / f"{i:05d}.png", [row, row])


def bitmask(pixels: list[tuple[int, int, int]]) -> np.ndarray:
    """(2, n, 4) of category, attributes, instance a column."""
    row = [(category, attributes, instance >> 8, instance & 255) for category, attributes, instance in pixels]
    return np.array([row, row], np.uint8)


def make_bdd100k(root: Path, frames: list[list[tuple[int, int, int]]], name: str = "b1-c2") -> None:
    for i, pixels in enumerate(frames, 1):
        save(root / "images/seg_track_20/val" / name / f"{name}-{i:07d}.jpg", np.zeros((2, len(pixels), 3)))
        save(root / "labels/seg_track_20/bitmasks/val" / name / f"{name}-{i:07d}.png", bitmask(pixels))


def test_bdd100k_bitmasks_are_converted(tmp_path: Path) -> None:
    nothing, car, crowd = (0, 0, 0), (3, 0, 300), (3, 2, 41)
    make_bdd100k(tmp_path, [[nothing, crowd, car], [(1, 12, 7), (1, 1, 7), car], [(1, 0, 7), nothing, (3, 1, 300)]])
    dataset = opened("bdd100k", tmp_path)
    assert (dataset.protocol, dataset.is_server_scored) == ("bdd100k", False)
    sequence = only(dataset)
    assert (sequence.name, sequence.frame_names[0]) == ("b1-c2", "b1-c2-0000001")
    # ids in the order of the instances 7 and 300; occluded and truncated pixels count, ignored ones do not
    assert [sequence.label_map(i)[0].tolist() for i in range(3)] == [[0, 0, 2], [1, 0, 2], [1, 0, 0]]
    assert given(sequence) == {1: (1, 2), 2: (0, 2)}
    assert sequence.categories == {1: "pedestrian", 2: "car"}
    assert sequence.open().num_frames == 3
    assert sequence.void_mask(0) is None


def test_bdd100k_makes_a_sequence_of_a_hundred_objects(tmp_path: Path) -> None:
    make_bdd100k(tmp_path, [[(3, 0, 2 * k) for k in range(1, 206)]], "one")
    make_bdd100k(tmp_path, [[(0, 0, 0), (3, 1, 5)]], "empty")
    sequences = opened("bdd100k", tmp_path).sequences
    assert [s.name for s in sequences] == ["one", "one-chunk2", "one-chunk3"]
    assert [len(s.object_ids) for s in sequences] == [100, 100, 5]
    assert sequences[2].label_map(0)[0].tolist() == [0] * 200 + [1, 2, 3, 4, 5]


def test_a_sequence_of_bdd100k_is_had_without_reading_the_others(tmp_path: Path) -> None:
    make_bdd100k(tmp_path, [[(3, 0, k) for k in range(1, 103)]], "one")
    make_bdd100k(tmp_path, [[(3, 0, 1)]], "other")
    (tmp_path / "labels/seg_track_20/bitmasks/val/other/other-0000001.png").write_text("broken")
    sequences = opened("bdd100k", tmp_path).sequences
    (sequence,) = select_sequences(sequences, ["one-chunk2"])
    assert sequence.object_ids == (1, 2)
    assert isinstance(sequences, LazySequences)
    for name in ("one-chunk3", "one-chunk1", "two", "one-chunkx"):
        assert not sequences.has(name)
    with pytest.raises(EvaluationError, match=r"other-0000001\.png cannot be read as an image"):
        len(sequences)


def test_bdd100k_as_sam_pt_converted_it(tmp_path: Path) -> None:
    add_video(tmp_path / "vos" / "val", "one", 3, {0: NO, 1: ONE, 2: BOTH})
    for i in range(3):
        save(tmp_path / "vos/val/Annotations/one-chunk2" / f"{i:05d}.png", [ONE, ONE])
    for root in (tmp_path, tmp_path / "vos", tmp_path / "vos" / "val"):
        one, chunk = opened("bdd100k", root).sequences
        assert given(one) == {1: (1, 4), 2: (2, 4)}
        assert (chunk.name, chunk.open().num_frames) == ("one-chunk2", 3)


def test_bdd100k_is_recognised(tmp_path: Path) -> None:
    make_bdd100k(tmp_path, [[(1, 0, 1)]])
    with pytest.raises(EvaluationError, match=r"; found images, labels\. It looks like BDD100K: use --dataset bdd100k\.$"):
        open_dataset("uvo", tmp_path)


def test_a_plain_folder(tmp_path: Path) -> None:
    """Late objects, frames without annotation, void, and a sequence of black and white masks whose first is black."""
    add_video(tmp_path, "ids", 5, {1: ONE, 3: [2, 1, 255, 2]})
    add_video(tmp_path, "masks", 3, {0: NO, 2: [0, 255, 255, 0]})
    dataset = opened("folder", tmp_path)
    assert (dataset.split, dataset.protocol) == ("all", "plain")
    ids, masks = dataset.sequences
    assert given(ids) == {1: (1, 4), 2: (3, 4)}
    void = ids.void_mask(3)
    assert void is not None
    assert void.tolist() == [[False, False, True, False]] * 2
    assert (ids.label_map(3).tolist(), ids.void_mask(1)) == ([[2, 1, 0, 2]] * 2, None)
    assert (given(masks), masks.void_mask(2)) == ({1: (2, 4)}, None)
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "mine.txt").write_text("masks\n")
    assert only(opened("folder", tmp_path, "mine")).name == "masks"
    assert len(opened("folder", tmp_path).sequences) == 2


def test_an_annotation_without_a_frame_is_a_mistake(tmp_path: Path) -> None:
    add_video(tmp_path, "v", 2, {0: ONE, 7: ONE})
    with pytest.raises(EvaluationError, match="v has 2 frames and 2 annotations; '00007' is only one of both"):
        only(opened("folder", tmp_path)).query_masks()


@needs_shared
def test_real_objects_of_a_video_file(tmp_path: Path) -> None:
    source = SHARED / "davis" / "multi_object"
    for folder in ("JPEGImages", "Annotations"):
        (tmp_path / folder).mkdir()
    (tmp_path / "JPEGImages" / "dogs-jump.mp4").symlink_to(source / "dogs-jump" / "frames.mp4")
    (tmp_path / "Annotations" / "dogs-jump").symlink_to(source / "dogs-jump" / "Annotations")
    sequence = only(opened("folder", tmp_path))
    assert (sequence.name, sequence.object_ids, sequence.size_hw) == ("dogs-jump", (1, 2, 3), (240, 432))
    assert sequence.annotated_frames == tuple(range(66))
    assert (sequence.open().num_frames, sequence.open().frame_name(65)) == (66, sequence.frame_names[65])


def huge_png(path: Path) -> Path:
    """A PNG of a few bytes whose header says 20000 x 20000."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20000, 20000, 8, 6, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)))
    return path


@pytest.mark.parametrize("read", [image_size_hw, read_bitmask])
def test_an_image_that_says_it_is_enormous_is_told_in_one_line(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(SamptError) as caught:
        read(huge_png(tmp_path / "a.png"))
    assert "\n" not in str(caught.value)
