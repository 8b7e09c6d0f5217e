"""``sampt export``: what was made in the page, as a file that other programs read."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sampt.errors import ConfigError, did_you_mean
from sampt.files.names import real_path

if TYPE_CHECKING:
    from sampt.session import Session
    from sampt.types import FrameMasks

__all__ = ["KINDS", "add_command"]

_LOG = logging.getLogger(__name__)
KINDS = """\
kinds:
  png                 label maps: palette PNGs in a ZIP (DAVIS layout)
  youtube-vis         masks as COCO RLE, a track an object (YouTube-VIS layout)
  overlay             video with masks, points and ids drawn on it
  cutout              objects on a transparent background (WebM, VP9 with alpha)
  cutout-png          objects on a transparent background (RGBA PNGs in a ZIP)
  tracks-json         tracks of the points as JSON
  tracks-csv          tracks of the points as a table (CSV)
  cvat                masks for CVAT (CVAT for images 1.1)
  cvat-boxes          boxes as tracks for CVAT (CVAT for video 1.1)
  label-studio        masks for Label Studio (brush, a task a frame)
  label-studio-video  boxes as tracks for Label Studio (VideoRectangle)
"""
"""As the exporters say it themselves; written out since importing them would slow every command down."""
_EXAMPLES = """\
examples:
  sampt export clip.sampt png                          # clip-png.zip
  sampt export clip.sampt cvat -o annotations.xml --objects 1,3
  sampt export clip.sampt overlay --start 20 --stop 80
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command."""
    parser = commands.add_parser(
        "export",
        help="write the masks of a project of 'sampt ui' as a file for other programs",
        description=f"Write the masks of a project as one file.\n\n{KINDS}",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("project", type=Path, metavar="PROJECT", help="the folder NAME.sampt")
    parser.add_argument("kind", metavar="KIND", help="see above")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: PROJECT-KIND with the kind's ending, here")
    parser.add_argument("--video", metavar="VIDEO", help="where the video is now, when it was moved")
    parser.add_argument("--objects", type=_ids, metavar="ID,...", help="default: all")
    parser.add_argument("--start", type=int, default=0, metavar="FRAME", help="first frame (default: 0)")
    parser.add_argument("--stop", type=int, metavar="FRAME", help="one past the last frame (default: the video's end)")
    parser.add_argument("--quiet", action="store_true", help="print the path alone")
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from sampt.cli.progress import progress_bar
    from sampt.exporters.registry import EXPORTERS, ExportObject, export
    from sampt.session import Session

    kind = arguments.kind
    if kind not in EXPORTERS:
        raise ConfigError(f"Unknown export {kind!r}.{did_you_mean(kind, EXPORTERS)} Available: {', '.join(EXPORTERS)}.")
    path = arguments.output or Path(f"{real_path(arguments.project).stem}-{kind}{EXPORTERS[kind].suffix}")
    with Session.open(arguments.project, video=arguments.video) as session:
        frames = range(arguments.start, session.num_frames if arguments.stop is None else arguments.stop)
        ids = [o.object_id for o in session.objects] if arguments.objects is None else arguments.objects
        results = session.merged_masks(frames, ids)  # refuses unknown frames and objects
        objects = [ExportObject(o.object_id, o.name, o.color_rgb) for o in session.objects if o.object_id in ids]
        with progress_bar(f"export {kind}", quiet=arguments.quiet) as show:
            export(kind, _shown(results, frames, show), session.video, objects, path)
        _tell_missing(session, frames, ids)
    print(path)  # noqa: T201
    return 0


def _shown(results: Iterator[FrameMasks], frames: range, show: Callable[[int, int | None], None]) -> Iterator[FrameMasks]:
    for result in results:
        yield result
        show(result.frame_idx - frames.start + 1, len(frames))


def _tell_missing(session: Session, frames: range, ids: list[int]) -> None:
    """A warning when results that were exported are not what the page would show after a propagation."""
    missing = session.count_missing(frames, ids)
    if missing:
        _LOG.warning(
            "%d results of objects on frames are missing or older than the clicks; propagate in 'sampt ui' to have them.",
            missing,
        )


def _ids(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of object ids; expected numbers such as 1,3") from None
