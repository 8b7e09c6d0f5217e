"""Settings are checked when made."""

from __future__ import annotations

import dataclasses
import json
from operator import attrgetter
from typing import Any

import pytest

from sampt.config import (
    PromptConfig,
    ReinitConfig,
    SamplingConfig,
    SegmentConfig,
    TrackingConfig,
    default_config,
    flatten_settings,
    setting_fields,
    with_settings,
)
from sampt.errors import ConfigError
from sampt.presets import PRESETS, preset


def test_the_parts_have_the_numbers_of_the_paper() -> None:
    prompting, tracking, reinit = PromptConfig(), TrackingConfig(), ReinitConfig()
    assert (prompting.refinement_steps, prompting.iou_threshold) == (12, 0.7)
    assert (prompting.other_objects_as_negatives, prompting.max_other_points) == (True, None)
    assert (tracking.group_size, tracking.border_fraction) == (5, 0.01)
    assert (tracking.patch_filter, tracking.patch_size, tracking.patch_threshold) == (False, 3, 0.01)
    assert (reinit.enabled, reinit.horizon, reinit.tracker_horizon) == (False, 24, 24)
    assert (SamplingConfig().positive_sampler, SamplingConfig().negative_sampler) == ("kmedoids", "mixed")
    assert SegmentConfig().seed == 72


def test_what_is_left_out_is_as_in_the_preset_default() -> None:
    assert SegmentConfig() == default_config() == preset("default")
    assert SegmentConfig(seed=1) == dataclasses.replace(preset("default"), seed=1)
    changed = {name for name, value in _flat(default_config(streaming=True)).items() if value != _flat(SegmentConfig())[name]}
    assert changed == {"reinit.enabled"}


def _flat(config: SegmentConfig) -> dict[str, object]:
    return {name: attrgetter(name)(config) for name in setting_fields()}


@pytest.mark.parametrize("reinit", [False, True])
def test_numbers_of_points_that_are_given_hold_with_reinitialisation_too(reinit: bool) -> None:
    config = with_settings(preset("paper-v1"), {"sampling.negative_points": 5, "reinit.enabled": reinit})
    assert config.effective_sampling.negative_points == 5
    both = with_settings(config, {"reinit.negative_points": 6, "sampling.negative_points": 7})
    assert both.effective_sampling.negative_points == (6 if reinit else 7)
    assert both.effective_sampling.positive_points == 8


