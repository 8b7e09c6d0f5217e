"""``sampt export``: a project's masks as files, from the command line."""

import csv
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from sampt.cli.main import main
from sampt.exporters.table import BUILT_IN
from sampt.session import Session
from sampt.testing import slow_scene

SCENE = slow_scene()
FRAMES = range(4)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two objects of a scene, given as masks and followed by the bundled networks over some of six frames."""
    root = tmp_path_factory.mktemp("export")
    (root / "frames").mkdir()
    for i in range(6):
        Image.fromarray(SCENE.frame(i)).save(root / "frames" / f"{i:05d}.png")
    with Session.create(root / "frames", root / "scene.sampt") as session:
        for object_id, mask in enumerate(SCENE.masks(0)[:2], 1):
            session.add_object(f"thing {object_id}")
            session.set_mask(object_id, 0, mask)
        assert sum(1 for _ in session.propagate(FRAMES)) == len(FRAMES)
    return root / "scene.sampt"


@pytest.fixture(scope="module")
def run(project):
    """A finished run that has saved label maps alone, of the same frames."""
    folder = project.parent / "run"
    click = ",".join(str(int(v)) for v in np.argwhere(SCENE.masks(0)[0]).mean(0)[::-1])
    arguments = ["segment", project.parent / "frames", "--points", f"3,0,{click}", "--formats", "png", "-o", folder, "--quiet"]
    arguments += ["--labels", "3=ball", "--classes", "bat,ball"]
    assert main([str(a) for a in arguments]) == 0
    return folder


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_help_lists_what_there_is_in_its_own_words(call):
    listed = call("export", "--help").out.partition("kinds:\n")[2].partition("\n\n")[0]
    text = [line.split(maxsplit=1) for line in listed.splitlines()]
    assert [(name, title.lower()) for name, title in text] == [(n, e.title.lower()) for n, e in BUILT_IN.items()]


def test_masks_are_those_of_the_project(call, project, tmp_path):
    done = call("export", project, "png", "--quiet")
    assert (done.status, done.out) == (0, "scene-png.zip\n")
    with zipfile.ZipFile(tmp_path / "scene-png.zip") as archive:
        assert archive.namelist() == [f"{i:05d}.png" for i in FRAMES]
        with archive.open("00000.png") as file:
            labels = np.asarray(Image.open(file))
    given = SCENE.masks(0)
    assert np.array_equal(labels == 1, given[0] & ~(given[1] & (labels == 2)))
    assert (labels[given[1] & ~given[0]] == 2).all()


def test_objects_and_frames_can_be_chosen(call, project, tmp_path):
    done = call("export", project, "tracks-csv", "-o", tmp_path / "t.csv", "--objects", "2", "--start", "1", "--stop", "3")
    assert done.status == 0
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["object_id"], row["frame_idx"]) for row in rows} == {("2", "1"), ("2", "2")}


def test_labels_classes_and_frames_go_into_the_archive(call, project, tmp_path):
    (tmp_path / "names.txt").write_text("1=dog, small\n2=cat\n")
    arguments = ["--labels", "names.txt", "--classes", "names-of-all.txt", "--images", "jpg", "--quiet"]
    (tmp_path / "names-of-all.txt").write_text("cat\nhorse\ndog, small\n")
    done = call("export", project, "coco-instances", *arguments)
    assert (done.status, done.out) == (0, "scene-coco-instances.zip\n")
    with zipfile.ZipFile(tmp_path / "scene-coco-instances.zip") as archive:
        data = json.loads(archive.read("annotations/instances_default.json"))
        assert [c["name"] for c in data["categories"]] == ["cat", "horse", "dog, small"]
        assert {(a["attributes"]["track_id"], a["category_id"]) for a in data["annotations"]} == {(1, 3), (2, 1)}
        assert {i["file_name"] for i in data["images"]} == {f"{i:05d}.jpg" for i in FRAMES}
        assert {n for n in archive.namelist() if n.endswith(".jpg")} == {f"images/default/{i:05d}.jpg" for i in FRAMES}


def test_results_that_are_missing_are_told_of(call, project, caplog):
    assert call("export", project, "youtube-vis").status == 0
    assert "4 of 6 frames have masks that are up to date, 0 are out of date and 2 not propagated" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["cvta"], "Did you mean 'cvat'?"),
        (["cvat", "--objects", "7"], "no object 7"),
        (["cvat", "--labels", "1=dog"], "no name for object 2"),
        (["cvat", "--labels", "1=dog,2=cat,3=cow"], "object 3, which there is not"),
        (["cvat", "--labels", "dog,cat"], "expected ID=NAME"),
        (["cvat", "--labels", "1=dog,1=cat"], "two labels"),
        (["cvat", "--labels", "nowhere.json"], "cannot be read from nowhere.json"),
        (["cvat", "--labels", "1=dog,2=cat", "--classes", "dog"], "'cat', which is none of the classes dog"),
        (["cvat", "--classes", "dog,dog"], "listed twice"),
        (["overlay", "--images", "png"], "no place for the frames"),
        (["cvat", "--objects", "one"], "no list of object ids"),
        (["cvat", "--stop", "99"], "range within 0 to 5"),
        (["cvat", "--start", "5"], "no frame"),
        (["cvat", "-o", "there/a.xml"], "there"),
        (["cvat", "-o", "a.json"], "ends in .xml"),
        (["cvat", "--video", "nowhere.mp4"], "nowhere.mp4"),
    ],
)
def test_mistakes_are_one_line(call, project, tmp_path, arguments, text):
    done = call("export", project, *arguments)
    assert done.status == 2
    assert text in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_project_is_told(call, tmp_path):
    done = call("export", tmp_path, "cvat")
    assert done.status == 2
    assert "is no project" in done.err


def test_a_run_is_exported_like_a_project(call, run, tmp_path):
    done = call("export", run, "png", "--quiet")
    assert (done.status, done.out) == (0, "run-png.zip\n")
    with zipfile.ZipFile(tmp_path / "run-png.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.name: path.read_bytes() for path in (run / "masks").iterdir()
        }
    done = call("export", run, "youtube-vis", "-o", "part.json", "--start", "2", "--stop", "4", "--objects", "3")
    assert done.status == 0
    data = json.loads((tmp_path / "part.json").read_text())
    assert [c["name"] for c in data["categories"]] == ["bat", "ball"]  # as the run was told
    (track,) = data["annotations"]
    assert track["category_id"] == 2
    assert [i for i, area in enumerate(track["areas"]) if area] == [2, 3]


def test_points_that_a_run_has_not_saved_are_not_drawn_and_that_is_told(call, run, tmp_path, caplog):
    assert call("export", run, "sheet").status == 0
    assert "has saved no points" in caplog.text
    assert (tmp_path / "run-sheet.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["tracks-csv"], "has saved no points (its formats are png)"),
        (["cvta"], "Did you mean 'cvat'?"),
        (["cvat", "--objects", "1"], "no object 1; expected ids of: 3"),
        (["cvat", "--stop", "99"], "range within 0 to 5"),
        (["cvat", "-o", "a.json"], "ends in .xml"),
        (["cvat", "--video", "nowhere.mp4"], "nowhere.mp4"),
    ],
)
def test_mistakes_about_a_run_are_one_line(call, run, tmp_path, arguments, text):
    done = call("export", run, *arguments)
    assert done.status == 2
    assert text in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_has_not_ended_is_told(call, tmp_path):
    (tmp_path / "resume.journal").write_bytes(b"")
    done = call("export", tmp_path, "cvat")
    assert done.status == 2
    assert "no finished run" in done.err


def test_segment_and_export_offer_the_same_names(call):
    listed = call("export", "--help").out.partition("kinds:\n")[2].partition("\n\n")[0]
    offered = " ".join(call("segment", "--help").out.split())
    names = [line.split()[0] for line in listed.splitlines()]
    assert "what to save, of " + ", ".join(names) + ", separated" in offered.replace("- ", "-")
