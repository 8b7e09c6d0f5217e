"""Presets hold the paper's numbers, and those that were chosen here."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from sampt.backends.table import SEGMENTERS, TRACKERS
from sampt.config import with_settings
from sampt.errors import ConfigError
from sampt.presets import PRESET_SUMMARIES, PRESETS, preset
from sampt.weights.sources import describe_bytes, find_source

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_paper_presets() -> None:
    one, two = preset("paper-v1"), preset("paper-v2")
    assert (one.sampling.positive_points, one.sampling.negative_points) == (8, 1)
    assert (two.sampling.positive_points, two.sampling.negative_points) == (16, 1)
    assert (one.reinit.variant, two.reinit.variant) == ("on-horizon-and-sync", "at-median-area")
    assert (one.reinit.horizon, one.reinit.tracker_horizon) == (8, 8)
    assert (two.reinit.horizon, two.reinit.tracker_horizon) == (24, 24)
    for paper, counts in ((one, (8, 72)), (two, (16, 1))):
        sampling = with_settings(paper, {"reinit.enabled": True}).effective_sampling
        assert (sampling.positive_points, sampling.negative_points) == counts
        assert paper.effective_sampling == paper.sampling
    assert [p.prompting.refinement_steps for p in (one, two)] == [12, 12]
    assert [p.reinit.enabled for p in (one, two)] == [False, False]


def test_the_papers_second_version_has_the_papers_tracker_and_a_variant_its_successor() -> None:
    two, newer = preset("paper-v2"), preset("paper-v2-cotracker3")
    assert (two.tracker, two.segmenter, two.tracking.support_grid) == ("cotracker-v1", "hq-sam-vit-h", "paper")
    assert newer == with_settings(two, {"tracker": "cotracker3-offline"})


def test_presets_that_need_nothing_from_the_network() -> None:
    assert preset("offline") == preset("default")
    assert (preset("default").tracker, preset("default").segmenter) == ("nano", "nano")
    changes = {"segmenter": "nano-fast", "longest_side": 428, "prompting.object_memory": False}
    assert preset("fast-offline") == with_settings(preset("default"), changes)


def test_presets_with_fetched_weights_prompt_as_the_paper_does_with_what_was_added_to_its_method() -> None:
    chosen = {
        "best": ("bootstapir", "sam2.1-large", 12),
        "balanced": ("bootstapir-causal", "sam2.1-base-plus", 12),
        "fast": ("nano", "light-hq-sam", 3),
    }
    paper, default = preset("paper-v2"), preset("default")
    for name, (tracker, segmenter, steps) in chosen.items():
        found = preset(name)
        assert (found.tracker, found.segmenter, found.longest_side) == (tracker, segmenter, None)
        assert found.sampling == dataclasses.replace(paper.sampling, expand_clicks=True)
        changes = {"refinement_steps": steps, "iou_threshold": 0.5, "object_memory": True}
        assert found.prompting == dataclasses.replace(paper.prompting, **changes)
        expected = dataclasses.replace(
            paper.reinit, enabled=True, keep_queries=True, backward_consistency=True, compete=True, negative_points=None
        )
        assert found.reinit == expected
        assert (found.tracking, found.memory) == (default.tracking, default.memory)


def test_weights_of_presets_that_are_the_best_are_permissive_and_as_large_as_the_document_says() -> None:
    rows = dict(
        re.findall(r"^\| `(\w+)` \|.*\| ([\d.]+ [MG]B) \|", (DOCS / "presets.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for name in ("best", "balanced", "fast"):
        config, total = preset(name), 0
        for spec in (TRACKERS[config.tracker], SEGMENTERS[config.segmenter]):
            assert spec.info.license_code == spec.info.license_weights == "Apache-2.0"
            total += sum(find_source(source).num_bytes or 0 for source in spec.weights)
        assert rows[name] == describe_bytes(total)


def test_every_preset_has_a_summary_of_a_line() -> None:
    assert list(PRESET_SUMMARIES) == list(PRESETS)
    assert max(map(len, PRESET_SUMMARIES.values())) <= 110
    assert {config.tracker_weights for config in PRESETS.values()} == {"default"}


def test_unknown_preset_names_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"Unknown preset 'paper-v3'. Did you mean 'paper-v\d'\? Available: default, offline"):
        preset("paper-v3")
