"""The contract of a point tracker, clause by clause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sampt.geometry import inside_frame
from sampt.testing.clauses import Clip, demand, maker, run_clauses, watched_random_state
from sampt.trackers.base import FrameSource, PointTracker, TrackerInfo, TrackStep, start_streaming
from sampt.types import HiddenBy, Points, Tracks, UInt8Array

__all__ = ["TRACKER_CLAUSES", "TrackerClause", "TrackerLimits", "check_tracker"]


@dataclass(frozen=True)
class TrackerLimits:
    """How well a tracker has to do.

    Attributes:
        exact_tolerance_px: median distance from the exact tracks on slow motion that is still tracking; None leaves out every
            clause part that measures accuracy (for random weights).
        min_visible_accuracy: fraction of (frame, point) pairs on slow motion that must be called visible or hidden rightly.
        same_px: two tracks that should be the same may differ by this much.
        reversed_px: median distance between the tracks of a clip and of its time-reversed copy.
        min_hidden_outside: fraction of (frame, point) pairs outside the frame that must be called hidden. Low, because chained
            optical flow may take a point that reaches the border for the background there.
    """

    exact_tolerance_px: float | None = 2.0
    min_visible_accuracy: float = 0.7
    same_px: float = 0.05
    reversed_px: float = 2.0
    min_hidden_outside: float = 0.3


_DEFAULT = TrackerLimits()
TrackerClause = Callable[[PointTracker, TrackerLimits], None]


def one_frame_video(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """A clip of one frame gives every point back where it is."""
    clip = Clip.of("slow", 0, 1)
    points = clip.object_points(1, 4)
    tracks = _track(tracker, clip, points)
    _demand_queries_hold(tracks, "in a clip of one frame")


def non_square_video(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """A frame that is higher than wide and has odd sides is tracked like any other; x and y are not mixed up."""
    clip = Clip.sized((97, 61))
    points = Points.concat([clip.object_points(1, 4), clip.object_points(2, 4), Points.of(1, 0, [[30, 90]], False)])
    tracks = _track(tracker, clip, points)
    _demand_tracking(tracks, clip.exact_tracks(points), limits, "on a still frame of 97 rows and 61 columns")


def point_on_the_edge(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """Points on the first and last row and column are tracked, and visible where they were given."""
    clip = Clip.of("static", 0, 4)
    h, w = clip.scene.size_hw
    edge = [[w // 2, 0], [0, h // 2], [w - 1, h // 2], [w // 2, h - 1], [0, 0], [w - 1, h - 1]]
    _demand_queries_hold(_track(tracker, clip, Points.of(1, 0, edge)), "for points on the frame's edge")
    _demand_queries_hold(_track(tracker, clip, Points.of(1, 2, edge)), "for points on the frame's edge in mid-clip")


def query_point_holds(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """On its prompt frame a point is visible at its own location, also when locations are not whole pixels."""
    clip = Clip.of("crossing")
    parts = [Points.of(1, i, [[20.25 + i, 30.75], [60.5, 20.125 + i]]) for i in (0, 5, clip.num_frames - 1)]
    _demand_queries_hold(_track(tracker, clip, Points.concat(parts)), "for points given on several frames")


def no_points(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """No points give tracks of all frames and no points."""
    _track(tracker, Clip.of("slow", 0, 4), Points.concat([]))


def still_video(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """When nothing moves, points stay."""
    clip = Clip.of("static", 0, 6)
    points = Points.concat([clip.object_points(1, 5), clip.object_points(2, 5)])
    _demand_tracking(_track(tracker, clip, points), clip.exact_tracks(points), limits, "when nothing moves")


def slow_motion(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """Slow motion is tracked."""
    clip = Clip.of("slow")
    points = Points.concat([clip.object_points(1, 8), clip.object_points(2, 8)])
    _demand_tracking(_track(tracker, clip, points), clip.exact_tracks(points), limits, "on slow motion")


def bidirectional(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """A point given in mid-clip is tracked to the end and to the start."""
    clip = Clip.of("slow")
    middle = clip.num_frames // 2
    points = Points.concat([clip.object_points(1, 6, middle), clip.object_points(2, 6, middle)])
    tracks, exact_tracks = _track(tracker, clip, points), clip.exact_tracks(points)
    for name, rows in (("before", slice(0, middle)), ("after", slice(middle + 1, None))):
        demand(
            not (tracks.hidden_by[rows] == HiddenBy.NOT_TRACKED).any(),
            f"Points given on frame {middle} are not tracked on all frames {name} it; expected the whole clip.",
        )
        if limits.exact_tolerance_px is not None:
            _demand_close(tracks, exact_tracks, rows, limits.exact_tolerance_px, f"on the frames {name} the prompt frame")


def object_leaves_and_returns(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """Points of an object that is outside the frame are hidden, with finite locations."""
    clip = Clip.of("leave-and-return")
    points = clip.object_points(1, 6)
    tracks, exact_tracks = _track(tracker, clip, points), clip.exact_tracks(points)
    h, w = clip.scene.size_hw
    strays = int((tracks.visible & ~inside_frame(tracks.xy, (h, w))).sum())
    demand(strays == 0, f"{strays} (frame, point) pairs are visible at a location outside the frame; expected them hidden.")
    outside = ((exact_tracks.xy < -3) | (exact_tracks.xy > np.array([w + 2, h + 2]))).any(-1)
    hidden = float((~tracks.visible[outside]).mean())
    demand(
        limits.exact_tolerance_px is None or hidden >= limits.min_hidden_outside,
        f"Only {hidden:.0%} of the points outside the frame are hidden; expected {limits.min_hidden_outside:.0%}.",
    )


def object_fully_hidden(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """An object that no frame shows for a while gives finite tracks (a point given before, and one given after)."""
    clip = Clip.of("occlusion")
    _track(tracker, clip, Points.concat([clip.object_points(1, 4), clip.object_points(1, 4, clip.num_frames - 1)]))


def objects_cross(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """When two objects cross, points on the front one stay on it."""
    clip = Clip.of("crossing")
    points = Points.concat([clip.object_points(2, 8), clip.object_points(1, 8)])
    tracks = _track(tracker, clip, points)
    if limits.exact_tolerance_px is not None:
        front = np.arange(8)
        tolerance = 1.5 * limits.exact_tolerance_px
        _demand_close(
            _columns(tracks, front), _columns(clip.exact_tracks(points), front), slice(None), tolerance, "on a front object"
        )


def order_does_not_matter(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """The same points in another order give the same tracks in that order."""
    clip, points = _mixed_points()
    order = np.random.default_rng(0).permutation(len(points))
    first, second = _track(tracker, clip, points), _track(tracker, clip, points.select(order))
    _demand_same(_columns(first, order), second, limits, "after the points were put in another order")


def duplicates_agree(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """A point that is given twice has one track."""
    clip, points = _mixed_points()
    n = len(points)
    tracks = _track(tracker, clip, Points.concat([points, points]))
    _demand_same(
        _columns(tracks, np.arange(n)), _columns(tracks, np.arange(n, 2 * n)), limits, "between a point and its duplicate"
    )


def points_are_independent(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """Unless ``info.is_joint``, a point's track is the same with and without other points."""
    if tracker.info.is_joint:
        return
    clip, points = _mixed_points()
    some = np.arange(0, len(points), 3)
    alone = _track(tracker, clip, points.select(some))
    among = _columns(_track(tracker, clip, points), some)
    _demand_same(among, alone, limits, "without the other points (and info.is_joint is False)")


