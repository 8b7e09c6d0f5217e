"""Mean IoU on held-out DAVIS-2016 train frames, on crops about the true object: quick enough to log while training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from sampt.segmenters.nano.network import NanoNetwork
from training.data import held_out_frames

COUNTS = (1, 3, 16)


def crop_iou(
    network: NanoNetwork, data: Path, held_out: Sequence[str], side: int = 160, ratio: float = 2.0
) -> dict[str, float]:
    """Mean IoU, within the crop, with n + n random true points for each n of :data:`COUNTS`.

    The crop is ``ratio`` times the object's longer side; its points and its place depend on the frame alone.
    """
    network.eval()
    device = next(network.parameters()).device
    found: dict[int, list[float]] = {n: [] for n in COUNTS}
    for k, (_, frame, mask) in enumerate(held_out_frames(data, held_out)):
        ys, xs = np.nonzero(mask)
        half = ratio / 2 * max(np.ptp(xs) + 1, np.ptp(ys) + 1)
        scale = side / (2 * half)
        centre = (xs.min() + xs.max() + 1) / 2, (ys.min() + ys.max() + 1) / 2
        matrix = np.array([[scale, 0, side / 2 - centre[0] * scale], [0, scale, side / 2 - centre[1] * scale]])
        matrix[:, 2] += 0.5 * scale - 0.5  # from edges to centres of pixels
        crop = cv2.warpAffine(frame, matrix, (side, side), flags=cv2.INTER_LINEAR)
        target = cv2.warpAffine(mask.astype(np.float32), matrix, (side, side)) > 0.5
        valid = cv2.warpAffine(np.ones(mask.shape, np.float32), matrix, (side, side)) > 0.5
        inside = torch.from_numpy(valid.astype(np.float32))[None, None].to(device)
        picture = (torch.from_numpy(crop).permute(2, 0, 1)[None].float().to(device) / 127.5 - 1) * inside
        with torch.no_grad():
            features, inside_fine = network.encode_crop(picture, inside)
            for n in COUNTS:
                rng = np.random.default_rng([k, n])
                points = [np.argwhere(region) for region in (target, ~target & valid)]
                xy = np.concatenate([p[rng.choice(len(p), n)] for p in points])[:, ::-1] + 0.5
                labels = torch.tensor([[1.0] * n + [0.0] * n], device=device)
                none = torch.zeros(1, device=device)
                logits, _ = network.decoder(
                    *features, inside_fine, torch.from_numpy(xy.astype(np.float32))[None].to(device), labels,
                    torch.zeros(1, 4, device=device), torch.zeros(1, 1, side // 4, side // 4, device=device), none,
                )  # fmt: skip
                guess = (logits[0, 0].cpu().numpy() > 0) & valid
                found[n].append(float((guess & target).sum() / max((guess | target).sum(), 1)))
    return {f"iou_{n}+{n}": round(float(np.mean(v)), 4) for n, v in found.items()}
