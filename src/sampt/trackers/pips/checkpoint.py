"""How PIPS and PIPS++ get their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import nn

from sampt.backends.torch_networks import load_exactly, repeatable
from sampt.weights import load_checkpoint

__all__ = ["load_official"]

N = TypeVar("N", bound=nn.Module)
_MARKS = {"delta_block.to_delta.0.weight": "pips", "delta_block.first_block_conv.conv.weight": "pips-pp"}
"""A parameter that only this network has."""


def load_official(make: Callable[[], N], name: str, weights: Path | str | None) -> N:
    """The network that ``make`` gives, with the weights of an official checkpoint or random ones; for inference only.

    Args:
        make: the network.
        name: of the tracker.
        weights: a path, or None.

    Raises:
        BackendError: the file is not there, is no checkpoint, or holds other weights than exactly this network's.
    """
    with repeatable():
        network = make().eval().requires_grad_(False)
    if weights is None:
        return network
    state = load_checkpoint(weights)
    other = next((model for mark, model in _MARKS.items() if mark in state), None)
    load_exactly(network, state, name=name, path=weights, other=other, expected=f"an official {name} checkpoint")
    return network
