"""Smooth random motion."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from training.draws import Draws


class MotionDraws(Draws):
    """Draws that change smoothly from frame to frame."""

    def smooth(self, b: int, dims: int, t: int, frames_a_knot: float) -> Tensor:
        """(b, dims, t) smooth noise of about unit variance."""
        knots = max(4, math.ceil(t / frames_a_knot) + 3)
        noise = self.normal(b, dims, 1, knots)
        wide = F.interpolate(noise, size=(1, round(knots * frames_a_knot)), mode="bicubic", align_corners=False)
        first = int(frames_a_knot)
        return wide[:, :, 0, first : first + t]

    def path(self, b: int, t: int, speed: Tensor, knot: float, jump: float) -> Tensor:
        """(b, 2, t) a path of about ``speed`` half widths a frame, with sudden jumps."""
        step = self.smooth(b, 2, t, knot) * speed
        jumps = self.switch(jump, b, 1, t) * self.switch(0.5, b, 1, 1)
        angle = self.uniform(b, 1, t, high=2 * math.pi)
        length = self.uniform(b, 1, t, low=0.15, high=0.4) * jumps
        return torch.cumsum(step + length * torch.cat([torch.cos(angle), torch.sin(angle)], 1), 2)
