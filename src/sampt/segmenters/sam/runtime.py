"""What computes a network of the family, behind one small interface; here by PyTorch itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch
from torch import Tensor

from sampt.backends.torch_networks import compiling, computing
from sampt.errors import BackendError
from sampt.files.limits import is_short_of_memory
from sampt.segmenters.sam.network import FrameFeatures, SamNetwork
from sampt.segmenters.sam.prompts import PromptBatch
from sampt.segmenters.sam.resizing import Fit

__all__ = ["SamRuntime", "TorchRuntime", "default_precision", "reporting_memory"]


class SamRuntime(Protocol):
    """Runs a network; what its attributes are is given by :class:`~sampt.segmenters.sam.network.SamNetwork`."""

    side: int
    ends_boxes: bool
    logit_limit: float | None

    @property
    def mask_side(self) -> int: ...

    def fit(self, size_hw: tuple[int, int]) -> Fit: ...

    def encode(self, images: Tensor) -> FrameFeatures: ...

    def predict(self, image: FrameFeatures, prompts: PromptBatch, *, multimask: bool = False) -> tuple[Tensor, Tensor]:
        """As the network does, in float32."""
        ...


def default_precision(device: torch.device) -> str:
    """What a network computes with where nobody says: bfloat16 on a GPU of NVIDIA that has it, float32 elsewhere."""
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"


@contextmanager
def reporting_memory(name: str, device: torch.device) -> Iterator[None]:
    """Around what the backend ``name`` computes on ``device``.

    Raises:
        BackendError: the device's memory is too small, whatever library says so.
    """
    try:
        yield
    except Exception as error:  # of several runtimes, each with classes of its own
        is_short = isinstance(error, torch.OutOfMemoryError) or is_short_of_memory(error)
        if isinstance(error, BackendError) or not is_short:
            raise
        advice = "a smaller model, 'mobile-sam' say, or for large frames a smaller longest_side"
        if device.type != "cpu":
            advice = f"precision 'bfloat16', {advice}, or device 'cpu'"
        raise BackendError(f"{name!r} needs more memory than {device} has free; choose {advice}.") from error


class TorchRuntime:
    """A network run by PyTorch; fills :class:`SamRuntime`.

    Args:
        network: on ``device``.
        device: where it runs.
        precision: a key of :data:`sampt.backends.torch_networks.PRECISIONS`: of products and convolutions; sums, norms and
            predictions stay float32.
        compiles: whether PyTorch compiles the vision encoder, which takes a minute at the first frame.
        name: of the backend, for errors.
    """

    def __init__(self, network: SamNetwork, device: torch.device, precision: str, *, compiles: bool, name: str) -> None:
        self.network, self._device, self._precision, self._name = network, device, precision, name
        self.side, self.ends_boxes, self.logit_limit = network.side, network.ends_boxes, network.logit_limit
        self._compiles = compiles
        if compiles:
            network.vision_encoder.compile(dynamic=False)

    @property
    def mask_side(self) -> int:
        return self.network.mask_side

    def fit(self, size_hw: tuple[int, int]) -> Fit:
        return self.network.fit(size_hw)

    def encode(self, images: Tensor) -> FrameFeatures:
        with self._computing(), compiling(self._name) if self._compiles else nullcontext():
            return self.network.encode(images)

    def predict(self, image: FrameFeatures, prompts: PromptBatch, *, multimask: bool = False) -> tuple[Tensor, Tensor]:
        # On a CPU what one prompt makes in between stays in the caches; several at once take longer than one by one.
        prompted = [prompts.alone(k) for k in range(len(prompts.xy))] if self._device.type == "cpu" else [prompts]
        with self._computing():
            outputs = [self.network.predict(image, one, multimask=multimask) for one in prompted]
        logits, iou = zip(*outputs, strict=True)
        return torch.cat(logits).float(), torch.cat(iou).float()

    def _computing(self) -> AbstractContextManager[object]:
        return computing(self._device.type, self._precision)
