"""What the makers of backends leave open, and what refuses the rest: runtime, precision, weights, device."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sampt.errors import BackendError, did_you_mean

__all__ = [
    "OPTIONS",
    "SETTING_OPTIONS",
    "check_device",
    "check_no_weights",
    "check_option",
    "check_sam_packages",
    "importing_sam_packages",
    "needing_torch",
    "offers",
    "runs_on_torch",
]

_Factory = TypeVar("_Factory", bound=Callable[..., Any])

OPTIONS = {
    "runtime": ("auto", "torch", "compiled", "onnxruntime", "openvino"),
    "precision": ("auto", "float32", "bfloat16", "float16"),
}
"""What some backends leave the choice of, and the values; "auto" is what the backend does by itself."""
SETTING_OPTIONS = {"support_grid": ("auto", "official", "paper", "none")}
"""The same where a setting of the method chooses."""


def offers(**values: tuple[str, ...]) -> Callable[[_Factory], _Factory]:
    """Marks a factory that takes an option of :data:`OPTIONS` but not all of its values: those given here, and "auto"."""

    def mark(factory: _Factory) -> _Factory:
        vars(factory)["offers"] = {what: ("auto", *some) for what, some in values.items()}
        return factory

    return mark


runs_on_torch = offers(runtime=("torch", "compiled"))
"""Marks factories whose backends run by :func:`sampt.backends.torch_networks.put_on_device`."""


@contextmanager
def needing_torch(name: str) -> Iterator[None]:
    """Around the import of what runs PyTorch, for the backend ``name``.

    Raises:
        BackendError: a package is not there; with the command that installs it.
    """
    try:
        yield
    except ImportError as error:
        raise BackendError(f"{name!r} needs PyTorch ({error}). Run: pip install 'sampt[torch]'.") from error


def check_sam_packages(name: str, *packages: str) -> None:
    """For the backend ``name``: refuse to go on without PyTorch and these packages.

    Raises:
        BackendError: one is not there; with the command that installs it.
    """
    missing = [package for package in ("torch", *packages) if importlib.util.find_spec(package) is None]
    if missing:
        raise BackendError(f"{name!r} needs {' and '.join(missing)}, not installed here. Run: pip install 'sampt[sam]'.")


@contextmanager
def importing_sam_packages(name: str) -> Iterator[None]:
    """Around the import of what the backend ``name`` is built from, for packages that are there but do not fit.

    Raises:
        BackendError: something cannot be imported; with the command that mends it.
    """
    try:
        yield
    except ImportError as error:
        raise BackendError(
            f"{name!r} cannot import what it is built from ({error}). Run: pip install --upgrade 'sampt[sam]'."
        ) from error


def check_option(what: str, value: str) -> None:
    """Refuse a value that :data:`OPTIONS` and :data:`SETTING_OPTIONS` do not have for ``what``.

    Raises:
        BackendError: it does not.
    """
    choices = (OPTIONS | SETTING_OPTIONS)[what]
    if value not in choices:
        raise BackendError(f"Unknown {what} {value!r}.{did_you_mean(value, choices)} Expected one of: {', '.join(choices)}.")


def check_no_weights(weights: str | None, name: str) -> None:
    """For backends without weights: refuse a file of them."""
    if weights not in ("default", None):
        raise BackendError(f"{name!r} has no weights, got {weights!r}; leave the option out.")


def check_device(device: str, name: str) -> None:
    """For backends that run on the CPU alone: refuse any other device."""
    if device not in ("auto", "cpu"):
        raise BackendError(f"{name!r} cannot run on device {device!r}; it runs on the CPU: choose 'auto' or 'cpu'.")
