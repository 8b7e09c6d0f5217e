"""A run's folder gives back what its run has found, and says what it lacks."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.config import PromptConfig, ReinitConfig, SamplingConfig, SegmentConfig, with_settings
from sampt.errors import OutputError, QueryError, VideoError
from sampt.exporters.base import object_named
from sampt.exporters.registry import export
from sampt.exporters.table import BUILT_IN
from sampt.runs.job import Job, RunOptions
from sampt.runs.outputs import output_name
from sampt.runs.run import run_job
from sampt.runs.saved import SavedRun, is_run
from sampt.testing.fakes import ExactSegmenter, ExactStreamTracker
from sampt.testing.scenes import crossing_scene
from sampt.types import QueryMask
from sampt.video.streaming import StreamFrame, StreamingVideo

NUM_FRAMES = 7
SCENE = crossing_scene(NUM_FRAMES)
CONFIG = SegmentConfig(
    tracker="dis-flow",
    sampling=SamplingConfig(),
    prompting=PromptConfig(refinement_steps=0),
    reinit=ReinitConfig(),
    protocol="vos",
)
FOLDERS = ["png", "cutout-png", "yolo-seg", "mots", "image-folder"]
SINGLE_FILES = sorted(set(BUILT_IN) - set(FOLDERS))


@pytest.fixture(scope="module", autouse=True)
def _exact():
    """Backends that know the scene, instead of those that the names mean."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sampt.runs.backends.create_segmenter", lambda name, **options: ExactSegmenter(SCENE))
        patch.setattr("sampt.runs.backends.create_tracker", lambda name, **options: ExactStreamTracker(SCENE))
        yield


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images whose names are in no order of the alphabet."""
    folder = tmp_path_factory.mktemp("video") / "clip"
    folder.mkdir()
    for i in range(NUM_FRAMES):
        Image.fromarray(SCENE.frame(i)).save(folder / f"img{8 + i}.png")
    return folder


@pytest.fixture(scope="module")
def make(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Runs of the frames."""

    def run(formats: Any, **changes: Any) -> Path:
        folder: Path = changes.pop("folder", None) or tmp_path_factory.mktemp("runs") / "run"
        queries = [QueryMask(o, 0, m) for o, m in enumerate(SCENE.masks(0), 1)]
        given: dict[str, Any] = {"video": str(frames), "queries": queries, "config": CONFIG}
        run_job(Job(**given | changes, output=folder, options=RunOptions(formats=tuple(formats))))
        return folder

    return run


@pytest.fixture(scope="module")
def whole(make: Callable[..., Path]) -> Path:
    """A run that has written everything."""
    return make(BUILT_IN)


def exported(run: SavedRun, kind: str, folder: Path) -> Path:
    """All of a run in one file."""
    run.check(BUILT_IN[kind].needs)
    return export(
        kind,
        run.frames(range(run.video.num_frames), run.object_ids),
        run.video,
        [object_named(object_id, run.labels.get(object_id)) for object_id in run.object_ids],
        folder / f"out{BUILT_IN[kind].suffix}",
        overlapping=run.overlapping,
        num_frames=run.video.num_frames,
        mean_scores=run.mean_scores,
        classes=run.classes,
    )


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_writes_every_kind_in_its_folder(whole: Path) -> None:
    assert {path.name for path in whole.iterdir()} == {"run.json", *map(output_name, BUILT_IN)}
    assert is_run(whole)


@pytest.mark.parametrize("kind", SINGLE_FILES)
def test_an_export_is_the_file_that_the_run_itself_writes(whole: Path, tmp_path: Path, kind: str) -> None:
    assert exported(SavedRun(whole), kind, tmp_path).read_bytes() == (whole / output_name(kind)).read_bytes()


