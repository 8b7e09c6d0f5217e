"""``sampt batch``: many videos."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sampt.batch.driver import LOG_NAME, REPORT_NAME, BatchReport, run_batch
from sampt.batch.items import read_batch
from sampt.batch.local import LocalPool
from sampt.batch.on_ray import RayPool
from sampt.batch.remote import RemoteFolder, is_url
from sampt.batch.work import BatchSettings, ItemResult
from sampt.cli.finding import add_find_options, find_from
from sampt.cli.labels import add_image_option, add_label_options
from sampt.cli.segment import describe_formats, parse_formats
from sampt.cli.settings import (
    add_damage_option,
    add_running_options,
    add_setting_options,
    config_from,
    describe_presets,
    whole_number,
)
from sampt.config import SegmentConfig
from sampt.errors import BatchError
from sampt.exporters.labels import parse_classes, parse_labels
from sampt.files.names import real_path
from sampt.runs.job import RunOptions
from sampt.runs.outputs import DEFAULT_FORMATS

__all__ = [
    "add_command",
    "add_output_options",
    "add_worker_options",
    "pool_for",
    "print_report",
    "print_results",
    "settings_from",
]

_EXAMPLES = """\
a manifest has a JSON object a line; paths begin at its folder:
  {"video": "a.mp4", "points": ["1,0,420,250", "1,0,300,90,-"]}
  {"video": "b/frames", "mask": "b/first.png", "name": "b", "settings": {"seed": 1}}
  {"video": "c.mp4", "boxes": ["1,0,400,200,460,310"], "masks": ["first.png@0", "later.png@40"]}
  {"video": "c.mp4", "queries": "c.json", "start": 20, "stop": 80, "stride": 2}
  {"video": "d.mp4", "points": ["1,0,420,250"], "labels": {"1": "dog"}}

examples:
  sampt batch videos.jsonl -o results
  sampt batch folder/ -o results --workers 8          # folder/a.mp4 with folder/a.json, or a mask folder/a.png
  sampt batch videos.jsonl -o results --formats yolo-seg --images jpg --labels 1=dog,2=cat
  sampt batch folder/ -o results --find                 # objects that nobody named; no queries need lie beside
  sampt batch videos.jsonl -o results --workers 2 --device cuda:0,cuda:1
  sampt batch videos.jsonl -o /shared/results --ray      # on a Ray cluster
  sampt batch s3://bucket/videos.jsonl -o s3://bucket/results    # with sampt[remote] and s3fs
