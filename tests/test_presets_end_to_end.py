"""The presets with fetched weights from a clip to masks, with random ones."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")

from sampt.config import with_settings
from sampt.exporters.tracks_npz import load_tracks
from sampt.presets import preset
from sampt.runs.job import Job, RunOptions
from sampt.runs.run import run_job
from sampt.segmenters.mobile_sam.network import build_light_hq_sam
from sampt.segmenters.sam.models import MODELS
from sampt.testing import SceneVideo, slow_scene
from sampt.types import QueryMask


def run(name: str, output: Path, num_frames: int) -> None:
    """Two objects by their first masks, through re-initialised windows of three frames."""
    scene = slow_scene(num_frames)
    weights = {} if preset(name).tracker == "nano" else {"tracker_weights": "random"}
    changes = {"segmenter_weights": "random", "prompting.iou_threshold": 0.0, "prompting.refinement_steps": 1}
    changes |= {"reinit.horizon": 3, "reinit.tracker_horizon": 3, **weights}
    changes |= {"sampling.positive_sampler": "even", "sampling.positive_points": 8}  # k-medoids takes a third of the time
    queries = [QueryMask(o, 0, mask) for o, mask in enumerate(scene.masks(0), 1)]
    config = with_settings(preset(name), changes)
    options = RunOptions(device="cpu", formats=["png", "npz"])
    result = run_job(Job(SceneVideo(scene), queries, output, config, options))
    assert result.num_frames == num_frames
    assert [item.object_id for item in result.objects] == [1, 2]
    assert set(result.licenses) == {f"tracker {config.tracker}", f"segmenter {config.segmenter}"}
    labels = [np.asarray(Image.open(path)) for path in sorted((output / "masks").glob("*.png"))]
    first = sum(o * mask for o, mask in enumerate(scene.masks(0), 1))
    assert np.array_equal(labels[0], first)
    assert any(frame.any() for frame in labels[1:])
    tracks = load_tracks(output / "tracks.npz")
    assert tracks.visible.any()
    assert np.isfinite(tracks.xy).all()


def test_fast_runs_with_a_reduced_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("reduced_for_presets")
    vars(module)["build"] = lambda: build_light_hq_sam(128)
    monkeypatch.setitem(sys.modules, "reduced_for_presets", module)
    monkeypatch.setitem(MODELS, "light-hq-sam", replace(MODELS["light-hq-sam"], builder="reduced_for_presets:build"))
    run("fast", tmp_path, 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["best", "balanced", "fast"])
def test_presets_run_with_networks_of_full_size(name: str, tmp_path: Path) -> None:
    run(name, tmp_path, 4)
