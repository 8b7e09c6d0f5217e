"""What the bundled networks share in PyTorch: building blocks, and weights out of ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn

from sampt.errors import BackendError

__all__ = ["ConvNorm", "FoldingNetwork", "Residual", "conv_from_zero", "load_from_onnx", "twice"]


class ConvNorm(nn.Module):
    """Convolution with batch normalisation, which :meth:`fold` merges into the convolution for inference."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=True)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out

    def fold(self) -> None:
        """Replace normalisation by a convolution that does both (inference only)."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = nn.utils.fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
            self.norm = nn.Identity()


class Residual(nn.Module):
    """Two 3x3 convolutions beside an identity (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width)
        self.second = ConvNorm(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


def twice(x: Tensor) -> Tensor:
    """(n, c, h, w) at twice the size, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def conv_from_zero(inputs: int, outputs: int, kernel: int = 1) -> nn.Conv2d:
    """A convolution that says nothing until it has learnt; where its input is zero it never does."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    nn.init.zeros_(conv.weight)
    return conv


class FoldingNetwork(nn.Module):
    """A network whose normalisation is merged away once it is trained."""

    def fold(self) -> Self:
        """Merge all normalisation into the convolutions, in place; the network is then in evaluation mode for good."""
        self.eval()
        for part in self.modules():
            if isinstance(part, ConvNorm):
                part.fold()
        return self


def load_from_onnx(module: nn.Module, path: Path, name: str) -> None:
    """Give ``module`` the weights of an ONNX file that was exported from it.

    Args:
        module: folded, if the exported one was.
        path: the file; its initialisers carry the names of the parameters.
        name: of the backend, for the error.

    Raises:
        BackendError: the file cannot be read, or does not hold exactly this module's weights.
    """
    names = {key for key, _ in module.named_parameters()}
    try:
        held = onnx.load(str(path)).graph.initializer
    except Exception as error:  # protobuf raises classes of its own
        line = " ".join(str(error).split())
        raise BackendError(f"{name!r} cannot read its weights in {path}: {line}. Export them again.") from error
    state = {t.name: torch.from_numpy(numpy_helper.to_array(t).astype(np.float32)) for t in held if t.name in names}
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise BackendError(f"{name!r} got weights of another network in {path}: {str(error).splitlines()[0]}") from error