"""
_BROKEN = 1


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command."""
    parser = commands.add_parser(
        "batch",
        help="segment objects through many videos, by several workers",
        description="Segment objects through the videos of a manifest or a folder. A batch that was stopped goes on when it is "
        "started again; a video that cannot be done is recorded, and the others go on (exit status 1).",
        usage="%(prog)s MANIFEST|FOLDER -o DIR [options]",
        epilog=f"{describe_presets()}\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="MANIFEST|FOLDER", help="JSON lines, or a folder of videos with their queries")
    help_text = "a folder for every video comes here; also an address such as s3://bucket/results (sampt[remote])"
    add_output_options(parser, help_text, describe_formats(), ",".join(DEFAULT_FORMATS), kind=str)
    add_find_options(parser)
    add_damage_option(parser)
    add_worker_options(parser)
    add_setting_options(parser)
    parser.set_defaults(run=_run)
    return parser


def add_output_options(
    parser: argparse.ArgumentParser, help_text: str, saved: str, formats: str | None = None, kind: type[Path] | type[str] = Path
) -> None:
    """Add where results go and which: ``--output`` (reported as ``help_text``), ``--formats`` (``saved``), and what belongs to
    them."""
    group = parser.add_argument_group("output")
    group.add_argument("-o", "--output", type=kind, required=True, metavar="DIR", help=help_text)
    group.add_argument("--formats", default=formats, metavar="LIST", help=saved)
    if formats is not None:  # what evaluations write is their business
        add_label_options(group)
        add_image_option(group)
    group.add_argument("--overwrite", action="store_true", help="do again what is complete, and replace other results")
    group.add_argument("--quiet", action="store_true", help="no progress bar and no summary")


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--workers`` and what belongs to it."""
    group = parser.add_argument_group("workers")
    group.add_argument(
        "--workers", type=whole_number, metavar="N", help="processes (default: one a core, or a device of --device)"
    )
    group.add_argument(
        "--threads", type=whole_number, metavar="N", help="of each worker (default: the cores shared among them)"
    )
    group.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="workers on a Ray cluster: the one that this machine belongs to, or that at ADDRESS; the output is a folder that "
        "every node reaches",
    )
    group.add_argument(
        "--shared-frames",
        type=whole_number,
        default=1000,
        metavar="N",
        help="workers that have nothing else to do share videos of N frames or more by their objects, when these are tracked "
        "without re-initialisation; the results are the same (default: %(default)s)",
    )
    retries = "how often a video is tried again when its worker dies or something breaks down (default: 2)"
    group.add_argument("--retries", type=whole_number, default=2, metavar="N", help=retries)
    add_running_options(group)


def _run(arguments: argparse.Namespace) -> int:
    with _open_output(arguments.output) as (folder, upload):
        shown, arguments.output = arguments.output, folder
        find = find_from(arguments)
        settings = dataclasses.replace(settings_from(arguments, config_from(arguments)), upload=upload, find=find)
        items = read_batch(arguments.source, finds=find is not None)
        with (
            pool_for(arguments, settings, len(items)) as pool,
            print_results(len(items), "videos", quiet=arguments.quiet) as on_result,
        ):
            report = run_batch(items, settings, pool, retries=arguments.retries, on_result=on_result)
    if not arguments.quiet:
        done = next((r.name for r in report.results if r.error is None), None)
        exported = done is not None and "://" not in str(shown)
        print_report(report, shown, "videos", f"sampt export {shlex.quote(f'{shown}/{done}')} cvat" if exported else None)
    return 0 if report.is_complete else _BROKEN


@contextmanager
def _open_output(output: str) -> Iterator[tuple[Path, str | None]]:
    """The folder to work in, and the address that results are copied to: with what became of all, when the batch ends."""
    if not is_url(output):
        yield Path(output), None
        return
    there = RemoteFolder(output)
    with tempfile.TemporaryDirectory(prefix="sampt-") as folder:
        if (before := there.read(LOG_NAME)) is not None:
            (Path(folder) / LOG_NAME).write_bytes(before)
        try:
            yield Path(folder), there.url
        finally:
            for name in (LOG_NAME, REPORT_NAME):
                if (path := Path(folder) / name).exists():
                    there.write(name, path.read_bytes())


def settings_from(arguments: argparse.Namespace, config: SegmentConfig) -> BatchSettings:
    """What a batch's items have in common, checked.

    Raises:
        SamptError: a value does not fit.
    """
    if arguments.retries < 0:
        raise BatchError(f"--retries is {arguments.retries}; expected a whole number from 0.")
    settings = BatchSettings(
        # Workers on a cluster begin in another folder.
        output=arguments.output if arguments.ray is None else real_path(arguments.output),
        config=config,
        options=RunOptions(
            formats=tuple(parse_formats(arguments.formats)),
            on_damage=getattr(arguments, "on_damage", "stop"),
            device=arguments.device,
            runtime=arguments.runtime,
            precision=arguments.precision,
            overwrite=arguments.overwrite,
            images=getattr(arguments, "images", None),
        ),
        shared_frames=arguments.shared_frames,
        labels=parse_labels(arguments.labels) if getattr(arguments, "labels", None) else {},
        classes=parse_classes(arguments.classes) if getattr(arguments, "classes", None) else (),
    )
    settings.check()
    return settings


def pool_for(arguments: argparse.Namespace, settings: BatchSettings, num_items: int) -> LocalPool | RayPool:
    """The workers.

    Raises:
        BatchError: there cannot be such.
    """
    if arguments.ray is not None:
        return RayPool(settings, arguments.ray, arguments.workers, arguments.threads)
    devices = settings.options.device.split(",")
    limit = len(devices) if len(devices) > 1 else os.cpu_count() or 1
    workers = min(num_items, limit) if arguments.workers is None else arguments.workers
    return LocalPool(settings, workers, arguments.threads)


@contextmanager
def print_results(total: int, unit: str, *, quiet: bool) -> Iterator[Callable[[ItemResult], None] | None]:
    """A bar of items that are done; gives what to call with each result."""
    if quiet:
        yield None
        return
    from sampt.cli.progress import progress_bar  # Rich, which takes a while to import

    with progress_bar(unit, quiet=False, unit=unit) as on_done:
        done = 0

        def show(result: ItemResult) -> None:
            nonlocal done
            done += 1
            on_done(done, total)

        on_done(0, total)
        yield show


def print_report(report: BatchReport, output: Path | str, unit: str, next_command: str | None) -> None:
    """The counts, a line for each item that has no results, and the command to try next, if there is one."""
    frames = sum(r.num_frames for r in report.results if r.status == "done")
    lines = [
        f"{report.count('done')} {unit} ({frames} frames) in {report.seconds:.1f} s, {report.count('was done')} done before, "
        f"{report.count('failed', 'broke down')} without results; all in {output}"
    ]
    lines += [f"  {r.name}: {r.error}" for r in report.results if r.error is not None]
    lines += [f"next: {next_command}"] if next_command else []
    print("\n".join(lines), file=sys.stderr)  # noqa: T201
