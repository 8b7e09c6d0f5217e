"""The decoder's transformer between tokens and locations, with what depends on the frame alone computed once a frame.

The arithmetic is that of the official programs, put in another order; the order below is what saves time.

- What a previous mask adds to the frame is a linear map of 16 channels. The first layer's projections of 256 channels are
  therefore made once a frame, and a prompt adds its own part of them from 16.
- The positional encoding is added behind a projection instead of before: it is a constant there.
- The last attention is only computed for the tokens that become masks and scores. For so few, queries and values are moved
  through the projections of the tokens' side instead of those of all locations.
- Locations stay in rows, channels last, up to the masks: upsampling by transposed convolutions without overlap is a product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.backends.torch_networks import linear
from sampt.checks import shape_repr

__all__ = ["FrameParts", "TwoWay", "from_blocks", "in_blocks"]


@dataclass(frozen=True, eq=False)
class FrameParts:
    """What a frame gives to every prompt about it; p locations in rows, from the top left.

    Attributes:
        locations: the embedding (1, p, 256), and the first layer's keys, values and queries of it, each (1, p, 128).
        middle: (1, p, 4, 64) features that are added after the first upsampling, or None.
        fine: features that are added later, as the network likes them, or None.
    """

    locations: tuple[Tensor, ...]
    middle: Tensor | None = None
    fine: Tensor | None = None

    __repr__ = shape_repr


def in_blocks(features: Tensor, side: int) -> Tensor:
    """(b, c, h, w) features as (b, h / side * w / side, side * side, c): by blocks, then by pixels in them, as upsampling does.

    Blocks of 4 x 4 are blocks of 2 x 2 blocks of 2 x 2.
    """
    b, c, h, w = features.shape
    steps = side.bit_length() - 1
    rows, columns = h // side, w // side
    split = features.reshape(b, c, rows, *[2] * steps, columns, *[2] * steps)
    # Axes: b, c, row, its halves, column, its halves -> b, row, column, (half of row, half of column) ..., c.
    halves = [axis for k in range(steps) for axis in (3 + k, 4 + steps + k)]
    return split.permute(0, 2, 3 + steps, *halves, 1).reshape(b, rows * columns, side * side, c)


def from_blocks(rows: Tensor, locations: int) -> Tensor:
    """The inverse for blocks of 4 x 4: (n, locations * locations * 16, c) -> (n, c, 4 locations, 4 locations), channels last in
    memory."""
    split = rows.reshape(rows.shape[0], locations, locations, 2, 2, 2, 2, -1)
    pixels = split.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(rows.shape[0], 4 * locations, 4 * locations, -1)
    return pixels.permute(0, 3, 1, 2)


class TwoWay:
    """The transformer of one decoder, made for its weights as they are now.

    Args:
        transformer: of a ``SamMaskDecoder`` or one of its kin in `transformers`.
        positions: (p, 256) encoding of every location.
        mask_weight: (256, 16) and
        mask_bias: (256,): the last step of what embeds a previous mask.
        no_mask: (256,): what stands for none.
    """

    def __init__(self, transformer: Any, positions: Tensor, mask_weight: Tensor, mask_bias: Tensor, no_mask: Tensor) -> None:
        self._layers = list(transformer.layers)
        self._final, self._final_norm = transformer.final_attn_token_to_image, transformer.layer_norm_final_attn
        self._positions = positions
        self._projections = [_projections(layer, positions) for layer in self._layers]
        last_step = torch.cat([mask_weight.T, mask_bias[None], no_mask[None]])  # 16 channels, with a mask, without one
        self._of_mask = [last_step.T.contiguous(), *(one.weight @ last_step.T for one in self._projections[0])]

    def project(self, embedding: Tensor) -> tuple[Tensor, ...]:
        """``FrameParts.locations`` of a (1, 256, s, s) embedding."""
        rows = embedding.flatten(2).transpose(1, 2)
        return rows, *(one(rows) for one in self._projections[0])

    def __call__(
        self,
        locations: Sequence[Tensor],
        tokens: Tensor,
        masks: Tensor | None,
        has_mask: Tensor,
        count: int,
        seen: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Let n prompts and the frame look at each other.

        Args:
            locations: as :meth:`project` gives it.
            tokens: (n, t, 256), output tokens first.
            masks: (n, p, 16) what is made of the previous masks, or None when no prompt has one.
            has_mask: (n,) bool, where ``masks`` counts.
            count: of the output tokens that are wanted.
            seen: (n, t) bool, tokens that the others and the frame look at; None for all.

        Returns:
            Output tokens (n, count, 256) and locations (n, p, 256).
        """
        allowed = None if seen is None else seen[:, None, None]
        keys, *projected = self._seen_first(locations, masks, has_mask)
        queries = tokens
        for k, layer in enumerate(self._layers):
            if k:
                projected = [one(keys) for one in self._projections[k]]
            queries, keys = _layer(layer, queries, keys, projected, tokens, allowed, is_first=k == 0)
        return self._last(queries[:, :count], tokens[:, :count], keys), keys

    def _seen_first(self, locations: Sequence[Tensor], masks: Tensor | None, has_mask: Tensor) -> list[Tensor]:
        """Embeddings with previous masks (n, p, 256), and the first layer's projections of them, each (n, p, 128)."""
        if masks is None:
            return [
                (part + fraction[:, -1]).expand(has_mask.shape[0], -1, -1)
                for part, fraction in zip(locations, self._of_mask, strict=True)
            ]
        is_masked = has_mask.to(masks.dtype).view(-1, 1, 1).expand(-1, masks.shape[1], 1)
        fractions = torch.cat([masks * is_masked, is_masked, 1 - is_masked], -1)
        return [linear(fractions, fraction).add_(part) for part, fraction in zip(locations, self._of_mask, strict=True)]

    def _last(self, queries: Tensor, tokens: Tensor, keys: Tensor) -> Tensor:
        """The attention of a few tokens to all locations; what each key adds to all of a query's logits alike is left out."""
        final, n = self._final, queries.shape[0]
        heads = final.num_attention_heads
        queried = _split(final.q_proj(queries + tokens), heads)  # (n, heads, count, c)
        of_keys = final.k_proj.weight.view(heads, -1, keys.shape[-1])
        moved = (queried @ of_keys).flatten(1, 2) * final.scaling  # (n, heads * count, 256)
        logits = moved @ keys.transpose(1, 2) + moved @ self._positions.T
        seen = (logits.softmax(-1) @ keys).view(n, heads, -1, keys.shape[-1])
        of_values = final.v_proj.weight.view(heads, -1, keys.shape[-1])
        values = (seen @ of_values.transpose(1, 2)).transpose(1, 2).flatten(2) + final.v_proj.bias
        attended: Tensor = self._final_norm(queries + _out(final)(values))
        return attended


