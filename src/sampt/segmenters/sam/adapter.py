"""The Segment Anything family behind the interface of a segmenter: frames in, masks out, as the official predictor does it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sampt.backends.options import check_option
from sampt.backends.table import SEGMENTERS
from sampt.backends.torch_networks import running_on
from sampt.errors import BackendError
from sampt.files.names import name_bytes
from sampt.segmenters.automatic import AutomaticMaskConfig, Candidate
from sampt.segmenters.base import RefinementPlan, SegmenterInfo
from sampt.segmenters.sam.candidates import find_candidates
from sampt.segmenters.sam.checkpoint import identify, load_network
from sampt.segmenters.sam.models import SamModel
from sampt.segmenters.sam.network import FrameFeatures
from sampt.segmenters.sam.prompts import PromptBatch, make_batch
from sampt.segmenters.sam.refinement import PromptContext, predict_with_refinement
from sampt.segmenters.sam.resizing import Fit, find_boxes, find_boxes_low_res, to_square, upsample
from sampt.segmenters.sam.runtime import TorchRuntime, default_precision, reporting_memory
from sampt.types import FloatArray, MaskPrediction, ObjectPrompt, UInt8Array
from sampt.weights import weights_folder

if TYPE_CHECKING:
    from sampt.segmenters.sam.runtime import SamRuntime

__all__ = ["SamEmbedding", "SamSegmenter", "export_folder"]

_ENCODE_BATCH = {"cpu": 1}
_ENCODE_BATCH_ELSEWHERE = 4
_MAX_TOGETHER = 16
"""Prompts decoded at a time: each takes some 50 MB in between."""
_MAX_LOGITS = 1 << 25
"""Full-size logits made at a time on the device, but at least one object's."""


@dataclass(frozen=True, eq=False)
class SamEmbedding:
    """A frame that the network has looked at: its features, on the device, and how it lies in the network's square."""

    features: FrameFeatures
    fit: Fit


def export_folder(model: SamModel, path: Path) -> Path:
    """Where an export of ``model`` with the weights at ``path`` belongs."""
    digest = hashlib.sha256(name_bytes(identify(path))).hexdigest()[:12]
    return weights_folder() / "exported" / f"{model.name}-{digest}"


