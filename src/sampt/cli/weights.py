"""``sampt weights``: the official checkpoints, their licences, and the cache that they are kept in."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sampt.errors import BackendError

if TYPE_CHECKING:
    from rich.console import Console

    from sampt.weights import Verification, WeightsSource

__all__ = ["add_command"]

_EXAMPLES = """\
examples:
  sampt weights list
  sampt weights pull raft-small mobile-sam
  sampt weights verify
  sampt segment clip.mp4 --points 1,0,420,250 --tracker raft-small

SAMPT_WEIGHTS_DIR names the folder of the cache; SAMPT_OFFLINE=1 forbids the network.
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command."""
    parser = commands.add_parser(
        "weights",
        help="official checkpoints: list, download, verify",
        description="List, download and verify official checkpoints of trackers and segmenters. Each has its own licence.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", title="actions", metavar="ACTION", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], told: str, names: str | None) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=told, description=f"{told[0].upper()}{told[1:]}.")
        action.set_defaults(run=run, parser=action)
        if names is not None:
            action.add_argument("names", nargs=names, metavar="NAME", help="as 'sampt weights list' shows it")
        return action

    listing = add("list", _list, "show what there is, its size and licences, and whether it is in the cache", None)
    listing.add_argument("--json", action="store_true", help="for programs: a JSON array with every fact")
    pull = add("pull", _pull, "download into the cache; goes on with a download that was cut; prints the paths", "+")
    pull.add_argument("--quiet", action="store_true", help="print the paths alone")
    add("verify", _verify, "read files in the cache and compare their digests; all of them without a NAME", "*")
    add("path", _path, "print the path of a file in the cache, or of the cache itself", "?")
    return parser


def _list(arguments: argparse.Namespace) -> int:
    import json

    from sampt.weights import SOURCES, cached_path, weights_folder
    from sampt.weights.sources import told_bytes

    if arguments.json:
        _out().print(json.dumps([_facts(source) for source in SOURCES.values()], indent=1), markup=False)
        return 0
    from rich.table import Table

    title = f"official checkpoints; the cache is {weights_folder()}"
    table = Table(title=title, title_justify="left")
    table.add_column("name", no_wrap=True)
    for heading in ("size", "licence of code", "licence of weights", "cached"):
        table.add_column(heading)
    for source in SOURCES.values():
        size = "?" if source.num_bytes is None else told_bytes(source.num_bytes)
        is_here = cached_path(source) is not None
        cached = "yes" if is_here else "no" if source.url else "no; by hand"
        table.add_row(source.name, size, source.licence_code, source.licence_weights, cached)
    _out(soft_wrap=False).print(table)
    return 0


def _facts(source: WeightsSource) -> dict[str, object]:
    from dataclasses import asdict

    from sampt.weights import cached_path

    path = cached_path(source)
    return asdict(source) | {"cached": None if path is None else str(path)}


def _pull(arguments: argparse.Namespace) -> int:
    from sampt.weights import fetch, find_source
    from sampt.weights.cache import find_verified
    from sampt.weights.sources import told_bytes

    err = _out(stderr=True)
    for source in [find_source(name) for name in arguments.names]:  # a wrong name is told before any download
        if not arguments.quiet:
            err.print(
                f"{source.name}: {told_bytes(source.num_bytes)}, licence of code {source.licence_code}, of weights"
                f" {source.licence_weights}; {source.page}",
                markup=False,
            )
        with _bar(source.name, quiet=arguments.quiet) as on_bytes:
            path = fetch(source, on_bytes)
        found = find_verified(source)
        if found and not arguments.quiet:
            err.print(_told(source, found), markup=False)
        _out().print(str(path), markup=False)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from sampt.weights import SOURCES, cached_path, find_source, verify, weights_folder

    named = [find_source(name) for name in arguments.names]
    sources = named or [source for source in SOURCES.values() if cached_path(source)]
    if not sources:
        raise BackendError(f"The cache {weights_folder()} holds no weights; run 'sampt weights pull NAME'.")
    wrong = []
    for source in sources:
        try:
            found = verify(source)
            told = _told(source, found) if found else f"{source.name}: not in the cache"
        except BackendError as error:
            found, told = None, f"{source.name}: WRONG: {error}"
        if found is None:
            wrong.append(source.name)
        _out().print(told, markup=False)
    if wrong:
        raise BackendError(f"{len(wrong)} of {len(sources)} weights are missing or wrong: {', '.join(wrong)}; pull them again.")
    return 0


def _path(arguments: argparse.Namespace) -> int:
    from sampt.weights import cached_path, find_source, weights_folder

    path = weights_folder()
    if arguments.names is not None:
        source = find_source(arguments.names)
        found = cached_path(source)
        if found is None:
            raise BackendError(f"{source.name!r} is not in the cache {path}; run 'sampt weights pull {source.name}'.")
        path = found
    _out().print(str(path), markup=False)
    return 0


def _told(source: WeightsSource, found: Verification) -> str:
    state = "verified" if found.is_published else "unverified: no digest is published, this one is recorded here:"
    return f"{source.name}: {state} {found.algorithm} {found.digest}"


def _out(*, stderr: bool = False, soft_wrap: bool = True) -> Console:
    from rich.console import Console  # Rich takes a while to import, for other commands too

    return Console(stderr=stderr, soft_wrap=soft_wrap, highlight=False)


@contextmanager
def _bar(label: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar of bytes on a terminal; gives the function to call with (bytes done, bytes in all or None)."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = _out(stderr=True)
    columns = [
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task(label, total=None, visible=False)
        try:
            yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)
        except BaseException:
            progress.live.transient = True
            raise
