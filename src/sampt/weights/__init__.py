"""Official checkpoints: which there are, under which licences, fetched once, verified, read without running code from them."""

from __future__ import annotations

from sampt.weights.cache import Verification, cached_path, is_offline, verify, weights_folder
from sampt.weights.checkpoint import load_checkpoint
from sampt.weights.choice import WeightsFacts, describe_source, describe_weights, local_weights, weights_identity
from sampt.weights.fetch import Progress, downloads_shown_by, fetch, fetch_first, no_downloads
from sampt.weights.sources import SOURCES, WeightsSource, default_source, find_source, find_sources

__all__ = [
    "SOURCES",
    "Progress",
    "Verification",
    "WeightsFacts",
    "WeightsSource",
    "cached_path",
    "default_source",
    "describe_source",
    "describe_weights",
    "downloads_shown_by",
    "fetch",
    "fetch_first",
    "find_source",
    "find_sources",
    "is_offline",
    "load_checkpoint",
    "local_weights",
    "no_downloads",
    "verify",
    "weights_folder",
    "weights_identity",
]
