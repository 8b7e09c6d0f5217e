"""Predictions for a dataset: its sequences are the videos of a batch, so that a run is parallel and resumable."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sampt.batch.driver import BatchReport, Pool, run_batch
from sampt.batch.items import BatchItem
from sampt.batch.work import BatchSettings, ItemResult
from sampt.config import SegmentConfig, flatten_settings, with_settings
from sampt.errors import EvaluationError
from sampt.evaluation.datasets import InstanceDataset, VosDataset, open_dataset, select_sequences
from sampt.evaluation.json_files import read_json
from sampt.evaluation.paper_rules import AppliedRule
from sampt.files.atomic import completing, make_folder, write_atomic
from sampt.files.names import real_path
from sampt.runs.manifest import MANIFEST_NAME, read_manifest
from sampt.types import QueryMask
from sampt.video import Video

__all__ = [
    "RUN_NAME",
    "SUBMISSION_NAME",
    "DatasetChoice",
    "load_frames",
    "load_sequence",
    "manifests",
    "note_run",
    "opened",
    "predict_dataset",
    "read_run",
    "vos_config",
    "write_submission",
]

RUN_NAME = "eval.json"
"""What was evaluated, in the folder of the predictions."""
SUBMISSION_NAME = "submission.zip"
"""What a benchmark's server takes, there too."""


@dataclass(frozen=True)
class DatasetChoice:
    """A dataset on disk, or some sequences of it.

    Attributes:
        name, root, split: see :func:`sampt.evaluation.datasets.open_dataset`.
        sequences: names; empty for all.
    """

    name: str
    root: str
    split: str | None = None
    sequences: tuple[str, ...] = ()

    def facts(self, dataset: VosDataset | InstanceDataset) -> dict[str, str]:
        """What files say of the dataset, once it has been opened: its name, its folder and the split that was meant."""
        return {"name": self.name, "root": str(real_path(self.root)), "split": dataset.split}

    def open(self) -> VosDataset | InstanceDataset:
        """The dataset with the chosen sequences; one whose objects have to be found is always whole.

        Raises:
            EvaluationError: it is not there, or a sequence is unknown.
        """
        dataset = open_dataset(self.name, self.root, self.split)
        if not self.sequences:
            return dataset
        if not isinstance(dataset, VosDataset):
            raise EvaluationError(f"{self.name} is scored as a whole, for its objects have to be found; leave --sequence out.")
        return replace(dataset, sequences=select_sequences(dataset.sequences, list(self.sequences)))

    def open_vos(self) -> VosDataset:
        """The same, of a dataset whose objects are annotated by masks.

        Raises:
            EvaluationError: as :meth:`open`, or they are not.
        """
        dataset = self.open()
        if not isinstance(dataset, VosDataset):
            raise self._not_given()
        return dataset

    def open_given(self) -> VosDataset:
        """The same, of a dataset whose objects are given by masks.

        Raises:
            EvaluationError: as :meth:`open_vos`, or they have to be found.
        """
        dataset = self.open_vos()
        if dataset.finds_objects:
            raise self._not_given()
        return dataset

    def _not_given(self) -> EvaluationError:
        return EvaluationError(f"The objects of {self.name!r} are not given by masks but have to be found.")


@lru_cache(maxsize=2)
def opened(name: str, root: str, split: str | None) -> VosDataset | InstanceDataset:
    """:func:`sampt.evaluation.datasets.open_dataset`, whose prediction a worker uses again for the next sequence."""
    return open_dataset(name, root, split)


def load_sequence(name: str, root: str, split: str | None, sequence: str) -> tuple[Video, list[QueryMask]]:
    """The frames of a sequence and the masks that its protocol gives; what a worker calls."""
    dataset = opened(name, root, split)
    assert isinstance(dataset, VosDataset)
    (found,) = select_sequences(dataset.sequences, [sequence])
    return found.open(), found.query_masks()


def load_frames(name: str, root: str, split: str | None, sequence: str) -> tuple[Video, list[QueryMask]]:
    """The frames of a sequence whose objects have to be found; likewise."""
    dataset = opened(name, root, split)
    assert isinstance(dataset, VosDataset)
    (found,) = select_sequences(dataset.sequences, [sequence])
    return found.open(), []


def vos_config(config: SegmentConfig) -> SegmentConfig:
    """``config`` with the VOS protocol: no mask before an object's first frame, and there the one that is given."""
    return with_settings(config, {"protocol": "vos"})


