"""The network of Segment Anything out of the parts that `transformers` has, with a way of its own through them.

The parts (vision encoder, prompt encoder, mask decoder) and their parameters' names are those of `transformers`. Going through
the decoder is done here: objects lie on the batch axis, which its own way does not allow with masks; a prompt is a list of
tokens of any kinds; only the masks that are requested are made; and what depends on the frame alone is made once a frame
(:mod:`sampt.segmenters.sam.two_way`).

Every tensor is (n, channels, height, width), unless it says rows: (n, locations, channels).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.sam.configuration_sam import (
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
)
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPromptEncoder, SamVisionEncoder

from sampt.backends.torch_networks import in_float32, linear, quicken
from sampt.checks import shape_repr
from sampt.segmenters.sam.prompts import FILLER, NOTHING, PromptBatch
from sampt.segmenters.sam.resizing import Fit
from sampt.segmenters.sam.two_way import FrameParts, TwoWay, from_blocks

__all__ = [
    "DECODER_NAMES",
    "PATCH",
    "SIDE",
    "VIT_B",
    "VIT_H",
    "VIT_L",
    "FrameFeatures",
    "SamNetwork",
    "VitSizes",
    "build_vit",
    "build_vit_b",
    "build_vit_h",
    "build_vit_l",
    "convert_state_dict",
    "decoder_settings",
    "prompt_encoder",
    "renamed",
    "vision_settings",
]

SIDE = 1024
PATCH = 16
_DECODER_EPSILON = 1e-5
"""Of the norms in the two-way transformer, which the official program leaves at PyTorch's default; `transformers` says 1e-6."""


@dataclass(frozen=True)
class VitSizes:
    """Sizes of a vision transformer.

    Attributes:
        width: channels.
        depth: layers.
        heads: of every attention.
        global_layers: those that look at the whole image; the others at windows of 14 x 14 locations.
        side: of the square image, in pixels.
    """

    width: int
    depth: int
    heads: int
    global_layers: tuple[int, ...]
    side: int = SIDE


