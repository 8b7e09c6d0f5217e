"""Choices about corrections over HTTP: the whole change, the clicks alone, frames marked good."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from sampt.types import MaskPrediction

S = "/api/v1/session"


def _point(opened: TestClient, frame: int, x: float, y: float, is_positive: bool = True) -> dict[str, Any]:
    wanted = {"object_id": 1, "frame": frame, "x": x, "y": y, "is_positive": is_positive}
    answer = opened.post(f"{S}/points", json=wanted)
    assert answer.status_code == 201, answer.text
    return answer.json()["state"]


def _preview(opened: TestClient, frame: int) -> dict[str, Any]:
    return opened.get(f"{S}/frames/{frame}/masks", params={"preview": True}).json()["objects"][0]


def test_a_whole_change_is_shown_beside_the_mask_and_taken_on_request(
    opened: TestClient, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = site.masks(0)
    corner = np.zeros_like(own)
    corner[:5, :5] = True
    plain = site.segmenter.decode

    def jump(embedding: Any, prompts: Any, **keywords: Any) -> list[MaskPrediction]:
        if len(prompts[0].xy) == 1:
            return plain(embedding, prompts, **keywords)
        logits = np.where(other | corner, np.float32(4), np.float32(-4))
        return [MaskPrediction(1, 0.9, None, None, logits)]

    monkeypatch.setattr(site.segmenter, "decode", jump)
    site.click(opened)
    assert _preview(opened, 0)["whole_rle"] is None
    state = _point(opened, 0, 2, 2)
    assert [p["is_whole"] for p in state["points"]] == [False, False]
    shown = _preview(opened, 0)
    np.testing.assert_array_equal(site.mask(shown), own | corner)
    at = site.inside(1)
    whole = site.mask({"rle": shown["whole_rle"]})
    assert whole[at["y"], at["x"]], "the first click has its pixel in either mask"
    assert (whole ^ (other | corner)).sum() == 5
    state = opened.post(f"{S}/objects/1/frames/0/whole-change").json()
    assert [p["is_whole"] for p in state["points"]] == [False, True]
    taken = _preview(opened, 0)
    assert (taken["rle"], taken["whole_rle"]) == (shown["whole_rle"], None)


def test_the_clicks_alone_and_marks_of_good_frames(opened: TestClient, site: Any) -> None:
    site.click(opened)
    site.propagate(opened)
    state = opened.put(f"{S}/objects/1/frames/5/reviewed").json()
    assert state["reviewed"] == {"1": [[5, 6]]}
    good = opened.get(f"{S}/frames/5/masks").json()["objects"]
    other = site.inside(2, 4)
    _point(opened, 4, **other)
    state = _point(opened, 4, **site.inside(1, 4), is_positive=False)
    assert state["clicks_alone"] == []
    state = opened.post(f"{S}/objects/1/frames/4/clicks-alone").json()
    assert state["clicks_alone"] == [{"object_id": 1, "frame": 4}]
    _point(opened, 4, other["x"] + 1, other["y"])
    np.testing.assert_array_equal(site.mask(_preview(opened, 4)), site.masks(4)[1])
    assert state["stale"]["1"] == [[3, 5], [6, 8]]
    site.propagate(opened)
    assert opened.get(f"{S}/frames/5/masks").json()["objects"] == good
    np.testing.assert_array_equal(site.mask(opened.get(f"{S}/frames/6/masks").json()["objects"][0]), site.masks(6)[1])
    state = opened.delete(f"{S}/objects/1/frames/5/reviewed").json()
    assert (state["reviewed"], state["stale"]) == ({"1": []}, {"1": [[5, 6]]})


@pytest.mark.parametrize("path", ["whole-change", "clicks-alone"])
def test_choices_without_a_click_are_refused_in_one_line(opened: TestClient, site: Any, path: str) -> None:
    site.click(opened)
    answer = opened.post(f"{S}/objects/1/frames/3/{path}")
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "There is no click on object 1 on frame 3; click on it first.",
    )
    assert opened.post(f"{S}/objects/7/frames/0/{path}").status_code == 404
    assert opened.post(f"{S}/objects/1/frames/99/{path}").status_code == 404
    answer = opened.put(f"{S}/objects/1/frames/3/reviewed")
    assert answer.status_code == 400
    assert "has no result on frame 3 yet" in answer.json()["error"]
