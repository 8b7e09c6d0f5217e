"""The project folder: what is in it is found again, elsewhere too, after kill -9 too; what does not fit is reported in one
line."""

from __future__ import annotations

import importlib
import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sampt
from sampt.errors import BackendError, FolderBusyError, InputChangedError, LimitError, OutputError, SamptError, VideoError
from sampt.masks.rle import encode_mask
from sampt.session import Session
from sampt.session.project import read_project
from sampt.weights import local_weights
from tests.tampering import changed_at, find_windows

PACKAGE = Path(sampt.__file__).parent


def followed(bench: Any) -> Session:
    """Two objects with everything that can be given, tracked to the end and corrected."""
    session: Session = bench.create()
    for object_id in (1, 2):
        session.add_object(f"fish ‐ {object_id}")
        bench.click(session, object_id, 5, object_id)
    session.set_box(2, 5, (50.5, 10, 90, 60))
    session.set_mask(2, 30, bench.scene.masks(30)[1])
    for _ in session.propagate():
        pass
    bench.click(session, 1, 25, 2, is_positive=False)
    for _ in session.propagate():
        pass
    session.update_object(2, is_hidden=True, is_locked=True)
    return session


def state_of(session: Session) -> tuple[Any, ...]:
    masks = [(m.object_id, m.frame_idx, m.rle) for m in session.given_masks()]
    found = [session.results(f) for f in range(session.num_frames)]
    return session.objects, session.clicks(), session.boxes(), masks, found, session.stale(), session._state.inputs


def test_a_project_opens_as_it_was_left(bench: Any) -> None:
    with followed(bench) as session:
        before = state_of(session)
        assert before[5] == {1: (), 2: ()}
    bench.forget()
    again = bench.open()
    assert state_of(again) == before
    assert again.config == bench.config
    assert (again.can_undo, again.can_redo, again.revision) == (True, False, 0)
    assert list(again.propagate()) == []
    assert (bench.segmenter.encoded, bench.tracker.calls) == ([], [])
    again.update_object(2, is_locked=False)
    bench.click(again, 2, 12, 2)
    assert again.clicks()[-1].point_id == before[6].next_point_id


def test_the_file_names_every_setting_and_holds_no_surprise(bench: Any) -> None:
    followed(bench).close()
    assert sorted(p.name for p in bench.project.iterdir()) == ["masks.journal", "progress.json", "project.json"]
    data = json.loads((bench.project / "project.json").read_text())
    assert (data["format"], data["version"]) == ("sampt-project", 1)
    assert data["backends"] == {"tracker": "exact", "segmenter": "exact"}
    assert data["video"]["num_frames"] == 40
    assert data["config"]["sampling"]["positive_points"] == bench.config.sampling.positive_points
    assert [o["name"] for o in data["objects"]] == ["fish ‐ 1", "fish ‐ 2"]


def test_a_project_and_its_video_move_together(bench: Any, tmp_path: Path) -> None:
    followed(bench).close()
    elsewhere = tmp_path / "another disk" / "deep"
    elsewhere.parent.mkdir()
    bench.folder.rename(elsewhere)
    again = bench.open(elsewhere / "clip.sampt")
    assert again.stale() == {1: (), 2: ()}
    again.close()
    (elsewhere / "frames").rename(tmp_path / "frames")
    with pytest.raises(VideoError, match=r"^The video of .* is neither at .*frames nor beside the project; .*\.$"):
        bench.open(elsewhere / "clip.sampt")
    again = bench.open(elsewhere / "clip.sampt", video=tmp_path / "frames")
    assert again.stale() == {1: (), 2: ()}
    again.close()
    bench.open(elsewhere / "clip.sampt").close()  # cached


def test_a_project_with_a_relative_path_opens_from_another_folder(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench.folder)
    bench.create(video="frames", project=Path("clip.sampt")).close()
    monkeypatch.chdir("/")
    session = bench.open()
    session.add_object()
    bench.click(session, 1, 0, 1)
    assert len(list(session.propagate())) == 40


