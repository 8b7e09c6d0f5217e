"""Strokes, polygons and absences over HTTP."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from sampt.geometry import cover_polygon, cover_stroke

S = "/api/v1/session"
HERE = f"{S}/objects/1/frames/3"


def test_strokes_polygons_and_absences(opened: TestClient, site: Any) -> None:
    site.click(opened)
    site.propagate(opened)

    def shown() -> np.ndarray:
        return site.mask(opened.get(f"{S}/frames/3/masks", params={"preview": True}).json()["objects"][0])

    before, size_hw = site.masks(3)[0], site.masks(3)[0].shape
    stroke = {"xy": [[2, 2], [30.5, 2]], "radius": 2}
    state = opened.post(f"{HERE}/strokes", json=stroke).json()
    assert [(m["object_id"], m["frame"], m["is_edited"]) for m in state["masks"]] == [(1, 3, True)]
    painted = before | cover_stroke(np.array(stroke["xy"]), 2, size_hw)
    np.testing.assert_array_equal(shown(), painted)
    after = opened.post(f"{HERE}/strokes", json={**stroke, "radius": 1, "is_erasing": True}).json()
    assert after["masks"][0]["key"] != state["masks"][0]["key"]
    painted &= ~cover_stroke(np.array(stroke["xy"]), 1, size_hw)
    np.testing.assert_array_equal(shown(), painted)
    corners = [[10, 10], [40, 10], [40, 50]]
    opened.post(f"{HERE}/polygons", json={"xy": corners})
    polygon = cover_polygon(np.array(corners, float), size_hw)
    np.testing.assert_array_equal(shown(), painted | polygon)
    opened.post(f"{HERE}/polygons", json={"xy": corners, "is_cut": True})
    np.testing.assert_array_equal(shown(), painted & ~polygon)
    state = opened.put(f"{S}/objects/1/frames/5/absent").json()
    assert state["absent"] == [{"object_id": 1, "frame": 5, "stop": 8}]
    (found,) = opened.get(f"{S}/frames/6/masks").json()["objects"]
    assert (found["state"], found["rle"], found["is_stale"]) == ("given_absent", None, False)
    assert opened.delete(f"{S}/objects/1/frames/7/absent").json()["absent"] == []
    assert len(opened.post(f"{S}/undo").json()["absent"]) == 1


def test_drawing_that_is_wrong_is_one_line(opened: TestClient, site: Any) -> None:
    site.click(opened)
    corner = [5, 5]
    for path, body, status, text in (
        ("1/frames/99/strokes", {"xy": [corner], "radius": 1}, 404, "There is no frame 99"),
        ("1/frames/99/absent", None, 404, "There is no frame 99"),
        ("7/frames/0/polygons", {"xy": [corner] * 3}, 404, "There is no object 7"),
        ("1/frames/0/polygons", {"xy": [corner] * 2}, 422, "xy"),
        ("1/frames/0/polygons", {"xy": [corner] * 1001}, 422, "xy"),
        ("1/frames/0/polygons", {"xy": [corner] * 3}, 400, "The polygon covers no pixel's centre"),
        ("1/frames/0/strokes", {"xy": [], "radius": 1}, 422, "xy"),
        ("1/frames/0/strokes", {"xy": [corner] * 2001, "radius": 1}, 422, "xy"),
        ("1/frames/0/strokes", {"xy": [[1, 2, 3]], "radius": 1}, 422, "xy"),
        ("1/frames/0/strokes", {"xy": [["a", 2]], "radius": 1}, 422, "xy"),
        ("1/frames/0/strokes", {"xy": [corner], "radius": 0}, 422, "radius"),
        ("1/frames/0/strokes", {"xy": [corner], "radius": 1e9}, 422, "radius"),
        ("1/frames/0/strokes", {"xy": [[-90, 5]], "radius": 2}, 400, "The stroke covers no pixel's centre"),
    ):
        method = "PUT" if body is None else "POST"
        answer = opened.request(method, f"{S}/objects/{path}", json=body)
        assert answer.status_code == status, (path, answer.text)
        assert text in answer.json()["error"], answer.text
        assert "\n" not in answer.json()["error"]
    odd = opened.put(
        f"{HERE}/mask", content=json.dumps({"size": [3, 3], "counts": "9"}), headers={"content-type": "application/json"}
    )
    assert (odd.status_code, "expected the video's size" in odd.json()["error"]) == (400, True)
