"""The network of ``nano`` in PyTorch: what training fits, what a GPU runs, and what the ONNX files were exported from.

Two halves, and beside them a network that knows what an object is (:mod:`.saliency`). The encoder knows nothing of prompts and
is convolutional throughout, so that a whole frame is encoded once and every object reads its own window of the features. The
decoder sees one window for each object: it turns points, box and previous mask into maps, compares the features of every
location with those under the points (a kernel classifier with learned embeddings: what looks like a positive click and unlike a
negative one), and a small U-shaped network makes logits of all that. What is salient in the window goes in beside the features;
its logit is added to the decoder's own, by as much as the decoder trusts it at every location.

Sizes: a window is (s, s) pixels with s a multiple of 16. Every tensor is (n, channels, height, width).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.backends.blocks import ConvNorm, FoldingNetwork, Residual, conv_from_zero, twice
from sampt.checks import shape_repr
from sampt.segmenters.nano.backbone import Pretrained
from sampt.segmenters.nano.runtime import SALIENT_CHANNELS, STRIDES, Features, Overlay
from sampt.segmenters.nano.saliency import SURE, WIDTH, SaliencyNetwork, resize_like

__all__ = ["NanoDecoder", "NanoEncoder", "NanoNetwork", "NetworkSizes"]


MAX_TRUST = 4.0
"""The logit of saliency counts at most so many times; as it is, to begin with."""

TRACKED_TRUST = 1.5
"""And so much more for tracked points, as far as the negative ones lie beside what is salient.

Tracked points lie beside the object more often than those that the decoder was trained with; saliency knows nothing of them.
"""

MEMORY_SCALE = 2.0
"""The log odds of the object memory times this are a logit like that of saliency."""


@dataclass(frozen=True)
class NetworkSizes:
    """Widths of the network.

    Attributes:
        stem: channels at stride 2.
        fine: channels at stride 4.
        middle: channels at stride 8.
        coarse: channels at stride 16.
        heads: comparisons of the kernel classifier.
        head_width: length of the embedding that each compares.
        prompt: channels that the prompt maps are mixed into.
    """

    stem: int = 16
    fine: int = 48
    middle: int = 96
    coarse: int = 128
    heads: int = 4
    head_width: int = 12
    prompt: int = 32


class NanoEncoder(nn.Module):
    """Image to features at strides 2, 4, 8 and 16; the last but two are joined top-down (Lin et al. 2017).

    Learnt from a few thousand training images, much of it by heart; :class:`~.backbone.Pretrained` adds to it.
    """

    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__()
        self.stem = ConvNorm(3, sizes.stem, stride=2)
        self.fine = nn.Sequential(
            ConvNorm(sizes.stem, sizes.fine, stride=2), nn.ReLU(), Residual(sizes.fine), Residual(sizes.fine)
        )
        self.middle = nn.Sequential(
            ConvNorm(sizes.fine, sizes.middle, stride=2), nn.ReLU(), Residual(sizes.middle), Residual(sizes.middle)
        )
        self.coarse = nn.Sequential(ConvNorm(sizes.middle, sizes.coarse, stride=2), nn.ReLU(), Residual(sizes.coarse))
        self.coarse_to_middle = nn.Conv2d(sizes.coarse, sizes.middle, 1)
        self.middle_to_fine = nn.Conv2d(sizes.middle, sizes.fine, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode an image.

        Args:
            image: (n, 3, h, w) RGB in [-1, 1], h and w multiples of 16; outside a frame 0.

        Returns:
            Features (n, stem, h/2, w/2), (n, fine, h/4, w/4), (n, middle, h/8, w/8), (n, coarse, h/16, w/16).
        """
        stem = F.relu(self.stem(image))
        fine = self.fine(stem)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        middle = middle + twice(self.coarse_to_middle(coarse))
        fine = fine + twice(self.middle_to_fine(middle))
        return stem, fine, middle, coarse


class _Points(NamedTuple):
    """Points of n windows.

    Attributes:
        xy: (n, p, 2) pixels of the window.
        positive, negative: (n, p) 1 for points of that sign, else 0.
        sharp: a map (n, 1, s/2, s/2) of the positive and one of the negative points.
        side: of maps at stride 4.
    """

    xy: Tensor
    positive: Tensor
    negative: Tensor
    sharp: list[Tensor]
    side: int

    def __repr__(self) -> str:
        return shape_repr(self)


