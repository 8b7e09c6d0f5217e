"""The backends that come with sampt, as data: nothing is imported or made to say what there is, of whom, under which licence.

Most backends take their ``info`` from here. A test holds the rest against what each backend says of itself, and the tables of
docs/trackers.md, docs/segmenters.md and docs/proposers.md, which ``tools/backend_tables.py`` makes, against this one. The order
is the tables'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sampt.backends.spec import BackendSpec, Info, ProposerInfo, SegmenterInfo, TrackerInfo

__all__ = ["BUILT_IN", "PROPOSERS", "SEGMENTERS", "TRACKERS"]

_APACHE, _BSD, _MIT, _NC = "Apache-2.0", "BSD-3-Clause", "MIT", "CC-BY-NC-4.0"
_LIGHTGLUE = "Lindenberger et al., LightGlue, ICCV 2023 (arXiv 2306.13643)"
_SUPERPOINT = "DeTone et al., SuperPoint, CVPRW 2018 (arXiv 1712.07629)"


def _tracker(
    name: str,
    function: str,
    method: str,
    *,
    source: str,
    license: str = _APACHE,
    weights: tuple[str, ...] | None = None,
    license_weights: str | None = None,
    extra: str | None = "torch",
    **flags: Any,
) -> BackendSpec[TrackerInfo]:
    """A tracker in ``sampt.trackers``; weights of its own name and of the code's licence unless they are named."""
    info = TrackerInfo(name, license, license_weights or license, source=source, **flags)
    return BackendSpec(name, f"sampt.trackers.{function}", info, method, extra, (name,) if weights is None else weights)


def _opencv(name: str, function: str, method: str, source: str) -> BackendSpec[TrackerInfo]:
    """A tracker without weights."""
    info = TrackerInfo(name, _APACHE, None, is_causal=True, source=source)
    return BackendSpec(name, f"sampt.trackers.{function}", info, method)


def _sam(
    name: str, function: str, method: str, source: str, license: str = _APACHE, weights: tuple[str, ...] = ()
) -> BackendSpec[SegmenterInfo]:
    """A segmenter of the Segment Anything family; weights of its own name unless they are named, of licence ``license``."""
    info = SegmenterInfo(name, _APACHE, license, has_refinement=True, has_candidates=True, uses_prior=True, source=source)
    return BackendSpec(name, f"sampt.segmenters.{function}", info, method, "sam", weights or (name,))


def _nano(name: str, source: str) -> SegmenterInfo:
    """The thresholds of generated masks are those of docs/benchmarks.md, "Automatic masks"."""
    return SegmenterInfo(
        name,
        _APACHE,
        _APACHE,
        has_candidates=True,
        has_mask_logits=True,
        uses_prior=True,
        mask_thresholds=(0.5, 0.8),
        source=source,
    )


def _text(
    name: str, function: str, method: str, source: str, weights: tuple[str, ...], license: str = _APACHE
) -> BackendSpec[ProposerInfo]:
    """A proposer of what words name."""
    info = ProposerInfo(name, _APACHE, license, has_labels=True, needs_argument=True, source=source)
    return BackendSpec(name, f"sampt.proposers.text:{function}", info, method, "sam", weights)


def _by_name(*specs: BackendSpec[Info]) -> dict[str, BackendSpec[Info]]:
    return {spec.name: spec for spec in specs}


_CHAINED = "chained, forward-backward check"
_RAFT = "Teed and Deng, ECCV 2020 (arXiv 2003.12039)"
_BOOTSTAPIR = "Doersch et al., ACCV 2024 (arXiv 2402.00847)"
_TAPNEXT_PP = "Jung et al., CVPR Findings 2026 (arXiv 2604.10582)"
_COTRACKER_V1 = "Karaev et al., CoTracker (arXiv 2307.07635v1)"
_COTRACKER = "Karaev et al., CoTracker3 (arXiv 2410.11831)"
_TRACKS = "whatever made the file, such as OmniMotion (Wang et al., ICCV 2023, arXiv 2306.05422)"
_ALIKED_LICENSES = "Apache-2.0; ALIKED: BSD-3-Clause"

