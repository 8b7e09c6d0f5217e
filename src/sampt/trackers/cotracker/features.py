"""Features of frames, each computed once as long as it is kept: shared by directions, groups of objects, and windows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.trackers.base import FrameSource, frames_at_once
from sampt.trackers.cotracker.network import STRIDE
from sampt.trackers.frame_key import frame_key
from sampt.types import UInt8Array

__all__ = ["ClipFeatures", "FrameCache"]

_AT_ONCE = {"cpu": 2}
_AT_ONCE_ELSEWHERE = 8
"""Frames encoded together."""


class FeatureSizes(Protocol):
    """What is to be known of a network to make room for its features."""

    @property
    def model_hw(self) -> tuple[int, int]: ...
    @property
    def features(self) -> int: ...
    @property
    def levels(self) -> int: ...


class FeatureNetwork(Protocol):
    """A network whose features are cached: CoTracker3, or the first CoTracker."""

    @property
    def sizes(self) -> FeatureSizes: ...
    def encode(self, images: Tensor) -> list[Tensor]:
        """(k, 3, *model_hw) RGB in [0, 255] to (k, h, w, c) for each level."""
        ...


class FrameCache:
    """Room for the features of some frames, known by their content; those not used for longest make way.

    At the published size a frame takes 8 MiB.

    Args:
        network: encodes them.
        device: where frames are sent.
        keeps_corners: frames are resized with the centres of the corner pixels kept in place; else with the corners themselves.
    """

    def __init__(self, network: FeatureNetwork, device: torch.device, *, keeps_corners: bool = True) -> None:
        self._network, self._device, self._keeps_corners = network, device, keeps_corners
        self._slots: OrderedDict[bytes, int] = OrderedDict()
        self._capacity = 0
        self.pyramid: list[Tensor] = []
        """For each level (capacity, h, w, c)."""

    def reserve(self, num_frames: int) -> None:
        """See to room for so many frames; what is kept is forgotten when there has to be more."""
        if num_frames <= self._capacity:
            return
        self._slots.clear()
        self.pyramid = []  # before the new ones are made
        sizes = self._network.sizes
        height, width = (side // STRIDE for side in sizes.model_hw)
        levels = [(height >> level, width >> level) for level in range(sizes.levels)]
        self.pyramid = [torch.zeros(num_frames, *size, sizes.features, device=self._device) for size in levels]
        self._capacity = num_frames

    def keep(self, frames: Sequence[UInt8Array]) -> list[bytes]:
        """The keys of (h, w, 3) uint8 RGB frames, at most as many as there is room for, all of which are there afterwards."""
        keys = [frame_key(frame) for frame in frames]
        self.touch(keys)
        missing = {key: frame for key, frame in zip(keys, frames, strict=True) if key not in self._slots}
        at_once = _AT_ONCE.get(self._device.type, _AT_ONCE_ELSEWHERE)
        for first in range(0, len(missing), at_once):
            part = list(missing)[first : first + at_once]
            images = torch.cat([self._image(missing[key]) for key in part])
            for level, features in zip(self.pyramid, self._network.encode(images), strict=True):
                level[self._rows(part)] = features
        return keys

    def touch(self, keys: Sequence[bytes | None]) -> None:
        """Those of ``keys`` that are there will be the last to make way."""
        for key in keys:
            if key is not None and key in self._slots:
                self._slots.move_to_end(key)

    def __contains__(self, key: object) -> bool:
        return key in self._slots

    def slots(self, keys: Sequence[bytes]) -> Tensor:
        """(k,) int64, where frames that are there lie in ``pyramid``."""
        return torch.tensor([self._slots[key] for key in keys], device=self._device)

    def _rows(self, keys: Sequence[bytes]) -> Tensor:
        """The same, after room has been made for those that are not."""
        for key in keys:
            if key not in self._slots:
                is_full = len(self._slots) == self._capacity
                self._slots[key] = self._slots.popitem(last=False)[1] if is_full else len(self._slots)
        return self.slots(keys)

    def _image(self, frame: UInt8Array) -> Tensor:
        """(1, 3, *model_hw), resized as the official program of this network does."""
        whole = torch.from_numpy(np.array(frame)).to(self._device).permute(2, 0, 1)[None].float()
        return F.interpolate(whole, self._network.sizes.model_hw, mode="bilinear", align_corners=self._keeps_corners)


class ClipFeatures:
    """Features of a clip's frames by their index; a frame is read again only when the store no longer has it.

    Args:
        video: the clip.
        cache: with room for as many frames as are requested at once.
    """

    def __init__(self, video: FrameSource, cache: FrameCache) -> None:
        self._video, self._cache = video, cache
        self._keys: dict[int, bytes] = {}

    def slots(self, frame_idx: Sequence[int]) -> Tensor:
        """(k,) int64, where the frames ``frame_idx`` lie in the store, until others are requested."""
        self._cache.touch([self._keys.get(i) for i in frame_idx])
        for start, stop in _runs(sorted({i for i in frame_idx if self._keys.get(i) not in self._cache})):
            chunk = frames_at_once(self._video.size_hw)
            for first in range(start, stop, chunk):
                frames = self._video.read(first, min(first + chunk, stop))
                self._keys.update(enumerate(self._cache.keep(list(frames)), first))
        return self._cache.slots([self._keys[i] for i in frame_idx])


def _runs(ascending: Sequence[int]) -> Iterator[tuple[int, int]]:
    """[start, stop) of the stretches without a gap."""
    start = 0
    for k in range(1, len(ascending) + 1):
        if k == len(ascending) or ascending[k] != ascending[k - 1] + 1:
            yield ascending[start], ascending[k - 1] + 1
            start = k
