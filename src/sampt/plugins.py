"""Names of back ends -> back ends. A back end is imported when it is created, never before.

Built-in back ends stand in a table of strings; others join by the entry-point groups ``sampt.trackers`` and
``sampt.segmenters``, each entry a factory ``create(*, weights, device)``. A factory that also takes ``runtime`` or
``precision`` leaves its users that choice, of all values or of those that :func:`offers` names.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from sampt.errors import BackendError, did_you_mean

if TYPE_CHECKING:
    from sampt.segmenters.base import PromptableSegmenter
    from sampt.trackers.base import PointTracker

__all__ = [
    "OPTIONS",
    "available",
    "check_option",
    "choices_of",
    "create_segmenter",
    "create_tracker",
    "needing_torch",
    "offers",
    "options_of",
    "runs_on_torch",
]

_Factory = TypeVar("_Factory", bound=Callable[..., Any])

OPTIONS = {
    "runtime": ("auto", "torch", "compiled", "onnxruntime", "openvino"),
    "precision": ("auto", "float32", "bfloat16", "float16"),
}
"""What some back ends leave the choice of, and the values; "auto" is what the back end does by itself."""

_BUILT_IN = {
    "tracker": {
        "bootstapir": "sampt.trackers.tapir:create_boots",
        "bootstapir-causal": "sampt.trackers.tapir:create_boots_causal",
        "cotracker3-offline": "sampt.trackers.cotracker:create_offline",
        "cotracker3-online": "sampt.trackers.cotracker:create_online",
        "dis-flow": "sampt.trackers.dis_flow:create",
        "lightglue": "sampt.trackers.keypoints:create_lightglue",
        "lightglue-superpoint": "sampt.trackers.keypoints:create_lightglue_superpoint",
        "lucas-kanade": "sampt.trackers.lucas_kanade:create",
        "nano": "sampt.trackers.nano:create",
        "pips": "sampt.trackers.pips:create",
        "pips-pp": "sampt.trackers.pips_pp:create",
        "raft": "sampt.trackers.raft:create",
        "raft-small": "sampt.trackers.raft:create_small",
        "superglue": "sampt.trackers.keypoints:create_superglue",
        "tapir": "sampt.trackers.tapir:create",
        "tapnext": "sampt.trackers.tapnext:create",
        "tapnext-pp": "sampt.trackers.tapnext:create_pp",
        "tapnext-pp-512": "sampt.trackers.tapnext:create_pp_512",
    },
    "segmenter": {
        "grabcut": "sampt.segmenters.grabcut:create",
        "hq-sam-vit-b": "sampt.segmenters.hq_sam:create_vit_b",
        "hq-sam-vit-h": "sampt.segmenters.hq_sam:create_vit_h",
        "hq-sam-vit-l": "sampt.segmenters.hq_sam:create_vit_l",
        "light-hq-sam": "sampt.segmenters.mobile_sam:create_light_hq",
        "mobile-sam": "sampt.segmenters.mobile_sam:create",
        "nano": "sampt.segmenters.nano:create",
        "sam-vit-b": "sampt.segmenters.sam:create_vit_b",
        "sam-vit-h": "sampt.segmenters.sam:create_vit_h",
        "sam-vit-l": "sampt.segmenters.sam:create_vit_l",
        "sam2.1-base-plus": "sampt.segmenters.sam2:create_base_plus",
        "sam2.1-large": "sampt.segmenters.sam2:create_large",
        "sam2.1-small": "sampt.segmenters.sam2:create_small",
        "sam2.1-tiny": "sampt.segmenters.sam2:create_tiny",
    },
}


def available(kind: str) -> tuple[str, ...]:
    """Names of all back ends of ``kind`` ("tracker" or "segmenter"), built-in and installed ones, sorted."""
    return tuple(sorted({*_BUILT_IN[kind], *_entry_points(kind)}))


def create_tracker(
    name: str, *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> PointTracker:
    """Make the tracker called ``name``.

    Args:
        name: a name of :func:`available`.
        weights: "default"; a path; OWNER/NAME on the Hugging Face hub, for back ends that say so; "random" or None for random
            ones without any download.
        device: "auto", "cpu", or what the back end understands.
        runtime: what runs the network, of :data:`OPTIONS`; other values than "auto" only for back ends with that choice.
        precision: of the computation, likewise.

    Raises:
        BackendError: the name or a value is unknown, the back end has no such choice, or cannot be imported or made.
    """
    tracker: PointTracker = _create("tracker", name, weights, device, {"runtime": runtime, "precision": precision})
    return tracker


def create_segmenter(
    name: str, *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> PromptableSegmenter:
    """Make the segmenter called ``name``; arguments and errors as for :func:`create_tracker`."""
    options = {"runtime": runtime, "precision": precision}
    segmenter: PromptableSegmenter = _create("segmenter", name, weights, device, options)
    return segmenter


def options_of(kind: str, name: str) -> frozenset[str]:
    """Which of :data:`OPTIONS` the back end ``name`` leaves the choice of; it is imported for that, and not made.

    Raises:
        BackendError: the name is unknown, or the back end cannot be imported.
    """
    return frozenset(choices_of(kind, name))


def choices_of(kind: str, name: str) -> Mapping[str, tuple[str, ...]]:
    """The same, each with its values.

    Raises:
        BackendError: the name is unknown, or the back end cannot be imported.
    """
    return _choices(_factory(kind, name))


def offers(**values: tuple[str, ...]) -> Callable[[_Factory], _Factory]:
    """Marks a factory that takes an option of :data:`OPTIONS` but not all of its values: those given here, and "auto"."""

    def mark(factory: _Factory) -> _Factory:
        vars(factory)["offers"] = {what: ("auto", *some) for what, some in values.items()}
        return factory

    return mark


runs_on_torch = offers(runtime=("torch", "compiled"))
"""Marks factories whose back ends run by :func:`sampt.torch_networks.place`."""


@contextmanager
def needing_torch(name: str) -> Iterator[None]:
    """Around the import of what runs PyTorch, for the back end ``name``.

    Raises:
        BackendError: a package is not there; with the command that installs it.
    """
    try:
        yield
    except ImportError as error:
        raise BackendError(f"{name!r} needs PyTorch ({error}). Run: pip install 'sampt[torch]'.") from error


def check_option(what: str, value: str) -> None:
    """Refuse a value that :data:`OPTIONS` does not have for ``what``.

    Raises:
        BackendError: it does not.
    """
    choices = OPTIONS[what]
    if value not in choices:
        raise BackendError(f"Unknown {what} {value!r}.{did_you_mean(value, choices)} Expected one of: {', '.join(choices)}.")


def _entry_points(kind: str) -> dict[str, metadata.EntryPoint]:
    return {entry.name: entry for entry in metadata.entry_points(group=f"sampt.{kind}s")}


def _create(kind: str, name: str, weights: str | None, device: str, options: dict[str, str]) -> Any:
    for what, value in options.items():
        check_option(what, value)
    factory = _factory(kind, name)
    given = {what: value for what, value in options.items() if value != "auto"}
    choices = _choices(factory)
    for what, value in sorted(given.items()):
        if what not in choices:
            raise BackendError(f"{name!r} has no choice of {what}, got {value!r}; leave the option out.")
        if value not in choices[what]:
            raise BackendError(f"{name!r} has no {what} {value!r}; expected one of: {', '.join(choices[what])}.")
    return factory(weights=None if weights == "random" else weights, device=device, **given)


def _choices(factory: Callable[..., Any]) -> dict[str, tuple[str, ...]]:
    parameters = inspect.signature(factory).parameters.values()
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    offered: Mapping[str, tuple[str, ...]] = getattr(factory, "offers", {})
    taken = OPTIONS if takes_all else OPTIONS.keys() & {p.name for p in parameters}
    return {what: offered.get(what, OPTIONS[what]) for what in taken}


def _factory(kind: str, name: str) -> Callable[..., Any]:
    target = _BUILT_IN[kind].get(name)
    entry = None if target else _entry_points(kind).get(name)
    if target is None and entry is None:
        names = available(kind)
        raise BackendError(f"Unknown {kind} {name!r}.{did_you_mean(name, names)} Available: {', '.join(names)}.")
    try:
        if target is not None:
            module, _, attribute = target.partition(":")
            factory = getattr(importlib.import_module(module), attribute)
        else:
            assert entry is not None
            factory = entry.load()
    except (ImportError, AttributeError) as error:
        where = target or f"{entry.value} (package {entry.dist.name if entry.dist else '?'})"  # type: ignore[union-attr]
        raise BackendError(f"The {kind} {name!r} cannot be imported from {where}: {error}. Install what it needs.") from error
    made: Callable[..., Any] = factory
    return made


def check_no_weights(weights: str | None, name: str) -> None:
    """For back ends without weights: refuse a file of them."""
    if weights not in ("default", None):
        raise BackendError(f"{name!r} has no weights, got {weights!r}; leave the option out.")


def check_device(device: str, name: str) -> None:
    """For back ends that run on the CPU alone: refuse any other device."""
    if device not in ("auto", "cpu"):
        raise BackendError(f"{name!r} cannot run on device {device!r}; it runs on the CPU: choose 'auto' or 'cpu'.")
