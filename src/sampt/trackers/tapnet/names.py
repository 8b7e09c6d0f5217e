"""Names and layouts of the official checkpoint, which is of a JAX program, -> those of the network."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["convert_state_dict", "is_official"]

_RESNET = r"^tap_net/~/tsm_resnet_video/tsm_resnet_"
_BLOCK = re.compile(_RESNET + r"unit_(\d)/block_(\d)/(.+)$")
_NAMES = {
    "batch_norm/scale": "norm_0.weight",
    "batch_norm/offset": "norm_0.bias",
    "batch_norm/~/mean_ema/average": "norm_0.running_mean",
    "batch_norm/~/var_ema/average": "norm_0.running_var",
    "batch_norm_1/scale": "norm_1.weight",
    "batch_norm_1/offset": "norm_1.bias",
    "batch_norm_1/~/mean_ema/average": "norm_1.running_mean",
    "batch_norm_1/~/var_ema/average": "norm_1.running_var",
    "conv_0/w": "conv_0.weight",
    "conv_2/w": "conv_1.weight",
    "shortcut_conv/w": "shortcut.weight",
}
"""In a block."""
_HEAD = re.compile(r"^tap_net/~/(?:cost_volume_)?(regression_\d|occlusion_\d|occlusion_out)/([wb])$")
_ONLY_FOR_TRAINING = re.compile(r".*/(mean|var)_ema/(counter|hidden)$")


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Whether names are those of the official checkpoint."""
    return any(name.startswith("tap_net/") for name in state)


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of :class:`~sampt.trackers.tapnet.network.TapNetNetwork` from the official one.

    Args:
        state: MODULE/NAME of both dictionaries of the checkpoint, parameters and averages, to arrays as they stand there; or a
            state dict of ours, which stays as it is.

    Returns:
        What only training reads is left out. Unknown names are kept, so that loading finds them.
    """
    if not is_official(state):
        return dict(state)
    converted = {}
    for name, value in state.items():
        if _ONLY_FOR_TRAINING.fullmatch(name):
            continue
        ours = _rename(name)
        converted[ours] = _layout(value)
        if ours.endswith(".running_mean"):
            converted[ours.removesuffix("running_mean") + "num_batches_tracked"] = torch.tensor(0)  # which PyTorch wants
    return converted


def _rename(name: str) -> str:
    if name == "tap_net/~/tsm_resnet_video/tsm_resnet_stem/w":
        return "resnet.stem.weight"
    if (block := _BLOCK.match(name)) and block[3] in _NAMES:
        return f"resnet.units.{block[1]}.{block[2]}.{_NAMES[block[3]]}"
    if head := _HEAD.match(name):
        return f"{head[1]}.{'weight' if head[2] == 'w' else 'bias'}"
    return name


def _layout(value: Tensor) -> Tensor:
    """Vectors have axes of length 1 there; kernels have inputs and outputs last, those of the head an axis of frames first."""
    if value.ndim == 5 and len(value) == 1:
        value = value[0]
    if value.ndim == 4 and value.shape[:3] == (1, 1, 1):
        return value.flatten()
    if value.ndim == 4:
        return value.permute(3, 2, 0, 1).contiguous()
    return value.mT.contiguous() if value.ndim == 2 else value
