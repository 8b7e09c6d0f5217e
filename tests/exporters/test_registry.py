import io
import json
import re
import tracemalloc
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from sampt.errors import ConfigError, OutputError
from sampt.exporters.base import ExportObject, object_named
from sampt.exporters.boxes import run_lengths
from sampt.exporters.registry import export, run_name
from sampt.exporters.table import BUILT_IN
from sampt.files.palette import PALETTE, pick_display_color
from sampt.pipeline.segment import segment_nothing
from sampt.runs.outputs import DEFAULT_FORMATS, open_outputs
from sampt.types import FrameMasks
from sampt.video.array import ArrayVideo

ALL = sorted(BUILT_IN)
POLYGONS = ("coco-polygons", "cvat-polygons", "cvat-tracks", "yolo-seg")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "outputs.md"


def file_of(name):
    return f"out{BUILT_IN[name].suffix}"


@pytest.mark.parametrize("name", ALL)
def test_export_leaves_one_file_and_replaces_an_older_one(case, name):
    (case.folder / file_of(name)).write_bytes(b"older")
    assert case.export(name, file_of(name)) == case.folder / file_of(name)
    assert case.files() == {file_of(name)}
    assert (case.folder / file_of(name)).read_bytes() != b"older"


@pytest.mark.parametrize("name", ALL)
def test_same_result_gives_the_same_bytes(case, name):
    first = case.export(name, "first" + BUILT_IN[name].suffix).read_bytes()
    assert case.export(name, "second" + BUILT_IN[name].suffix).read_bytes() == first


@pytest.mark.parametrize("name", ALL)
def test_failure_midway_keeps_the_older_file_and_nothing_else(case, name, failing_frames):
    (case.folder / file_of(name)).write_bytes(b"older")
    with pytest.raises(OutputError, match="the segmentation failed"):
        export(name, failing_frames(case), case.video, case.objects, case.folder / file_of(name))
    assert case.files() == {file_of(name)}
    assert (case.folder / file_of(name)).read_bytes() == b"older"


@pytest.mark.parametrize("name", ALL)
def test_full_disk_is_one_line_and_leaves_no_file(case, name):
    target = case.folder / file_of(name)
    (case.folder / f"{target.name}.partial").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"cannot be written.*[Nn]o space") as info:
        case.export(name, target.name)
    assert "\n" not in str(info.value)
    assert not target.exists()


@pytest.mark.parametrize("name", ALL)
def test_missing_folder_is_one_line(case, name):
    with pytest.raises(OutputError, match=r"cannot be written") as info:
        case.export(name, f"nowhere/{file_of(name)}")
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("name", ALL)
def test_no_frame_is_refused(case, name):
    with pytest.raises(OutputError, match="given no frame"):
        case.export(name, file_of(name), frames=[])
    assert case.files() == set()


@pytest.mark.parametrize("name", ALL)
def test_clip_of_one_frame_and_one_pixel(case, name):
    video = ArrayVideo([np.full((1, 1, 3), 200, np.uint8)], fps=10)
    frames = [FrameMasks(0, [1], np.ones((1, 1, 1)), [1], [0])]
    path = case.export(name, file_of(name), video=video, frames=frames, objects=case.objects[:1])
    assert path.stat().st_size > 0


@pytest.mark.parametrize("name", ALL)
def test_frames_out_of_order_or_of_another_size_are_refused(case, name):
    with pytest.raises(OutputError, match=r"Frame 1 was to be exported after frame 3 .* ascending"):
        case.export(name, file_of(name), frames=[case.frames[3], case.frames[1]])
    smaller = FrameMasks(0, [1], np.ones((1, 8, 9)), [1], [0])
    with pytest.raises(OutputError, match="frame 0 are 9x8, expected the video's 85x47"):
        case.export(name, file_of(name), frames=[smaller])
    assert case.files() == set()


def test_frames_are_taken_one_by_one(case):
    taken = []

    def frames():
        for frame in case.frames:
            taken.append(frame.frame_idx)
            yield frame

    class Watched(ArrayVideo):
        def read(self, start, stop):
            assert (start, stop) == (taken[-1], taken[-1] + 1)
            return super().read(start, stop)

    video = Watched([case.video.read(i, i + 1)[0] for i in range(6)], fps=10)
    export("cutout-png", frames(), video, case.objects, case.folder / "o.zip")
    assert taken == list(range(6))


@pytest.mark.parametrize("name", sorted(set(ALL) - {"overlay", "cutout", "cutout-png", "sheet"}))
def test_memory_does_not_grow_with_the_masks(case, name):
    num_frames, size = 120, (90, 160)
    video = ArrayVideo(np.zeros((num_frames, *size, 3), np.uint8), fps=10)
    rng = np.random.default_rng(0)
    density = 0.05 if name == "label-studio" else 0.5  # its codes are several times as long as the others'
    density = 0.0005 if name in POLYGONS else density  # each pixel has an outline
    noise = rng.random((1, *size)) < density

    def frames():
        for i in range(num_frames):
            yield FrameMasks(i, [1], np.roll(noise, i, 2), [1], [0])

    tracemalloc.start()
    export(name, frames(), video, [object_named(1)], case.folder / file_of(name))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3e6  # the masks are 1.7 MB, and one takes more as text than as pixels


def test_unknown_kind_and_wrong_suffix_are_told(case):
    with pytest.raises(ConfigError, match=r"Unknown export 'cvta'\. Did you mean 'cvat'\?"):
        case.export("cvta", "o.xml")
    with pytest.raises(OutputError, match=r"ends in \.webm"):
        case.export("cutout", "o.mp4")


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "bell\x07", "half \ud800"])
def test_names_that_no_format_can_hold_are_refused(name):
    with pytest.raises(OutputError, match=r"Object 3 is named .* rename it") as info:
        ExportObject(3, name, (0, 0, 0))
    assert "\n" not in str(info.value)


