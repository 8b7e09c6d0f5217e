"""The file of scores that lies beside predictions: what `sampt eval score` writes and `sampt eval report` reads."""

from __future__ import annotations

import json
from pathlib import Path

from sampt.errors import EvaluationError
from sampt.evaluation.datasets import VosDataset, open_dataset
from sampt.evaluation.instances.matches import ScoredInstances, score_instances
from sampt.evaluation.json_files import read_json
from sampt.evaluation.predict import DatasetChoice, read_run
from sampt.evaluation.vos.results import Scores
from sampt.evaluation.vos.score import score_dataset
from sampt.files.atomic import make_folder, write_atomic

__all__ = ["SCORES_NAME", "read_scores", "score_predictions", "write_scores"]

SCORES_NAME = "scores.json"


def score_predictions(
    choice: DatasetChoice, predictions: Path, *, workers: int | None = None, use_categories: bool | None = None
) -> Scores | ScoredInstances:
    """Score the predictions of any method, by the protocol of the dataset that they are for.

    Args:
        choice: the dataset.
        predictions: folder of masks, see :func:`sampt.evaluation.score_dataset`; of a dataset whose objects have to be found,
            one that holds ``results.json``.
        workers: frames of masks that are scored at once; None for one a processor core.
        use_categories: tracks match only within their category. None: they do, but not in what sampt itself found, for it does
            not tell what an object is.

    Raises:
        EvaluationError: the dataset is not there, its annotations are not public, or the predictions do not fit it.
    """
    dataset = choice.open()
    if isinstance(dataset, VosDataset):
        if use_categories is not None:
            raise EvaluationError(
                f"The objects of {choice.name} are given, so that no category is reported; leave --categories out."
            )
        return score_dataset(dataset, predictions, workers=workers)
    if use_categories is None:
        use_categories = not read_run(predictions)
    return score_instances(dataset, predictions, use_categories=use_categories)


def write_scores(path: Path, choice: DatasetChoice, scores: Scores | ScoredInstances) -> None:
    """Write ``scores`` and what dataset they are of.

    Raises:
        OutputError: the file cannot be written.
    """
    values = {"gt": choice.facts(open_dataset(choice.name, choice.root, choice.split)), **scores.to_dict()}
    make_folder(path.parent)
    write_atomic(path, (json.dumps(values) + "\n").encode())


def read_scores(folder: Path) -> tuple[DatasetChoice, Scores | ScoredInstances]:
    """What :func:`write_scores` wrote as ``scores.json`` in a folder of predictions.

    Raises:
        EvaluationError: there are no scores, or they are damaged.
    """
    path = folder / SCORES_NAME
    if not path.is_file():
        raise EvaluationError(f"{folder} has no {SCORES_NAME}; expected scored predictions: run `sampt eval score {folder}`.")
    values = read_json(path, "scores")
    again = f"run `sampt eval score {folder}` again."
    try:
        gt = values["gt"]
        choice = DatasetChoice(str(gt["name"]), str(gt["root"]), str(gt["split"]))
        kind: type[Scores] | type[ScoredInstances] = ScoredInstances if "ap" in values else Scores
    except (KeyError, TypeError) as error:
        raise EvaluationError(f"{path} holds no scores ({type(error).__name__} {error}); {again}") from None
    try:
        return choice, kind.from_dict(values)
    except EvaluationError as error:
        raise EvaluationError(f"{path} is damaged. {error} Please {again}") from None
