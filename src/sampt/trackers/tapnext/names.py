"""Names and layouts of official checkpoints -> those of the network.

TAPNext is published with the parameters of its JAX program, TAPNext++ with those of the PyTorch one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from sampt.trackers.tapnext.network import OFFICIAL, positions

__all__ = ["convert_state_dict"]

_FROM_JAX = (
    (r"^backbone/Transformer/encoderblock_", "blocks/"),
    (r"^backbone/Transformer/", ""),
    (r"^backbone/embedding/", "lin_proj/"),
    (r"^backbone/pos_embedding$", "image_pos_emb"),
    (r"^backbone/", ""),
    (r"_head/layers_", "_head/"),
    (r"/LayerNorm_0/", "/ln_1/"),
    (r"/LayerNorm_1/", "/ln_2/"),
    (r"/MlpBlock_0/Dense_0/", "/mlp/0/"),
    (r"/MlpBlock_0/Dense_1/", "/mlp/3/"),
    (r"/MultiHeadDotProductAttention_0/out/", "/self_attention/out_proj/"),
    (r"/MultiHeadDotProductAttention_0/", "/self_attention/"),
    (r"/kernel$", "/weight"),
    # RMS norms keep the name "scale" in both programs.
    (r"^((?:encoder_norm|\w+_head/\d|blocks/\d+/vit_block/ln_\d)/)scale$", r"\1weight"),
    ("/", "."),
)
_PACKED = re.compile(r"(.*\.self_attention)\.query\.(weight|bias)")


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of :class:`TapNextNetwork` from an official one, JAX or PyTorch; names unknown here stay as they are."""
    if not any(name.startswith("backbone/") for name in state):
        return {name.removeprefix("tapnext."): value for name, value in state.items()}
    return _from_jax(state)


def _from_jax(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    converted = {}
    for jax_name, value in state.items():
        name = jax_name
        for pattern, replacement in _FROM_JAX:
            name = re.sub(pattern, replacement, name)
        converted[name] = _layout(name, value)
    for name in list(converted):
        if found := _PACKED.fullmatch(name):
            _pack(converted, *found.groups())
    locations = converted.get("image_pos_emb")
    if locations is not None and locations.ndim == 3:
        side = math.isqrt(locations.shape[1]) * OFFICIAL.patch
        converted["query_pos_embed"] = positions((side, side), locations.shape[2])  # computed there, kept by PyTorch
    return converted


def _layout(name: str, value: Tensor) -> Tensor:
    """JAX multiplies from the other side, and has axes of their own for heads and for the one frame of a patch."""
    if ".self_attention." in name and name.endswith("bias"):
        return value.flatten()
    if name.endswith(".out_proj.weight") and value.ndim == 3:
        return value.flatten(0, 1).mT.contiguous()
    if ".self_attention." in name and value.ndim == 3:
        return value.flatten(1).mT.contiguous()
    if name == "lin_proj.weight" and value.ndim == 5:
        return value[0].permute(3, 2, 0, 1).contiguous()
    return value.mT.contiguous() if name.endswith(".weight") and value.ndim == 2 else value


def _pack(converted: dict[str, Tensor], prefix: str, what: str) -> None:
    """Query, key and value in one; where one of them is missing, nothing is changed and the strict load tells."""
    names = [f"{prefix}.{part}.{what}" for part in ("query", "key", "value")]
    if all(name in converted for name in names):
        converted[f"{prefix}.in_proj_{what}"] = torch.cat([converted.pop(name) for name in names])