def test_objects_must_be_given_once(case):
    with pytest.raises(OutputError, match="expected each once"):
        case.export("png", "o.zip", objects=[case.objects[0], case.objects[0]])


def test_object_without_a_name_is_called_by_its_id():
    assert object_named(12) == ExportObject(12, "object 12", pick_display_color(12))


@pytest.mark.parametrize(
    ("mask", "expected"),
    [([[0, 1], [1, 0]], [1, 2, 1]), ([[1, 1], [1, 1]], [0, 4]), ([[0, 0]], [2]), ([[1, 0, 1]], [0, 1, 1, 1])],
)
def test_run_lengths_are_row_by_row_and_start_with_background(mask, expected):
    assert run_lengths(np.array(mask, np.bool_)).tolist() == expected


def test_label_maps_are_stored_palette_pngs_in_order(case):
    with zipfile.ZipFile(case.export("png", "o.zip")) as archive:
        members = archive.infolist()
        assert [m.filename for m in members] == [f"{i:05d}.png" for i in range(6)]
        assert {m.compress_type for m in members} == {zipfile.ZIP_STORED}
        assert archive.testzip() is None
        for frame, member in zip(case.frames, members, strict=True):
            image = Image.open(io.BytesIO(archive.read(member)))
            assert image.mode == "P"
            assert image.getpalette() == PALETTE.ravel().tolist()
            assert np.array_equal(np.asarray(image), frame.label_map())


def test_only_the_objects_asked_for_are_exported(case):
    with zipfile.ZipFile(case.export("png", "o.zip", objects=case.objects[2:3])) as archive:
        labels = np.asarray(Image.open(io.BytesIO(archive.read("00000.png"))))
    assert np.array_equal(labels, case.mask(0, 5) * 5)


def test_ids_above_255_get_free_numbers_in_label_maps_and_a_list_says_which(case):
    """After many objects were made and removed; what fits keeps its id."""
    ids = [2, 256, 300]
    masks = np.array([[[1, 0, 0, 0]], [[0, 1, 0, 0]], [[0, 0, 1, 0]]], np.bool_)
    frame = FrameMasks(0, np.array(ids), masks, np.ones(3, np.float32), np.zeros(3, np.uint8))
    video = ArrayVideo(np.zeros((1, 1, 4, 3), np.uint8))
    path = case.export("png", "o.zip", video=video, frames=[frame], objects=[object_named(o) for o in ids])
    with zipfile.ZipFile(path) as archive:
        labels = np.asarray(Image.open(io.BytesIO(archive.read("00000.png"))))
        entries = json.loads(archive.read("objects.json"))
    assert labels.tolist() == [[2, 1, 3, 0]]
    assert {item["object_id"]: item["value"] for item in entries} == {2: 2, 256: 1, 300: 3}
    path = case.export("png", "o.zip", video=video, frames=[frame], objects=[object_named(2)])
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["00000.png"]


def test_more_than_255_objects_do_not_fit_into_label_maps(case):
    with pytest.raises(OutputError, match=r"256 objects"):
        case.export("png", "o.zip", objects=[object_named(o) for o in range(1, 257)])


def test_frames_of_one_name_are_refused(case):
    class SameNames(ArrayVideo):
        def frame_name(self, frame_idx):
            return "same"

    video = SameNames([case.video.read(i, i + 1)[0] for i in range(6)], fps=10)
    with pytest.raises(OutputError, match=r"Two frames .* same\.png"):
        case.export("png", "o.zip", video=video)
    assert case.files() == set()


def test_overlay_is_a_video_that_starts_at_zero(case):
    with av.open(str(case.export("overlay", "o.mp4", frames=case.frames[2:]))) as container:
        frames = list(container.decode(video=0))
    assert [round(frame.time, 3) for frame in frames] == [0.0, 0.08, 0.16, 0.24]
    assert (frames[0].height, frames[0].width) == (48, 86)


def test_the_document_lists_every_kind_with_its_files():
    text = DOCUMENT.read_text(encoding="utf-8").partition("## Into training")[0]
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    listed = {}
    for _, names, in_run, suffixes, *_ in rows:
        parts = [re.findall("`([^`]+)`", cell) for cell in (names, in_run, suffixes)]
        listed |= {name: (in_run, suffix) for name, in_run, suffix in zip(*parts, strict=True)}
    assert listed == {
        name: (made if "." in (made := run_name(name, kind)) else f"{made}/", kind.suffix) for name, kind in BUILT_IN.items()
    }
    starred = [names.split("`")[1] for _, names, *_ in rows if names.rstrip().endswith("*")]
    assert starred == list(DEFAULT_FORMATS)


@pytest.mark.parametrize("name", ALL)
def test_a_result_without_objects_is_exported_all_the_same(name, case):
    video = ArrayVideo(case.video.read(0, 3))
    with open_outputs(case.folder, [name], video) as outputs:
        for result in segment_nothing(video):
            outputs.write(video.read(result.frame_idx, result.frame_idx + 1)[0], result)
    path = outputs.files[name]
    if path.suffix == ".json":
        text = path.read_text(encoding="utf-8")
        assert '"segmentation' not in text
        json.loads(text)
    assert not list(case.folder.rglob("*.partial"))
    assert path.is_dir() or path.stat().st_size > 0