@dataclass(frozen=True, eq=False)
class _Projection:
    """A projection of the locations: by ``weight`` (128, 256), and (p, 128) added, or (128,) where all have the same."""

    weight: Tensor
    added: Tensor

    __repr__ = shape_repr

    def __call__(self, rows: Tensor) -> Tensor:
        """(n, p, 128) of (n, p, 256) rows."""
        if self.added.ndim == 1:
            return linear(rows, self.weight, self.added)
        return linear(rows, self.weight).add_(self.added)


def _projections(layer: Any, positions: Tensor) -> list[_Projection]:
    """Keys and values of what tokens look at, and queries of what looks at tokens."""
    to_image, to_token = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
    keys, queries = (_Projection(p.weight, positions @ p.weight.T + p.bias) for p in (to_image.k_proj, to_token.q_proj))
    return [keys, _Projection(to_image.v_proj.weight, to_image.v_proj.bias), queries]  # values do not know where they are


def _layer(
    layer: Any,
    queries: Tensor,
    keys: Tensor,
    projected: Sequence[Tensor],
    tokens: Tensor,
    allowed: Tensor | None,
    *,
    is_first: bool,
) -> tuple[Tensor, Tensor]:
    """One layer: tokens look at each other and at the locations, think, and are looked at by the locations."""
    own = layer.self_attn
    placed = queries if is_first else queries + tokens
    seen = _out(own)(_attend(own.q_proj(placed), own.k_proj(placed), own.v_proj(queries), own, allowed))
    queries = layer.layer_norm1(seen if is_first else queries + seen)
    k, v, q = projected
    to_image, to_token = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
    seen = _out(to_image)(_attend(to_image.q_proj(queries + tokens), k, v, to_image))
    queries = layer.layer_norm2(queries + seen)
    queries = layer.layer_norm3(queries + layer.mlp(queries))
    seen = _attend(q, to_token.k_proj(queries + tokens), to_token.v_proj(queries), to_token, allowed)
    return queries, layer.layer_norm4(_out(to_token)(seen).add_(keys))


def _attend(q: Tensor, k: Tensor, v: Tensor, attention: Any, allowed: Tensor | None = None) -> Tensor:
    """(n, t, c) outputs of (n, s, c) keys and values to (n, t, c) queries; of those keys that are ``allowed`` (n, 1, 1, s)."""
    heads = attention.num_attention_heads
    q, k, v = (_split(part, heads) for part in (q, k, v))
    seen = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, scale=attention.scaling)
    return seen.transpose(1, 2).flatten(2)


def _split(rows: Tensor, heads: int) -> Tensor:
    """(n, t, c) -> (n, heads, t, c / heads)."""
    return rows.view(*rows.shape[:-1], heads, -1).transpose(1, 2)


def _out(attention: Any) -> Any:
    """The last projection, which has another name in SAM 2."""
    return attention.o_proj if hasattr(attention, "o_proj") else attention.out_proj
