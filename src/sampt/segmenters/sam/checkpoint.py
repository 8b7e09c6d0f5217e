"""Weights into a network of the family: read, renamed, compared to the last name and size, loaded."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sampt.errors import BackendError

if TYPE_CHECKING:
    from sampt.segmenters.sam.models import SamModel
    from sampt.segmenters.sam.network import SamNetwork

__all__ = ["build", "fill_random", "load_network", "load_weights", "read_state"]

_IN_FOLDER = ("model.safetensors", "pytorch_model.bin")
_RANDOM_DEVIATION = 0.02


def build(model: SamModel) -> SamNetwork:
    """The network of ``model``, without its weights; the global random state is left alone."""
    module, _, function = model.builder.partition(":")
    with torch.random.fork_rng(devices=[]):  # layers draw their first values from the CPU's global generator
        torch.default_generator.manual_seed(0)
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


def fill_random(network: SamNetwork, deviation: float = _RANDOM_DEVIATION, seed: int = 0) -> None:
    """Give every parameter a random value: normal with this deviation (1 for the positional encoding's frequencies).

    Factors of norms are 1 and offsets 0. `transformers` would draw the vision encoder's with a deviation of 1e-10, which makes
    it nearly constant.
    """
    if any(parameter.is_meta for parameter in network.vision_encoder.parameters()):
        network.vision_encoder.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("positional_embedding"):
                parameter.normal_(0, 1, generator=generator)
            elif parameter.ndim > 1:
                parameter.normal_(0, deviation, generator=generator)
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)


def read_state(path: Path, model: SamModel) -> dict[str, Tensor]:
    """Name -> tensor, as they stand in a checkpoint or in a folder as `transformers` writes it.

    Raises:
        BackendError: it is not there, or no table of weights.
    """
    file, expected = path, f"expected the official {model.file} ({model.url}) or a folder as transformers writes it"
    if path.is_dir():
        found = [path / name for name in _IN_FOLDER if (path / name).is_file()]
        if not found:
            raise BackendError(f"{model.name!r} found none of {', '.join(_IN_FOLDER)} in the folder {path}; {expected}.")
        file = found[0]
    elif not path.is_file():
        raise BackendError(f"{model.name!r} found no weights at {path}; {expected}.")
    try:
        state = _read(file)
    except Exception as error:  # for a file that is no checkpoint PyTorch raises nearly anything
        what = _looks_like(file)
        raise BackendError(
            f"{model.name!r} cannot read weights from {file} ({what or type(error).__name__}); {expected}."
        ) from error
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise BackendError(f"{model.name!r} found no table of weights in {file}; {expected}.")
    return state


def _read(file: Path) -> object:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    return torch.load(file, map_location="cpu", weights_only=True)


def _looks_like(file: Path) -> str:
    """What a file that is no checkpoint seems to be, as far as its first bytes and its size tell."""
    with file.open("rb") as stream:
        start = stream.read(64).lstrip().lower()
    if not start:
        return "it is empty"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page"
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the file"
    return "it is incomplete or damaged" if start.startswith(b"pk\x03\x04") else ""


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

    converted = convert_state_dict(state)
    own = {name: value.shape for name, value in network.state_dict().items()}
    wrong = sorted(n for n in own.keys() | converted.keys() if n not in converted or own.get(n) != converted[n].shape)
    if wrong:
        other = _model_of(converted)
        hint = f"; they are those of {other!r}" if other and other != model.name else ""
        raise BackendError(
            f"{model.name!r} got weights of another network in {path}: {len(wrong)} parameters are missing, unknown or of"
            f" another size, the first is {wrong[0]!r}{hint}. Expected those of the official {model.file}."
        )
    single = {name: value.float() if value.is_floating_point() else value for name, value in converted.items()}
    network.load_state_dict(single, strict=True, assign=True)  # the file's memory, not a copy
    network.requires_grad_(False)


def _model_of(converted: Mapping[str, Tensor]) -> str | None:
    """The back end that a converted checkpoint belongs to, if it is one of the family."""
    is_hq = "mask_decoder.hq_token.weight" in converted
    if "vision_encoder.patch_embed.seq.0.c.weight" in converted:
        return "light-hq-sam" if is_hq else "mobile-sam"
    position = converted.get("vision_encoder.pos_embed")
    letter = None if position is None else {768: "b", 1024: "l", 1280: "h"}.get(position.shape[-1])
    return letter and f"{'hq-sam' if is_hq else 'sam'}-vit-{letter}"
