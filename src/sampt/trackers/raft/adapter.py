"""RAFT behind the interface of a tracker: frames in, chained points out.

Each frame is encoded once, whatever it is used for: as the target and the source of the flow to and from the frame before it,
and of that to and from the next one. The flow of a pair is computed once, in both directions, for all points.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.backends.lru_cache import LruCache
from sampt.backends.table import TRACKERS
from sampt.backends.torch_networks import load_exactly, put_on_device, repeatable
from sampt.geometry import sample_image
from sampt.trackers.base import CausalTracker, TrackerInfo
from sampt.trackers.chained import ChainedStream, ChainLimits
from sampt.trackers.frame_key import frame_key
from sampt.trackers.raft.network import FULL, SMALL, STRIDE, Encoded, RaftNetwork
from sampt.types import FloatArray, UInt8Array
from sampt.weights import load_checkpoint

__all__ = ["RaftTracker", "choose_fit", "load_network"]

_SIZES = {"raft": FULL, "raft-small": SMALL}
_MARKS = {"update_block.mask.0.weight": "raft", "update_block.gru.convz.weight": "raft-small"}
"""A parameter that only this network has."""
_LIMITS = ChainLimits(error_side=0.02, error_step=0.25, color=9.0)
"""Those of `dis-flow`, where they were chosen on davis2016_train; not chosen again for RAFT."""
_ITERATIONS = 12
"""As the network was trained, and as the official program's default."""
_MIN_SIDE = 128
"""Below this the coarsest of the four levels has fewer than two locations, for which the official program divides by zero; so
what is done there is ours to choose: such frames are enlarged, for points on things of a few pixels drift at a stride of 8
..."""
_MAX_FLOW_BYTES = 256 << 20
"""Of flows, 6.3 MiB a pair of frames of 854x480: for the other direction, other groups, and windows of re-initialisation."""
_MAX_ENLARGED = 4
"""... by this at most, and the rest is padding."""


