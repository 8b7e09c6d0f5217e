"""Weights into a network of the family: read, renamed, compared to the last name and size, loaded."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sampt.backends.torch_networks import load_exactly, repeatable
from sampt.errors import BackendError
from sampt.segmenters.sam.models import SamModel
from sampt.weights import load_checkpoint

if TYPE_CHECKING:
    from sampt.segmenters.sam.network import SamNetwork

__all__ = ["build", "fill_random", "identify", "load_network", "load_weights", "read_state"]

_IN_FOLDER = ("model.safetensors", "pytorch_model.bin")
_RANDOM_DEVIATION = 0.02


def build(model: SamModel) -> SamNetwork:
    """The network of ``model``, without its weights; the global random state is left alone."""
    module, _, function = model.builder.partition(":")
    with repeatable():
        network: SamNetwork = getattr(importlib.import_module(module), function)()
    return network


def load_network(model: SamModel, path: Path | None) -> SamNetwork:
    """The network of ``model`` with the weights at ``path``, or random ones; for inference only.

    Raises:
        BackendError: nothing is there, it cannot be read, or it holds other weights than exactly this network's.
    """
    network = build(model)
    if path is None:
        fill_random(network)
    else:
        load_weights(network, read_state(path, model), path, model)
    return network


def fill_random(network: nn.Module, deviation: float = _RANDOM_DEVIATION, seed: int = 0) -> None:
    """Give every parameter a random value: normal with this deviation (1 for the positional encoding's frequencies).

    Factors of norms are 1 and offsets 0. `transformers` would draw the vision encoder's with a deviation of 1e-10, which makes
    it nearly constant.
    """
    _give_memory(network)
    generator = torch.Generator().manual_seed(seed)
    frequencies = ((name, value) for name, value in network.named_buffers() if name.endswith("positional_embedding"))
    with torch.no_grad():
        for name, parameter in (*network.named_parameters(), *frequencies):
            if name.endswith("positional_embedding"):
                parameter.normal_(0, 1, generator=generator)
            elif parameter.ndim > 1:
                parameter.normal_(0, deviation, generator=generator)
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)


def _give_memory(network: nn.Module) -> None:
    """Parameters that are on PyTorch's "meta" device get memory; buffers, which follow from the sizes, stay as they are."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.is_meta:
                setattr(module, name, nn.Parameter(torch.empty_like(parameter, device="cpu"), requires_grad=False))


def read_state(path: Path, model: SamModel) -> dict[str, Tensor]:
    """Name -> tensor, as they stand in a checkpoint or in a folder as `transformers` writes it.

    Raises:
        BackendError: it is not there, or no table of weights.
    """
    official = f"{model.file} ({model.url})"
    file = _file_in(path)
    if file is None:
        raise BackendError(
            f"{model.name!r} found none of {', '.join(_IN_FOLDER)} in the folder {path}; expected a folder as transformers "
            f"writes it, or the official {official}."
        )
    try:
        return load_checkpoint(file)
    except BackendError as error:
        raise BackendError(f"{error} For {model.name!r} that is {official}.") from error


def identify(path: Path | None) -> str:
    """Another one for other weights: name, size and time of the file; "random" for None."""
    file = None if path is None else _file_in(path)
    if file is None or not file.is_file():
        return "random" if path is None else path.name
    found = file.stat()
    return f"{path.name if path else ''}:{file.name}:{found.st_size}:{found.st_mtime_ns}"


def _file_in(path: Path) -> Path | None:
    """The file of weights: the path itself, or what a folder of `transformers` holds."""
    if not path.is_dir():
        return path
    return next((path / name for name in _IN_FOLDER if (path / name).is_file()), None)


def load_weights(network: SamNetwork, state: Mapping[str, Tensor], path: Path, model: SamModel) -> None:
    """Put a checkpoint's tensors into ``network``, in float32.

    Args:
        network: as :func:`build` gives it.
        state: as :func:`read_state` gives it.
        path: of the checkpoint, for the error.
        model: what it should be, for the error.

    Raises:
        BackendError: names or sizes are not exactly those of the network.
    """
    from sampt.segmenters.sam.network import convert_state_dict
    from sampt.segmenters.sam2 import names as sam2
    from sampt.segmenters.sam3 import names as sam3

    families = ((sam3.is_sam3, sam3.convert_state_dict), (sam2.is_sam2, sam2.convert_state_dict))
    convert = next((convert for is_one, convert in families if is_one(state)), convert_state_dict)
    converted = convert(state)
    expected = f"those of the official {model.file}"
    load_exactly(network, converted, name=model.name, path=path, other=_find_model(converted), expected=expected)


def _find_model(converted: Mapping[str, Tensor]) -> str | None:
    """The backend that a converted checkpoint belongs to, if it is one of the family."""
    is_hq = "mask_decoder.hq_token.weight" in converted
    if "vision_encoder.patch_embed.seq.0.c.weight" in converted:
        return "light-hq-sam" if is_hq else "mobile-sam"
    if "vision_encoder.backbone.body.stem.conv1.c.weight" in converted:
        return "edgetam"
    if "vision_encoder.neck.fpn_layers.0.proj1.weight" in converted:
        return "sam3"
    hiera = converted.get("vision_encoder.backbone.pos_embed")
    if hiera is not None:
        shorter = "small" if "vision_encoder.backbone.blocks.12.layer_norm1.weight" in converted else "tiny"
        size = {96: shorter, 112: "base-plus", 144: "large"}.get(hiera.shape[1])
        return size and f"sam2.1-{size}"
    position = converted.get("vision_encoder.pos_embed")
    letter = None if position is None else {768: "b", 1024: "l", 1280: "h"}.get(position.shape[-1])
    return letter and f"{'hq-sam' if is_hq else 'sam'}-vit-{letter}"