VIT_B = VitSizes(768, 12, 12, (2, 5, 8, 11))
VIT_L = VitSizes(1024, 24, 16, (5, 11, 17, 23))
VIT_H = VitSizes(1280, 32, 16, (7, 15, 23, 31))


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """What the decoder needs of b frames.

    Attributes:
        embedding: (b, 256, s, s), s locations of 16 pixels, in SAM 3 of 14.
        fine: (b, 32, 4 s, 4 s) features that HQ-SAM and SAM 2 add, or None.
        middle: (b, 64, 2 s, 2 s) features that SAM 2 adds, or None.
    """

    embedding: Tensor
    fine: Tensor | None = None
    middle: Tensor | None = None

    __repr__ = shape_repr

    def maps(self) -> dict[str, Tensor]:
        """Those that are there, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def at(self, k: int) -> FrameFeatures:
        """Those of one frame, with b = 1, in memory of their own: a kept frame does not keep its neighbours."""
        if len(self.embedding) == 1:
            return self
        fine, middle = (None if part is None else part[k : k + 1].clone() for part in (self.fine, self.middle))
        return FrameFeatures(self.embedding[k : k + 1].clone(), fine, middle)


class SamNetwork(nn.Module):
    """Segment Anything; in evaluation mode and without gradients.

    Args:
        vision: takes normalised images; gives an object with ``last_hidden_state`` and, for HQ-SAM, early features
            ``intermediate_embeddings``.
        prompts: a ``SamPromptEncoder``.
        decoder: a ``SamMaskDecoder``.
        side: of the images, in pixels.

    Attributes:
        ends_boxes: prompts with a box have a token that stands for nothing, too.
        single_tokens: of the output tokens, that many are what a single mask is made from.
        logit_limit: low-resolution logits are given back cut to within plus and minus this; None as they are.
        patch: pixels along a side of one location of the embedding; low-resolution logits are four times as fine.
    """

    patch = PATCH
    ends_boxes = False
    single_tokens = 2
    logit_limit: float | None = None

    def __init__(self, vision: nn.Module, prompts: nn.Module, decoder: nn.Module, side: int = SIDE) -> None:
        super().__init__()
        self.vision_encoder = vision
        self.prompt_encoder: Any = prompts
        self.mask_decoder: Any = decoder
        self.side = side
        self._derived: TwoWay | None = None
        self._seen: tuple[FrameFeatures, FrameParts] | None = None  # the frame that was decoded last
        quicken(self)
        self.eval().requires_grad_(False)

    @property
    def mask_side(self) -> int:
        """Of low-resolution logits."""
        return self.side // self.patch * 4

    def fit(self, size_hw: tuple[int, int]) -> Fit:
        """How frames of this size lie in the images."""
        return Fit.of(size_hw, self.side)

    def encode(self, images: Tensor) -> FrameFeatures:
        """Look at (b, 3, side, side) normalised images."""
        return FrameFeatures(self.vision_encoder(images).last_hidden_state)

    def predict(self, image: FrameFeatures, prompts: PromptBatch, *, multimask: bool = False) -> tuple[Tensor, Tensor]:
        """Predict for n prompts about one frame.

        Args:
            image: with b = 1.
            prompts: about it.
            multimask: give the three masks for ambiguous prompts instead of the single one.

        Returns:
            Low-resolution logits (n, k, mask_side, mask_side) and predicted IoU (n, k), k = 1 or 3; HQ-SAM always gives one.
        """
        if self._seen is None or self._seen[0] is not image:
            self._seen = (image, self.parts(image))
        return self.predict_masks(self._seen[1], prompts, multimask=multimask)

    def parts(self, image: FrameFeatures) -> FrameParts:
        """What every prediction about a frame needs of it, from features with b = 1."""
        return FrameParts(self._two_way.project(image.embedding))

    def predict_masks(self, parts: FrameParts, prompts: PromptBatch, *, multimask: bool = False) -> tuple[Tensor, Tensor]:
        """As :meth:`predict`, from what :meth:`parts` gave."""
        output = self._output_tokens()
        tokens = torch.cat([output.expand(prompts.xy.shape[0], -1, -1), self._sparse(prompts)], 1)
        masks = None if prompts.masks is None else self._mask_rows(prompts.masks)
        seen = None
        if prompts.is_filled:
            seen = torch.cat([torch.ones_like(tokens[:, : len(output), 0], dtype=torch.bool), prompts.kinds != FILLER], 1)
        wanted = len(output) if multimask else self.single_tokens
        queries, keys = self._two_way(parts.locations, tokens, masks, prompts.has_mask, wanted, seen)
        iou = self.mask_decoder.iou_prediction_head(queries[:, 0])
        return self._masks(queries[:, 1:], self._upscale(keys, parts), iou, parts, multimask)

    def _output_tokens(self) -> Tensor:
        """(k, 256): predicted IoU, single mask, three masks."""
        return torch.cat([self.mask_decoder.iou_token.weight, self.mask_decoder.mask_tokens.weight])

    def _upscale(self, keys: Tensor, parts: FrameParts) -> Tensor:
        """Rows (n, 16 p, 32), a location's 4 x 4 pixels by blocks, from the decoded locations (n, p, 256)."""
        decoder = self.mask_decoder
        twice = self._twice_as_fine(decoder.upscale_conv1, keys)
        if parts.middle is not None:
            twice = twice + parts.middle
        norm = decoder.upscale_layer_norm
        twice = decoder.activation(F.layer_norm(twice, norm.normalized_shape, norm.weight, norm.bias, norm.eps)).flatten(1, 2)
        upscaled = self._twice_as_fine(decoder.upscale_conv2, twice).flatten(1, 2)
        if parts.middle is not None and parts.fine is not None:
            upscaled = upscaled + parts.fine
        activated: Tensor = decoder.activation(upscaled)
        return activated

    @staticmethod
    def _twice_as_fine(convolution: nn.ConvTranspose2d, rows: Tensor) -> Tensor:
        """(n, r, 4, c'), the 2 x 2 pixels of (n, r, c) rows, by a convolution whose kernels do not overlap."""
        assert convolution.bias is not None
        weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
        return linear(rows, weight, convolution.bias.repeat(4)).view(*rows.shape[:2], 4, -1)

    def _masks(
        self, tokens: Tensor, features: Tensor, iou: Tensor, parts: FrameParts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Masks and IoU from the decoded mask tokens (n, k, 256) and rows of features (n, 16 p, 32)."""
        chosen = range(1, tokens.shape[1]) if multimask else range(1)
        kernels = torch.stack([self.mask_decoder.output_hypernetworks_mlps[k](tokens[:, k]) for k in chosen], 1)
        masks = from_blocks(features @ kernels.transpose(1, 2), self.side // self.patch)
        return masks, iou[:, chosen.start : chosen.stop]

    def _mask_rows(self, masks: Tensor) -> Tensor:
        """Rows (n, p, 16) of the previous masks, up to the last step of their embedding."""
        embed = self.prompt_encoder.mask_embed
        features = embed.activation(embed.layer_norm1(embed.conv1(masks)))
        rows: Tensor = embed.activation(embed.layer_norm2(embed.conv2(features))).flatten(2).transpose(1, 2)
        return rows

    @property
    def _two_way(self) -> TwoWay:
        """The transformer with what follows from the weights, made when it is first needed."""
        if self._derived is None:
            encoder = self.prompt_encoder
            last = encoder.mask_embed.conv3
            with in_float32(last.weight.device):
                self._derived = TwoWay(
                    self.mask_decoder.transformer,
                    self._positions(),
                    last.weight.flatten(1),
                    last.bias,
                    encoder.no_mask_embed.weight[0],
                )
        return self._derived

    def _apply(self, *arguments: Any, **keywords: Any) -> Any:  # it moves to a device, or changes its type
        self._derived = self._seen = None
        return super()._apply(*arguments, **keywords)  # type: ignore[no-untyped-call]

    def load_state_dict(self, *arguments: Any, **keywords: Any) -> Any:
        """As usual; what follows from the weights is made again."""
        self._derived = self._seen = None
        return super().load_state_dict(*arguments, **keywords)

    def _sparse(self, prompts: PromptBatch) -> Tensor:
        """(n, t, 256): where each token is, and of what kind."""
        where = self._encode((prompts.xy + 0.5) / self.side)
        tokens: Tensor = where * (prompts.kinds > NOTHING)[..., None] + self._kinds()[(prompts.kinds - NOTHING).clamp(min=0)]
        return tokens

    def _kinds(self) -> Tensor:
        """(5, 256): nothing, negative point, positive point, first and last corner."""
        encoder = self.prompt_encoder
        return torch.cat([encoder.not_a_point_embed.weight, *(kind.weight for kind in encoder.point_embed)])

    def _positions(self) -> Tensor:
        """(p, 256): the encoding of every location of the embedding, the same for every frame."""
        locations = self.side // self.patch
        at = (
            torch.arange(locations, device=self.prompt_encoder.shared_embedding.positional_embedding.device) + 0.5
        ) / locations
        y, x = torch.meshgrid(at, at, indexing="ij")
        return self._encode(torch.stack([x, y], -1)).flatten(0, 1)

    def _encode(self, xy: Tensor) -> Tensor:
        """(..., 256) sines and cosines of (..., 2) parts of the image (Tancik et al. 2020), in float32 always.

        The product with the matrix of frequencies is written out: as a matrix product PyTorch's autocast and OpenVINO would
        compute it in bfloat16, in which a location is known to 2 pixels of 1024.
        """
        along_x, along_y = self.prompt_encoder.shared_embedding.positional_embedding
        x, y = (2 * xy - 1).unbind(-1)
        angles = 2 * math.pi * (x[..., None] * along_x + y[..., None] * along_y)
        return torch.cat([angles.sin(), angles.cos()], -1)


def vision_settings(sizes: VitSizes) -> dict[str, Any]:
    """What ``SamVisionConfig`` and ``SamHQVisionConfig`` are made with."""
    return {
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.depth,
        "num_attention_heads": sizes.heads,
        "global_attn_indexes": list(sizes.global_layers),
        "image_size": sizes.side,
        "attn_implementation": "sdpa",
    }


def decoder_settings() -> dict[str, Any]:
    """What ``SamMaskDecoderConfig`` and ``SamHQMaskDecoderConfig`` are made with."""
    return {"layer_norm_eps": _DECODER_EPSILON, "attn_implementation": "sdpa"}


def prompt_encoder(side: int = SIDE) -> nn.Module:
    """The prompt encoder, the same for the whole family."""
    config = SamConfig(vision_config=SamVisionConfig(), prompt_encoder_config=SamPromptEncoderConfig(image_size=side))
    module: nn.Module = SamPromptEncoder(config)
    return module


def build_vit(sizes: VitSizes) -> SamNetwork:
    """Segment Anything of these sizes; the vision encoder's parameters are still without memory (PyTorch's "meta" device)."""
    with torch.device("meta"):
        vision = SamVisionEncoder(SamVisionConfig(**vision_settings(sizes)))
    decoder = SamMaskDecoder(SamMaskDecoderConfig(**decoder_settings()))
    return SamNetwork(vision, prompt_encoder(sizes.side), decoder, sizes.side)


def build_vit_b() -> SamNetwork:
    """As :func:`build_vit` for `sam-vit-b`."""
    return build_vit(VIT_B)


def build_vit_l() -> SamNetwork:
    """As :func:`build_vit` for `sam-vit-l`."""
    return build_vit(VIT_L)


def build_vit_h() -> SamNetwork:
    """As :func:`build_vit` for `sam-vit-h`."""
    return build_vit(VIT_H)


_VIT_NAMES = (
    (r"^vision_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^vision_encoder\.blocks\.(\d+)\.norm(\d)\.", r"vision_encoder.layers.\1.layer_norm\2."),
    (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^vision_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^vision_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^vision_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^vision_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
)
_MLP = r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head|hq_mask_mlp))\.layers\."
DECODER_NAMES = (
    (
        r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$",
        "prompt_encoder.shared_embedding.positional_embedding",
    ),
    (r"^prompt_encoder\.point_embeddings\.", "prompt_encoder.point_embed."),
    (r"^prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"^prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"^prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"^prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"^prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
    (r"^mask_decoder\.transformer\.layers\.(\d+)\.norm(\d)\.", r"mask_decoder.transformer.layers.\1.layer_norm\2."),
    (r"^mask_decoder\.transformer\.norm_final_attn\.", "mask_decoder.transformer.layer_norm_final_attn."),
    (r"^mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"^mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"^mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
    (r"^mask_decoder\.hf_token\.", "mask_decoder.hq_token."),
    (r"^mask_decoder\.hf_mlp\.", "mask_decoder.hq_mask_mlp."),
    (_MLP + r"0\.", r"\1.proj_in."),
    (_MLP + r"2\.", r"\1.proj_out."),
    (_MLP + r"1\.", r"\1.layers.0."),
    *(
        (rf"^mask_decoder\.{official}\.{location}\.", f"mask_decoder.{ours}_{part}.")
        for official, ours in (
            ("compress_vit_feat", "compress_vit"),
            ("embedding_encoder", "encoder"),
            ("embedding_maskfeature", "mask"),
        )
        for location, part in ((0, "conv1"), (1, "norm"), (3, "conv2"))
    ),
)
"""Pattern and replacement from the official programs' names, in order."""


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint of any model of the family with this network's names.

    Args:
        state: with the names of the official programs, or those of `transformers`, whose positional embedding may stand under
            either of its two names.

    Returns:
        The same tensors. Unknown names are kept, so that loading finds them.
    """
    if not any(name.startswith("image_encoder.") for name in state):
        shared = "shared_image_embedding.positional_embedding"
        out = {name: value for name, value in state.items() if name != shared}
        if shared in state:
            out.setdefault("prompt_encoder.shared_embedding.positional_embedding", state[shared])
        return out
    rules = (*_VIT_NAMES, *DECODER_NAMES) if "image_encoder.pos_embed" in state else DECODER_NAMES
    return renamed(state, ((r"^image_encoder\.", "vision_encoder."), *rules))


def renamed(state: Mapping[str, Tensor], rules: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """The same tensors, each name after all ``rules``: pattern and replacement, in order."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    out = {}
    for name, value in state.items():
        for pattern, replacement in compiled:
            name = pattern.sub(replacement, name)
        out[name] = value
    return out
