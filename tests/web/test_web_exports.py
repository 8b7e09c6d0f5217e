"""Every export from the interface: made in the background, fetched, cancelled, removed."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from sampt.exporters.table import BUILT_IN

S = "/api/v1/session"


@pytest.fixture
def followed(opened: TestClient, site: Any) -> TestClient:
    """A browser with two objects that were tracked."""
    site.click(opened, 1)
    site.click(opened, 2)
    site.propagate(opened)
    return opened


def finished(browser: TestClient, site: Any, **wanted: Any) -> dict[str, Any]:
    """An export that has ended."""
    started = browser.post(f"{S}/exports", json=wanted)
    assert started.status_code == 202, started.text
    number = started.json()["export_id"]
    body: dict[str, Any] = site.wait_for(lambda: browser.get(f"{S}/exports/{number}").json(), lambda t: t["is_done"])
    return body


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_format_can_be_fetched(followed: TestClient, site: Any, name: str) -> None:
    body = finished(followed, site, format=name)
    assert body["error"] is None
    assert (body["done"], body["total"]) == (8, 8)
    assert body["file_name"] == f"clip-{name}{BUILT_IN[name].suffix}"
    file = followed.get(f"{S}/exports/{body['export_id']}/file")
    assert file.status_code == 200
    assert len(file.content) == body["num_bytes"] > 0
    assert file.headers["content-disposition"] == f'attachment; filename="{body["file_name"]}"'
    assert str(site.folder).encode() not in file.content


def test_the_masks_are_the_exact_ones(followed: TestClient, site: Any) -> None:
    body = finished(followed, site, format="png", start=2, stop=5, object_ids=[2])
    archive = zipfile.ZipFile(BytesIO(followed.get(f"{S}/exports/{body['export_id']}/file").content))
    labels = {Path(n).stem: np.asarray(Image.open(BytesIO(archive.read(n)))) for n in archive.namelist() if n.endswith(".png")}
    for frame in (2, 3, 4):
        assert np.array_equal(labels[f"{frame:05d}"] == 2, site.masks(frame)[1])
        assert not (labels[f"{frame:05d}"] == 1).any()


def test_names_and_colors_go_with_the_export(followed: TestClient, site: Any) -> None:
    followed.patch(f"{S}/objects/1", json={"name": "Bee"})
    body = finished(followed, site, format="youtube-vis")
    data = json.loads(followed.get(f"{S}/exports/{body['export_id']}/file").content)
    assert "Bee" in {item["name"] for item in data["categories"]}


def test_a_frame_that_was_only_clicked_is_exported(opened: TestClient, site: Any) -> None:
    site.click(opened, 1, frame=3)
    body = finished(opened, site, format="image-folder", images="png")
    assert (body["error"], body["file_name"]) == (None, "clip-image-folder.zip")
    archive = zipfile.ZipFile(BytesIO(opened.get(f"{S}/exports/{body['export_id']}/file").content))
    assert [n for n in archive.namelist() if n.startswith("masks/")] == ["masks/00003.png"]
    assert np.array_equal(np.asarray(Image.open(BytesIO(archive.read("masks/00003.png")))) == 1, site.masks(3)[0])
    assert np.array_equal(np.asarray(Image.open(BytesIO(archive.read("images/00003.png")))), site.frames[3])


def test_what_an_export_would_have_is_told_before(opened: TestClient, site: Any) -> None:
    def coverage(**wanted: Any) -> dict[str, Any]:
        response = opened.post(f"{S}/exports/coverage", json=wanted)
        assert response.status_code == 200
        body: dict[str, Any] = response.json()
        return body

    site.click(opened, 1)
    counts = {"num_frames": 8, "with_masks": 1, "up_to_date": 1, "out_of_date": 0, "missing": 7, "is_complete": False}
    assert coverage() == counts
    site.propagate(opened, start=0, stop=5)
    assert coverage() == counts | {"with_masks": 5, "up_to_date": 5, "missing": 3}
    assert coverage(start=1, stop=4, object_ids=[1])["is_complete"]
    opened.post(f"{S}/points", json={"object_id": 1, "frame": 4, "is_positive": True, **site.inside(1, 4)})
    assert coverage() == counts | {"with_masks": 4, "up_to_date": 4, "out_of_date": 1, "missing": 3}
    assert opened.post(f"{S}/exports/coverage", json={"object_ids": [7]}).status_code == 400


def test_classes_and_frames_can_be_requested(followed: TestClient, site: Any) -> None:
    followed.patch(f"{S}/objects/1", json={"name": "bee"})
    followed.patch(f"{S}/objects/2", json={"name": "bee"})
    body = finished(followed, site, format="coco-instances", images="jpg", classes=["wasp", "bee"])
    archive = zipfile.ZipFile(BytesIO(followed.get(f"{S}/exports/{body['export_id']}/file").content))
    data = json.loads(archive.read("annotations/instances_default.json"))
    assert [c["name"] for c in data["categories"]] == ["wasp", "bee"]
    assert {a["category_id"] for a in data["annotations"]} == {2}
    assert len([n for n in archive.namelist() if n.endswith(".jpg")]) == 8
    body = finished(followed, site, format="cvat", classes=["wasp"])
    assert "none of the classes wasp" in body["error"]


def test_an_export_of_nothing_says_why(opened: TestClient, site: Any) -> None:
    opened.post(f"{S}/objects", json={})
    body = finished(opened, site, format="png")
    assert body["error"]
    assert "\n" not in body["error"]
    assert str(site.folder) not in body["error"]
    assert body["file_name"] is None
    answer = opened.get(f"{S}/exports/{body['export_id']}/file")
    assert (answer.status_code, answer.json()["error"]) == (409, body["error"])


@pytest.mark.parametrize(
    "wanted",
    [
        {"format": "overlay", "images": "png"},
        {"format": "pgn"},
        {"format": "png", "start": 9},
        {"format": "png", "object_ids": [7]},
    ],
)
def test_wrong_exports_are_refused(followed: TestClient, wanted: dict[str, Any]) -> None:
    answer = followed.post(f"{S}/exports", json=wanted)
    assert answer.status_code == 400
    if wanted["format"] == "pgn":
        assert "Did you mean 'png'?" in answer.json()["error"]


def test_files_are_removed_when_they_are_deleted_make_way_or_the_session_ends(
    serving: Callable[..., FastAPI], browsing: Callable[..., TestClient], site: Any
) -> None:
    browser = browsing(serving({"exports": 2}))
    browser.post(S, json={"video": "root/clip"})
    site.click(browser, 1)
    site.propagate(browser)
    made = [finished(browser, site, format="tracks-csv")["export_id"] for _ in range(3)]
    assert [browser.get(f"{S}/exports/{n}").status_code for n in made] == [404, 200, 200]
    folder = site.settings.work / "exports" / f"{os.getpid()}"
    assert len(list(folder.iterdir())) == 2
    assert browser.delete(f"{S}/exports/{made[1]}").status_code == 204
    assert browser.delete(f"{S}/exports/{made[1]}").status_code == 404
    assert len(list(folder.iterdir())) == 1
    browser.delete(S)
    assert list(folder.iterdir()) == []


def test_an_export_can_be_cancelled_and_one_runs_at_a_time(
    followed: TestClient, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from sampt.session.session import Session

    real, go_on = Session.merged_masks, threading.Event()

    def held(self: Session, *arguments: Any) -> Any:
        for item in real(self, *arguments):
            yield item
            assert go_on.wait(60)

    monkeypatch.setattr(Session, "merged_masks", held)
    number = followed.post(f"{S}/exports", json={"format": "png"}).json()["export_id"]
    assert followed.post(f"{S}/exports", json={"format": "png"}).status_code == 409
    assert followed.get(f"{S}/exports/{number}/file").status_code == 409
    threading.Timer(0.2, go_on.set).start()
    assert followed.delete(f"{S}/exports/{number}").status_code == 204
    assert list((site.settings.work / "exports").rglob("*.zip*")) == []
    assert finished(followed, site, format="png")["error"] is None


def test_a_server_removes_what_a_killed_one_left(serving: Callable[..., FastAPI], site: Any) -> None:
    left, own = site.settings.work / "exports" / "999999999", site.settings.work / "exports" / "1"
    left.mkdir(parents=True)
    own.mkdir()
    serving()
    assert not left.exists()
    assert own.exists()  # the process with that number lives
