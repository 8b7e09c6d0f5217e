"""Scores of masks on disk: which frames and objects count, how means are taken, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from sampt.errors import EvaluationError
from sampt.evaluation.vos.score import Scores, score_dataset, score_folder, score_sequence
from sampt.files.palette import PALETTE

SHARED = Path(__file__).resolve().parents[4] / "shared"
EMPTY = np.zeros((8, 8), np.uint8)


def filled(*areas: tuple[int, slice, slice]) -> np.ndarray:
    labels = EMPTY.copy()
    for object_id, rows, columns in areas:
        labels[rows, columns] = object_id
    return labels


LEFT, BOTH = filled((1, slice(0, 8), slice(0, 4))), filled((1, slice(0, 8), slice(0, 4)), (2, slice(0, 4), slice(5, 8)))
RIGHT = filled((2, slice(0, 4), slice(5, 8)))


@dataclass(frozen=True)
class Gt:
    """A sequence whose annotations are real files; frames without one have no path."""

    name: str
    paths: Mapping[int, Path]
    object_ids: tuple[int, ...]
    frame_names: tuple[str, ...]
    first_frame: Mapping[int, int]
    groups: Mapping[int, str] = field(default_factory=dict)
    categories: Mapping[int, str] = field(default_factory=dict)
    end_frame: Mapping[int, int] = field(default_factory=dict)

    @property
    def annotated_frames(self) -> tuple[int, ...]:
        return tuple(sorted(self.paths))

    def label_map(self, frame_idx: int) -> np.ndarray:
        labels = np.asarray(Image.open(self.paths[frame_idx])).astype(np.int64)
        return np.where(labels == 255, 1, labels) if self.object_ids == (1,) else labels

    def void_mask(self, frame_idx: int) -> np.ndarray | None:
        return None if self.object_ids == (1,) else self.label_map(frame_idx) == 255


@dataclass(frozen=True)
class Dataset:
    sequences: Sequence[Gt]
    protocol: str
    name: str = "little"
    split: str = "val"
    is_server_scored: bool = False


def write(folder: Path, maps: list[np.ndarray], first: int = 0, step: int = 1) -> dict[int, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {first + i * step: folder / f"{first + i * step:05d}.png" for i in range(len(maps))}
    for path, labels in zip(paths.values(), maps, strict=True):
        Image.fromarray(labels).save(path)
    return paths


def gt(root: Path, maps: list[np.ndarray], name: str = "clip", step: int = 1, **more: Any) -> Gt:
    """Each object is given where its mask first is."""
    paths = write(root / "gt" / name, maps, step=step)
    is_binary = not np.isin(np.stack(maps), (0, 255), invert=True).any()
    first: dict[int, int] = {}
    for i, labels in zip(paths, maps, strict=True):
        for value in np.unique(labels[labels > 0] if is_binary else labels[(labels > 0) & (labels < 255)]).tolist():
            first.setdefault(1 if is_binary else value, i)
    frames = tuple(f"{i:05d}" for i in range((len(maps) - 1) * step + 1))
    return Gt(name, paths, tuple(sorted(first)), frames, first, **more)


def test_first_and_last_frame_do_not_count(tmp_path: Path) -> None:
    sequence = gt(tmp_path, [LEFT, LEFT, LEFT, LEFT])
    write(tmp_path / "out" / "clip", [EMPTY, LEFT, filled((1, slice(0, 8), slice(0, 2))), EMPTY])
    (one,) = score_sequence(tmp_path / "out" / "clip", sequence).objects
    # scored: one perfect frame and one with half the object; with two frames a quarter is a frame
    assert (one.j.mean, one.j.recall, one.j.decay) == (0.75, 0.5, 0.5)
    # the diagonal of 8 x 8 gives a tolerance of one pixel; the contours are columns 3 and 1
    assert (one.f.mean, one.f.recall, one.f.decay) == (0.5, 0.5, 1)
    assert (one.frames, one.j_frames, one.f_frames, one.visible) == ((1, 2), (1, 0.5), (1, 0), (True, True))
    for unscored in ("00000.png", "00003.png"):
        (tmp_path / "out" / "clip" / unscored).unlink()
    assert score_sequence(tmp_path / "out" / "clip", sequence).objects == (one,)


def test_the_total_is_the_mean_over_objects_not_over_sequences(tmp_path: Path) -> None:
    sequences = [gt(tmp_path, [LEFT] * 3, "one"), gt(tmp_path, [BOTH] * 3, "two")]
    write(tmp_path / "out" / "one", [EMPTY] * 3)
    write(tmp_path / "out" / "two", [BOTH] * 3)
    scores = score_folder(tmp_path / "out", sequences)
    assert [s.j_and_f for s in scores.sequences] == [0, 1]
    assert scores.total.j_and_f == scores.overall == pytest.approx(2 / 3)
    assert [s.object_id for s in scores.sequences[1].objects] == [1, 2]


def test_objects_are_compared_id_by_id(tmp_path: Path) -> None:
    sequence = gt(tmp_path, [BOTH] * 3)
    swapped = np.array([0, 2, 1], np.uint8)[BOTH]
    write(tmp_path / "out", [BOTH, swapped, BOTH])
    score = score_sequence(tmp_path / "out", sequence)
    assert [one.j.mean for one in score.objects] == [0, 0]


def test_an_object_that_is_gone_must_be_predicted_empty(tmp_path: Path) -> None:
    sequence = gt(tmp_path, [LEFT, EMPTY, EMPTY, LEFT])
    write(tmp_path / "out", [LEFT, EMPTY, LEFT, LEFT])
    (one,) = score_sequence(tmp_path / "out", sequence).objects
    assert (one.j.mean, one.f.mean, one.visible) == (0.5, 0.5, (False, False))


def test_255_of_a_binary_prediction_is_object_1(tmp_path: Path) -> None:
    sequence = gt(tmp_path, [LEFT * 255] * 3)
    write(tmp_path / "out", [LEFT * 255] * 3)
    write(tmp_path / "out-of-ids", [LEFT] * 3)
    assert score_sequence(tmp_path / "out", sequence).j_and_f == score_sequence(tmp_path / "out-of-ids", sequence).j_and_f == 1


def test_youtube_vos_counts_annotated_frames_after_an_object_was_given(tmp_path: Path) -> None:
    # Annotated on frames 0, 5, 10, 15; object 2 comes on frame 5. Between them nothing is scored, nor need be predicted.
    groups = {1: "seen", 2: "unseen"}
    sequence = gt(tmp_path, [LEFT, BOTH, BOTH, BOTH], step=5, groups=groups, categories={1: "cat", 2: "yak"})
    write(tmp_path / "out" / "clip", [LEFT, RIGHT, LEFT], first=5, step=5)
    scores = score_dataset(Dataset([sequence], "youtube-vos"), tmp_path / "out", workers=2)
    one, two = scores.sequences[0].objects
    assert (one.frames, one.j_frames) == ((5, 10, 15), (1, 0, 1))
    assert (two.frames, two.j_frames) == ((10, 15), (1, 0))
    assert (one.group, two.group, two.category) == ("seen", "unseen", "yak")
    # F is 1 and 0 as J is, so G = (2/3 + 1/2 + 2/3 + 1/2) / 4, while the mean over both objects would be the same here
    assert scores.overall == pytest.approx(7 / 12)
    assert "| unseen | 1 | 0.500 | 0.500 | 0.500 |" in scores.to_markdown()
    assert "G (mean over groups): 0.583" in scores.to_markdown()


def test_objects_without_a_scored_frame_are_left_out_and_told(tmp_path: Path) -> None:
    late, never = gt(tmp_path, [LEFT, LEFT, BOTH], "late"), gt(tmp_path, [LEFT], "never")
    write(tmp_path / "out" / "late", [LEFT] * 3)
    write(tmp_path / "out" / "never", [LEFT])
    scores = score_dataset(Dataset([late, never], "youtube-vos"), tmp_path / "out")
    assert [(s.name, len(s.objects)) for s in scores.sequences] == [("late", 1)]
    assert scores.left_out == (("late", 2), ("never", 1))
    assert scores.to_markdown().endswith("Left out, since no frame of them is scored: late #2, never #1")
    # SAM-PT's program for BDD100K takes them for perfect
    bdd = score_dataset(Dataset([late, never], "bdd100k"), tmp_path / "out")
    assert [[o.j.mean for o in s.objects] for s in bdd.sequences] == [[1, 1], [1]]
    assert bdd.groups["short"].num_objects == 3
    with pytest.raises(EvaluationError, match="None of the 1 sequences has a scored frame"):
        score_dataset(Dataset([never], "plain"), tmp_path / "out")


def test_lvos_drops_the_first_and_last_frame_of_each_object(tmp_path: Path) -> None:
    sequence = gt(tmp_path, [LEFT, BOTH, BOTH, BOTH, BOTH], groups={1: "seen", 2: "seen"})
    write(tmp_path / "out" / "clip", [EMPTY, LEFT, BOTH, LEFT, EMPTY])
    scores = score_dataset(Dataset([sequence], "lvos"), tmp_path / "out")
    one, two = scores.sequences[0].objects
    assert (one.frames, two.frames) == ((1, 2, 3), (2, 3))
    assert scores.overall == 0.75
    assert scores.variation == pytest.approx(0.25)  # 0 of object 1; 1 and 0 of object 2: a deviation of 0.5
    # The first object leaves on frame 3: what a method says of it there does not count.
    leaving = replace(sequence, end_frame={1: 3})
    one, two = score_dataset(Dataset([leaving], "lvos"), tmp_path / "out").sequences[0].objects
    assert (one.frames, two.frames) == ((1, 2), (2, 3))


def test_void_pixels_count_as_background_but_in_plain_folders(tmp_path: Path) -> None:
    with_void = BOTH.copy()
    with_void[:, 4] = 255
    too_wide = BOTH.copy()
    too_wide[:, 4] = 1  # 40 pixels, 32 of them right, 8 on void
    sequence = gt(tmp_path, [BOTH, with_void, BOTH])
    write(tmp_path / "out" / "clip", [BOTH, too_wide, BOTH])
    j = {
        protocol: score_dataset(Dataset([sequence], protocol), tmp_path / "out").sequences[0].objects[0].j_frames[0]
        for protocol in ("plain", "davis-2017")
    }
    assert j == {"plain": 1, "davis-2017": 32 / 40}


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "16 bits", "colors", "void"])
def test_predictions_are_read_in_every_form(kind: str, tmp_path: Path) -> None:
    sequence = gt(tmp_path, [BOTH] * 3)
    write(tmp_path / "out", [BOTH] * 3)
    path = tmp_path / "out" / "00001.png"
    if kind == "16 bits":
        Image.fromarray(BOTH.astype(np.uint16)).save(path)
    elif kind == "void":
        Image.fromarray(np.where(BOTH == 2, 2, np.where(np.arange(8) < 7, BOTH, 255)).astype(np.uint8)).save(path)
    else:
        Image.fromarray(PALETTE[BOTH] if kind == "colors" else BOTH).convert("RGBA" if kind == "RGBA" else "RGB").save(path)
    one, two = score_sequence(tmp_path / "out", sequence).objects
    assert (one.j.mean, two.j.mean) == (1, 1)


def test_soft_edges_of_a_predicted_mask_are_cut_in_the_middle_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disc = np.hypot(*(np.mgrid[:40, :40] - 19.5)) < 10
    sequence = gt(tmp_path, [disc.astype(np.uint8)] * 4)
    soft = cv2.GaussianBlur(disc.astype(np.float32) * 255, (5, 5), 1.0).round().astype(np.uint8)
    write(tmp_path / "out", [soft] * 4)
    (one,) = score_sequence(tmp_path / "out", sequence).objects
    assert one.j.mean > 0.97
    assert caplog.text.count("soft edges") == 1


def test_overlapping_masks_in_one_folder_an_object(tmp_path: Path) -> None:
    sequence = gt(tmp_path, [BOTH] * 3)
    for location in ("out/clip", "run/clip/masks"):  # as `sampt segment` writes them, too
        write(tmp_path / location / "1", [LEFT] * 3)
        write(tmp_path / location / "002", [np.full((8, 8), 255, np.uint8)] * 3)
    one, two = score_folder(tmp_path / "out", [sequence]).sequences[0].objects
    assert (one.j.mean, two.j.mean) == (1, 12 / 64)
    assert score_folder(tmp_path / "run", [sequence]) == score_folder(tmp_path / "out", [sequence])
    write(tmp_path / "out" / "clip" / "3", [LEFT])
    with pytest.raises(EvaluationError, match=r"out/clip/3 is of the object 3; expected ids of clip: 1, 2\."):
        score_folder(tmp_path / "out", [sequence])
    for path in (*(tmp_path / "run/clip/masks/002").glob("*"),):
        path.unlink()
    with pytest.raises(EvaluationError, match=r"002/00001.png is missing; expected a mask of each object"):
        score_folder(tmp_path / "run", [sequence])
    (tmp_path / "run/clip/masks/002").rmdir()
    with pytest.raises(EvaluationError, match=r"masks has no folder of the object 2; expected one for each of clip: 1, 2\."):
        score_folder(tmp_path / "run", [sequence])


def test_a_sequence_that_only_has_label_maps_is_annotated_everywhere(tmp_path: Path) -> None:
    full = gt(tmp_path, [BOTH] * 4)
    write(tmp_path / "out", [LEFT] * 4)
    bare = SimpleNamespace(**{name: getattr(full, name) for name in ("name", "frame_names", "object_ids", "label_map")})
    assert score_sequence(tmp_path / "out", bare, "plain") == score_sequence(tmp_path / "out", full, "plain")


def test_any_number_of_workers_gives_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sequences = []
    for number in range(5):
        maps = [BOTH, *(rng.integers(0, 3, (8, 8)).astype(np.uint8) for _ in range(3 + 4 * number))]
        sequences.append(gt(tmp_path, maps, f"clip{number}"))
        write(tmp_path / "out" / f"clip{number}", [rng.integers(0, 3, (8, 8)).astype(np.uint8) for _ in maps])
    alone, many = (score_folder(tmp_path / "out", sequences, workers=n) for n in (1, 7))
    assert alone == many == score_folder(tmp_path / "out", sequences)
    assert [s.name for s in many.sequences] == [f"clip{number}" for number in range(5)]
    assert [score_sequence(tmp_path / "out" / s.name, t) for s, t in zip(many.sequences, sequences, strict=True)] == list(
        many.sequences
    )
    with pytest.raises(EvaluationError, match="workers is 0"):
        score_folder(tmp_path / "out", sequences, workers=0)


def test_markdown_and_dict(tmp_path: Path) -> None:
    sequences = [gt(tmp_path, [LEFT] * 3, "one"), gt(tmp_path, [BOTH] * 3, "two")]
    write(tmp_path / "out" / "one", [EMPTY] * 3)
    write(tmp_path / "out" / "two", [BOTH] * 3)
    scores = score_dataset(Dataset(sequences, "davis-2017"), tmp_path / "out")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in scores.to_markdown().splitlines()]
    assert [row[:2] for row in rows[2:]] == [
        ["one", "0.000"],
        ["two", "1.000"],
        ["two #1", "1.000"],
        ["two #2", "1.000"],
        ["total", "0.667"],
    ]
    assert len({len(row) for row in rows}) == 1
    values = scores.to_dict()
    assert values["sequences"]["two"]["objects"]["2"]["j"] == {"mean": 1.0, "recall": 1.0, "decay": 0.0}
    assert (values["dataset"], values["protocol"]) == ("little val", "davis-2017")
    assert Scores.from_dict(json.loads(json.dumps(values))) == scores
    with pytest.raises(EvaluationError, match="These are no scores: KeyError 'sequences'"):
        Scores.from_dict({})


def test_what_cannot_be_scored_is_named(tmp_path: Path) -> None:
    sequence, folder = gt(tmp_path, [LEFT] * 4), tmp_path / "out"
    write(folder, [LEFT] * 2)
    with pytest.raises(EvaluationError, match=r"out/00002.png is missing; expected a label map for each frame of clip"):
        score_sequence(folder, sequence)
    write(folder, [LEFT, LEFT, LEFT[:, :7]])
    with pytest.raises(EvaluationError, match=r"00002.png is 7x8; expected 8x8"):
        score_sequence(folder, sequence)
    write(folder, [LEFT, LEFT, BOTH])
    with pytest.raises(EvaluationError, match=r"00002.png holds the id 2; expected ids of clip: 1\."):
        score_sequence(folder, sequence)
    Image.new("RGB", (8, 8), (9, 8, 7)).save(folder / "00002.png")
    with pytest.raises(EvaluationError, match=r"00002.png' has colours"):
        score_sequence(folder, sequence)
    with pytest.raises(EvaluationError, match="short has 2 annotated frames; expected at least 3"):
        score_sequence(folder, gt(tmp_path, [LEFT] * 2, "short"))
    with pytest.raises(EvaluationError, match="blank holds no object"):
        score_sequence(folder, gt(tmp_path, [EMPTY] * 4, "blank"))
    with pytest.raises(EvaluationError, match=r"The predictions of clip are missing: .*nowhere is not a folder"):
        score_sequence(tmp_path / "nowhere", sequence)
    (tmp_path / "hollow").mkdir()
    with pytest.raises(EvaluationError, match=r"hollow holds no masks of clip; expected label maps FRAME\.png"):
        score_sequence(tmp_path / "hollow", sequence)
    with pytest.raises(EvaluationError, match="no sequence to score"):
        score_folder(folder, [])
    with pytest.raises(EvaluationError, match="annotations of little val are not public"):
        score_dataset(Dataset([sequence], "davis-2017", is_server_scored=True), folder)


@pytest.mark.skipif(not SHARED.exists(), reason="../shared, with the real clips, is not there")
def test_real_ground_truth_against_itself_and_moved(tmp_path: Path) -> None:
    """Real contours: itself is exactly 1; moved by the tolerance of 8 pixels the contour still counts as right."""
    names = ("blackswan", "soapbox")
    sequences = []
    for name in names:
        paths = dict(enumerate(sorted((SHARED / "davis/Annotations/480p" / name).glob("*.png"))))
        sequences.append(Gt(name, paths, (1,), tuple(path.stem for path in paths.values()), {1: 0}))
    scores = score_dataset(Dataset(sequences, "davis-2016"), SHARED / "davis/Annotations/480p")
    assert all(
        (s.j.mean, s.j.recall, s.j.decay, s.f.mean, s.f.recall, s.f.decay) == (1, 1, 0, 1, 1, 0) for s in scores.sequences
    )
    assert scores.overall == 1
    labels = sequences[0].label_map(10).astype(np.uint8)
    sequence = gt(tmp_path, [labels] * 4, "still")
    write(tmp_path / "out" / "still", [labels, np.roll(labels, 8, 1), np.roll(labels, 40, 1), labels])
    (one,) = score_folder(tmp_path / "out", [sequence]).sequences[0].objects
    assert one.j_frames == (37544 / 44502, 27352 / 54694)  # pixels shared, of those in either
    assert one.f_frames == (1, pytest.approx(0.4041962, abs=1e-6))