class NanoDecoder(nn.Module):
    """Features of a window and a prompt to logits and predicted IoU."""

    MAPS = 8  # two widths of click maps for either sign, previous mask and whether there is one, box, inside the frame

    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__()
        self.sizes = sizes
        heads, width = sizes.heads, sizes.head_width
        self.embed = nn.Conv2d(sizes.fine, heads * width, 1)
        self.sharpness = nn.Parameter(torch.full((heads,), 2.0))  # log of the factor on the cosine
        # How fast a point's say falls with distance: from not at all to within a tenth of the window.
        self.reach = nn.Parameter(torch.linspace(-2.0, 4.0, heads))
        self.prior = nn.Parameter(torch.zeros(2, heads))  # what speaks for either side where no point looks alike
        self.mix = nn.Conv2d(self.MAPS + 2 * heads, sizes.prompt, 1)
        self.enter = ConvNorm(sizes.fine + sizes.prompt, sizes.fine)
        self.down_middle = ConvNorm(sizes.fine, sizes.middle, stride=2)
        self.at_middle = Residual(sizes.middle)
        self.down_coarse = ConvNorm(sizes.middle, sizes.coarse, stride=2)
        self.at_coarse = Residual(sizes.coarse)
        self.context = nn.Sequential(
            nn.Conv2d(sizes.coarse, sizes.coarse // 2, 1), nn.ReLU(), nn.Conv2d(sizes.coarse // 2, sizes.coarse, 1)
        )
        self.up_middle = nn.Conv2d(sizes.coarse, sizes.middle, 1)
        self.out_middle = Residual(sizes.middle)
        self.up_fine = nn.Conv2d(sizes.middle, sizes.fine, 1)
        self.out_fine = Residual(sizes.fine)
        self.up_stem = nn.Conv2d(sizes.fine, sizes.stem, 1)
        self.out_stem = ConvNorm(2 * sizes.stem + 2, sizes.stem)
        self.logits = nn.Conv2d(sizes.stem, 4, 3, padding=1)  # 2x2 pixels a location
        self.score = nn.Sequential(nn.Conv2d(2 * sizes.fine + 6 + 3, 64, 1), nn.ReLU(), nn.Conv2d(64, 1, 1))
        self.salient_embed = conv_from_zero(WIDTH + 1, heads * width)
        self.salient_fine = conv_from_zero(WIDTH + 1, sizes.fine, 3)
        self.salient_middle = conv_from_zero(WIDTH, sizes.middle)
        self.salient_coarse = conv_from_zero(WIDTH, sizes.coarse)
        self.trust = nn.Conv2d(sizes.fine, 1, 1)
        nn.init.zeros_(self.trust.weight)
        nn.init.zeros_(self.trust.bias)  # type: ignore[arg-type]
        self.memory_embed = conv_from_zero(1, heads * width)
        self.memory_fine = conv_from_zero(1, sizes.fine, 3)
        self.memory_trust = nn.Conv2d(sizes.fine, 1, 1)
        nn.init.zeros_(self.memory_trust.weight)
        nn.init.zeros_(self.memory_trust.bias)  # type: ignore[arg-type]
        self.memory_score = conv_from_zero(3, 64)

    def forward(
        self,
        stem: Tensor,
        fine: Tensor,
        middle: Tensor,
        coarse: Tensor,
        salient_logit: Tensor,
        salient_fine: Tensor,
        salient_middle: Tensor,
        salient_coarse: Tensor,
        inside: Tensor,
        points_xy: Tensor,
        labels: Tensor,
        box: Tensor,
        previous: Tensor,
        has_previous: Tensor,
        tracked: Tensor,
        memory: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Predict for n prompts, each in its own window of s x s pixels.

        Args:
            stem, fine, middle, coarse: the window's features; 0 outside the frame.
            salient_logit, salient_fine, salient_middle, salient_coarse: what :class:`~.saliency.SaliencyNetwork` finds, laid
                over the window, (n, 1, s/2, s/2), (n, 64, s/4, s/4), (n, 64, s/8, s/8), (n, 64, s/16, s/16); zeros: unknown.
            inside: (n, 1, s/4, s/4), 1 inside the frame, 0 outside.
            points_xy: (n, p, 2) (x, y) in pixels of the window, (0, 0) at its top-left *corner* (a pixel's centre is at .5).
            labels: (n, p) 1 positive, 0 negative, -1 no point.
            box: (n, 4) x0, y0, x1, y1 like the points; x1 <= x0: no box.
            previous: (n, 1, s/4, s/4) probability in [0, 1] of the previous mask.
            has_previous: (n,) 1 where ``previous`` counts.
            tracked: (n,) fraction of the points that a tracker put there, see :data:`TRACKED_TRUST`.
            memory: (n, 1, s/4, s/4) log odds of the object memory that the object is there; 0, of any size: nothing is known.

        Returns:
            Logits (n, 1, s, s), > 0 on the object; predicted IoU (n,), as a logit.
        """
        salient_logit = resize_like(salient_logit, stem)
        memory = torch.clamp(MEMORY_SCALE * resize_like(memory, fine), -SURE, SURE)
        salient = torch.cat([F.avg_pool2d(salient_logit, 2), resize_like(salient_fine, fine)], 1)
        points = _read_points(points_xy, labels, fine)
        maps = [*_map_points(points), *_map_previous(previous, has_previous), _box_map(box / 4.0, points.side), inside]
        entered = self._enter(fine, maps, points, salient, memory)
        features = self._run_unet(entered, middle, coarse, salient_middle, salient_coarse)
        logits = self._predict_logits(features, stem, points)
        logits = self._add_known_logits(logits, features, salient_logit, memory, points, tracked)
        return logits, self._score(logits, features, (salient[:, :1], memory), inside, points)

    def _enter(self, fine: Tensor, maps: list[Tensor], points: _Points, salient: Tensor, memory: Tensor) -> Tensor:
        """Features at stride 4 with the prompt in them: its ``maps``, and how like its points every location is."""
        with torch.autocast(fine.device.type, enabled=False):  # exponents want more than bfloat16
            embedding = self.embed(fine.float()) + self.salient_embed(salient.float()) + self.memory_embed(memory.float())
            evidence = self._compare(embedding, points)
        prompt = F.relu(self.mix(torch.cat([*maps, evidence.to(fine.dtype)], 1)))
        return F.relu(self.enter(torch.cat([fine, prompt], 1)) + self.salient_fine(salient) + self.memory_fine(memory))

    def _run_unet(self, d4: Tensor, middle: Tensor, coarse: Tensor, salient_middle: Tensor, salient_coarse: Tensor) -> Tensor:
        """From stride 4 down to 16, where the other features join, and up again."""
        d8 = self.down_middle(d4) + middle + self.salient_middle(resize_like(salient_middle, middle))
        d8 = self.at_middle(F.relu(d8))
        d16 = self.down_coarse(d8) + coarse + self.salient_coarse(resize_like(salient_coarse, coarse))
        d16 = self.at_coarse(F.relu(d16))
        d16 = d16 + self.context(d16.mean((2, 3), keepdim=True))
        u8 = self.out_middle(F.relu(d8 + twice(self.up_middle(d16))))
        u4: Tensor = self.out_fine(F.relu(d4 + twice(self.up_fine(u8))))
        return u4

    def _predict_logits(self, u4: Tensor, stem: Tensor, points: _Points) -> Tensor:
        """(n, 1, s, s) the decoder's own logits."""
        u2 = F.relu(self.out_stem(torch.cat([twice(self.up_stem(u4)), stem, *points.sharp], 1)))
        return F.pixel_shuffle(self.logits(u2), 2)

    def _add_known_logits(
        self, logits: Tensor, u4: Tensor, salient_logit: Tensor, memory: Tensor, points: _Points, tracked: Tensor
    ) -> Tensor:
        """With the logits of saliency and of the object memory, as far as the decoder trusts either at each location."""
        agreement = _agreement(salient_logit, points.xy / (4 * points.side), points.negative)
        more = (TRACKED_TRUST * tracked * agreement).view(-1, 1, 1, 1)
        is_about_it = _is_about(salient_logit, points.xy / (4 * points.side), points.positive)
        counts = torch.where(memory.abs().amax((1, 2, 3)) > 0, 1.0, is_about_it).view(-1, 1, 1, 1)
        logits = logits + (_trusted(self.trust(u4), logits) + more) * counts * resize_like(salient_logit, logits)
        return logits + (_trusted(self.memory_trust(u4), logits) + more) * resize_like(memory, logits)

    def _compare(self, embedding: Tensor, points: _Points) -> Tensor:
        """(n, 2 heads, side, side): how much every location is like the positive, and like the negative, points.

        The log of the mean over points of exp(sharpness cosine - reach distance^2), a kernel density in the learned space.
        """
        heads, width, side = self.sizes.heads, self.sizes.head_width, points.side
        n, p = points.xy.shape[:2]
        embedding = F.normalize(embedding.view(n, heads, width, side, side), dim=2, eps=1e-4)
        embedding = embedding.view(n, heads * width, side, side)
        xy = (points.xy / 4.0).float() / side
        grid = (2.0 * xy - 1.0).view(n, 1, p, 2)
        at_points = F.grid_sample(embedding, grid, mode="bilinear", padding_mode="border", align_corners=False)
        at_points = at_points.view(n, heads, width, p).transpose(2, 3)
        locations = embedding.view(n, heads, width, side * side)
        # The exponent is bilinear in what belongs to a location and what belongs to a point, so one matrix product gives it:
        # sharpness (cosine - 1) - reach (|a|^2 - 2 a.b + |b|^2).
        sharpness = self.sharpness.float().exp().view(1, heads, 1, 1)
        reach = self.reach.float().exp().view(1, heads, 1, 1)
        axis = (torch.arange(side, device=xy.device, dtype=torch.float32) + 0.5) / side - 0.5
        at = torch.stack([axis.view(1, side).expand(side, side), axis.view(side, 1).expand(side, side)]).view(1, 1, 2, -1)
        ones = torch.ones_like(locations[:, :, :1])
        far = -at.square().sum(2, keepdim=True).expand(n, heads, 1, side * side)
        of_location = torch.cat([locations, at.expand(n, heads, 2, side * side), far, ones], 2)
        b = (xy - 0.5).view(n, 1, p, 2)
        constant = -sharpness - reach * b.square().sum(3, keepdim=True)
        of_point = torch.cat([at_points * sharpness, 2.0 * reach * b, reach.expand(n, heads, p, 1), constant], 3)
        kernel = torch.exp(torch.matmul(of_point, of_location))  # (n, heads, p, side^2)
        weights = torch.stack([points.positive, points.negative], 1).float().view(n, 1, 2, p)
        total = torch.matmul(weights, kernel)  # (n, heads, 2, side^2)
        virtual = torch.exp(self.prior.float().t() - 4.0).view(1, heads, 2, 1)
        count = weights.sum(3, keepdim=True)
        mean = torch.log((total + virtual) / (count + 1.0)) * 0.5
        return mean.view(n, 2 * heads, side, side)

    def _score(self, logits: Tensor, features: Tensor, known: tuple[Tensor, Tensor], inside: Tensor, points: _Points) -> Tensor:
        """(n,) logit of the predicted IoU: pooled features, and how well the mask agrees with clicks, saliency and memory."""
        probability = torch.sigmoid(logits.detach().float())
        at_fine = F.avg_pool2d(probability, 4) * inside
        at_stem = F.avg_pool2d(probability, 2)
        features = features.detach().float()
        area = at_fine.sum((2, 3), keepdim=True)
        on_mask = (features * at_fine).sum((2, 3), keepdim=True) / (area + 1.0)
        everywhere = features.mean((2, 3), keepdim=True)
        certain = (2.0 * probability - 1.0).abs().mean((2, 3), keepdim=True)
        doubt = (at_fine * (1.0 - at_fine)).sum((2, 3), keepdim=True) / (area + 1.0)
        hits = [(at_stem * c).sum((2, 3), keepdim=True) / (c.sum((2, 3), keepdim=True) + 1e-3) for c in points.sharp]
        counts = [torch.log1p(w.sum(1)).view(-1, 1, 1, 1).to(features.dtype) for w in (points.positive, points.negative)]
        agree, memory_agrees = (_agree(logit.float() / SURE, at_fine, inside) for logit in known)  # 0 where they are not known
        hidden = self.score[0](torch.cat([on_mask, everywhere, certain, doubt, *hits, *counts, agree], 1))
        score: Tensor = self.score[2](F.relu(hidden + self.memory_score(memory_agrees)))
        return score.view(-1)


def _read_points(xy: Tensor, labels: Tensor, fine: Tensor) -> _Points:
    """Points with their maps, of the type that the features at stride 4 have."""
    side = fine.shape[-1]
    positive = (labels == 1).to(fine.dtype)
    negative = (labels == 0).to(fine.dtype)
    sharp = [_click_map(xy / 2.0, weight, 2 * side, 1.5) for weight in (positive, negative)]
    return _Points(xy, positive, negative, sharp, side)


def _map_points(points: _Points) -> list[Tensor]:
    """Four maps (n, 1, s/4, s/4): sharp and wide ones of either sign."""
    wide = [
        _click_map(points.xy / 4.0, weight, points.side, points.side / 10.0) for weight in (points.positive, points.negative)
    ]
    return [*(F.avg_pool2d(m, 2) for m in points.sharp), *wide]


def _map_previous(previous: Tensor, has_previous: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps like ``previous``: the mask, from -0.5 to 0.5, and whether there is one."""
    given = has_previous.view(-1, 1, 1, 1).expand_as(previous)
    return (previous - 0.5) * given, given


def _trusted(trust: Tensor, out: Tensor) -> Tensor:
    """How many times a logit counts, at the size of ``out``: once, to begin with."""
    return resize_like(MAX_TRUST * torch.sigmoid(trust - math.log(MAX_TRUST - 1)), out)


def _agree(known: Tensor, at_fine: Tensor, inside: Tensor) -> Tensor:
    """(n, 3, 1, 1) what is known of every location, (n, 1, h, w), on the mask, off it, and how far the two agree."""
    outside = (1.0 - at_fine) * inside
    on = (known * at_fine).sum((2, 3), keepdim=True) / (at_fine.sum((2, 3), keepdim=True) + 1.0)
    off = (known * outside).sum((2, 3), keepdim=True) / (outside.sum((2, 3), keepdim=True) + 1.0)
    return torch.cat([on, off, (known * (2.0 * at_fine - inside)).mean((2, 3), keepdim=True)], 1)


def _agreement(logit: Tensor, xy: Tensor, negative: Tensor) -> Tensor:
    """(n,) twice the fraction of the negative points beside what is salient, less 1, at least 0; 1 without any.

    Many negative points on something salient: other objects. Positive points do not count: theirs are the mistakes
    to be mended.

    Args:
        logit: (n, 1, h, w) of saliency; 0 where it is not known, points there do not count.
        xy: (n, p, 2) from 0 to 1 of the window.
        negative: (n, p).
    """
    salient, count = _salient_points(logit, xy, negative)
    return torch.where(count > 0, torch.clamp(2 * (count - salient) / count.clamp(min=1) - 1, min=0), torch.ones_like(count))


def _is_about(logit: Tensor, xy: Tensor, positive: Tensor) -> Tensor:
    """(n,) whether what is salient is what the positive points mean: 0 with less than a quarter of them on it, 1 from half of
    them on, and without any; a dark thing on a bright flower is not the flower.

    For the frames where objects are named. Later, when nearly all points lie beside what is salient they may have slid off it
    together; the object memory tells.

    Args:
        logit, xy: as for :func:`_agreement`.
        positive: (n, p).
    """
    salient, count = _salient_points(logit, xy, positive)
    return torch.where(count > 0, torch.clamp(4 * salient / count.clamp(min=1) - 1, min=0, max=1), torch.ones_like(count))


def _salient_points(logit: Tensor, xy: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """(n,) how many of the points of weight 1 lie on something salient, of (n,) those where that is known."""
    at = F.grid_sample(logit.float(), (2 * xy.float() - 1).unsqueeze(1), mode="nearest", align_corners=False)[:, 0, 0]
    known = weight.float() * (at != 0)
    return ((at > 0) * known).sum(1), known.sum(1)


def _click_map(xy: Tensor, weight: Tensor, side: int, sigma: float) -> Tensor:
    """(n, 1, side, side): a Gaussian bump at every point of weight 1, their sum saturating at 1.

    A Gaussian is the product of one along x and one along y, so the sum over points is a matrix product.
    """
    axis = torch.arange(side, device=xy.device, dtype=torch.float32) + 0.5
    spread = 2.0 * sigma * sigma
    along_x = torch.exp(-(axis.view(1, 1, side) - xy[..., :1].float()).square() / spread)  # (n, p, side)
    along_y = torch.exp(-(axis.view(1, 1, side) - xy[..., 1:].float()).square() / spread)
    total = torch.matmul((along_y * weight.float().unsqueeze(2)).transpose(1, 2), along_x)
    return torch.clamp(total, max=1.0).unsqueeze(1).to(weight.dtype)


def _box_map(box: Tensor, side: int) -> Tensor:
    """(n, 1, side, side): 1 inside the box, -1 outside it, 0 everywhere when there is no box."""
    axis = torch.arange(side, device=box.device, dtype=torch.float32) + 0.5
    x0, y0, x1, y1 = (box[:, k].float().view(-1, 1) for k in range(4))
    in_x = ((axis >= x0) & (axis <= x1)).float()
    in_y = ((axis >= y0) & (axis <= y1)).float()
    given = (x1 > x0).float().view(-1, 1, 1)
    inside = in_y.unsqueeze(2) * in_x.unsqueeze(1)
    return ((2.0 * inside - 1.0) * given).unsqueeze(1).to(box.dtype)


class NanoNetwork(FoldingNetwork):
    """Encoder and decoder together, as they are trained, and the saliency network, which is not."""

    def __init__(self, sizes: NetworkSizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes or NetworkSizes()
        self.encoder = NanoEncoder(self.sizes)
        self.pretrained = Pretrained((self.sizes.fine, self.sizes.middle, self.sizes.coarse))
        self.decoder = NanoDecoder(self.sizes)
        self.saliency = SaliencyNetwork().requires_grad_(False)

    def encode_crop(
        self,
        image: Tensor,
        inside: Tensor,
        doubt: Callable[[Features], Features] = lambda features: features,
        *,
        knows: bool = True,
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Features of crops that may reach beyond their image, as a window cut from an encoded frame has them.

        Args:
            image: (n, 3, s, s), see :class:`NanoEncoder`.
            inside: (n, 1, s, s) 1 inside the image, 0 outside.
            doubt: what training does to the learnt features.
            knows: with what the backbone adds.

        Returns:
            The four feature maps, 0 outside, and ``inside`` as the decoder takes it.
        """
        coverage = [F.avg_pool2d(inside, stride) for stride in STRIDES]
        stem, *others = doubt(self.encoder(image))
        if knows:
            others = self.pretrained(image, *others)
        features = (stem, *others)
        return tuple(f * c for f, c in zip(features, coverage, strict=True)), coverage[1]

    def find_salient(self, image: Tensor, overlay: Overlay) -> tuple[Tensor, ...]:
        """What the decoder is given of what is salient in (n, 3, s, s) views, see :func:`~.runtime.lay_over`."""
        return self.laid_over(self.saliency(image), overlay)

    @staticmethod
    def laid_over(found: Sequence[Tensor], overlay: Overlay) -> tuple[Tensor, ...]:
        """What the decoder is given of the maps that the saliency network found in views."""
        fine, *others = found
        weights = [[torch.from_numpy(w).to(fine.device, fine.dtype).unsqueeze(1) for w in pair] for pair in overlay]
        maps = zip((fine[:, :1], fine[:, 1:], *others), weights, strict=True)
        return tuple(down @ m @ across.transpose(2, 3) for m, (down, across) in maps)

    @staticmethod
    def without_saliency(image: Tensor) -> tuple[Tensor, ...]:
        """What the decoder is given where the saliency network did not run, for (n, 3, s, s) images."""
        return tuple(image.new_zeros(len(image), channels, 1, 1) for channels in SALIENT_CHANNELS)
