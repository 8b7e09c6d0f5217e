"""Tracks from a file: every kind that is read, what query points make of them, and the pipeline with them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampt.config import SegmentConfig, with_settings
from sampt.errors import BackendError, ConfigError
from sampt.pipeline.segment import segment_video
from sampt.testing import ExactSegmenter, SceneVideo, crossing_scene
from sampt.trackers.create import create_tracker
from sampt.trackers.tracks_file.read import read_tracks
from sampt.types import HiddenBy, Points, QueryMask, Tracks
from sampt.video.array import ArrayVideo
from sampt.video.base import ResizedVideo, SubVideo
from sampt.weights import describe_weights, weights_identity

T, N, HEIGHT, WIDTH = 6, 3, 60, 80
TIME = np.arange(T)[:, None]
XY = np.stack([[10, 40, 70] + 2.0 * TIME, [20, 30, 40] - 1.0 * TIME], -1).astype(np.float32)
VISIBLE = np.ones((T, N), np.bool_)
VISIBLE[3:5, 1] = False


def video() -> ArrayVideo:
    return ArrayVideo(np.random.default_rng(0).integers(0, 256, (T, HEIGHT, WIDTH, 3), dtype=np.uint8))


def npz(path: Path, **changes: Any) -> Path:
    held: dict[str, Any] = {"tracks": XY, "visible": VISIBLE} | changes
    np.savez(path, **{key: value for key, value in held.items() if value is not None})
    return path


def track(path: object, frames: Any, points: Points) -> Tracks:
    return create_tracker(f"tracks:{path}").track(frames, points)


def write_all(folder: Path) -> dict[str, str]:
    """The same tracks in a file of each kind."""
    npz(folder / "dense.npz")
    npz(folder / "occluded.npz", visible=None, occluded=np.where(VISIBLE, 0.2, 0.9))
    np.save(folder / "plain.npy", np.concatenate([XY, VISIBLE[..., None]], -1))
    rows = [(t, p) for t in range(T) for p in range(N)]
    frame, point = np.array(rows).T
    np.savez(
        folder / "ours.npz",
        frame_splits=np.arange(0, T * N + 1, N),
        frame_idx=np.arange(T),
        frame_names=np.array([f"{t:05d}" for t in range(T)]),
        point_id=point + 7,
        object_id=point * 0 + 1,
        is_positive=point >= 0,
        xy=XY[frame, point],
        visible=VISIBLE[frame, point],
        confidence=VISIBLE[frame, point].astype(np.float32),
        hidden_by=np.zeros(T * N, np.uint8),
    )
    lines = [f"{t},{p},{XY[t, p, 0]},{XY[t, p, 1]},{str(VISIBLE[t, p]).lower()}" for t, p in rows]
    (folder / "table.csv").write_text("\n".join(["frame_idx,point_id,x,y,visible", *lines]))
    fractions = ((XY + 0.5) / [WIDTH, HEIGHT]).transpose(1, 0, 2)
    entry = {"points": fractions, "occluded": ~VISIBLE.T, "video": np.zeros((T, 2, 2, 3), np.uint8)}
    (folder / "tapvid.pkl").write_bytes(pickle.dumps({"goat": {"points": 1}, "dog": entry}))
    return {name: name for name in ("dense.npz", "occluded.npz", "plain.npy", "ours.npz", "table.csv")} | {
        "tapvid.pkl": "tapvid.pkl#dog"
    }


@pytest.mark.parametrize("kind", ["dense.npz", "occluded.npz", "plain.npy", "ours.npz", "table.csv", "tapvid.pkl"])
def test_every_kind_of_file_gives_the_same_tracks(kind: str, tmp_path: Path) -> None:
    name = write_all(tmp_path)[kind]
    points = Points.of(1, 0, XY[0])
    tracks = track(tmp_path / name, video(), points)
    assert np.abs(tracks.xy - XY).max() < 1e-4
    inside = XY[..., 0] < WIDTH - 0.5
    assert np.array_equal(tracks.visible, VISIBLE & inside)
    assert tracks.hidden_by[3, 1] == HiddenBy.TRACKER


def test_a_query_point_moves_as_the_nearest_visible_track_of_its_own_frame(tmp_path: Path) -> None:
    path = npz(tmp_path / "tracks.npz")
    points = Points.concat([Points.of(1, 2, XY[2, :1] + [[1.5, -0.5]]), Points.of(1, 4, [[5, 55]], False)])
    tracks = track(path, video(), points)
    assert np.abs(tracks.xy[:, 0] - (XY[:, 0] + [1.5, -0.5])).max() < 1e-5  # before its prompt frame, too
    assert tracks.visible[:, 0].all()
    assert tracks.visible[:, 1].tolist() == [False] * 4 + [True, False]  # no track is near: seen where it was given alone
    assert np.abs(tracks.xy[:, 1] - [5, 55]).max() == 0
    with pytest.raises(
        BackendError, match=r"no track within 2 px of any of the 1 query points on frame 3 \(the nearest is \d+"
    ):
        track(path, video(), Points.of(1, 3, XY[3, 1:2]))  # which is not visible there


def test_windows_reversed_and_resized_copies_take_their_own_frames(tmp_path: Path) -> None:
    path = npz(tmp_path / "tracks.npz")
    window = ResizedVideo(SubVideo(video(), range(4, 0, -1)), (HEIGHT // 2, WIDTH // 2))
    expected = (XY[[4, 3, 2, 1], 0] + 0.5) / 2 - 0.5
    tracks = track(path, window, Points.of(1, 1, expected[1:2]))
    assert np.abs(tracks.xy[:, 0] - expected).max() < 1e-5
    scaled = npz(tmp_path / "scaled.npz", tracks=(XY + 0.5) * 3 - 0.5, size_hw=(HEIGHT * 3, WIDTH * 3))
    assert np.abs(track(scaled, video(), Points.of(1, 0, XY[0])).xy - XY).max() < 1e-4


def test_unknown_locations_are_hidden_and_keep_a_finite_place(tmp_path: Path) -> None:
    places = XY.copy()
    places[4:, 0] = np.nan
    tracks = track(npz(tmp_path / "gaps.npz", tracks=places, visible=None), video(), Points.of(1, 0, XY[0, :1]))
    assert tracks.visible[:, 0].tolist() == [True] * 4 + [False] * 2
    assert np.isfinite(tracks.xy).all()
    assert tracks.confidence[:, 0].tolist() == [1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.npz", None, "No file of tracks is at .*missing.npz; expected .npz, .npy, .csv, or .pkl of TAP-Vid"),
        ("tracks.mat", b"x", "is no file of tracks that can be read; expected .npz"),
        ("tracks.npz", b"PK\x03\x04 cut", "tracks.npz cannot be read as tracks "),
        ("tracks.csv", b"a,b\n1,2\n", r"cannot be read as tracks \('frame_idx' is missing\)"),
        ("tracks.csv", b"frame_idx,point_id,x,y\n", r"cannot be read as tracks \(it has no rows\)"),
        ("tracks.pkl", b"cos\nsystem\n(S'true'\ntR.", r"cannot be read as tracks \(it holds no videos by name\)"),
    ],
)
def test_what_is_no_file_of_tracks_is_one_line(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BackendError, match=message) as caught:
        create_tracker(f"tracks:{tmp_path / name}")
    assert "\n" not in str(caught.value)


def test_wrong_shapes_and_missing_frames_are_told(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"locations are \(6, 3, 2\) and visibility \(3, 6\), expected \(t, n, 2\)"):
        read_tracks(npz(tmp_path / "turned.npz", visible=VISIBLE.T))
    short = npz(tmp_path / "short.npz", tracks=XY[:4], visible=VISIBLE[:4])
    with pytest.raises(
        BackendError, match="has tracks on frames 0 to 3, and the video has frame 5; expected tracks over the whole"
    ):
        track(short, video(), Points.of(1, 0, XY[0]))
    write_all(tmp_path)
    with pytest.raises(BackendError, match="it has 2 videos; name one as tracks:FILE#NAME: goat, dog"):
        read_tracks(tmp_path / "tapvid.pkl")
    with pytest.raises(BackendError, match="it has no video 'cat', but goat, dog"):
        read_tracks(tmp_path / "tapvid.pkl", "cat")


def test_a_file_is_recorded_as_weights_are(tmp_path: Path) -> None:
    path = npz(tmp_path / "tracks.npz")
    config = with_settings(SegmentConfig(), {"tracker": f"tracks:{path}"})
    assert (config.tracker, config.tracker_weights) == ("tracks", str(path))
    facts = describe_weights(config.tracker, config.tracker_weights)
    assert facts is not None
    assert (facts.where, facts.state) == (str(path), "here")
    first = weights_identity(config.tracker, config.tracker_weights)
    npz(path, tracks=XY[:, :2], visible=VISIBLE[:, :2])
    assert weights_identity(config.tracker, config.tracker_weights) != first
    with pytest.raises(ConfigError, match="leave tracker_weights out"):
        SegmentConfig(tracker=f"tracks:{path}", tracker_weights="random")
    with pytest.raises(BackendError, match="needs a file of tracks; write it as tracks:FILE"):
        create_tracker("tracks")


def test_the_pipeline_segments_with_exact_tracks_from_a_file(tmp_path: Path) -> None:
    scene = crossing_scene(12)
    y, x = np.mgrid[0:64:2, 0:96:2]
    grid = np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)
    points = Points.concat([Points.of(1, frame, grid) for frame in (0, 4, 8)])
    exact = scene.point_positions(points)
    path = npz(tmp_path / "scene.npz", tracks=exact.xy, visible=exact.visible)
    masks = [QueryMask(k, 0, mask) for k, mask in enumerate(scene.masks(0), 1)]
    for enabled in (False, True):
        changes = {"reinit.enabled": enabled, "reinit.horizon": 4, "reinit.tracker_horizon": 4, "tracker": f"tracks:{path}"}
        config = with_settings(SegmentConfig(), changes)
        results = list(segment_video(SceneVideo(scene), masks, config=config, segmenter=ExactSegmenter(scene)))
        overlaps = []
        for result in results:
            gt = scene.masks(result.frame_idx)
            overlaps += [(a & b).sum() / max((a | b).sum(), 1) for a, b in zip(result.masks, gt, strict=True)]
        assert np.mean(overlaps) > 0.9, enabled
