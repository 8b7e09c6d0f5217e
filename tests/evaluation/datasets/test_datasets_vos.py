"""Datasets whose objects are given by masks, in the layouts of their official downloads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.errors import EvaluationError
from sampt.evaluation.datasets import DATASETS, open_dataset, select_sequences
from sampt.evaluation.vos.protocols import scoring_rule
from sampt.evaluation.vos.score import score_dataset
from tests.evaluation.datasets.opening import given, only, opened

SHARED = Path(__file__).resolve().parents[4] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared data is not beside this checkout")

NO, ONE, TWO, BOTH = [0, 0, 0, 0], [0, 1, 1, 0], [2, 0, 0, 2], [2, 1, 1, 2]
"""Rows of 4 x 2 annotations."""


def save(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(values, np.uint8))
    if image.mode == "L" and path.suffix == ".png" and np.array(values).max() < 255:
        image = image.convert("P")
        image.putdata(np.array(values, np.uint8).ravel().tolist())
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    image.save(path)


def add_video(location: Path, name: str, frames: int, rows: Mapping[int, object], step: int = 1, digits: int = 5) -> None:
    """``frames`` frames 0, ``step``, ... in ``JPEGImages``, annotations of the numbers in ``rows``; each row is repeated."""
    for i in range(0, frames * step, step):
        save(location / "JPEGImages" / name / f"{i:0{digits}d}.jpg", np.full((2, 4, 3), 9))
    for i, row in rows.items():
        save(location / "Annotations" / name / f"{i:0{digits}d}.png", [row, row])


def write_json(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def make_davis_2017(root: Path, **names: list[str]) -> None:
    for split, sequences in names.items():
        (root / "ImageSets" / "2017").mkdir(parents=True, exist_ok=True)
        (root / "ImageSets" / "2017" / f"{split.replace('_', '-')}.txt").write_text("\n".join(sequences))
        for name in sequences:
            for i in range(3):
                for resolution, scale in (("480p", 1), ("Full-Resolution", 2)):
                    labels = np.repeat(np.repeat(np.array([[2, 1, 1, 255 if i else 2]] * 2), scale, 0), scale, 1)
                    save(root / "JPEGImages" / resolution / name / f"{i:05d}.jpg", np.zeros((*labels.shape, 3)))
                    if i == 0 or split != "test_dev":
                        save(root / "Annotations" / resolution / name / f"{i:05d}.png", labels)


def test_davis_2017(tmp_path: Path) -> None:
    make_davis_2017(tmp_path, val=["dogs", "cats"], train=["duck"], test_dev=["bear"])
    val = opened("davis-2017", tmp_path)
    assert (val.split, val.protocol, val.is_server_scored) == ("val", "davis-2017", False)
    assert [s.name for s in val.sequences] == ["dogs", "cats"]  # in the order of the list
    dogs = val.sequences[0]
    assert (dogs.object_ids, dogs.annotated_frames, dogs.size_hw) == ((1, 2), (0, 1, 2), (2, 4))
    assert dogs.label_map(1).tolist() == [[2, 1, 1, 0]] * 2
    void = dogs.void_mask(1)
    assert void is not None
    assert void.tolist() == [[False, False, False, True]] * 2
    assert dogs.void_mask(0) is None
    assert only(opened("davis-2017", tmp_path, "train")).name == "duck"
    full = opened("davis-2017", tmp_path, "val-full").sequences[1]
    assert (full.name, full.size_hw, full.open().size_hw) == ("cats", (4, 8), (4, 8))


def test_davis_test_dev_has_first_annotations_alone(tmp_path: Path) -> None:
    make_davis_2017(tmp_path, test_dev=["bear"])
    dataset = opened("davis-2017", tmp_path, "test-dev")
    assert (dataset.is_server_scored, only(dataset).annotated_frames) == (True, (0,))
    assert dataset.submission.member("bear", "00002") == "bear/00002.png"
    assert given(only(dataset)) == {1: (0, 4), 2: (0, 4)}
    with pytest.raises(EvaluationError, match="Frame 1 of bear has no annotation"):
        only(dataset).label_map(1)
    with pytest.raises(EvaluationError, match="not public"):
        score_dataset(dataset, tmp_path)


def test_davis_2016_of_either_archive(tmp_path: Path) -> None:
    """That of 2016 has a line for each frame; that of 2017 has ids, which are one object."""
    old, new = tmp_path / "2016", tmp_path / "2017"
    for i in range(3):
        save(old / "JPEGImages" / "480p" / "bear" / f"{i:05d}.jpg", np.zeros((2, 4, 3)))
        save(old / "Annotations" / "480p" / "bear" / f"{i:05d}.png", [[0, 255, 255, 0]] * 2)
    lines = [f"/JPEGImages/480p/bear/{i:05d}.jpg /Annotations/480p/bear/{i:05d}.png " for i in range(3)]
    (old / "ImageSets" / "480p").mkdir(parents=True)
    (old / "ImageSets" / "480p" / "val.txt").write_text("\n".join(lines))
    make_davis_2017(new, val=["bear"])
    (new / "ImageSets" / "2016").mkdir()
    (new / "ImageSets" / "2016" / "val.txt").write_text("bear\n")
    for root, row in ((old, [0, 1, 1, 0]), (new, [1, 1, 1, 0])):
        sequence = only(opened("davis-2016", root, "val"))
        assert (sequence.object_ids, sequence.label_map(1).tolist()) == ((1,), [row] * 2)
    with pytest.raises(
        EvaluationError, match=r"not a DAVIS-2017 folder: .* It looks like DAVIS-2016: use --dataset davis-2016"
    ):
        open_dataset("davis-2017", old)


def test_a_frame_of_davis_without_annotation_is_a_mistake(tmp_path: Path) -> None:
    make_davis_2017(tmp_path, val=["dogs"])
    (tmp_path / "Annotations" / "480p" / "dogs" / "00002.png").unlink()
    sequence = only(opened("davis-2017", tmp_path))
    with pytest.raises(EvaluationError, match="dogs has 3 frames and 2 annotations; '00002' is only one of both"):
        sequence.query_masks()


def youtube_meta(**videos: dict[str, tuple[str | None, list[int]]]) -> dict[str, Any]:
    """Video -> object -> category, numbers of frames."""
    entry = {
        name: {
            "objects": {
                k: {"frames": [f"{i:05d}" for i in frames]} | ({"category": c} if c else {}) for k, (c, frames) in v.items()
            }
        }
        for name, v in videos.items()
    }
    return {"videos": entry}


def make_youtube_vos(root: Path) -> None:
    add_video(root / "train", "t", 2, {0: ONE, 5: ONE}, step=5)
    write_json(root / "train" / "meta.json", youtube_meta(t={"1": ("dog", [0, 5])}))
    add_video(root / "valid", "v", 4, {0: ONE, 10: TWO}, step=5)
    meta = youtube_meta(v={"2": ("yeti", [10, 15]), "1": ("dog", [0, 5, 10, 15])})
    write_json(root / "valid" / "meta.json", meta)


@pytest.mark.parametrize("year", [2018, 2019])
def test_youtube_vos_gives_objects_where_they_appear(tmp_path: Path, year: int) -> None:
    make_youtube_vos(tmp_path)
    valid = opened(f"youtube-vos-{year}", tmp_path)
    assert (valid.split, valid.protocol, valid.is_server_scored) == ("valid", "youtube-vos", True)
    assert valid.submission.member("v", "00005") == "Annotations/v/00005.png"
    sequence = only(valid)
    assert sequence.frame_names == ("00000", "00005", "00010", "00015")
    assert (sequence.first_frame, sequence.annotated_frames) == ({1: 0, 2: 2}, (0, 2))
    assert given(sequence) == {1: (0, 4), 2: (2, 4)}
    assert sequence.categories == {1: "dog", 2: "yeti"}
    assert sequence.groups == {1: "seen", 2: "unseen"}
    train = opened(f"youtube-vos-{year}", tmp_path, "train")
    assert (train.is_server_scored, only(train).groups) == (False, {1: "seen"})


def test_youtube_vos_of_all_frames_is_annotated_and_wanted_at_every_fifth(tmp_path: Path) -> None:
    make_youtube_vos(tmp_path)
    for parent in (tmp_path, tmp_path / "all_frames"):
        with pytest.raises(EvaluationError, match=r"Unknown split 'valid-all-frames' .* Available: train, valid\."):
            open_dataset("youtube-vos-2018", tmp_path, "valid-all-frames")
        location = parent / "valid_all_frames"
        add_video(location, "v", 18, {})
        sequence = only(opened("youtube-vos-2018", tmp_path, "val-all-frames"))
        assert (len(sequence.frame_names), sequence.annotated_frames) == (18, (0, 10))
        assert given(sequence) == {1: (0, 4), 2: (10, 4)}
        assert sequence.submission_frames == (0, 5, 10, 15)
        location.rename(tmp_path / f"away_{parent.name}")


def test_youtube_vos_without_training_or_categories_has_no_groups(tmp_path: Path) -> None:
    make_youtube_vos(tmp_path)
    (tmp_path / "train" / "meta.json").unlink()
    sequence = only(opened("youtube-vos-2018", tmp_path / "valid"))  # the folder of a split will do
    assert (sequence.groups, sequence.categories[2]) == ({}, "yeti")
    write_json(tmp_path / "valid" / "meta.json", youtube_meta(v={"1": (None, [0])}))
    sequence = only(opened("youtube-vos-2018", tmp_path / "valid"))
    assert (sequence.groups, sequence.categories, sequence.object_ids) == ({}, {}, (1,))


def test_what_youtube_vos_tells_is_checked(tmp_path: Path) -> None:
    make_youtube_vos(tmp_path)
    path = tmp_path / "valid" / "meta.json"
    for entry, message in (
        (youtube_meta(v={"1": ("dog", [7])}), "lacks the frame 00007"),
        (youtube_meta(v={"2": ("dog", [0])}), "frame 00000 of v does not show the object 2"),
        ({"videos": {"v": {"objects": {"1": {}}}}}, "meta.json is broken at v: KeyError 'frames'"),
    ):
        write_json(path, entry)
        with pytest.raises(EvaluationError, match=message):
            only(opened("youtube-vos-2019", tmp_path)).query_masks()
    for entry, message in (([], "holds a JSON list"), ({"videos": 3}, "tells no objects of videos")):
        write_json(path, entry)
        with pytest.raises(EvaluationError, match=message):
            len(opened("youtube-vos-2019", tmp_path).sequences)
    path.write_text("{")
    with pytest.raises(EvaluationError, match="cannot be read as JSON"):
        len(opened("youtube-vos-2019", tmp_path).sequences)


@needs_shared
def test_a_real_video_of_youtube_vos(tmp_path: Path) -> None:
    name, numbers = "003234408d", list(range(0, 75, 5))
    for folder in ("JPEGImages", "Annotations"):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / folder).symlink_to(SHARED / "formats" / "youtube_vos_train" / folder)
    meta = youtube_meta(**{name: {str(k): ("penguin", numbers) for k in range(1, 6)}})
    write_json(tmp_path / "train" / "meta.json", meta)
    sequence = only(opened("youtube-vos-2019", tmp_path, "train"))
    assert (sequence.name, sequence.object_ids, sequence.size_hw) == (name, (1, 2, 3, 4, 5), (180, 320))
    assert sequence.annotated_frames == tuple(range(15))
    assert (sequence.open().num_frames, sequence.frame_names[14]) == (15, "00070")
    assert all(query.frame_idx == 0 and query.mask.any() for query in sequence.query_masks())
    plain = only(opened("folder", SHARED / "formats" / "youtube_vos_train"))
    assert (plain.object_ids, plain.label_map(3).tolist()) == (sequence.object_ids, sequence.label_map(3).tolist())


def test_mose(tmp_path: Path) -> None:
    add_video(tmp_path / "train", "t", 3, {0: ONE, 1: BOTH, 2: BOTH})
    add_video(tmp_path / "valid", "b", 3, {0: BOTH})
    add_video(tmp_path / "valid", "a", 3, {0: BOTH})
    valid = opened("mose", tmp_path, "val")
    assert (valid.split, valid.protocol, valid.is_server_scored) == ("valid", "mose", True)
    assert [s.name for s in valid.sequences] == ["a", "b"]
    assert valid.submission.member("a", "00001") == "a/00001.png"
    train = opened("mose", tmp_path, "train")
    assert not train.is_server_scored
    assert only(train).object_ids == (1,)  # an object that appears later is not scored
    (tmp_path / "train" / "Annotations" / "t" / "00001.png").unlink()
    with pytest.raises(EvaluationError, match="'00001' is only one of both"):
        only(opened("mose", tmp_path / "train")).query_masks()


@pytest.mark.parametrize("meta_name", ["val_meta.json", "meta.json"])
def test_lvos(tmp_path: Path, meta_name: str) -> None:
    rows = {1: ONE, 6: BOTH, 11: BOTH}
    for name in ("rrrgtcMl", "abc"):
        for i, row in rows.items():
            save(tmp_path / "val" / "JPEGImages" / name / f"{i:08d}.jpg", np.zeros((2, 4, 3)))
            save(tmp_path / "val" / "Annotations" / name / f"{i:08d}.png", [row, row])
    objects = {"2": {"frame_range": {"start": "00000006", "end": "00000011"}}, "1": {"frame_range": {"start": 1, "end": 11}}}
    write_json(tmp_path / "val" / meta_name, {"videos": {name: {"objects": objects} for name in ("rrrgtcMl", "abc")}})
    dataset = opened("lvos", tmp_path)
    assert (dataset.split, dataset.protocol, dataset.is_server_scored) == ("val", "lvos", False)
    seen, unseen = dataset.sequences
    assert (seen.groups, unseen.groups) == ({1: "seen", 2: "seen"}, {1: "unseen", 2: "unseen"})
    assert given(seen) == {1: (0, 4), 2: (1, 4)}
    assert seen.end_frame == {1: 2, 2: 2}
    (tmp_path / "val" / "JPEGImages" / "abc" / "00000006.jpg").unlink()
    with pytest.raises(EvaluationError, match="lacks the frame 00000006"):
        opened("lvos", tmp_path).sequences[0].query_masks()


@pytest.mark.parametrize(
    ("entry", "scored"),
    [
        ({"start": 1, "end": 16, "frame_nums": 4}, [6, 11]),  # ``end`` is the object's last frame
        ({"start": "00000001", "end": "00000017", "frame_nums": "4"}, [6, 11]),  # ``end`` lies behind it
        ({"start": 1, "end": 21, "frame_nums": 5}, [6, 11, 16]),
        ({"start": 6, "end": 16}, [11]),
        ({"start": 6}, [11, 16]),  # to the end of the video, without its last frame
        ({"start": 16, "end": 21, "frame_nums": 2}, []),
    ],
)
def test_lvos_scores_an_object_until_it_leaves(tmp_path: Path, entry: dict[str, Any], scored: list[int]) -> None:
    """What lvos-evaluation scores: range(start, end, 5) without the numbers 0 and frame_nums - 1 in it."""
    add_video(tmp_path / "val", "x", 22, dict.fromkeys(range(1, 22, 5), ONE), digits=8)
    write_json(tmp_path / "val" / "val_meta.json", {"videos": {"x": {"objects": {"1": {"frame_range": entry}}}}})
    sequence = only(opened("lvos", tmp_path))
    frames = scoring_rule("lvos").frames(sequence.annotated_frames, sequence.first_frame[1], sequence.end_frame.get(1))
    assert [int(sequence.frame_names[i]) for i in frames] == scored
    if "frame_nums" in entry:
        start, end, count = (int(entry[name]) for name in ("start", "end", "frame_nums"))
        assert scored == [n for k, n in enumerate(range(start, end, 5)) if k not in (0, count - 1)]


def test_lvos_test_gives_late_objects_on_their_frames(tmp_path: Path) -> None:
    add_video(tmp_path / "test", "x", 3, {0: ONE, 5: TWO}, step=5, digits=8)
    objects = {k: {"frame_range": {"start": start}} for k, start in (("1", 0), ("2", 5))}
    write_json(tmp_path / "test" / "test_meta.json", {"videos": {"x": {"objects": objects}}})
    dataset = opened("lvos", tmp_path)
    assert (dataset.split, dataset.is_server_scored, only(dataset).groups) == ("test", True, {})
    assert given(only(dataset)) == {1: (0, 4), 2: (1, 4)}


def test_long_video_is_annotated_now_and_then(tmp_path: Path) -> None:
    add_video(tmp_path, "rat", 9, {0: ONE, 4: BOTH, 8: ONE})
    add_video(tmp_path, "dressage", 2, {0: ONE})
    dataset = opened("long-video", tmp_path)
    assert (dataset.split, dataset.protocol) == ("val", "long-video")
    assert [s.name for s in dataset.sequences] == ["dressage", "rat"]
    rat = dataset.sequences[1]
    assert (len(rat.frame_names), rat.annotated_frames, rat.object_ids) == (9, (0, 4, 8), (1,))
    (tmp_path / "videos.txt").write_text("rat\n")
    assert [s.name for s in opened("long-video", tmp_path).sequences] == ["rat"]


@needs_shared
def test_real_ids_of_two_objects(tmp_path: Path) -> None:
    """The first annotation of bmx-trees as DAVIS-2017 has it holds the mask of DAVIS-2016, but for its border."""
    frames = SHARED / "davis" / "JPEGImages" / "480p" / "bmx-trees"
    for folder in ("JPEGImages/480p", "Annotations/480p/bmx-trees", "ImageSets/2017"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "JPEGImages/480p/bmx-trees").symlink_to(frames)
    (tmp_path / "Annotations/480p/bmx-trees/00000.png").symlink_to(SHARED / "davis/multi_object/bmx-trees_00000.png")
    (tmp_path / "ImageSets/2017/test-dev.txt").write_text("bmx-trees")
    labels = only(opened("davis-2017", tmp_path)).label_map(0)
    binary = select_sequences(opened("davis-2016", SHARED / "davis").sequences, ["bmx-trees"])[0].label_map(0)
    assert sorted(np.unique(labels).tolist()) == [0, 1, 2]
    assert ((labels > 0) & (binary > 0)).sum() > 0.9 * ((labels > 0) | (binary > 0)).sum()


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    make_davis_2017(tmp_path, val=["dogs"])
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text("dogs\nnowhere\n")
    dataset = opened("davis-2017", tmp_path)
    assert [s.name for s in dataset.sequences[::-1]] == ["nowhere", "dogs"]
    assert dataset.sequences[0] is dataset.sequences[-2] is select_sequences(dataset.sequences, ["dogs"])[0]
    with pytest.raises(EvaluationError, match="nowhere is not a folder"):
        dataset.sequences[1].query_masks()
    with pytest.raises(EvaluationError, match=r"Unknown sequence 'dog'\. Did you mean 'dogs'\? Available: dogs, nowhere"):
        select_sequences(dataset.sequences, ["dog"])


def make_mose(root: Path) -> None:
    add_video(root / "train", "t", 3, {0: ONE, 1: ONE, 2: ONE})


def make_lvos(root: Path) -> None:
    add_video(root / "val", "x", 1, {0: ONE})
    write_json(root / "val" / "val_meta.json", {"videos": {"x": {"objects": {"1": {"frame_range": {"start": 0}}}}}})


@pytest.mark.parametrize(
    ("make", "wrong", "right"),
    [
        (lambda root: make_davis_2017(root, val=["a"]), "youtube-vos-2019", "DAVIS: use --dataset davis-2017"),
        (make_youtube_vos, "davis-2016", "YouTube-VOS: use --dataset youtube-vos-2019"),
        (make_youtube_vos, "mose", "YouTube-VOS: use --dataset youtube-vos-2019"),
        (make_mose, "youtube-vos-2018", "MOSE: use --dataset mose"),
        (make_mose, "ovis", "MOSE: use --dataset mose"),
        (make_lvos, "youtube-vos-2018", "LVOS: use --dataset lvos"),
        (lambda root: add_video(root, "rat", 1, {0: ONE}), "mose", "Long-Video: use --dataset long-video"),
        (lambda root: add_video(root, "cat", 1, {0: ONE}), "long-video", "a plain folder: use --dataset folder"),
        (lambda root: write_json(root / "annotations_train.json", {}), "youtube-vis-2019", "OVIS: use --dataset ovis"),
    ],
)
def test_another_data_set_is_recognised(tmp_path: Path, make: Callable[[Path], None], wrong: str, right: str) -> None:
    make(tmp_path)
    with pytest.raises(EvaluationError, match=f" folder: expected .*; found .*\\. It looks like {right}\\.$") as caught:
        open_dataset(wrong, tmp_path)
    assert "\n" not in str(caught.value)


def test_the_message_names_what_was_got_and_what_was_expected(tmp_path: Path) -> None:
    for folder in ("Annotations/480p", "ImageSets/2017", "JPEGImages/480p"):
        (tmp_path / "DAVIS" / folder).mkdir(parents=True)
    (tmp_path / "DAVIS" / "ImageSets/2017/val.txt").write_text("a")
    with pytest.raises(EvaluationError) as caught:
        open_dataset("youtube-vos-2018", tmp_path / "DAVIS")
    assert str(caught.value) == (
        f"{tmp_path}/DAVIS is not a YouTube-VOS folder: expected meta.json and JPEGImages, or folders train and valid that "
        "hold them; found Annotations, ImageSets, JPEGImages. It looks like DAVIS: use --dataset davis-2017."
    )
    with pytest.raises(EvaluationError, match=f"found DAVIS. Did you mean {tmp_path}/DAVIS\\?$"):
        open_dataset("davis-2017", tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_refuses_an_empty_folder_and_no_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(EvaluationError, match=r" folder: expected .*; found nothing\.$"):
        open_dataset(name, tmp_path)
    with pytest.raises(EvaluationError, match=r" folder: expected .*; found no such folder\.$"):
        open_dataset(name, tmp_path / "nowhere")


def test_unknown_names_and_splits(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"Unknown dataset 'davis2017'\. Did you mean 'davis-2017'\? Available: bdd100k"):
        open_dataset("davis2017", tmp_path)
    make_davis_2017(tmp_path, train=["a"], test_dev=["b"])
    with pytest.raises(
        EvaluationError, match=r"Unknown split 'testdev' of .*Did you mean 'test-dev'\? Available: test-dev, train"
    ):
        open_dataset("davis-2017", tmp_path, "testdev")
    with pytest.raises(EvaluationError, match="has several splits and not the usual one, 'val'; name one of: test-dev, train"):
        open_dataset("davis-2017", tmp_path)
    make_youtube_vos(tmp_path / "youtube")
    mine = (tmp_path / "youtube" / "train").rename(tmp_path / "youtube" / "mine")
    with pytest.raises(
        EvaluationError, match="is one split, and its name does not tell which; name one of: train, valid, test"
    ):
        open_dataset("youtube-vos-2019", mine)
    assert only(opened("youtube-vos-2019", mine, "train")).name == "t"


def test_ground_truth_scores_one(tmp_path: Path) -> None:
    make_davis_2017(tmp_path, val=["dogs", "cats"])
    dataset = opened("davis-2017", tmp_path)
    for sequence in dataset.sequences:
        for i, name in enumerate(sequence.frame_names):
            save(tmp_path / "out" / sequence.name / f"{name}.png", sequence.label_map(i))
    assert score_dataset(dataset, tmp_path / "out").overall == 1
