import json
import resource
import zipfile

import numpy as np
import pytest
from PIL import Image

from sampt.errors import ConfigError, OutputError
from sampt.exporters.tracks_npz import load_tracks
from sampt.runs.folder import RunFolder
from sampt.runs.manifest import write_manifest
from sampt.runs.outputs import DEFAULT_FORMATS, open_outputs

ALL = {"masks.json", "tracks.npz", "overlay.mp4", "sheet.png"} | {f"masks/{i:05d}.png" for i in range(5)}


def feed(outputs, video, kit, count=5):
    for i in range(count):
        outputs.write(video.read(i, i + 1)[0], kit.result(i))


def test_all_formats_are_written_together(tmp_path, kit, video):
    with open_outputs(tmp_path / "a" / "b", list(DEFAULT_FORMATS), video, object_ids=[1, 2, 7]) as outputs:
        feed(outputs, video, kit)
        assert not {"masks.json", "tracks.npz", "overlay.mp4", "sheet.png"} & kit.names_in(tmp_path / "a" / "b")
    folder = tmp_path / "a" / "b"
    assert kit.names_in(folder) == ALL
    assert np.array_equal(np.asarray(Image.open(folder / "masks/00004.png")), kit.result(4).label_map())
    assert json.loads((folder / "masks.json").read_text())["annotations"][0]["areas"] == [300] * 5
    assert load_tracks(folder / "tracks.npz").frame_names.tolist() == [f"{i:05d}" for i in range(5)]


def test_masks_and_tables_are_byte_identical_between_runs(tmp_path, kit, video):
    names = ["masks/00002.png", "masks.json", "tracks.npz", "sheet.png"]
    for run in ("a", "b"):
        with open_outputs(tmp_path / run, ["png", "coco", "npz", "sheet"], video) as outputs:
            feed(outputs, video, kit)
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_overlapping_output_has_a_folder_an_object(tmp_path, kit, video):
    with open_outputs(tmp_path, ["png"], video, object_ids=[1, 2, 999], overlapping=True) as outputs:
        feed(outputs, video, kit, 1)
    assert kit.names_in(tmp_path) == {f"masks/{i}/00000.png" for i in (1, 2, 7)}


def test_frames_are_written_beside_by_the_formats_that_can_have_them(tmp_path, kit, video):
    formats, labels = ["coco", "coco-instances", "yolo-seg"], {1: "bat", 2: "ball", 7: "bat"}
    named = {"object_ids": [1, 2, 7], "labels": labels, "classes": ["ball", "bat"], "images": "png"}
    with open_outputs(tmp_path, formats, video, **named) as outputs:
        feed(outputs, video, kit, 2)
    assert {path.name for path in outputs.files.values()} == {"masks.json", "coco-instances.zip", "yolo-seg"}
    with zipfile.ZipFile(outputs.files["coco-instances"]) as archive:
        with archive.open("images/default/00001.png") as file:
            assert np.array_equal(np.asarray(Image.open(file)), video.read(1, 2)[0])
        data = json.loads(archive.read("annotations/instances_default.json"))
    assert [c["name"] for c in data["categories"]] == ["ball", "bat"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "yolo-seg/images/train/00001.png")), video.read(1, 2)[0])
    with pytest.raises(ConfigError, match="None of the formats png, coco can have the frames beside"):
        open_outputs(tmp_path, ["png", "coco"], video, images="jpg")


def test_failure_leaves_finished_masks_only(tmp_path, kit, video):
    with pytest.raises(ZeroDivisionError), open_outputs(tmp_path, list(DEFAULT_FORMATS), video) as outputs:
        feed(outputs, video, kit, 2)
        raise ZeroDivisionError
    complete = {name for name in kit.names_in(tmp_path) if not name.endswith(".partial")}
    assert complete == {"masks/00000.png", "masks/00001.png"}


def test_manifest_of_an_earlier_run_is_gone_when_a_new_one_starts(tmp_path, kit, video):
    write_manifest(tmp_path / "run.json", {"run_digest": "mine"})
    with RunFolder(tmp_path, "mine").started(overwrite=False):
        outputs = open_outputs(tmp_path, ["png"], video)
        assert kit.names_in(tmp_path) == {"resume.journal"}
    outputs.close(success=True)
    outputs.close(success=True)  # nothing is left to close


def test_unknown_format_is_named_before_anything_is_made(tmp_path, video):
    with pytest.raises(ConfigError, match=r"Unknown output 'pgn'. Did you mean 'png'\? Available: png, coco"):
        open_outputs(tmp_path / "out", ["coco", "pgn"], video)
    assert not (tmp_path / "out").exists()


def test_id_too_large_for_png_is_refused_before_anything_is_made(tmp_path, video):
    with pytest.raises(OutputError, match="Object id 300"):
        open_outputs(tmp_path / "out", ["png"], video, object_ids=[1, 300])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_folder_that_is_a_file_is_one_line(tmp_path, video, name):
    (tmp_path / "file").write_text("keep me")
    with pytest.raises(OutputError, match="choose another output folder") as info:
        open_outputs(tmp_path / name, ["png"], video)
    assert "\n" not in str(info.value)
    assert (tmp_path / "file").read_text() == "keep me"


def test_folder_that_cannot_be_written_is_one_line(video):
    with pytest.raises(OutputError, match=r"/proc/.* cannot be written") as info:
        open_outputs("/proc/sampt-out", ["png"], video)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("name", ["masks.json", "tracks.npz", "sheet.png"])
def test_disk_full_at_the_end_leaves_no_complete_looking_file_of_that_name(tmp_path, kit, video, name):
    outputs = open_outputs(tmp_path, ["png", "coco", "npz", "sheet"], video)
    feed(outputs, video, kit)
    kit.block(tmp_path / name)
    with pytest.raises(OutputError, match="No space left on device") as info:
        outputs.close(success=True)
    assert "\n" not in str(info.value)
    assert name not in kit.names_in(tmp_path)


@pytest.mark.parametrize("chosen", [["coco"], ["npz"], ["png"]])
def test_no_room_on_the_way_is_one_line(tmp_path, kit, video, chosen):
    """A limit on file size makes real writes fail part-way, for any user."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    outputs = open_outputs(tmp_path, chosen, video)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
        with pytest.raises(OutputError, match=r"\(File too large\): expected room on the disk") as info:
            feed(outputs, video, kit)
            outputs.close(success=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        outputs.close(success=False)
    assert "\n" not in str(info.value)
    assert {name for name in kit.names_in(tmp_path) if not name.endswith(".partial")} == set()
