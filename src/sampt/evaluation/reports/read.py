"""What a report is made of: the scores of a folder of predictions, and what its runs tell of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from sampt.errors import EvaluationError
from sampt.evaluation.instances.matches import ScoredInstances
from sampt.evaluation.paper_rules import AppliedRule
from sampt.evaluation.predict import DatasetChoice, manifests, read_run
from sampt.evaluation.score_files import read_scores
from sampt.evaluation.vos.results import Scores
from sampt.runs.manifest import MANIFEST_NAME

__all__ = ["AnyRun", "ScoredRun", "Speed", "read_scored"]

_AnyScores = TypeVar("_AnyScores", bound=Scores | ScoredInstances, covariant=True)
_METHOD_STAGES = ("track", "encode", "decode")


@dataclass(frozen=True)
class Speed:
    """How quick the runs were.

    Attributes:
        num_frames: of all sequences.
        stages: name -> seconds; "other" is what no stage counts, merging among it.
    """

    num_frames: int
    stages: dict[str, float]

    @property
    def frames_per_s(self) -> float:
        """Frames over tracking, prompting and merging, as the SAM-PT paper times: without reading and writing."""
        seconds = sum(s for name, s in self.stages.items() if name not in ("read", "write"))
        return self.num_frames / seconds if seconds else 0.0


@dataclass(frozen=True)
class ScoredRun(Generic[_AnyScores]):
    """A folder of predictions that has been scored.

    Attributes:
        folder: of the predictions.
        label: what the report calls it.
        scores: of all sequences or videos.
        choice: the dataset.
        config: settings by name; empty for predictions that sampt did not make.
        rules: of the paper, that decided some of them.
        licenses: backend -> licences.
        speed: None for predictions that sampt did not make.
        platforms: machines that they were made on.
    """

    folder: Path
    label: str
    scores: _AnyScores
    choice: DatasetChoice
    config: dict[str, Any]
    rules: tuple[AppliedRule, ...]
    licenses: dict[str, str]
    speed: Speed | None
    platforms: tuple[str, ...]

    @property
    def describe_speed(self) -> str:
        """Frames a second, for tables; empty when they are unknown."""
        return "" if self.speed is None else f"{self.speed.frames_per_s:.1f}"


AnyRun: TypeAlias = ScoredRun[Scores | ScoredInstances]
"""A run on a dataset of either kind."""


def read_scored(folder: Path, label: str) -> AnyRun:
    """Read what `sampt eval score` wrote in ``folder``, and the manifests beside it.

    Raises:
        EvaluationError: there are no scores, or something there is damaged.
        OutputError: a manifest is damaged.
    """
    choice, scores = read_scores(folder)
    run = read_run(folder)
    config, rules = run.get("config", {}), tuple(run.get("rules", ()))
    finding = ("automatic_masks", "find")
    config = {**config, **{what: facts for what, facts in run.get("dataset", {}).items() if what in finding}}
    caption = [manifest for _, manifest in manifests(folder, scores.names)]
    try:
        licenses = {str(name): str(text) for manifest in caption for name, text in manifest["licenses"].items()}
        platforms = tuple(sorted({str(manifest["platform"]) for manifest in caption}))
        return ScoredRun(folder, label, scores, choice, config, rules, licenses, _speed(caption), platforms)
    except (AttributeError, KeyError, TypeError) as error:
        raise EvaluationError(
            f"A {MANIFEST_NAME} in {folder} does not tell of its run ({type(error).__name__} {error}); expected what "
            "`sampt eval run` wrote: run it again with --overwrite."
        ) from None


def _speed(caption: list[dict[str, Any]]) -> Speed | None:
    whole = [manifest for manifest in caption if not manifest["num_resumed"]]  # resumed frames took no time
    if not whole:
        return None
    stages: dict[str, float] = dict.fromkeys(("read", *_METHOD_STAGES, "write", "other"), 0.0)
    for manifest in whole:
        seconds = manifest["seconds"]
        for name in stages:
            stages[name] += seconds.get(name, 0.0)
        # Writing goes on beside the rest, in a thread of its own.
        stages["other"] += max(0.0, seconds["total"] - sum(seconds.get(name, 0.0) for name in ("read", *_METHOD_STAGES)))
    return Speed(sum(manifest["num_frames"] for manifest in whole), stages)
