"""Predictions for datasets whose objects have to be found.

Either as :mod:`sampt.finding` does, or by the protocol of the SAM-PT paper for video instance segmentation: masks generated on
the first frame, each tracked as an object, so that objects that appear later are never found.

Servers take an archive that holds ``results.json`` and no folder (codalab.org, competition 20128, as quoted in TrackEval's
``docs/YouTube-VIS-format.txt``).
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sampt.batch.driver import BatchReport, Pool, run_batch
from sampt.batch.items import BatchItem
from sampt.batch.work import BatchSettings, ItemResult
from sampt.config import SegmentConfig, with_settings
from sampt.errors import EvaluationError, QueryError
from sampt.evaluation.datasets import InstanceDataset, InstanceVideo
from sampt.evaluation.instances.matches import RESULTS_NAME, video_folder
from sampt.evaluation.json_files import read_json
from sampt.evaluation.paper_rules import AppliedRule
from sampt.evaluation.predict import SUBMISSION_NAME, DatasetChoice, note_run, opened
from sampt.files.atomic import completing
from sampt.runs.manifest import MANIFEST_NAME, read_manifest
from sampt.runs.outputs import output_name
from sampt.segmenters.automatic import AutomaticMaskConfig, generate_masks
from sampt.segmenters.base import PromptableSegmenter
from sampt.types import QueryMask
from sampt.video import Video

__all__ = ["instances_config", "load_instance_frames", "load_instance_video", "predict_instances"]


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


def load_instance_frames(name: str, root: str, split: str | None, video_id: int) -> tuple[Video, list[QueryMask]]:
    """The frames of a video, in which objects are found; what a worker calls."""
    return _instance_video(name, root, split, video_id).open(), []


def load_instance_video(
    name: str, root: str, split: str | None, video_id: int, automatic_masks: dict[str, Any], *, segmenter: PromptableSegmenter
) -> tuple[Video, list[QueryMask]]:
    """The frames of a video, and the masks that are generated on the first one; likewise.

    Raises:
        QueryError: none is.
    """
    video = _instance_video(name, root, split, video_id).open()
    found = generate_masks(video.read(0, 1)[0], segmenter, AutomaticMaskConfig(**automatic_masks))
    if not found:
        raise QueryError("No mask is generated on the first frame; lower --mask-score and --mask-stability.")
    return video, [QueryMask(i, 0, found_mask.mask) for i, found_mask in enumerate(found, 1)]


def _instance_video(name: str, root: str, split: str | None, video_id: int) -> InstanceVideo:
    dataset = opened(name, root, split)
    assert isinstance(dataset, InstanceDataset)
    return next(v for v in dataset.videos if v.id == video_id)


def predict_instances(
    choice: DatasetChoice,
    settings: BatchSettings,
    pool: Pool,
    automatic_masks: AutomaticMaskConfig | None,
    *,
    rules: Sequence[AppliedRule] = (),
    retries: int = 2,
    on_result: Callable[[ItemResult], None] | None = None,
) -> BatchReport:
    """Find and segment the objects of every video; ``results.json`` has all tracks, with the mean predicted IoU as score.

    A video without an automatic mask counts as failed, and has no track. What was found by a word that is the name of a
    category is of this category. Of all else nothing tells what it is, and any that the dataset has will do: scores are taken
    without them, unless it is said otherwise.

    Args:
        choice: the dataset.
        settings: of the method, with :func:`instances_config`; its formats have "coco".
        pool: the workers, made with the same settings.
        automatic_masks: which masks are generated on the first frame; None where ``settings`` tell what is looked for.
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
    facts: dict[str, Any] = choice.facts(dataset)
    names = {video.id: video_folder(video.id, video.name) for video in dataset.videos}
    load: Callable[..., tuple[Video, list[QueryMask]]] = load_instance_frames
    arguments = dict(facts)
    if automatic_masks is not None:
        load = load_instance_video
        arguments["automatic_masks"] = facts["automatic_masks"] = dataclasses.asdict(automatic_masks)
    elif settings.find is not None:
        facts["find"] = dataclasses.asdict(settings.find)
    loader = f"{__name__}:{load.__name__}"
    items = [BatchItem(name, "", loader=loader, arguments={**arguments, "video_id": i}) for i, name in names.items()]
    note_run(settings, facts, list(names.values()), rules)
    report = run_batch(items, settings, pool, retries=retries, on_result=on_result)
    done = {r.name for r in report.results if r.status in ("done", "was done")}
    results = settings.output / RESULTS_NAME
    _write_results(results, {i: settings.output / name for i, name in names.items() if name in done}, dataset.categories)
    if dataset.is_server_scored:  # unlike with masks, a server misses nothing where a video has no track
        with (
            completing(settings.output / SUBMISSION_NAME) as partial,
            zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file,
        ):
            file.write(results, RESULTS_NAME)
    return report


def _write_results(path: Path, folders: dict[int, Path], categories: Mapping[int, str]) -> None:
    by_name = {_plain_name(name): category_id for category_id, name in categories.items()}
    other = min(categories, default=1)
    with completing(path) as partial, partial.open("w", encoding="ascii") as file:
        file.write("[")
        between = ""
        for video_id, folder in folders.items():
            labels = _found_labels(folder)
            for object_id, track in _tracks(folder / output_name("coco")):
                category_id = by_name.get(_plain_name(labels.get(object_id, "")), other)
                file.write(between + json.dumps({"video_id": video_id, "category_id": category_id, **track}))
                between = ",\n"
        file.write("]\n")


def _plain_name(name: str) -> str:
    """A name as far as writing does not matter: "giant_panda" of a dataset is "a giant panda" of a user."""
    words = name.casefold().replace("_", " ").split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words)


def _found_labels(folder: Path) -> dict[int, str]:
    """Object id -> what found objects are called, of those that have a name."""
    manifest = read_manifest(folder / MANIFEST_NAME) or {}
    found = manifest.get("found", {}).get("objects", [])
    return {int(item["id"]): str(item["label"]) for item in found if item["label"] is not None}


def _tracks(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Object ids and what a result tells of each."""
    try:
        for item in read_json(path, "the tracks of a video")["annotations"]:
            if any(item["segmentations"]):
                yield int(item["id"]), {"score": float(item["score"]), "segmentations": list(item["segmentations"])}
    except (KeyError, TypeError, ValueError) as error:
        facts = f"{type(error).__name__} {error}"
        raise EvaluationError(f"{path} was changed ({facts}); expected the tracks of a video: run it again.") from error