TRACKERS = _by_name(
    _tracker(
        "nano",
        "nano:create",
        "recurrent network, trained here",
        source="trained here: training/tracker",
        weights=(),
        extra=None,
        is_causal=True,
    ),
    _opencv(
        "dis-flow", "dis_flow:create", f"dense flow, {_CHAINED}", "Kroeger et al., ECCV 2016 (arXiv 1603.03590), by OpenCV"
    ),
    _opencv("lucas-kanade", "lucas_kanade:create", f"sparse flow, {_CHAINED}", "Bouguet, Intel 2001, by OpenCV"),
    BackendSpec(
        "tracks",
        "sampt.trackers.tracks_file:create",
        TrackerInfo("tracks", _APACHE, None, source=_TRACKS),
        "tracks made elsewhere, from a file: `tracks:FILE`",
    ),
    _tracker(
        "raft",
        "raft:create",
        f"dense flow, {_CHAINED}",
        source=_RAFT,
        license=_BSD,
        weights=("raft-things",),
        is_causal=True,
    ),
    _tracker("raft-small", "raft:create_small", f"dense flow, {_CHAINED}", source=_RAFT, license=_BSD, is_causal=True),
    _tracker(
        "pips", "pips:create", "windows, linked", source="Harley et al., ECCV 2022 (arXiv 2204.04153)", license=_MIT, window=8
    ),
    _tracker(
        "pips-pp", "pips_pp:create", "windows", source="Zheng et al., ICCV 2023 (arXiv 2307.15055)", license=_MIT, window=128
    ),
    _tracker(
        "tapnet",
        "tapnet:create",
        "matched in every frame",
        source="Doersch et al., TAP-Vid, NeurIPS 2022 (arXiv 2211.03726)",
    ),
    _tracker(
        "tapir",
        "tapir:create",
        "matched in every frame, refined over time",
        source="Doersch et al., ICCV 2023 (arXiv 2306.08637)",
    ),
    _tracker("bootstapir", "tapir:create_boots", "the same, larger, trained further", source=_BOOTSTAPIR),
    _tracker("bootstapir-causal", "tapir:create_boots_causal", "the same, frame by frame", source=_BOOTSTAPIR, is_causal=True),
    _tracker(
        "tapnext",
        "tapnext:create",
        "recurrent network, frames of 256 x 256",
        source="Zholus et al., ICCV 2025 (arXiv 2504.05579)",
        is_causal=True,
        is_joint=True,
    ),
    _tracker(
        "tapnext-pp",
        "tapnext:create_pp",
        "the same, other weights",
        source=_TAPNEXT_PP,
        is_causal=True,
        is_joint=True,
    ),
    _tracker(
        "tapnext-pp-512",
        "tapnext:create_pp_512",
        "the same, frames of 512 x 512",
        source=_TAPNEXT_PP,
        is_causal=True,
        is_joint=True,
    ),
    _tracker(
        "cotracker-v1",
        "cotracker_v1:create",
        "windows, half overlapping",
        source=_COTRACKER_V1,
        license=_NC,
        is_joint=True,
        window=8,
    ),
    _tracker(
        "cotracker3-online",
        "cotracker:create_online",
        "windows, half overlapping",
        source=_COTRACKER,
        license=_NC,
        is_joint=True,
        window=16,
        latency=15,
    ),
    _tracker(
        "cotracker3-offline",
        "cotracker:create_offline",
        "clips at once, longer ones in windows",
        source=_COTRACKER,
        license=_NC,
        is_joint=True,
        window=128,
    ),
    _tracker(
        "lightglue",
        "keypoints:create_lightglue",
        "keypoints of ALIKED, matched by LightGlue",
        source=f"{_LIGHTGLUE}; Zhao et al., ALIKED, TIM 2023 (arXiv 2304.03608)",
        license=_ALIKED_LICENSES,
        weights=("aliked-lightglue", "aliked-n16"),
        extra="sam",
        is_causal=True,
    ),
    _tracker(
        "xfeat",
        "xfeat:create",
        "keypoints of XFeat, matched where each is the other's nearest",
        source="Potje et al., XFeat, CVPR 2024 (arXiv 2404.19174)",
        is_causal=True,
    ),
    _tracker(
        "lightglue-superpoint",
        "keypoints:create_lightglue_superpoint",
        "keypoints of SuperPoint, matched by LightGlue",
        source=f"{_LIGHTGLUE}; {_SUPERPOINT}",
        license_weights="Apache-2.0; SuperPoint in it: non-commercial (Magic Leap)",
        extra="sam",
        is_causal=True,
    ),
    _tracker(
        "superglue",
        "keypoints:create_superglue",
        "keypoints of SuperPoint, matched by SuperGlue",
        source=f"Sarlin et al., SuperGlue, CVPR 2020 (arXiv 1911.11763); {_SUPERPOINT}",
        license_weights="non-commercial (Magic Leap)",
        extra="sam",
        is_causal=True,
    ),
)

_NANO_FAST = "ours: a U-shaped network on windows, with a kernel classifier of the clicks' features; training/segmenter"
_NANO = f"{_NANO_FAST}; and U2-Net-p (Qin et al. 2020, arXiv 2005.09007)"
_GRABCUT = "Rother, Kolmogorov, Blake, GrabCut, SIGGRAPH 2004: the cut; kernel densities of the points: ours"
_MOBILE_SAM = "Zhang et al., Faster Segment Anything (arXiv 2306.14289)"
_SAM = "Kirillov et al., Segment Anything, ICCV 2023 (arXiv 2304.02643)"
_HQ_SAM = "Ke et al., Segment Anything in High Quality, NeurIPS 2023 (arXiv 2306.01567)"
_EDGETAM = "Zhou et al., EdgeTAM: On-Device Track Anything Model, CVPR 2025 (arXiv 2501.07256)"
_SAM3_LICENSE = "SAM License (Meta)"
_SAM3 = "Carion et al., SAM 3: Segment Anything with Concepts (arXiv 2511.16719)"
_SAM2 = "Ravi et al., SAM 2: Segment Anything in Images and Videos, ICLR 2025 (arXiv 2408.00714)"

