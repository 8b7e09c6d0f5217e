"""Which frames belong to which prompt frame, what they were made from, and what has to be computed.

A prompt frame of an object is one with a mask, a box, a positive click, or a click on what was carried there, and one from
which on a person said that it is absent. Every frame belongs to the nearest prompt frame, ties to the earlier; but the frames
from an absence to the next prompt frame are the absence's, and nothing is computed there. A mask without a pixel says
something of its own frame alone: the others are propagated through it. A result is good when it was made from what its
frame's prompt frame says now (:attr:`PromptFrame.digest`), or when a person has marked it good. So an edit invalidates, of
its object alone:

- at a prompt frame: the frames that belong to it;
- a new prompt frame: those that now belong to it, up to the middles towards its neighbours;
- a prompt frame taken away: those that belonged to it, which fall to its neighbours;
- a negative click on a frame that is no prompt frame, names and colours: nothing.

And all results depend on the video, the settings and the backends (:func:`settings_digest`).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sampt.config import SegmentConfig, flatten_settings, with_settings
from sampt.errors import ConfigError
from sampt.masks.rle import code_runs
from sampt.session.edits import Inputs
from sampt.session.project import ProjectFile
from sampt.session.types import Carried, Click, MaskInput
from sampt.types import IntArray
from sampt.weights import weights_identity

__all__ = [
    "ObjectPlan",
    "PromptFrame",
    "Span",
    "checked_config",
    "list_ranges",
    "plan_object",
    "plan_spans",
    "session_settings",
    "settings_digest",
]

_DIGEST_BYTES = 16
_EMPTY_CHARS = 16
"""A mask without a pixel has one number for a code, which is shorter than this."""
_ALONE = {"prompting.other_objects_as_negatives": False, "tracking.group_size": 1}
"""Settings under which objects do not influence each other."""


@dataclass(frozen=True)
class PromptFrame:
    """What was said about an object on one of its prompt frames.

    Attributes:
        frame_idx: the prompt frame.
        frames: those that belong to it.
        digest: of everything that decides the results on ``frames``.
        clicks: those on the frame, first those that the mask holds.
        box_xyxy: the box there, if any.
        mask: given or edited, if any; what the other clicks start from.
        carried: what the clicks or the edited mask started from; none where there is a box or a given mask.
        is_absent: the object is on none of ``frames``, as a person said.
    """

    object_id: int
    frame_idx: int
    frames: range
    digest: bytes
    clicks: tuple[Click, ...]
    box_xyxy: tuple[float, float, float, float] | None
    mask: MaskInput | None
    carried: Carried | None
    is_absent: bool = False

    @property
    def num_held(self) -> int:
        """How many of the clicks the mask holds."""
        return 0 if self.mask is None else sum(c.point_id in self.mask.point_ids for c in self.clicks)


@dataclass(frozen=True)
class ObjectPlan:
    """An object's prompt frames, ascending; their ``frames`` cover the video, unless there is none.

    Attributes:
        alone: those that say something of their own frame only, by frame.
    """

    prompt_frames: tuple[PromptFrame, ...]
    alone: Mapping[int, PromptFrame] = field(default_factory=dict)

    def at(self, frame_idx: int) -> PromptFrame | None:
        """The prompt frame that the result on a frame is made from."""
        return self.alone.get(frame_idx) or self.around(frame_idx)

    def around(self, frame_idx: int) -> PromptFrame | None:
        """The prompt frame among whose frames a frame is, also where another one says something of that frame alone."""
        location = bisect_right(self.prompt_frames, frame_idx, key=lambda p: p.frames.start) - 1
        return self.prompt_frames[location] if location >= 0 else None


@dataclass(frozen=True)
class Span:
    """Frames to be computed one after another, for objects that have the same ones.

    Attributes:
        prompt_frames: of each object, by id.
        start: where the points are taken from: the prompt frame, or the last frame in its direction that is done.
        last: inclusive; before ``start`` when the span goes backward.
    """

    prompt_frames: dict[int, PromptFrame]
    start: int
    last: int

    @property
    def is_backward(self) -> bool:
        return self.last < self.start

    @property
    def frames(self) -> range:
        """From ``start`` to ``last``."""
        step = -1 if self.is_backward else 1
        return range(self.start, self.last + step, step)


def checked_config(config: SegmentConfig) -> SegmentConfig:
    """The settings, when a session can keep to them.

    Raises:
        ConfigError: they request what only a run with queries known beforehand has.
    """
    if config.protocol != "bidirectional":
        raise ConfigError(
            f"protocol is {config.protocol!r}; a session propagates objects in both directions: expected 'bidirectional'."
        )
    if config.sampling.one_click:
        raise ConfigError("one_click is on; a session keeps masks as they are given: switch it off.")
    return config


def session_settings(config: SegmentConfig) -> SegmentConfig:
    """The settings as a session uses them: every object stands for itself."""
    return with_settings(config, _ALONE)


def settings_digest(content: ProjectFile, settings: SegmentConfig) -> str:
    """Changes with everything that decides results and is not given by a person: video, settings, backends, weights."""
    chosen = flatten_settings(settings)
    weights = {}
    for kind in ("tracker", "segmenter"):
        name, path = chosen.pop(kind), chosen.pop(f"{kind}_weights")
        used = getattr(content, kind)
        weights[kind] = (used, weights_identity(used, path) if used == name else None)
    facts = (content.video.sha256, content.video.num_frames, content.video.size_hw)
    return hashlib.blake2b(json.dumps([facts, chosen, weights], sort_keys=True).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def plan_object(inputs: Inputs, object_id: int, settings_digest: str) -> ObjectPlan:
    """The object's prompt frames under settings that ``settings_digest`` names."""
    parts = _parts(inputs, object_id)
    alone = [f for f in sorted(parts) if _is_nothing(parts[f])]
    used = [f for f in sorted(parts) if _is_prompt_frame(parts[f]) and f not in alone]
    stops = [_first_frame_of(parts, *pair) for pair in itertools.pairwise(used)]
    frames = [range(*pair) for pair in itertools.pairwise([0, *stops, inputs.num_frames])]

    def make(frame_idx: int, own: range) -> PromptFrame:
        part = parts[frame_idx]
        mask, clicks = part["mask"], part["clicks"]
        held = () if mask is None else mask.point_ids
        clicks = tuple(sorted(clicks, key=lambda c: c.point_id not in held))
        counts = None if mask is None else mask.rle.counts
        num_new = 0 if mask is None else sum(c.point_id not in held for c in clicks)
        said = (clicks, part["box_xyxy"], counts, part["carried"], num_new, part["is_absent"])
        digest = _digest(settings_digest, object_id, frame_idx, *said)
        return PromptFrame(object_id, frame_idx, own, digest, **{**part, "clicks": clicks})

    made = [make(f, own) for f, own in zip(used, frames, strict=bool(used))]
    holes = {f: dataclasses.replace(make(f, range(f, f + 1)), is_absent=True) for f in alone}
    return ObjectPlan(tuple(made), holes)


