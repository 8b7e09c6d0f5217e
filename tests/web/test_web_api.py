"""What a script does with the interface: files, uploads, clicks, masks, propagation, images."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from sampt.exporters.table import BUILT_IN

API = "/api/v1"
S = f"{API}/session"
EVENTS = "ws://127.0.0.1:7268/api/v1/session/events"


def test_about_tells_back_ends_exporters_and_limits(browser: TestClient) -> None:
    body = browser.get(f"{API}/about").json()
    assert body["has_session"] is False
    assert [(item["role"], item["name"], item["code"], item["weights"]) for item in body["licenses"]] == [
        ("tracker", "exact-stream", "Apache-2.0", None),
        ("segmenter", "exact", "Apache-2.0", None),
    ]
    assert {item["name"]: item["suffix"] for item in body["exporters"]} == {n: e.suffix for n, e in BUILT_IN.items()}
    proposers = [item["name"] for item in body["proposers"]]
    assert proposers[0] == "objectness", "what is used where none is named"
    assert {"automatic", "motion"} < set(proposers)
    assert "boxes" not in proposers, "it would need a file"
    assert body["token_required"] is False
    assert body["start"] is None


def test_files_are_listed_by_what_they_can_be_opened_as(browser: TestClient, site: Any) -> None:
    (site.root / "sub").mkdir()
    (site.root / "notes.txt").write_text("x")
    (site.root / ".hidden.mp4").write_text("x")
    roots = browser.get(f"{API}/files").json()
    assert [entry["path"] for entry in roots["entries"]] == ["root", "uploads", "projects"]
    assert roots["parent"] is None
    body = browser.get(f"{API}/files", params={"path": "root"}).json()
    assert body["parent"] == ""
    size = (site.root / "clip.mp4").stat().st_size
    assert [tuple(entry.values())[:4] for entry in body["entries"]] == [
        ("clip", "root/clip", "frames", None),
        ("sub", "root/sub", "folder", None),
        ("clip.mp4", "root/clip.mp4", "video", size),
    ]
    browser.post(S, json={"video": "root/clip"})
    entries = browser.get(f"{API}/files", params={"path": "root"}).json()["entries"]
    assert ("clip.sampt", "project") in [(entry["name"], entry["kind"]) for entry in entries]


def test_a_click_is_answered_with_the_exact_mask(opened: TestClient, site: Any) -> None:
    body = site.click(opened, 2)
    assert body["point"]["point_id"] == 1
    assert body["state"]["points"] == [body["point"]]
    answer = opened.get(f"{S}/frames/0/masks", params={"preview": True}).json()
    assert [(o["object_id"], o["state"], o["is_stale"]) for o in answer["objects"]] == [(1, "present", False)]
    assert np.array_equal(site.mask(answer["objects"][0]), site.masks(0)[1])
    assert answer["points"] == []  # none is tracked yet


@pytest.mark.parametrize("key", ["is_positive", "sign", "label", "labels"])
def test_a_sign_means_here_what_it_means_in_files(opened: TestClient, site: Any, key: str) -> None:
    opened.post(f"{S}/objects", json={})
    wanted = {"object_id": 1, "frame": 0, **site.inside(1)}
    for value, is_positive in ((True, True), (1, True), ("+", True), (False, False), (0, False), (-1, False), ("-", False)):
        made = opened.post(f"{S}/points", json={**wanted, key: value})
        assert made.json()["point"]["is_positive"] is is_positive
    for wrong in ({key: 2}, {key: None}, {key: [1]}, {key: 1, "sgn": 1}, {"sign": 1, "label": 1}):
        assert opened.post(f"{S}/points", json={**wanted, **wrong}).status_code == 422
    assert len(opened.get(S).json()["points"]) == 7


def test_a_propagation_gives_the_exact_masks_and_a_correction_makes_frames_stale(opened: TestClient, site: Any) -> None:
    site.click(opened, 1)
    body = site.propagate(opened)
    assert (body["done"], body["total"], body["error"], body["is_cancelled"]) == (8, 8, None, False)
    for frame in range(8):
        answer = opened.get(f"{S}/frames/{frame}/masks").json()
        assert np.array_equal(site.mask(answer["objects"][0]), site.masks(frame)[0])
        assert any(p["visible"] and p["is_positive"] and p["object_id"] == 1 for p in answer["points"])
    strip = opened.get(f"{S}/timelines").json()["objects"][0]
    assert strip["state"] == [[2, 8]]
    assert strip["score"] == [100] * 8
    assert strip["area"] == [int(site.masks(i)[0].sum()) for i in range(8)]
    assert strip["inputs"] == [0]
    wanted = {"object_id": 1, "frame": 6, "is_positive": True, **site.inside(1, 6)}
    state = opened.post(f"{S}/points", json=wanted).json()["state"]
    assert state["stale"] == {"1": [[4, 8]]}  # from the middle towards frame 0
    assert opened.post(f"{S}/undo").json()["stale"] == {"1": []}
    assert opened.post(f"{S}/redo").json()["stale"] == {"1": [[4, 8]]}


def test_only_the_frames_that_were_asked_for_are_propagated(opened: TestClient, site: Any) -> None:
    site.click(opened, 1)
    site.propagate(opened, start=0, stop=3)
    assert opened.get(S).json()["stale"] == {"1": [[3, 8]]}


def test_a_second_propagation_is_refused_and_the_first_can_be_cancelled(opened: TestClient, site: Any) -> None:
    site.click(opened, 1)
    site.segmenter.go_on.clear()
    assert opened.post(f"{S}/propagations", json={}).status_code == 202
    second = opened.post(f"{S}/propagations", json={})
    assert second.status_code == 409
    assert opened.get(S).json()["propagation"]["is_running"] is True
    site.segmenter.go_on.set()
    body = opened.delete(f"{S}/propagations").json()
    assert body["is_running"] is False
    assert opened.post(f"{S}/propagations", json={}).status_code == 202


def test_objects_are_changed_and_removed(opened: TestClient, site: Any) -> None:
    site.click(opened, 1)
    changed = opened.patch(f"{S}/objects/1", json={"name": "Bee", "color": "#0A0b0C", "is_hidden": True}).json()
    assert changed["objects"] == [{"object_id": 1, "name": "Bee", "color": "#0a0b0c", "is_hidden": True, "is_locked": False}]
    opened.patch(f"{S}/objects/1", json={"is_locked": True})
    refused = opened.delete(f"{S}/objects/1")
    assert refused.status_code == 400
    assert "locked" in refused.json()["error"]
    opened.patch(f"{S}/objects/1", json={"is_locked": False})
    gone = opened.delete(f"{S}/objects/1").json()
    assert gone["objects"] == gone["points"] == []


def test_points_are_moved_and_deleted(opened: TestClient, site: Any) -> None:
    site.click(opened, 1)
    moved = opened.patch(f"{S}/points/1", json={"x": 3.25, "y": 0}).json()
    assert [(p["x"], p["y"]) for p in moved["points"]] == [(3.25, 0.0)]
    assert opened.delete(f"{S}/points/1").json()["points"] == []
    assert opened.delete(f"{S}/points/1").status_code == 404


def test_a_box_and_a_mask_are_given(opened: TestClient, site: Any) -> None:
    site.click(opened, 1)
    box = {"x0": 1.0, "y0": 2.0, "x1": 30.0, "y1": 40.5}
    assert opened.put(f"{S}/objects/1/frames/3/box", json=box).json()["boxes"] == [{"object_id": 1, "frame": 3, **box}]
    assert opened.delete(f"{S}/objects/1/frames/3/box").json()["boxes"] == []
    mask = site.masks(4)[0]
    for kind, data in _bodies(mask):
        opened.delete(f"{S}/objects/1/frames/4/mask")
        answer = opened.put(f"{S}/objects/1/frames/4/mask", content=data, headers={"content-type": kind})
        assert answer.status_code == 200, answer.text
        (given,) = answer.json()["masks"]
        assert (given["object_id"], given["frame"], given["is_edited"]) == (1, 4, False)
        shown = opened.get(f"{S}/frames/4/masks", params={"preview": True}).json()["objects"][0]
        assert np.array_equal(site.mask(shown), mask)


def _bodies(mask: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """A mask in every form that the interface takes."""
    grey = Image.fromarray(mask.astype(np.uint8))
    palette = grey.copy()
    palette.putpalette([200, 100, 50, 10, 20, 30])  # index 0 is no black
    rgba = Image.fromarray(np.where(mask[..., None], [255, 9, 9, 255], [9, 9, 9, 0]).astype(np.uint8))
    void = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) - mask
    soft = cv2.GaussianBlur(mask.astype(np.uint8) * 255, (3, 3), 0.4)
    assert (soft >= 128).tolist() == mask.tolist()
    images = [grey, palette, Image.fromarray(mask), rgba, Image.fromarray(mask.astype(np.uint16) * 3000)]
    for image in (*images, Image.fromarray(np.where(void, 255, mask).astype(np.uint8)), Image.fromarray(soft)):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        yield "image/png", buffer.getvalue()
    from sampt.masks.rle import encode_mask

    code = encode_mask(mask)
    yield "application/json", json.dumps({"size": code.size_hw, "counts": code.counts}).encode()


@pytest.mark.parametrize(
    ("kind", "data", "status"),
    [
        ("image/png", b"nonsense", 400),
        ("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\0\0\0\0", 400),
        ("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x60\0\0\0\x40\x08\0\0\0\0", 400),
        ("image/jpeg", b"", 415),
        ("application/json", b"[", 422),
        ("application/json", b'{"size": [64, 96], "counts": "zzz~"}', 400),
        ("application/json", b'{"size": [10, 10], "counts": "0"}', 400),
        ("application/json", b'{"size": [64, 96], "counts": 3}', 422),
    ],
)
def test_a_broken_mask_is_refused(opened: TestClient, kind: str, data: bytes, status: int) -> None:
    opened.post(f"{S}/objects", json={})
    answer = opened.put(f"{S}/objects/1/frames/4/mask", content=data, headers={"content-type": kind})
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert opened.get(S).json()["masks"] == []


def test_images_show_the_frames(opened: TestClient, site: Any) -> None:
    for frame in (0, 1, 2, 7, 6, 5, 3):
        answer = opened.get(f"{S}/frames/{frame}")
        assert answer.headers["content-type"] == "image/jpeg"
        image = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert image.shape == site.frames[frame].shape
        assert np.abs(image.astype(float) - site.frames[frame]).mean() < 4
    small = Image.open(io.BytesIO(opened.get(f"{S}/frames/3", params={"width": 48}).content))
    assert small.size == (48, 32)
    large = Image.open(io.BytesIO(opened.get(f"{S}/frames/3", params={"width": 500}).content))
    assert large.size == (96, 64)
    assert opened.get(f"{S}/frames/8").status_code == 404


def test_images_are_not_sent_twice(opened: TestClient) -> None:
    first = opened.get(f"{S}/frames/2")
    assert first.headers["cache-control"] == "private, no-cache"
    again = opened.get(f"{S}/frames/2", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert opened.get(f"{S}/frames/3", headers={"if-none-match": first.headers["etag"]}).status_code == 200
    key = opened.get(S).json()["video"]["key"]
    assert "immutable" in opened.get(f"{S}/frames/2", params={"v": key}).headers["cache-control"]
    assert "immutable" not in opened.get(f"{S}/frames/2", params={"v": "other"}).headers["cache-control"]
    head = opened.head(f"{S}/frames/2")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", first.headers["etag"])


def test_a_project_is_opened_again_with_all_that_was_said(opened: TestClient, site: Any) -> None:
    site.click(opened, 1)
    site.propagate(opened)
    before = opened.get(S).json()
    assert before["project"] == "root/clip.sampt"
    assert opened.delete(S).status_code == 204
    assert opened.get(S).status_code == 404
    for wanted in (
        {"project": "root/clip.sampt"},
        {"video": "root/clip"},
        {"video": "root/clip", "project": "root/clip.sampt"},
    ):
        after = opened.post(S, json=wanted).json()
        assert [after[k] for k in ("points", "objects", "stale", "project")] == [
            before[k] for k in ("points", "objects", "stale", "project")
        ]


def test_where_nothing_can_be_written_the_project_is_in_the_work_folder(
    browser: TestClient, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != site.root and real(path, mode))
    assert browser.post(S, json={"video": "root/clip"}).json()["project"] == "projects/clip.sampt"


def test_an_open_project_is_busy_for_others_until_it_is_closed(
    app: FastAPI, opened: TestClient, browsing: Callable[..., TestClient]
) -> None:
    other = browsing(app)
    busy = other.post(S, json={"video": "root/clip"})
    assert busy.status_code == 409
    assert busy.json() == {
        "error": "The project root/clip.sampt is open in another browser; close it there, or take it over here.",
        "can_take_over": True,
    }
    assert other.get(S).status_code == 404
    assert opened.get(S).status_code == 200
    opened.delete(S)
    assert other.post(S, json={"video": "root/clip"}).status_code == 201


def test_a_project_is_taken_over_with_all_that_was_said_and_its_stream_is_told(
    app: FastAPI, opened: TestClient, browsing: Callable[..., TestClient], site: Any
) -> None:
    site.click(opened)
    other = browsing(app)
    with opened.websocket_connect(EVENTS) as stream:
        assert stream.receive_json()["type"] == "hello"
        taken = other.post(S, json={"project": "root/clip.sampt", "take_over": True})
        assert (taken.status_code, len(taken.json()["points"])) == (201, 1)
        assert stream.receive_json() == {"type": "taken", "project": "root/clip.sampt"}
    assert opened.get(S).status_code == 404
    assert opened.post(S, json={"video": "root/clip", "take_over": True}).status_code == 201
    assert other.get(S).status_code == 404


def test_the_list_tells_how_far_each_video_is(browser: TestClient, site: Any) -> None:
    """New, partly done, complete; of a project by an older sampt, too; and no video is decoded for it."""

    frames = len(site.frames)

    def work(name: str) -> Any:
        entries = browser.get("/api/v1/files", params={"path": "root"}).json()["entries"]
        return next(entry["work"] for entry in entries if entry["name"] == name)

    assert (work("clip")["state"], work("clip.mp4")["state"], work("clip")["project"]) == ("new", "new", None)
    browser.post(S, json={"video": "root/clip"})
    site.click(browser)
    assert work("clip") == work("clip.sampt")
    assert (work("clip")["state"], work("clip")["is_open"], work("clip")["num_frames"]) == ("partly", True, frames)
    site.propagate(browser)
    browser.delete(S)
    done = {"state": "complete", "project": "root/clip.sampt", "is_open": False, "num_frames": frames, "num_done": frames}
    assert work("clip") == {**done, "num_events": 0, "num_reviewed": 0}
    assert work("clip.mp4")["state"] == "new", "the project is about the frames"
    facts = site.root / "clip.sampt" / "progress.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"num_events": 3, "num_reviewed": 3}))
    assert work("clip")["state"] == "reviewed"
    for damaged in ('{"num_events": 1}', "[" * 5000, "7"):
        facts.write_text(damaged)
        assert (work("clip")["state"], work("clip")["num_done"]) == ("partly", 0)
    facts.unlink()
    assert work("clip")["state"] == "partly"


def test_opening_another_video_replaces_the_session(opened: TestClient) -> None:
    assert opened.post(S, json={"video": "root/clip.mp4", "project": "root/other.sampt"}).status_code == 201
    assert opened.get(S).json()["project"] == "root/other.sampt"
    assert opened.post(S, json={"video": "root/clip"}).status_code == 201  # the first project is free
    failed = opened.post(S, json={"video": "root/none.mp4"})
    assert failed.status_code == 404
    assert opened.get(S).json()["project"] == "root/clip.sampt"  # a failure leaves what was open


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/session", {}, 400),
        ("POST", "/session", {"video": 3}, 422),
        ("POST", "/session", {"video": "root/clip", "other": 1}, 422),
        ("POST", "/session/points", {"object_id": 9, "frame": 0, "x": 1, "y": 1}, 400),
        ("POST", "/session/points", {"object_id": 1, "frame": 99, "x": 1, "y": 1}, 400),
        ("POST", "/session/points", {"object_id": 1, "frame": 0, "x": 96, "y": 1}, 400),
        ("POST", "/session/points", {"object_id": 1, "frame": 0, "x": "1", "y": 1}, 422),
        ("POST", "/session/points", {"object_id": 1, "frame": 0, "x": 1e300, "y": 1}, 422),
        ("POST", "/session/objects", {"name": "a\nb"}, 400),
        ("POST", "/session/objects", {"color": "red"}, 422),
        ("PATCH", "/session/objects/7", {"name": "x"}, 404),
        ("PUT", "/session/objects/1/frames/0/box", {"x0": 5, "y0": 5, "x1": 1, "y1": 9}, 400),
        ("PUT", "/session/objects/1/frames/88/box", {"x0": 5, "y0": 5, "x1": 9, "y1": 9}, 404),
        ("POST", "/session/propagations", {"start": 5, "stop": 5}, 400),
        ("POST", "/session/propagations", {"stop": 9}, 400),
        ("POST", "/session/propagations", {"object_ids": [4]}, 400),
        ("GET", "/session/frames/8/masks", None, 404),
        ("GET", "/session/frames/x/masks", None, 422),
        ("GET", "/nothing", None, 404),
        ("DELETE", "/about", None, 405),
    ],
)
def test_mistakes_are_told_in_one_line(opened: TestClient, method: str, path: str, body: Any, status: int) -> None:
    opened.post(f"{S}/objects", json={})
    before = opened.get(S).json()
    answer = opened.request(method, API + path, json=body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert "\n" not in answer.json()["error"]
    assert opened.get(S).json() == before


def test_an_uploaded_video_can_be_opened(browser: TestClient, site: Any) -> None:
    data = (site.root / "clip.mp4").read_bytes()
    first = browser.put(f"{API}/uploads/my clip.mp4", content=data)
    assert (first.status_code, first.json()) == (201, {"path": "uploads/my clip.mp4"})
    assert browser.put(f"{API}/uploads/my clip.mp4", content=data).json() == {"path": "uploads/my clip-2.mp4"}
    opened = browser.post(S, json={"video": "uploads/my clip.mp4"}).json()
    assert (opened["video"]["num_frames"], opened["project"]) == (8, "uploads/my clip.sampt")
    left = {p.name for p in (site.settings.work / "uploads").iterdir()}
    assert left == {"my clip.mp4", "my clip-2.mp4", "my clip.sampt"}
    assert (site.settings.work / "uploads" / "my clip.mp4").read_bytes() == data


@pytest.mark.parametrize(
    ("name", "size", "status"),
    [
        ("clip.exe", 10, 415),
        ("clip", 10, 415),
        ("clip.mp4", 10, 400),
        ("clip.mp4", 0, 400),
        (".clip.mp4", 10, 400),
        ("a%2Fb.mp4", 10, 404),
        ("a%5Cb.mp4", 10, 400),
        ("a%00b.mp4", 10, 400),
        ("..%2F..%2Fclip.mp4", 10, 404),
        ("x" * 300 + ".mp4", 10, 400),
        ("clip.mp4", 5000, 413),
    ],
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_wrong_uploads_leave_nothing(
    name: str, size: int, status: int, is_chunked: bool, serving: Callable[..., FastAPI], browsing: Any, site: Any
) -> None:
    browser = browsing(serving({"upload_bytes": 4000}))
    content: Any = (b"x" * 10 for _ in range(size // 10)) if is_chunked else b"x" * size
    answer = browser.put(f"{API}/uploads/{name}", content=content)
    assert answer.status_code == status, answer.text
    assert str(site.folder) not in answer.text
    assert ".partial" not in answer.text
    assert list((site.settings.work / "uploads").iterdir()) == []


def test_an_upload_needs_room_on_the_disk(serving: Callable[..., FastAPI], browsing: Any, site: Any) -> None:
    browser = browsing(serving({"free_bytes": 1 << 60}))
    answer = browser.put(f"{API}/uploads/clip.mp4", content=(site.root / "clip.mp4").read_bytes())
    assert answer.status_code == 503
    assert list((site.settings.work / "uploads").iterdir()) == []


def test_videos_of_one_stem_have_projects_of_their_own(browser: TestClient, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        for video, project in (("clip", "root/clip.sampt"), ("clip.mp4", "root/clip-2.sampt")):
            body = browser.post(S, json={"video": f"root/{video}"})
            assert (body.status_code, body.json()["project"]) == (201, project)
    (site.root / "sub").mkdir()
    shutil.copy(site.root / "clip.mp4", site.root / "sub")
    shutil.rmtree(site.root / "clip.sampt")
    shutil.rmtree(site.root / "clip-2.sampt")
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and real(path, mode))
    for _ in range(2):
        for video, project in (("clip.mp4", "projects/clip.sampt"), ("sub/clip.mp4", "projects/clip-2.sampt")):
            assert browser.post(S, json={"video": f"root/{video}"}).json()["project"] == project