def test_names_and_classes_of_a_run_are_those_of_its_exports(make: Callable[..., Path], tmp_path: Path) -> None:
    kinds = ["coco-instances", "mots", "youtube-vis"]
    folder = make(["png", "coco", *kinds], labels={1: "bee", 2: "wasp"}, classes=["wasp", "ant", "bee"])
    run = SavedRun(folder)
    assert (run.labels, run.classes) == ({1: "bee", 2: "wasp"}, ("wasp", "ant", "bee"))
    categories = json.loads((folder / "coco-instances.json").read_text())["categories"]
    assert [c["name"] for c in categories] == ["wasp", "ant", "bee"]
    assert (folder / "mots" / "train" / "instances" / "labels.txt").read_text() == "wasp\nant\nbee\n"
    for kind in kinds:
        path = exported(run, kind, tmp_path)
        if kind == "mots":
            assert members(path) == files_below(folder / "mots")
        else:
            assert path.read_bytes() == (folder / output_name(kind)).read_bytes()


@pytest.mark.parametrize(
    ("labels", "classes", "text"),
    [
        ({1: "bee"}, [], "no name for object 2"),
        ({1: "bee", 2: "wasp", 3: "ant"}, [], "object 3, which there is not"),
        ({1: "bee", 2: "wasp"}, ["bee"], "'wasp', which is none of the classes bee"),
    ],
)
def test_labels_that_do_not_fit_the_run_leave_nothing(
    make: Callable[..., Path], tmp_path: Path, labels: dict[int, str], classes: list[str], text: str
) -> None:
    with pytest.raises((OutputError, QueryError), match=text) as info:
        make(["coco-instances"], labels=labels, classes=classes, folder=tmp_path / "run")
    assert "\n" not in str(info.value)
    assert not list(tmp_path.glob("run/*.json"))


@pytest.mark.parametrize("kind", FOLDERS)
def test_an_archive_holds_the_files_of_the_runs_folder(whole: Path, tmp_path: Path, kind: str) -> None:
    assert members(exported(SavedRun(whole), kind, tmp_path)) == files_below(whole / output_name(kind))


def test_scores_of_frames_are_left_out_where_nobody_knows_them(make: Callable[..., Path], tmp_path: Path) -> None:
    def tasks(path: Path) -> Any:
        return json.loads(path.read_text())

    folder = make(["png", "label-studio"])
    wanted = tasks(folder / "label-studio.json")
    scores = [region.pop("score", None) for task in wanted for region in task["predictions"][0]["result"]]
    assert any(scores)
    assert [task["predictions"][0].pop("score", None) for task in wanted].count(None) < len(wanted)
    assert tasks(exported(SavedRun(folder), "label-studio", tmp_path)) == wanted


@pytest.mark.parametrize("formats", [["png"], ["coco"], ["coco", "npz"]])
def test_masks_come_of_whatever_has_them(make: Callable[..., Path], whole: Path, tmp_path: Path, formats: list[str]) -> None:
    path = exported(SavedRun(make(formats)), "cvat", tmp_path)
    assert path.read_bytes() == (whole / "cvat.xml").read_bytes()


def test_masks_that_overlap_stay_whole(make: Callable[..., Path], tmp_path: Path) -> None:
    folder = make(["png", "youtube-vis"], config=with_settings(CONFIG, {"overlapping": True}))
    run = SavedRun(folder)
    assert exported(run, "youtube-vis", tmp_path).read_bytes() == (folder / "youtube-vis.json").read_bytes()
    assert members(exported(run, "png", tmp_path)) == files_below(folder / "masks")
    assert {name.partition("/")[0] for name in members(tmp_path / "out.zip")} == {"1", "2"}


def test_chosen_frames_are_the_runs_own(make: Callable[..., Path], tmp_path: Path) -> None:
    queries = [QueryMask(o, 2, m) for o, m in enumerate(SCENE.masks(2), 1)]
    folder = make(["png", "overlay", "npz"], start=2, stride=2, queries=queries)
    run = SavedRun(folder)
    assert (run.video.num_frames, run.video.frame_name(1)) == (3, "img12")
    assert exported(run, "overlay", tmp_path).read_bytes() == (folder / "overlay.mp4").read_bytes()
    (frame,) = run.frames(range(2, 3), [1])
    assert np.array_equal(frame.masks, SCENE.masks(6))
    assert np.array_equal(run.video.read(2, 3)[0], SCENE.frame(6))


