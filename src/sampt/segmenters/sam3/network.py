"""The networks of SAM 3 for single frames, out of the parts that `transformers` has.

For points, boxes and masks: its tracker's decoder, that of SAM 2, behind a plain vision transformer with three levels on top.
Parameters' names are those of ``Sam3TrackerModel``. For words: ``Sam3Model`` as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.models.sam3.configuration_sam3 import Sam3Config, Sam3VisionConfig, Sam3ViTConfig
from transformers.models.sam3.modeling_sam3 import Sam3Model, Sam3VisionModel, Sam3ViTLayer, Sam3ViTRotaryEmbedding
from transformers.models.sam3_tracker.configuration_sam3_tracker import (
    Sam3TrackerMaskDecoderConfig,
    Sam3TrackerPromptEncoderConfig,
)
from transformers.models.sam3_tracker.modeling_sam3_tracker import Sam3TrackerMaskDecoder, Sam3TrackerPromptEncoder

from sampt.segmenters.sam.resizing import Fit
from sampt.segmenters.sam2.network import Sam2Network, without_positions

__all__ = ["SIZES", "Sam3Network", "VitSizes", "build", "build_concepts", "build_sam3", "vision_config"]

_PATCH = 14
_LEVELS = (4.0, 2.0, 1.0)
"""Locations along a side by those of the transformer; the fourth level, half as fine, is for nobody's masks."""


@dataclass(frozen=True)
class VitSizes:
    """Sizes of the vision transformer.

    Attributes:
        width: channels.
        hidden: channels inside of a layer's perceptron.
        depth: layers.
        heads: of every attention.
        global_layers: those that look at the whole image; the others at windows.
        window: side of these, in locations.
        positions: side of the learned positions, in locations, which are repeated over the image.
        side: of the square image, in pixels.
    """

    width: int
    hidden: int
    depth: int
    heads: int
    global_layers: tuple[int, ...]
    window: int = 24
    positions: int = 24
    side: int = 1008


SIZES = VitSizes(1024, 4736, 32, 16, (7, 15, 23, 31))


class Sam3Network(Sam2Network):
    """SAM 3's tracker without its memory."""

    patch = _PATCH

    def fit(self, size_hw: tuple[int, int]) -> Fit:
        """Frames of any shape are stretched to the square, with values from -1 to 1."""
        return Fit.stretched(size_hw, self.side, is_centered=True)


def vision_config(sizes: VitSizes, levels: tuple[float, ...] = _LEVELS) -> Any:
    """What the vision encoder is made with."""
    vit = Sam3ViTConfig(
        hidden_size=sizes.width,
        intermediate_size=sizes.hidden,
        num_hidden_layers=sizes.depth,
        num_attention_heads=sizes.heads,
        image_size=sizes.side,
        patch_size=_PATCH,
        window_size=sizes.window,
        global_attn_indexes=list(sizes.global_layers),
        pretrain_image_size=sizes.positions * _PATCH,
        attn_implementation="sdpa",
    )
    locations = [[int(sizes.side // _PATCH * level)] * 2 for level in _LEVELS]
    return Sam3VisionConfig(
        backbone_config=vit, scale_factors=list(levels), backbone_feature_sizes=locations, attn_implementation="sdpa"
    )


def build(sizes: VitSizes = SIZES) -> Sam3Network:
    """The network for points, boxes and masks; the vision encoder's parameters are still without memory ("meta" device)."""
    with torch.device("meta"):
        vision = Sam3VisionModel(vision_config(sizes))
    _compute_buffers(vision)
    without_positions(vision)
    prompts = Sam3TrackerPromptEncoder(Sam3TrackerPromptEncoderConfig(image_size=sizes.side, patch_size=_PATCH))
    decoder = Sam3TrackerMaskDecoder(Sam3TrackerMaskDecoderConfig(attn_implementation="sdpa"))
    return Sam3Network(vision, prompts, decoder, sizes.side)


def build_sam3() -> Sam3Network:
    """As :func:`build` for `sam3`."""
    return build()


def build_concepts(config: Sam3Config | None = None) -> Any:
    """``Sam3Model``, for words; all parameters are still without memory.

    Args:
        config: None for that of the published model.
    """
    with torch.device("meta"):
        model = Sam3Model(config or Sam3Config(vision_config=vision_config(SIZES, (*_LEVELS, 0.5))))
    _compute_buffers(model)
    return model.eval().requires_grad_(False)


def _compute_buffers(network: nn.Module) -> None:
    """What follows from the sizes alone and is in no checkpoint gets its values, which "meta" has not."""
    with torch.device("cpu"):
        for module in list(network.modules()):
            if isinstance(module, Sam3ViTLayer):
                module.rotary_emb = Sam3ViTRotaryEmbedding(module.config)
                module.position_ids = nn.Buffer(
                    module.precompute_positions(module.config, module.window_size), persistent=False
                )
    left = [name for name, buffer in network.named_buffers() if buffer.is_meta]
    for name in left:
        owner, _, last = name.rpartition(".")
        module = network.get_submodule(owner)
        size = getattr(module, last).shape
        if last != "position_ids":
            raise ImportError(f"transformers has a buffer {name!r} that is not known here")
        module.register_buffer(last, torch.arange(size[-1], device="cpu").expand(size), persistent=False)
