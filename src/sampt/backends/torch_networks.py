"""What backends that run PyTorch share: first values of a network, the device, weights that fit exactly, how it computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.errors import BackendError

__all__ = [
    "PRECISIONS",
    "RUNTIMES",
    "compiling",
    "computing",
    "in_float32",
    "linear",
    "load_exactly",
    "put_on_device",
    "quicken",
    "repeatable",
    "running_on",
]

RUNTIMES = ("torch", "compiled")
"""What :func:`put_on_device` can let run a network; the first one is what "auto" means there."""
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""What products and convolutions can be computed in."""
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
        name: of the backend, for the error.

    Raises:
        BackendError: there is no such device, or PyTorch fails on it inside the block.
    """
    wanted = _best_device() if device == "auto" else device
    try:
        torch_device = torch.device(wanted)
        torch.empty(0, device=torch_device)
        yield torch_device
    except (RuntimeError, AssertionError) as error:
        line = str(error).splitlines()[0]
        raise BackendError(
            f"{name!r} cannot run on device {device!r}: {line}. Choose 'auto', 'cpu', or a device PyTorch has."
        ) from error


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load_exactly(
    network: nn.Module, state: Mapping[str, Tensor], *, name: str, path: Path | str, other: str | None, expected: str
) -> None:
    """Give ``network`` the tensors of ``state``, in float32; their memory is used, not copied.

    Args:
        network: the network; nothing of it is trained any more.
        state: parameter -> tensor, by the network's own names.
        name: of the backend, for the error.
        path: where the weights are from, for the error.
        other: the backend that such weights belong to, where that is known; ``name`` itself tells nothing.
        expected: ends the error.

    Raises:
        BackendError: names or sizes are not exactly those of the network.
    """
    own = {key: value.shape for key, value in network.state_dict().items()}
    wrong = sorted(key for key in own.keys() | state.keys() if key not in state or own.get(key) != state[key].shape)
    if wrong:
        hint = f"; they are those of {other!r}" if other not in (None, name) else ""
        raise BackendError(
            f"{name!r} got weights of another network in {path}: {len(wrong)} parameters are missing, unknown or of another "
            f"size, the first is {wrong[0]!r}{hint}. Expected {expected}."
        )
    single = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    network.load_state_dict(single, strict=True, assign=True)
    network.requires_grad_(False)


def put_on_device(
    network: nn.Module,
    hot: Iterable[nn.Module],
    name: str,
    device: str,
    *,
    runtime: str = "auto",
    precision: str = "auto",
) -> torch.device:
    """Move a network to a device and choose how its parts that do nearly all the work compute.

    What lies between these parts, locations of points above all, stays float32 and is not compiled. What they give is float32.

    Args:
        network: for inference.
        hot: parts of it, called as modules.
        name: of the backend, for errors.
        device: as for :func:`running_on`.
        runtime: one of :data:`RUNTIMES`, or "auto". "compiled" lets PyTorch compile the parts when they are first called,
            anew for some other shapes, which takes seconds to minutes each and on a CPU needs a C++ compiler.
        precision: a key of :data:`PRECISIONS`, or "auto". In the two short ones products and convolutions are computed, and
            what PyTorch's autocast lets be; weights stay float32.

    Returns:
        The device.

    Raises:
        BackendError: there is no such choice, there is no such device, or it has no such precision. Calling a part raises one,
            too, when it cannot be compiled.
    """
    _check_choice(name, "runtime", runtime, RUNTIMES)
    _check_choice(name, "precision", precision, tuple(PRECISIONS))
    chosen = "float32" if precision == "auto" else precision
    with running_on(device, name) as found:
        network.to(found)
        computing(found.type, chosen)  # refuses what the device does not have
    if runtime == "compiled" or chosen != "float32":
        for module in hot:
            _choose(module, name, found.type, chosen, compiles=runtime == "compiled")
    return found


def computing(device_type: str, precision: str) -> AbstractContextManager[object]:
    """Products and convolutions within are computed in ``precision``, a key of :data:`PRECISIONS`, by PyTorch's autocast.

    Raises:
        RuntimeError: the device has no such numbers.
    """
    return nullcontext() if precision == "float32" else torch.autocast(device_type, PRECISIONS[precision])


def in_float32(device: torch.device) -> AbstractContextManager[object]:
    """Within :func:`computing`: products and convolutions in here stay float32; for encodings of locations and for boxes."""
    if not torch.amp.is_autocast_available(device.type):  # then there was nothing to leave
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def _check_choice(name: str, what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in ("auto", *choices):
        raise BackendError(f"{name!r} has no {what} {value!r}; expected one of: auto, {', '.join(choices)}.")


def _choose(module: nn.Module, name: str, device_type: str, precision: str, *, compiles: bool) -> None:
    # Compiled inside of autocast: what is compiled is then the same code for equal modules, and compiled once for all.
    run = torch.compile(module.forward, dynamic=True) if compiles else module.forward

    def forward(*given: Any, **named: Any) -> Any:
        with computing(device_type, precision), compiling(name) if compiles else nullcontext():
            return _in_float32(run(*given, **named))

    module.forward = forward


@contextmanager
def compiling(name: str) -> Iterator[None]:
    """Around calls of what ``torch.compile`` gave, which compile it at first, for the backend ``name``.

    Raises:
        BackendError: it cannot be compiled here.
    """
    try:
        yield
    except (BackendError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # its compilers raise nearly anything, a missing C++ compiler for one
        line = " ".join(str(error).partition("\n\n")[0].split())[:160]  # then comes advice for debugging PyTorch
        raise BackendError(
            f"{name!r} cannot be compiled by PyTorch here ({type(error).__name__}: {line}). Choose runtime 'torch'."
        ) from error


def _in_float32(made: Any) -> Any:
    """What a module gave, tensors in tuples and lists, with float32 instead of shorter numbers."""
    if isinstance(made, Tensor):
        return made.float() if made.dtype in (torch.bfloat16, torch.float16) else made
    if isinstance(made, tuple):
        parts = [_in_float32(part) for part in made]
        return type(made)(*parts) if hasattr(made, "_fields") else tuple(parts)
    return [_in_float32(part) for part in made] if isinstance(made, list) else made


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``torch.nn.functional.linear`` for (..., c) rows and a (d, c) weight; on the CPU large ones go through oneDNN.

    PyTorch multiplies matrices by MKL there, which on processors that are not Intel's takes two to three times as long as a
    convolution by oneDNN, of pixels without neighbours, that computes the same (docs/benchmarks.md, "Segment Anything").
    """
    if _is_traced() or rows.device.type != "cpu" or rows.dtype != torch.float32 or rows.numel() <= _MANY_VALUES:
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
