"""`sam3`: SAM 3 on single frames. It needs `sampt[sam]` and weights that their authors give on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.segmenters.sam.create import create_model

if TYPE_CHECKING:
    from sampt.segmenters.sam.adapter import SamSegmenter
    from sampt.segmenters.sam3.concepts import ConceptSegmenter

__all__ = ["create", "create_concepts"]


def create(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> SamSegmenter:
    """Make `sam3`; see :func:`~sampt.segmenters.sam.create.create_model`."""
    return create_model("sam3", weights, device, runtime, precision)


def create_concepts(*, weights: str | None = "default", device: str = "auto", precision: str = "auto") -> ConceptSegmenter:
    """Make what finds all objects that a few words name; see :class:`~sampt.segmenters.sam3.concepts.ConceptSegmenter`.

    Args:
        weights: "default" for the official files, which have to be at hand; the path of a folder as ``transformers`` writes
            it, with ``model.safetensors`` and ``tokenizer.json``; None or "random" for random weights.
        device: as for :func:`create`.
        precision: as for :func:`create`.

    Raises:
        BackendError: as :func:`create`; or there are no words' numbers (``tokenizer.json``) with the weights.
    """
    from sampt.backends.options import check_sam_packages, importing_sam_packages
    from sampt.segmenters.sam3.weights import concept_files

    check_sam_packages("sam3", "transformers", "tokenizers")
    files = concept_files(weights)
    with importing_sam_packages("sam3"):
        from sampt.segmenters.sam3.concepts import ConceptSegmenter

        return ConceptSegmenter.load(files, device, precision=precision)