class SamSegmenter:
    """A model of the family; fills :class:`~sampt.segmenters.base.PromptableSegmenter`, and goes through rounds by itself.

    Prompts get the single-mask output, as in SAM-PT; the score is the predicted IoU, clipped to [0, 1]; ``low_res_logits`` are
    a (256, 256) tensor on the device. No randomness, no state.

    Args:
        model: what it is.
        load: gives what runs the network, on ``device``; called once, when the network is first needed.
        device: where it runs.
        has_weights: False for random ones.
        identity: of the weights, precision and runtime, for caches.
    """

    def __init__(
        self,
        model: SamModel,
        load: Callable[[], SamRuntime],
        device: torch.device,
        *,
        has_weights: bool = False,
        identity: str = "random",
    ) -> None:
        self._model, self._load, self._device, self._has_weights = model, load, device, has_weights
        self._identity = identity

    @classmethod
    def load(
        cls, model: SamModel, path: Path | None, device: str, *, runtime: str = "auto", precision: str = "auto"
    ) -> SamSegmenter:
        """See :func:`sampt.segmenters.sam.create.create_model`; weights at a path are loaded now, random ones when needed."""
        check_option("runtime", runtime)
        check_option("precision", precision)
        kind = "torch" if runtime == "auto" else runtime
        if kind not in ("torch", "compiled"):
            return cls._exported(model, path, device, kind, precision)
        with running_on(device, model.name) as location:
            chosen = default_precision(location) if precision == "auto" else precision

            def make() -> SamRuntime:
                network = load_network(model, path).to(location)
                return TorchRuntime(network, location, chosen, compiles=kind == "compiled", name=model.name)

            identity = f"{model.name} {identify(path)} {kind} {chosen}"
            segmenter = cls(model, make, location, has_weights=path is not None, identity=identity)
            if path is not None:
                _ = segmenter.runtime
        return segmenter

    @classmethod
    def _exported(cls, model: SamModel, path: Path | None, device: str, engine: str, precision: str) -> SamSegmenter:
        from sampt.segmenters.sam.exported import NOTE, ExportedRuntime, ExportNote, check_precision

        if not model.is_exportable:
            raise BackendError(f"{model.name!r} got runtime {engine!r}, expected 'torch' or 'compiled': it is not exported.")
        check_precision(engine, precision, model.name)
        if device not in ("auto", "cpu"):
            raise BackendError(f"{model.name!r} with runtime {engine!r} got device {device!r}, expected 'auto' or 'cpu'.")
        if path is None:
            raise BackendError(
                f"{model.name!r} with runtime {engine!r} got random weights, expected a checkpoint or an export."
            )
        folder = path if (path / NOTE).is_file() else export_folder(model, path)
        if not folder.is_dir():
            raise BackendError(
                f"{model.name!r} is not exported for runtime {engine!r} ({folder} is not there); run: sampt weights export "
                f"{model.name}, with --weights if they are your own."
            )
        note = ExportNote.read(folder, model.name)
        chosen = "float32" if precision == "auto" else precision
        identity = f"{model.name} {note.weights_identity} {engine} {chosen}"
        load = partial(ExportedRuntime, folder, engine, chosen, model.name)
        segmenter = cls(model, load, torch.device("cpu"), has_weights=note.weights_identity != "random", identity=identity)
        _ = segmenter.runtime
        return segmenter

    @cached_property
    def runtime(self) -> SamRuntime:
        """What runs the network.

        Raises:
            BackendError: the device's memory is too small.
        """
        with self._memory():
            return self._load()

    @property
    def identity(self) -> str:
        """Changes whenever the embedding of an equal frame could."""
        return self._identity

    @property
    def info(self) -> SegmenterInfo:
        described = SEGMENTERS[self._model.name].info
        return replace(
            described,
            license_weights=described.license_weights if self._has_weights else None,
            encode_batch=_ENCODE_BATCH.get(self._device.type, _ENCODE_BATCH_ELSEWHERE),
            device=str(self._device),
        )

    @torch.inference_mode()
    def encode(self, frames: UInt8Array) -> Sequence[SamEmbedding]:
        """Look at (b, h, w, 3) uint8 RGB frames, ``info.encode_batch`` at a time.

        Raises:
            BackendError: the device's memory is too small.
        """
        fit = self.runtime.fit((frames.shape[1], frames.shape[2]))
        size = self.info.encode_batch
        embeddings: list[SamEmbedding] = []
        with self._memory():
            for start in range(0, len(frames), size):
                part = frames[start : start + size]
                seen = self.runtime.encode(to_square(part, fit, self._device))
                embeddings += [SamEmbedding(seen.at(k), fit) for k in range(len(part))]
        return embeddings

    @torch.inference_mode()
    def decode(
        self, embedding: SamEmbedding, prompts: Sequence[ObjectPrompt], *, full_size: bool = True
    ) -> list[MaskPrediction]:
        """Predict for all prompts in batches; see :meth:`~sampt.segmenters.base.PromptableSegmenter.decode`.

        Raises:
            BackendError: a prompt has neither a positive point nor a box, or logits of another size, or the device's memory is
                too small.
        """
        limit = self.runtime.logit_limit
        predictions: list[MaskPrediction] = []
        with self._memory():
            for start in range(0, len(prompts), _MAX_TOGETHER):
                prompted = prompts[start : start + _MAX_TOGETHER]
                logits, iou = self.runtime.predict(embedding.features, self._batch(embedding, prompted))
                predictions += _predictions(prompted, logits[:, 0], iou[:, 0], embedding.fit, full_size, limit)
        return predictions

    @torch.inference_mode()
    def decode_with_refinement(
        self, embedding: SamEmbedding, prompts: Sequence[ObjectPrompt], plan: RefinementPlan
    ) -> list[MaskPrediction]:
        """All passes on the device; see :class:`~sampt.segmenters.base.RefiningSegmenter`.

        Raises:
            BackendError: as :meth:`decode`.
        """
        predictions: list[MaskPrediction] = []
        with self._memory():
            for start in range(0, len(prompts), _MAX_TOGETHER):
                prompted = prompts[start : start + _MAX_TOGETHER]
                logits, iou = self._predict_with_refinement(embedding, prompted, plan)
                predictions += _predictions(prompted, logits[:, 0], iou[:, 0], embedding.fit, True, self.runtime.logit_limit)
        return predictions

    def _predict_with_refinement(
        self, embedding: SamEmbedding, prompts: Sequence[ObjectPrompt], plan: RefinementPlan
    ) -> tuple[Tensor, Tensor]:
        runtime, features = self.runtime, embedding.features
        context = PromptContext(
            partial(runtime.predict, features),
            partial(self._batch, embedding),
            embedding.fit,
            runtime.ends_boxes,
            runtime.logit_limit,
        )
        beside = getattr(runtime, "predict_beside", None)
        if beside is None or len(prompts) == 1:
            return predict_with_refinement(context, prompts, plan)
        context = replace(context, predict=partial(beside, features))

        @torch.inference_mode()
        def predict_one(prompt: ObjectPrompt) -> tuple[Tensor, Tensor]:
            return predict_with_refinement(context, [prompt], plan)

        logits, iou = zip(*self._workers.map(predict_one, prompts), strict=True)
        return torch.cat(logits), torch.cat(iou)

    @cached_property
    def _workers(self) -> ThreadPoolExecutor:
        """One thread for each object that goes through its refinement steps beside the others."""
        return ThreadPoolExecutor(_MAX_TOGETHER, thread_name_prefix="sampt-sam")

    @torch.inference_mode()
    def candidates(self, embedding: SamEmbedding, points_xy: FloatArray, config: AutomaticMaskConfig) -> list[Candidate]:
        """All masks for single points; see :class:`~sampt.segmenters.automatic.CandidateSegmenter`.

        Raises:
            BackendError: the network was exported for single masks, or the device's memory is too small.
        """
        predict = partial(self.runtime.predict, embedding.features, multimask=True)
        with self._memory():
            return find_candidates(predict, partial(self._batch, embedding), embedding.fit, points_xy, config)

    def embedding_bytes(self, embedding: SamEmbedding) -> int:
        """Memory of an embedding, on the device."""
        return sum(value.nbytes for value in embedding.features.maps().values())

    def pack(self, embedding: SamEmbedding) -> Mapping[str, np.ndarray]:
        """The embedding as arrays by name; bfloat16, which NumPy lacks, as the 16 bits that it is."""
        packed = {"size_hw": np.array(embedding.fit.size_hw)}
        for name, value in embedding.features.maps().items():
            is_brain = value.dtype == torch.bfloat16
            packed[f"{name}_bfloat16" if is_brain else name] = (value.view(torch.int16) if is_brain else value).cpu().numpy()
        return packed

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> SamEmbedding:
        """The inverse of :meth:`pack`."""
        height, width = (int(n) for n in arrays["size_hw"])
        maps = {}
        for name, value in arrays.items():
            if name != "size_hw":
                tensor = torch.from_numpy(value)
                plain, found, _ = name.partition("_bfloat16")
                maps[plain] = (tensor.view(torch.bfloat16) if found else tensor).to(self._device)
        return SamEmbedding(FrameFeatures(**maps), self.runtime.fit((height, width)))

    def _batch(self, embedding: SamEmbedding, prompts: Sequence[ObjectPrompt]) -> PromptBatch:
        runtime = self.runtime
        return make_batch(
            prompts, embedding.fit, runtime.mask_side, self._device, self._model.name, ends_boxes=runtime.ends_boxes
        )

    def _memory(self) -> AbstractContextManager[None]:
        return reporting_memory(self._model.name, self._device)


def _predictions(
    prompts: Sequence[ObjectPrompt], low_res: Tensor, iou: Tensor, fit: Fit, full_size: bool, limit: float | None
) -> list[MaskPrediction]:
    """Low-resolution logits (n, m, m) and IoU (n,) as predictions; only what the caller sees leaves the device."""
    kept = low_res if limit is None else low_res.clamp(-limit, limit)
    scores = np.clip(iou.float().cpu().numpy(), 0, 1)
    size = max(1, _MAX_LOGITS // (fit.size_hw[0] * fit.size_hw[1]))
    predictions: list[MaskPrediction] = []
    for start in range(0, len(prompts), size):
        part = low_res[start : start + size]
        full = upsample(part, fit) if full_size else None
        boxes = (find_boxes_low_res(part, fit) if full is None else find_boxes(full)).cpu().numpy()
        arrays = None if full is None else full.cpu().numpy()
        for k, box in enumerate(boxes):
            at = start + k
            predictions.append(
                MaskPrediction(
                    prompts[at].object_id,
                    float(scores[at]),
                    kept[at],
                    box[:4].astype(np.float32) if box[4] > 1 else None,
                    None if arrays is None else arrays[k],
                )
            )
    return predictions
