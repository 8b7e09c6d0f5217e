"""The networks of MobileSAM and Light HQ-SAM: the small TinyViT encoder of `kornia`, with SAM's or HQ-SAM's decoder."""

from __future__ import annotations

from typing import Any, NamedTuple

from kornia.models.tiny_vit import TinyViT
from torch import Tensor, nn
from transformers.models.sam.configuration_sam import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder

from sampt.checks import shape_repr
from sampt.segmenters.hq_sam.network import HqSamNetwork, hq_decoder
from sampt.segmenters.sam.network import SIDE, SamNetwork, decoder_settings, prompt_encoder

__all__ = ["TinyEncoder", "build_light_hq_sam", "build_mobile_sam"]

_WIDTHS = (64, 128, 160, 320)
_EARLY_STAGE = 1
"""Of the four: what it gives is what Light HQ-SAM takes for early features, 160 channels wide."""


class Seen(NamedTuple):
    """Like the output of a vision encoder of `transformers`: embedding (b, 256, s, s); early features, each (b, s, s, 160)."""

    last_hidden_state: Tensor
    intermediate_embeddings: list[Tensor]

    def __repr__(self) -> str:
        return shape_repr(self)


class TinyEncoder(nn.Module):
    """TinyViT-5M as in MobileSAM; parameters are called as in the official checkpoints.

    Args:
        side: of the square images, a multiple of 16.
    """

    def __init__(self, side: int = SIDE) -> None:
        super().__init__()
        vit: Any = TinyViT.from_config("5m", img_size=side, mobile_sam=True)
        self.patch_embed, self.layers, self.neck = vit.patch_embed, vit.layers, vit.neck
        self.norm_head, self.head = vit.norm_head, vit.head  # unused, but in the official files
        self.locations: int = vit.feat_size

    def forward(self, images: Tensor) -> Seen:
        """Look at (b, 3, side, side) normalised images."""
        x = self.patch_embed(images)
        early: list[Tensor] = []
        for k, stage in enumerate(self.layers):
            x = stage(x)
            if k == _EARLY_STAGE:
                early.append(x.unflatten(1, (self.locations, self.locations)))
        return Seen(self.neck(x.unflatten(1, (self.locations, self.locations)).permute(0, 3, 1, 2)), early)


def build_mobile_sam(side: int = SIDE) -> SamNetwork:
    """MobileSAM, without its weights."""
    decoder = SamMaskDecoder(SamMaskDecoderConfig(**decoder_settings()))
    return SamNetwork(TinyEncoder(side), prompt_encoder(side), decoder, side)


def build_light_hq_sam(side: int = SIDE) -> HqSamNetwork:
    """Light HQ-SAM, without its weights."""
    return HqSamNetwork(TinyEncoder(side), prompt_encoder(side), hq_decoder(_WIDTHS[_EARLY_STAGE + 1]), side)
