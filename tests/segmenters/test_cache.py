"""Embeddings that are kept: what is encoded again, what makes way, and what a folder with anything in it does."""

from __future__ import annotations

import logging
import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampt.errors import BackendError, ConfigError
from sampt.geometry import find_mask_box
from sampt.runs.timing import StageClock, TimedSegmenter
from sampt.segmenters.base import SegmenterInfo, SegmenterView
from sampt.segmenters.cache import CachedSegmenter
from sampt.segmenters.create import create_segmenter
from sampt.segmenters.nano import NanoSegmenter
from sampt.testing.contracts import check_segmenter
from sampt.testing.fakes import ExactSegmenter
from sampt.testing.scenes import crossing_scene
from sampt.types import MaskPrediction, ObjectPrompt

SIZE_HW = (24, 32)
EMBEDDING_BYTES = 24 * 32 * 4


class Brightness:
    """A segmenter whose objects are as bright as the first point; its embedding is the brightness, (h, w) float32."""

    def __init__(self, identity: str = "plain") -> None:
        self.identity = identity
        self.encoded: list[list[int]] = []  # of every call, the top-left pixels of its frames

    @property
    def info(self) -> SegmenterInfo:
        return SegmenterInfo("brightness", "Apache-2.0", None)

    def encode(self, frames: np.ndarray) -> Sequence[np.ndarray]:
        self.encoded.append(frames[:, 0, 0, 0].tolist())
        return [frame.mean(2, dtype=np.float32) for frame in frames]

    def decode(self, embedding: np.ndarray, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        return [self._predict_one(embedding, prompt) for prompt in prompts]

    @staticmethod
    def _predict_one(brightness: np.ndarray, prompt: ObjectPrompt) -> MaskPrediction:
        x, y = prompt.xy[0].astype(int)
        logits = 8 - np.abs(brightness - brightness[y, x])
        return MaskPrediction(prompt.object_id, 1.0, logits, find_mask_box(logits > 0), logits)

    def embedding_bytes(self, embedding: np.ndarray) -> int:
        return embedding.nbytes

    def pack(self, embedding: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"file": embedding, "size/hw": np.array(embedding.shape)}

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        return arrays["file"].reshape(arrays["size/hw"])


def frame_of(value: int) -> np.ndarray:
    """A noisy frame that is recognised by its top-left pixel."""
    frame = np.random.default_rng(value).integers(0, 255, (*SIZE_HW, 3), dtype=np.uint8)
    frame[0, 0] = value
    return frame


def find_frames(*values: int) -> np.ndarray:
    return np.stack([frame_of(value) for value in values])


def encoded_again(cached: CachedSegmenter, *values: int) -> list[int]:
    """Which of the frames a call encodes."""
    segmenter = cached.segmenter
    assert isinstance(segmenter, Brightness)
    before = len(segmenter.encoded)
    found = cached.encode(find_frames(*values))
    for value, embedding in zip(values, found, strict=True):
        assert np.array_equal(embedding, frame_of(value).mean(2, dtype=np.float32))
    return [value for call in segmenter.encoded[before:] for value in call]


@pytest.fixture(scope="module")
def nano() -> NanoSegmenter:
    segmenter = create_segmenter("nano")
    assert isinstance(segmenter, NanoSegmenter)
    return segmenter


def point(x: float, y: float) -> ObjectPrompt:
    return ObjectPrompt(1, np.array([[x, y]], np.float32), np.array([True]))


# Memory


@pytest.mark.parametrize("memory_bytes", [0, 256 << 20])
def test_a_cached_segmenter_keeps_the_contract(nano: NanoSegmenter, memory_bytes: int) -> None:
    check_segmenter(CachedSegmenter(nano, memory_bytes=memory_bytes))


def test_new_frames_of_a_call_are_encoded_together_in_order_and_once() -> None:
    cached = CachedSegmenter(segmenter := Brightness())
    assert encoded_again(cached, 5, 3) == [5, 3]
    assert encoded_again(cached, 9, 3, 7, 9, 5, 1) == [9, 7, 1]
    assert encoded_again(cached, 1, 3, 5, 7, 9) == []
    assert segmenter.encoded == [[5, 3], [9, 7, 1]]
    one, two = cached.encode(find_frames(3, 3))
    assert one is two


def test_equal_bytes_of_another_shape_are_another_frame() -> None:
    cached = CachedSegmenter(segmenter := Brightness())
    wide = find_frames(1)
    for frames in (wide, wide.reshape(1, 32, 24, 3), wide.reshape(1, 48, 16, 3)):
        assert cached.encode(frames)[0].shape == frames.shape[1:3]
    assert len(segmenter.encoded) == 3


def test_a_frame_is_known_by_its_pixels_however_they_lie_in_memory() -> None:
    cached = CachedSegmenter(segmenter := Brightness())
    frames = find_frames(1, 2)
    cached.encode(frames)
    cached.encode(np.asfortranarray(frames))
    cached.encode(np.concatenate([frames, frames], 2)[:, :, :32])
    assert segmenter.encoded == [[1, 2]]
    frames[1, -1, -1, -1] ^= 1
    cached.encode(frames)
    assert segmenter.encoded == [[1, 2], [2]]


def test_what_was_used_longest_ago_makes_way() -> None:
    cached = CachedSegmenter(Brightness(), memory_bytes=3 * EMBEDDING_BYTES + 100)
    encoded_again(cached, 1, 2, 3)
    assert encoded_again(cached, 1) == []
    assert encoded_again(cached, 4) == [4]  # instead of 2
    assert cached.num_bytes == 3 * EMBEDDING_BYTES
    assert encoded_again(cached, 1, 3, 4) == []
    assert encoded_again(cached, 2) == [2]


def test_a_call_with_more_frames_than_fit_answers_all_and_keeps_the_last() -> None:
    cached = CachedSegmenter(Brightness(), memory_bytes=2 * EMBEDDING_BYTES)
    assert encoded_again(cached, *range(6)) == list(range(6))
    assert encoded_again(cached, 4, 5) == []


def test_what_is_too_large_by_itself_is_not_kept_and_drives_nothing_out() -> None:
    cached = CachedSegmenter(segmenter := Brightness(), memory_bytes=2 * EMBEDDING_BYTES)
    encoded_again(cached, 1, 2)
    large = np.zeros((1, 3 * 24, 32, 3), np.uint8)
    for _ in range(2):
        cached.encode(large)
    assert segmenter.encoded == [[1, 2], [0], [0]]
    assert encoded_again(cached, 1, 2) == []


def test_of_unknown_size_four_are_kept() -> None:
    scene = crossing_scene(6)
    frames = np.stack([scene.frame(i) for i in range(6)])
    calls: list[int] = []

    class Counting(SegmenterView):
        def encode(self, frames: np.ndarray) -> Sequence[Any]:
            calls.append(len(frames))
            return self.segmenter.encode(frames)

    cached = CachedSegmenter(Counting(ExactSegmenter(scene)), memory_bytes=1000)
    assert cached.encode(frames) == [(0, i) for i in range(6)]
    cached.encode(frames[2:])
    assert calls == [6]
    cached.encode(frames[1:2])
    assert calls == [6, 1]
    nothing = CachedSegmenter(ExactSegmenter(scene), memory_bytes=0)
    nothing.encode(frames)
    assert nothing.num_bytes == 0


def test_an_embedding_that_grows_beyond_the_room_is_dropped(nano: NanoSegmenter) -> None:
    frames = find_frames(1, 2)
    frame_bytes = frames[0].nbytes
    cached = CachedSegmenter(TimedSegmenter(nano, StageClock()), memory_bytes=3 * frame_bytes)
    one, two = cached.encode(frames)
    assert cached.num_bytes == 2 * frame_bytes
    cached.decode(two, [point(16, 12)])
    assert nano.embedding_bytes(two) > 3 * frame_bytes
    assert cached.num_bytes == frame_bytes
    assert cached.encode(frames)[0] is one
    assert cached.encode(frames)[1] is not two


def test_the_bundled_segmenter_counts_all_that_an_embedding_keeps_alive(nano: NanoSegmenter) -> None:
    frames = find_frames(1, 2, 3)
    one = nano.encode(frames)[0]
    assert nano.embedding_bytes(one) == frames[0].nbytes
    assert one.frame.base is None  # and not the neighbours
    nano.decode(one, [point(16, 12)])
    total = frames[0].nbytes + sum(part.nbytes for level in one.levels.values() for part in level)
    assert nano.embedding_bytes(one) == total


def test_kept_embeddings_do_not_change_with_the_caller_s_array(nano: NanoSegmenter) -> None:
    frames = find_frames(1)
    context = [point(16, 12)]
    expected = nano.decode(nano.encode(frames)[0], context)[0].logits
    cached = CachedSegmenter(nano)
    memory = frames.copy()
    cached.encode(memory)
    memory[:] = 0  # a camera's buffer, used again
    prediction = cached.decode(cached.encode(frames)[0], context)[0].logits
    assert expected is not None
    assert np.array_equal(prediction, expected)


def test_threads_that_ask_for_the_same_frames_get_the_same_embeddings() -> None:
    cached = CachedSegmenter(segmenter := Brightness())
    frames = find_frames(*range(8))
    with ThreadPoolExecutor(4) as workers:
        results = list(workers.map(lambda _: cached.encode(frames), range(8)))
    assert segmenter.encoded == [list(range(8))]
    assert all(a is b for result in results for a, b in zip(result, results[0], strict=True))


# Disk


def on_disk(folder: Path, identity: str = "plain", **more: Any) -> CachedSegmenter:
    """As another process would make it."""
    return CachedSegmenter(Brightness(identity), folder=folder, **more)


def test_others_with_the_same_identity_find_embeddings_on_disk(tmp_path: Path) -> None:
    assert encoded_again(on_disk(tmp_path / "a" / "b"), 1, 2) == [1, 2]
    cached = on_disk(tmp_path / "a" / "b")
    assert encoded_again(cached, 2, 3, 1) == [3]
    assert encoded_again(on_disk(tmp_path / "a" / "b", "half precision"), 1) == [1]
    assert encoded_again(on_disk(tmp_path / "a" / "b"), 1, 2, 3) == []
    expected = Brightness().decode(Brightness().encode(find_frames(1))[0], [point(3, 4)])[0]
    prediction = cached.decode(cached.encode(find_frames(1))[0], [point(3, 4)])[0]
    assert np.array_equal(prediction.low_res_logits, expected.low_res_logits)
    assert not list(tmp_path.rglob("*.partial"))


def test_what_memory_forgot_comes_back_from_disk(tmp_path: Path) -> None:
    cached = on_disk(tmp_path, memory_bytes=EMBEDDING_BYTES)
    encoded_again(cached, *range(5))
    assert encoded_again(cached, *range(5)) == []
    assert cached.num_bytes == EMBEDDING_BYTES


def flip(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 0x55
    path.write_bytes(data)


def save_objects(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, key=np.array([{}], dtype=object))


BREAK: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: os.truncate(path, path.stat().st_size // 2),
    "end cut off": lambda path: os.truncate(path, path.stat().st_size - 1),
    "a bit wrong": lambda path: flip(path, 0.5),
    "wrong head": lambda path: flip(path, 0.0),
    "text": lambda path: path.write_text("not mine"),
    "one array": lambda path: np.save(path.open("wb"), np.arange(3)),
    "pickled": save_objects,
    "other arrays": lambda path: np.savez(path.open("wb"), a=np.arange(3)),
    "other frame": lambda path: path.write_bytes(next(p for p in path.parent.iterdir() if p != path).read_bytes()),
}


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # of the lambdas above
@pytest.mark.parametrize("how", BREAK)
def test_a_file_that_is_no_good_is_replaced(tmp_path: Path, how: str) -> None:
    encoded_again(on_disk(tmp_path), 1)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    encoded_again(on_disk(tmp_path), 2)
    BREAK[how](path)
    assert path.read_bytes() != good
    assert encoded_again(on_disk(tmp_path), 1) == [1]
    assert encoded_again(on_disk(tmp_path), 1) == []
    assert len(list(tmp_path.iterdir())) == 2


def test_every_flipped_byte_is_noticed_or_does_no_harm(tmp_path: Path) -> None:
    encoded_again(on_disk(tmp_path), 1)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    for at in np.linspace(0, 1, 97, endpoint=False):
        path.write_bytes(good)
        flip(path, float(at))
        encoded_again(on_disk(tmp_path), 1)  # compares the embeddings


def test_in_the_folder_the_files_used_longest_ago_make_way(tmp_path: Path) -> None:
    encoded_again(on_disk(tmp_path), 1)
    size = next(tmp_path.iterdir()).stat().st_size
    own = [tmp_path / "mine.npz", tmp_path / f"sampt-{'0' * 31}.npz", tmp_path / "sampt-notes.txt"]
    for path in own:
        path.write_bytes(bytes(9 * size))
    room = 3 * size + 100
    encoded_again(on_disk(tmp_path, disk_bytes=room), 2, 3)
    assert encoded_again(on_disk(tmp_path), 1) == []
    encoded_again(on_disk(tmp_path, disk_bytes=room), 4)  # instead of 2
    assert len(list(tmp_path.iterdir())) == 3 + len(own)
    assert encoded_again(on_disk(tmp_path, disk_bytes=room), 1, 3, 4) == []
    assert all(path.exists() for path in own)
    assert encoded_again(on_disk(tmp_path, disk_bytes=size - 1), 2) == [2]  # too large by itself: nothing makes way
    assert encoded_again(on_disk(tmp_path), 1, 3, 4) == []


def test_only_old_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    old, fresh = (tmp_path / f"sampt-{'a' * 32}.npz.{pid}.partial" for pid in (1, 2))
    for path, age_s in ((old, 7200), (fresh, 10)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age_s,) * 2)
    encoded_again(on_disk(tmp_path, disk_bytes=EMBEDDING_BYTES + 4000), 1, 2)
    assert not old.exists()
    assert fresh.exists()


@contextmanager
def no_room() -> Iterator[None]:
    """No file may grow beyond a few bytes: writing fails as on a full disk. No fixture: pytest may report to a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_once_and_leaves_nothing_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cached = on_disk(tmp_path)
    with no_room():
        first, second = encoded_again(cached, 1, 2), encoded_again(cached, 3, 1)
    assert (first, second) == ([1, 2], [3])
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"No further embeddings are kept in {tmp_path} (File too large)" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    cached = on_disk(tmp_path / "file" / "folder")
    assert encoded_again(cached, 1) == [1]
    assert encoded_again(cached, 2, 1) == [2]
    assert len(caplog.records) == 1


# Mistakes


def test_a_segmenter_that_cannot_write_embeddings_down_gets_no_folder(nano: NanoSegmenter, tmp_path: Path) -> None:
    for segmenter in (nano, TimedSegmenter(nano, StageClock())):
        with pytest.raises(
            BackendError, match=r"'nano' cannot keep embeddings in a folder, '.*' was given; leave the folder out"
        ):
            CachedSegmenter(segmenter, folder=tmp_path)
    timed = TimedSegmenter(Brightness(), StageClock())
    CachedSegmenter(timed, folder=tmp_path).encode(find_frames(1))
    assert encoded_again(on_disk(tmp_path), 1) == []


@pytest.mark.parametrize("name", ["memory_bytes", "disk_bytes"])
def test_room_is_not_negative(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is -1; expected a number of bytes of at least 0"):
        CachedSegmenter(Brightness(), **{name: -1})  # type: ignore[arg-type]


def test_objects_are_not_written(tmp_path: Path) -> None:
    class Careless(Brightness):
        def pack(self, embedding: np.ndarray) -> Mapping[str, np.ndarray]:
            return {"a": np.array([self], dtype=object)}

    with pytest.raises(BackendError, match=r"pack\(\) gave 'a' as Python objects"):
        CachedSegmenter(Careless(), folder=tmp_path).encode(find_frames(1))
