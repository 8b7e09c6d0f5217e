"""The network of HQ-SAM: Segment Anything with one more output token and finer features of the frame.

Parts and parameters' names are those of `transformers`; the way through them is the official program's. `SamHQMaskDecoder` of
`transformers` 5.23 makes its masks from the frame's embedding as it was before the decoder's transformer, with rows and columns
exchanged; the official program makes them from what the transformer returns, and so does this.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.sam_hq.configuration_sam_hq import SamHQMaskDecoderConfig, SamHQVisionConfig
from transformers.models.sam_hq.modeling_sam_hq import SamHQMaskDecoder, SamHQVisionEncoder

from sampt.segmenters.sam.network import (
    PATCH,
    VIT_B,
    VIT_H,
    VIT_L,
    FrameFeatures,
    SamNetwork,
    VitSizes,
    decoder_settings,
    prompt_encoder,
    vision_settings,
)
from sampt.segmenters.sam.two_way import FrameParts, from_blocks

__all__ = ["HqSamNetwork", "build_vit", "build_vit_b", "build_vit_h", "build_vit_l", "hq_decoder"]


class HqSamNetwork(SamNetwork):
    """HQ-SAM: the HQ token's mask is added to that of the single mask, or to the best of three."""

    single_tokens = 3

    def encode(self, images: Tensor) -> FrameFeatures:
        """Look at (b, 3, side, side) normalised images; finer features come from the first early ones and the embedding."""
        decoder = self.mask_decoder
        seen = self.vision_encoder(images)
        embedding, early = seen.last_hidden_state, seen.intermediate_embeddings[0].permute(0, 3, 1, 2)
        late = decoder.encoder_conv2(decoder.activation(decoder.encoder_norm(decoder.encoder_conv1(embedding))))
        early = decoder.activation(decoder.compress_vit_norm(decoder.compress_vit_conv1(early)))
        return FrameFeatures(embedding, late + decoder.compress_vit_conv2(early))

    def _output_tokens(self) -> Tensor:
        # The official order has the HQ token last; attention does not depend on the order.
        tokens = super()._output_tokens()
        return torch.cat([tokens[:2], self.mask_decoder.hq_token.weight, tokens[2:]])

    def parts(self, image: FrameFeatures) -> FrameParts:
        """What every prediction about a frame needs of it; the finer features are only looked at by masks."""
        assert image.fine is not None
        return FrameParts(super().parts(image).locations, fine=image.fine)

    def _masks(
        self, tokens: Tensor, features: Tensor, iou: Tensor, parts: FrameParts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        assert parts.fine is not None
        decoder = self.mask_decoder
        masks, iou = super()._masks(torch.cat([tokens[:, :1], tokens[:, 2:]], 1), features, iou, parts, multimask)
        if multimask:
            iou, best = iou.max(1, keepdim=True)
            masks = masks.take_along_dim(best[..., None, None], 1)
        kernel = decoder.hq_mask_mlp(tokens[:, 1])
        pixels = from_blocks(features, self.side // PATCH)
        finer = decoder.activation(decoder.mask_norm(decoder.mask_conv1(pixels)))
        hq = self._through_last(finer, kernel) + (kernel @ parts.fine[0].flatten(1)).view(-1, *masks.shape[2:])
        return masks + hq[:, None], iou

    def _through_last(self, finer: Tensor, kernel: Tensor) -> Tensor:
        """(n, m, m): the last convolution of (n, 64, m, m) features, and a product with each prompt's kernel (n, 32).

        Both are linear: the kernel goes through the convolution first, which then has one channel left to make instead of 32,
        by a product for each of its 3 x 3 steps.
        """
        last = self.mask_decoder.mask_conv2
        steps = (kernel @ last.weight.flatten(1)).view(kernel.shape[0], -1, 9)  # (n, 64, 9)
        seen = finer.permute(0, 2, 3, 1).flatten(1, 2) @ steps
        height, width = finer.shape[2:]
        seen = F.pad(seen.transpose(1, 2).reshape(-1, 9, height, width), (1, 1, 1, 1))
        moved = [seen[:, 3 * y + x, y : y + height, x : x + width] for y in range(3) for x in range(3)]
        total: Tensor = torch.stack(moved).sum(0) + (kernel @ last.bias).view(-1, 1, 1)
        return total


def hq_decoder(early_width: int) -> nn.Module:
    """HQ-SAM's decoder for a vision encoder whose early features have so many channels."""
    module: nn.Module = SamHQMaskDecoder(SamHQMaskDecoderConfig(vit_dim=early_width, **decoder_settings()))
    return module


def build_vit(sizes: VitSizes) -> HqSamNetwork:
    """HQ-SAM of these sizes; the vision encoder's parameters are still without memory (PyTorch's "meta" device)."""
    with torch.device("meta"):
        vision = SamHQVisionEncoder(SamHQVisionConfig(**vision_settings(sizes)))
    return HqSamNetwork(vision, prompt_encoder(sizes.side), hq_decoder(sizes.width), sizes.side)


def build_vit_b() -> HqSamNetwork:
    """As :func:`build_vit` for `hq-sam-vit-b`."""
    return build_vit(VIT_B)


def build_vit_l() -> HqSamNetwork:
    """As :func:`build_vit` for `hq-sam-vit-l`."""
    return build_vit(VIT_L)


def build_vit_h() -> HqSamNetwork:
    """As :func:`build_vit` for `hq-sam-vit-h`."""
    return build_vit(VIT_H)
