"""What a report is made of: the scores of a folder of predictions, and what its runs tell of themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sampt.errors import EvaluationError
from sampt.evaluation.run import DatasetChoice, manifests, read_run
from sampt.evaluation.scores import Scores

__all__ = ["ScoredRun", "Speed", "read_scored"]

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
class ScoredRun:
    """A folder of predictions that has been scored.

    Attributes:
        folder: of the predictions.
        label: what the report calls it.
        scores: of all sequences.
        choice: the data set.
        config: settings by name; empty for predictions that sampt did not make.
        licences: back end -> licences.
        speed: None for predictions that sampt did not make.
        platforms: machines that they were made on.
    """

    folder: Path
    label: str
    scores: Scores
    choice: DatasetChoice
    config: dict[str, Any]
    licences: dict[str, str]
    speed: Speed | None
    platforms: tuple[str, ...]


def read_scored(folder: Path, label: str) -> ScoredRun:
    """Read what `sampt eval score` wrote in ``folder``, and the manifests beside it.

    Raises:
        EvaluationError: there are no scores.
    """
    path = folder / "scores.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        truth = values["truth"]
        choice = DatasetChoice(truth["name"], truth["root"], truth["split"])
    except FileNotFoundError:
        raise EvaluationError(
            f"{folder} has no scores.json; expected scored predictions: run `sampt eval score {folder}`."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path} cannot be read as scores ({error}); run `sampt eval score {folder}` again.") from None
    scores = Scores.from_dict(values)
    told = [manifest for _, manifest in manifests(folder, [s.name for s in scores.sequences])]
    licences = {name: text for manifest in told for name, text in manifest["licences"].items()}
    platforms = tuple(sorted({str(manifest["platform"]) for manifest in told}))
    return ScoredRun(folder, label, scores, choice, read_run(folder).get("config", {}), licences, _speed(told), platforms)


def _speed(told: list[dict[str, Any]]) -> Speed | None:
    whole = [manifest for manifest in told if not manifest["num_resumed"]]  # resumed frames took no time
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
