"""A server over exact fakes: a folder of lossless frames, backends that know the response, and browsers that request."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="FastAPI is one of the [ui] extras")

from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from sampt.config import SegmentConfig
from sampt.masks.rle import Rle, decode_mask
from sampt.proposers.base import Proposer
from sampt.proposers.create import create_proposer
from sampt.segmenters.base import PromptableSegmenter
from sampt.testing.fakes import ExactProposer, ExactSegmenter, ExactStreamTracker
from sampt.testing.scenes import Scene, SceneVideo, slow_scene
from sampt.trackers.base import PointTracker
from sampt.types import UInt8Array
from sampt.video.writer import VideoWriter
from sampt.web.app import create_app
from sampt.web.settings import WebSettings

NUM_FRAMES = 8
ORIGIN = "http://127.0.0.1:7268"


class Held(ExactSegmenter):
    """An exact segmenter that can be made to wait before it encodes."""

    def __init__(self, *clips: Scene) -> None:
        super().__init__(*clips)
        self.go_on = threading.Event()
        self.go_on.set()

    def encode(self, frames: UInt8Array) -> list[tuple[int, int]]:
        assert self.go_on.wait(60)
        return super().encode(frames)


class Site:
    """A server with a root called "root", in which "clip" is a folder of frames and "clip.mp4" a video.

    Attributes:
        scene: what the frames show.
        root: the folder behind the name.
        segmenter: of all sessions.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "real" / "root"
        self.scene = slow_scene(NUM_FRAMES)
        self.frames = SceneVideo(self.scene).read(0, NUM_FRAMES)
        self.segmenter = Held(self.scene)
        (self.root / "clip").mkdir(parents=True)
        for i, frame in enumerate(self.frames):
            Image.fromarray(frame).save(self.root / "clip" / f"{i:05d}.png")
        write_video(self.root / "clip.mp4", self.frames)
        self.settings = WebSettings({"root": self.root}, folder / "work", self._backends, proposers=self._proposer)

    def _backends(self, _: SegmentConfig) -> tuple[PointTracker, PromptableSegmenter]:
        return ExactStreamTracker(self.scene), self.segmenter

    def _proposer(self, name: str) -> Proposer:
        return ExactProposer(self.scene) if name == "objectness" else create_proposer(name)

    def masks(self, frame_idx: int) -> np.ndarray:
        return np.asarray(self.scene.masks(frame_idx))

    def inside(self, object_id: int, frame_idx: int = 0) -> dict[str, float]:
        """A pixel well inside of an object."""
        ys, xs = np.nonzero(self.masks(frame_idx)[object_id - 1])
        return {"x": round(float(xs.mean())), "y": round(float(ys.mean()))}

    def click(self, browser: TestClient, object_id: int = 1, frame: int = 0) -> dict[str, Any]:
        """Add an object and click the scene's object of that number."""
        added = browser.post("/api/v1/session/objects", json={}).json()["object"]["object_id"]
        wanted = {"object_id": added, "frame": frame, "is_positive": True, **self.inside(object_id, frame)}
        answer = browser.post("/api/v1/session/points", json=wanted)
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def propagate(self, browser: TestClient, **wanted: Any) -> dict[str, Any]:
        """Start a propagation, and wait for its end."""
        assert browser.post("/api/v1/session/propagations", json=wanted).status_code == 202
        return self.wait_for(lambda: browser.get("/api/v1/session/propagations").json(), lambda body: not body["is_running"])

    @staticmethod
    def wait_for(ask: Callable[[], Any], is_right: Callable[[Any], bool]) -> dict[str, Any]:
        for _ in range(3000):
            body: dict[str, Any] = ask()
            if is_right(body):
                return body
            time.sleep(0.01)
        raise AssertionError(f"it did not become right within half a minute: {body}")

    @staticmethod
    def mask(body: dict[str, Any]) -> np.ndarray:
        """The mask of an object in a response."""
        return decode_mask(Rle(tuple(body["rle"]["size"]), body["rle"]["counts"]))


def write_video(path: Path, frames: UInt8Array) -> None:
    with VideoWriter(path, 24, frames.shape[1:3]) as writer:
        for frame in frames:
            writer.write(frame)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def serving(site: Site) -> Iterator[Callable[..., FastAPI]]:
    """Starts applications: given limits and settings that are unlike the usual ones; all end with the test."""
    ends: list[TestClient] = []

    def start(limits: dict[str, Any] | None = None, **changes: Any) -> FastAPI:
        settings = dataclasses.replace(site.settings.with_limits(**(limits or {})), **changes)
        app = create_app(settings)
        client = TestClient(app, base_url=ORIGIN)
        client.__enter__()
        ends.append(client)
        return app

    yield start
    site.segmenter.go_on.set()
    for client in ends:
        client.__exit__(None, None, None)


@pytest.fixture
def browsing() -> Callable[..., TestClient]:
    """Makes browsers of an application."""

    def make(app: FastAPI, **keywords: Any) -> TestClient:
        return TestClient(app, **{"base_url": ORIGIN, "raise_server_exceptions": True, **keywords})

    return make


@pytest.fixture
def app(serving: Callable[..., FastAPI]) -> FastAPI:
    return serving()


@pytest.fixture
def browser(app: FastAPI, browsing: Callable[..., TestClient]) -> TestClient:
    """One without a session."""
    return browsing(app)


@pytest.fixture
def opened(browser: TestClient) -> TestClient:
    """One with the clip open."""
    assert browser.post("/api/v1/session", json={"video": "root/clip"}).status_code == 201
    return browser
