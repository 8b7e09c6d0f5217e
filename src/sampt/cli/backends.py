"""``sampt backends``: the trackers, segmenters and proposers at hand, with their licences."""

from __future__ import annotations

import argparse

from sampt.backends.opencv import describe_builds
from sampt.backends.registry import describe_backends
from sampt.backends.table import BUILT_IN
from sampt.cli.running import print_note
from sampt.cli.tables import print_table

__all__ = ["add_command"]


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command."""
    parser = commands.add_parser(
        "backends",
        help="list trackers, segmenters and proposers with their licences",
        description="List the trackers, segmenters and proposers that --tracker, --segmenter and --proposer take, with their "
        "licences, and what has to be installed for them.",
    )
    parser.set_defaults(run=_run)
    return parser


def _run(_: argparse.Namespace) -> int:
    rows = [
        (facts.name, kind, facts.license_code, facts.license_weights, _needs(facts.missing), facts.source)
        for kind in BUILT_IN
        for facts in describe_backends(kind)
    ]
    headings = ("name", "kind", "code", "weights", "to be installed", "source")
    print_table("backends and their licences", headings, rows)
    if (builds := describe_builds()) is not None:
        print_note(builds)
    return 0


def _needs(extra: str | None) -> str:
    return "" if extra is None else f"pip install 'sampt[{extra}]'"
