"""A video shared by its objects: parts, their files, and their merge give what one run gives."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampt.config import PromptConfig, ReinitConfig, SamplingConfig, SegmentConfig, TrackingConfig, with_settings
from sampt.errors import ConfigError, OutputError
from sampt.pipeline.segment import PartOfFrame, merge_parts, segment_part, segment_video
from sampt.presets import PRESETS
from sampt.runs.parts import PartFile, write_part
from sampt.segmenters.create import create_segmenter
from sampt.testing import ExactSegmenter, ExactStreamTracker, SceneVideo, crossing_scene
from sampt.testing.clauses import spread_points
from sampt.trackers.create import create_tracker
from sampt.types import FrameMasks, Points, QueryMask
from sampt.video.array import ArrayVideo
from sampt.video.base import CachedVideo
from sampt.video.open import open_video

SHARED = Path(__file__).resolve().parents[3] / "shared"
SCENE = crossing_scene(10)
QUICK = SegmentConfig(
    sampling=SamplingConfig(),
    tracking=TrackingConfig(border_fraction=0),
    prompting=PromptConfig(refinement_steps=1),
    reinit=ReinitConfig(),
)


def on(object_id: int, frame_idx: int) -> Points:
    return Points.of(object_id, frame_idx, spread_points(np.asarray(SCENE.masks(frame_idx)[object_id - 1]), 12))


QUERIES = {
    "clicks on several frames": [on(1, 2), on(2, 6), on(1, 7)],
    "a mask in mid-video and a click": [QueryMask(2, 4, SCENE.masks(4)[1]), on(1, 0)],
}


def assert_equal(found: Sequence[FrameMasks], expected: Sequence[FrameMasks]) -> None:
    for a, b in zip(found, expected, strict=True):
        for name in ("object_ids", "masks", "scores", "states"):
            assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name == "scores"), (a.frame_idx, name)
        for name in ("point_id", "object_id", "is_positive", "xy", "confidence", "hidden_by"):
            assert np.array_equal(getattr(a.points, name), getattr(b.points, name)), (a.frame_idx, name)


def through_files(folder: Path, video: Any, queries: Any, groups: Sequence[Sequence[int]], backends: dict[str, Any]) -> Any:
    for k, group in enumerate(groups):
        write_part(folder / str(k), "run", segment_part(video, queries, group, **backends))
    return list(merge_parts(video, queries, [PartFile(folder / str(k)).frames() for k in range(len(groups))], **backends))


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("settings", [{}, {"protocol": "vos"}, {"overlapping": True}, {"longest_side": 64}])
def test_parts_through_files_give_the_single_runs_results(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    video = CachedVideo(SceneVideo(SCENE), 99)
    if "longest_side" in settings:
        # The exact fakes know frames of one size: the bundled backends do not mind.
        backends: dict[str, Any] = {"tracker": create_tracker("lucas-kanade"), "segmenter": create_segmenter("grabcut")}
    else:
        backends = {"tracker": ExactStreamTracker(SCENE), "segmenter": ExactSegmenter(SCENE)}
    backends["config"] = with_settings(QUICK, settings)
    expected = list(segment_video(video, QUERIES[name], **backends))
    assert any(r.masks.any() for r in expected)
    assert_equal(through_files(tmp_path, video, QUERIES[name], [[1], [2]], backends), expected)


def test_only_the_parts_own_objects_are_asked_about() -> None:
    segmenter = ExactSegmenter(SCENE)
    parts = segment_part(
        CachedVideo(SceneVideo(SCENE), 99),
        [on(1, 0), on(2, 0)],
        [2],
        config=QUICK,
        tracker=ExactStreamTracker(SCENE),
        segmenter=segmenter,
    )
    for part in parts:
        assert [o.object_id for o in part.objects] == [2]
        assert set(part.points.object_id.tolist()) == {2}
    assert {call.object_id for call in segmenter.calls} == {2}
    # Others' points are there all the same, as negatives.
    assert any(not call.is_positive.all() for call in segmenter.calls)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared data is not beside this checkout")
def test_three_dogs_by_the_bundled_networks_are_the_same_to_the_last_bit(tmp_path: Path) -> None:
    folder = SHARED / "davis" / "multi_object" / "dogs-jump"
    clip = next(p for p in sorted(folder.iterdir()) if p.suffix == ".mp4")
    frames = open_video(clip).read(0, 6)
    video = ArrayVideo(frames)
    xy = {1: (120, 120), 2: (220, 120), 3: (330, 120)}
    queries = [Points.of(o, 0, np.array([at], np.float32)) for o, at in xy.items()]
    config = with_settings(PRESETS["default"], {"reinit.enabled": False})
    backends: dict[str, Any] = {"tracker": create_tracker("nano"), "segmenter": create_segmenter("nano"), "config": config}
    expected = list(segment_video(video, queries, **backends))
    assert_equal(through_files(tmp_path, video, queries, [[1, 3], [2]], backends), expected)


def test_re_initialisation_is_refused() -> None:
    config = replace(QUICK, reinit=replace(QUICK.reinit, enabled=True))
    with pytest.raises(ConfigError, match="cannot be shared by objects, which decide"):
        segment_part(
            SceneVideo(SCENE), on(1, 0), [1], config=config, tracker=ExactStreamTracker(SCENE), segmenter=ExactSegmenter(SCENE)
        )


def frames_of_a_part() -> Iterator[PartOfFrame]:
    backends = {"tracker": ExactStreamTracker(SCENE), "segmenter": ExactSegmenter(SCENE)}
    return segment_part(CachedVideo(SceneVideo(SCENE), 99), [on(1, 0)], [1], config=QUICK, **backends)


def test_a_file_bears_its_name_when_it_is_complete_and_tells_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "1-of-2.part"

    def interrupted() -> Iterator[PartOfFrame]:
        frames = frames_of_a_part()
        yield next(frames)
        assert not path.exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_part(path, "run", interrupted())
    assert not path.exists()
    assert write_part(path, "run", frames_of_a_part()) == SCENE.num_frames
    assert PartFile(path).is_of("run")
    assert not PartFile(path).is_of("another run")
    assert not PartFile(tmp_path / "absent").is_of("run")


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "part"
    write_part(path, "run", frames_of_a_part())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(OutputError, match="delete it and start the batch again"):
        list(PartFile(path).frames())
    path.write_bytes(data[: len(data) // 3])
    with pytest.raises(OutputError, match="delete it and start the batch again"):
        list(PartFile(path).frames())


@pytest.mark.parametrize("case", ["missing", "odd", "none", "not zlib", "short", "deep header"])
def test_a_part_with_the_right_checksum_and_anything_in_it_is_one_line(case: str, tmp_path: Path) -> None:
    def packed(**arrays: Any) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return zlib.compress(buffer.getvalue())

    data = {
        "missing": packed(frame_idx=np.array(0)),
        "odd": packed(frame_idx=np.array("x"), ids=np.zeros(1), sizes=np.zeros((1, 2)), logits=np.zeros(3)),
        "none": zlib.compress(b"not a zip"),
        "not zlib": b"x" * 40,
        "short": b"",
        "deep header": packed(frame_idx=np.array(0)),
    }[case]
    header = b"[" * 100_000 if case == "deep header" else b'{"format": "sampt-part-1", "digest": "d"}'
    path = tmp_path / "1.part"
    path.write_bytes(header + b"\n" + struct.pack("<II", len(data), zlib.crc32(data)) + data)
    assert PartFile(path).is_of("d") == (case != "deep header")
    with pytest.raises(OutputError) as caught:
        list(PartFile(path).frames())
    assert "\n" not in str(caught.value)


def test_a_part_that_unpacks_to_more_than_any_frame_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampt.runs.parts._MAX_FRAME_BYTES", 1 << 16)
    data = zlib.compress(bytes(1 << 24))
    (tmp_path / "p").write_bytes(b"{}\n" + struct.pack("<II", len(data), zlib.crc32(data)) + data)
    tracemalloc.start()
    with pytest.raises(OutputError, match=r"a frame is larger than any"):
        list(PartFile(tmp_path / "p").frames())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
