"""The published models of the Segment Anything family: what they are called, whose weights they take, where these come from.

Imports nothing heavy: a model's network is built, and its packages imported, when a segmenter of it is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sampt.weights import default_source

if TYPE_CHECKING:
    pass

__all__ = ["MODELS", "SamModel"]

_SAM = "Kirillov et al., Segment Anything, ICCV 2023 (arXiv 2304.02643)"
_HQ = "Ke et al., Segment Anything in High Quality, NeurIPS 2023 (arXiv 2306.01567)"
_SAM2 = "Ravi et al., SAM 2: Segment Anything in Images and Videos, ICLR 2025 (arXiv 2408.00714)"
_MOBILE = "Zhang et al., Faster Segment Anything (arXiv 2306.14289)"


@dataclass(frozen=True)
class SamModel:
    """One model.

    Attributes:
        name: of the back end.
        builder: "module:function"; the function takes no arguments and returns the network without its weights.
        source: the paper.
        packages: what the network is built from, besides PyTorch.
    """

    name: str
    builder: str
    source: str
    packages: tuple[str, ...] = ("transformers",)

    @property
    def file(self) -> str:
        """Name of the official checkpoint."""
        return default_source(self.name).file

    @property
    def url(self) -> str | None:
        """Where it is."""
        return default_source(self.name).url


def _vit(family: str, letter: str, source: str) -> SamModel:
    module = f"sampt.segmenters.{family.replace('-', '_')}.network"
    return SamModel(f"{family}-vit-{letter}", f"{module}:build_vit_{letter}", source)


def _tiny(name: str, source: str) -> SamModel:
    builder = f"sampt.segmenters.mobile_sam.network:build_{name.replace('-', '_')}"
    return SamModel(name, builder, source, ("transformers", "kornia"))


def _hiera(size: str) -> SamModel:
    return SamModel(f"sam2.1-{size}", f"sampt.segmenters.sam2.network:build_{size.replace('-', '_')}", _SAM2)


MODELS = {
    model.name: model
    for model in (
        _vit("sam", "b", _SAM),
        _vit("sam", "l", _SAM),
        _vit("sam", "h", _SAM),
        _vit("hq-sam", "b", _HQ),
        _vit("hq-sam", "l", _HQ),
        _vit("hq-sam", "h", _HQ),
        _tiny("light-hq-sam", _HQ),
        _tiny("mobile-sam", _MOBILE),
        *(_hiera(size) for size in ("tiny", "small", "base-plus", "large")),
    )
}
"""By name of the back end."""
