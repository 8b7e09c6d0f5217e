"""The reference of the command line as Markdown, from the parsers themselves."""

from __future__ import annotations

import argparse
import html
import re
from collections.abc import Iterator

from sampt.cli.main import build_parser


def command_line_page() -> str:
    """A section a command, with a table for each group of its options."""
    lines = [
        "# Command line",
        "",
        "Made from the program's own parsers; `sampt COMMAND --help` prints the same. Exit status: 0, or 2 after a mistake in",
        "what was given, which is one line on standard error, or 130 after an interruption.",
        "",
    ]
    for parser, level in _commands(build_parser(), 2):
        lines += _section(parser, level)
    return "\n".join(lines) + "\n"


def _commands(parser: argparse.ArgumentParser, level: int) -> Iterator[tuple[argparse.ArgumentParser, int]]:
    """Every command below ``parser``, each before its own, with the level of its heading."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command, level
                yield from _commands(command, level + 1)


def _section(parser: argparse.ArgumentParser, level: int) -> list[str]:
    usage = " ".join(_short_usage(parser).split())
    lines = [f"{'#' * level} {parser.prog}", "", *_prose(parser.description or ""), "", f"```\n{usage}\n```", ""]
    for group in parser._action_groups:
        rows = [_row(action) for action in group._group_actions if action.help != argparse.SUPPRESS and _is_shown(action)]
        if rows:
            lines += [f"**{(group.title or '').capitalize()}**", ""]
            lines += [*_prose(group.description), ""] if group.description else []
            lines += ["| | |", "|---|---|", *rows, ""]
    if parser.epilog:
        lines += ["```", _without_percent(parser.epilog, parser).strip("\n"), "```", ""]
    return lines


def _is_shown(action: argparse.Action) -> bool:
    return not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)


def _short_usage(parser: argparse.ArgumentParser) -> str:
    """What must be given; the options are in tables."""
    positional = [action for action in parser._actions if not action.option_strings]
    required = [action for action in parser._actions if action.option_strings and action.required]
    words = [parser.prog, *(f"{action.option_strings[-1]} {_value(action)}" for action in required)]
    return " ".join([*words, "[OPTIONS]", *(_value(action) for action in positional)])


def _value(action: argparse.Action) -> str:
    name = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper())
    text = name if isinstance(name, str) else " ".join(name)
    if action.nargs == "?":
        return f"[{text}]"
    return {"*": f"[{text} ...]", "+": f"{text} ..."}.get(str(action.nargs), text)


def _row(action: argparse.Action) -> str:
    names = ", ".join(f"`{option}`" for option in action.option_strings)
    value = f"`{_value(action)}`" if action.nargs != 0 else ""
    described = action.help or ""
    for name, found in vars(action).items():
        described = described.replace(f"%({name})s", str(found))
    text = html.escape(described.replace("%%", "%"), quote=False)
    cells = (" ".join(filter(None, (names, value))), re.sub(r"([*_`])", r"\\\1", " ".join(text.split())))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _without_percent(text: str, parser: argparse.ArgumentParser) -> str:
    return text.replace("%(prog)s", parser.prog).replace("%%", "%")


def _prose(text: str) -> list[str]:
    """A description in Markdown; where it has a list of its own, its lines stay as they are."""
    plain = text.replace("%%", "%").strip("\n")
    if re.search(r"^  ", plain, re.MULTILINE):
        return ["```", plain, "```"]
    return [html.escape(plain, quote=False)]
