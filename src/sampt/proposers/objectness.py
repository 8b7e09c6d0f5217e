"""Proposer ``objectness``: what stands out in a frame, by the bundled saliency network (U2-Net-p, with `nano`'s weights).

The network sees the whole frame, stretched into a square. Connected parts of what it finds are regions, and those that move
against the camera; the segmenter makes the mask of each. First comes what is salient and moves.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from sampt.backends.onnx_files import open_session
from sampt.backends.options import check_device
from sampt.backends.table import PROPOSERS
from sampt.errors import BackendError
from sampt.proposers.base import Proposal, ProposerFrame, ProposerInfo
from sampt.proposers.own_motion import estimate_moving, find_own_motion
from sampt.proposers.regions import find_regions, propose_regions, unite_regions
from sampt.segmenters.nano import BUNDLED_WEIGHTS
from sampt.segmenters.nano.runtime import INT8_SALIENCY
from sampt.types import FloatArray, UInt8Array

__all__ = ["ObjectnessProposer", "create"]

_EITHER = 0.2
"""What being salient or moving counts beside being both."""
_NOT_KNOWN = 0.5
"""Whether something moves, where there is no earlier frame."""
_EARLIER = (-1, -3)
"""The neighbours that show what moves by itself; none of them later, for streamed frames."""
_SIDE = 416
"""Pixels of the square, a multiple of 16; chosen on held-out training data (docs/proposers.md)."""


def create(*, weights: str | None = "default", device: str = "auto") -> ObjectnessProposer:
    """Make the proposer.

    Args:
        weights: "default" for those in the package, or a folder with what ``training/segmenter/export.py`` writes.
        device: "auto" or "cpu".

    Raises:
        BackendError: the weights are not there or not those of this network, random ones are requested, or another device.
    """
    check_device(device, "objectness")
    if weights is None:
        raise BackendError("'objectness' has no random weights; leave the option out.")
    file = (BUNDLED_WEIGHTS if weights == "default" else Path(weights)) / INT8_SALIENCY
    if not file.is_file():
        raise BackendError(
            f"'objectness' found no {INT8_SALIENCY} in {file.parent}; expected what training/segmenter/export.py writes, or "
            "'default'."
        )
    session = open_session(file, "objectness")
    return ObjectnessProposer(session)


class ObjectnessProposer:
    """Salient regions, each a mask by the segmenter of the frame.

    Args:
        session: the saliency network.
        side: pixels of the square that it sees, a multiple of 16.
    """

    info: ProposerInfo = PROPOSERS["objectness"].info

    def __init__(self, session: onnxruntime.InferenceSession, *, side: int = _SIDE) -> None:
        self.session, self._side = session, side
        self._input = session.get_inputs()[0].name

    def propose(self, frame: ProposerFrame) -> list[Proposal]:
        """See :meth:`sampt.proposers.base.Proposer.propose`."""
        salient = np.asarray(1 / (1 + np.exp(-self.find_salient(frame.image))), np.float32)
        regions, own = find_regions(salient), find_own_motion(frame, _EARLIER)
        if own is None:
            return propose_regions(frame, regions, _weigh(salient, _NOT_KNOWN))
        moving = estimate_moving(own, frame.size_hw)
        return propose_regions(frame, unite_regions(regions, find_regions(moving)), _weigh(salient, moving))

    def find_salient(self, image: UInt8Array) -> FloatArray:
        """(h, w) float32 log odds that something salient is there, of an (h, w, 3) uint8 RGB frame."""
        height, width = image.shape[:2]
        side = self._side
        shrinks = height > side and width > side
        square = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        values = square.transpose(2, 0, 1)[None] / np.float32(127.5) - np.float32(1)
        logits = self.session.run(None, {self._input: np.ascontiguousarray(values, np.float32)})[0][0, 0]
        return np.asarray(cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _weigh(salient: FloatArray, moving: FloatArray | float) -> FloatArray:
    """From 0 to 1: what is salient and moves; a little what is one of the two."""
    both, either = np.minimum(salient, moving), np.maximum(salient, moving)
    return np.asarray((both + _EITHER * either) / (1 + _EITHER), np.float32)
