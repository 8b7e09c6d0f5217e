"""TAPIR behind the interface of a tracker: the whole clip in one pass, in both directions from each prompt frame, or frame by
frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sampt.backends.lru_cache import LruCache
from sampt.backends.table import TRACKERS
from sampt.backends.torch_networks import load_exactly, put_on_device, quicken, repeatable
from sampt.geometry import SizeHW, inside_frame, rescale_xy
from sampt.trackers.base import CausalTracker, FrameSource, TrackerInfo, TrackerStream, TrackStep
from sampt.trackers.frame_key import frame_key
from sampt.trackers.tapir.clip import ClipFeatures, ClipPass
from sampt.trackers.tapir.network import (
    BOOTSTAPIR,
    BOOTSTAPIR_CAUSAL,
    TAPIR,
    Levels,
    Memory,
    TapirNetwork,
    TapirSizes,
    joined,
)
from sampt.types import FloatArray, Points, QueryMask, Tracks, UInt8Array
from sampt.weights import load_checkpoint

__all__ = ["CausalTapirTracker", "FrameView", "TapirTracker", "load", "load_network"]

_SIZES = {"tapir": TAPIR, "bootstapir": BOOTSTAPIR, "bootstapir-causal": BOOTSTAPIR_CAUSAL}
_VISIBLE = 0.1
"""SAM-PT's limit; that of the official program is 0.5."""
_FRAMES_AT_ONCE = 16
_MAX_CACHE_BYTES = 160 << 20
"""Of features, for other groups of objects and windows of re-initialisation: 49 frames at the published size."""


def load(
    name: str, weights: Path | str | None, device: str, *, runtime: str = "auto", precision: str = "auto"
) -> TapirTracker | CausalTapirTracker:
    """See :func:`sampt.trackers.tapir.create`; ``weights`` is a path, or None for random ones."""
    network = load_network(name, weights)
    view = FrameView(name, network, put_on_device(network, network.hot, name, device, runtime=runtime, precision=precision))
    return CausalTapirTracker(view) if network.sizes.is_causal else TapirTracker(view)


def load_network(name: str, weights: Path | str | None, sizes: TapirSizes | None = None) -> TapirNetwork:
    """The network called ``name`` with the weights of an official checkpoint, or with random ones; for inference only.

    Args:
        name: of the tracker.
        weights: a path, or None.
        sizes: other ones than those of ``name``.

    Raises:
        BackendError: the file is not there, is no checkpoint, or holds other weights than exactly this network's.
    """
    with repeatable():
        network = TapirNetwork(sizes or _SIZES[name]).eval().requires_grad_(False)
    quicken(network)
    if weights is None:
        return network
    state = load_checkpoint(weights)
    family = "bootstapir" if any(key.startswith("extra_convs.") for key in state) else "tapir"
    other = None if name.startswith(family) or "torch_pips_mixer.linear.weight" not in state else family
    load_exactly(network, state, name=name, path=weights, other=other, expected=f"an official PyTorch checkpoint of {name}")
    return network


class FrameView:
    """The network of a tracker, and how it sees frames: stretched to a square, in coordinates that begin at a corner.

    Args:
        name: of the tracker.
        network: in evaluation mode, on ``device``.
        device: where frames are sent.
        visible: a point inside the frame is visible when it is seen, and not far from where it is said to be, with a greater
            probability.
    """

    def __init__(self, name: str, network: TapirNetwork, device: torch.device, *, visible: float = _VISIBLE) -> None:
        self.network, self.device = network, device
        self._name, self._visible = name, visible

    def info(self) -> TrackerInfo:
        """Of the tracker."""
        return replace(TRACKERS[self._name].info, is_causal=self.network.sizes.is_causal, device=str(self.device))

    def image(self, frame: UInt8Array) -> Tensor:
        """(1, 3, h, w) in [-1, 1] of an (h, w, 3) uint8 RGB frame: by Pillow's Lanczos filter, as TAP-Vid's evaluation does."""
        size_hw = self.network.sizes.image_hw
        if frame.shape[:2] != size_hw:
            frame = np.asarray(Image.fromarray(frame).resize(size_hw[::-1], Image.Resampling.LANCZOS))
        return torch.from_numpy(np.array(frame)).to(self.device).permute(2, 0, 1)[None].float() / 127.5 - 1

    def locations(self, xy: FloatArray, size_hw: SizeHW) -> Tensor:
        """(n, 2) points of the frame as locations in the network's image."""
        moved = rescale_xy(xy, size_hw, self.network.sizes.image_hw) + np.float32(0.5)
        return torch.from_numpy(moved).to(self.device)

    def to_step(self, table: Tensor, size_hw: SizeHW) -> TrackStep:
        """xy (t, n, 2), visible and confidence (t, n) of a table (n, t, columns)."""
        found = table[..., :4].transpose(0, 1).float().cpu()
        xy = rescale_xy(found[..., :2].numpy() - np.float32(0.5), self.network.sizes.image_hw, size_hw)
        confidence = torch.sigmoid(-found[..., 2:]).prod(-1).numpy()
        return TrackStep(xy, (confidence > self._visible) & inside_frame(xy, size_hw), confidence)


