"""The fixtures of the Segment Anything family, each repeated with our network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sampt.segmenters.create import create_segmenter
from sampt.segmenters.sam.adapter import SamSegmenter
from sampt.segmenters.sam.prompts import make_batch
from sampt.segmenters.sam2 import network as sam2
from sampt.types import ObjectPrompt
from tools.parity.fixtures import ALLOWED, Comparison, Fixture

__all__ = ["CHECKS", "Sam2Case", "SamCase"]

CPU = torch.device("cpu")


class SamCase:
    """The official call of a fixture of the Segment Anything family, with our segmenter; its frame is encoded once.

    Args:
        name: of the segmenter.
        fixture: of the same model.
    """

    def __init__(self, name: str, fixture: Fixture) -> None:
        with fixture.checkpoint() as path:
            segmenter = create_segmenter(name, weights=path, device="cpu")
        assert isinstance(segmenter, SamSegmenter)
        image, queries = fixture.spec["call"]["image"], fixture.spec["call"]["queries"]
        self.fixture, self.segmenter = fixture, segmenter
        self.size_hw = image["height"], image["width"]
        self.embedding = segmenter.encode(fixture.source.video(1, *self.size_hw, image["seed"]))[0]
        xy = fixture.source.queries(queries["count"], 1, *self.size_hw, queries["seed"])[:, 1:]
        self.points = ObjectPrompt(1, xy, np.array(queries["labels"], np.bool_))

    def predict(self, prompt: ObjectPrompt, multimask: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Low-resolution logits (k, 256, 256) and predicted IoU (k,), as the network gives them."""
        network = self.segmenter.runtime
        with torch.inference_mode():
            batch = make_batch([prompt], self.embedding.fit, network.mask_side, CPU, "parity")
            logits, iou = network.predict(self.embedding.features, batch, multimask=multimask)
        return logits[0].numpy(), iou[0].numpy()

    def comparisons(self) -> list[Comparison]:
        """All points; the same with their tight box and the first logits; the first point alone with three masks."""
        near = self.fixture.near
        sample = self.embedding.features.embedding[0, ::16, ::4, ::4].numpy()
        found = [near("embedding", sample, "embedding_sample")]
        first = self.predict(self.points)
        box = np.concatenate([self.points.xy.min(0), self.points.xy.max(0)])
        refined = replace(self.points, box_xyxy=box, mask_logits=first[0][0])
        alone = ObjectPrompt(1, self.points.xy[:1], self.points.is_positive[:1])
        calls = (("first", "", first), ("refined", "_refined", self.predict(refined)))
        for which, suffix, (logits, iou) in (*calls, ("multi", "_multi", self.predict(alone, multimask=True))):
            found.append(near(f"logits, {which}", logits, f"low_res{suffix}"))
            found.append(near(f"IoU, {which}", iou, f"iou{suffix}"))
        return [*found, self._mask()]

    def _mask(self) -> Comparison:
        """Of the full size, through the segmenter's own way."""
        logits = self.segmenter.decode(self.embedding, [self.points])[0].logits
        assert logits is not None
        count = self.size_hw[0] * self.size_hw[1]
        bits = np.unpackbits(self.fixture.expected["mask_packed"])
        if logits.shape != self.size_hw or not 0 <= len(bits) - count < 8:
            return Comparison("1 - mask IoU", float("inf"), ALLOWED["1 - mask IoU"])
        ours, theirs = logits > 0, bits[:count].reshape(self.size_hw) > 0
        either = (ours | theirs).sum()
        difference = float((ours ^ theirs).sum() / either) if either else 0.0
        return Comparison("1 - mask IoU", difference, ALLOWED["1 - mask IoU"])


class Sam2Case(SamCase):
    """The same for SAM 2's family: also with a box alone, and the mask of the first token without the fall-back."""

    def comparisons(self) -> list[Comparison]:
        """Those of Segment Anything, and what only this family has."""
        near, prompted = self.fixture.near, self.points
        features = self.embedding.features
        assert features.fine is not None
        assert features.middle is not None
        found = [each for each in super().comparisons() if each.what != "embedding"]
        samples = (
            ("embedding_sample", features.embedding[0, ::16, ::4, ::4]),
            ("high_res_0_sample", features.fine[0, ::4, ::16, ::16]),
            ("high_res_1_sample", features.middle[0, ::8, ::8, ::8]),
        )
        for key, sample in samples:
            greatest = float(np.abs(self.fixture.expected[key]).max())
            what = f"embedding by its greatest value, {key.removesuffix('_sample')}"
            difference = near(what, sample.numpy(), key)
            found.append(replace(difference, difference=difference.difference / greatest))
        box = np.concatenate([prompted.xy.min(0), prompted.xy.max(0)])
        alone = ObjectPrompt(1, prompted.xy[:0], prompted.is_positive[:0], box)
        with _no_fall_back():
            single = self.predict(prompted)
        for which, (logits, iou) in (("box", self.predict(alone)), ("single", single)):
            found.append(near(f"logits, {which}", logits[:, ::2, ::2], f"low_res_{which}"))
            found.append(near(f"IoU, {which}", iou, f"iou_{which}"))
        return found

    def predict(self, prompt: ObjectPrompt, multimask: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """As the official predictor gives them, which cuts logits to -32 ... 32."""
        network = self.segmenter.runtime
        with torch.inference_mode():
            fit, side = self.embedding.fit, network.mask_side
            batch = make_batch([prompt], fit, side, CPU, "parity", ends_boxes=network.ends_boxes)
            logits, iou = network.predict(self.embedding.features, batch, multimask=multimask)
        return logits[0].clamp(-32, 32).numpy(), iou[0].numpy()


def _always_stable(logits: Tensor) -> Tensor:
    return torch.ones(logits.shape[:2], dtype=torch.bool)


@contextmanager
def _no_fall_back() -> Iterator[None]:
    """Within, every single mask counts as stable."""
    is_stable = sam2._is_stable
    sam2._is_stable = _always_stable
    try:
        yield
    finally:
        sam2._is_stable = is_stable


def sam_2(name: str, fixture: Fixture) -> list[Comparison]:
    """See :class:`Sam2Case`."""
    return Sam2Case(name, fixture).comparisons()


def sam(name: str, fixture: Fixture) -> list[Comparison]:
    """See :class:`SamCase`."""
    return SamCase(name, fixture).comparisons()


_SIZES = {"tiny": "tiny", "small": "small", "base_plus": "base-plus", "large": "large"}
CHECKS: dict[str, Callable[[Fixture], list[Comparison]]] = {
    "mobile_sam": partial(sam, "mobile-sam"),
    "sam_hq_vit_tiny": partial(sam, "light-hq-sam"),
    "edgetam_image": partial(sam_2, "edgetam"),
    **{f"sam2.1_{short}_image": partial(sam_2, f"sam2.1-{size}") for short, size in _SIZES.items()},
    **{f"sam_vit_{letter}": partial(sam, f"sam-vit-{letter}") for letter in "blh"},
    **{f"sam_hq_vit_{letter}": partial(sam, f"hq-sam-vit-{letter}") for letter in "blh"},
}
"""By kind of fixture."""
