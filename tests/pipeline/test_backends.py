"""What a run's settings say of how its backends are made: the same wherever they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sampt.config import SegmentConfig, with_settings
from sampt.errors import BackendError, ConfigError
from sampt.pipeline.backends import setting_options
from sampt.pipeline.segment import segment_video
from sampt.presets import PRESETS, preset
from sampt.runs.backends import backend_options, make_backends
from sampt.runs.job import RunOptions
from sampt.trackers.create import create_tracker
from sampt.types import Points
from sampt.video.array import ArrayVideo


@pytest.mark.parametrize("name", PRESETS)
def test_the_papers_presets_are_in_float32_throughout_and_no_others(name: str) -> None:
    config = preset(name)
    of_tracker, of_segmenter = backend_options(config, "auto", "auto")
    expected = "float32" if name.startswith("paper-") else None
    assert of_segmenter.get("precision") == expected
    assert of_tracker.get("precision") == expected


def test_support_points_are_as_official_by_default_and_as_in_the_paper_in_its_preset() -> None:
    for tracker in ("cotracker-v1", "cotracker3-offline", "cotracker3-online"):
        assert setting_options("tracker", tracker, SegmentConfig())["support_grid"] == "official"
        assert setting_options("tracker", tracker, preset("paper-v2"))["support_grid"] == "paper"
        off = with_settings(SegmentConfig(), {"tracking.support_grid": "none"})
        assert setting_options("tracker", tracker, off) == {"support_grid": "none"}
    assert setting_options("tracker", "pips", preset("paper-v1")) == {"precision": "float32"}
    assert setting_options("tracker", "nano", preset("paper-v2")) == {}  # which has no such choice
    with pytest.raises(ConfigError, match="Expected one of: official, paper, none"):
        with_settings(SegmentConfig(), {"tracking.support_grid": "6x6"})


def test_a_precision_that_is_asked_for_goes_before_the_preset() -> None:
    of_tracker, of_segmenter = backend_options(preset("paper-v2"), "auto", "bfloat16")
    assert (of_tracker["precision"], of_segmenter["precision"]) == ("bfloat16", "bfloat16")
    assert of_tracker["support_grid"] == "paper"


def test_trackers_take_the_support_grid_that_they_are_given() -> None:
    pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")
    for given, kept in (("auto", "official"), ("paper", "paper"), ("none", "none")):
        tracker: Any = create_tracker("cotracker3-online", weights=None, device="cpu", support_grid=given)
        assert tracker._settings.support_grid == kept
    with pytest.raises(BackendError, match=r"Unknown support_grid '3x3'\. Expected one of: auto, official, paper, none\."):
        create_tracker("cotracker3-online", weights=None, device="cpu", support_grid="3x3")
    with pytest.raises(BackendError, match=r"'lucas-kanade' has no choice of support_grid, got 'none'; leave the option out\."):
        create_tracker("lucas-kanade", support_grid="none")


def test_a_gpus_short_numbers_are_not_used_where_the_settings_forbid_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In jobs and in ``segment_video``, which make their backends in two locations."""
    pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")
    pytest.importorskip("kornia", reason="kornia is one of the [sam] extras")
    monkeypatch.setattr("sampt.segmenters.sam.adapter.default_precision", lambda device: "bfloat16")
    seen: list[Any] = []
    monkeypatch.setattr("sampt.pipeline.segment.Engine", lambda tracker, segmenter, config: seen.append(segmenter))
    weights = {"tracker": "lucas-kanade", "segmenter": "mobile-sam", "segmenter_weights": "random"}
    for is_full, precision in ((False, "bfloat16"), (True, "float32")):
        config = with_settings(SegmentConfig(), weights | {"full_precision": is_full})
        point = Points.of(1, 0, [[5, 5]])
        segmenter: Any = make_backends(config, RunOptions())[1]
        assert segmenter.identity.endswith(f" torch {precision}")
        with pytest.raises(AttributeError):  # what follows has no engine
            list(segment_video(ArrayVideo(frames()), point, config=config))
        assert seen.pop().identity == segmenter.identity


def frames() -> Any:
    import numpy as np

    return np.zeros((2, 20, 30, 3), np.uint8)
