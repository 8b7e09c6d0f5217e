"""For testing backends and what is built on them: synthetic scenes with exact masks and tracks, exact fakes, contracts."""

from __future__ import annotations

from sampt.testing.contracts import (
    PROPOSER_CLAUSES,
    SEGMENTER_CLAUSES,
    TRACKER_CLAUSES,
    ContractError,
    SegmenterLimits,
    TrackerLimits,
    check_proposer,
    check_segmenter,
    check_tracker,
    contract_scenes,
)
from sampt.testing.fakes import ExactProposer, ExactSegmenter, ExactStreamTracker, ExactTracker, RecordedClip
from sampt.testing.rendering import Layer, Pose, Scene, SceneVideo
from sampt.testing.scenes import (
    alike_crossing_scene,
    crossing_scene,
    demo_scene,
    entering_scene,
    exchange_scene,
    hidden_scene,
    leave_and_return_scene,
    occlusion_scene,
    slow_scene,
    static_scene,
)

__all__ = [
    "PROPOSER_CLAUSES",
    "SEGMENTER_CLAUSES",
    "TRACKER_CLAUSES",
    "ContractError",
    "ExactProposer",
    "ExactSegmenter",
    "ExactStreamTracker",
    "ExactTracker",
    "Layer",
    "Pose",
    "RecordedClip",
    "Scene",
    "SceneVideo",
    "SegmenterLimits",
    "TrackerLimits",
    "alike_crossing_scene",
    "check_proposer",
    "check_segmenter",
    "check_tracker",
    "contract_scenes",
    "crossing_scene",
    "demo_scene",
    "entering_scene",
    "exchange_scene",
    "hidden_scene",
    "leave_and_return_scene",
    "occlusion_scene",
    "slow_scene",
    "static_scene",
]
