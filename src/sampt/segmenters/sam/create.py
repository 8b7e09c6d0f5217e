"""Makes and exports models of the Segment Anything family; their packages are imported only then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sampt.backends.options import check_sam_packages, importing_sam_packages
from sampt.errors import BackendError, did_you_mean
from sampt.segmenters.sam.models import MODELS
from sampt.weights import local_weights

if TYPE_CHECKING:
    from sampt.segmenters.sam.adapter import SamSegmenter

__all__ = ["create_model", "export_model"]


def create_model(name: str, weights: str | None, device: str, runtime: str = "auto", precision: str = "auto") -> SamSegmenter:
    """Make the segmenter called ``name``.

    Args:
        name: a key of :data:`MODELS`.
        weights: "default" for the official checkpoint, or OWNER/NAME on the Hugging Face hub, fetched as
            :func:`sampt.weights.fetch` says; the path of a checkpoint, or of a folder as ``transformers`` writes it; None for
            random weights, made when the first frame is encoded.
        device: "auto" for the GPU when PyTorch has one, else the CPU; or a PyTorch device such as "cuda:1".
        runtime: what runs the network: "torch", "compiled", "onnxruntime", "openvino"; "auto" for "torch".
        precision: of products and convolutions: "float32", "bfloat16", "float16"; "auto" for what suits the device.

    Raises:
        BackendError: the weights cannot be fetched, they are not those of this model, the device is not there, it cannot run so
            there, or a package is missing.
    """
    model = MODELS[name]
    check_sam_packages(name, *model.packages)
    path = local_weights(name, weights)
    with importing_sam_packages(name):
        from sampt.segmenters.sam.adapter import SamSegmenter

        return SamSegmenter.load(model, path, device, runtime=runtime, precision=precision)


def export_model(name: str, weights: str | None = "default", folder: Path | None = None) -> Path:
    """Write the network as ONNX graphs, for the runtimes "onnxruntime" and "openvino".

    Args:
        name: a key of :data:`MODELS`.
        weights: as for :func:`create_model`.
        folder: where to; None for the location in the cache where a segmenter with these weights looks for it.

    Returns:
        The folder, which a segmenter also takes for ``weights``.

    Raises:
        BackendError: there is no such model, a package is missing, the weights are not at hand or not those of this model, the
            folder cannot be written, random weights have no folder, or the graphs do not compute what PyTorch does.
    """
    exportable = [model.name for model in MODELS.values() if model.is_exportable]
    if name not in MODELS:
        raise BackendError(f"Unknown model {name!r}.{did_you_mean(name, exportable)} Can be exported: {', '.join(exportable)}.")
    if name not in exportable:
        raise BackendError(f"{name!r} runs by PyTorch alone and is not exported. Can be exported: {', '.join(exportable)}.")
    model = MODELS[name]
    check_sam_packages(name, *model.packages, "onnx")
    path = local_weights(name, weights)
    with importing_sam_packages(name):
        from sampt.segmenters.sam.adapter import export_folder
        from sampt.segmenters.sam.checkpoint import identify, load_network
        from sampt.segmenters.sam.export import export_network

        if folder is None and path is None:
            raise BackendError(f"The export of {name!r} with random weights needs a folder of its own; name one.")
        target = folder or export_folder(model, path or Path())
        export_network(load_network(model, path), target, name, str(path or "random"), identify(path))
    return target
