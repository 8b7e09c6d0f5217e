"""Options for objects that nobody named."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

from sampt.cli.settings import finite_number, whole_number
from sampt.config import FindConfig

__all__ = ["add_find_options", "find_from", "given_find_settings"]


def _box(text: str) -> tuple[float, ...]:
    """For argparse: four numbers."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected X0,Y0,X1,Y1.")
    return numbers


_OPTIONS: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "proposer": ("--proposer", "NAME", str),
    "proposer_weights": ("--proposer-weights", "NAME", str),
    "every": ("--find-every", "N", whole_number),
    "max_objects": ("--find-max", "N", whole_number),
    "min_area": ("--find-min-area", "X", finite_number),
    "min_score": ("--find-min-score", "X", finite_number),
    "region": ("--find-region", "X0,Y0,X1,Y1", _box),
}


def add_find_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--find`` and an option for every field of :class:`sampt.config.FindConfig`, each of which means ``--find``, too."""
    group = parser.add_argument_group("objects that nobody named", "any of these options looks for them")
    group.add_argument("--find", action="store_true", help="find objects, and segment them beside those that are named")
    for item in dataclasses.fields(FindConfig):
        option, metavar, parse = _OPTIONS[item.name]
        default = "" if item.default is None else f" (default: {item.default})"
        help_text = (item.metadata["help"] + default).replace("%", "%%")
        group.add_argument(option, dest=f"find:{item.name}", type=parse, metavar=metavar, help=help_text)


def find_from(arguments: argparse.Namespace) -> FindConfig | None:
    """What the options say; None where none is given.

    Raises:
        ConfigError: a value is out of range.
    """
    given = given_find_settings(arguments)
    return None if given is None else FindConfig(**given)


def given_find_settings(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Values of fields of :class:`sampt.config.FindConfig` that were given as options; None where none of them was."""
    values = {item.name: getattr(arguments, f"find:{item.name}") for item in dataclasses.fields(FindConfig)}
    given = {name: value for name, value in values.items() if value is not None}
    return given if given or arguments.find else None