def reversed_video(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """The time-reversed clip gives the reversed tracks."""
    clip, points = _mixed_points()
    back = points.with_frames(clip.num_frames - 1 - points.frame_idx)
    forward, backward = _track(tracker, clip, points), _track(tracker, clip.reversed(), back)
    both = forward.visible & backward.visible[::-1]
    distance = np.linalg.norm(forward.xy - backward.xy[::-1], axis=-1)[both]
    demand(
        distance.size > 0 and float(np.median(distance)) <= limits.reversed_px,
        f"Tracks of the time-reversed clip are {_median(distance):.2f} px (median) from the reversed tracks; expected at most"
        f" {limits.reversed_px} px.",
    )


def runs_repeat(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """A second run, after a run on another clip, gives the same tracks: a tracker keeps no state."""
    clip, points = _mixed_points()
    first = _track(tracker, clip, points)
    other = Clip.of("occlusion", 0, 6)
    _track(tracker, other, other.object_points(1, 3))
    _demand_same(first, _track(tracker, clip, points), limits, "in a second run on the same clip")


def video_is_left_alone(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """The frames that a video hands out are not written to."""
    clip = Clip.of("slow", 0, 5)
    points = clip.object_points(1, 3)
    shared = _SharedFrames(clip.video.read(0, clip.num_frames))
    kept = shared.frames.copy()
    tracker.track(shared, points, clip.query_masks(points) if tracker.info.needs_masks else None)
    demand(np.array_equal(shared.frames, kept), "The tracker wrote into the frames that it had read; expected them unchanged.")


def global_random_state_is_left_alone(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """Neither numpy's nor Python's global random numbers are drawn from or seeded."""
    clip = Clip.of("slow", 0, 5)
    with watched_random_state("tracker"):
        _track(tracker, clip, clip.object_points(1, 3))


def causal_needs_no_later_frame(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """With ``info.is_causal``: later frames change nothing on earlier ones."""
    if not tracker.info.is_causal:
        return
    clip = Clip.of("slow")
    half = Clip.of("slow", 0, clip.num_frames // 2)
    points = Points.concat([clip.object_points(1, 4), clip.object_points(2, 4, 2)])
    start = _rows(_track(tracker, clip, points), slice(0, half.num_frames))
    _demand_same(start, _track(tracker, half, points), limits, "when later frames are cut off")


def streaming_results_are_those_of_track(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """With ``info.streaming_latency``: results of ``start()`` come within it, and equal ``track()`` from each prompt on."""
    latency = tracker.info.streaming_latency
    if latency is None or tracker.info.needs_masks:
        return
    demand(
        hasattr(tracker, "start") or (tracker.info.is_causal and hasattr(tracker, "stream")),
        "info says that frames may be streamed, but there is no start() and no stream(); expected a StreamingTracker.",
    )
    clip = Clip.of("slow")
    points = Points.concat([clip.object_points(1, 4), clip.object_points(2, 4, 2)])
    whole = _track(tracker, clip, points)
    stream, steps = start_streaming(tracker, points), list[TrackStep]()
    for i in range(clip.num_frames):
        steps += stream.push(clip.video.read(i, i + 1))
        demand(
            i - latency < len(steps) <= i + 1,
            f"{len(steps)} frames have come out of start() after {i + 1} were pushed; expected all but the last {latency}.",
        )
    steps += stream.finish()
    demand(len(steps) == clip.num_frames, f"{len(steps)} frames came out of start(); expected {clip.num_frames}.")
    for frame_idx, step in enumerate(steps):
        begun = points.frame_idx <= frame_idx
        distance = np.abs(step.xy - whole.xy[frame_idx])[begun].max(initial=0)
        demand(
            distance <= limits.same_px and np.array_equal(step.visible, whole.visible[frame_idx] & begun),
            f"start() and track() differ on frame {frame_idx} by {distance:.3f} px or in what is visible; expected the same.",
        )


def info_is_complete(tracker: PointTracker, limits: TrackerLimits = _DEFAULT) -> None:
    """``info`` is a TrackerInfo with a name and the code's licence."""
    info = tracker.info
    demand(isinstance(info, TrackerInfo), f"info is a {type(info).__name__}; expected a TrackerInfo.")
    named = f"name={info.name!r}, license_code={info.license_code!r}"
    demand(bool(info.name and info.license_code), f"info has {named}; expected both.")


TRACKER_CLAUSES: tuple[tuple[str, TrackerClause], ...] = tuple(
    (clause.__name__, clause)
    for clause in (
        info_is_complete,
        one_frame_video,
        non_square_video,
        point_on_the_edge,
        query_point_holds,
        no_points,
        still_video,
        slow_motion,
        bidirectional,
        object_leaves_and_returns,
        object_fully_hidden,
        objects_cross,
        order_does_not_matter,
        duplicates_agree,
        points_are_independent,
        reversed_video,
        runs_repeat,
        video_is_left_alone,
        global_random_state_is_left_alone,
        causal_needs_no_later_frame,
        streaming_results_are_those_of_track,
    )
)
"""Name and function of every clause; ``function(tracker)`` raises ContractError when the clause is broken."""


def check_tracker(
    tracker: PointTracker | Callable[[], PointTracker],
    *,
    exact_tolerance_px: float | None = 2.0,
    min_visible_accuracy: float = 0.7,
) -> None:
    """Hold a tracker against every clause of the contract.

    Args:
        tracker: a tracker, or a function that makes a fresh one for each clause.
        exact_tolerance_px: see :class:`TrackerLimits`; None for a tracker with random weights.
        min_visible_accuracy: see :class:`TrackerLimits`.

    Raises:
        ContractError: with a sentence for every broken clause; or there is none to try, for its factory is broken or a class.
    """
    limits = TrackerLimits(exact_tolerance_px, min_visible_accuracy)
    run_clauses("tracker", TRACKER_CLAUSES, maker("tracker", tracker, "track"), limits)


class _SharedFrames:
    """A source that hands out its own memory, so that writes to it show."""

    def __init__(self, frames: UInt8Array) -> None:
        self.frames = frames
        self.num_frames = len(frames)
        self.size_hw = (int(frames.shape[1]), int(frames.shape[2]))

    def read(self, start: int, stop: int) -> UInt8Array:
        return self.frames[start:stop]


def _mixed_points() -> tuple[Clip, Points]:
    """Nine points of two objects and three prompt frames, positive and negative, on slow motion."""
    clip = Clip.of("slow")
    parts = [clip.object_points(1, 3), clip.object_points(2, 3, 4), clip.object_points(1, 2, clip.num_frames - 1)]
    return clip, Points.concat([*parts, Points.of(2, 4, [[48, 8]], False)])


def _track(tracker: PointTracker, clip: Clip, points: Points) -> Tracks:
    """Track, and demand what every result has to be."""
    source: FrameSource = clip.video
    tracks = tracker.track(source, points, clip.query_masks(points) if tracker.info.needs_masks else None)
    demand(isinstance(tracks, Tracks), f"track() returned a {type(tracks).__name__}; expected Tracks.")
    shape = tracks.visible.shape
    expected = (clip.num_frames, len(points))
    demand(shape == expected, f"Tracks have (frames, points) = {shape}; expected {expected}.")
    for name in ("xy", "frame_idx", "object_id", "is_positive"):
        same = np.array_equal(getattr(tracks.points, name), getattr(points, name))
        demand(same, f"Tracks.points.{name} is not that of the points given; expected the same points in the same order.")
    low, high = float(tracks.confidence.min(initial=0)), float(tracks.confidence.max(initial=0))
    demand(low >= 0 and high <= 1, f"Confidence reaches from {low} to {high}; expected 0 to 1.")
    return tracks


def _demand_queries_hold(tracks: Tracks, where: str) -> None:
    own = (tracks.points.frame_idx, np.arange(len(tracks.points)))
    moved = float(np.abs(tracks.xy[own] - tracks.points.xy).max(initial=0))
    demand(moved <= 1e-3, f"A point is {moved:.3f} px from its location on its own prompt frame {where}; expected 0.")
    hidden = int((~tracks.visible[own]).sum())
    demand(hidden == 0, f"{hidden} of {len(tracks.points)} points are hidden on their own prompt frame {where}; expected none.")


def _demand_tracking(tracks: Tracks, exact_tracks: Tracks, limits: TrackerLimits, where: str) -> None:
    _demand_queries_hold(tracks, where)
    if limits.exact_tolerance_px is None:
        return
    right = float((tracks.visible == exact_tracks.visible).mean())
    demand(
        right >= limits.min_visible_accuracy,
        f"{right:.0%} of the points are rightly called visible or hidden {where}; expected {limits.min_visible_accuracy:.0%}.",
    )
    _demand_close(tracks, exact_tracks, slice(None), limits.exact_tolerance_px, where)


def _demand_close(tracks: Tracks, exact_tracks: Tracks, rows: slice, tolerance_px: float, where: str) -> None:
    """The median error over what both call visible, prompt frames left out, is at most ``tolerance_px``."""
    counted = tracks.visible & exact_tracks.visible
    counted[exact_tracks.points.frame_idx, np.arange(len(exact_tracks.points))] = False
    distance = np.linalg.norm(tracks.xy - exact_tracks.xy, axis=-1)[rows][counted[rows]]
    demand(distance.size > 0, f"No point is called visible {where}; expected most of them.")
    demand(
        _median(distance) <= tolerance_px,
        f"Points are {_median(distance):.2f} px (median) from the exact tracks {where}; expected at most {tolerance_px} px.",
    )


def _demand_same(first: Tracks, second: Tracks, limits: TrackerLimits, when: str) -> None:
    distance = float(np.abs(first.xy - second.xy).max(initial=0))
    limit = limits.same_px
    demand(distance <= limit, f"Tracks differ by up to {distance:.3f} px {when}; expected at most {limit} px.")
    changed = float((first.visible != second.visible).mean())
    demand(changed <= 0.02, f"{changed:.0%} of the points are visible in one and hidden in the other {when}; expected none.")


def _columns(tracks: Tracks, index: np.ndarray) -> Tracks:
    points = tracks.points.select(index)
    return Tracks(
        points, tracks.xy[:, index], tracks.visible[:, index], tracks.confidence[:, index], tracks.hidden_by[:, index]
    )


def _rows(tracks: Tracks, rows: slice) -> Tracks:
    return Tracks(tracks.points, tracks.xy[rows], tracks.visible[rows], tracks.confidence[rows], tracks.hidden_by[rows])


def _median(distance: np.ndarray) -> float:
    return float(np.median(distance)) if distance.size else float("nan")
