"""Large frames are worked on at a smaller size, and masks have the video's size all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from sampt.config import SegmentConfig
from sampt.masks.rle import Rle, decode_mask
from sampt.session.project import read_project
from sampt.types import MaskPrediction, ObjectPrompt
from sampt.web.opening import LARGE_FROM, LARGE_SIDE

S = "/api/v1/session"


def test_the_working_size_is_chosen_or_requested_and_masks_are_of_the_video(
    serving: Callable[..., FastAPI], browsing: Callable[..., TestClient], site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    width, height = 96, 64
    assert site.frames.shape[1:3] == (height, width)
    sizes: list[tuple[int, int]] = []

    class Seen(type(site.segmenter)):  # type: ignore[misc]
        """Notes the size that it works at, and finds the left half of a frame."""

        def encode(self, frames: np.ndarray) -> list[tuple[int, int]]:
            sizes.append((frames.shape[1], frames.shape[2]))
            return [(frames.shape[1], frames.shape[2])] * len(frames)

        def decode(self, size: tuple[int, int], prompts: list[ObjectPrompt], *, full_size: bool = True) -> list[Any]:
            logits = np.where(np.arange(size[1])[None] < size[1] / 2, 5, -5) * np.ones(size)
            return [MaskPrediction(p.object_id, 0.9, None, None, logits.astype(np.float32)) for p in prompts]

    backends = site._backends(SegmentConfig())[0], Seen(site.scene)
    browser = browsing(serving(backends=lambda _: backends))

    def clicked(name: str, **wanted: Any) -> tuple[int | None, Any]:
        opened = browser.post(S, json={"video": "root/clip", "project": f"root/{name}.sampt", **wanted})
        assert opened.status_code == 201, opened.text
        site.click(browser)
        (found,) = browser.get(f"{S}/frames/0/masks", params={"preview": True}).json()["objects"]
        mask = decode_mask(Rle(tuple(found["rle"]["size"]), found["rle"]["counts"]))
        assert mask.shape == (height, width)
        assert abs(int(mask.sum()) - height * width // 2) <= height
        side: int | None = opened.json()["video"]["longest_side"]
        return side, sizes[-1]

    assert clicked("plain") == (None, (height, width))
    assert clicked("half", longest_side=48) == (48, (32, 48))
    monkeypatch.setattr("sampt.web.opening.LARGE_FROM", 90)
    monkeypatch.setattr("sampt.web.opening.LARGE_SIDE", 64)
    assert clicked("large") == (64, (43, 64))
    assert clicked("full", longest_side=0) == (None, (height, width))
    assert read_project(Path(site.root) / "large.sampt").config.longest_side == 64
    assert LARGE_SIDE < LARGE_FROM