def predict_dataset(
    choice: DatasetChoice,
    settings: BatchSettings,
    pool: Pool,
    *,
    rules: Sequence[AppliedRule] = (),
    retries: int = 2,
    on_result: Callable[[ItemResult], None] | None = None,
) -> BatchReport:
    """Segment the objects of every sequence from their given masks, or those that are found; each sequence gets a folder of its
    name in ``settings.output``.

    Args:
        choice: the dataset.
        settings: of the method, with :func:`vos_config`; where objects have to be found, with what is looked for and
            :func:`sampt.evaluation.finding.finding_config`.
        pool: the workers, made with the same settings.
        rules: what decided settings besides the preset and the user, to be noted.
        retries, on_result: see :func:`sampt.batch.driver.run_batch`.

    Raises:
        EvaluationError: the dataset is not there, a server scores it and would not take the masks, the output holds
            predictions for another one or by other settings, or the settings find objects where they are given, or do not
            where they are not.
    """
    dataset = choice.open_vos()
    if dataset.finds_objects is (settings.find is None):
        raise EvaluationError(
            f"The objects of {dataset.name} {'have to be found' if dataset.finds_objects else 'are given'}; expected settings "
            f"{'with' if dataset.finds_objects else 'without'} find."
        )
    if dataset.is_server_scored and ("png" not in settings.options.formats or settings.config.overlapping):
        raise EvaluationError(
            f"{dataset.name} {dataset.split} is scored by a server, which wants label maps; expected png in --formats, and no "
            "--overlapping."
        )
    facts: dict[str, Any] = choice.facts(dataset)
    loader = f"{__name__}:{(load_frames if dataset.finds_objects else load_sequence).__name__}"
    items = [BatchItem(s.name, "", loader=loader, arguments={**facts, "sequence": s.name}) for s in dataset.sequences]
    if settings.find is not None:
        facts["find"] = asdict(settings.find)
    note_run(settings, facts, [s.name for s in dataset.sequences], rules)
    report = run_batch(items, settings, pool, retries=retries, on_result=on_result)
    if dataset.is_server_scored and report.is_complete:
        write_submission(dataset, settings.output, settings.output / SUBMISSION_NAME)
    return report


def note_run(settings: BatchSettings, facts: dict[str, Any], sequences: list[str], rules: Sequence[AppliedRule] = ()) -> None:
    """Say what the predictions are of; sequences join those that an earlier run with the same settings named."""
    path = make_folder(settings.output) / RUN_NAME
    said = {"dataset": facts, "config": flatten_settings(settings.config)}
    if path.exists() and not settings.options.overwrite:
        before = read_run(settings.output)
        for what in said:
            if before.get(what) != json.loads(json.dumps(said[what])):
                raise EvaluationError(
                    f"{settings.output} holds predictions with another {what}; choose another output folder, or --overwrite."
                )
        sequences = list(dict.fromkeys([*before.get("sequences", []), *sequences]))
    facts = {**said, "rules": [vars(rule) for rule in rules], "sequences": sequences}
    write_atomic(path, (json.dumps(facts, indent=1) + "\n").encode())


def read_run(predictions: Path) -> dict[str, Any]:
    """What :func:`predict_dataset` noted: "dataset" (name, root, split, how objects are found), "config", "rules" (of the
    paper, that decided some of it), "sequences"; empty for others' predictions.

    Raises:
        EvaluationError: the note is damaged.
    """
    path = predictions / RUN_NAME
    if not path.is_file():
        return {}
    try:
        said = read_json(path, "what `sampt eval run` wrote")
        names = [str(name) for name in said["sequences"]]
        rules = [AppliedRule(**rule) for rule in said.get("rules", ())]
        return {"dataset": dict(said["dataset"]), "config": dict(said["config"]), "rules": rules, "sequences": names}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EvaluationError(
            f"{path} is damaged ({type(error).__name__} {error}); expected what `sampt eval run` wrote: run it again."
        ) from None


def manifests(predictions: Path, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The manifests of the runs of the sequences that have one.

    Raises:
        OutputError: one is damaged.
    """
    for name in names:
        manifest = read_manifest(predictions / name / MANIFEST_NAME)
        if manifest is not None:
            yield name, manifest


def write_submission(dataset: VosDataset, predictions: Path, archive: Path) -> None:
    """Put the masks that a benchmark's server wants into a ZIP archive, in the layout it takes.

    Raises:
        EvaluationError: the mask of a frame is missing.
        OutputError: the archive cannot be written.
    """
    with completing(archive) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as file:  # PNG is compressed
        for sequence in dataset.sequences:
            for frame_idx in sequence.submission_frames:
                name = sequence.frame_names[frame_idx]
                path = predictions / sequence.name / "masks" / f"{name}.png"
                if not path.is_file():
                    raise EvaluationError(f"{path} is missing; expected the masks of every frame that the server wants.")
                file.write(path, dataset.submission.member(sequence.name, name))
