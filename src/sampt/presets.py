"""Settings by name: a preset is a value of :class:`sampt.config.SegmentConfig`."""

from __future__ import annotations

import dataclasses

from sampt.config import PromptConfig, ReinitConfig, SamplingConfig, SegmentConfig, TrackingConfig
from sampt.errors import ConfigError, did_you_mean

__all__ = ["PRESETS", "PRESET_SUMMARIES", "preset"]

_BUNDLED = SegmentConfig()
# Chosen on all sequences of davis2016_train: no network was trained on any (docs/benchmarks.md, "How the default was chosen").
_CLASSICAL = SegmentConfig(
    tracker="dis-flow",
    segmenter="grabcut",
    sampling=dataclasses.replace(_BUNDLED.sampling, positive_points=128, negative_points=128),
    prompting=dataclasses.replace(_BUNDLED.prompting, min_visible=0.0),
    reinit=dataclasses.replace(_BUNDLED.reinit, horizon=8, previous_mask=False, keep_queries=False, backward_consistency=False),
)


def _configure_fetched(tracker: str, segmenter: str, steps: int) -> SegmentConfig:
    """Backends whose weights are fetched, prompted as in the paper's second version, with what was added to its method here.

    What was chosen by figures of the bundled networks (numbers of points, what a prompt begins with) is not taken over. The
    least score lies below the paper's 0.7: with the object memory a score is the predicted IoU times a probability.
    """
    return SegmentConfig(
        tracker=tracker,
        segmenter=segmenter,
        sampling=SamplingConfig(positive_points=16, negative_points=1, expand_clicks=True),
        tracking=_BUNDLED.tracking,
        prompting=PromptConfig(refinement_steps=steps, iou_threshold=0.5, object_memory=True),
        reinit=dataclasses.replace(
            _BUNDLED.reinit, variant="at-median-area", horizon=24, tracker_horizon=24, anchor=False, previous_mask=False
        ),
    )


_PAPER_V2 = SegmentConfig(
    tracker="cotracker-v1",
    segmenter="hq-sam-vit-h",
    sampling=SamplingConfig(positive_points=16, negative_points=1),
    tracking=TrackingConfig(support_grid="paper"),
    prompting=PromptConfig(),
    reinit=ReinitConfig(variant="at-median-area", horizon=24, tracker_horizon=24, negative_points=1),
    full_precision=True,
    longest_side=1024,
)

PRESETS: dict[str, SegmentConfig] = {
    "default": _BUNDLED,
    "offline": _BUNDLED,
    "fast-offline": dataclasses.replace(
        _BUNDLED,
        segmenter="nano-fast",
        longest_side=428,
        prompting=dataclasses.replace(_BUNDLED.prompting, object_memory=False),
    ),
    "classical": _CLASSICAL,
    "best": _configure_fetched("bootstapir", "sam2.1-large", steps=12),
    "balanced": _configure_fetched("bootstapir-causal", "sam2.1-base-plus", steps=12),
    "fast": _configure_fetched("nano", "light-hq-sam", steps=3),
    "paper-v1": SegmentConfig(
        tracker="pips",
        segmenter="sam-vit-h",
        sampling=SamplingConfig(positive_points=8, negative_points=1),
        tracking=TrackingConfig(),
        prompting=PromptConfig(),
        reinit=ReinitConfig(variant="on-horizon-and-sync", horizon=8, tracker_horizon=8, negative_points=72),
        full_precision=True,
        longest_side=1024,
    ),
    "paper-v2": _PAPER_V2,
    "paper-v2-cotracker3": dataclasses.replace(_PAPER_V2, tracker="cotracker3-offline"),
}
"""``paper-v1`` and ``paper-v2`` are the paper's two versions; their re-initialisation is set but off, as in its main rows.
``paper-v2-cotracker3`` is the second with its tracker's successor.

``best``, ``balanced`` and ``fast`` fetch official weights, of permissive licences. Their networks are chosen by published
tables (docs/presets.md); they were not tuned here, where no official weights are at hand.
"""

PRESET_SUMMARIES: dict[str, str] = {
    "default": "the bundled networks, both called nano; needs no download and no PyTorch; chosen on DAVIS-2016 train",
    "offline": "another name of default",
    "fast-offline": "the same at half the resolution, with the segmenter nano-fast",
    "classical": "no network at all: graph cut and optical flow",
    "best": "BootsTAPIR and SAM 2.1 large, the strongest permissive ones by published tables; for a GPU; 1.1 GB",
    "balanced": "BootsTAPIR, which looks at no later frame, and SAM 2.1 base+; for a GPU; 0.5 GB",
    "fast": "the bundled tracker nano and Light HQ-SAM; 42 MB; for a CPU, too",
    "paper-v1": "PIPS and SAM ViT-H, with the numbers of the paper's first version",
    "paper-v2": "CoTracker (weights not for commercial use) and HQ-SAM ViT-H, with the numbers of its second version",
    "paper-v2-cotracker3": "the same with CoTracker3 (weights not for commercial use), which the paper did not have",
}
"""What the presets are, in a line each."""


def preset(name: str) -> SegmentConfig:
    """The preset called ``name``.

    Raises:
        ConfigError: there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(f"Unknown preset {name!r}.{did_you_mean(name, PRESETS)} Available: {', '.join(PRESETS)}.")
    return PRESETS[name]
