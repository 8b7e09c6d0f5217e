"""An exported network run by ONNX Runtime or OpenVINO, on the CPU.

An exported folder holds three graphs and ``model.json``: ``encoder.onnx``, an image to the features of a frame;
``frame.onnx``, these to what every prediction about the frame needs; ``decoder.onnx``, that and a prompt to a prediction.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sampt.backends.machine import num_cores
from sampt.backends.telemetry import without_openvino_telemetry
from sampt.errors import BackendError
from sampt.files.limits import parse_json
from sampt.files.text import read_text
from sampt.segmenters.sam.network import FrameFeatures
from sampt.segmenters.sam.prompts import PromptBatch
from sampt.segmenters.sam.resizing import Fit

__all__ = [
    "DECODER",
    "ENCODER",
    "FEATURES",
    "FORMAT",
    "FRAME",
    "FRAME_PARTS",
    "NOTE",
    "OUTPUTS",
    "ExportNote",
    "ExportedRuntime",
    "check_precision",
]

ENCODER, FRAME, DECODER, NOTE = "encoder.onnx", "frame.onnx", "decoder.onnx", "model.json"
FEATURES = ("embedding", "fine", "middle")
FRAME_PARTS = ("rows", "keys", "values", "queries", "frame_middle", "frame_fine")
"""Names in the graphs: the four of ``FrameParts.locations``, and what else it has; some networks lack these."""
OUTPUTS = ("logits", "iou")
FORMAT = 1
"""Of an exported folder; another number is another meaning of its files."""

Graph = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
"""Runs a graph: arrays in by name, arrays out by name."""


@dataclass(frozen=True)
class ExportNote:
    """``model.json``, written last.

    Attributes:
        name: of the backend.
        weights: what the network's weights were, for people.
        weights_identity: of the file they came from; see :func:`sampt.segmenters.sam.checkpoint.identify`.
        side, ends_boxes, logit_limit, is_stretched: of the network.
        format: :data:`FORMAT`.
    """

    name: str
    weights: str
    weights_identity: str
    side: int
    ends_boxes: bool
    logit_limit: float | None
    is_stretched: bool
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path, name: str) -> ExportNote:
        """That of a folder, for the segmenter called ``name``.

        Raises:
            BackendError: the folder is no export, or one of another model or format.
        """
        try:
            found = parse_json(read_text(folder / NOTE))
            note = cls(**{field.name: found[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackendError(
                f"{name!r} found no export in {folder} ({type(error).__name__} at {NOTE}); run: sampt weights export {name}."
            ) from error
        if note.format != FORMAT or note.name != name:
            raise BackendError(
                f"{name!r} got an export of {note.name!r} of format {note.format} in {folder}, expected one of {name!r} of "
                f"format {FORMAT}; run: sampt weights export {name}."
            )
        return note

    def text(self) -> str:
        """As it is written."""
        return json.dumps(asdict(self), indent=1) + "\n"


class ExportedRuntime:
    """The network in an exported folder; fills :class:`~sampt.segmenters.sam.runtime.SamRuntime`. On the CPU.

    Args:
        folder: the export.
        engine: "onnxruntime" or "openvino".
        precision: "float32", or "bfloat16" with OpenVINO.
        name: of the backend.
    """

    def __init__(self, folder: Path, engine: str, precision: str, name: str) -> None:
        note = ExportNote.read(folder, name)
        self.side, self.ends_boxes, self.logit_limit = note.side, note.ends_boxes, note.logit_limit
        self._is_stretched, self._name = note.is_stretched, name
        open_graph = partial(_ENGINES[engine], name=name, precision=precision)
        self._encoder, self._frame = open_graph(folder / ENCODER, beside=False), open_graph(folder / FRAME, beside=False)
        self._decoder = open_graph(folder / DECODER, beside=False)
        self._decoder_beside = open_graph(folder / DECODER, beside=True)
        self._seen: tuple[FrameFeatures, dict[str, np.ndarray]] | None = None  # the frame that was decoded last
        self._lock = threading.Lock()

    @property
    def mask_side(self) -> int:
        return self.side // 4

    def fit(self, size_hw: tuple[int, int]) -> Fit:
        return Fit.stretched(size_hw, self.side) if self._is_stretched else Fit.of(size_hw, self.side)

    def encode(self, images: Tensor) -> FrameFeatures:
        found = [self._encoder({"image": image[None].numpy()}) for image in images]
        joined = {name: torch.from_numpy(np.concatenate([one[name] for one in found])) for name in found[0]}
        return FrameFeatures(**joined)

    def predict(self, image: FrameFeatures, prompts: PromptBatch, *, multimask: bool = False) -> tuple[Tensor, Tensor]:
        if multimask:
            raise BackendError(f"{self._name!r} was exported for single masks; choose runtime 'torch' for several.")
        return self._run_decoder(self._decoder, image, prompts)

    def predict_beside(self, image: FrameFeatures, prompts: PromptBatch) -> tuple[Tensor, Tensor]:
        """The same on one core: for several threads that predict at the same time, which together are done sooner."""
        return self._run_decoder(self._decoder_beside, image, prompts)

    def _run_decoder(self, decoder: Graph, image: FrameFeatures, prompts: PromptBatch) -> tuple[Tensor, Tensor]:
        parts = self._parts(image)
        outputs = [decoder({**parts, **self._prompt_inputs(prompts.alone(k))}) for k in range(len(prompts.xy))]
        logits, iou = (np.concatenate([output[name] for output in outputs]) for name in OUTPUTS)
        return torch.from_numpy(logits), torch.from_numpy(iou)

    def _parts(self, image: FrameFeatures) -> dict[str, np.ndarray]:
        with self._lock:
            if self._seen is None or self._seen[0] is not image:
                self._seen = (image, self._frame({name: value.numpy() for name, value in image.maps().items()}))
            return self._seen[1]

    def _prompt_inputs(self, prompt: PromptBatch) -> dict[str, np.ndarray]:
        """One prompt: on a CPU several together take no less time."""
        masks = prompt.masks
        if masks is None:
            masks = torch.zeros(1, 1, self.mask_side, self.mask_side)
        inputs = {"xy": prompt.xy, "kinds": prompt.kinds, "masks": masks, "has_mask": prompt.has_mask}
        return {name: value.numpy() for name, value in inputs.items()}


def _open_onnxruntime(path: Path, *, name: str, precision: str, beside: bool) -> Graph:
    from sampt.backends.onnx_files import open_session

    session = open_session(path, name, threads=1 if beside else None)
    outputs = [item.name for item in session.get_outputs()]

    def run(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(outputs, session.run(None, dict(arrays)), strict=True))

    return run


_OPENVINO_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
_PRECISIONS = {"onnxruntime": ("float32",), "openvino": tuple(_OPENVINO_PRECISIONS)}


def check_precision(engine: str, precision: str, name: str) -> None:
    """For the segmenter called ``name``: refuse a precision that the engine, "onnxruntime" or "openvino", does not have.

    Raises:
        BackendError: it does not.
    """
    choices = _PRECISIONS[engine]
    if precision not in ("auto", *choices):
        text = f"one of {', '.join(map(repr, choices))}" if len(choices) > 1 else f"'auto' or {choices[0]!r}"
        raise BackendError(f"{name!r} with runtime {engine!r} got precision {precision!r}, expected {text}.")


def _open_openvino(path: Path, *, name: str, precision: str, beside: bool) -> Graph:
    try:
        with without_openvino_telemetry():
            import openvino
    except ImportError as error:
        raise BackendError(
            f"{name!r} with runtime 'openvino' needs a package that is not here ({error}). Run: pip install 'sampt[openvino]'."
        ) from error
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _OPENVINO_PRECISIONS[precision], "NUM_STREAMS": 1}
    if beside:
        cores = num_cores()
        settings |= {"NUM_STREAMS": cores, "INFERENCE_NUM_THREADS": cores}
    try:
        model = openvino.Core().compile_model(str(path), "CPU", settings)
    except Exception as error:  # OpenVINO raises RuntimeError and classes of its own
        line = " ".join(str(error).split())[:160]
        raise BackendError(f"{name!r} cannot read {path} by OpenVINO: {line}. Export it again.") from error
    known = {*FEATURES, *FRAME_PARTS, *OUTPUTS}
    outputs = [next(iter(known & item.get_names())) for item in model.outputs]  # each has names of inner nodes, too
    own = threading.local()  # each thread has a request of its own

    def run(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if not hasattr(own, "request"):
            own.request = model.create_infer_request()
        found = own.request.infer(dict(arrays), share_inputs=True)
        return {name: np.array(found[k]) for k, name in enumerate(outputs)}  # a copy: the next call writes to the same memory

    return run


_ENGINES: dict[str, Callable[..., Graph]] = {"onnxruntime": _open_onnxruntime, "openvino": _open_openvino}
