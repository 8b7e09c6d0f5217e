"""`superglue`, `lightglue`, `lightglue-superpoint`: points carried by matched keypoints. They need `sampt[sam]` and weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sampt.backends.options import check_sam_packages, importing_sam_packages
from sampt.backends.table import TRACKERS
from sampt.errors import BackendError
from sampt.weights import fetch
from sampt.weights.choice import local_weights
from sampt.weights.sources import SOURCES

if TYPE_CHECKING:
    from sampt.trackers.keypoints.adapter import KeypointTracker

__all__ = ["create_lightglue", "create_lightglue_superpoint", "create_superglue"]

_FILES = SOURCES["aliked-n16"], SOURCES["aliked-lightglue"]
"""Of `lightglue`: the detector's file and the matcher's."""


def create_superglue(*, weights: str | None = "default", device: str = "auto") -> KeypointTracker:
    """Make the tracker `superglue`; see :func:`sampt.trackers.create.create_tracker`."""
    return _create_whole("superglue", weights, device)


def create_lightglue_superpoint(*, weights: str | None = "default", device: str = "auto") -> KeypointTracker:
    """Make the tracker `lightglue-superpoint`; see :func:`sampt.trackers.create.create_tracker`."""
    return _create_whole("lightglue-superpoint", weights, device)


def create_lightglue(*, weights: str | None = "default", device: str = "auto") -> KeypointTracker:
    """Make the tracker `lightglue`; see :func:`sampt.trackers.create.create_tracker`.

    Weights of one's own are a folder with the two official files, of the detector and of the matcher.
    """
    name = "lightglue"
    check_sam_packages(name, "kornia")
    files = _split_files(name, weights)
    with importing_sam_packages(name):
        from sampt.backends.torch_networks import running_on
        from sampt.trackers.keypoints.adapter import KeypointTracker
        from sampt.trackers.keypoints.carry import WIDE_LIMITS
        from sampt.trackers.keypoints.matchers import LightGlueMatcher
        from sampt.trackers.keypoints.networks import build_aliked, load_pair

        networks = build_aliked()
        if files is not None:
            load_pair(networks, files, name)
        with running_on(device, name) as location:
            matcher = LightGlueMatcher(networks[0].to(location), networks[1].to(location), location)
        return KeypointTracker(replace(TRACKERS[name].info, device=str(location)), matcher, limits=WIDE_LIMITS)


def _create_whole(name: str, weights: str | None, device: str) -> KeypointTracker:
    check_sam_packages(name, "transformers")
    path = local_weights(name, weights)
    with importing_sam_packages(name):
        from sampt.backends.torch_networks import running_on
        from sampt.trackers.keypoints.adapter import KeypointTracker
        from sampt.trackers.keypoints.matchers import TransformersMatcher
        from sampt.trackers.keypoints.networks import build_lightglue, build_superglue, load_whole

        network = build_superglue() if name == "superglue" else build_lightglue()
        if path is not None:
            load_whole(network, path, name)
        with running_on(device, name) as location:
            matcher = TransformersMatcher(network.to(location), location)
        return KeypointTracker(replace(TRACKERS[name].info, device=str(location)), matcher)


def _split_files(name: str, weights: str | None) -> tuple[Path, Path] | None:
    """The files of the detector and of the matcher."""
    if weights is None or weights == "random":
        return None
    if weights == "default":
        return fetch(_FILES[0]), fetch(_FILES[1])
    names, folder = [source.file for source in _FILES], Path(weights).expanduser()
    missing = [file for file in names if not (folder / file).is_file()]
    if missing:
        raise BackendError(
            f"{name!r} found no {' and no '.join(missing)} at {weights}; expected a folder with {' and '.join(names)}."
        )
    return folder / names[0], folder / names[1]