class RaftTracker(CausalTracker):
    """RAFT flow, chained, with a forward-backward check and a check of looks.

    Args:
        name: "raft" or "raft-small".
        network: the network, in evaluation mode, on ``device``.
        device: where frames are sent.
        iterations: of the network's update; more is slower, and SAM-PT's program runs 32.
        limits: when a carried point counts.
    """

    def __init__(
        self,
        name: str,
        network: RaftNetwork,
        device: torch.device,
        *,
        iterations: int = _ITERATIONS,
        limits: ChainLimits = _LIMITS,
    ) -> None:
        self._name, self._network, self._device = name, network, device
        self._iterations, self._limits = iterations, limits
        self._flows: LruCache[tuple[bytes, bytes], tuple[FloatArray, FloatArray]] = LruCache(_MAX_FLOW_BYTES)

    @classmethod
    def load(
        cls, name: str, weights: Path | str | None, device: str, *, runtime: str = "auto", precision: str = "auto"
    ) -> RaftTracker:
        """See :func:`sampt.trackers.raft.create`; ``weights`` is a path, or None for random ones."""
        network = load_network(name, weights)
        return cls(name, network, put_on_device(network, network.hot, name, device, runtime=runtime, precision=precision))

    @property
    def info(self) -> TrackerInfo:
        return replace(TRACKERS[self._name].info, device=str(self._device))

    def stream(self) -> _RaftStream:
        return _RaftStream(self)

    @property
    def limits(self) -> ChainLimits:
        """When a carried point counts."""
        return self._limits

    @torch.inference_mode()
    def encode(self, frame: UInt8Array) -> Encoded:
        """What the network keeps of an (h, w, 3) uint8 RGB frame, made to fit as :func:`choose_fit` says."""
        image = torch.from_numpy(np.array(frame)).to(self._device).permute(2, 0, 1)[None].float()
        factor, padding = choose_fit((frame.shape[0], frame.shape[1]))
        if factor > 1:
            image = F.interpolate(image, scale_factor=float(factor), mode="bilinear", align_corners=False)
        return self._network.encode(F.pad(image, padding, mode="replicate"))

    def cached_flows(self, pair: tuple[bytes, bytes]) -> tuple[FloatArray, FloatArray] | None:
        """The flows of two frames, by their keys, if they have been computed, in either order, and are still there."""
        found = self._flows.get(pair)
        if found is not None:
            return found
        turned = self._flows.get(pair[::-1])
        return None if turned is None else (turned[1], turned[0])

    def cache_flows(self, pair: tuple[bytes, bytes], flows: tuple[FloatArray, FloatArray]) -> None:
        """Cache the flows of two frames for :meth:`cached_flows`."""
        self._flows.put(pair, flows, flows[0].nbytes + flows[1].nbytes)

    @torch.inference_mode()
    def flows(self, first: Encoded, second: Encoded, size_hw: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
        """(h, w, 2) flow in pixels from the first frame to the second, and from the second to the first."""
        there, back = self._network.bidirectional(first, second, self._iterations)
        return _on_frame(there, size_hw), _on_frame(back, size_hw)


def choose_fit(size_hw: tuple[int, int]) -> tuple[int, tuple[int, int, int, int]]:
    """How a frame is made to fit the network: enlarged by a whole factor, then padded by its border.

    Returns:
        The factor, 1 for frames whose sides are all 128 or more, and pixels added (left, right, top, bottom) to reach multiples
        of 8 and at least 128: half on each side, the odd one last, as the official program does outside driving scenes.
    """
    factor = min(_MAX_ENLARGED, -(-_MIN_SIDE // min(size_hw)))
    enlarged_hw = [side * factor for side in size_hw]
    pad_h, pad_w = (max(_MIN_SIDE, -(-side // STRIDE) * STRIDE) - side for side in enlarged_hw)
    return factor, (pad_w // 2, pad_w - pad_w // 2, pad_h // 2, pad_h - pad_h // 2)


def _on_frame(flow: Tensor, size_hw: tuple[int, int]) -> FloatArray:
    """(h, w, 2) flow in the frame's own pixels from (1, 2, rows, columns) flow of what :func:`choose_fit` made of it."""
    factor, (left, _, top, _) = choose_fit(size_hw)
    inner = flow[:, :, top : top + size_hw[0] * factor, left : left + size_hw[1] * factor]
    if factor > 1:
        inner = F.avg_pool2d(inner, factor) / factor
    return np.ascontiguousarray(inner[0].permute(1, 2, 0).cpu().numpy())


def load_network(name: str, weights: Path | str | None) -> RaftNetwork:
    """The network called ``name`` with the weights of an official checkpoint, or with random ones; for inference only.

    Raises:
        BackendError: the file is not there, is no checkpoint, or holds other weights than exactly this network's.
    """
    with repeatable():
        network = RaftNetwork(_SIZES[name]).eval().requires_grad_(False)
    if weights is None:
        return network
    state = load_checkpoint(weights)
    other = next((model for mark, model in _MARKS.items() if mark in state), None)
    load_exactly(network, state, name=name, path=weights, other=other, expected=f"an official {name} checkpoint")
    return network


class _RaftStream(ChainedStream):
    def __init__(self, tracker: RaftTracker) -> None:
        super().__init__(tracker.limits)
        self._tracker = tracker
        self._last: UInt8Array | Encoded | None = None
        """The frame before; not encoded as long as no flow from it was computed."""
        self._last_key = b""
        self._flows: tuple[FloatArray, FloatArray] | None = None

    def _advance(self, frame: UInt8Array) -> None:
        now: UInt8Array | Encoded = frame.copy()  # whoever gave it may reuse its memory
        pair = self._last_key, frame_key(frame)
        if self._last is not None and self._inside.any():
            self._flows = self._tracker.cached_flows(pair)
            if self._flows is None:
                before = self._last if isinstance(self._last, Encoded) else self._tracker.encode(self._last)
                now = self._tracker.encode(frame)
                self._flows = self._tracker.flows(before, now, (frame.shape[0], frame.shape[1]))
                self._tracker.cache_flows(pair, self._flows)
        self._last, self._last_key = now, pair[1]

    def _there_and_back(self, xy: FloatArray) -> tuple[FloatArray, FloatArray]:
        assert self._flows is not None
        forward, backward = self._flows
        there = xy + sample_image(forward, xy)
        return there, there + sample_image(backward, there)
