"""What found objects are called is their class in every format that has classes or names."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from sampt.config import FindConfig, with_settings
from sampt.exporters.table import BUILT_IN
from sampt.presets import preset
from sampt.runs.job import Job, RunOptions
from sampt.runs.outputs import output_name
from sampt.runs.run import run_job
from tests.command import run_command
from tests.evaluation.test_found_predictions import write_boxes, write_frames

WORDS = ("warm fish", "cool fish")
WITHOUT_NAMES = {"png", "coco", "npz", "overlay", "sheet", "cutout", "cutout-png"}
"""Label maps and codes of ids alone, arrays of points, and images."""
WITH_NAMES = sorted(set(BUILT_IN) - WITHOUT_NAMES)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one run that wrote every such format."""
    folder = tmp_path_factory.mktemp("found")
    write_frames(folder / "clip")
    boxes = write_boxes(folder / "boxes.json", dict(enumerate(WORDS, 1)))
    plain = {"tracker": "lucas-kanade", "segmenter": "grabcut", "reinit.enabled": False, "prompting.object_memory": False}
    options = RunOptions(formats=("png", "coco", "npz", *WITH_NAMES))
    find = FindConfig(f"boxes:{boxes}", every=2)
    result = run_job(Job(folder / "clip", [], folder / "run", with_settings(preset("default"), plain), options, find=find))
    assert [item.label for item in result.objects] == list(WORDS)
    return folder / "run"


def text_of(path: Path) -> str:
    """All that is text in a file, in a folder of files or in an archive."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return "\n".join(archive.read(name).decode("utf-8", "ignore") for name in archive.namelist())
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return "\n".join(file.read_bytes().decode("utf-8", "ignore") for file in files if file.is_file())


@pytest.mark.parametrize("kind", WITH_NAMES)
def test_words_are_in_what_the_run_writes_and_in_what_is_exported_later(output: Path, tmp_path: Path, kind: str) -> None:
    later = tmp_path / f"later{BUILT_IN[kind].suffix}"
    done = run_command("export", str(output), kind, "-o", str(later), "--quiet")
    assert done.returncode == 0, done.stderr
    for text in (text_of(output / output_name(kind)), text_of(later)):
        assert all(word in text for word in WORDS)
