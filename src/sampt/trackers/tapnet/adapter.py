"""TAP-Net behind the interface of a tracker: every frame is searched for every point, in both directions alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.backends.table import TRACKERS
from sampt.backends.torch_networks import load_exactly, put_on_device, quicken, repeatable
from sampt.geometry import inside_frame, rescale_xy
from sampt.trackers.base import FrameSource, TrackerInfo
from sampt.trackers.tapnet.names import convert_state_dict
from sampt.trackers.tapnet.network import FULL, REACH, TapNetNetwork, TapNetSizes
from sampt.types import Points, QueryMask, Tracks, UInt8Array
from sampt.weights import load_checkpoint

__all__ = ["TapNetTracker", "load_network"]

NAME = "tapnet"
_VISIBLE = 0.5
"""A point that is not occluded with a greater probability is visible; as in SAM-PT's program and the official one."""
_FRAMES_AT_ONCE = 16
_MAX_KEPT_BYTES = 256 << 20
"""Of features that are kept between sampling at points and searching for them; those of longer clips are made twice."""


class TapNetTracker:
    """TAP-Net on whole clips, chunk by chunk.

    Args:
        network: in evaluation mode, on ``device``.
        device: where frames are sent.
        frames_at_once: the length of the chunks; it changes speed and memory alone.
        max_kept_bytes: of features of a clip that are not made twice.
    """

    def __init__(
        self,
        network: TapNetNetwork,
        device: torch.device,
        *,
        frames_at_once: int = _FRAMES_AT_ONCE,
        max_kept_bytes: int = _MAX_KEPT_BYTES,
    ) -> None:
        self._network, self._device = network, device
        self._frames_at_once, self._max_kept_bytes = frames_at_once, max_kept_bytes

    @classmethod
    def load(cls, weights: Path | str | None, device: str, *, runtime: str = "auto", precision: str = "auto") -> TapNetTracker:
        """See :func:`sampt.trackers.tapnet.create`; ``weights`` is a path, or None for random ones."""
        network = load_network(weights)
        return cls(network, put_on_device(network, network.hot, NAME, device, runtime=runtime, precision=precision))

    @property
    def info(self) -> TrackerInfo:
        return replace(TRACKERS[NAME].info, device=str(self._device))

    @torch.inference_mode()
    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        """See :meth:`sampt.trackers.base.PointTracker.track`."""
        t, n = video.num_frames, len(points)
        xy = np.broadcast_to(points.xy, (t, n, 2)).astype(np.float32)
        confidence = np.zeros((t, n), np.float32)
        if n and t > 1:
            self._fill(video, points, xy, confidence)
        visible = (confidence > _VISIBLE) & inside_frame(xy, video.size_hw)
        own = points.frame_idx, np.arange(n)
        xy[own], visible[own], confidence[own] = points.xy, True, 1
        return Tracks(points, xy, visible, confidence)

    def _fill(self, video: FrameSource, points: Points, xy: np.ndarray, confidence: np.ndarray) -> None:
        """Write where points are found on all frames, and how surely they are seen."""
        image_hw = self._network.sizes.image_hw
        moved = rescale_xy(points.xy, video.size_hw, image_hw) + np.float32(0.5)
        locations, frame_idx = torch.from_numpy(moved).to(self._device), torch.tensor(points.frame_idx, device=self._device)
        templates = locations.new_zeros(len(points), self._network.sizes.widths[-1])
        kept: dict[int, Tensor] = {}
        for start, features in self._chunks(video):
            here = (frame_idx >= start) & (frame_idx < start + len(features))
            templates[here] = self._network.sample(features, frame_idx[here] - start, locations[here])
            if features.nbytes * video.num_frames <= self._max_kept_bytes * len(features):
                kept[start] = features
        for start, features in kept.items() if kept else self._chunks(video):
            found, occluded = self._network.match(features, templates)
            rows = slice(start, start + len(features))
            found_xy = found.transpose(0, 1).cpu().numpy() - np.float32(0.5)
            xy[rows] = rescale_xy(found_xy, image_hw, video.size_hw)
            confidence[rows] = torch.sigmoid(-occluded).T.cpu().numpy()

    def _chunks(self, video: FrameSource) -> Iterator[tuple[int, Tensor]]:
        """First frame and features of the clip's chunks; each is seen with the frames around it that it depends on."""
        t = video.num_frames
        images: dict[int, Tensor] = {}
        for start in range(0, t, self._frames_at_once):
            stop = min(start + self._frames_at_once, t)
            first, last = max(start - REACH, 0), min(stop + REACH, t)
            images = {i: image for i, image in images.items() if i >= first}
            missing = max(images, default=first - 1) + 1
            if missing < last:
                images |= zip(range(missing, last), self._images(video.read(missing, last)), strict=True)
            features = self._network.encode(torch.stack([images[i] for i in range(first, last)]))
            yield start, features[start - first : stop - first].clone()

    def _images(self, frames: UInt8Array) -> Iterator[Tensor]:
        """(3, *image_hw) in [-1, 1] of (t, h, w, 3) frames: bilinear, with averaging, as SAM-PT's program resizes."""
        for frame in frames:
            whole = torch.from_numpy(np.array(frame)).to(self._device).permute(2, 0, 1)[None].float()
            size_hw = self._network.sizes.image_hw
            yield F.interpolate(whole, size_hw, mode="bilinear", align_corners=False, antialias=True)[0] / 127.5 - 1


def load_network(weights: Path | str | None, sizes: TapNetSizes = FULL) -> TapNetNetwork:
    """The network with the weights of an official checkpoint, or with random ones; for inference only.

    ``sizes`` are those of a network that is not the published one.

    Raises:
        BackendError: the file is missing, no checkpoint, or one of another network.
    """
    with repeatable():
        network = TapNetNetwork(sizes).eval().requires_grad_(False)
    quicken(network)
    if weights is None:
        return network
    state = convert_state_dict(load_checkpoint(weights))
    expected = "the official JAX checkpoint of TAP-Net (checkpoint.npy)"
    load_exactly(network, state, name=NAME, path=weights, other=None, expected=expected)
    return network
