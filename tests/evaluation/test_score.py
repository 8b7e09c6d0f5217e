"""Scores of label maps on disk: which frames and objects count, how means are taken, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampt.errors import EvaluationError
from sampt.evaluation.datasets import DavisSequence
from sampt.evaluation.score import score_folder, score_sequence

EMPTY = np.zeros((8, 8), np.uint8)


def filled(*areas: tuple[int, slice, slice]) -> np.ndarray:
    labels = EMPTY.copy()
    for object_id, rows, columns in areas:
        labels[rows, columns] = object_id
    return labels


LEFT, BOTH = filled((1, slice(0, 8), slice(0, 4))), filled((1, slice(0, 8), slice(0, 4)), (2, slice(0, 4), slice(5, 8)))


def write(folder: Path, maps: list[np.ndarray]) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"{i:05d}.png" for i in range(len(maps)))
    for path, labels in zip(paths, maps, strict=True):
        Image.fromarray(labels).save(path)
    return paths


def truth(root: Path, maps: list[np.ndarray], name: str = "clip") -> DavisSequence:
    return DavisSequence(name, "unused", write(root / "truth" / name, maps))


def test_first_and_last_frame_do_not_count(tmp_path: Path) -> None:
    sequence = truth(tmp_path, [LEFT, LEFT, LEFT, LEFT])
    write(tmp_path / "out" / "clip", [EMPTY, LEFT, filled((1, slice(0, 8), slice(0, 2))), EMPTY])
    (one,) = score_sequence(tmp_path / "out" / "clip", sequence).objects
    # scored: one perfect frame and one with half the object; with two frames a quarter is a frame
    assert (one.j.mean, one.j.recall, one.j.decay) == (0.75, 0.5, 0.5)
    # the diagonal of 8 x 8 gives a tolerance of one pixel; the contours are columns 3 and 1
    assert (one.f.mean, one.f.recall, one.f.decay) == (0.5, 0.5, 1)
    for unscored in ("00000.png", "00003.png"):
        (tmp_path / "out" / "clip" / unscored).unlink()
    assert score_sequence(tmp_path / "out" / "clip", sequence).objects == (one,)


def test_the_total_is_the_mean_over_objects_not_over_sequences(tmp_path: Path) -> None:
    sequences = [truth(tmp_path, [LEFT] * 3, "one"), truth(tmp_path, [BOTH] * 3, "two")]
    write(tmp_path / "out" / "one", [EMPTY] * 3)
    write(tmp_path / "out" / "two", [BOTH] * 3)
    scores = score_folder(tmp_path / "out", sequences)
    assert [s.j_and_f for s in scores.sequences] == [0, 1]
    assert scores.total.j_and_f == pytest.approx(2 / 3)
    assert [s.object_id for s in scores.sequences[1].objects] == [1, 2]


def test_objects_are_compared_id_by_id(tmp_path: Path) -> None:
    sequence = truth(tmp_path, [BOTH] * 3)
    swapped = np.array([0, 2, 1], np.uint8)[BOTH]
    write(tmp_path / "out", [BOTH, swapped, BOTH])
    score = score_sequence(tmp_path / "out", sequence)
    assert [one.j.mean for one in score.objects] == [0, 0]


def test_an_object_that_is_gone_must_be_predicted_empty(tmp_path: Path) -> None:
    sequence = truth(tmp_path, [LEFT, EMPTY, EMPTY, LEFT])
    write(tmp_path / "out", [LEFT, EMPTY, LEFT, LEFT])
    (one,) = score_sequence(tmp_path / "out", sequence).objects
    assert (one.j.mean, one.f.mean) == (0.5, 0.5)


def test_255_of_a_binary_prediction_is_object_1(tmp_path: Path) -> None:
    sequence = truth(tmp_path, [LEFT * 255] * 3)
    write(tmp_path / "out", [LEFT * 255] * 3)
    write(tmp_path / "out-of-ids", [LEFT] * 3)
    assert score_sequence(tmp_path / "out", sequence).j_and_f == score_sequence(tmp_path / "out-of-ids", sequence).j_and_f == 1


def test_markdown_and_dict(tmp_path: Path) -> None:
    sequences = [truth(tmp_path, [LEFT] * 3, "one"), truth(tmp_path, [BOTH] * 3, "two")]
    write(tmp_path / "out" / "one", [EMPTY] * 3)
    write(tmp_path / "out" / "two", [BOTH] * 3)
    scores = score_folder(tmp_path / "out", sequences)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in scores.to_markdown().splitlines()]
    assert [row[:2] for row in rows[2:]] == [
        ["one", "0.000"],
        ["two", "1.000"],
        ["two #1", "1.000"],
        ["two #2", "1.000"],
        ["total", "0.667"],
    ]
    assert len({len(row) for row in rows}) == 1
    assert scores.to_dict()["sequences"]["two"]["objects"]["2"]["j"] == {"mean": 1.0, "recall": 1.0, "decay": 0.0}


def test_what_cannot_be_scored_is_named(tmp_path: Path) -> None:
    sequence, folder = truth(tmp_path, [LEFT] * 4), tmp_path / "out"
    write(folder, [LEFT] * 2)
    with pytest.raises(EvaluationError, match=r"out/00002.png is missing; expected a label map for each frame of clip"):
        score_sequence(folder, sequence)
    write(folder, [LEFT, LEFT, LEFT[:, :7]])
    with pytest.raises(EvaluationError, match=r"00002.png is 7x8; expected 8x8"):
        score_sequence(folder, sequence)
    write(folder, [LEFT, LEFT, BOTH])
    with pytest.raises(EvaluationError, match=r"00002.png holds the id 2; expected ids of clip: 1\."):
        score_sequence(folder, sequence)
    with pytest.raises(EvaluationError, match="short has 2 frames; expected at least 3"):
        score_sequence(folder, truth(tmp_path, [LEFT] * 2, "short"))
    with pytest.raises(EvaluationError, match="no sequence to score"):
        score_folder(folder, [])
