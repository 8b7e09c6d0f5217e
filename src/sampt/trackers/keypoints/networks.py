"""The networks and their weights: SuperPoint and SuperGlue or LightGlue by `transformers`, ALIKED and LightGlue by `kornia`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sampt.backends.torch_networks import load_exactly, repeatable
from sampt.errors import BackendError
from sampt.weights import load_checkpoint

__all__ = [
    "AlikedSizes",
    "SuperPointSizes",
    "build_aliked",
    "build_lightglue",
    "build_superglue",
    "convert_lightglue",
    "load_pair",
    "load_whole",
]

_MAX_KEYPOINTS = 2048
"""The strongest; as in the official programs' examples for images of outdoor scenes."""
_IN_FOLDER = ("model.safetensors", "pytorch_model.bin")
_OLD_BLOCK = re.compile(r"^(self_attn|cross_attn)\.(\d+)\.")
_MADE_HERE = ("dkd.hw_grid", "confidence_thresholds")
"""Constants that kornia keeps among the weights; official files need not have them."""


@dataclass(frozen=True)
class SuperPointSizes:
    """SuperPoint and the matcher behind it; the defaults are the official ones.

    Attributes:
        encoder: channels of SuperPoint's four stages.
        decoder: channels of its two heads.
        width: of descriptors, and of the matcher.
        locations: widths of SuperGlue's encoder of locations.
        layers: of the matcher: pairs of self and cross attention.
        heads: of its attention.
        max_keypoints: the strongest so many are kept.
    """

    encoder: tuple[int, ...] = (64, 64, 128, 128)
    decoder: int = 256
    width: int = 256
    locations: tuple[int, ...] = (32, 64, 128, 256)
    layers: int = 9
    heads: int = 4
    max_keypoints: int = _MAX_KEYPOINTS


@dataclass(frozen=True)
class AlikedSizes:
    """ALIKED and LightGlue behind it; the defaults are the official ones.

    Attributes:
        detector: one of ALIKED's official sizes.
        described: width of its descriptors.
        width: of the matcher.
        layers: of the matcher: pairs of self and cross attention.
        heads: of its attention.
        max_keypoints: the strongest so many are kept.
    """

    detector: str = "aliked-n16"
    described: int = 128
    width: int = 256
    layers: int = 9
    heads: int = 4
    max_keypoints: int = _MAX_KEYPOINTS


def build_superglue(sizes: SuperPointSizes | None = None, match_threshold: float = 0.2) -> nn.Module:
    """SuperPoint with SuperGlue, with random weights. 20 rounds of Sinkhorn, as the official program and SAM-PT's."""
    from transformers import SuperGlueConfig, SuperGlueForKeypointMatching

    sizes = sizes or SuperPointSizes()
    config = SuperGlueConfig(
        keypoint_detector_config=_superpoint(sizes, threshold=0.005, radius=3),
        hidden_size=sizes.width,
        keypoint_encoder_sizes=list(sizes.locations),
        gnn_layers_types=["self", "cross"] * sizes.layers,
        num_attention_heads=sizes.heads,
        sinkhorn_iterations=20,
        matching_threshold=match_threshold,
    )
    return _made(SuperGlueForKeypointMatching, config)


def build_lightglue(sizes: SuperPointSizes | None = None, match_threshold: float = 0.1) -> nn.Module:
    """SuperPoint with LightGlue, with random weights.

    Neither early stop nor pruning, which trade accuracy for speed: `transformers` has them only together, and fails where
    pruning leaves a frame without keypoints.
    """
    from transformers import LightGlueConfig, LightGlueForKeypointMatching

    sizes = sizes or SuperPointSizes()
    config = LightGlueConfig(
        keypoint_detector_config=_superpoint(sizes, threshold=0.0005, radius=4),
        descriptor_dim=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        depth_confidence=-1.0,
        width_confidence=-1.0,
        filter_threshold=match_threshold,
    )
    return _made(LightGlueForKeypointMatching, config)


def build_aliked(sizes: AlikedSizes | None = None, match_threshold: float = 0.1) -> tuple[nn.Module, nn.Module]:
    """ALIKED, and LightGlue for it, with random weights. LightGlue stops early and prunes, as its authors' program does."""
    from kornia.feature import ALIKED, LightGlue

    sizes = sizes or AlikedSizes()
    flash: bool = torch.backends.cuda.flash_sdp_enabled()  # type: ignore[no-untyped-call]
    try:
        with repeatable():
            detector = ALIKED(sizes.detector, max_num_keypoints=sizes.max_keypoints, detection_threshold=0.2)
            matcher = LightGlue(
                features=None,  # any other value downloads
                input_dim=sizes.described,
                descriptor_dim=sizes.width,
                n_layers=sizes.layers,
                num_heads=sizes.heads,
                filter_threshold=match_threshold,
            )
    finally:
        torch.backends.cuda.enable_flash_sdp(flash)  # kornia sets it for the whole process
    return _still(detector), _still(matcher)


def load_whole(network: nn.Module, path: Path, name: str) -> None:
    """Give a network from `transformers` the weights of the tracker ``name``: a file, or a folder as `transformers` writes it.

    Raises:
        BackendError: nothing is there, it cannot be read, or it holds other weights than exactly this network's.
    """
    file = path
    if path.is_dir():
        files = [path / inner for inner in _IN_FOLDER if (path / inner).is_file()]
        if not files:
            raise BackendError(f"{name!r} found none of {', '.join(_IN_FOLDER)} in the folder {path}; give one that has it.")
        file = files[0]
    state = load_checkpoint(file)
    begin = {"superglue": "transformer_layers.", "lightglue-superpoint": "gnn."}[name]
    others = {"superglue": "lightglue-superpoint", "lightglue-superpoint": "superglue"}
    is_other = any(key.startswith(begin) for key in state)
    _load(network, state, name, file, other=others[name] if is_other else None, expected="the hub's file for transformers")


def load_pair(networks: tuple[nn.Module, nn.Module], files: tuple[Path, Path], name: str) -> None:
    """Give ALIKED and LightGlue the weights of their official files.

    Raises:
        BackendError: a file is not there, cannot be read, or holds other weights than exactly its network's.
    """
    for network, file in zip(networks, files, strict=True):
        state, own = convert_lightglue(load_checkpoint(file)), network.state_dict()  # no name of ALIKED's begins so
        state |= {key: own[key] for key in _MADE_HERE if key in own and key not in state}
        _load(network, state, name, file, other=None, expected=f"the official {file.name}")


def convert_lightglue(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names of LightGlue, whose first files have the blocks' two halves apart, to kornia's."""
    return {_OLD_BLOCK.sub(r"transformers.\2.\1.", name): value for name, value in state.items()}


def _load(network: nn.Module, state: Mapping[str, Tensor], name: str, file: Path, *, other: str | None, expected: str) -> None:
    load_exactly(network, state, name=name, path=file, other=other, expected=expected)


def _superpoint(sizes: SuperPointSizes, *, threshold: float, radius: int) -> Any:
    from transformers import SuperPointConfig

    return SuperPointConfig(
        encoder_hidden_sizes=list(sizes.encoder),
        decoder_hidden_size=sizes.decoder,
        descriptor_decoder_dim=sizes.width,
        keypoint_threshold=threshold,
        max_keypoints=sizes.max_keypoints,
        nms_radius=radius,
        border_removal_distance=4,
    )


def _made(kind: Any, config: Any) -> nn.Module:
    with repeatable():
        return _still(kind(config))


def _still(network: nn.Module) -> nn.Module:
    return network.eval().requires_grad_(False)
