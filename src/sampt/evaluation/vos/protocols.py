"""What the benchmarks of video object segmentation count and how they average it, on top of J and F of a frame.

==============  ======================================  ============================  =====================================
protocol        scored frames of an object              figure                        source
==============  ======================================  ============================  =====================================
davis-2016/17   annotated, but the sequence's first     mean over objects             davisvideochallenge/
                and last                                                              davis2017-evaluation
davis-2016-     the same                                the same, of all objects      fperazzi/davis,
unsupervised                                            as one                        ``davis/dataset/loader.py``
davis-2017-     annotated                               mean over objects, matched    davisvideochallenge/
unsupervised                                            with what was found           davis2017-evaluation
mose            as davis                                as davis                      henghuiding/MOSE-api, ``score.py``
lvos            annotated from its given frame to its   mean of J and F over seen     LingyiHongfd/lvos-evaluation,
                end, but the first and last of these    and unseen videos             ``lvos/evaluation.py``
youtube-vos     annotated, after its given frame        mean of J and F over seen     Xu et al., arXiv 1809.03327; the
                                                        and unseen categories         server's program is not public
long-video      annotated, after its given frame        mean over objects             xmlyqing00/AFB-URR,
                                                                                      ``longvideo_evaluation``
bdd100k         annotated, after its given frame        mean over objects, and        SysCV/sam-pt,
                                                        groups by visible length      ``vos_eval/bdd100keval.py``
plain           annotated, after its given frame        mean over objects             ours
==============  ======================================  ============================  =====================================

Void pixels do not count in ``plain`` and ``davis-2017-unsupervised``. Others take them for background, as these programs do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sampt.errors import EvaluationError, did_you_mean
from sampt.evaluation.vos.jf import Statistics

__all__ = [
    "BDD_LONG_FRAMES",
    "BDD_MEDIUM_FRAMES",
    "MAX_PROPOSALS",
    "SCORING_RULES",
    "GroupScore",
    "ObjectScore",
    "ScoringRule",
    "bdd_groups",
    "g_measure",
    "lvos_variation",
    "scoring_rule",
    "seen_unseen",
]

BDD_MEDIUM_FRAMES, BDD_LONG_FRAMES = 5, 30
"""From so many visible frames on, the given one among them, an object is medium, or long; below the first it is short."""

MAX_PROPOSALS = 20
"""What is matched has the ids from 1 to this one (Caelles et al., arXiv 1905.00737)."""


@dataclass(frozen=True)
class ScoringRule:
    """Which frames of an object are scored.

    Attributes:
        is_per_object: they begin after the frame on which the object was given; else after the sequence's first one.
        drops_last: the last annotated frame is left out.
        ignores_void: void pixels do not count; else they are background.
        perfect_if_unscored: an object without a scored frame has J = F = 1; else it is left out of the means.
        drops_first: where they do not begin by object, the sequence's first annotated frame is left out.
        pairing: which of the predicted objects belongs to a true one: that of the same "id"; "all" of them together, where
            there is one true object; or by a "match", one to one, that makes the sequence's mean of J and F largest, as nobody
            tells what found objects are.
    """

    is_per_object: bool
    drops_last: bool
    ignores_void: bool = False
    perfect_if_unscored: bool = False
    drops_first: bool = True
    pairing: Literal["id", "all", "match"] = "id"

    def frames(self, annotated: Sequence[int], first_frame: int, end_frame: int | None = None) -> tuple[int, ...]:
        """The scored ones of the ``annotated`` frames (ascending) for an object that is given on ``first_frame``.

        Where the dataset tells that the object leaves, ``end_frame`` is the first one that is not scored.
        """
        after = [i for i in annotated if i > first_frame] if self.is_per_object else list(annotated[self.drops_first :])
        if end_frame is not None:
            return tuple(i for i in after if i < end_frame)
        return tuple(after[:-1] if self.drops_last else after)


_DAVIS = ScoringRule(is_per_object=False, drops_last=True)
_AFTER_GIVEN = ScoringRule(is_per_object=True, drops_last=False)

SCORING_RULES: Mapping[str, ScoringRule] = {
    "davis-2016": _DAVIS,
    "davis-2017": _DAVIS,
    "davis-2016-unsupervised": ScoringRule(is_per_object=False, drops_last=True, pairing="all"),
    "davis-2017-unsupervised": ScoringRule(
        is_per_object=False, drops_first=False, drops_last=False, ignores_void=True, pairing="match"
    ),
    "mose": _DAVIS,
    "lvos": ScoringRule(is_per_object=True, drops_last=True),
    "youtube-vos": _AFTER_GIVEN,
    "long-video": _AFTER_GIVEN,
    "bdd100k": ScoringRule(is_per_object=True, drops_last=False, perfect_if_unscored=True),
    "plain": ScoringRule(is_per_object=True, drops_last=False, ignores_void=True),
}
"""Name of the protocol -> its rule."""


def scoring_rule(protocol: str) -> ScoringRule:
    """The rule of a protocol.

    Raises:
        EvaluationError: there is no protocol of this name.
    """
    if protocol not in SCORING_RULES:
        raise EvaluationError(
            f"Unknown protocol {protocol!r}.{did_you_mean(protocol, SCORING_RULES)} Available: {', '.join(SCORING_RULES)}."
        )
    return SCORING_RULES[protocol]


@dataclass(frozen=True)
class ObjectScore:
    """How well one object was tracked: J is the measure of its region, F that of its contour.

    Attributes:
        object_id: from 1.
        j: over the scored frames.
        f: over the scored frames.
        frames: the scored frames, from 0; the fields below have one value for each.
        j_frames: J of each.
        f_frames: F of each.
        visible: whether the object is truly seen on it.
        group: "seen" or "unseen" where the dataset tells them apart.
        category: where the dataset names it.
        found_id: of the found object that was matched with it; None where none was, or none is needed.
    """

    object_id: int
    j: Statistics
    f: Statistics
    frames: tuple[int, ...] = ()
    j_frames: tuple[float, ...] = ()
    f_frames: tuple[float, ...] = ()
    visible: tuple[bool, ...] = ()
    group: str | None = None
    category: str | None = None
    found_id: int | None = None


@dataclass(frozen=True)
class GroupScore:
    """Means over a group of objects, at least one.

    Attributes:
        num_objects: how many there are.
        j: mean of their J.
        f: mean of their F.
    """

    num_objects: int
    j: float
    f: float

    @property
    def j_and_f(self) -> float:
        return (self.j + self.f) / 2


def seen_unseen(objects: Sequence[ObjectScore]) -> dict[str, GroupScore]:
    """Means over the objects of each ``group``, "seen" first; empty when no object has one.

    Raises:
        EvaluationError: some objects have a group and some have none.
    """
    names = {item.group for item in objects}
    if names <= {None}:
        return {}
    if None in names:
        raise EvaluationError("Some objects have no group, expected 'seen' or 'unseen' for all of them or for none.")
    return {name: _group([o for o in objects if o.group == name]) for name in sorted(n for n in names if n is not None)}


def g_measure(groups: Mapping[str, GroupScore]) -> float:
    """YouTube-VOS's G: the mean of J seen, J unseen, F seen and F unseen; of one group alone, its J&F.

    Raises:
        EvaluationError: there is no group.
    """
    if not groups:
        raise EvaluationError("There is no group of objects, expected 'seen', 'unseen' or both.")
    return sum(group.j_and_f for group in groups.values()) / len(groups)


def bdd_groups(objects: Sequence[ObjectScore]) -> dict[str, GroupScore]:
    """The groups of SAM-PT's program for BDD100K; one without a member is left out.

    "short", "medium" and "long" are objects by their visible frames, the given one among them: below 5, below 30, and from 30
    on. "visible" and "hidden" are means over the frames of an object on which it is, or is not, truly seen, averaged over the
    objects that have such frames. An object that is given on the last frame is perfect, and counts in both.
    """
    lengths = [sum(item.visible) + 1 for item in objects]
    bounds = {"short": (0, BDD_MEDIUM_FRAMES), "medium": (BDD_MEDIUM_FRAMES, BDD_LONG_FRAMES), "long": (BDD_LONG_FRAMES, None)}
    found = {}
    for name, (low, high) in bounds.items():
        members = [o for o, n in zip(objects, lengths, strict=True) if n >= low and (high is None or n < high)]
        if members:
            found[name] = _group(members)
    for name, wanted in (("visible", True), ("hidden", False)):
        parts = [part for item in objects if (part := _frames_where(item, wanted)) is not None]
        if parts:
            j, f = np.mean(parts, axis=0).tolist()
            found[name] = GroupScore(len(parts), j, f)
    return found


def lvos_variation(j_frames: Sequence[float], f_frames: Sequence[float]) -> float:
    """LVOS's V of an object: the standard deviation of (J + F) / 2 over its frames; the variance is rounded to 4 digits.

    Raises:
        EvaluationError: there is no frame.
    """
    if not j_frames:
        raise EvaluationError("There is no scored frame, expected at least one to take the variation of.")
    both = (np.asarray(j_frames, np.float64) + np.asarray(f_frames, np.float64)) / 2
    return float(np.sqrt(round(float(np.square(both - both.mean()).mean()), 4)))


def _group(objects: Sequence[ObjectScore]) -> GroupScore:
    n = len(objects)
    return GroupScore(n, sum(item.j.mean for item in objects) / n, sum(item.f.mean for item in objects) / n)


def _frames_where(item: ObjectScore, visible: bool) -> tuple[float, float] | None:
    """Mean J and F over the frames of that visibility; None when there is no such frame."""
    if not item.frames:
        return item.j.mean, item.f.mean
    chosen = [k for k, seen in enumerate(item.visible) if seen is visible]
    if not chosen:
        return None
    return sum(item.j_frames[k] for k in chosen) / len(chosen), sum(item.f_frames[k] for k in chosen) / len(chosen)
