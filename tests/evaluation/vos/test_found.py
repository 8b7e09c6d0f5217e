"""Scores where nothing is given: which found object belongs to which true one, by the official unsupervised rules."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampt.errors import EvaluationError
from sampt.evaluation import Scores, VosDataset, open_dataset, score_dataset
from sampt.evaluation.vos.matching import best_matching

SIZE_HW = (40, 56)


def rectangles(rng: np.random.Generator, num_frames: int, ids: list[int], absent: float) -> np.ndarray:
    """(t, h, w) uint8: one drifting rectangle an id, later ones over earlier ones; on the first frame all are seen."""
    maps = np.zeros((num_frames, *SIZE_HW), np.uint8)
    for i in ids:
        y, x, height, width = rng.integers([0, 0, 8, 8], [20, 30, 20, 24])
        for k in range(num_frames):
            if not k or rng.random() >= absent:
                top, left = max(0, y + k * rng.integers(-1, 3)), max(0, x + k * rng.integers(-1, 3))
                maps[k, top : top + height, left : left + width] = i
    for i in ids:
        maps[0, 39, i] = i
    return maps


def write(folder: Path, maps: np.ndarray, suffix: str = ".png") -> None:
    folder.mkdir(parents=True)
    for k, labels in enumerate(maps):
        Image.fromarray(labels).save(folder / f"{k:05d}{suffix}")


def write_davis(root: Path, gt: dict[str, np.ndarray], year: str = "2017") -> Path:
    """A folder of the official layout; of 2016 with the annotations of the semi-supervised task."""
    for name, maps in gt.items():
        write(root / ("Annotations_unsupervised" if year == "2017" else "Annotations") / "480p" / name, maps)
        write(root / "JPEGImages" / "480p" / name, np.zeros((*maps.shape, 3), np.uint8), ".jpg")
    (root / "ImageSets" / year).mkdir(parents=True)
    (root / "ImageSets" / year / "val.txt").write_text("\n".join(gt) + "\n")
    return root


def score(root: Path, found: dict[str, np.ndarray], year: str = "2017") -> Scores:
    for name, maps in found.items():
        write(root / "found" / name, maps)
    return score_dataset(open_dataset(f"davis-{year}-unsupervised", root), root / "found", workers=1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 3), (4, 4), (3, 6), (5, 7)])
def test_no_other_matching_is_better(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(shape))
    for _ in range(12):
        values = np.round(rng.random(shape) * 4) / 4 if rng.random() < 0.5 else rng.random(shape)  # with ties and without
        found = best_matching(values)
        assert len(set(found)) == shape[0]
        best = max(sum(values[i, c] for i, c in enumerate(one)) for one in permutations(range(shape[1]), shape[0]))
        assert sum(values[i, c] for i, c in enumerate(found)) == pytest.approx(best)


def test_more_objects_than_can_be_matched_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"shape \(3, 2\) cannot be matched"):
        best_matching(np.zeros((3, 2)))


OFFICIAL = [
    0.33697486282812195,
    0.26666666666666666,
    -0.02228791863359213,
    0.390225207745585,
    0.37777777777777777,
    -0.03455715848193236,
]
"""Mean, recall and decay, of J and of F."""


def test_figures_are_those_of_the_official_program(tmp_path: Path) -> None:
    """Of davis2017-evaluation at ac7c43f, ``DAVISEvaluation(..., "unsupervised", "val")`` on the same files."""
    rng = np.random.default_rng(23)
    gt, found = {}, {}
    for name, (num_frames, objects, ids) in {"a": (7, 3, [2, 5, 9]), "b": (5, 4, [1, 4]), "c": (1, 2, [3])}.items():
        true = rectangles(rng, num_frames, list(range(1, objects + 1)), 0.3)
        found[name] = rectangles(rng, num_frames, ids, 0.2)
        for own, other in zip(ids, range(1, objects + 1), strict=False):  # what was found resembles the objects
            found[name][np.roll(true == other, int(rng.integers(-4, 5)), 2)] = own
        gt[name] = np.where(rng.random(true.shape) < 0.02, 255, true).astype(np.uint8)
        gt[name][0, 39] = true[0, 39]
    total = score(write_davis(tmp_path, gt), found).total
    assert len(total.objects) == 9
    figures = [total.j.mean, total.j.recall, total.j.decay, total.f.mean, total.f.recall, total.f.decay]
    assert figures == pytest.approx(OFFICIAL, abs=1e-12)


def test_all_frames_count_and_a_missed_object_has_what_an_empty_mask_has(tmp_path: Path) -> None:
    true = np.zeros((4, *SIZE_HW), np.uint8)
    true[:, 5:15, 5:15] = 1
    true[:3, 20:30, 30:45] = 2
    found = np.where(true == 2, 7, 0).astype(np.uint8)
    found[3, 20:30, 30:45] = 7  # there the object is gone
    (clip,) = score(write_davis(tmp_path, {"clip": true}), {"clip": found}).sequences
    first, second = clip.objects
    assert (first.found_id, second.found_id) == (None, 7)
    assert (first.frames, first.j_frames, first.f_frames) == ((0, 1, 2, 3), (0.0,) * 4, (0.0,) * 4)
    assert second.j_frames == second.f_frames == (1.0, 1.0, 1.0, 0.0)


def test_one_found_object_counts_once(tmp_path: Path) -> None:
    true = np.zeros((3, *SIZE_HW), np.uint8)
    true[:, 5:15, 5:15], true[:, 5:15, 15:25] = 1, 2
    (clip,) = score(write_davis(tmp_path, {"clip": true}), {"clip": (true > 0).astype(np.uint8)}).sequences
    assert sorted(one.j.mean for one in clip.objects) == [0.0, 0.5]


def test_void_pixels_do_not_count_and_ids_go_up_to_20(tmp_path: Path) -> None:
    true = np.zeros((3, *SIZE_HW), np.uint8)
    true[:, 5:15, 5:15], true[:, 15:20, 5:15] = 1, 255
    found = np.where(true > 0, 20, 0).astype(np.uint8)
    scores = score(write_davis(tmp_path, {"clip": true}), {"clip": found})
    assert scores.overall == 1
    assert Scores.from_dict(scores.to_dict()) == scores
    Image.fromarray(found[1] + (found[1] > 0).astype(np.uint8)).save(tmp_path / "found" / "clip" / "00001.png")
    with pytest.raises(EvaluationError, match=r"00001\.png holds the id 21; expected ids from 1 to 20"):
        score_dataset(open_dataset("davis-2017-unsupervised", tmp_path), tmp_path / "found")


def test_masks_in_folders_of_objects_count_unless_they_overlap(tmp_path: Path) -> None:
    true = np.zeros((3, *SIZE_HW), np.uint8)
    true[:, 5:15, 5:15], true[:, 5:15, 15:25] = 1, 2
    root = write_davis(tmp_path, {"clip": true})
    for found_id, object_id in ((2, 1), (9, 2)):
        write(root / "found" / "clip" / str(found_id), np.where(true == object_id, 255, 0).astype(np.uint8))
    dataset = open_dataset("davis-2017-unsupervised", root)
    (clip,) = score_dataset(dataset, root / "found").sequences
    assert [(one.found_id, one.j.mean) for one in clip.objects] == [(2, 1), (9, 1)]
    Image.fromarray(np.where(true[1] > 0, 255, 0).astype(np.uint8)).save(root / "found" / "clip" / "2" / "00001.png")
    with pytest.raises(EvaluationError, match="On frame 00001 of clip predicted masks overlap; expected masks without overlap"):
        score_dataset(dataset, root / "found")


def test_split_lists_and_folders_are_those_of_the_unsupervised_archives(tmp_path: Path) -> None:
    true = np.zeros((3, *SIZE_HW), np.uint8)
    true[:, 5:15, 5:15], true[1:, 25:30, 25:30] = 1, 2
    root = write_davis(tmp_path, {"clip": true})
    for year, split, name in (("2017", "test-dev", "other"), ("2019", "test-dev", "hidden")):
        (root / "ImageSets" / year).mkdir(exist_ok=True)
        (root / "ImageSets" / year / f"{split}.txt").write_text(f"{name}\n")
    write(root / "JPEGImages" / "480p" / "hidden", np.zeros((2, *SIZE_HW, 3), np.uint8), ".jpg")
    val, hidden = (open_dataset("davis-2017-unsupervised", root, split) for split in (None, "test-dev"))
    assert isinstance(val, VosDataset)
    assert isinstance(hidden, VosDataset)
    assert [(d.split, [s.name for s in d.sequences]) for d in (val, hidden)] == [("val", ["clip"]), ("test-dev", ["hidden"])]
    assert (val.is_server_scored, hidden.is_server_scored, hidden.finds_objects) == (False, True, True)
    assert val.sequences[0].object_ids == (1,)  # what is not on the first annotation does not count
    assert (hidden.sequences[0].object_ids, hidden.sequences[0].open().num_frames) == ((), 2)
    with pytest.raises(EvaluationError, match="not a DAVIS-2017 unsupervised folder"):
        open_dataset("davis-2017-unsupervised", tmp_path / "Annotations_unsupervised")


def test_in_davis_2016_all_objects_are_one_and_neither_end_counts(tmp_path: Path) -> None:
    true = np.zeros((5, *SIZE_HW), np.uint8)
    true[:, 5:15, 5:15], true[:, 5:15, 15:25] = 1, 2
    found = np.where(true == 1, 3, true).astype(np.uint8)
    found[[0, 4]] = 0
    found[2] = np.where(true[2] == 1, 255, 0)  # one black and white frame, half of it
    scores = score(write_davis(tmp_path, {"clip": true}, "2016"), {"clip": found}, "2016")
    ((clip,),) = (scores.sequences,)
    (one,) = clip.objects
    assert (one.frames, one.j_frames) == ((1, 2, 3), (1.0, 0.5, 1.0))
    assert scores.protocol == "davis-2016-unsupervised"
