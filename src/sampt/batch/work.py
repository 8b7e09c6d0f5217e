"""What a worker does, whoever started it: one video after another, with backends that are made once."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sampt.batch.items import BatchItem
from sampt.batch.remote import RemoteFolder, make_mark
from sampt.config import FindConfig, SegmentConfig, default_config, flatten_settings, with_settings
from sampt.errors import BatchError, FolderBusyError, SamptError
from sampt.exporters.base import object_named
from sampt.runs.backends import Backends, backend_options, make_backends
from sampt.runs.job import Job, RunOptions
from sampt.runs.manifest import config_digest, versions
from sampt.runs.outputs import check_outputs
from sampt.runs.run import prepare_run, run_job, run_part
from sampt.weights import weights_identity

__all__ = ["PARTS_NAME", "BatchSettings", "ItemResult", "Worker"]

PARTS_NAME = ".parts"
"""Folder in the output for parts of videos that are being shared."""

Status = Literal["done", "was done", "failed", "broke down", "to share"]


@dataclass(frozen=True)
class BatchSettings:
    """What all videos of a batch have in common.

    Attributes:
        output: folder in which every item gets a folder of its name.
        config: settings of the method; the preset ``default`` when left out.
        options: how each is run.
        shared_frames: workers that have nothing else to do share a video of so many frames or more by its objects.
        labels: object id -> what it is called, in all videos that say nothing else; an object without one keeps its number.
        classes: all classes in the order of their numbers; left out: the names of each video, by object id.
        find: which objects are segmented in each that nobody named; None: none.
        upload: address that results are copied to; ``output`` is then only a location to work in. None: they stay there.
    """

    output: Path
    config: SegmentConfig = field(default_factory=default_config)
    options: RunOptions = RunOptions()
    shared_frames: int = 1000
    labels: Mapping[int, str] = field(default_factory=dict)
    classes: Sequence[str] = ()
    find: FindConfig | None = None
    upload: str | None = None

    def check(self) -> None:
        """Refuse what no item could be done with.

        Raises:
            ConfigError: an output is unknown.
            BackendError: a backend is unknown, or has no such choice.
        """
        check_outputs(self.options.formats, (), overlapping=self.config.overlapping, images=self.options.images)
        backend_options(self.config, self.options.runtime, self.options.precision)

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which :meth:`from_json` makes the settings again."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        options = {**dataclasses.asdict(self.options), "formats": list(self.options.formats)}
        values |= {"labels": {str(o): name for o, name in self.labels.items()}, "classes": list(self.classes)}
        values["find"] = None if self.find is None else dataclasses.asdict(self.find)
        return values | {"output": str(self.output), "config": flatten_settings(self.config), "options": options}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BatchSettings:
        """See :meth:`to_json`."""
        flat: dict[str, Any] = {}
        for name, value in values["config"].items():
            flat |= {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
        config = with_settings(default_config(), flat)
        options = RunOptions(**{**values["options"], "formats": tuple(values["options"]["formats"])})
        find = None if values["find"] is None else dict(values["find"])
        if find is not None and find["region"] is not None:
            find["region"] = tuple(find["region"])
        named: dict[str, Any] = {"labels": {int(o): name for o, name in values["labels"].items()}}
        named |= {"classes": tuple(values["classes"]), "find": None if find is None else FindConfig(**find)}
        return cls(**{**values, **named, "output": Path(values["output"]), "config": config, "options": options})


@dataclass(frozen=True)
class ItemResult:
    """What became of an item.

    Attributes:
        name: of the item.
        status: "done"; "was done", by an earlier run; "failed" because of what it was given, so that trying again is of no
            use; "broke down" for any other reason; "to share": nothing was done, since ``num_parts`` workers can do it.
        seconds: that it took.
        num_frames: of the result.
        error: one line, where there is none.
        attempts: how often it was tried.
        num_parts: workers that shared it by objects; 0: one did it alone.
    """

    name: str
    status: Status
    seconds: float
    num_frames: int = 0
    error: str | None = None
    attempts: int = 1
    num_parts: int = 0


class Worker:
    """Does items of one batch."""

    def __init__(self, settings: BatchSettings) -> None:
        self._settings = settings
        self._made: dict[tuple[str, ...], Backends] = {}

    def do(self, item: BatchItem, num_free: int = 1) -> ItemResult:
        """Segment one video; whatever goes wrong is in the result.

        Args:
            item: the video, or a part of it.
            num_free: workers that could share it.
        """
        start = time.perf_counter()
        try:
            return self._fetched_and_done(item, num_free, start)
        except FolderBusyError as error:  # by a worker that was taken for dead
            return ItemResult(item.name, "broke down", time.perf_counter() - start, error=str(error))
        except SamptError as error:
            return ItemResult(item.name, "failed", time.perf_counter() - start, error=str(error))
        except Exception as error:  # whatever a backend throws: the other videos go on
            line = " ".join(f"{type(error).__name__}: {error}".split())
            return ItemResult(item.name, "broke down", time.perf_counter() - start, error=line)

    def _fetched_and_done(self, item: BatchItem, num_free: int, start: float) -> ItemResult:
        """With inputs and outputs that lie elsewhere."""
        if item.error is not None:
            raise BatchError(item.error)
        upload = self._settings.upload
        if upload is None and not item.has_urls:
            return self._done(item, num_free, start)
        there = None if upload is None else RemoteFolder(upload) / item.name
        ticket = "" if there is None else self._ticket(item)
        if there is not None and not self._settings.options.overwrite and (manifest := there.done(ticket)) is not None:
            return ItemResult(item.name, "was done", time.perf_counter() - start, int(manifest["num_frames"]))
        with tempfile.TemporaryDirectory(prefix="sampt-") as folder:
            here = item.fetched(Path(folder) / "inputs")
            if there is None:
                return self._done(here, num_free, start)
            job = dataclasses.replace(self._job(here), output=Path(folder) / "results")
            run = prepare_run(job, make=self._backends)
            if there.check_room(run.run_digest, overwrite=self._settings.options.overwrite):
                return ItemResult(item.name, "was done", time.perf_counter() - start, run.video.num_frames)
            result = run_job(job, make=self._backends)
            there.put_results(job.output, ticket, result.num_frames)
        return ItemResult(item.name, "done", time.perf_counter() - start, result.num_frames)

    def _ticket(self, item: BatchItem) -> str:
        """Of all that decides an item's results, without a look into its inputs."""
        config, options = self._config(item), self._settings.options
        return config_digest(
            {
                "item": item.to_json(),
                "inputs": [make_mark(name) for name in (item.video, item.queries, item.mask) if name],
                "config": flatten_settings(config),
                "weights": [
                    weights_identity(config.tracker, config.tracker_weights),
                    weights_identity(config.segmenter, config.segmenter_weights),
                ],
                "formats": [*options.formats, options.images],
                "names": [sorted(self._settings.labels.items()), list(self._settings.classes)],
                "find": None if self._settings.find is None else dataclasses.asdict(self._settings.find),
                "choices": [options.device, options.runtime, options.precision, options.on_damage],
                "versions": versions(),
            }
        )

    def _done(self, item: BatchItem, num_free: int, start: float) -> ItemResult:
        job, parts = self._job(item), self._settings.output / PARTS_NAME / item.name
        if item.part is not None:
            num_frames = run_part(job, item.part, parts / _part_name(*item.part), make=self._backends)
            return ItemResult(item.name, "done", time.perf_counter() - start, num_frames)
        if num_free > 1 and not item.num_parts and (num_parts := self._num_parts(job, num_free)) > 1:
            return ItemResult(item.name, "to share", time.perf_counter() - start, num_parts=num_parts)
        files = [parts / _part_name(k, item.num_parts) for k in range(item.num_parts)]
        result = run_job(job, make=self._backends, parts=files)
        shutil.rmtree(parts, ignore_errors=True)
        status: Status = "was done" if result.was_complete else "done"
        return ItemResult(item.name, status, time.perf_counter() - start, result.num_frames, num_parts=item.num_parts)

    def _num_parts(self, job: Job, num_free: int) -> int:
        """Into how many parts a job that is still to do can be shared: 1 where its results would be others."""
        if job.config.reinit.enabled or job.find is not None:
            return 1
        run = prepare_run(job, make=self._backends)
        if run.finished is not None or run.video.num_frames < self._settings.shared_frames:
            return 1
        return min(num_free, len(run.object_ids))

    def _job(self, item: BatchItem) -> Job:
        config, settings, options = self._config(item), self._settings, self._settings.options
        video, queries = item.load(lambda: self._backends(config, options)[1])
        output = settings.output / item.name
        more: dict[str, Any] = {"start": item.start, "stop": item.stop, "stride": item.stride}
        more |= {"labels": self._labels(item, queries.object_ids), "classes": settings.classes}
        return Job(video, queries, output, config, options, **more, find=settings.find)

    def _labels(self, item: BatchItem, object_ids: Sequence[int]) -> dict[int, str]:
        """The names of the item's objects; none where nobody gave any."""
        if item.labels:
            return {int(o): name.strip() for o, name in item.labels.items()}
        known = self._settings.labels
        return {o: known.get(o) or object_named(o, None).name for o in object_ids} if known else {}

    def _config(self, item: BatchItem) -> SegmentConfig:
        return with_settings(self._settings.config, item.settings)

    def _backends(self, config: SegmentConfig, options: RunOptions) -> Backends:
        """Those of ``config``; items with the same ones share them, and only the ones made last are kept."""
        key = (config.tracker, config.tracker_weights, config.segmenter, config.segmenter_weights)
        if key not in self._made:
            self._made.clear()  # before the new ones are made
            self._made[key] = make_backends(config, options)
        return self._made[key]


def _part_name(k: int, num_parts: int) -> str:
    return f"{k + 1}-of-{num_parts}.part"
