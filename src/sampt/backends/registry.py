"""Names of backends -> backends. A backend is imported when it is created, never before.

Built-in backends stand in :mod:`sampt.backends.table`; others join by the entry-point groups ``sampt.trackers``,
``sampt.segmenters`` and ``sampt.proposers``, each entry a factory ``create(*, weights, device)``. A factory with ``argument``
takes what comes after the colon of a name; one that also takes ``runtime`` or ``precision`` leaves its users that choice, of
all values or of those that :func:`sampt.backends.options.offers` names.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from sampt.backends.options import OPTIONS, SETTING_OPTIONS, check_option
from sampt.backends.spec import BackendSpec
from sampt.backends.table import BUILT_IN
from sampt.errors import BackendError, SamptError, did_you_mean
from sampt.files.limits import is_short_of_memory

__all__ = [
    "BackendFacts",
    "available",
    "create_backend",
    "describe_backends",
    "list_choices",
    "list_options",
]

_LOG = logging.getLogger(__name__)
_NOT_SAID = "not said"


@dataclass(frozen=True)
class BackendFacts:
    """What there is to know of a backend without importing it.

    Attributes:
        name: as in :func:`available`.
        license_code: of its program; SPDX identifier where there is one.
        license_weights: of its default weights, likewise; "none" where it has none.
        source: whose method it is, or the package that brings it.
        missing: extra of sampt that has to be installed before it can be made, or None.
    """

    name: str
    license_code: str
    license_weights: str
    source: str
    missing: str | None


def describe_backends(kind: str) -> tuple[BackendFacts, ...]:
    """All backends of ``kind`` ("tracker", "segmenter" or "proposer"), sorted by name; none is imported.

    Of installed ones it is known what their package says of itself: its licence, and nothing of their weights'.
    """
    found = {name: _facts(spec) for name, spec in BUILT_IN[kind].items()}
    others = {name: _describe_package(name, entry) for name, entry in _entry_points(kind).items()}
    return tuple(facts for _, facts in sorted((others | found).items()))


def _facts(spec: BackendSpec[Any]) -> BackendFacts:
    info = spec.info
    return BackendFacts(spec.name, info.license_code, info.license_weights or "none", info.source, spec.missing)


def _describe_package(name: str, entry: metadata.EntryPoint) -> BackendFacts:
    package = entry.dist
    if package is None:
        return BackendFacts(name, _NOT_SAID, _NOT_SAID, entry.value, None)
    stated = [package.metadata[key].splitlines()[0] for key in ("License-Expression", "License") if key in package.metadata]
    license = next(iter(stated), _NOT_SAID)
    return BackendFacts(name, license, _NOT_SAID, f"{package.name} {package.version}", None)


def available(kind: str) -> tuple[str, ...]:
    """Names of all backends of ``kind`` ("tracker", "segmenter" or "proposer"), built-in and installed ones, sorted."""
    return tuple(sorted({*BUILT_IN[kind], *_entry_points(kind)}))


def list_options(kind: str, name: str) -> frozenset[str]:
    """Which options of the two tables the backend ``name`` leaves the choice of; it is imported for that, and not made.

    Raises:
        BackendError: the name is unknown, or the backend cannot be imported.
    """
    return frozenset(list_choices(kind, name))


def list_choices(kind: str, name: str) -> Mapping[str, tuple[str, ...]]:
    """The same, each with its values.

    Raises:
        BackendError: the name is unknown, or the backend cannot be imported.
    """
    return _choices(_factory(kind, name))


def _entry_points(kind: str) -> dict[str, metadata.EntryPoint]:
    return {entry.name: entry for entry in metadata.entry_points(group=f"sampt.{kind}s")}


def create_backend(
    kind: str, name: str, weights: str | None, device: str, options: Mapping[str, str], *, argument: str | None = None
) -> Any:
    """Make the backend ``name``, whose type its kind decides: see :func:`sampt.trackers.create.create_tracker`.

    Args:
        kind: "tracker", "segmenter" or "proposer".
        name, weights, device: as there.
        options: values of :data:`~sampt.backends.options.OPTIONS` and ``SETTING_OPTIONS``.
        argument: what comes after the colon of a name, for a factory that takes an ``argument``; None: there is no colon.

    Raises:
        BackendError: as there.
    """
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
    takes_argument = "argument" in inspect.signature(factory).parameters
    if argument is not None and not takes_argument:
        raise BackendError(f"The {kind} {name!r} takes nothing after a colon, got {argument!r}; leave it out.")
    words: dict[str, Any] = {"argument": argument} if takes_argument else {}
    try:
        made = factory(weights=None if weights == "random" else weights, device=device, **given, **words)
    except SamptError:
        raise
    except Exception as error:
        if is_short_of_memory(error):
            raise
        raise _broken(kind, name, "cannot be made", error) from error
    if isinstance(made, type):
        raise BackendError(f"The factory of the {kind} {name!r} returns the class {made.__name__}; expected {made.__name__}().")
    return made


def _check(kind: str, name: str, factory: Any) -> Callable[..., Any]:
    """What is registered, when it can be called as a factory is; a class may be one."""
    expected = f"expected a function create(*, weights, device) that makes a {kind}."
    if not callable(factory):
        raise BackendError(f"The {kind} {name!r} is registered as a {type(factory).__name__}; {expected}")
    try:
        inspect.signature(factory).bind(weights=None, device="auto")
    except (TypeError, ValueError) as error:
        what = "class" if isinstance(factory, type) else "function"
        called = getattr(factory, "__name__", type(factory).__name__)
        raise BackendError(f"The {kind} {name!r} is registered as the {what} {called} ({error}); {expected}") from error
    made: Callable[..., Any] = factory
    return made


def _broken(kind: str, name: str, what: str, error: Exception) -> BackendError:
    """For a mistake in the program of a backend: one line; the traceback goes to the log, and to Python as the cause."""
    _LOG.debug("The %s %r %s", kind, name, what, exc_info=error)
    said = f"The {kind} {name!r} {what}, its program raised {type(error).__name__}: {str(error).rstrip('.')}."
    return BackendError(f"{said} Run sampt.create_{kind}({name!r}) in Python to see where.")


def _choices(factory: Callable[..., Any]) -> dict[str, tuple[str, ...]]:
    parameters = inspect.signature(factory).parameters.values()
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    offered: Mapping[str, tuple[str, ...]] = getattr(factory, "offers", {})
    named = {p.name for p in parameters}
    taken = {what: values for what, values in (OPTIONS | SETTING_OPTIONS).items() if what in named}
    return {what: offered.get(what, values) for what, values in ((OPTIONS | taken) if takes_all else taken).items()}


def _factory(kind: str, name: str) -> Callable[..., Any]:
    spec = BUILT_IN[kind].get(name)
    target = spec.factory if spec else None
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
    except Exception as error:
        raise _broken(kind, name, "cannot be imported", error) from error
    return _check(kind, name, factory)
