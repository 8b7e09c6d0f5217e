"""All settings of the method, as frozen dataclasses.

The ``help`` of a field is the text that the command line shows. Numbers are those of "Segment Anything Meets Point Tracking"
(arXiv 2307.01197) and its authors' program where they define them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias, get_args, get_type_hints

from sampt.errors import ConfigError, did_you_mean

__all__ = [
    "FindConfig",
    "MemoryConfig",
    "PromptConfig",
    "ReinitConfig",
    "SamplerName",
    "SamplingConfig",
    "SegmentConfig",
    "TrackingConfig",
    "default_config",
    "flatten_settings",
    "setting_fields",
    "with_settings",
]

SamplerName: TypeAlias = Literal["random", "even", "kmedoids", "shi-tomasi", "mixed"]
_COUNTS = ("positive_points", "negative_points")
"""Settings that ``sampling`` and ``reinit`` both have."""
ReinitVariant: TypeAlias = Literal["on-horizon-and-sync", "at-median-area", "on-similar-area", "on-similar-area-and-sync"]
SupportGridName: TypeAlias = Literal["official", "paper", "none"]
Protocol: TypeAlias = Literal["bidirectional", "vos"]

_WEIGHTS = (
    "default, random (to try something out), a file or folder, or OWNER/NAME on the Hugging Face hub for segmenters of the "
    "Segment Anything family"
)


def _setting(default: Any, help_text: str, *, low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"help": help_text, "low": low, "high": high})


class _Checked:
    """Checks choices and ranges of the fields when the value is made."""

    _hints: ClassVar[dict[type, dict[str, Any]]] = {}
    """Resolved types of the fields by class: finding them costs more than all checks together."""

    def __post_init__(self) -> None:
        kind = type(self)
        if kind not in self._hints:
            self._hints[kind] = get_type_hints(kind)
        hints = self._hints[kind]
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            _check_type(item.name, value, hints[item.name])
            choices = [c for c in _choices(hints[item.name]) if isinstance(c, str)]
            if choices and value not in choices and not (value is None and type(None) in get_args(hints[item.name])):
                raise ConfigError(
                    f"{item.name} is {value!r}.{did_you_mean(str(value), choices)} Expected one of: {', '.join(choices)}."
                )
            low, high = item.metadata.get("low"), item.metadata.get("high")
            if isinstance(value, (int, float)) and (
                not math.isfinite(value) or (low is not None and value < low) or (high is not None and value > high)
            ):
                span = f"at least {low}" if high is None else f"from {low} to {high}"
                raise ConfigError(f"{item.name} is {value}; expected a number {span}.")


def _check_type(name: str, value: Any, hint: Any) -> None:
    """Refuse what another type would only show as an error much later, such as "16" for 16."""
    options = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    plain = tuple(option for option in options if isinstance(option, type))
    if len(plain) < len(options):  # a Literal: the choices say what is allowed
        return
    accepted = (*plain, int) if float in plain else plain
    if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in plain):
        expected = " or ".join("None" if option is type(None) else option.__name__ for option in plain)
        raise ConfigError(f"{name} is {value!r}, a {type(value).__name__}; expected {expected}.")


def _choices(hint: Any) -> list[Any]:
    """The values that a Literal (or a union with one) admits."""
    values: list[Any] = []
    for argument in get_args(hint):
        values += get_args(argument) if get_args(argument) else [argument]
    return values


@dataclass(frozen=True)
class SamplingConfig(_Checked):
    """How query points are drawn from a mask (docs/algorithm.md, "Query points")."""

    positive_points: int = _setting(16, "points sampled on an object's mask", low=1)
    negative_points: int = _setting(1, "points sampled off an object's mask", low=0)
    positive_sampler: SamplerName = _setting("kmedoids", "how positive points are drawn from a mask")
    negative_sampler: SamplerName = _setting("mixed", "how negative points are drawn from a mask's complement")
    negative_margin: float | None = _setting(
        None,
        "draw negative points from the object's box grown by this fraction of its diagonal (default: the whole frame)",
        low=0,
    )
    expand_clicks: bool = _setting(
        False, "add points sampled from the segmenter's own mask of the clicks on their frame, as many as for a given mask"
    )
    one_click: bool = _setting(False, "replace each given mask by the segmenter's own mask for its medoid, then sample")


@dataclass(frozen=True)
class TrackingConfig(_Checked):
    """How points are tracked and when one counts (docs/algorithm.md, "Point tracking")."""

    group_size: int = _setting(5, "objects tracked together by trackers whose points influence each other", low=1)
    support_grid: SupportGridName = _setting(
        "official",
        "points that CoTracker tracks beside those requested: official (6 x 6 on the first frame), paper (2 x 2 on every "
        "12th), none",
    )
    border_fraction: float = _setting(0.01, "a point this close to the frame border does not count", low=0, high=0.5)
    patch_filter: bool = _setting(False, "hide a point for good when the patch around it stops looking like its prompt frame's")
    patch_size: int = _setting(3, "side of the filter's patch in pixels", low=1)
    patch_threshold: float = _setting(0.01, "patch similarity below which a point is hidden", low=0, high=1)
    shot_cuts: bool = _setting(
        False, "after a cut to another shot an object is absent until many of its points are found there, looking as they did"
    )


@dataclass(frozen=True)
class PromptConfig(_Checked):
    """How the segmenter is prompted for an object on a frame (docs/algorithm.md, "Prompts and masks")."""

    positives_first: bool = _setting(
        True,
        "with negative_points above 0, a first pass with the positive points alone gives the logits that the next starts from",
    )
    refinement_steps: int = _setting(12, "refinement steps: with the box and logits of the step before", low=0)
    stop_fraction: float | None = _setting(
        None,
        "refinement ends when no more than this fraction of an object's mask changes; 0: when no pixel does (default: never)",
        low=0,
        high=1,
    )
    iou_threshold: float = _setting(0.7, "predicted IoU below which the object is absent", low=0, high=1)
    other_objects_as_negatives: bool = _setting(True, "visible positive points of other objects prompt as negatives")
    max_other_points: int | None = _setting(None, "at most this many of them, drawn at random (default: all)", low=0)
    object_memory: bool = _setting(
        False,
        "with re-initialisation, what objects looked like where they were named tells where they may be on other frames",
    )
    min_visible: float = _setting(
        0.0,
        "fraction of an object's positive points that must be visible, or it is absent; one must be in any case",
        low=0,
        high=1,
    )


@dataclass(frozen=True)
class ReinitConfig(_Checked):
    """When points are sampled again from the predicted masks (docs/algorithm.md, "Re-initialisation")."""

    enabled: bool = _setting(False, "sample points again from the predicted masks")
    variant: ReinitVariant = _setting("at-median-area", "which frame of a window the new points come from")
    horizon: int = _setting(24, "frames of a window that are segmented", low=2)
    tracker_horizon: int = _setting(
        24,
        "frames of a window that are tracked; an object without a mask in horizon frames is looked for over all of them",
        low=2,
    )
    anchor: bool = _setting(False, "new points must agree with the object's colours on the frame where it was named")
    previous_mask: bool = _setting(
        False, "a frame is prompted with the mask of the frame before: the segmenter's prediction, or the one that was given"
    )
    keep_queries: bool = _setting(
        False, "the user's own points are tracked through the whole video, too; an object that was lost comes back by them"
    )
    backward_consistency: bool = _setting(
        False, "new points are tracked back to the window's start; those seen on the other side of its mask there change sign"
    )
    compete: bool = _setting(
        False,
        "a large part that several objects claim goes to one of them as a whole; the next frame and new points start from "
        "masks without what another object has",
    )
    positive_points: int | None = _setting(
        None, "positive points with re-initialisation, from the first window on (default: as without)", low=1
    )
    negative_points: int | None = _setting(
        None, "negative points with re-initialisation, from the first window on (default: as without)", low=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tracker_horizon < self.horizon:
            raise ConfigError(
                f"tracker_horizon is {self.tracker_horizon} and horizon is {self.horizon}; expected tracker_horizon >= horizon."
            )


@dataclass(frozen=True)
class MemoryConfig(_Checked):
    """Parts of the object memory, where ``prompting.object_memory`` has it (docs/algorithm.md, "Object memory")."""

    priors: bool = _setting(True, "where an object may be, by its looks, enters its prompt when its points disagree")
    absence: bool = _setting(True, "a score counts by the probability that the mask shows the object; wrong ones are absent")
    later_masks: bool = _setting(True, "learn from certain masks of later frames, too")
    lookalikes: bool = _setting(True, "what was seen beside an object on a frame is not taken for it later")
    parts: bool = _setting(True, "a part of a mask that looks like something else is not the object's, when another part is")


# What SegmentConfig() and the preset "default" are. Chosen on davis2016_train (docs/benchmarks.md, "How the default was
# chosen"), on those of its sequences that the bundled segmenter was not trained on.
_SAMPLING = SamplingConfig(
    positive_points=64, negative_points=64, positive_sampler="even", negative_sampler="even", expand_clicks=True
)
_TRACKING = TrackingConfig(shot_cuts=True)
_PROMPTING = PromptConfig(positives_first=False, refinement_steps=0, iou_threshold=0.2, min_visible=0.05, object_memory=True)
_REINIT = ReinitConfig(
    enabled=True,
    variant="on-horizon-and-sync",
    horizon=16,
    tracker_horizon=24,
    anchor=True,
    previous_mask=True,
    keep_queries=True,
    backward_consistency=True,
    compete=True,
)


@dataclass(frozen=True)
class SegmentConfig(_Checked):
    """Everything that decides the masks of a run, besides the video and the queries.

    What is left out is as in the preset ``default``. A part that is given (``sampling=SamplingConfig(...)``) has the paper's
    numbers where it leaves something out; :func:`with_settings` changes single settings and leaves all others.
    """

    tracker: str = _setting("nano", "point tracker, by name (see `sampt backends`), or tracks:FILE for tracks made elsewhere")
    segmenter: str = _setting("nano", "promptable segmenter, by name (see `sampt backends`)")
    tracker_weights: str = _setting("default", f"weights of the tracker: {_WEIGHTS}")
    segmenter_weights: str = _setting("default", f"weights of the segmenter: {_WEIGHTS}")
    sampling: SamplingConfig = _SAMPLING
    tracking: TrackingConfig = _TRACKING
    prompting: PromptConfig = _PROMPTING
    reinit: ReinitConfig = _REINIT
    memory: MemoryConfig = MemoryConfig()
    protocol: Protocol = _setting(
        "bidirectional", "bidirectional: masks before an object's prompt frame too; vos: none before it"
    )
    full_precision: bool = _setting(False, "networks compute in float32 on every device, unless --precision says otherwise")
    overlapping: bool = _setting(False, "masks may overlap: one mask an object instead of one label map")
    longest_side: int | None = _setting(
        None, "frames are worked on at this longest side in pixels (default: as they are)", low=16
    )
    seed: int = _setting(72, "seed of all sampling", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        kind, colon, file = self.tracker.partition(":")
        if kind == "tracks" and colon:  # a file takes the place of weights, and is recorded like them
            if self.tracker_weights not in ("default", file):
                raise ConfigError(f"tracker is {self.tracker!r}, which names a file; leave tracker_weights out.")
            object.__setattr__(self, "tracker", kind)
            object.__setattr__(self, "tracker_weights", file)

    @functools.cached_property
    def effective_sampling(self) -> SamplingConfig:
        """``sampling`` with the point counts of this run: those of ``reinit``, where it is on and has its own."""
        if not self.reinit.enabled:
            return self.sampling
        own = {key: getattr(self.reinit, key) for key in _COUNTS}
        return dataclasses.replace(self.sampling, **{key: count for key, count in own.items() if count is not None})

    @functools.cached_property
    def effective_prompting(self) -> PromptConfig:
        """``prompting`` with the passes of this run: there are two where negative points are drawn, visible or not."""
        first = self.prompting.positives_first and self.effective_sampling.negative_points > 0
        return dataclasses.replace(self.prompting, positives_first=first)


@dataclass(frozen=True)
class FindConfig(_Checked):
    """Which objects that nobody named are segmented, too (docs/algorithm.md, "Objects that nobody named")."""

    proposer: str = _setting(
        "objectness", "what proposes objects, by name (see `sampt backends`), or text:WORDS, or boxes:FILE of another program"
    )
    proposer_weights: str = _setting("default", f"weights of the proposer: {_WEIGHTS}")
    every: int = _setting(
        12, "look for objects on every so many frames, and after cuts between shots; 0: on the first frame alone", low=0
    )
    max_objects: int = _setting(20, "at most so many objects are found, the best ones", low=1)
    min_area: float = _setting(0.002, "smallest object, as a fraction of the frame", low=0, high=1)
    min_score: float = _setting(0.0, "least score of a proposal, as its proposer scores", low=0, high=1)
    region: tuple[float, ...] | None = _setting(
        None, "objects count whose centre lies in this box of the frame: X0,Y0,X1,Y1, in pixels of the video"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.region is None:
            return
        fits = len(self.region) == 4 and all(isinstance(v, (int, float)) and math.isfinite(v) for v in self.region)
        if not fits or self.region[0] > self.region[2] or self.region[1] > self.region[3]:
            raise ConfigError(f"region is {self.region!r}; expected X0,Y0,X1,Y1 with X0 up to X1 and Y0 up to Y1, in pixels.")


def default_config(*, streaming: bool = False) -> SegmentConfig:
    """What every entry runs that is given no settings: the preset ``default``.

    Args:
        streaming: for frames that are read once: without re-initialisation, which reads them again.
    """
    config = SegmentConfig()
    return with_settings(config, {"reinit.enabled": False}) if streaming else config


def flatten_settings(config: SegmentConfig) -> dict[str, Any]:
    """All settings as nested dictionaries of plain values, ready for JSON."""
    return dataclasses.asdict(config)


def with_settings(config: SegmentConfig, changes: Mapping[str, Any]) -> SegmentConfig:
    """A copy of ``config`` with some settings changed.

    A number of points that is given for ``sampling`` holds with re-initialisation, too, unless another one is given for it.

    Args:
        config: where the other settings come from.
        changes: values by dotted name, ``{"seed": 1, "sampling.positive_points": 64}``.

    Raises:
        ConfigError: a name is unknown, or a value out of range.
    """
    parts: dict[str, dict[str, Any]] = {}
    top: dict[str, Any] = {}
    given = {f"reinit.{key}": None for key in _COUNTS if f"sampling.{key}" in changes} | dict(changes)
    for name, value in given.items():
        section, dot, key = name.rpartition(".")
        owner = getattr(config, section, None) if dot else config
        if not dataclasses.is_dataclass(owner) or key not in {f.name for f in dataclasses.fields(owner)}:
            known = list(setting_fields())
            raise ConfigError(f"Unknown setting {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}.")
        (parts.setdefault(section, {}) if dot else top)[key] = value
    for section, values in parts.items():
        top[section] = dataclasses.replace(getattr(config, section), **values)
    return dataclasses.replace(config, **top)


def setting_fields() -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    """Every setting by its dotted name, with its field (help text, range) and its resolved type."""
    found: dict[str, tuple[dataclasses.Field[Any], Any]] = {}
    for outer in dataclasses.fields(SegmentConfig):
        hint = get_type_hints(SegmentConfig)[outer.name]
        if dataclasses.is_dataclass(hint):
            hints = get_type_hints(hint)
            found |= {f"{outer.name}.{f.name}": (f, hints[f.name]) for f in dataclasses.fields(hint)}
        else:
            found[outer.name] = (outer, hint)
    return found
