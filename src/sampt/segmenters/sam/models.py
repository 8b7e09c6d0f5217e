"""The published models of the Segment Anything family: what they are called, whose weights they take, where these come from.

Imports nothing heavy: a model's network is built, and its packages imported, when a segmenter of it is made.
"""

from __future__ import annotations

from dataclasses import dataclass

from sampt.weights import default_source

__all__ = ["MODELS", "SamModel"]


@dataclass(frozen=True)
class SamModel:
    """One model.

    Attributes:
        name: of the backend.
        builder: "module:function"; the function takes no arguments and returns the network without its weights.
        packages: what the network is built from, besides PyTorch.
        is_exportable: False when it runs by PyTorch alone.
    """

    name: str
    builder: str
    packages: tuple[str, ...] = ("transformers",)
    is_exportable: bool = True

    @property
    def file(self) -> str:
        """Name of the official checkpoint."""
        return default_source(self.name).file

    @property
    def url(self) -> str | None:
        """Where it is."""
        return default_source(self.name).url


def _vit(family: str, letter: str) -> SamModel:
    module = f"sampt.segmenters.{family.replace('-', '_')}.network"
    return SamModel(f"{family}-vit-{letter}", f"{module}:build_vit_{letter}")


def _tiny(name: str) -> SamModel:
    builder = f"sampt.segmenters.mobile_sam.network:build_{name.replace('-', '_')}"
    return SamModel(name, builder, ("transformers", "kornia"))


def _hiera(size: str) -> SamModel:
    return SamModel(f"sam2.1-{size}", f"sampt.segmenters.sam2.network:build_{size.replace('-', '_')}")


MODELS = {
    model.name: model
    for model in (
        _vit("sam", "b"),
        _vit("sam", "l"),
        _vit("sam", "h"),
        _vit("hq-sam", "b"),
        _vit("hq-sam", "l"),
        _vit("hq-sam", "h"),
        _tiny("light-hq-sam"),
        _tiny("mobile-sam"),
        SamModel("edgetam", "sampt.segmenters.edgetam.network:build_edgetam"),
        *(_hiera(size) for size in ("tiny", "small", "base-plus", "large")),
        SamModel("sam3", "sampt.segmenters.sam3.network:build_sam3", is_exportable=False),
    )
}
"""By name of the backend."""
