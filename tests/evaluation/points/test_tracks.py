"""The reader of BADJA joints: order of coordinates, pixels, queries, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.errors import EvaluationError
from sampt.evaluation.points.tracks import PointTracks, davis_point_tracks, read_badja
from sampt.geometry import mask_at

DAVIS = Path(__file__).resolve().parents[4] / "shared" / "davis"
needs_shared = pytest.mark.skipif(not DAVIS.is_dir(), reason="the project's shared data is not beside this checkout")


def entry(frame: int, joints: Any, visibility: Any, sequence: str = "duck") -> dict[str, Any]:
    path = f"DAVIS/JPEGImages/Full-Resolution/{sequence}/{frame:05d}.jpg"
    return {"image_path": path, "joints": joints, "visibility": visibility}


def three_frames() -> list[dict[str, Any]]:
    """Four joints: seen on all frames; from the second on; on one frame; never."""
    nowhere = [0, 0]
    return [
        entry(7, [[20, 30], nowhere, nowhere, nowhere], [True, False, False, False]),
        entry(2, [[10, 40], nowhere, [5, 5], nowhere], [True, False, True, False]),
        entry(12, [[30, 20], [1, 3], nowhere, nowhere], [True, True, False, False]),
        entry(9, [nowhere, [2, 4], nowhere, nowhere], [False, True, False, False]),
    ]


def save(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def make_davis(root: Path, frames: int, name: str = "duck") -> None:
    """A sequence of 100 x 50 frames in DAVIS layout."""
    save(root / "ImageSets" / "480p" / "dev.txt", f"{name}\n")
    for kind, suffix, mode in (("JPEGImages", "jpg", "RGB"), ("Annotations", "png", "L")):
        for i in range(frames):
            path = root / kind / "480p" / name / f"{i:05d}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (100, 50)).save(path)


def test_joints_are_row_and_column_and_move_by_the_pixel_convention(tmp_path: Path) -> None:
    tracks = read_badja(save(tmp_path / "badja_duck.json", three_frames()), (50, 100), (100, 400))
    assert (tracks.name, tracks.sequence) == ("badja_duck", "duck")
    assert tracks.frame_idx.tolist() == [2, 7, 9, 12]
    # Joint 0 on frame 2: row 10, column 40 -> x (40 + 0.5) / 4 - 0.5, y (10 + 0.5) / 2 - 0.5.
    assert tracks.xy[0, 0].tolist() == [9.625, 4.75]
    assert tracks.xy[3, 1].tolist() == [0.375, 0.25]
    assert tracks.visible.T.tolist() == [[True, True, False, True], [False, False, True, True]]


def test_each_joint_is_given_where_it_is_seen_first_or_last(tmp_path: Path) -> None:
    tracks = read_badja(save(tmp_path / "j.json", three_frames()), (100, 400), (100, 400))
    first, last = tracks.queries, tracks.last_queries
    assert (first.frame_idx.tolist(), first.xy.tolist()) == ([2, 9], [[40, 10], [4, 2]])
    assert (last.frame_idx.tolist(), last.xy.tolist()) == ([12, 12], [[20, 30], [3, 1]])
    assert tracks.scored(first).T.tolist() == [[False, True, False, True], [False, False, False, True]]
    assert tracks.scored(last).T.tolist() == [[True, True, False, False], [False, False, True, False]]


def test_fewer_frames_leave_out_what_is_seen_once_among_them(tmp_path: Path) -> None:
    tracks = read_badja(save(tmp_path / "j.json", three_frames()), (100, 400), (100, 400))
    early = tracks.until(12)
    assert early.frame_idx.tolist() == [2, 7, 9]
    assert early.xy.shape == (3, 1, 2)
    assert tracks.until(13).visible.shape == (4, 2)
    with pytest.raises(EvaluationError, match="no point on two of the first 7 frames"):
        tracks.until(7)


def test_values_cannot_be_changed_or_disagree(tmp_path: Path) -> None:
    tracks = read_badja(save(tmp_path / "j.json", three_frames()), (100, 400), (100, 400))
    with pytest.raises(ValueError, match="read-only"):
        tracks.xy[0, 0] = 0
    fields = tracks.name, tracks.sequence, tracks.frame_idx.copy(), tracks.xy.copy()
    with pytest.raises(EvaluationError, match=r"visible \(4, 1\)"):
        PointTracks(*fields, tracks.visible[:, :1].copy())
    with pytest.raises(EvaluationError, match="fewer than two frames"):
        PointTracks(*fields, np.zeros((4, 2), bool))


def changed(**values: Any) -> list[dict[str, Any]]:
    """The example with values of its first frame replaced."""
    entries = three_frames()
    entries[0] |= values
    return entries


BROKEN: list[tuple[Any, str]] = [
    ("not json", "cannot be read as JSON"),
    ("{}", "expected a list with one object a frame"),
    ("[]", "expected a list with one object a frame"),
    ([entry(0, [[1, 2]], [True])], "no joint that is visible on two frames"),
    ([{"image_path": "duck/00000.jpg", "visibility": [True]}], "not of the BADJA kind: KeyError 'joints'"),
    (changed(image_path="DAVIS/goose/00007.jpg"), r"frames of \['duck', 'goose'\]"),
    (changed(image_path="a/duck/first.jpg"), "not of the BADJA kind: ValueError"),
    (changed(image_path="a/duck/00002.jpg"), "ascending order"),
    (changed(joints=[[1, 2]]), "not of the BADJA kind"),
    (changed(visibility=[2, 0, 0, 0]), "true or false for each"),
    (changed(joints=[[100, 30], [0, 0], [0, 0], [0, 0]]), "visible joint outside a frame of 400x100"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_other_files_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = save(tmp_path / "j.json", content)
    with pytest.raises(EvaluationError, match=message) as caught:
        read_badja(path, (100, 400), (100, 400))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="does not exist; expected a file of joints"):
        read_badja(tmp_path / "none.json", (100, 400))


def test_files_meet_their_sequence(tmp_path: Path) -> None:
    make_davis(tmp_path, 13)
    save(tmp_path / "point_tracks" / "badja_duck.json", three_frames())
    ((tracks, sequence),) = davis_point_tracks(tmp_path)
    assert sequence.name == "duck"
    # From 1920 x 1080 to 100 x 50.
    assert tracks.xy[0, 0] == pytest.approx([40.5 * 100 / 1920 - 0.5, 10.5 * 50 / 1080 - 0.5])


def test_a_folder_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"holds no badja_\*\.json"):
        davis_point_tracks(tmp_path)
    make_davis(tmp_path, 12)
    path = save(tmp_path / "point_tracks" / "badja_duck.json", three_frames())
    with pytest.raises(EvaluationError, match="annotates frame 12, but duck has 12 frames"):
        davis_point_tracks(tmp_path)
    save(path, [entry(i, [[1, 2]], [True], "goose") for i in range(2)])
    with pytest.raises(EvaluationError, match="Unknown sequence 'goose'"):
        davis_point_tracks(tmp_path)


@needs_shared
def test_the_real_joints_lie_on_the_animals() -> None:
    """With row and column exchanged, or without the rescaling, hardly any would."""
    known = {tracks.sequence: (tracks, sequence) for tracks, sequence in davis_point_tracks(DAVIS)}
    counts = {name: (len(tracks.frame_idx), len(tracks.queries)) for name, (tracks, _) in known.items()}
    assert counts == {"camel": (18, 20), "dog": (12, 20), "horsejump-high": (10, 20)}
    for tracks, sequence in known.values():
        on_animal = [
            mask_at(sequence.label_map(int(t)) > 0, tracks.xy[k, tracks.visible[k]]) for k, t in enumerate(tracks.frame_idx)
        ]
        assert np.concatenate(on_animal).mean() > 0.9
