"""Mean IoU on held-out images, on crops about the true object: quick enough to log while training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.evaluation.datasets import read_label_map
from sampt.segmenters.nano.network import NanoNetwork
from sampt.segmenters.nano.runtime import lay_over, saliency_side
from training.data import THINGS, held_out_frames

COUNTS = (1, 3, 16)
THING_COUNT = 8


def held_out_things(root: Path, names: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(frame RGB, mask, mask of the other objects) of every object of the held-out images of several objects."""
    for name in names:
        path = root / THINGS / f"{name}.jpg"
        ids = read_label_map(path.with_suffix(".png"))
        frame = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        for i in np.unique(ids[ids > 0]):
            if (ids == i).sum() >= 30:
                yield frame, ids == i, (ids > 0) & (ids != i)


def crop_iou(
    network: NanoNetwork,
    data: Path,
    held_out: Sequence[str],
    things: Sequence[str] = (),
    side: int = 160,
    ratio: float = 1.7,
    every: int = 4,
) -> dict[str, float]:
    """Mean IoU, within the crop, with n + n random true points for each n of :data:`COUNTS`.

    The crop is ``ratio`` times the object's longer side; its points and its location depend on the frame alone. ``things`` are
    objects among others, with 8 + 8 points, half of the negative ones on the others.
    """
    network.eval()
    found: dict[str, list[float]] = {f"iou_{n}+{n}": [] for n in COUNTS}
    for k, (_, frame, mask) in enumerate(held_out_frames(data, held_out, every)):
        (crop, large), (target, valid) = _crop(frame, (mask,), side, ratio)
        pixels = (np.argwhere(target), np.argwhere(~target & valid))
        drawn = [[p[np.random.default_rng([k, n]).choice(len(p), n)] for p in pixels] for n in COUNTS]
        for n, iou in zip(COUNTS, _ious(network, (crop, large), target, valid, drawn), strict=True):
            found[f"iou_{n}+{n}"].append(iou)
    for k, (frame, mask, others) in enumerate(held_out_things(data, things)):
        (crop, large), (target, others_seen, valid) = _crop(frame, (mask, others), side, ratio)
        rng = np.random.default_rng(k)
        on, off, beside = (np.argwhere(m) for m in (target, ~target & valid, others_seen & ~target & valid))
        half = THING_COUNT // 2 if len(beside) else 0
        negative = [off[rng.choice(len(off), THING_COUNT - half)]] + ([beside[rng.choice(len(beside), half)]] if half else [])
        drawn = [[on[rng.choice(len(on), THING_COUNT)], np.concatenate(negative)]]
        found.setdefault(f"things_{THING_COUNT}+{THING_COUNT}", []).extend(_ious(network, (crop, large), target, valid, drawn))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()}


def _crop(
    frame: np.ndarray, masks: Sequence[np.ndarray], side: int, ratio: float
) -> tuple[tuple[np.ndarray, np.ndarray], list[np.ndarray]]:
    """The square about the first mask, also as the saliency network sees it; in it the masks and what lies inside the frame."""
    ys, xs = np.nonzero(masks[0])
    half = ratio / 2 * max(np.ptp(xs) + 1, np.ptp(ys) + 1)
    centre = (xs.min() + xs.max() + 1) / 2, (ys.min() + ys.max() + 1) / 2

    def warp(image: np.ndarray, out: int) -> np.ndarray:
        scale = out / (2 * half)
        matrix = np.array([[scale, 0, out / 2 - centre[0] * scale], [0, scale, out / 2 - centre[1] * scale]])
        matrix[:, 2] += 0.5 * scale - 0.5  # from edges to centres of pixels
        return cv2.warpAffine(image, matrix, (out, out), flags=cv2.INTER_LINEAR)

    whole = np.ones(frame.shape[:2], bool)
    maps = [warp(m.astype(np.float32), side) > 0.5 for m in (*masks, whole)]
    return (warp(frame, side), warp(frame, saliency_side(side))), maps


def _ious(
    network: NanoNetwork,
    crops: tuple[np.ndarray, np.ndarray],
    target: np.ndarray,
    valid: np.ndarray,
    drawn: Sequence[Sequence[np.ndarray]],
) -> list[float]:
    """IoU for each pair of positive and negative (n, 2) rows and columns."""
    device = next(network.parameters()).device
    side = len(target)
    inside = torch.from_numpy(valid.astype(np.float32))[None, None].to(device)
    image, large = (torch.from_numpy(c).permute(2, 0, 1)[None].float().to(device) / 127.5 - 1 for c in crops)
    image, large = image * inside, large * F.interpolate(inside, large.shape[-2:])
    none = torch.zeros(1, device=device)
    ious = []
    with torch.no_grad():
        features, inside_fine = network.encode_crop(image, inside)
        whole = np.zeros((1, 2)), np.full((1, 2), float(side))
        salient = network.find_salient(large, lay_over(*whole, side))
        for on, off in drawn:
            xy = np.concatenate([on, off])[:, ::-1].astype(np.float32) + np.float32(0.5)
            labels: Tensor = torch.tensor([[1.0] * len(on) + [0.0] * len(off)], device=device)
            logits, _ = network.decoder(
                *features, *salient, inside_fine, torch.from_numpy(xy)[None].to(device), labels,
                torch.zeros(1, 4, device=device), torch.zeros(1, 1, side // 4, side // 4, device=device), none, none,
                torch.zeros(1, 1, 1, 1, device=device),
            )  # fmt: skip
            guess = (logits[0, 0].cpu().numpy() > 0) & valid
            ious.append(float((guess & target).sum() / max((guess | target).sum(), 1)))
    return ious
