"""A workbench for sessions: scenes as folders of images, exact backends that count what they are prompted, exact masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sampt.config import PromptConfig, ReinitConfig, SamplingConfig, SegmentConfig
from sampt.segmenters.base import SegmenterView
from sampt.session import FrameUpdate, Session
from sampt.testing import ExactSegmenter, ExactTracker, Scene, crossing_scene, occlusion_scene, slow_scene, static_scene
from sampt.testing.fakes import FrameFinder
from sampt.trackers.base import FrameSource
from sampt.types import Points, QueryMask, Tracks, UInt8Array

STEADY = SegmentConfig(
    sampling=SamplingConfig(positive_points=4, negative_points=1),
    prompting=PromptConfig(positives_first=False, refinement_steps=0, iou_threshold=0.5),
    reinit=ReinitConfig(),
)
RENEWED = SegmentConfig(
    sampling=SamplingConfig(positive_points=6, negative_points=2, expand_clicks=True),
    prompting=STEADY.prompting,
    reinit=ReinitConfig(enabled=True, variant="on-horizon-and-sync", horizon=6, tracker_horizon=8, keep_queries=True),
)


class CountingTracker(ExactTracker):
    """Exact, and notes for every call which objects it tracked along which frames, in the order of the call."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._looked_up = FrameFinder([scene])
        self.calls: list[tuple[tuple[int, ...], list[int]]] = []

    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        frames = [self._looked_up.find(frame)[1] for frame in video.read(0, video.num_frames)]
        self.calls.append((points.object_ids, frames))
        return super().track(video, points, query_masks)

    def find_frames(self, object_id: int) -> list[int]:
        """Frames along which an object was tracked, ascending, as often as it was."""
        return sorted(f for ids, frames in self.calls if object_id in ids for f in frames)


class CountingSegmenter(SegmenterView):
    """Exact, and notes every frame that it encodes."""

    segmenter: ExactSegmenter

    def __init__(self, scene: Scene, **settings: Any) -> None:
        super().__init__(ExactSegmenter(scene, **settings))
        self.encoded: list[int] = []

    def encode(self, frames: UInt8Array) -> Sequence[Any]:
        found = self.segmenter.encode(frames)
        self.encoded += [frame_idx for _, frame_idx in found]
        return found

    def prompted(self, object_id: int) -> list[int]:
        """Frames on which an object was prompted for, ascending, as often as it was."""
        return sorted(c.frame_idx for c in self.segmenter.calls if c.object_id == object_id)

    def forget(self) -> None:
        self.segmenter.calls.clear()
        self.encoded.clear()


class Bench:
    """A scene as a folder of images, its exact backends, and sessions about it.

    Attributes:
        folder: everything is in there.
        frames: the folder of images.
    """

    def __init__(self, folder: Path, scene: Scene, config: SegmentConfig = STEADY) -> None:
        for name in ("frame", "masks"):
            setattr(scene, name, lru_cache(maxsize=None)(getattr(scene, name)))
        self.folder, self.scene, self.config = folder, scene, config
        self.frames, self.project = folder / "frames", folder / "clip.sampt"
        self.frames.mkdir(parents=True)
        for i in range(scene.num_frames):
            cv2.imwrite(str(self.frames / f"{i:04d}.png"), scene.frame(i)[..., ::-1])
        self.tracker, self.segmenter = CountingTracker(scene), CountingSegmenter(scene)
        self._opened: list[Session] = []

    def create(self, **changes: Any) -> Session:
        settings = {"config": self.config, "tracker": self.tracker, "segmenter": self.segmenter} | changes
        project = settings.pop("project", self.project)
        return self._noted(Session.create(settings.pop("video", self.frames), project, **settings))

    def open(self, project: Path | None = None, **changes: Any) -> Session:
        settings = {"tracker": self.tracker, "segmenter": self.segmenter} | changes
        return self._noted(Session.open(project or self.project, **settings))

    def close(self) -> None:
        for session in self._opened:
            session.close()

    def centre(self, scene_object: int, frame_idx: int) -> tuple[float, float]:
        """A location on an object of the scene: the one deepest inside its mask."""
        depth = cv2.distanceTransform(self.scene.masks(frame_idx)[scene_object - 1].astype(np.uint8), cv2.DIST_L2, 5)
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        return float(x), float(y)

    def click(self, session: Session, object_id: int, frame_idx: int, scene_object: int, is_positive: bool = True) -> int:
        """Click on an object of the scene, and give the point's id."""
        return session.add_point(object_id, frame_idx, self.centre(scene_object, frame_idx), is_positive).point_id

    def check_exact(self, session: Session, object_id: int, scene_object: int, frames: Iterable[int]) -> None:
        """The object's results on ``frames`` are there, good, and to the pixel those of an object of the scene."""
        for frame_idx in frames:
            found = session.results(frame_idx, [object_id])[object_id]
            assert not found.is_stale, frame_idx
            expected = self.scene.masks(frame_idx)[scene_object - 1]
            np.testing.assert_array_equal(found.mask(session.size_hw), expected, err_msg=f"frame {frame_idx}")

    def forget(self) -> None:
        """Count from here on."""
        self.tracker.calls.clear()
        self.segmenter.forget()

    def _noted(self, session: Session) -> Session:
        self._opened.append(session)
        return session


_SCENES: dict[str, Callable[[int], Scene]] = {
    "slow": lambda n: slow_scene(n),
    "crossing": lambda n: crossing_scene(n),
    "static": lambda n: static_scene(n),
    "occlusion": lambda n: occlusion_scene(n),
}


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes benches: the name of a scene, its number of frames, the settings."""
    made: list[Bench] = []

    def make(name: str = "slow", num_frames: int = 40, config: SegmentConfig = STEADY) -> Bench:
        made.append(Bench(tmp_path / f"bench{len(made)}", _SCENES[name](num_frames), config))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """Two objects that move slowly apart from each other over 40 frames; points are tracked without renewal."""
    return make_bench()


@pytest.fixture
def renewed_bench(make_bench: Callable[..., Bench]) -> Bench:
    """The same, with points that are renewed every few frames."""
    return make_bench(config=RENEWED)


@pytest.fixture
def pairs() -> Callable[[Iterable[FrameUpdate]], list[tuple[int, int]]]:
    """Object and frame of all results in updates, in order."""
    return lambda updates: [(o, u.frame_idx) for u in updates for o in u.results]


@pytest.fixture
def followed() -> Callable[[Bench], Session]:
    """Makes a session with both objects of a bench's scene, clicked on frame 5, tracked to the end; counts begin."""

    def make(bench: Bench) -> Session:
        session = bench.create()
        for object_id in (1, 2):
            session.add_object()
            bench.click(session, object_id, 5, object_id)
        for _ in session.propagate():
            pass
        bench.forget()
        return session

    return make


@pytest.fixture
def two(bench: Bench, followed: Callable[[Bench], Session]) -> Session:
    """Such a session on 40 frames."""
    return followed(bench)