def test_what_a_folder_lacks_is_told(make: Callable[..., Path], tmp_path: Path) -> None:
    masks, points = SavedRun(make(["png"])), SavedRun(make(["npz"]))
    with pytest.raises(OutputError, match=r"has saved no points \(its formats are png\).* npz in --formats"):
        exported(masks, "tracks-csv", tmp_path)
    with pytest.raises(OutputError, match=r"has saved no masks .* png or coco in --formats"):
        exported(points, "cvat", tmp_path)
    assert (masks.has_points, points.has_points) == (False, True)
    assert exported(points, "tracks-csv", tmp_path).stat().st_size > 0


def test_the_video_is_needed_for_images_alone_and_may_have_moved(
    make: Callable[..., Path], whole: Path, frames: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(frames, moved)
    folder = make(["coco"], video=str(moved))
    moved.rename(tmp_path / "clip")
    run = SavedRun(folder)
    with pytest.raises(VideoError, match=r"needs the video of the run.*no file or folder.*--video"):
        exported(run, "cutout", tmp_path)
    assert exported(run, "cvat-boxes", tmp_path).stat().st_size > 0
    again = SavedRun(folder, video=tmp_path / "clip")
    assert exported(again, "cutout", tmp_path).read_bytes() == (whole / "cutout.webm").read_bytes()
    Image.fromarray(SCENE.frame(0)).save(tmp_path / "clip" / "img9.png")
    with pytest.raises(VideoError, match="is not the video of the run"):
        SavedRun(folder, video=tmp_path / "clip")


def test_unknown_objects_and_frames_are_told_at_once(whole: Path) -> None:
    run = SavedRun(whole)
    with pytest.raises(QueryError, match="no object 7; expected ids of: 1, 2"):
        run.frames(range(3), [1, 7])
    for wrong in (range(5, 9), range(-1, 2), range(3, 3)):
        with pytest.raises(QueryError, match="range within 0 to 6"):
            run.frames(wrong, [1])


def test_folders_without_a_finished_run_are_told(tmp_path: Path) -> None:
    assert not is_run(tmp_path)
    (tmp_path / "resume.journal").write_bytes(b"")
    assert is_run(tmp_path)
    with pytest.raises(OutputError, match="holds no finished run"):
        SavedRun(tmp_path)


@pytest.mark.parametrize("name", ["run.json", "masks/img9.png", "tracks.npz"])
def test_a_file_that_was_changed_is_one_line(whole: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / name).write_text("{}")
    with pytest.raises((OutputError, QueryError)) as info:
        exported(SavedRun(folder), "cvat", tmp_path)
    assert "\n" not in str(info.value)
    assert not (tmp_path / "out.xml").exists()


def test_a_live_run_writes_every_kind_and_is_exported_without_its_frames(make: Callable[..., Path], tmp_path: Path) -> None:
    video = StreamingVideo((StreamFrame(SCENE.frame(i), i / 8) for i in range(NUM_FRAMES)), 8, "camera")
    folder = make(BUILT_IN, video=video)
    assert {path.name for path in folder.iterdir()} == {"run.json", *map(output_name, BUILT_IN)}
    assert json.loads((folder / "tracks.json").read_text())["video"]["num_frames"] == NUM_FRAMES
    assert f"<size>{NUM_FRAMES}</size>" in (folder / "cvat.xml").read_text()
    run = SavedRun(folder)
    for kind in ("coco", "cvat", "youtube-vis", "npz"):
        assert exported(run, kind, tmp_path).read_bytes() == (folder / output_name(kind)).read_bytes()
    with pytest.raises(VideoError, match="camera was streamed and cannot be read again"):
        exported(run, "overlay", tmp_path)
