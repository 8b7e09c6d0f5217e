"""TAPNext behind the interface of a tracker: frames in, locations out, and the network's memory in between.

One pass of the network per frame serves all points, however many frames they are given on. Points that come later have, until
then, the token "unknown" in the official program; here a stream carries one such token, which all tokens to come share and
which no other token sees. Its memory becomes theirs when they come.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sampt.backends.table import TRACKERS
from sampt.backends.torch_networks import load_exactly, put_on_device, repeatable
from sampt.geometry import SizeHW, rescale_xy
from sampt.trackers.base import CausalTracker, TrackerInfo, TrackerStream, TrackStep
from sampt.trackers.tapnext.names import convert_state_dict
from sampt.trackers.tapnext.network import OFFICIAL, Memory, Prediction, TapNextNetwork, TapNextSizes, certainty, grown
from sampt.types import FloatArray, UInt8Array
from sampt.weights import load_checkpoint

__all__ = ["MODELS", "TapNextModel", "TapNextTracker", "load_network"]

_VISIBLE = 0.5


@dataclass(frozen=True)
class TapNextModel:
    """How the official program of one of the published models treats frames.

    Attributes:
        image_hw: what frames are stretched to.
        is_averaged: True for Pillow's Lanczos filter, as TAP-Vid's evaluation resizes; else PyTorch's bilinear one, which does
            not average when it shrinks, as the program of TAPNext++ for VOTS.
    """

    image_hw: SizeHW
    is_averaged: bool


MODELS = {
    "tapnext": TapNextModel((256, 256), True),
    "tapnext-pp": TapNextModel((256, 256), True),
    "tapnext-pp-512": TapNextModel((512, 512), False),
}


class TapNextTracker(CausalTracker):
    """TAPNext or TAPNext++, frame by frame.

    Args:
        name: of the tracker.
        model: how frames are treated.
        network: in evaluation mode, on ``device``.
        device: where frames are sent.
        use_certainty: whether confidence is visibility times certainty: an option of the official program, off there, too.
    """

    def __init__(
        self, name: str, model: TapNextModel, network: TapNextNetwork, device: torch.device, *, use_certainty: bool = False
    ) -> None:
        self._name, self._model, self._network, self._device = name, model, network, device
        self._use_certainty = use_certainty

    @classmethod
    def load(
        cls, name: str, weights: Path | str | None, device: str, *, runtime: str = "auto", precision: str = "auto"
    ) -> TapNextTracker:
        """See :func:`sampt.trackers.tapnext.create`; ``weights`` is a path, or None for random ones."""
        network = load_network(name, weights)
        found = put_on_device(network, network.hot, name, device, runtime=runtime, precision=precision)
        return cls(name, MODELS[name], network, found)

    @property
    def info(self) -> TrackerInfo:
        return replace(TRACKERS[self._name].info, device=str(self._device))

    def stream(self) -> TrackerStream:
        return _TapNextStream(self)

    @torch.inference_mode()
    def advance(
        self, frame: UInt8Array, memory: Memory | None, num_points: int, new_xy: FloatArray
    ) -> tuple[TrackStep, Memory]:
        """One frame.

        Args:
            frame: (h, w, 3) uint8 RGB.
            memory: what this gave for the frame before, or None at the start, where only new points are.
            num_points: points tracked so far.
            new_xy: (k, 2), points that lie on this frame.

        Returns:
            Where the ``num_points`` points are, and the memory with the new ones put after them.
        """
        network, size_hw = self._network, (frame.shape[0], frame.shape[1])
        image = network.image_tokens(self._image(frame))[0]
        before = None if memory is None else grown(memory, len(new_xy))
        known = network.mask_token[0, 0].expand(num_points, -1)
        tokens = torch.cat([image, known, self._queries(new_xy, size_hw), network.unknown_token[0]])
        rows, after = network.step(tokens, before, unseen=1)
        return self._to_step(network.predict(rows[len(image) : len(image) + num_points]), size_hw), after

    def _image(self, frame: UInt8Array) -> Tensor:
        """(1, 3, h, w) in [-1, 1]."""
        if self._model.is_averaged:
            frame = np.asarray(Image.fromarray(frame).resize(self._model.image_hw[::-1], Image.Resampling.LANCZOS))
        image = torch.from_numpy(np.array(frame)).to(self._device).permute(2, 0, 1)[None].float()
        if not self._model.is_averaged:
            image = F.interpolate(image, self._model.image_hw, mode="bilinear", align_corners=False)
        return image / 127.5 - 1

    def _queries(self, xy: FloatArray, size_hw: SizeHW) -> Tensor:
        # There the first pixel begins at 0, here its centre is 0.
        yx = rescale_xy(xy, size_hw, self._network.sizes.size_hw)[:, ::-1] + np.float32(0.5)
        return self._network.query_tokens(torch.from_numpy(yx).to(self._device))

    def _to_step(self, prediction: Prediction, size_hw: SizeHW) -> TrackStep:
        bins = self._network.sizes.bins
        xy = prediction.yx.cpu().numpy()[:, ::-1] - np.float32(0.5)
        confidence = torch.sigmoid(prediction.visible_logits)
        if self._use_certainty:
            confidence = confidence * certainty(prediction)
        sure = confidence.cpu().numpy()
        return TrackStep(rescale_xy(xy, (bins, bins), size_hw), sure > _VISIBLE, sure)


def load_network(name: str, weights: Path | str | None, sizes: TapNextSizes = OFFICIAL) -> TapNextNetwork:
    """The network called ``name`` with the weights of an official checkpoint, or with random ones; for inference only.

    Raises:
        BackendError: the file is not there, is no checkpoint, or holds other weights than exactly this network's.
    """
    if weights is None:
        with repeatable():
            return TapNextNetwork(sizes).eval().requires_grad_(False)
    state = convert_state_dict(load_checkpoint(weights))
    with torch.device("meta"):  # the checkpoint's own memory is used
        network = TapNextNetwork(sizes)
    expected = "an official checkpoint of TAPNext or TAPNext++"
    load_exactly(network, state, name=name, path=weights, other=None, expected=expected)
    return network.eval()


class _TapNextStream(TrackerStream):
    """Without points nothing is computed. When points are added, their frame is passed again before the next one."""

    def __init__(self, tracker: TapNextTracker) -> None:
        self._tracker = tracker
        self._num_points = 0
        self._new_xy: list[FloatArray] = []
        """Points on the last frame that are not in the memory yet."""
        self._frame: UInt8Array | None = None
        self._before: Memory | None = None
        """Of the frames before the last one, and ..."""
        self._after: Memory | None = None
        """... with it."""

    def push(self, frame: UInt8Array) -> TrackStep:
        self._take_in()
        self._frame = frame.copy()  # whoever gave it may reuse its memory
        if not self._num_points:
            return TrackStep(np.zeros((0, 2), np.float32), np.zeros(0, np.bool_), np.zeros(0, np.float32))
        self._before = self._after
        step, self._after = self._tracker.advance(frame, self._before, self._num_points, np.zeros((0, 2), np.float32))
        return step

    def add(self, xy: FloatArray) -> None:
        assert self._frame is not None, "points are added on the frame pushed last"
        if len(xy):
            self._new_xy.append(np.array(xy, np.float32))

    def _take_in(self) -> None:
        if not self._new_xy:
            return
        assert self._frame is not None
        new_xy = np.concatenate(self._new_xy)
        _, self._after = self._tracker.advance(self._frame, self._before, self._num_points, new_xy)
        self._num_points += len(new_xy)
        self._new_xy = []
