"""Official checkpoints: which there are, under which licences, fetched once, verified, read without running code from them."""

from __future__ import annotations

from sampt.weights.cache import Verification, cached_path, is_offline, verify, weights_folder
from sampt.weights.checkpoint import load_checkpoint
from sampt.weights.fetch import Progress, fetch
from sampt.weights.sources import SOURCES, WeightsSource, default_source, find_source

__all__ = [
    "SOURCES",
    "Progress",
    "Verification",
    "WeightsSource",
    "cached_path",
    "default_source",
    "fetch",
    "find_source",
    "is_offline",
    "load_checkpoint",
    "verify",
    "weights_folder",
]
