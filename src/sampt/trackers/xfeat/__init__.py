"""`xfeat`: points carried by matched keypoints of a small network. It needs PyTorch and downloaded weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sampt.backends.options import needing_torch
from sampt.backends.table import TRACKERS
from sampt.weights.choice import local_weights

if TYPE_CHECKING:
    from sampt.trackers.keypoints.adapter import KeypointTracker

__all__ = ["create"]


def create(*, weights: str | None = "default", device: str = "auto") -> KeypointTracker:
    """Make the tracker `xfeat`; see :func:`sampt.trackers.create.create_tracker`."""
    name = "xfeat"
    with needing_torch(name):
        from sampt.backends.torch_networks import running_on
        from sampt.trackers.keypoints.adapter import KeypointTracker
        from sampt.trackers.keypoints.carry import WIDE_LIMITS
        from sampt.trackers.xfeat.matcher import XFeatMatcher, load_network
    network = load_network(local_weights(name, weights))
    with running_on(device, name) as location:
        matcher = XFeatMatcher(network.to(location), location)
    return KeypointTracker(replace(TRACKERS[name].info, device=str(location)), matcher, limits=WIDE_LIMITS)
