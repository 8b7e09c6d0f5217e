"""``sampt completion``: what a shell needs to complete the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

__all__ = ["SHELLS", "add_command"]

SHELLS = ("bash", "zsh", "fish", "powershell")
_EXAMPLES = """\
examples:
  sampt completion bash > ~/.local/share/bash-completion/completions/sampt
  sampt completion zsh > ~/.zfunc/_sampt             # with fpath+=~/.zfunc before compinit in .zshrc
  sampt completion fish > ~/.config/fish/completions/sampt.fish
  sampt completion powershell >> $PROFILE
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command."""
    parser = commands.add_parser(
        "completion",
        help="print what a shell needs to complete commands, options and names",
        description="Print the script that completes the command line in a shell: commands, options, names of presets, "
        "trackers, segmenters, proposers, formats and datasets, and files.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}")
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    import shtab

    _offer_names(arguments.whole)
    print(shtab.complete(arguments.whole, arguments.shell))  # noqa: T201
    return 0


def _offer_names(parser: argparse.ArgumentParser) -> None:
    """Give the arguments that are names the ones there are, as choices, and all others files."""
    import shtab

    names = {name: sorted(choices) for name, choices in _names().items()}
    for action in _actions(parser):
        last = action.dest.replace(":", ".").rpartition(".")[2]
        if action.choices is not None or action.nargs == 0:
            continue
        if last in names:
            action.choices = names[last]
        else:
            action.complete = shtab.FILE  # type: ignore[attr-defined]


def _names() -> dict[str, Iterable[str]]:
    """By the name of the setting or argument."""
    from sampt.backends.registry import available
    from sampt.evaluation import DATASETS
    from sampt.exporters.registry import exporter_names
    from sampt.presets import PRESETS

    return {
        "preset": PRESETS,
        "tracker": available("tracker"),
        "segmenter": available("segmenter"),
        "proposer": available("proposer"),
        "formats": exporter_names(),
        "kind": exporter_names(),
        "dataset": DATASETS,
    }


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of every command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action