def _first_frame_of(parts: Mapping[int, Mapping[str, Any]], before: int, frame_idx: int) -> int:
    """The first frame that belongs to a prompt frame and not to the one before it."""
    is_border = parts[before]["is_absent"] or parts[frame_idx]["is_absent"]
    return frame_idx if is_border else (before + frame_idx) // 2 + 1


def _parts(inputs: Inputs, object_id: int) -> dict[int, dict[str, Any]]:
    """What was given for the object, by frame, as fields of :class:`PromptFrame`."""
    found: dict[int, dict[str, Any]] = {}

    def at(frame_idx: int) -> dict[str, Any]:
        nothing = {"clicks": (), "box_xyxy": None, "mask": None, "carried": None, "is_absent": False}
        return found.setdefault(frame_idx, nothing)

    for click in inputs.clicks:
        if click.object_id == object_id:
            at(click.frame_idx)["clicks"] += (click,)
    for box in inputs.boxes:
        if box.object_id == object_id:
            at(box.frame_idx)["box_xyxy"] = box.box_xyxy
    for mask in inputs.masks:
        if mask.object_id == object_id:
            at(mask.frame_idx)["mask"] = mask
    for base in inputs.carried:
        if base.object_id == object_id and (part := at(base.frame_idx))["box_xyxy"] is None:
            part["carried"] = base if part["mask"] is None or part["mask"].is_edited else None
    for absence in inputs.absent:
        if absence.object_id == object_id and not _is_prompt_frame(part := at(absence.frame_idx)):
            part["is_absent"] = True
    return found


