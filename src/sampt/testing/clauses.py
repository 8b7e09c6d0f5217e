"""What the two contracts share: the error, how clauses are run, and clips with points whose ground truth is known."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar, cast

import cv2
import numpy as np

from sampt.errors import SamptError
from sampt.testing.rendering import Scene, SceneVideo
from sampt.testing.scenes import crossing_scene, leave_and_return_scene, occlusion_scene, slow_scene, static_scene
from sampt.types import BoolArray, FloatArray, Points, QueryMask, Tracks
from sampt.video.base import CachedVideo, SubVideo, Video

__all__ = [
    "Clip",
    "ContractError",
    "contract_scenes",
    "demand",
    "maker",
    "run_clauses",
    "spread_points",
    "watched_random_state",
]

Backend = TypeVar("Backend")
Limits = TypeVar("Limits")


class ContractError(SamptError):
    """A backend breaks its contract.

    Attributes:
        broken: name of each broken clause -> a sentence that says what was got and what was expected. Empty when one clause
            was run by itself; the message is then that sentence.
    """

    def __init__(self, message: str, broken: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.broken = broken or {}


def demand(fulfilled: bool | np.bool_, sentence: str) -> None:
    """Raise :class:`ContractError` with ``sentence`` unless ``fulfilled``."""
    if not fulfilled:
        raise ContractError(sentence)


def run_clauses(
    kind: str,
    clauses: Iterable[tuple[str, Callable[[Backend, Limits], None]]],
    make: Callable[[], Backend],
    limits: Limits,
) -> None:
    """Run all clauses, each on ``make()``, and raise one error that lists those that are broken.

    A backend that raises breaks the clause, whatever it raises: nothing that a clause does is a reason to. The error has the
    first such exception as its cause, so that a traceback leads to the line. What ``make`` raises ends the run: no clause could
    be tried.
    """
    broken: dict[str, str] = {}
    first: Exception | None = None
    for name, clause in clauses:
        backend = make()
        try:
            clause(backend, limits)
        except ContractError as error:
            broken[name] = str(error)
        except Exception as error:
            broken[name] = f"It raised {type(error).__name__}: {error}"
            first = first or error
    if broken:
        listing = "".join(f"\n  {name}: {sentence}" for name, sentence in broken.items())
        raise ContractError(f"The {kind} breaks {len(broken)} clause(s) of its contract:{listing}", broken) from first


def maker(kind: str, backend: Backend | Callable[[], Backend], method: str) -> Callable[[], Backend]:
    """A function that gives the backend: itself when it has ``method``, else what it, a factory, makes.

    Raises:
        ContractError: it is a class; from the function: the factory raises, which is then the cause, or makes something else.
    """
    if isinstance(backend, type):
        name = backend.__name__
        raise ContractError(f"Got the class {name}; expected a {kind}, such as {name}(), or a function that makes one.")
    if hasattr(backend, method):
        return lambda: cast(Backend, backend)
    factory = cast(Callable[[], Backend], backend)

    def make() -> Backend:
        try:
            made = factory()
        except Exception as error:
            raise ContractError(f"The factory of the {kind} raised {type(error).__name__}: {error}") from error
        if isinstance(made, type) or not hasattr(made, method):
            got = f"the class {made.__name__}" if isinstance(made, type) else f"a {type(made).__name__}"
            raise ContractError(f"The factory of the {kind} made {got}; expected an object with {method}().")
        return made

    return make


@contextmanager
def watched_random_state(kind: str) -> Iterator[None]:
    """Demand that what runs inside neither draws from nor seeds numpy's or Python's global random numbers.

    Both are moved on first, so that a seed that was set before shows again, and put back at the end.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 (this very state is watched)
    random.random()  # noqa: S311
    np.random.random_sample()  # noqa: NPY002
    before = random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    try:
        yield
        same = (random.getstate(), repr(np.random.get_state())) == before  # noqa: NPY002
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
    demand(same, f"The {kind} changed a global random state (numpy's or Python's); expected a generator of its own.")


@lru_cache(maxsize=1)
def contract_scenes() -> tuple[Scene, ...]:
    """Every scene that the contracts show a backend; what an exact fake has to know."""
    return (
        slow_scene(),
        crossing_scene(),
        occlusion_scene(),
        leave_and_return_scene(),
        static_scene(),
        static_scene(3, (97, 61), seed=11),
        slow_scene(3, (83, 131), seed=12),
    )


@lru_cache(maxsize=16)
def _cached(scene: Scene) -> Video:
    return CachedVideo(SceneVideo(scene), scene.num_frames)


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames of a contract scene: a window of it, or (with a negative step) time reversed.

    Attributes:
        scene: the scene.
        indices: its frames that are shown, in the order shown.
    """

    scene: Scene
    indices: range

    @classmethod
    def of(cls, name: str, start: int = 0, stop: int | None = None) -> Clip:
        """Frames [start, stop) of the contract scene ``name``."""
        scene = next(s for s in contract_scenes() if s.name == name)
        return cls(scene, range(scene.num_frames)[start:stop])

    @classmethod
    def sized(cls, size_hw: tuple[int, int]) -> Clip:
        """The contract scene of that size."""
        scene = next(s for s in contract_scenes() if s.size_hw == size_hw)
        return cls(scene, range(scene.num_frames))

    @property
    def video(self) -> Video:
        return SubVideo(_cached(self.scene), self.indices)

    @property
    def num_frames(self) -> int:
        return len(self.indices)

    def reversed(self) -> Clip:
        return Clip(self.scene, self.indices[::-1])

    def masks(self, frame_idx: int) -> BoolArray:
        """(m, h, w) of a frame of the clip."""
        return self.scene.masks(self.indices[frame_idx])

    def exact_tracks(self, points: Points) -> Tracks:
        """Exact tracks of points given on frames of the clip."""
        frame_idx = np.array([self.indices[i] for i in points.frame_idx], np.int64)
        exact = self.scene.point_positions(points.with_frames(frame_idx))
        rows = list(self.indices)
        return Tracks(points, exact.xy[rows], exact.visible[rows], exact.confidence[rows], exact.hidden_by[rows])

    def query_masks(self, points: Points) -> list[QueryMask]:
        """The mask of every object of ``points`` on each of its prompt frames, where any of it is visible."""
        wanted = sorted({(int(i), int(o)) for i, o in zip(points.frame_idx, points.object_id, strict=True)})
        masks = [(i, o, self.masks(i)[o - 1]) for i, o in wanted]
        return [QueryMask(o, i, mask) for i, o, mask in masks if mask.any()]

    def object_points(self, object_id: int, count: int, frame_idx: int = 0) -> Points:
        """``count`` points well inside the visible part of an object."""
        return Points.of(object_id, frame_idx, spread_points(np.asarray(self.masks(frame_idx)[object_id - 1]), count))


def spread_points(mask: BoolArray, count: int, margin_px: float = 3.0) -> FloatArray:
    """``count`` different pixels (n, 2) of a mask, far from each other and, where it can be, from the mask's edge."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    rows, columns = np.nonzero(mask & (depth >= min(margin_px, float(depth.max()))))
    xy = np.stack([columns, rows], -1).astype(np.float32)
    chosen = [int(depth[rows, columns].argmax())]
    while len(chosen) < min(count, len(xy)):
        away = np.linalg.norm(xy[:, None] - xy[chosen][None], axis=-1).min(1)
        chosen.append(int(away.argmax()))
    return xy[chosen]
