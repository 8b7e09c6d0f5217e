"""The second generation of the click segmenter, while it is in training: the first with a trunk that knows what an object is.

The encoder hands one map more to the decoder, from which the trunk starts. The decoder adds the trunk's logit to its own, so
that before training it answers with the sum of both, and the prompts' features enter the trunk through layers that start at
zero.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.backends.blocks import ConvNorm, Residual
from sampt.segmenters.nano.network import NanoDecoder, NanoEncoder, NanoNetwork, NetworkSizes
from sampt.segmenters.nano.runtime import STRIDES
from training.segmenter.trunk import WIDTH, ObjectTrunk

SURE = 4.6
"""The trunk's logit counts up to here: the log-odds of 0.99."""


class TrunkEncoder(NanoEncoder):
    """Also says what the trunk starts from, in place of the first two stages of the network that it was taken from."""

    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__(sizes)
        self.to_trunk = nn.Sequential(
            ConvNorm(sizes.fine + 4 * sizes.stem, WIDTH),
            nn.ReLU(),
            Residual(WIDTH),
            Residual(WIDTH),
            nn.Conv2d(WIDTH, WIDTH, 1),
        )

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """The first generation's four maps, and (n, 64, h/4, w/4)."""
        stem, fine, middle, coarse = super().forward(picture)
        return stem, fine, middle, coarse, self.to_trunk(torch.cat([fine, F.pixel_unshuffle(stem, 2)], 1))


class TrunkDecoder(NanoDecoder):
    """The first generation's decoder with a trunk beside it."""

    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__(sizes)
        self.trunk = ObjectTrunk((sizes.coarse, sizes.middle, sizes.fine))
        self.join = nn.Conv2d(WIDTH, sizes.fine, 1)
        nn.init.zeros_(self.join.weight)
        nn.init.zeros_(self.join.bias)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """As the first generation's, with the encoder's fifth map behind the other four."""
        *maps, object_map = inputs[:5]
        logits, score, _ = self.predict(tuple(maps), self.trunk.encode(object_map), *inputs[5:])
        return logits, score

    def predict(
        self, maps: tuple[Tensor, ...], known: tuple[Tensor, ...], inside: Tensor, *prompt: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, score, and the trunk's own logit (n, 1, s/4, s/4), from what the trunk knows whatever the prompt.

        Args:
            maps: the first generation's four.
            known: of :meth:`ObjectTrunk.encode`; several prompts about one window share it.
            inside, prompt: as :meth:`NanoDecoder.forward` takes them.
        """
        stem, *coarser = maps
        d16, u8, u4, sharp2, signs = self._join_prompts(*coarser, inside, *prompt)
        features, there = self.trunk.decode(known, (d16, u8, u4))
        u4 = u4 + self.join(features)
        said = F.interpolate(there.clamp(-SURE, SURE), scale_factor=4.0, mode="bilinear", align_corners=False)
        logits = self._finish(stem, u4, sharp2) + said
        return logits, self._score(logits, u4, inside, sharp2, *signs), there


class TrunkNetwork(NanoNetwork):
    """Both together, as they are trained."""

    encoder: TrunkEncoder
    decoder: TrunkDecoder

    def __init__(self) -> None:
        super().__init__()
        self.encoder = TrunkEncoder(self.sizes)
        self.decoder = TrunkDecoder(self.sizes)

    def encode_crop(self, picture: Tensor, inside: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """As the first generation's, with the fifth map."""
        shares = [F.avg_pool2d(inside, stride) for stride in (*STRIDES, 4)]
        return tuple(f * share for f, share in zip(self.encoder(picture), shares, strict=True)), shares[1]
