"""`superglue`, `lightglue`, `lightglue-superpoint`: points carried by matched keypoints. They need `sampt[sam]` and weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sampt.errors import BackendError
from sampt.trackers.base import TrackerInfo
from sampt.weights import default_source, fetch
from sampt.weights.choice import local_weights
from sampt.weights.sources import SOURCES

if TYPE_CHECKING:
    from sampt.trackers.keypoints.adapter import KeypointTracker

__all__ = ["create_lightglue", "create_lightglue_superpoint", "create_superglue"]

_SUPERGLUE = "Sarlin et al., SuperGlue, CVPR 2020 (arXiv 1911.11763); DeTone et al., SuperPoint, CVPRW 2018 (arXiv 1712.07629)"
_LIGHTGLUE = "Lindenberger et al., LightGlue, ICCV 2023 (arXiv 2306.13643)"
_SUPERPOINT = f"{_LIGHTGLUE}; DeTone et al., SuperPoint, CVPRW 2018 (arXiv 1712.07629)"
_ALIKED = f"{_LIGHTGLUE}; Zhao et al., ALIKED, TIM 2023 (arXiv 2304.03608)"
_BOTH_LICENCES = "Apache-2.0; ALIKED: BSD-3-Clause"
_FILES = SOURCES["aliked-n16"], SOURCES["aliked-lightglue"]
"""Of `lightglue`: the detector's file and the matcher's."""


def create_superglue(*, weights: str | None = "default", device: str = "auto") -> KeypointTracker:
    """Make the tracker `superglue`: SuperPoint and SuperGlue. Their weights are not for commercial use.

    Args:
        weights: "default" for the outdoor ones, or OWNER/NAME on the Hugging Face hub, fetched as :func:`sampt.weights.fetch`
            says; the path of a file for `transformers`, or of a folder as it writes it; or None for random ones.
        device: "auto" for the GPU when PyTorch has one, else the CPU; or a PyTorch device such as "cuda:1".

    Raises:
        BackendError: the weights cannot be fetched or are not those of this network, the device is not there, or a package is
            missing.
    """
    return _create_whole("superglue", weights, device, _SUPERGLUE)


def create_lightglue_superpoint(*, weights: str | None = "default", device: str = "auto") -> KeypointTracker:
    """Make the tracker `lightglue-superpoint`: SuperPoint, whose weights are not for commercial use, and LightGlue.

    Arguments and errors as for :func:`create_superglue`.
    """
    return _create_whole("lightglue-superpoint", weights, device, _SUPERPOINT)


def create_lightglue(*, weights: str | None = "default", device: str = "auto") -> KeypointTracker:
    """Make the tracker `lightglue`: ALIKED and LightGlue, both of permissive licences.

    Args:
        weights: "default" for the two official files, fetched as :func:`sampt.weights.fetch` says; the path of a folder that
            has both; or None for random ones.
        device: as for :func:`create_superglue`.

    Raises:
        BackendError: as for :func:`create_superglue`.
    """
    name = "lightglue"
    _check_packages(name, "kornia")
    files = _pair_of_files(name, weights)
    with _importing(name):
        from sampt.backends.torch_networks import running_on
        from sampt.trackers.keypoints.adapter import KeypointTracker
        from sampt.trackers.keypoints.matchers import LightGlueMatcher
        from sampt.trackers.keypoints.networks import build_aliked, load_pair

        networks = build_aliked()
        if files is not None:
            load_pair(networks, files, name)
        with running_on(device, name) as place:
            matcher = LightGlueMatcher(networks[0].to(place), networks[1].to(place), place)
        info = TrackerInfo(name, _BOTH_LICENCES, _BOTH_LICENCES, is_causal=True, device=str(place), source=_ALIKED)
        return KeypointTracker(info, matcher)


def _create_whole(name: str, weights: str | None, device: str, source: str) -> KeypointTracker:
    _check_packages(name, "transformers")
    path = local_weights(name, weights)
    with _importing(name):
        from sampt.backends.torch_networks import running_on
        from sampt.trackers.keypoints.adapter import KeypointTracker
        from sampt.trackers.keypoints.matchers import TransformersMatcher
        from sampt.trackers.keypoints.networks import build_lightglue, build_superglue, load_whole

        network = build_superglue() if name == "superglue" else build_lightglue()
        if path is not None:
            load_whole(network, path, name)
        with running_on(device, name) as place:
            matcher = TransformersMatcher(network.to(place), place)
        facts = default_source(name)
        licences = facts.licence_code, facts.licence_weights
        return KeypointTracker(TrackerInfo(name, *licences, is_causal=True, device=str(place), source=source), matcher)


def _pair_of_files(name: str, weights: str | None) -> tuple[Path, Path] | None:
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


def _check_packages(name: str, package: str) -> None:
    missing = [package for package in ("torch", package) if importlib.util.find_spec(package) is None]
    if missing:
        raise BackendError(f"{name!r} needs {' and '.join(missing)}, not installed here. Run: pip install 'sampt[sam]'.")


@contextmanager
def _importing(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise BackendError(
            f"{name!r} cannot import what it is built from ({error}). Run: pip install --upgrade 'sampt[sam]'."
        ) from error
