"""What back ends that run PyTorch share: first values of a network, the device, and weights that fit exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.errors import BackendError

__all__ = ["linear", "load_exactly", "quicken", "repeatable", "running_on"]

_MANY_VALUES = 20480
"""PyTorch does not give convolutions of fewer to oneDNN."""


@contextmanager
def repeatable() -> Iterator[None]:
    """Layers made inside draw the same first values every time, and the CPU's global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


@contextmanager
def running_on(device: str, name: str) -> Iterator[torch.device]:
    """The device to move a network to, inside the block.

    Args:
        device: "auto" for the GPU when PyTorch has one, NVIDIA's or Apple's, else the CPU; or a PyTorch device such as
            "cuda:1".
        name: of the back end, for the error.

    Raises:
        BackendError: there is no such device, or PyTorch fails on it inside the block.
    """
    wanted = _best_device() if device == "auto" else device
    try:
        place = torch.device(wanted)
        torch.empty(0, device=place)
        yield place
    except (RuntimeError, AssertionError) as error:
        line = str(error).splitlines()[0]
        raise BackendError(
            f"{name!r} cannot run on device {device!r}: {line}. Choose 'auto', 'cpu', or a device PyTorch has."
        ) from error


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load_exactly(network: nn.Module, state: Mapping[str, Tensor], *, whose: str, other: str | None, expected: str) -> None:
    """Give ``network`` the tensors of ``state``, in float32; their memory is used, not copied.

    Args:
        network: the network; nothing of it is trained any more.
        state: name -> tensor, in the network's own names.
        whose: begins the error: "'raft' got weights of another network in FILE".
        other: the back end that such weights belong to, where that can be told.
        expected: ends the error.

    Raises:
        BackendError: names or sizes are not exactly those of the network.
    """
    own = {name: value.shape for name, value in network.state_dict().items()}
    wrong = sorted(n for n in own.keys() | state.keys() if n not in state or own.get(n) != state[n].shape)
    if wrong:
        hint = f"; they are those of {other!r}" if other else ""
        raise BackendError(
            f"{whose}: {len(wrong)} parameters are missing, unknown or of another size, the first is {wrong[0]!r}{hint}. "
            f"Expected {expected}."
        )
    single = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    network.load_state_dict(single, strict=True, assign=True)
    network.requires_grad_(False)


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``torch.nn.functional.linear`` for (..., c) rows and a (d, c) weight; on the CPU large ones go through oneDNN.

    PyTorch multiplies matrices by MKL there, which on processors that are not Intel's takes two to three times as long as a
    convolution by oneDNN, of pixels without neighbours, that computes the same (docs/benchmarks.md, "Segment Anything").
    """
    if rows.device.type != "cpu" or rows.dtype != torch.float32 or rows.numel() <= _MANY_VALUES or _is_traced():
        return F.linear(rows, weight, bias)
    pixels = rows.reshape(1, -1, 1, rows.shape[-1]).permute(0, 3, 1, 2)  # channels last in memory: no copy
    out = F.conv2d(pixels, weight[..., None, None], bias)
    return out.permute(0, 2, 3, 1).reshape(*rows.shape[:-1], len(weight))


def _is_traced() -> bool:
    """Whether a graph is being made: its runtime chooses by itself how to multiply."""
    return torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()


class _QuickLinear(nn.Linear):
    """The layer, by :func:`linear`."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def quicken(network: nn.Module) -> None:
    """Let all linear layers of ``network`` multiply as :func:`linear` does; its parameters stay what they are."""
    for module in network.modules():
        if type(module) is nn.Linear:
            module.__class__ = _QuickLinear
