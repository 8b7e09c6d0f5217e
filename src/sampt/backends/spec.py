"""What a backend says of itself, and how one that comes with sampt is described: data, for which nothing is imported."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["BackendSpec", "ProposerInfo", "SegmenterInfo", "TrackerInfo"]

_PACKAGES = {"torch": ("torch",), "sam": ("torch", "transformers", "kornia")}
"""What an extra of sampt installs and a backend imports."""


@dataclass(frozen=True)
class TrackerInfo:
    """What the pipeline and the user need to know about a tracker.

    Attributes:
        name: the name under which it is created.
        license_code: SPDX identifier of the code.
        license_weights: SPDX identifier of the weights, or None when there are none.
        is_causal: True when a frame's result needs no later frame, so that ``stream()`` exists.
        needs_masks: True when ``track`` wants the objects' query masks.
        is_joint: True when points influence each other, so that grouping changes the result.
        window: frames looked at together, or None when the tracker works frame by frame or on the whole clip.
        latency: frames that may follow until a frame's result is final, for a tracker that is not causal and yet follows
            frames as they come, so that ``start()`` exists; None when it needs the whole clip.
        device: where it runs.
        source: paper or program that defines the method.
    """

    name: str
    license_code: str
    license_weights: str | None
    is_causal: bool = False
    needs_masks: bool = False
    is_joint: bool = False
    window: int | None = None
    latency: int | None = None
    device: str = "cpu"
    source: str = ""

    @property
    def streaming_latency(self) -> int | None:
        """Frames that a streaming result waits for: 0 for a causal tracker, None for one that needs the whole clip."""
        return 0 if self.is_causal else self.latency


@dataclass(frozen=True)
class SegmenterInfo:
    """What the pipeline and the user need to know about a segmenter.

    Attributes:
        name: the name under which it is created.
        license_code: SPDX identifier of the code.
        license_weights: SPDX identifier of the weights, or None when there are none.
        encode_batch: frames that one ``encode`` call takes best.
        has_refinement: True when it goes through all passes about a frame by itself
            (:class:`sampt.segmenters.base.RefiningSegmenter`).
        has_candidates: True when it gives several masks for a point (:class:`sampt.segmenters.automatic.CandidateSegmenter`).
        has_mask_logits: True when it makes ``mask_logits`` of a given mask (:class:`sampt.segmenters.base.MaskSegmenter`).
        uses_prior: True when it heeds a prompt's ``prior``; for others the object memory computes none.
        mask_thresholds: predicted IoU that a generated mask has to exceed, and its least stability, where the user gives
            none (:class:`sampt.segmenters.automatic.AutomaticMaskConfig`). Segment Anything's, as its authors chose them
            for ViT-H; scores of another network mean something else.
        device: where it runs.
        source: paper or program that defines the method.
    """

    name: str
    license_code: str
    license_weights: str | None
    encode_batch: int = 1
    has_refinement: bool = False
    has_candidates: bool = False
    has_mask_logits: bool = False
    uses_prior: bool = False
    mask_thresholds: tuple[float, float] = (0.88, 0.95)
    device: str = "cpu"
    source: str = ""


@dataclass(frozen=True)
class ProposerInfo:
    """What whoever looks for objects needs to know about a proposer.

    Attributes:
        name: the name under which it is created.
        license_code: SPDX identifier of the code.
        license_weights: SPDX identifier of the weights, or None when there are none of its own.
        frames_after: later frames that it looks at; 0 for one that streamed frames can do with.
        has_labels: True when it says what things are.
        needs_argument: True when its name goes on after a colon: words, or a file.
        device: where it runs.
        source: paper or program that defines the method.
    """

    name: str
    license_code: str
    license_weights: str | None
    frames_after: int = 0
    has_labels: bool = False
    needs_argument: bool = False
    device: str = "cpu"
    source: str = ""


Info = TypeVar("Info", TrackerInfo, SegmenterInfo, ProposerInfo)


@dataclass(frozen=True)
class BackendSpec(Generic[Info]):
    """One backend.

    Attributes:
        name: the name under which it is created.
        factory: MODULE:FUNCTION, which makes it.
        info: what it says of itself with its default weights; device and batch are only known of one that was made.
        method: what it does, in a few words.
        extra: of sampt, without which it cannot be made; None for the plain installation.
        weights: of its default checkpoints, their names in :data:`sampt.weights.SOURCES`; empty where they are in the
            package or there are none, which ``info.license_weights`` tells.
    """

    name: str
    factory: str
    info: Info
    method: str = ""
    extra: str | None = None
    weights: tuple[str, ...] = ()

    @property
    def missing(self) -> str | None:
        """The extra that would have to be installed first; None where everything is here. Nothing is imported to see."""
        packages = _PACKAGES[self.extra] if self.extra else ()
        return None if all(importlib.util.find_spec(package) for package in packages) else self.extra
