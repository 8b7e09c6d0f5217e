"""Predictions for datasets whose objects have to be found: masks generated on the first frame, each tracked as an object.

The protocol of the SAM-PT paper for video instance segmentation: objects that appear later are never found.

Servers take an archive that holds ``results.json`` and no folder (codalab.org, competition 20128, as quoted in TrackEval's
``docs/YouTube-VIS-format.txt``).
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from sampt.batch.driver import BatchReport, Pool, run_batch
from sampt.batch.items import BatchItem
from sampt.batch.work import BatchSettings, ItemResult
from sampt.config import SegmentConfig, with_settings
from sampt.errors import EvaluationError, QueryError
from sampt.evaluation.datasets import InstanceDataset
from sampt.evaluation.instances.matches import RESULTS_NAME, video_folder
from sampt.evaluation.json_files import read_json
from sampt.evaluation.paper_rules import AppliedRule
from sampt.evaluation.predict import SUBMISSION_NAME, DatasetChoice, note_run, opened
from sampt.files.atomic import completing
from sampt.runs.outputs import output_name
from sampt.segmenters.automatic import AutomaticMaskConfig, generate_masks
from sampt.segmenters.base import PromptableSegmenter
from sampt.types import QueryMask
from sampt.video import Video

__all__ = ["instances_config", "load_instance_video", "predict_instances"]


def instances_config(config: SegmentConfig, given: Collection[str] = ()) -> SegmentConfig:
    """``config`` as the paper runs it: masks overlap, objects do not prompt against each other, no refinement steps.

    Prompting stays as it is where the dotted name of the setting is among ``given``.
    """
    changes = {
        "overlapping": True,
        "prompting.other_objects_as_negatives": False,
        "prompting.refinement_steps": 0,
        "protocol": "vos",
    }
    kept = {name for name in given if name.startswith("prompting.")}
    return with_settings(config, {name: value for name, value in changes.items() if name not in kept})


def load_instance_video(
    name: str, root: str, split: str | None, video_id: int, automatic_masks: dict[str, Any], *, segmenter: PromptableSegmenter
) -> tuple[Video, list[QueryMask]]:
    """The frames of a video, and the masks that are generated on the first one; what a worker calls.

    Raises:
        QueryError: none is.
    """
    dataset = opened(name, root, split)
    assert isinstance(dataset, InstanceDataset)
    video = next(v for v in dataset.videos if v.id == video_id).open()
    found = generate_masks(video.read(0, 1)[0], segmenter, AutomaticMaskConfig(**automatic_masks))
    if not found:
        raise QueryError("No mask is generated on the first frame; lower --mask-score and --mask-stability.")
    return video, [QueryMask(i, 0, found_mask.mask) for i, found_mask in enumerate(found, 1)]


def predict_instances(
    choice: DatasetChoice,
    settings: BatchSettings,
    pool: Pool,
    automatic_masks: AutomaticMaskConfig,
    *,
    rules: Sequence[AppliedRule] = (),
    retries: int = 2,
    on_result: Callable[[ItemResult], None] | None = None,
) -> BatchReport:
    """Find and segment the objects of every video; ``results.json`` has all tracks, with the mean predicted IoU as score.

    A video without an automatic mask counts as failed, and has no track.

    Args:
        choice: the dataset.
        settings: of the method, with :func:`instances_config`; its formats have "coco".
        pool: the workers, made with the same settings.
        automatic_masks: which masks are generated.
        rules: what decided settings besides the preset and the user, to be noted.
        retries, on_result: see :func:`sampt.batch.driver.run_batch`.

    Raises:
        EvaluationError: the dataset is not there, its objects are given, or the output holds other predictions.
    """
    dataset = choice.open()
    if not isinstance(dataset, InstanceDataset):
        raise EvaluationError(f"The objects of {choice.name!r} are given by masks; expected a dataset in YouTube-VIS form.")
    if "coco" not in settings.options.formats:
        raise EvaluationError("Tracks are made from the format coco; name it in --formats.")
    facts = {**choice.facts(dataset), "automatic_masks": dataclasses.asdict(automatic_masks)}
    names = {video.id: video_folder(video.id, video.name) for video in dataset.videos}
    loader = f"{__name__}:{load_instance_video.__name__}"
    items = [BatchItem(name, "", loader=loader, arguments={**facts, "video_id": i}) for i, name in names.items()]
    note_run(settings, facts, list(names.values()), rules)
    report = run_batch(items, settings, pool, retries=retries, on_result=on_result)
    done = {r.name for r in report.results if r.status in ("done", "was done")}
    # Nothing tells what an object is: any category that the dataset has will do, and scores are taken without categories.
    category_id = min(dataset.categories, default=1)
    results = settings.output / RESULTS_NAME
    _write_results(results, {i: settings.output / name for i, name in names.items() if name in done}, category_id)
    if dataset.is_server_scored:  # unlike with masks, a server misses nothing where a video has no track
        with (
            completing(settings.output / SUBMISSION_NAME) as partial,
            zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file,
        ):
            file.write(results, RESULTS_NAME)
    return report


def _write_results(path: Path, folders: dict[int, Path], category_id: int) -> None:
    with completing(path) as partial, partial.open("w", encoding="ascii") as file:
        file.write("[")
        between = ""
        for video_id, folder in folders.items():
            for track in _tracks(folder / output_name("coco")):
                file.write(between + json.dumps({"video_id": video_id, "category_id": category_id, **track}))
                between = ",\n"
        file.write("]\n")


def _tracks(path: Path) -> Iterator[dict[str, Any]]:
    try:
        for item in read_json(path, "the tracks of a video")["annotations"]:
            if any(item["segmentations"]):
                yield {"score": float(item["score"]), "segmentations": list(item["segmentations"])}
    except (KeyError, TypeError, ValueError) as error:
        facts = f"{type(error).__name__} {error}"
        raise EvaluationError(f"{path} was changed ({facts}); expected the tracks of a video: run it again.") from error