@pytest.mark.parametrize(
    ("changes", "two_passes"),
    [
        ({"sampling.negative_points": 1}, True),
        ({"sampling.negative_points": 0}, False),
        ({"sampling.negative_points": 0, "reinit.negative_points": 3}, False),  # re-initialisation is off
        ({"sampling.negative_points": 0, "reinit.negative_points": 3, "reinit.enabled": True}, True),
        ({"sampling.negative_points": 1, "reinit.negative_points": 0, "reinit.enabled": True}, False),
        ({"sampling.negative_points": 1, "prompting.positives_first": False}, False),
    ],
)
def test_there_are_two_passes_where_negative_points_are_drawn(changes: dict[str, Any], two_passes: bool) -> None:
    plain = SegmentConfig(sampling=SamplingConfig(), prompting=PromptConfig(), reinit=ReinitConfig())
    config = with_settings(plain, changes)
    assert config.effective_prompting.positives_first == two_passes
    assert dataclasses.replace(config.effective_prompting, positives_first=True) == dataclasses.replace(
        config.prompting, positives_first=True
    )


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (SamplingConfig, {"positive_points": 0}, "positive_points is 0; expected a number at least 1"),
        (SamplingConfig, {"positive_points": "16"}, "positive_points is '16', a str; expected int"),
        (SamplingConfig, {"positive_points": 2.5}, "positive_points is 2.5, a float; expected int"),
        (SamplingConfig, {"positive_points": True}, "positive_points is True, a bool; expected int"),
        (SamplingConfig, {"negative_margin": float("inf")}, "negative_margin is inf"),
        (
            SamplingConfig,
            {"positive_sampler": "kmediods"},
            "Did you mean 'kmedoids'. Expected one of: random, even, kmedoids, shi-",
        ),
        (TrackingConfig, {"border_fraction": 0.6}, "border_fraction is 0.6; expected a number from 0 to 0.5"),
        (TrackingConfig, {"border_fraction": float("nan")}, "border_fraction is nan; expected a number from 0 to 0.5"),
        (PromptConfig, {"iou_threshold": 1.01}, "iou_threshold is 1.01; expected a number from 0 to 1"),
        (PromptConfig, {"refinement_steps": -1}, "refinement_steps is -1"),
        (PromptConfig, {"other_objects_as_negatives": "no"}, "is 'no', a str; expected bool"),
        (PromptConfig, {"max_other_points": 1.0}, "max_other_points is 1.0, a float; expected int or None"),
        (ReinitConfig, {"horizon": 1}, "horizon is 1; expected a number at least 2"),
        (ReinitConfig, {"horizon": 30}, "tracker_horizon is 24 and horizon is 30; expected tracker_horizon >= horizon"),
        (ReinitConfig, {"variant": None}, "variant is None"),
        (SegmentConfig, {"protocol": "VOS"}, "protocol is 'VOS'"),
        (SegmentConfig, {"longest_side": 8}, "longest_side is 8; expected a number at least 16"),
        (SegmentConfig, {"sampling": 3}, "sampling is 3, a int; expected SamplingConfig"),
        (SegmentConfig, {"seed": -1}, "seed is -1; expected a number at least 0"),
    ],
)
def test_values_out_of_range_are_refused_with_one_line(kind: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        kind(**values)
    assert "\n" not in str(caught.value)


def test_values_on_the_edge_of_the_range_are_taken() -> None:
    assert TrackingConfig(border_fraction=0).border_fraction == 0
    assert TrackingConfig(border_fraction=0.5).border_fraction == 0.5
    assert PromptConfig(iou_threshold=1).iou_threshold == 1
    assert ReinitConfig(horizon=2, tracker_horizon=2).horizon == 2
    assert SamplingConfig(negative_margin=None).negative_margin is None


def test_settings_change_by_dotted_name() -> None:
    base = preset("paper-v1")
    changes = {"seed": 1, "sampling.positive_points": 64, "reinit.horizon": 30, "reinit.tracker_horizon": 40}
    changed = with_settings(base, changes)
    assert (changed.seed, changed.sampling.positive_points) == (1, 64)
    assert (changed.reinit.horizon, changed.reinit.tracker_horizon) == (30, 40)
    assert changed.sampling.negative_points == base.sampling.negative_points
    assert base.seed == 72
    assert with_settings(base, {}) == base


@pytest.mark.parametrize("name", ["seeds", "sampling.positive", "nothing.seed", "seed.x", "sampling.", ".seed"])
def test_unknown_setting_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"Unknown setting") as caught:
        with_settings(SegmentConfig(), {name: 1})
    assert "Known: tracker, segmenter, tracker_weights, segmenter_weights, sampling.positive_points" in str(caught.value)


def test_changed_settings_are_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"iou_threshold is 2"):
        with_settings(SegmentConfig(), {"prompting.iou_threshold": 2})


def test_every_setting_has_a_help_text_and_is_plain_json() -> None:
    fields = setting_fields()
    assert all(len(field.metadata["help"]) > 10 for field, _ in fields.values())
    for name, config in PRESETS.items():
        settings = flatten_settings(config)
        assert json.loads(json.dumps(settings)) == settings, name
    leaves = {
        f"{outer}.{inner}" if isinstance(value, dict) else outer
        for outer, value in flatten_settings(SegmentConfig()).items()
        for inner in (value if isinstance(value, dict) else [""])
    }
    assert set(fields) == leaves


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SegmentConfig().seed = 3  # type: ignore[misc]