class TapirTracker:
    """TAPIR or BootsTAPIR on whole clips, in one pass that goes in both directions.

    Args:
        view: with a network that is not causal.
        frames_at_once: the length of the chunks in which a clip is worked on; it changes speed and memory alone.
    """

    def __init__(self, view: FrameView, *, frames_at_once: int = _FRAMES_AT_ONCE) -> None:
        self._view, self._frames_at_once = view, frames_at_once
        self._cache: LruCache[bytes, Levels] = LruCache(_MAX_CACHE_BYTES)

    @property
    def info(self) -> TrackerInfo:
        return self._view.info()

    @torch.inference_mode()
    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        """See :meth:`sampt.trackers.base.PointTracker.track`."""
        t, n = video.num_frames, len(points)
        xy = np.zeros((t, n, 2), np.float32)
        visible, confidence = np.zeros((t, n), np.bool_), np.zeros((t, n), np.float32)
        if n:
            self._fill(video, points, TrackStep(xy, visible, confidence))
        own = points.frame_idx, np.arange(n)
        xy[own], visible[own], confidence[own] = points.xy, True, 1
        return Tracks(points, xy, visible, confidence)

    def _fill(self, video: FrameSource, points: Points, tracks: TrackStep) -> None:
        """Write all frames of ``tracks``, arrays with t first."""
        view = self._view
        features = ClipFeatures(view.network, video, view.image, self._cache)
        locations = view.locations(points.xy, video.size_hw)
        frame_idx = torch.from_numpy(np.array(points.frame_idx)).to(view.device)
        clip = ClipPass(view.network, features.templates(locations, frame_idx), locations, frame_idx)
        done = 0
        for start, levels in features.in_order(self._frames_at_once):
            ends = start + len(levels[0]) == video.num_frames
            found = view.to_step(clip.push(start, levels, ends=ends), video.size_hw)
            rows = slice(done, done + len(found.xy))
            for whole, part in zip(tracks, found, strict=True):
                whole[rows] = part
            done = rows.stop


class CausalTapirTracker(CausalTracker):
    """Causal BootsTAPIR, frame by frame; on the time-reversed clip for what lies before the prompt frames.

    Args:
        view: with a causal network.
    """

    def __init__(self, view: FrameView) -> None:
        self._view = view
        self._cache: LruCache[bytes, Levels] = LruCache(_MAX_CACHE_BYTES)

    @property
    def info(self) -> TrackerInfo:
        return self._view.info()

    def stream(self) -> TrackerStream:
        return _CausalStream(self._view, self._cache)


class _CausalStream(TrackerStream):
    """Without points nothing is computed."""

    def __init__(self, view: FrameView, cache: LruCache[bytes, Levels]) -> None:
        self._view, self._cache = view, cache
        self._frame: UInt8Array | None = None
        self._levels: Levels | None = None
        """Of the last frame, once they are needed."""
        self._templates: Tensor | None = None
        self._states: list[Memory] = []

    @torch.inference_mode()
    def push(self, frame: UInt8Array) -> TrackStep:
        self._frame, self._levels = frame.copy(), None  # whoever gave it may reuse its memory
        if self._templates is None:
            return TrackStep(np.zeros((0, 2), np.float32), np.zeros(0, np.bool_), np.zeros(0, np.float32))
        levels = self._seen()
        table, self._states = self._refine(self._view.network.match(levels, self._templates), levels, self._states)
        return TrackStep(*(part[0] for part in self._view.to_step(table, (frame.shape[0], frame.shape[1]))))

    @torch.inference_mode()
    def add(self, xy: FloatArray) -> None:
        assert self._frame is not None, "points are added on the frame pushed last"
        if not len(xy):
            return
        network, levels = self._view.network, self._seen()
        locations = self._view.locations(xy, (self._frame.shape[0], self._frame.shape[1]))
        templates = network.sample(tuple(level[0] for level in levels), locations)
        table = network.match(levels, templates)
        table[:, 0, :2] = locations
        _, states = self._refine(table, levels, network.start(len(templates)))
        self._states = states if self._templates is None else joined(self._states, states)
        self._templates = templates if self._templates is None else torch.cat([self._templates, templates])

    def _seen(self) -> Levels:
        if self._levels is None:
            assert self._frame is not None
            self._levels = self._cache.get(key := frame_key(self._frame))
            if self._levels is None:
                levels = self._view.network.encode(self._view.image(self._frame))
                self._levels = self._cache.put(key, levels, sum(level.nbytes for level in levels))
        return self._levels

    def _refine(self, table: Tensor, levels: Levels, states: Sequence[Memory]) -> tuple[Tensor, list[Memory]]:
        after = []
        for memory in states:
            table, cached = self._view.network.refine(table, levels, memory, ends=False)
            after.append(cached)
        return table, after
