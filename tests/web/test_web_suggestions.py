"""Suggestions over HTTP: found in the background, accepted once, dropped; the event stream has them when they are there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from fastapi import FastAPI
from starlette.testclient import TestClient

from sampt.proposers.base import Proposal
from sampt.proposers.create import create_proposer
from sampt.testing import ExactProposer
from tests.web.test_web_events import EVENTS, until

S = "/api/v1/session"


class Waiting(ExactProposer):
    """Exact, once it may begin."""

    def __init__(self, scene: Any) -> None:
        super().__init__(scene, labels=("a", "b"))
        self.go_on = threading.Event()
        self.go_on.set()

    def propose(self, frame: Any) -> list[Proposal]:
        assert self.go_on.wait(30)
        return super().propose(frame)


def test_objects_are_suggested_accepted_once_and_dropped(
    serving: Callable[..., FastAPI], browsing: Callable[..., TestClient], site: Any
) -> None:
    exact = Waiting(site.scene)
    browser = browsing(serving(proposers=lambda name: exact if name == "objectness" else create_proposer(name)))
    assert browser.post(S, json={"video": "root/clip"}).status_code == 201
    assert browser.get(f"{S}/suggestions").json() is None
    with browser.websocket_connect(EVENTS) as socket:
        exact.go_on.clear()
        first = browser.post(f"{S}/frames/2/suggestions", json={}).json()
        assert (first["frame"], first["proposer"], first["is_running"], first["suggestions"]) == (2, "objectness", True, [])
        second = browser.post(f"{S}/frames/2/suggestions", json={"min_score": 0.5, "max_objects": 2}).json()
        exact.go_on.set()
        found = until(socket, "suggestions", search_id=second["search_id"])[-1]
    assert (found["is_running"], found["is_cancelled"], found["error"]) == (False, False, None)
    assert browser.get(f"{S}/suggestions").json() == {k: v for k, v in found.items() if k != "type"}
    for one, mask in zip(found["suggestions"], site.masks(2), strict=True):
        np.testing.assert_array_equal(site.mask(one), mask)
    assert browser.get(S).json()["objects"] == [], "nothing is added unasked"
    one, other = (item["suggestion_id"] for item in found["suggestions"])
    added = browser.post(f"{S}/suggestions/{other}/accept")
    assert (added.status_code, added.json()["object"]["name"]) == (201, "b")
    assert added.json()["object"]["color"] == found["suggestions"][1]["color"]
    assert [(m["object_id"], m["frame"]) for m in added.json()["state"]["masks"]] == [(1, 2)]
    again = browser.post(f"{S}/suggestions/{other}/accept")
    assert (again.status_code, again.json()["error"]) == (
        404,
        f"There is no suggestion {other}; it was accepted or dropped. Find objects again.",
    )
    assert [item["suggestion_id"] for item in browser.get(f"{S}/suggestions").json()["suggestions"]] == [one]
    assert browser.post(f"{S}/undo").json()["objects"] == []
    assert browser.delete(f"{S}/suggestions").json()["suggestions"] == []
    assert browser.post(f"{S}/suggestions/{one}/accept").status_code == 404
    for frame, body, status, text in (
        (9, {}, 404, "There is no frame 9"),
        (0, {"proposer": "boxes:/etc/passwd"}, 422, "proposer"),
        (0, {"proposer": "nobody"}, 400, "Unknown proposer 'nobody'"),
        (0, {"region": [5, 0, 1, 9]}, 400, "X0 up to X1"),
        (0, {"max_objects": 0}, 422, "max_objects"),
    ):
        refused = browser.post(f"{S}/frames/{frame}/suggestions", json=body)
        assert refused.status_code == status, refused.text
        assert text in refused.json()["error"]
        assert "\n" not in refused.json()["error"]
