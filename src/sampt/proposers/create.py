"""Proposers by name."""

from __future__ import annotations

from sampt.backends.registry import create_backend
from sampt.proposers.base import Proposer

__all__ = ["create_proposer", "split_name"]


def create_proposer(
    name: str, *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> Proposer:
    """Make the proposer called ``name``; arguments and errors as for a tracker, without a support grid.

    A name may have a part after a colon, which the proposer takes as ``argument``: text:WORDS, boxes:FILE.

    See :func:`sampt.trackers.create.create_tracker`.
    """
    kind, argument = split_name(name)
    options = {"runtime": runtime, "precision": precision}
    proposer: Proposer = create_backend("proposer", kind, weights, device, options, argument=argument)
    return proposer


def split_name(name: str) -> tuple[str, str | None]:
    """The name of the backend, and what comes after the colon, if there is one."""
    kind, colon, argument = name.partition(":")
    return kind, argument if colon else None
