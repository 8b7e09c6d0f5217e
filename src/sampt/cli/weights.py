"""``sampt weights``: the official checkpoints, their licences, and the cache that they are kept in."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sampt.cli.tables import print_table
from sampt.errors import BackendError

if TYPE_CHECKING:
    from rich.console import Console

    from sampt.weights import Verification, WeightsSource

__all__ = ["add_command"]

_EXAMPLES = """\
examples:
  sampt weights list
  sampt weights pull raft-small mobile-sam facebook/sam-vit-base
  sampt weights verify
  sampt weights export mobile-sam
  sampt segment clip.mp4 --points 1,0,420,250 --tracker raft-small

SAMPT_WEIGHTS_DIR names the folder of the cache; SAMPT_OFFLINE=1 forbids the network.
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command."""
    parser = commands.add_parser(
        "weights",
        help="official checkpoints: list, download, verify, export",
        description="List, download and verify official checkpoints of trackers and segmenters. Each has its own licence.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", title="actions", metavar="ACTION", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str, names: str | None) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        action.set_defaults(run=run, parser=action)
        if names is not None:
            action.add_argument("names", nargs=names, metavar="NAME", help="of 'sampt weights list', or OWNER/NAME on the hub")
        return action

    listing = add("list", _list, "show what there is, its size and licences, and whether it is in the cache", None)
    listing.add_argument("--json", action="store_true", help="for programs: a JSON array with every fact")
    pull = add("pull", _pull, "download into the cache; goes on with a download that was cut; prints the paths", "+")
    pull.add_argument("--quiet", action="store_true", help="print the paths alone")
    add("verify", _verify, "read files in the cache and compare their digests; all of them without a NAME", "*")
    export = add("export", _export, "write a segmenter of the SAM family for --runtime onnxruntime and openvino", None)
    export.add_argument("name", metavar="NAME", help="of the segmenter: mobile-sam, sam-vit-b, ...")
    export.add_argument("--weights", default="default", metavar="WHICH", help="as for --segmenter-weights (default: official)")
    export.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder of the graphs (default: in the cache)")
    add("path", _path, "print the path of a file in the cache, or of the cache itself", "?")
    return parser


def _list(arguments: argparse.Namespace) -> int:
    import json

    from sampt.weights import SOURCES, cached_path, weights_folder
    from sampt.weights.sources import describe_bytes

    if arguments.json:
        _out().print(json.dumps([_facts(source) for source in SOURCES.values()], indent=1), markup=False)
        return 0
    rows = []
    for source in SOURCES.values():
        size = "?" if source.num_bytes is None else describe_bytes(source.num_bytes)
        is_here = cached_path(source) is not None
        cached = "yes" if is_here else "no" if source.url and not source.is_gated else "no; by hand"
        rows.append((source.name, size, source.license_code, source.license_weights, cached))
    headings = ("name", "size", "licence of code", "licence of weights", "cached")
    print_table(f"official checkpoints; the cache is {weights_folder()}", headings, rows)
    return 0


def _facts(source: WeightsSource) -> dict[str, object]:
    from dataclasses import asdict

    from sampt.weights import cached_path

    path = cached_path(source)
    return asdict(source) | {"cached": None if path is None else str(path)}


def _pull(arguments: argparse.Namespace) -> int:
    from sampt.cli.progress import bytes_bar
    from sampt.weights import fetch_first, find_sources
    from sampt.weights.cache import find_verified
    from sampt.weights.sources import describe_bytes

    err = _out(stderr=True)
    for sources in [find_sources(name) for name in arguments.names]:  # a wrong name is reported before any download
        source = sources[0]
        if not arguments.quiet:
            err.print(
                f"{source.name}: {describe_bytes(source.num_bytes)}, licence of code {source.license_code}, of weights"
                f" {source.license_weights}; {source.page}",
                markup=False,
            )
        with bytes_bar(source.name, quiet=arguments.quiet) as on_bytes:
            path = fetch_first(sources, on_bytes)
        found = next((found for source in sources if (found := find_verified(source))), None)
        if found and not arguments.quiet:
            err.print(_describe(source, found), markup=False)
        _out().print(str(path), markup=False)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from sampt.segmenters.sam.create import export_model

    folder = export_model(arguments.name, None if arguments.weights == "random" else arguments.weights, arguments.output)
    _out(stderr=True).print("exported, and compared with PyTorch; use it with --runtime onnxruntime or openvino", markup=False)
    _out().print(str(folder), markup=False)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from sampt.weights import SOURCES, cached_path, verify, weights_folder

    named = [_at_hand(name) for name in arguments.names]
    sources = named or [source for source in SOURCES.values() if cached_path(source)]
    if not sources:
        raise BackendError(f"The cache {weights_folder()} holds no weights; run 'sampt weights pull NAME'.")
    wrong = []
    for source in sources:
        try:
            found = verify(source)
            text = _describe(source, found) if found else f"{source.name}: not in the cache"
        except BackendError as error:
            found, text = None, f"{source.name}: WRONG: {error}"
        if found is None:
            wrong.append(source.name)
        _out().print(text, markup=False)
    if wrong:
        raise BackendError(f"{len(wrong)} of {len(sources)} weights are missing or wrong: {', '.join(wrong)}; pull them again.")
    return 0


def _path(arguments: argparse.Namespace) -> int:
    from sampt.weights import cached_path, weights_folder

    path = weights_folder()
    if arguments.names is not None:
        source = _at_hand(arguments.names)
        found = cached_path(source)
        if found is None:
            raise BackendError(f"{source.name!r} is not in the cache {path}; run 'sampt weights pull {source.name}'.")
        path = found
    _out().print(str(path), markup=False)
    return 0


def _at_hand(name: str) -> WeightsSource:
    """Of the files that may hold the weights called ``name``: the one in the cache, else the first."""
    from sampt.weights import cached_path, find_sources

    sources = find_sources(name)
    return next((source for source in sources if cached_path(source)), sources[0])


def _describe(source: WeightsSource, found: Verification) -> str:
    state = "verified" if found.is_published else "unverified: no digest is published, this one is recorded here:"
    return f"{source.name}: {state} {found.algorithm} {found.digest}"


def _out(*, stderr: bool = False, soft_wrap: bool = True) -> Console:
    from rich.console import Console  # Rich takes a while to import, for other commands too

    return Console(stderr=stderr, soft_wrap=soft_wrap, highlight=False)
