"""XFeat: keypoints and descriptors of a grey image (Potje et al., CVPR 2024, arXiv 2404.19174, section 3).

Written from the paper and the names of the official checkpoint's tensors. The half that refines semi-dense matches
(``fine_matcher``) is not here: keypoints are matched as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.checks import shape_repr

__all__ = ["CELL", "MULTIPLE", "Found", "XFeatNetwork", "detect"]

CELL = 8
"""A descriptor and the logits of 8 x 8 locations stand for so many pixels in either direction."""
MULTIPLE = 32
"""Sides of images are multiples of it."""
_THRESHOLD = 0.05
"""A keypoint is more probable than this, and than the 5 x 5 pixels around it; the official program's settings."""
_AROUND = 5


class Found(NamedTuple):
    """Of one image, the best first: (k, 2) whole pixels x, y as float32, (k,) scores, (k, 64) descriptors of length 1."""

    xy: Tensor
    score: Tensor
    descriptor: Tensor

    def __repr__(self) -> str:
        return shape_repr(self)


class _Layer(nn.Module):
    """A convolution, normalised by fixed statistics, without negative values."""

    def __init__(self, inward: int, outward: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        convolution = nn.Conv2d(inward, outward, kernel, stride, kernel // 2, bias=False)
        self.layer = nn.Sequential(convolution, nn.BatchNorm2d(outward, affine=False), nn.ReLU())

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = self.layer(values)
        return out


def _head(outward: int, depth: int) -> list[nn.Module]:
    return [*(_Layer(64, 64, 1) for _ in range(depth)), nn.Conv2d(64, outward, 1)]


class XFeatNetwork(nn.Module):
    """The network; the names of its parts are those of the official checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.skip1 = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(1, 24, 1))
        self.block1 = nn.Sequential(_Layer(1, 4), _Layer(4, 8, stride=2), _Layer(8, 8), _Layer(8, 24, stride=2))
        self.block2 = nn.Sequential(_Layer(24, 24), _Layer(24, 24))
        self.block3 = nn.Sequential(_Layer(24, 64, stride=2), _Layer(64, 64), _Layer(64, 64, 1))
        self.block4 = nn.Sequential(_Layer(64, 64, stride=2), _Layer(64, 64), _Layer(64, 64))
        self.block5 = nn.Sequential(_Layer(64, 128, stride=2), _Layer(128, 128), _Layer(128, 128), _Layer(128, 64, 1))
        self.block_fusion = nn.Sequential(_Layer(64, 64), _Layer(64, 64), nn.Conv2d(64, 64, 1))
        self.heatmap_head = nn.Sequential(*_head(1, 2), nn.Sigmoid())
        self.keypoint_head = nn.Sequential(*_head(CELL * CELL + 1, 3))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of (1, 3, h, w) in [0, 1], both sides multiples of 32: by cells of 8 x 8 pixels.

        Returns:
            descriptors (1, 64, h / 8, w / 8) of any length, logits (1, 65, h / 8, w / 8) of a keypoint on each pixel of the
            cell, row by row, and of none in it, and reliability (1, 1, h / 8, w / 8) in (0, 1).
        """
        grey = F.instance_norm(image.mean(1, keepdim=True))
        fine = self.block3(self.block2(self.block1(grey) + self.skip1(grey)))
        middle = self.block4(fine)
        coarse = self.block5(middle)
        size = fine.shape[-2:]
        spread = [F.interpolate(values, size, mode="bilinear", align_corners=False) for values in (middle, coarse)]
        descriptors = self.block_fusion(fine + spread[0] + spread[1])
        return descriptors, self.keypoint_head(F.pixel_unshuffle(grey, CELL)), self.heatmap_head(descriptors)


def detect(network: XFeatNetwork, image: Tensor, max_keypoints: int) -> Found:
    """The keypoints of an image (1, 3, h, w) in [0, 1], both sides multiples of 32; the best so many.

    A keypoint's score is its probability times its cell's reliability. The pixel (0, 0) is none, and all maps are sampled as
    the official program does it, up to half a pixel beside: scores and descriptors are then its own.
    """
    descriptors, logits, reliability = network(image)
    probability = F.pixel_shuffle(logits.softmax(1)[:, :-1], CELL)
    highest = F.max_pool2d(probability, _AROUND, 1, _AROUND // 2)
    y, x = ((probability == highest) & (probability > _THRESHOLD))[0, 0].nonzero().T
    inner = (x > 0) | (y > 0)
    xy = torch.stack([x[inner], y[inner]], 1).to(image.dtype)
    grid = (2 * xy / xy.new_tensor([image.shape[-1] - 1, image.shape[-2] - 1]) - 1)[None, :, None]
    score = _sample(probability, grid, "nearest")[:, 0] * _sample(reliability, grid, "bilinear")[:, 0]
    order = score.argsort(descending=True)[:max_keypoints]
    order = order[score[order] > 0]
    found = _sample(F.normalize(descriptors, dim=1), grid[:, order], "bicubic")
    return Found(xy[order], score[order], F.normalize(found, dim=1))


def _sample(values: Tensor, grid: Tensor, mode: str) -> Tensor:
    """(k, c) values of a map (1, c, h, w) at (1, k, 1, 2) locations from -1 to 1."""
    return F.grid_sample(values, grid, mode=mode, align_corners=False)[0, :, :, 0].T
