"""Compare our networks with fixtures of the official programs: the work of `python -m tools.parity`, and of tests.

    python -m tools.parity FOLDER [--only NAME ...]

FOLDER holds pairs of NAME.json (what was called, and names and shapes of the official parameters) and NAME.npz (what the
official program returned), as ../shared/parity does; its parity.py fills the parameters and draws videos and points, or that
of ../shared/parity where the folder has none. Every size, seed and number of points is read from NAME.json. Each fixture's
weights are written with their official names and loaded like a downloaded checkpoint; the call is repeated; a Markdown table
is printed. Exit status: 0 all is as near as it should be, 1 something is not, 2 the folder cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sampt.errors import BackendError, did_you_mean
from tools.parity import segmenters, trackers
from tools.parity.fixtures import Comparison, Fixture, FixtureError, error_line

__all__ = ["CHECKS", "compare", "main"]

CHECKS = {**trackers.CHECKS, **segmenters.CHECKS}
"""By kind of fixture."""


def compare(fixture: Fixture) -> list[Comparison]:
    """Repeat the call of a fixture whose kind is in the table of checks.

    Raises:
        BackendError: its weights do not load.
        KeyError: the call, or one of the official results, is not in it.
    """
    return CHECKS[fixture.kind](fixture)


def _rows(fixture: Fixture) -> Iterator[tuple[str, str, str, str, bool]]:
    """What is compared, greatest difference, allowed, verdict, and whether it counts as a failure."""
    if fixture.kind not in CHECKS:
        yield "-", "-", "-", f"fail: the model {fixture.spec['model']!r} is unknown", True
        return
    try:
        for found in compare(fixture):
            verdict = "pass" if found.passed else "fail"
            yield found.what, f"{found.difference:.1e}", f"{found.allowed:g}", verdict, not found.passed
    except (BackendError, LookupError, TypeError, ValueError, RuntimeError) as error:
        yield "-", "-", "-", f"fail: {error_line(error)}", True


def _names(folder: Path, only: Sequence[str]) -> list[str]:
    if not folder.is_dir():
        raise FixtureError(f"No folder is at {folder}; expected one with NAME.json and NAME.npz, like ../shared/parity.")
    names = sorted(path.stem for path in folder.glob("*.json"))
    if not names:
        raise FixtureError(f"No NAME.json is in {folder}; expected fixtures, like those of ../shared/parity.")
    for name in only:
        if name not in names:
            raise FixtureError(f"No fixture {name!r} is in {folder}.{did_you_mean(name, names)} There: {', '.join(names)}.")
    return [name for name in names if name in only] if only else names


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit status."""
    parser = argparse.ArgumentParser(prog="parity", description="Compare our networks with fixtures of the official programs.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="with NAME.json and NAME.npz, like ../shared/parity")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this fixture alone; may be repeated")
    options = parser.parse_args(arguments)
    try:
        fixtures = [Fixture.read(options.folder, name) for name in _names(options.folder, options.only)]
    except FixtureError as error:
        print(error, file=sys.stderr)
        return 2
    print("| fixture | what is compared | greatest difference | allowed | result |\n|---|---|---|---|---|", flush=True)
    failed = False
    for fixture in fixtures:
        for *cells, is_failure in _rows(fixture):
            print(f"| {' | '.join((fixture.name, *cells))} |", flush=True)
            failed |= is_failure
    return int(failed)
