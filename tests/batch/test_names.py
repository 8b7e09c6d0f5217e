"""Names of objects and classes in a batch: of an item, or of all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from sampt.batch.items import BatchItem
from sampt.batch.work import BatchSettings, Worker
from sampt.runs.job import RunOptions


def test_an_item_says_what_its_objects_are_called_or_the_batch_does(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "0.png")
    options = RunOptions(formats=("yolo-seg",), images="jpg")
    settings = BatchSettings(tmp_path / "out", options=options, labels={1: "dog", 5: "cat"}, classes=("cat", "dog", "owl"))
    settings.check()
    read = BatchSettings.from_json(json.loads(json.dumps(settings.to_json())))
    assert read == settings
    clicks = ("1,0,2,3", "2,0,4,5")
    plain, named = BatchItem("a", str(tmp_path), clicks), BatchItem("b", str(tmp_path), clicks, labels={"1": "owl", "2": "cat"})
    worker = Worker(read)
    jobs = [worker._job(BatchItem.from_json(json.loads(json.dumps(item.to_json())))) for item in (plain, named)]
    assert [job.labels for job in jobs] == [{1: "dog", 2: "object 2"}, {1: "owl", 2: "cat"}]
    assert {(job.classes, job.options.images) for job in jobs} == {(("cat", "dog", "owl"), "jpg")}
    assert Worker(BatchSettings(tmp_path))._job(plain).labels == {}
    assert worker._ticket(plain) != Worker(BatchSettings(tmp_path / "out", options=options))._ticket(plain)