def test_another_video_under_the_same_name_is_refused(bench: Any) -> None:
    followed(bench).close()
    before = (bench.project / "project.json").read_bytes()
    cv2.imwrite(str(bench.frames / "0007.png"), np.zeros((64, 96, 3), np.uint8))
    for given_video in (None, bench.frames):
        with pytest.raises(
            VideoError, match=r"frames is not the video of .*clip\.sampt, which is frames with 40 frames of 96x64;"
        ):
            bench.open(video=given_video)
    (bench.frames / "0007.png").unlink()
    with pytest.raises(VideoError, match=r"is not the video of"):
        bench.open()
    with pytest.raises(VideoError, match=r"There is no file or folder"):
        bench.open(video=bench.folder / "nowhere.mp4")
    assert (bench.project / "project.json").read_bytes() == before


def test_a_video_replaced_while_it_is_open_is_noticed(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    (bench.frames / "0007.png").unlink()
    with pytest.raises(VideoError, match=r"frames has been replaced by another video; "):
        list(session.propagate())


def test_a_frame_replaced_by_one_of_the_same_size_is_noticed_by_every_propagation(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    assert len(list(session.propagate())) == 40
    bench.click(session, 1, 20, 1)
    path = sorted(bench.frames.iterdir())[30]
    whole = path.read_bytes()
    cv2.imwrite(str(path), np.zeros((64, 96, 3), np.uint8))
    with pytest.raises(InputChangedError, match=rf"{path.name} has been replaced or changed while it was in use"):
        list(session.propagate())
    path.write_bytes(whole)
    assert list(session.propagate())
    session.close()


def test_two_sessions_on_one_folder(bench: Any) -> None:
    session = bench.create()
    with pytest.raises(
        FolderBusyError, match=r"^The project .*clip\.sampt is open in another session; close that one first\.$"
    ):
        bench.open()
    with pytest.raises(OutputError, match=r"clip\.sampt holds masks\.journal|holds project\.json already"):
        bench.create()
    session.close()
    bench.open().close()
    bench.open().close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is damaged"),
        (b"{", r"is damaged"),
        (b"\xff\xfe\x00", r"is damaged"),
        (b"[" * 100_000, r"is damaged"),
        (b"[]", r"is no project file of sampt"),
        (b'{"format": "cvat"}', r"is no project file of sampt"),
        (b'{"format": "sampt-project", "version": 2}', r"has version 2, this sampt reads up to 1; update sampt to open it"),
        (b'{"format": "sampt-project", "version": 1}', r"is damaged \('video' is missing\); restore it from a copy"),
    ],
)
def test_a_project_file_that_cannot_be_read(bench: Any, content: bytes, message: str) -> None:
    followed(bench).close()
    path = bench.project / "project.json"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=message) as caught:
        bench.open()
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content
    assert (bench.project / "masks.journal").stat().st_size > 1000


def test_no_project(bench: Any) -> None:
    for path in (bench.folder / "nothing.sampt", bench.frames, bench.frames / "0000.png"):
        with pytest.raises(OutputError, match=r" is no project: there is no project\.json in it; expected a folder "):
            Session.open(path)


