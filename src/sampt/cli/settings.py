"""Options for every setting of the method, made from the fields of the configuration and their help texts."""

from __future__ import annotations

import argparse
import math
import types
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

from sampt.backends.options import OPTIONS
from sampt.config import SegmentConfig, setting_fields, with_settings
from sampt.presets import PRESET_SUMMARIES, PRESETS, preset
from sampt.video.damage import ON_DAMAGE

__all__ = [
    "add_damage_option",
    "add_preset_option",
    "add_running_options",
    "add_setting_options",
    "config_from",
    "describe_presets",
    "finite_number",
    "given_settings",
    "is_given",
    "whole_number",
]

_PREFIX = "setting:"
_GROUPS = {
    "": "backends and method",
    "sampling": "points drawn from masks",
    "tracking": "tracked points",
    "prompting": "prompting the segmenter",
    "reinit": "re-initialisation",
    "memory": "parts of the object memory",
}


def whole_number(text: str) -> int:
    """For argparse: a whole number, else one line that says so."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number.") from None


def finite_number(text: str) -> float:
    """For argparse: a finite number, else one line that says so."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number.")
    return number


def add_preset_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--preset``."""
    parser.add_argument("--preset", default="default", metavar="NAME", help=f"{', '.join(PRESETS)} (default: default)")


def describe_presets() -> str:
    """For the end of a help text: the presets, a line each."""
    width = max(map(len, PRESET_SUMMARIES))
    return "presets:\n" + "\n".join(f"  {name:{width}}  {summary}" for name, summary in PRESET_SUMMARIES.items())


def add_running_options(parser: argparse._ActionsContainer) -> None:
    """Add ``--device``, ``--runtime`` and ``--precision``: where and how backends compute."""
    device = "where backends run: auto, cpu, cuda, mps (default: auto)"
    parser.add_argument("--device", default="auto", metavar="NAME", help=device)
    texts = {
        "runtime": "what runs networks of backends that leave the choice: {} (default: auto)",
        "precision": "what such backends compute with: {} (default: auto, what suits the device)",
    }
    for what, choices in OPTIONS.items():
        help_text = texts[what].format(", ".join(choices))
        parser.add_argument(f"--{what}", default="auto", metavar="NAME", help=help_text)


def add_damage_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--on-damage``: what becomes of frames that cannot be read."""
    text = (
        "what becomes of frames that cannot be read: stop tells the first one; repeat puts the frame before instead; "
        "skip leaves them out; run.json lists them (default: stop)"
    )
    parser.add_argument("--on-damage", choices=ON_DAMAGE, default="stop", metavar="NAME", help=text)


def add_setting_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--preset`` and an option for every setting; those of ``reinit`` and ``memory`` carry it as prefix.

    The defaults shown are those of the preset ``default``.
    """
    groups = {section: parser.add_argument_group(title) for section, title in _GROUPS.items()}
    add_preset_option(groups[""])
    for name, (field, hint) in setting_fields().items():
        section = name.rpartition(".")[0]
        kind, choices = _find_kind(hint)
        shown = field.metadata["help"]
        if not all(choice in shown for choice in choices):
            shown += f": {', '.join(choices)}"
        shown += _default_text(name)
        keywords: dict[str, Any] = {"dest": _PREFIX + name, "default": argparse.SUPPRESS, "help": shown.replace("%", "%%")}
        if kind is bool:
            keywords["action"] = argparse.BooleanOptionalAction
        else:
            keywords["type"] = _PARSERS[kind]
            keywords["metavar"] = {int: "N", float: "X", str: "NAME"}[kind]
        groups[section].add_argument(_find_option(name), **keywords)


def config_from(arguments: argparse.Namespace) -> SegmentConfig:
    """The preset with the settings that were given.

    Raises:
        ConfigError: an unknown preset, or a value out of range.
    """
    return with_settings(preset(arguments.preset), given_settings(arguments))


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as options, and do not come from the preset, by dotted name."""
    return {key[len(_PREFIX) :]: value for key, value in vars(arguments).items() if key.startswith(_PREFIX)}


def is_given(arguments: argparse.Namespace, name: str) -> bool:
    """Whether the setting ``name`` was given as an option, and does not come from the preset."""
    return _PREFIX + name in vars(arguments)


def _find_option(name: str) -> str:
    section, _, key = name.rpartition(".")
    if section == "reinit" and key == "enabled":
        return "--reinit"
    if section in ("reinit", "memory"):
        return f"--{section}-{key.replace('_', '-')}"
    return f"--{key.replace('_', '-')}"


def _default_text(name: str) -> str:
    value: Any = PRESETS["default"]
    for part in name.split("."):
        value = getattr(value, part)
    if value is None:
        return ""  # the help text itself says what happens then
    return f" (default: { ({True: 'on', False: 'off'}[value] if isinstance(value, bool) else value) })"


_PARSERS: dict[type, Callable[[str], Any]] = {int: whole_number, float: finite_number, str: str}


def _find_kind(hint: Any) -> tuple[type, list[str]]:
    """The type to parse a setting with, and its choices."""
    if isinstance(hint, types.UnionType):
        return _find_kind(next(a for a in get_args(hint) if a is not type(None)))
    if get_origin(hint) is Literal:
        return str, [str(a) for a in get_args(hint)]
    assert isinstance(hint, type)
    return hint, []
