"""Which files a detector of words is loaded from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sampt.errors import BackendError
from sampt.weights import fetch, find_source
from sampt.weights.fetch import fetch_first
from sampt.weights.sources import hub_file_source, hub_sources, is_hub_id

__all__ = ["TextFiles", "find_files"]

_DEFAULT = {
    "text": ("owlv2", {"vocab.json": "owlv2-vocab", "merges.txt": "owlv2-merges"}),
    "text-grounding-dino": ("grounding-dino", {"vocab.txt": "grounding-dino-vocab"}),
}
_WORDS = {"text": ("vocab.json", "merges.txt"), "text-grounding-dino": ("vocab.txt",)}
"""Files with the numbers of words, where a folder has no ``tokenizer.json``."""


@dataclass(frozen=True)
class TextFiles:
    """Files of a network.

    Attributes:
        weights: of it.
        config: its sizes, as ``transformers`` writes them; None for those of the published network.
        words: the numbers of words, files by the names that ``transformers`` gives them.
    """

    weights: Path
    config: Path | None
    words: dict[str, Path]


def find_files(name: str, weights: str | None) -> TextFiles | None:
    """The files of ``weights``, which are as for :func:`sampt.proposers.text.create`; None for random ones.

    Raises:
        BackendError: they are not there and cannot be fetched.
    """
    if weights is None or weights == "random":
        return None
    if weights == "default":
        model, sources = _DEFAULT[name]
        return TextFiles(
            fetch(find_source(model)), None, {file: fetch(find_source(source)) for file, source in sources.items()}
        )
    folder = Path(weights).expanduser()
    if is_hub_id(weights) and not folder.exists():
        fetched = {file: fetch(hub_file_source(weights, file)) for file in _WORDS[name]}
        return TextFiles(fetch_first(hub_sources(weights)), fetch(hub_file_source(weights, "config.json")), fetched)
    words = {"tokenizer.json": folder / "tokenizer.json"}
    if not words["tokenizer.json"].is_file():
        words = {file: folder / file for file in _WORDS[name]}
    files = TextFiles(folder / "model.safetensors", folder / "config.json", words)
    for file in (files.weights, folder / "config.json", *files.words.values()):
        if not file.is_file():
            raise BackendError(
                f"{name!r} got weights {weights!r}, where there is no {file.name}; expected 'default', OWNER/NAME on the "
                f"hub, or a folder with model.safetensors, config.json and tokenizer.json or {' and '.join(_WORDS[name])}."
            )
    return files