SEGMENTERS = _by_name(
    BackendSpec(
        "nano",
        "sampt.segmenters.nano:create",
        _nano("nano", _NANO),
        "small network on windows, trained here, and U2-Net-p",
    ),
    BackendSpec(
        "nano-fast",
        "sampt.segmenters.nano:create_fast",
        _nano("nano-fast", _NANO_FAST),
        "small network on windows, trained here",
    ),
    BackendSpec(
        "grabcut",
        "sampt.segmenters.grabcut:create",
        SegmenterInfo("grabcut", _APACHE, None, source=_GRABCUT),
        "colours around the points, graph cut",
    ),
    _sam("mobile-sam", "mobile_sam:create", "TinyViT encoder", _MOBILE_SAM),
    _sam("sam-vit-b", "sam:create_vit_b", "ViT-B encoder", _SAM),
    _sam("sam-vit-l", "sam:create_vit_l", "ViT-L encoder", _SAM),
    _sam("sam-vit-h", "sam:create_vit_h", "ViT-H encoder", _SAM),
    _sam("light-hq-sam", "mobile_sam:create_light_hq", "TinyViT encoder, decoder for fine edges", _HQ_SAM),
    _sam("hq-sam-vit-b", "hq_sam:create_vit_b", "ViT-B encoder, decoder for fine edges", _HQ_SAM),
    _sam("hq-sam-vit-l", "hq_sam:create_vit_l", "ViT-L encoder, decoder for fine edges", _HQ_SAM),
    _sam("hq-sam-vit-h", "hq_sam:create_vit_h", "ViT-H encoder, decoder for fine edges", _HQ_SAM),
    _sam("edgetam", "edgetam:create", "RepViT encoder, SAM 2's decoder; single frames", _EDGETAM),
    _sam("sam2.1-tiny", "sam2:create_tiny", "Hiera encoder, tiny; single frames", _SAM2),
    _sam("sam2.1-small", "sam2:create_small", "Hiera encoder, small; single frames", _SAM2),
    _sam("sam2.1-base-plus", "sam2:create_base_plus", "Hiera encoder, base+; single frames", _SAM2),
    _sam("sam2.1-large", "sam2:create_large", "Hiera encoder, large; single frames", _SAM2),
    _sam(
        "sam3",
        "sam3:create",
        "ViT-L encoder; single frames; finds what words name",
        _SAM3,
        _SAM3_LICENSE,
        ("sam3", "sam3-tokenizer"),
    ),
)

_U2NET = "Qin et al., U2-Net, Pattern Recognition 2020 (arXiv 2005.09007), its small variant"

_MOTION = "Kroeger et al., ECCV 2016 (arXiv 1603.03590), by OpenCV: the flow; what is made of it: ours"
_OWLV2 = "Minderer et al., OWLv2, NeurIPS 2023 (arXiv 2306.09683)"
_GROUNDING_DINO = "Liu et al., Grounding DINO, ECCV 2024 (arXiv 2303.05499)"
_DETECTIONS = "whatever made the file"

PROPOSERS = _by_name(
    BackendSpec(
        "objectness",
        "sampt.proposers.objectness:create",
        ProposerInfo("objectness", _APACHE, _APACHE, source=_U2NET),
        "what stands out or moves, by the bundled saliency network and dense flow to earlier frames",
    ),
    BackendSpec(
        "motion",
        "sampt.proposers.motion:create",
        ProposerInfo("motion", _APACHE, None, frames_after=9, source=_MOTION),
        "what moves against the camera, by dense flow",
    ),
    BackendSpec(
        "motion-causal",
        "sampt.proposers.motion:create_causal",
        ProposerInfo("motion-causal", _APACHE, None, source=_MOTION),
        "the same by earlier frames alone; nothing on the first one",
    ),
    BackendSpec(
        "automatic",
        "sampt.proposers.automatic:create",
        ProposerInfo("automatic", _APACHE, None, source=_SAM),
        "the segmenter, prompted with a grid of points",
    ),
    _text("text", "create", "what words name, by OWLv2: `text:a dog,a ball`", _OWLV2, ("owlv2", "owlv2-vocab", "owlv2-merges")),
    _text(
        "text-grounding-dino",
        "create_grounding_dino",
        "the same by Grounding DINO, tiny",
        _GROUNDING_DINO,
        ("grounding-dino", "grounding-dino-vocab"),
    ),
    _text("text-sam3", "create_sam3", "the same by SAM 3, with its masks", _SAM3, ("sam3", "sam3-tokenizer"), _SAM3_LICENSE),
    BackendSpec(
        "boxes",
        "sampt.proposers.boxes:create",
        ProposerInfo("boxes", _APACHE, None, has_labels=True, needs_argument=True, source=_DETECTIONS),
        "boxes detected elsewhere, from COCO JSON, MOT text or YOLO: `boxes:FILE`",
    ),
)

BUILT_IN: Mapping[str, dict[str, BackendSpec[Any]]] = {
    "tracker": TRACKERS,
    "segmenter": SEGMENTERS,
    "proposer": PROPOSERS,
}
"""By kind and name."""
