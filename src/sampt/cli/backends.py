"""``sampt backends``: the trackers and segmenters at hand, with their licences."""

from __future__ import annotations

import argparse

from sampt.errors import SamptError
from sampt.plugins import available, create_segmenter, create_tracker

__all__ = ["add_command"]


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command."""
    parser = commands.add_parser(
        "backends",
        help="list trackers and segmenters with their licences",
        description="List the trackers and segmenters that --tracker and --segmenter take, with their licences.",
    )
    parser.set_defaults(run=_run)
    return parser


def _run(_: argparse.Namespace) -> int:
    from rich.console import Console  # Rich takes a while to import, for other commands too
    from rich.table import Table

    table = Table("kind", "name", "code", "weights", "source", title="back ends and their licences", title_justify="left")
    for kind in ("tracker", "segmenter"):
        for name in available(kind):
            try:
                backend = create_tracker(name, weights=None) if kind == "tracker" else create_segmenter(name, weights=None)
            except SamptError as error:
                table.add_row(kind, name, "-", "-", f"cannot be loaded: {error}")
                continue
            info = backend.info
            table.add_row(kind, name, info.licence_code, info.licence_weights or "none", info.source)
    Console().print(table)
    return 0
