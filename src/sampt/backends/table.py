"""The back ends that come with sampt, as data: nothing is imported or made to say what there is, of whom, under which licence.

A test holds these facts against what each back end says of itself.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

__all__ = ["BUILT_IN", "BackendSpec"]

_PACKAGES = {"torch": ("torch",), "sam": ("torch", "transformers", "kornia")}
"""What an extra of sampt installs and a back end imports."""


@dataclass(frozen=True)
class BackendSpec:
    """One back end.

    Attributes:
        factory: MODULE:FUNCTION, which makes it.
        licence_code: of the program it is or follows; SPDX identifier where there is one.
        licence_weights: of its default weights, likewise; None where it has none.
        source: whose method it is.
        extra: of sampt, without which it cannot be made; None for the plain installation.
    """

    factory: str
    licence_code: str
    licence_weights: str | None
    source: str
    extra: str | None = None

    @property
    def missing(self) -> str | None:
        """The extra that would have to be installed first; None where everything is here. Nothing is imported to see."""
        packages = _PACKAGES[self.extra] if self.extra else ()
        return None if all(importlib.util.find_spec(package) for package in packages) else self.extra


_BOOTSTAPIR = "Doersch et al., ACCV 2024 (arXiv 2402.00847)"
_COTRACKER = "Karaev et al., CoTracker3 (arXiv 2410.11831)"
_ALIKED = "Lindenberger et al., LightGlue, ICCV 2023 (arXiv 2306.13643); Zhao et al., ALIKED, TIM 2023 (arXiv 2304.03608)"
_LIGHTGLUE = (
    "Lindenberger et al., LightGlue, ICCV 2023 (arXiv 2306.13643); DeTone et al., SuperPoint, CVPRW 2018 (arXiv 1712.07629)"
)
_SUPERGLUE = "Sarlin et al., SuperGlue, CVPR 2020 (arXiv 1911.11763); DeTone et al., SuperPoint, CVPRW 2018 (arXiv 1712.07629)"
_RAFT = "Teed and Deng, ECCV 2020 (arXiv 2003.12039)"
_TAPNEXT = "Zholus et al., ICCV 2025 (arXiv 2504.05579)"
_TAPNEXT_PP = "Jung et al., CVPR Findings 2026 (arXiv 2604.10582)"
_HQ_SAM = "Ke et al., Segment Anything in High Quality, NeurIPS 2023 (arXiv 2306.01567)"
_SAM = "Kirillov et al., Segment Anything, ICCV 2023 (arXiv 2304.02643)"
_SAM2 = "Ravi et al., SAM 2: Segment Anything in Images and Videos, ICLR 2025 (arXiv 2408.00714)"
_NANO = "ours: a U-shaped network on windows, with a kernel classifier of the clicks' features; training/segmenter"
_GRABCUT = "Rother, Kolmogorov, Blake, GrabCut, SIGGRAPH 2004: the cut; kernel densities of the points: ours"
_BOTH = "Apache-2.0; ALIKED: BSD-3-Clause"
_SUPERPOINT = "Apache-2.0; SuperPoint in it: non-commercial (Magic Leap)"
_APACHE, _BSD, _MIT, _NC = "Apache-2.0", "BSD-3-Clause", "MIT", "CC-BY-NC-4.0"


def _tracker(place: str, code: str, weights: str | None, source: str, extra: str | None = "torch") -> BackendSpec:
    return BackendSpec(f"sampt.trackers.{place}", code, weights, source, extra)


def _segmenter(place: str, source: str) -> BackendSpec:
    return BackendSpec(f"sampt.segmenters.{place}", _APACHE, _APACHE, source, "sam")


BUILT_IN = {
    "tracker": {
        "bootstapir": _tracker("tapir:create_boots", _APACHE, _APACHE, _BOOTSTAPIR),
        "bootstapir-causal": _tracker("tapir:create_boots_causal", _APACHE, _APACHE, _BOOTSTAPIR),
        "cotracker3-offline": _tracker("cotracker:create_offline", _NC, _NC, _COTRACKER),
        "cotracker3-online": _tracker("cotracker:create_online", _NC, _NC, _COTRACKER),
        "dis-flow": _tracker("dis_flow:create", _APACHE, None, "Kroeger et al., ECCV 2016 (arXiv 1603.03590), by OpenCV", None),
        "lightglue": _tracker("keypoints:create_lightglue", _BOTH, _BOTH, _ALIKED, "sam"),
        "lightglue-superpoint": _tracker("keypoints:create_lightglue_superpoint", _APACHE, _SUPERPOINT, _LIGHTGLUE, "sam"),
        "lucas-kanade": _tracker("lucas_kanade:create", _APACHE, None, "Bouguet, Intel 2001, by OpenCV", None),
        "nano": _tracker("nano:create", _APACHE, _APACHE, "trained here: training/tracker", None),
        "pips": _tracker("pips:create", _MIT, _MIT, "Harley et al., ECCV 2022 (arXiv 2204.04153)"),
        "pips-pp": _tracker("pips_pp:create", _MIT, _MIT, "Zheng et al., ICCV 2023 (arXiv 2307.15055)"),
        "raft": _tracker("raft:create", _BSD, _BSD, _RAFT),
        "raft-small": _tracker("raft:create_small", _BSD, _BSD, _RAFT),
        "superglue": _tracker("keypoints:create_superglue", _APACHE, "non-commercial (Magic Leap)", _SUPERGLUE, "sam"),
        "tapir": _tracker("tapir:create", _APACHE, _APACHE, "Doersch et al., ICCV 2023 (arXiv 2306.08637)"),
        "tapnext": _tracker("tapnext:create", _APACHE, _APACHE, _TAPNEXT),
        "tapnext-pp": _tracker("tapnext:create_pp", _APACHE, _APACHE, _TAPNEXT_PP),
        "tapnext-pp-512": _tracker("tapnext:create_pp_512", _APACHE, _APACHE, _TAPNEXT_PP),
    },
    "segmenter": {
        "grabcut": BackendSpec("sampt.segmenters.grabcut:create", _APACHE, None, _GRABCUT),
        "hq-sam-vit-b": _segmenter("hq_sam:create_vit_b", _HQ_SAM),
        "hq-sam-vit-h": _segmenter("hq_sam:create_vit_h", _HQ_SAM),
        "hq-sam-vit-l": _segmenter("hq_sam:create_vit_l", _HQ_SAM),
        "light-hq-sam": _segmenter("mobile_sam:create_light_hq", _HQ_SAM),
        "mobile-sam": _segmenter("mobile_sam:create", "Zhang et al., Faster Segment Anything (arXiv 2306.14289)"),
        "nano": BackendSpec("sampt.segmenters.nano:create", _APACHE, _APACHE, _NANO),
        "sam-vit-b": _segmenter("sam:create_vit_b", _SAM),
        "sam-vit-h": _segmenter("sam:create_vit_h", _SAM),
        "sam-vit-l": _segmenter("sam:create_vit_l", _SAM),
        "sam2.1-base-plus": _segmenter("sam2:create_base_plus", _SAM2),
        "sam2.1-large": _segmenter("sam2:create_large", _SAM2),
        "sam2.1-small": _segmenter("sam2:create_small", _SAM2),
        "sam2.1-tiny": _segmenter("sam2:create_tiny", _SAM2),
    },
}
