"""A network of the family as three ONNX graphs, checked against PyTorch before they count (:mod:`~.exported`)."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sampt.errors import BackendError
from sampt.files.names import real_path
from sampt.segmenters.sam.exported import (
    DECODER,
    ENCODER,
    FRAME,
    FRAME_PARTS,
    NOTE,
    OUTPUTS,
    ExportedRuntime,
    ExportNote,
)
from sampt.segmenters.sam.network import FrameFeatures, SamNetwork
from sampt.segmenters.sam.prompts import PromptBatch
from sampt.segmenters.sam.two_way import FrameParts

__all__ = ["export_network"]

_OPSET = 17
_LOCATIONS = 4
_TOLERANCE = 1e-3
"""Greatest difference from PyTorch, of features and of logits, over the greatest of their values, or over 1."""
_MAX_BYTES_IN_ONE = 1 << 30
"""A file of ONNX may have at most 2 GiB; weights of larger ones lie in a file beside it."""
_GRAPHS = (ENCODER, FRAME, DECODER)
_FILES = {NOTE, *_GRAPHS, *(f"{graph}.data" for graph in _GRAPHS)}
_AT_WORK_S = 3600.0
"""What is half written and older belongs to an export that was killed."""


class _Encoder(nn.Module):
    def __init__(self, network: SamNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.encode(image).maps().values())


class _Frame(nn.Module):
    def __init__(self, network: SamNetwork, names: list[str]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        return tuple(_named(self.network.parts(FrameFeatures(**dict(zip(self.names, features, strict=True))))).values())


class _Decoder(nn.Module):
    def __init__(self, network: SamNetwork, names: list[str]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        named = dict(zip(self.names, inputs, strict=False))
        xy, kinds, masks, has_mask = inputs[len(self.names) :]
        locations = tuple(named[name] for name in FRAME_PARTS[:_LOCATIONS])
        middle, fine = (named.get(name) for name in FRAME_PARTS[_LOCATIONS:])
        return self.network.predict_masks(FrameParts(locations, middle, fine), PromptBatch(xy, kinds, masks, has_mask))


def _named(parts: FrameParts) -> dict[str, Tensor]:
    """What a frame gives, by its names in the graphs."""
    values = (*parts.locations, parts.middle, parts.fine)
    return {name: value for name, value in zip(FRAME_PARTS, values, strict=True) if value is not None}


@torch.no_grad()
def export_network(network: SamNetwork, folder: Path, name: str, weights: str, weights_identity: str) -> ExportNote:
    """Write the three graphs of ``network`` into ``folder``: all of them, right, or nothing.

    Args:
        network: on the CPU.
        folder: is replaced when it is there and holds an export, or nothing.
        name: of the backend.
        weights, weights_identity: of the note.

    Raises:
        BackendError: a package is missing, the folder holds anything else or cannot be written, or ONNX Runtime does not
            compute what PyTorch does.
    """
    is_stretched = network.fit((2, 3)).is_stretched
    note = ExportNote(name, weights, weights_identity, network.side, network.ends_boxes, network.logit_limit, is_stretched)
    target = real_path(folder)  # "." has no name to put another one beside
    try:
        _check_replaceable(target)
        with _make_beside(target) as made:
            _write_graphs(network, made)
            (made / NOTE).write_text(note.text(), encoding="utf-8")
            _check(network, made, name)
    except ImportError as error:
        raise BackendError(f"Exporting {name!r} needs a package that is not here ({error}). Run: pip install onnx.") from error
    except OSError as error:
        raise BackendError(
            f"The export of {name!r} cannot be written to {folder} ({error.strerror or error}); make room there, or choose "
            "another folder."
        ) from error
    return note


def _check_replaceable(folder: Path) -> None:
    """Refuse a folder that holds what is no export: it would be lost."""
    # Whatever its name, for it would be lost; of a file: "Not a directory".
    held = sorted(item.name for item in folder.iterdir()) if folder.exists() else []
    is_export = NOTE in held and "weights_identity" in (folder / NOTE).read_text(encoding="utf-8", errors="replace")
    foreign = [item for item in held if not is_export or item not in _FILES]
    if foreign:
        raise BackendError(
            f"The folder {folder} holds {foreign[0]!r}, which is of no export, and would be replaced; choose another folder, "
            "or move that away."
        )


@contextmanager
def _make_beside(folder: Path) -> Iterator[Path]:
    """A new folder to write to that replaces ``folder`` at the end; of one that fails nothing is left."""
    beginning = f"{folder.name}.sampt-partial-"
    folder.parent.mkdir(parents=True, exist_ok=True)
    for item in folder.parent.iterdir():
        if item.name.startswith(beginning) and time.time() - item.stat().st_mtime > _AT_WORK_S:
            shutil.rmtree(item, ignore_errors=True)
    made, old = (folder.with_name(f"{beginning}{os.getpid()}{end}") for end in ("", "-old"))
    made.mkdir()
    try:
        yield made
        if folder.exists():
            folder.replace(old)
        made.replace(folder)
    finally:
        for item in (made, old):
            shutil.rmtree(item, ignore_errors=True)


def _write_graphs(network: SamNetwork, folder: Path) -> None:
    image = torch.zeros(1, 3, network.side, network.side)
    seen = network.encode(image)
    features = seen.maps()
    _write(_Encoder(network), {"image": image}, list(features), folder / ENCODER, {})
    frame = _named(network.parts(seen))
    _write(_Frame(network, list(features)), features, list(frame), folder / FRAME, {})
    example = _example(network).alone(0)
    assert example.masks is not None
    prompts = {"xy": example.xy, "kinds": example.kinds, "masks": example.masks, "has_mask": example.has_mask}
    free = {"xy": {1: "tokens"}, "kinds": {1: "tokens"}}
    _write(_Decoder(network, list(frame)), {**frame, **prompts}, list(OUTPUTS), folder / DECODER, free)


def _example(network: SamNetwork) -> PromptBatch:
    """Two prompts about an image: two points with a box and a mask, and a shorter one without."""
    rng = torch.Generator().manual_seed(0)
    xy = torch.rand(2, 5, 2, generator=rng) * network.side
    kinds = torch.tensor([[1, 0, -1 if network.ends_boxes else 1, 2, 3], [1, 0, -1, -2, -2]])
    masks = torch.randn(2, 1, network.mask_side, network.mask_side, generator=rng)
    return PromptBatch(xy, kinds, masks, torch.tensor([True, False]), is_filled=True)


def _write(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: list[str], path: Path, free: dict[str, dict[int, str]]
) -> None:
    import onnx

    module.eval()  # the exporter gives it back in the mode that it got it in

    with warnings.catch_warnings(), tempfile.TemporaryDirectory(dir=path.parent) as apart:
        warnings.simplefilter("ignore")  # that shapes are constants is meant
        whole = Path(apart) / path.name  # a large network is written as very many files
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(whole),
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes={name: axes for name, axes in free.items() if name in inputs or name in outputs},
            opset_version=_OPSET,
            dynamo=False,
        )
        model = onnx.load(str(whole))
        size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
        if size > _MAX_BYTES_IN_ONE:
            onnx.save(model, str(path), save_as_external_data=True, location=f"{path.name}.data")
        else:
            onnx.save(model, str(path))


def _check(network: SamNetwork, folder: Path, name: str) -> None:
    """Compare features and outputs with those of PyTorch, for other prompts than that of the export, too."""
    runtime = ExportedRuntime(folder, "onnxruntime", "float32", name)
    rng = torch.Generator().manual_seed(1)
    image = torch.randn(1, 3, network.side, network.side, generator=rng)
    ours = network.encode(image)
    theirs = runtime.encode(image).maps()
    for feature, values in ours.maps().items():
        _compare(name, feature, values, theirs[feature])
    prompts = _example(network)
    for what, one, two in zip(OUTPUTS, network.predict(ours, prompts), runtime.predict(ours, prompts), strict=True):
        _compare(name, what, one, two)


def _compare(name: str, what: str, ours: Tensor, theirs: Tensor) -> None:
    difference = float(np.abs(ours.numpy() - theirs.numpy()).max()) / max(1.0, float(ours.abs().max()))
    if not difference <= _TOLERANCE:
        raise BackendError(
            f"The export of {name!r} differs from PyTorch by {difference:.1e} in its {what}, expected at most "
            f"{_TOLERANCE:.0e}; choose runtime 'torch', and please report it."
        )
