"""``sampt segment``: the main job."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from sampt.cli.finding import add_find_options, find_from
from sampt.cli.labels import add_image_option, add_label_options
from sampt.cli.running import run_with_progress
from sampt.cli.settings import (
    add_damage_option,
    add_running_options,
    add_setting_options,
    config_from,
    describe_presets,
    finite_number,
    whole_number,
)
from sampt.cli.streaming import run_streaming_with_progress
from sampt.errors import ConfigError, QueryError
from sampt.exporters.labels import parse_classes, parse_labels
from sampt.exporters.registry import exporter_names
from sampt.files.names import portable_name, real_path
from sampt.pipeline.queries import Queries, parse_queries
from sampt.points.parse import parse_mask_location
from sampt.runs.job import Job, RunOptions
from sampt.runs.outputs import DEFAULT_FORMATS
from sampt.video.streaming import is_streaming

__all__ = ["add_command", "describe_formats", "parse_formats"]

_EXAMPLES = """\
examples:
  sampt segment clip.mp4 --points 1,0,420,250 --points 1,0,300,90,-
  sampt segment frames/ --mask first.png -o out
  sampt segment clip.mp4 --find --find-max 5
  sampt segment clip.mp4 --box 1,0,400,200,460,310 --mask first.png@0 --mask later.png@40
  sampt segment 'frames/*.jpg' --queries clicks.json --stride 2 --tracker lucas-kanade
  sampt segment rtsp://camera/stream --points 1,0,420,250 --stop 3000
  sampt segment - --raw-size 854x480 --fps 25 --points 1,0,420,250 < frames.rgb
  sampt segment clip.mp4 --points 1,0,420,250 --segmenter sam-vit-b --segmenter-weights facebook/sam-vit-base
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command."""
    parser = commands.add_parser(
        "segment",
        help="segment objects through a video and save their masks",
        description="Segment objects, named by points, boxes or masks on any frame, or found, and save a mask for every frame.",
        usage="%(prog)s VIDEO (--points ... | --box ... | --queries FILE | --mask PNG | --find) [-o DIR] [options]",
        epilog=f"{describe_presets()}\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "video",
        metavar="VIDEO",
        help="video file, folder of images, or glob pattern in quotes; or streamed frames: - for standard input, "
        "/dev/videoN, or an address such as rtsp://...",
    )
    _add_query_options(parser)
    add_find_options(parser)
    _add_frame_options(parser)
    _add_output_options(parser)
    add_setting_options(parser)
    parser.set_defaults(run=_run)
    return parser


def _add_query_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("queries", "at least one, or --find; they may be mixed")
    group.add_argument(
        "--points",
        action="append",
        default=[],
        metavar="OBJECT,FRAME,X,Y[,SIGN]",
        help="a click: object id from 1, frame from 0, pixel, sign + (on the object; the default) or - (off it); repeat it",
    )
    group.add_argument("--queries", metavar="FILE", help="clicks from a file: JSON, or the text format of the SAM-PT program")
    group.add_argument(
        "--box",
        action="append",
        default=[],
        metavar="OBJECT,FRAME,X0,Y0,X1,Y1",
        help="a box around an object: its first and last pixel; clicks of the object on that frame go with it; repeat it",
    )
    group.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar="PNG[@FRAME]",
        help="mask image, on a frame of its own if given; each value but 0 is an object's id (docs/queries.md); repeat it",
    )
    group.add_argument(
        "--mask-frame", type=whole_number, metavar="N", help="the frame of a --mask without @FRAME (default: that of --start)"
    )


def _add_frame_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("frames")
    group.add_argument("--start", type=whole_number, default=0, metavar="N", help="first frame (default: 0)")
    group.add_argument("--stop", type=whole_number, metavar="N", help="end before this frame (default: to the end)")
    group.add_argument("--stride", type=whole_number, default=1, metavar="N", help="every N-th frame (default: 1)")
    add_damage_option(group)
    group.add_argument(
        "--allow-playlists",
        action="store_true",
        help="VIDEO may be a playlist (HLS, DASH, ffconcat): the files and addresses that it names are opened, too",
    )
    group.add_argument("--raw-size", metavar="WxH", help="standard input is raw RGB of this size, 3 bytes a pixel")
    group.add_argument("--fps", type=finite_number, metavar="X", help="of streamed frames that do not tell it (default: 24)")


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder of the results (default: sampt-output/NAME)")
    group.add_argument(
        "--formats",
        default=",".join(DEFAULT_FORMATS),
        metavar="LIST",
        help=describe_formats(),
    )
    add_label_options(group)
    add_image_option(group)
    group.add_argument("--overwrite", action="store_true", help="replace the results in the folder, this run's own too")
    add_running_options(group)
    group.add_argument("--quiet", action="store_true", help="no word of weights to load, no progress bar and no summary")


def _run(arguments: argparse.Namespace) -> int:
    job = Job(
        video=arguments.video.rstrip("/") or arguments.video,
        queries=_queries(arguments),
        output=arguments.output or Path("sampt-output") / portable_name(_choose_name(arguments.video)),
        config=config_from(arguments),
        options=RunOptions(
            formats=parse_formats(arguments.formats),
            on_damage=arguments.on_damage,
            allow_playlists=arguments.allow_playlists,
            device=arguments.device,
            runtime=arguments.runtime,
            precision=arguments.precision,
            overwrite=arguments.overwrite,
            images=arguments.images,
        ),
        start=arguments.start,
        stop=arguments.stop,
        stride=arguments.stride,
        labels=None if arguments.labels is None else parse_labels(arguments.labels),
        classes=() if arguments.classes is None else parse_classes(arguments.classes),
        find=find_from(arguments),
    )
    if is_streaming(arguments.video):
        return run_streaming_with_progress(job, arguments)
    for option in ("raw_size", "fps"):
        if getattr(arguments, option) is not None:
            raise ConfigError(f"--{option.replace('_', '-')} is for streamed frames, from standard input (-) for example.")
    run_with_progress(job, _choose_name(arguments.video), quiet=arguments.quiet)
    return 0


def _queries(arguments: argparse.Namespace) -> Queries:
    masks = [parse_mask_location(text) for text in arguments.mask]
    if arguments.mask_frame is not None:
        if all(frame_idx is not None for _, frame_idx in masks):
            raise QueryError("--mask-frame is given without --mask, or each has its own @FRAME; give the mask image too.")
        if arguments.mask_frame < 0:
            raise QueryError(f"--mask-frame is {arguments.mask_frame}; expected a frame from 0.")
    default = arguments.start if arguments.mask_frame is None else arguments.mask_frame
    queries = parse_queries(
        clicks=arguments.points,
        boxes=arguments.box,
        file=arguments.queries,
        masks=[(path, default if frame_idx is None else frame_idx) for path, frame_idx in masks],
    )
    if not queries.object_ids and find_from(arguments) is None:
        raise QueryError("No object is named; give --points, --box, --queries or --mask, or let --find find them.")
    return queries


def describe_formats() -> str:
    """The help of ``--formats``."""
    return (
        f"what to save, of {', '.join(exporter_names())}, separated by commas; 'sampt export --help' tells what they are "
        f"(default: {','.join(DEFAULT_FORMATS)})"
    )


def parse_formats(text: str) -> list[str]:
    """The names in the value of ``--formats``."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"--formats is empty; expected some of: {', '.join(exporter_names())}.")
    return names


def _choose_name(video: str) -> str:
    """A short name for the video: the file's stem, the folder's name, the folder of a glob pattern, the end of an address."""
    if is_streaming(video):
        return re.sub(r"[^A-Za-z0-9.-]+", "-", "stdin" if video == "-" else video.rpartition("://")[2]).strip("-.") or "stream"
    path = Path(video)
    if any(c in video for c in "*?["):
        path = next((p for p in path.parents if not any(c in str(p) for c in "*?[")), path)
        return real_path(path).name or "video"
    return real_path(path).name if path.is_dir() else real_path(path).stem