def _is_prompt_frame(part: dict[str, Any]) -> bool:
    has_positive = any(c.is_positive for c in part["clicks"])
    return has_positive or part["is_absent"] or any(part[name] is not None for name in ("box_xyxy", "mask", "carried"))


def _is_nothing(part: Mapping[str, Any]) -> bool:
    """Whether a mask without a pixel is all that says something of the frame."""
    mask: MaskInput | None = part["mask"]
    if mask is None or any(c.is_positive and c.point_id not in mask.point_ids for c in part["clicks"]):
        return False
    runs = code_runs(mask.rle.counts, mask.rle.size_hw) if mask.is_edited and len(mask.rle.counts) < _EMPTY_CHARS else None
    return runs is not None and not runs[1::2].any()


@functools.lru_cache(maxsize=4096)
def _digest(
    settings_digest: str,
    object_id: int,
    frame_idx: int,
    clicks: tuple[Click, ...],
    box_xyxy: tuple[float, float, float, float] | None,
    mask_counts: str | None,
    carried: Carried | None,
    num_new: int,
    is_absent: bool,
) -> bytes:
    """Cached, because every edit needs those of all prompt frames again."""
    said = {
        "settings": settings_digest,
        "object": object_id,  # the randomness depends on it
        "frame": frame_idx,
        "clicks": [(*c.xy, c.is_positive, c.is_whole) for c in clicks],
        "box": box_xyxy,
        "mask": mask_counts,
        "carried": None if carried is None else dataclasses.astuple(carried),
    }
    # Only where there are any, so that results of an older sampt stay good.
    if num_new:
        said["clicks_on_mask"] = num_new
    if is_absent:
        said["absent"] = True
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=_DIGEST_BYTES).digest()


def list_ranges(frames: IntArray | list[int]) -> tuple[range, ...]:
    """Ascending frames as ranges without gaps."""
    found: list[range] = []
    for frame in frames:
        if found and found[-1].stop == frame:
            found[-1] = range(found[-1].start, int(frame) + 1)
        else:
            found.append(range(int(frame), int(frame) + 1))
    return tuple(found)


def plan_spans(
    plans: dict[int, ObjectPlan],
    wanted: range,
    is_done: Callable[[PromptFrame, int], bool],
    can_start: Callable[[PromptFrame, int], bool],
) -> list[Span]:
    """What has to be computed, in the order of prompt frames, forward before backward.

    A span goes from its prompt frame to the last wanted frame that is not done. Where frames next to the prompt frame are done,
    it starts from the last of these that can be started from. Frames on the way are computed though they were not wanted.

    Args:
        plans: by object.
        wanted: frames.
        is_done: whether the result of a frame is good.
        can_start: whether a good result has the points to go on from.
    """
    found: dict[tuple[int, bool, int, int], dict[int, PromptFrame]] = {}
    for object_id, plan in plans.items():
        for prompt_frame in plan.prompt_frames:
            at, frames = prompt_frame.frame_idx, prompt_frame.frames
            for way in (range(at, frames.stop), range(at, frames.start - 1, -1)):
                span = _span(prompt_frame, way, wanted, is_done, can_start)
                if span is not None:
                    found.setdefault((at, way.step < 0, *span), {})[object_id] = prompt_frame
    return [Span(prompt_frames, *key[2:]) for key, prompt_frames in sorted(found.items(), key=lambda item: item[0])]


def _span(
    prompt_frame: PromptFrame,
    way: Iterable[int],
    wanted: range,
    is_done: Callable[[PromptFrame, int], bool],
    can_start: Callable[[PromptFrame, int], bool],
) -> tuple[int, int] | None:
    """First and last frame of a span along ``way``, or None when all that is wanted there is done."""
    start, last, is_whole = prompt_frame.frame_idx, None, True
    for frame_idx in way:
        done = is_done(prompt_frame, frame_idx)
        if frame_idx in wanted and not done:
            last = frame_idx
        is_whole &= done
        if is_whole and frame_idx != prompt_frame.frame_idx and can_start(prompt_frame, frame_idx):
            start = frame_idx
    if last is None or (last == prompt_frame.frame_idx and isinstance(way, range) and way.step < 0):
        return None
    return start, last