def test_any_part_of_the_file_may_be_wrong(bench: Any) -> None:
    """Every value is taken away or replaced by others: the file opens as a valid one, or is damaged in one line."""
    followed(bench).close()
    path = bench.project / "project.json"
    text = path.read_text()
    data = json.loads(text)
    data["masks"] = data["masks"][:1]
    locations = [p for p in find_windows(data) if p and (len(p) < 4 or p[0] != "carried")]
    assert len(locations) > 100
    replacements = (None, True, -1, 1e300, "x", [], {}, [1, 2], {"a": 1}, float("nan"))
    outcomes = set()
    for location in locations:
        for new in (..., *replacements):
            path.write_text(json.dumps(changed_at(data, location, new)))
            message = "fine"
            try:
                read_project(bench.project)
            except OutputError as error:
                message = str(error)
            assert "\n" not in message, location
            outcomes.add(message == "fine")
    assert outcomes == {True, False}


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_file_cut_or_overwritten_anywhere_is_told(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("p") / "x.sampt"
    folder.mkdir()
    good = json.dumps({"format": "sampt-project", "version": 1, "video": {"path": "a", "beside": None}}).encode()
    at = data.draw(st.integers(0, len(good)))
    junk = data.draw(st.binary(max_size=20))
    (folder / "project.json").write_bytes(good[:at] + junk)
    with pytest.raises(OutputError) as caught:
        read_project(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["clip", "clip.json", ".sampt"])
def test_names_of_new_projects(bench: Any, name: str) -> None:
    with pytest.raises(OutputError, match=r"expected a name that ends in \.sampt, such as clip\.sampt\.$"):
        bench.create(project=bench.folder / name)
    assert not (bench.folder / name).exists()


def test_locations_where_no_project_can_begin(bench: Any) -> None:
    (bench.folder / "file.sampt").write_text("")
    with pytest.raises(OutputError, match=r"file\.sampt is a file; expected a name for a new folder\.$"):
        bench.create(project=bench.folder / "file.sampt")
    with pytest.raises(OutputError, match=r"cannot be written or read"):
        bench.create(project=bench.folder / "file.sampt" / "inner.sampt")
    bench.create().close()
    with pytest.raises(OutputError, match=r"clip\.sampt holds .* already; open that project, or choose another name\.$"):
        bench.create()
    with pytest.raises(VideoError):
        bench.create(video=bench.folder / "no.mp4", project=bench.folder / "new.sampt")
    assert not (bench.folder / "new.sampt").exists()


def test_what_a_killed_create_left_behind_is_taken_over(bench: Any) -> None:
    bench.project.mkdir()
    (bench.project / "masks.journal").write_bytes(b"sampt session masks 1\nrubbish")
    (bench.project / "project.json.partial").write_bytes(b"{")
    with pytest.raises(OutputError, match=r"is no project"):
        bench.open()
    session = bench.create()
    session.add_object()
    session.close()
    assert len(bench.open().objects) == 1


def _file(bench: Any, **parts: Any) -> None:
    """Replace parts of a project of two objects."""
    session = bench.create()
    for _ in range(2):
        session.add_object()
    session.close()
    path = bench.project / "project.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


@pytest.mark.parametrize("part", ["objects", "clicks", "boxes", "masks", "carried"])
def test_lists_in_a_projects_file_have_a_length(bench: Any, part: str) -> None:
    _file(bench, **{part: [{}] * 1_000_000})  # looked at one by one they are wrong at once: their number is reported first
    with pytest.raises(OutputError, match="1000000"):
        read_project(bench.project)


def test_edits_stop_where_a_project_could_not_be_read_any_more(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampt.session.edits.MAX_CLICKS", 3)
    session = bench.create()
    for edit, read in (
        (lambda i: session.add_object(), session.objects),
        (lambda i: session.add_point(1, 0, (i, 0)), session.clicks),
        (lambda i: session.set_box(1, i, (0, 0, 5, 5)), session.boxes),
        (lambda i: session.set_mask(1, i + 5, bench.scene.masks(0)[0]), session.given_masks),  # where no click contradicts it
    ):
        for i in range(3):
            edit(i)
        with pytest.raises(LimitError, match="at most 3"):
            edit(3)
        assert len(read() if callable(read) else session.objects) == 3
    session.set_box(1, 0, (0, 0, 6, 6))  # instead of another one
    session.close()
    assert len(bench.open().clicks()) == 3


def test_what_could_not_be_read_again_is_not_written(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = bench.create()
    session.add_object()
    before = (bench.project / "project.json").read_bytes()
    monkeypatch.setattr("sampt.session.project.MAX_PROJECT_BYTES", len(before) + 50)
    with pytest.raises(LimitError):
        session.set_mask(1, 0, bench.scene.masks(0)[0])
    assert session.given_masks() == ()
    assert (bench.project / "project.json").read_bytes() == before


def test_large_masks_of_short_codes_are_not_made_to_be_checked(bench: Any) -> None:
    """Two hundred masks of 67 MB each, in a file of some kilobytes."""
    h = w = 8192
    whole = encode_mask(np.ones((h, w), bool)).counts
    masks = [{"object_id": 1, "frame_idx": i, "counts": whole} for i in range(200)]
    _file(bench, masks=masks)
    path = bench.project / "project.json"
    data = json.loads(path.read_text())
    data["video"] |= {"size_hw": [h, w], "num_frames": 200}
    path.write_text(json.dumps(data))
    tracemalloc.start()
    found = read_project(bench.project)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.inputs.masks) == 200
    assert peak < 10 << 20
    data["masks"][7]["counts"] = encode_mask(np.zeros((h, w), bool)).counts
    path.write_text(json.dumps(data))
    with pytest.raises(OutputError, match="a mask is empty"):
        read_project(bench.project)


@pytest.mark.parametrize("xy", [["5", "5"], [True, 5], [5], [5, 5, 5], [5, None], [1e999, 5], "55", [-1, 5], [5, 1e9]])
def test_a_location_is_two_numbers_inside_the_frame(bench: Any, xy: Any) -> None:
    click = {"point_id": 1, "object_id": 1, "frame_idx": 0, "xy": [5, 5], "is_positive": True}
    _file(bench, clicks=[click], next_point_id=2)
    assert read_project(bench.project).inputs.clicks[0].xy == (5.0, 5.0)
    path = bench.project / "project.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"clicks": [click | {"xy": xy}]}))
    with pytest.raises(OutputError, match="is damaged"):
        read_project(bench.project)


def test_back_ends_are_made_by_name_or_asked_for(bench: Any) -> None:
    bench.create().close()
    with pytest.raises(
        BackendError, match=r"with the tracker 'exact', which cannot be made by its name; give it \(tracker=\.\.\.\)"
    ):
        bench.open(tracker=None)
    with pytest.raises(
        BackendError, match=r"with the segmenter 'exact', which cannot be made by its name; give it \(segmenter="
    ):
        bench.open(segmenter=None)
    named = bench.create(project=bench.folder / "named.sampt", tracker=None, segmenter=None)
    assert (named.tracker_name, named.segmenter_name) == (bench.config.tracker, bench.config.segmenter)
    named.close()
    again = Session.open(bench.folder / "named.sampt")
    assert (again.tracker_name, again.segmenter_name) == (bench.config.tracker, bench.config.segmenter)
    again.close()


@pytest.mark.parametrize("said", [{"segmenter": "sam-vit-b"}, {"segmenter_weights": "owner/name"}])
def test_what_a_projects_file_names_is_not_downloaded(
    bench: Any, said: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a project of sam-vit-b, in its own settings or as what was used last."""
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("SAMPT_OFFLINE", raising=False)
    begun: list[str] = []

    def download(request: Any, _: Any) -> None:
        begun.append(request.url)
        raise BackendError("A download began.")

    def create(name: str, *, weights: str = "default", **_: Any) -> Any:
        return local_weights(name, weights)

    monkeypatch.setattr(importlib.import_module("sampt.weights.fetch"), "download", download)
    monkeypatch.setattr("sampt.session.project.create_segmenter", create)
    bench.create().close()
    data = json.loads((bench.project / "project.json").read_text())
    data["config"] |= {"segmenter": "sam-vit-b", **said}
    data["backends"]["segmenter"] = "sam-vit-b"
    (bench.project / "project.json").write_text(json.dumps(data))
    with pytest.raises(BackendError, match="sampt weights pull"):
        bench.open(segmenter=None)
    assert begun == []


def test_lost_results_are_computed_again(bench: Any) -> None:
    followed(bench).close()
    (bench.project / "masks.journal").unlink()
    again = bench.open()
    assert again.stale() == {1: (range(40),), 2: (range(40),)}
    assert again.results(5) == {}
    assert len(again.clicks()) == 3


def test_a_read_only_copy_is_told(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    followed(bench).close()
    copy = bench.folder / "copy.sampt"
    shutil.copytree(bench.project, copy)
    (copy / "masks.journal").unlink()
    (copy / "masks.journal").mkdir()
    with pytest.raises(SamptError, match=r"masks\.journal cannot be written or read") as caught:
        bench.open(copy)
    assert "\n" not in str(caught.value)
