"""The fixtures of the Segment Anything family, each repeated with our network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from sampt.segmenters.create import create_segmenter
from sampt.segmenters.sam.adapter import SamSegmenter
from sampt.segmenters.sam.prompts import make_batch
from sampt.types import ObjectPrompt
from tools.parity.fixtures import ALLOWED, Comparison, Fixture

__all__ = ["CHECKS", "SamCase"]

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


def sam(name: str, fixture: Fixture) -> list[Comparison]:
    """See :class:`SamCase`."""
    return SamCase(name, fixture).comparisons()


CHECKS: dict[str, Callable[[Fixture], list[Comparison]]] = {
    "mobile_sam": partial(sam, "mobile-sam"),
    "sam_hq_vit_tiny": partial(sam, "light-hq-sam"),
    **{f"sam_vit_{letter}": partial(sam, f"sam-vit-{letter}") for letter in "blh"},
    **{f"sam_hq_vit_{letter}": partial(sam, f"hq-sam-vit-{letter}") for letter in "blh"},
}
"""By kind of fixture."""
