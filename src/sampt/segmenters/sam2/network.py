"""The network of SAM 2.1 for single frames: the Hiera encoder, and a decoder that also sees finer features of the frame.

Parts and parameters' names are those of `transformers`; the way through them is that of :mod:`sampt.segmenters.sam.network`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.sam2.configuration_sam2 import (
    Sam2HieraDetConfig,
    Sam2MaskDecoderConfig,
    Sam2PromptEncoderConfig,
    Sam2VisionConfig,
)
from transformers.models.sam2.modeling_sam2 import Sam2MaskDecoder, Sam2PromptEncoder, Sam2VisionModel

from sampt.segmenters.sam.network import SIDE, FrameFeatures, SamNetwork
from sampt.segmenters.sam.resizing import Fit
from sampt.segmenters.sam.two_way import FrameParts, in_blocks

__all__ = [
    "HieraSizes",
    "Sam2Network",
    "build",
    "build_base_plus",
    "build_large",
    "build_small",
    "build_tiny",
    "decoder_and_prompts",
    "vision_config",
    "without_positions",
]

_WIDTH = 256
_MASKS = 4
_STABLE_FRACTION = 0.98
_STABLE_LOGIT = 0.05


@dataclass(frozen=True)
class HieraSizes:
    """Sizes of the encoder, which has four stages; each but the first halves the locations and doubles width and heads.

    Attributes:
        width: channels of the first stage.
        heads: of its attention.
        depths: layers of each stage.
        global_layers: those that look at the whole image, counted over all stages; the others at windows.
        windows: sides of these, in locations, by stage.
        background: side of the learned positions that are stretched over the image.
        side: of the square image, in pixels.
    """

    width: int
    heads: int
    depths: tuple[int, int, int, int]
    global_layers: tuple[int, ...]
    windows: tuple[int, int, int, int] = (8, 4, 14, 7)
    background: int = 7
    side: int = SIDE


TINY = HieraSizes(96, 1, (1, 2, 7, 2), (5, 7, 9))
SMALL = HieraSizes(96, 1, (1, 2, 11, 2), (7, 10, 13))
BASE_PLUS = HieraSizes(112, 2, (2, 3, 16, 3), (12, 16, 20), background=14)
LARGE = HieraSizes(144, 2, (2, 6, 36, 4), (23, 33, 43), windows=(8, 4, 16, 8))


class Sam2Network(SamNetwork):
    """SAM 2.1 without its memory; a single mask that is not stable gives way to the best of the three."""

    ends_boxes = True
    single_tokens = 5  # three more masks, for where the single one is not stable
    logit_limit = 32.0

    def __init__(self, vision: nn.Module, prompts: nn.Module, decoder: nn.Module, side: int = SIDE) -> None:
        super().__init__(vision, prompts, decoder, side)
        self.no_memory_embedding = nn.Parameter(torch.zeros(1, 1, _WIDTH), requires_grad=False)

    def fit(self, size_hw: tuple[int, int]) -> Fit:
        """Frames of any shape are stretched to the square."""
        return Fit.stretched(size_hw, self.side)

    def encode(self, images: Tensor) -> FrameFeatures:
        """Look at (b, 3, side, side) normalised images."""
        fine, middle, embedding = self.vision_encoder(images).fpn_hidden_states
        decoder = self.mask_decoder
        embedding = embedding + self.no_memory_embedding.view(1, -1, 1, 1)
        return FrameFeatures(embedding, decoder.conv_s0(fine), decoder.conv_s1(middle))

    def parts(self, image: FrameFeatures) -> FrameParts:
        """What every prediction about a frame needs of it; finer features go by blocks, as locations are upsampled."""
        assert image.middle is not None
        assert image.fine is not None
        return FrameParts(super().parts(image).locations, in_blocks(image.middle, 2), in_blocks(image.fine, 4).flatten(1, 2))

    def _output_tokens(self) -> Tensor:
        # The official order has the last one first; attention does not depend on the order.
        return torch.cat([super()._output_tokens(), self.mask_decoder.obj_score_token.weight])

    def _kinds(self) -> Tensor:
        encoder = self.prompt_encoder
        return torch.cat([encoder.not_a_point_embed.weight, encoder.point_embed.weight])

    def _masks(
        self, tokens: Tensor, features: Tensor, iou: Tensor, parts: FrameParts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        several, several_iou = super()._masks(tokens[:, :_MASKS], features, iou, parts, multimask=True)
        if multimask:
            return several, several_iou
        single, single_iou = super()._masks(tokens[:, :_MASKS], features, iou, parts, multimask=False)
        best_iou, best = several_iou.max(1, keepdim=True)
        stable = _is_stable(single)
        is_best = torch.arange(several.shape[1], device=best.device) == best
        of_best = torch.where(is_best[..., None, None], several, 0.0).sum(1, keepdim=True)
        masks = torch.where(stable[..., None, None], single, of_best)
        return masks, torch.where(stable, single_iou, best_iou)


def _is_stable(logits: Tensor) -> Tensor:
    """(n, k): whether nearly as many of (n, k, m, m) logits are clearly above 0 as are above or near it."""
    above, near = ((logits > limit).sum((-2, -1)) for limit in (_STABLE_LOGIT, -_STABLE_LOGIT))
    return torch.where(near > 0, above / near, 1.0) >= _STABLE_FRACTION


class _NoPositions(nn.Module):
    """Instead of the encodings of locations that only the memory uses: 22 million sines and cosines a frame."""

    def forward(self, shape: torch.Size, device: torch.device, dtype: torch.dtype) -> Tensor:
        return torch.empty(0, device=device, dtype=dtype)


def without_positions(vision: Any) -> None:
    """Leave out the encodings of locations that only a memory of the video uses."""
    vision.neck.position_encoding = _NoPositions()


def vision_config(sizes: HieraSizes) -> Any:
    """What the vision encoder is made with."""
    widths, heads = ([first << stage for stage in range(4)] for first in (sizes.width, sizes.heads))
    hiera = Sam2HieraDetConfig(
        hidden_size=sizes.width,
        num_attention_heads=sizes.heads,
        image_size=[sizes.side, sizes.side],
        blocks_per_stage=list(sizes.depths),
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=heads,
        window_size_per_stage=list(sizes.windows),
        global_attention_blocks=list(sizes.global_layers),
        window_positional_embedding_background_size=[sizes.background, sizes.background],
    )
    locations = [[sizes.side // stride] * 2 for stride in (4, 8, 16)]
    return Sam2VisionConfig(
        backbone_config=hiera,
        backbone_channel_list=widths[::-1],
        backbone_feature_sizes=locations,
        attn_implementation="sdpa",
    )


def build(sizes: HieraSizes) -> Sam2Network:
    """SAM 2.1 of these sizes; the vision encoder's parameters are still without memory (PyTorch's "meta" device)."""
    with torch.device("meta"):
        vision = Sam2VisionModel(vision_config(sizes))
    without_positions(vision)
    prompts, decoder = decoder_and_prompts(sizes.side)
    return Sam2Network(vision, prompts, decoder, sizes.side)


def decoder_and_prompts(side: int) -> tuple[nn.Module, nn.Module]:
    """Encoder of prompts and decoder of masks for images of this side, which the whole family has alike."""
    prompts = Sam2PromptEncoder(Sam2PromptEncoderConfig(image_size=side))
    return prompts, Sam2MaskDecoder(Sam2MaskDecoderConfig(attn_implementation="sdpa"))


def build_tiny() -> Sam2Network:
    """As :func:`build` for `sam2.1-tiny`."""
    return build(TINY)


def build_small() -> Sam2Network:
    """As :func:`build` for `sam2.1-small`."""
    return build(SMALL)


def build_base_plus() -> Sam2Network:
    """As :func:`build` for `sam2.1-base-plus`."""
    return build(BASE_PLUS)


def build_large() -> Sam2Network:
    """As :func:`build` for `sam2.1-large`."""
    return build(LARGE)
