"""The command ``sampt``: one line an error, exit status 2, no traceback for a user's mistake."""

from __future__ import annotations

import argparse
import codecs
import io
import logging
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import NoReturn

from sampt import __version__
from sampt.errors import SamptError, did_you_mean
from sampt.files.limits import is_short_of_memory
from sampt.files.names import printable

__all__ = ["build_parser", "main"]

_INTERRUPTED = 130
_MEMORY_ADVICE = (
    "There is not enough memory for this ({}); close other programs, raise the limit of the process (ulimit -v, that of the "
    "container), or request less, by a smaller --longest-side say."
)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and that takes no abbreviated options, which a later option could make ambiguous."""

    def __init__(self, **keywords: object) -> None:
        super().__init__(**{"allow_abbrev": False, **keywords})  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        _print_error(f"{message.rstrip('.')}.{self._hint(message)} See '{self.prog} --help'.")
        raise SystemExit(2)

    def _hint(self, message: str) -> str:
        """The option or command that an unknown word is close to."""
        found = re.search(r"unrecognized arguments: ([^\s=]+)|invalid choice: '([^']*)'", message)
        return did_you_mean(found[1] or found[2], self._known()) if found else ""

    def _known(self) -> Iterable[str]:
        for action in self._actions:
            yield from action.option_strings
            yield from action.choices or ()

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        """As usual, but an unknown option is reported by the command that was given it, which knows its options."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            getattr(parsed, "parser", self).error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from sampt.cli import backends, batch, completion, demo, doctor, evaluate, export, segment, ui, weights

    parser = _Parser(prog="sampt", description="Click an object in one frame; get its mask in every frame.")
    parser.add_argument("--version", action="version", version=f"sampt {__version__}")
    parser.set_defaults(whole=parser)
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND", required=True)
    for module in (segment, ui, export, batch, evaluate, demo, doctor, backends, weights, completion):
        command = module.add_command(commands)
        command.set_defaults(parser=command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 2 after a user's mistake, or 130 after an interruption."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("sampt: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    # Pillow's warning of a large image; our own limit is below and ends in one line.
    warnings.filterwarnings("ignore", message=r"Image size \(\d+ pixels\) exceeds limit")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path is printed as it is, whatever its bytes. Windows' code pages lack most letters: those come as escapes.
        is_utf8 = codecs.lookup(sys.stdout.encoding).name == "utf-8"
        sys.stdout.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")
    try:
        # Imports are in here too: they take long enough to be interrupted.
        from sampt.backends.opencv import check_opencv
        from sampt.cli.heap import return_large_blocks

        return_large_blocks()
        check_opencv()
        arguments = build_parser().parse_args(argv)
        status: int = arguments.run(arguments)
    except SamptError as error:
        is_unexplained = is_short_of_memory(error) and "memory" not in str(error)
        _print_error(_MEMORY_ADVICE.format(error) if is_unexplained else str(error))
        return 2
    except Exception as error:
        if not is_short_of_memory(error):
            raise
        _print_error(_MEMORY_ADVICE.format(f"{type(error).__name__}: {error}".rstrip(": ")))
        return 2
    except KeyboardInterrupt:
        print("sampt: interrupted; start the same command again to go on.", file=sys.stderr)  # noqa: T201
        return _INTERRUPTED
    return status


class _Formatter(logging.Formatter):
    """Lines of the log in which no name of a file can move the terminal's cursor."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).split("\n")))


def _print_error(message: str) -> None:
    print(f"sampt: error: {printable(' '.join(message.split()))}", file=sys.stderr)  # noqa: T201
