"""What the PyTorch runtimes of both networks called `nano` share: a folded network on a device, with weights of ONNX files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from sampt.backends.blocks import FoldingNetwork, load_from_onnx
from sampt.backends.torch_networks import repeatable, running_on

__all__ = ["FoldedRuntime", "load_folded"]

NetworkT = TypeVar("NetworkT", bound=FoldingNetwork)


def load_folded(make: Callable[[], NetworkT], folder: Path | None, parts: Sequence[str]) -> NetworkT:
    """The folded network with the weights of a folder of ONNX files, or random ones.

    Args:
        make: makes the network.
        folder: holds a file ``PART.onnx`` for each part; None for random weights.
        parts: attributes of the network.

    Raises:
        BackendError: the files do not hold exactly this network's weights.
    """
    with repeatable():
        network = make().fold()
    if folder is not None:
        for part in parts:
            load_from_onnx(getattr(network, part), folder / f"{part}.onnx", "nano")
    return network


class FoldedRuntime(Generic[NetworkT]):
    """Such a network on a PyTorch device; arguments and errors as of :func:`load_folded`."""

    def __init__(self, make: Callable[[], NetworkT], folder: Path | None, parts: Sequence[str], device: str) -> None:
        with running_on(device, "nano") as self._device:
            self._network = load_folded(make, folder, parts).to(self._device)

    @property
    def device(self) -> str:
        return str(self._device)
