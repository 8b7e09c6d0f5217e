"""What the SAM-PT paper sets otherwise for single trackers, segmenters and datasets, and its presets leave open
(docs/algorithm.md, "What the paper sets otherwise").

The commands of the authors' program (Rajic et al., arXiv 2307.01197) differ from its defaults in these settings. They hold for
the presets of the paper alone; a setting that was given by name is never changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sampt.config import SegmentConfig, with_settings

__all__ = ["PAPER_PRESETS", "PAPER_RULES", "AppliedRule", "PaperRule", "applied_rules", "with_rules"]

PAPER_PRESETS = ("paper-v1", "paper-v2", "paper-v2-cotracker3")


@dataclass(frozen=True)
class PaperRule:
    """Settings that hold for some trackers, segmenters or datasets.

    Attributes:
        kind: of what ``names`` are.
        names: as sampt calls them.
        settings: values by dotted name.
    """

    kind: Literal["tracker", "segmenter", "dataset"]
    names: frozenset[str]
    settings: Mapping[str, Any]


PAPER_RULES: tuple[PaperRule, ...] = (
    PaperRule("tracker", frozenset({"pips", "pips-pp"}), {"sampling.positive_points": 8}),
    PaperRule(
        "tracker",
        frozenset({"tapir"}),
        {"sampling.positive_points": 32, "sampling.negative_points": 72, "prompting.refinement_steps": 24},
    ),
    PaperRule(
        "tracker",
        frozenset({"superglue"}),
        {"sampling.negative_points": 0, "sampling.positive_sampler": "random", "prompting.refinement_steps": 3},
    ),
    PaperRule("segmenter", frozenset({"light-hq-sam", "mobile-sam"}), {"prompting.refinement_steps": 3}),
    PaperRule("dataset", frozenset({"bdd100k", "mose", "uvo"}), {"prompting.refinement_steps": 0}),
)
"""Where two set the same, the later one holds."""


@dataclass(frozen=True)
class AppliedRule:
    """A setting of a run that a rule decided.

    Attributes:
        setting: dotted name.
        value: of it.
        because: "dataset mose", say.
    """

    setting: str
    value: Any
    because: str

    def __str__(self) -> str:
        return f"{self.setting} {self.value} ({self.because})"


def applied_rules(preset: str, config: SegmentConfig, dataset: str, given: Collection[str]) -> tuple[AppliedRule, ...]:
    """The rules that hold for a run, one a setting; none for other presets than the paper's.

    Args:
        preset: where ``config`` begins.
        config: of the run, with all that was given.
        dataset: its name.
        given: dotted names of the settings that the user chose; the others are the preset's.
    """
    if preset not in PAPER_PRESETS:
        return ()
    used = {"tracker": config.tracker, "segmenter": config.segmenter, "dataset": dataset}
    found: dict[str, AppliedRule] = {}
    for rule in PAPER_RULES:
        name = used[rule.kind]
        if name in rule.names:
            found |= {s: AppliedRule(s, v, f"{rule.kind} {name}") for s, v in rule.settings.items() if s not in given}
    return tuple(found.values())


def with_rules(config: SegmentConfig, rules: Sequence[AppliedRule], given: Mapping[str, Any]) -> SegmentConfig:
    """``config`` with what the rules decide; ``given`` settings keep their values, the number of points of windows, too."""
    return with_settings(config, {rule.setting: rule.value for rule in rules} | dict(given))
