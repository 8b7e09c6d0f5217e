"""Which files the concept network is loaded from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sampt.errors import BackendError
from sampt.weights import fetch, find_source

__all__ = ["ConceptFiles", "concept_files"]


@dataclass(frozen=True)
class ConceptFiles:
    """Weights, and the numbers that words have for them."""

    weights: Path
    tokenizer: Path


def concept_files(weights: str | None) -> ConceptFiles | None:
    """The files of ``weights``, which are as for :func:`sampt.segmenters.sam3.create_concepts`; None for random ones.

    Raises:
        BackendError: they are not there.
    """
    if weights is None or weights == "random":
        return None
    if weights == "default":
        return ConceptFiles(fetch(find_source("sam3")), fetch(find_source("sam3-tokenizer")))
    folder = Path(weights).expanduser()
    files = ConceptFiles(folder / "model.safetensors", folder / "tokenizer.json")
    for file in (files.weights, files.tokenizer):
        if not file.is_file():
            raise BackendError(
                f"'sam3' for words got weights {weights!r}, where there is no {file.name}; expected 'default', or a folder "
                f"with {files.weights.name} and {files.tokenizer.name} of {find_source('sam3').page}."
            )
    return files
