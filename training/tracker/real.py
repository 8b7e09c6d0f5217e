"""The second stage: real clips, with the tracks of the network itself where they check out.

The clips of DAVIS-2016 train that are not held out have masks but no tracks. The network as it is tracks points through each
window of frames; a location is *known* when all of these agree:

- the way back: from a later frame the point is tracked back to where it began, and passes by there;
- dense inverse search flow, checked forward and backward: where it is consistent from one frame to the next, it moves the
  point alike;
- the mask: a point that began well inside the object is on it, one that began outside is not.

What is learnt from these is not where the points are, which the network said itself, but to say it of a frame that was made
harder: seen by a camera that pans, shakes, turns and zooms, in other light, and with objects passing in front, whose effect on
visibility is exact. Where nothing is known, nothing counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.evaluation.datasets import LabelMapSequence, training_sequences
from sampt.trackers.nano.adapter import network_size
from sampt.trackers.nano.network import NanoTrackerNetwork
from sampt.trackers.nano.runtime import PointState
from training.tracker.layers import from_unit, homography, project, to_unit
from training.tracker.scenes import Clips, SceneMaker

Settings = dict[str, Any]


@dataclass(frozen=True)
class TrackedClip:
    """frames (t, 3, h, w) uint8; xy (t, n, 2) pixels; known (t, n) bool, all true on frame 0."""

    frames: Tensor
    xy: Tensor
    known: Tensor


class RealMaker:
    """Draws clips from real ones that were tracked, as :class:`SceneMaker` draws made ones."""

    def __init__(self, tracked: list[TrackedClip], scenes: SceneMaker) -> None:
        self.tracked = tracked
        self.scenes = scenes
        self.rng, self.device = scenes.rng, scenes.device

    @torch.no_grad()
    def batch(self, b: int, t: int, size_hw: tuple[int, int], points: int) -> Clips:
        """b clips of t frames of ``size_hw`` with so many points each; t at most the frames of the real ones."""
        made = [self._one(t, size_hw, points) for _ in range(b)]
        return Clips(*(torch.cat(parts) for parts in zip(*(_fields(clips) for clips in made), strict=True)))

    def _one(self, t: int, size_hw: tuple[int, int], points: int) -> Clips:
        index = int(torch.randint(len(self.tracked), (1,), generator=self.rng, device=self.device))
        clip = self.tracked[index]
        camera = self._camera(t, size_hw, clip)
        frames = _filmed(clip.frames[:t].to(self.device), camera, size_hw)
        unit = to_unit(clip.xy[:t].to(self.device), clip.frames.shape[-2:])
        xy = from_unit(project(camera[0], unit), size_hw).unsqueeze(0)
        image, covered = self.scenes.add_crossing(frames.unsqueeze(0), xy)
        known = clip.known[:t].to(self.device).unsqueeze(0)
        extent = torch.tensor([size_hw[1] - 0.5, size_hw[0] - 0.5], device=self.device)
        visible = ((xy >= -0.5) & (xy <= extent)).all(-1) & ~covered
        usable = (visible & known)[:, 0]
        some = torch.multinomial(usable[0].float() + 1e-6, points, points > usable.shape[1], generator=self.rng)
        far = max(size_hw) * 3.0
        return Clips(image, xy[:, :, some].clamp(-far, far), visible[:, :, some], usable[:, some], known[:, :, some])

    def _camera(self, t: int, size_hw: tuple[int, int], clip: TrackedClip) -> Tensor:
        """(1, t, 3, 3) from the clip's unit to the frame's: a window that moves over the clip."""
        s, m = self.scenes.settings["real"], self.scenes
        speed = m.log_uniform(1, 1, 1, low=s["slow"], high=s["fast"]) * (1 - m.switch(s["still"], 1, 1, 1))
        moving = (speed > 0).float()
        pan = m.path(1, t, speed, 10.0, s["jump"]) * moving
        pan = pan + m.smooth(1, 2, t, 1.0) * m.switch(s["shaking"], 1, 1, 1) * m.log_uniform(1, 1, 1, low=3e-3, high=0.03)
        size = m.log_uniform(1, 1, low=s["zoom"][0], high=s["zoom"][1])
        # The window begins where the clip still fills it, as far as that goes.
        room = (size.view(1, 1, 1) - 1).clamp(min=0)
        pan = pan + m.uniform(1, 2, 1, low=-1, high=1) * room
        zoom = torch.log(size) + m.smooth(1, 1, t, 12.0)[:, 0] * 0.1 * moving[:, 0]
        turn = m.normal(1, 1) * 0.1 + m.smooth(1, 1, t, 12.0)[:, 0] * 0.06 * moving[:, 0]
        tilt = m.smooth(1, 2, t, 12.0) * 0.03 * moving
        return homography(pan, turn, zoom, m.normal(1, 1).expand(1, t) * 0.05, tilt)


def _fields(clips: Clips) -> tuple[Tensor, ...]:
    return clips.frames, clips.xy, clips.visible, clips.usable, clips.known


def _filmed(frames: Tensor, camera: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Frames (t, 3, h, w) uint8 seen through ``camera``: (t, 3, *size_hw) in [0, 1]; mirrored beyond their border."""
    h, w = size_hw
    y, x = torch.meshgrid(torch.arange(h, device=frames.device), torch.arange(w, device=frames.device), indexing="ij")
    unit = to_unit(torch.stack([x, y], -1).float().view(1, -1, 2), size_hw).expand(len(frames), -1, 2)
    location = from_unit(project(torch.linalg.inv(camera[0]), unit), frames.shape[-2:])
    extent = torch.tensor([frames.shape[-1], frames.shape[-2]], device=frames.device)
    grid = ((location + 0.5) * 2 / extent - 1).clamp(-20, 20).view(-1, h, w, 2)
    return F.grid_sample(frames.float() / 255, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


# ---- tracking ----------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def track_clips(network: NanoTrackerNetwork, data: Path, settings: Settings, frames: int, seed: int) -> list[TrackedClip]:
    """Track points through windows of ``frames`` stored frames of all sequences that are not held out.

    Args:
        network: in evaluation mode, on the device that the tracks are to be on.
        data: the folder of training data.
        settings: the configuration; its table ``real`` and the names held out are read.
        frames: of a window.
        seed: of the points.
    """
    s = settings["real"]
    rng = np.random.default_rng(seed)
    device = next(network.parameters()).device
    tracked = []
    for images, masks in _windows(data, settings["data"]["held_out"], frames, s["every"], s["longest_side"]):
        start = _start_points(masks[0], s["points"], rng)
        with torch.autocast(device.type, enabled=False):
            xy, back = _there_and_back(network, images, start, s["ends"], s["tracked_side"])
        known = back & _flow_agrees(images, xy, s["flow_px"]) & _mask_agrees(masks, xy)
        known[0] = True
        enough = known[1:].mean(0) >= s["min_known"]
        if enough.sum() >= 16:
            moving = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
            tracked.append(TrackedClip(moving, torch.from_numpy(xy[:, enough]), torch.from_numpy(known[:, enough])))
    return tracked


def _windows(
    data: Path, held_out: list[str], frames: int, every: dict[str, int], longest_side: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images (t, h, w, 3) and masks (t, h, w) of windows that begin so many stored frames of their folder after each other."""
    for folder, stride in every.items():
        for sequence in training_sequences(data / folder):
            if sequence.name not in held_out:
                yield from _windows_of(sequence, frames, stride, longest_side)


def _windows_of(
    sequence: LabelMapSequence, frames: int, stride: int, longest_side: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    video = sequence.open()
    stored = np.asarray(video.read(0, video.num_frames))
    size_hw = network_size(stored.shape[1:3], min(longest_side, max(stored.shape[1:3])))
    images = np.stack([cv2.resize(p, size_hw[::-1], interpolation=cv2.INTER_AREA) for p in stored])
    masks = [(sequence.label_map(k) > 0).astype(np.uint8) for k in range(len(images))]
    masks = [cv2.resize(m, size_hw[::-1], interpolation=cv2.INTER_NEAREST) for m in masks]
    for first in range(0, len(images) - frames + 1, stride):
        yield images[first : first + frames], np.stack(masks[first : first + frames]) > 0


def _start_points(mask: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) locations, half of them well inside the mask where there is one."""
    w = mask.shape[1]
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).ravel() > 0
    outer = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)).ravel() == 0
    locations = []
    for region, count in ((inner, n // 2), (outer, n - n // 2)):
        where = np.flatnonzero(region)
        if len(where):
            locations.append(rng.choice(where, count))
    location = np.concatenate(locations)
    return np.stack([location % w, location // w], 1).astype(np.float32)


def _there_and_back(
    network: NanoTrackerNetwork, images: np.ndarray, start: np.ndarray, ends: int, longest_side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tracks (t, n, 2), and (t, n) whether a way back from one of so many later frames passes by."""
    device = next(network.parameters()).device
    size_hw = (images.shape[1], images.shape[2])
    seen_hw = network_size(size_hw, longest_side)
    scale = torch.tensor([seen_hw[1] / size_hw[1], seen_hw[0] / size_hw[0]], device=device)
    maps = []
    for image in images:
        at = torch.from_numpy(cv2.resize(image, seen_hw[::-1], interpolation=cv2.INTER_LINEAR)).to(device)
        maps.append(network.encoder(at.permute(2, 0, 1)[None].float() / 127.5 - 1))

    def run(first: int, xy: Tensor, order: list[int]) -> tuple[Tensor, Tensor]:
        state: PointState = network.step.begin(*maps[first], xy[None])
        locations, seen = [state.xy[0]], [state.seen[0]]
        for k in order:
            state, _ = network.step(*maps[k], state)
            locations.append(state.xy[0])
            seen.append(state.seen[0])
        return torch.stack(locations), torch.stack(seen)

    t = len(images)
    begin = (torch.from_numpy(start).to(device) + 0.5) * scale - 0.5
    there, seen = run(0, begin, list(range(1, t)))
    agreed = torch.zeros_like(seen, dtype=torch.bool)
    for end in sorted({round((t - 1) * (k + 1) / ends) for k in range(ends)}):
        back, sure = run(end, there[end], list(range(end - 1, -1, -1)))
        near = (back.flip(0) - there[: end + 1]).norm(dim=-1) < 2.5
        closed = near[0] & (seen[end] > 0.4)
        agreed[: end + 1] |= near & closed & (seen[: end + 1] > 0.3) & (sure.flip(0) > 0.3)
    xy = (there + 0.5) / scale - 0.5
    return xy.cpu().numpy(), agreed.cpu().numpy()


def _flow_agrees(images: np.ndarray, xy: np.ndarray, limit_px: float) -> np.ndarray:
    """(t, n) False where flow that is consistent forward and backward moves a point elsewhere than its track."""
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in images]
    agrees = np.ones(xy.shape[:2], bool)
    for k in range(len(images) - 1):
        there, back = method.calc(grey[k], grey[k + 1], None), method.calc(grey[k + 1], grey[k], None)
        moved = xy[k] + _at(there, xy[k])
        consistent = np.linalg.norm(moved + _at(back, moved) - xy[k], axis=1) < 1
        agrees[k + 1] = ~consistent | (np.linalg.norm(moved - xy[k + 1], axis=1) < limit_px)
    return agrees


def _at(flow: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """The flow (h, w, 2) of the pixels nearest to (n, 2) locations."""
    h, w = flow.shape[:2]
    x, y = np.clip(np.rint(xy[:, 0]), 0, w - 1).astype(int), np.clip(np.rint(xy[:, 1]), 0, h - 1).astype(int)
    return flow[y, x]


def _mask_agrees(masks: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(t, n) whether a point is on the object, with a margin, if and only if it was on frame 0."""
    began = _at(masks[0].astype(np.float32)[..., None], xy[0])[:, 0] > 0
    agrees = np.ones(xy.shape[:2], bool)
    for k, mask in enumerate(masks):
        wide = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(np.float32)
        slim = cv2.erode(mask.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(np.float32)
        agrees[k] = np.where(began, _at(wide[..., None], xy[k])[:, 0] > 0, _at(slim[..., None], xy[k])[:, 0] == 0)
    return agrees
