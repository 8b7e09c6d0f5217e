"""`text`, `text-grounding-dino`, `text-sam3`: what a few words name. They need `sampt[sam]` and weights.

Written as ``text:a dog``; several kinds of objects with commas or bars between them: ``text:a dog,a red ball``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.backends.options import check_sam_packages, importing_sam_packages
from sampt.proposers.text.files import find_files
from sampt.proposers.text.words import split_words

if TYPE_CHECKING:
    from sampt.proposers.base import Proposer

__all__ = ["create", "create_grounding_dino", "create_sam3"]


def create(*, weights: str | None = "default", device: str = "auto", argument: str | None = None) -> Proposer:
    """Make the proposer `text`, of OWLv2.

    Args:
        weights: "default" for the official files, or OWNER/NAME on the Hugging Face hub, fetched as
            :func:`sampt.weights.fetch` says; a folder as ``transformers`` writes it, with its tokenizer; None for random ones.
        device: "auto" for the GPU when PyTorch has one, else the CPU; or a PyTorch device such as "cuda:1".
        argument: what is looked for.

    Raises:
        BackendError: there are no words, or more than the network reads; the weights cannot be fetched or are not those of this
            network; the device is not there; or a package is missing.
    """
    return _create("text", weights, device, argument)


def create_grounding_dino(*, weights: str | None = "default", device: str = "auto", argument: str | None = None) -> Proposer:
    """Make the proposer `text-grounding-dino`; see :func:`create`."""
    return _create("text-grounding-dino", weights, device, argument)


def create_sam3(*, weights: str | None = "default", device: str = "auto", argument: str | None = None) -> Proposer:
    """Make the proposer `text-sam3`, whose masks are SAM 3's own; see :func:`sampt.segmenters.sam3.create_concepts`."""
    from sampt.proposers.text.sam3 import Sam3Proposer
    from sampt.segmenters.sam3 import create_concepts

    phrases = split_words(argument, "text-sam3")
    return Sam3Proposer(create_concepts(weights=weights, device=device), phrases)


def _create(name: str, weights: str | None, device: str, argument: str | None) -> Proposer:
    phrases = split_words(argument, name)
    check_sam_packages(name, "transformers", "tokenizers")
    files = find_files(name, weights)
    with importing_sam_packages(name):
        from sampt.proposers.text.detectors import TextProposer

        return TextProposer.load(name, files, phrases, device)
