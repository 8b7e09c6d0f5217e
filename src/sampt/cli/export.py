"""``sampt export``: what a run or a project has found, as a file that other programs read."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sampt.cli.labels import add_image_option, add_label_options
from sampt.errors import OutputError
from sampt.exporters.base import Exporter, ExportObject, object_named
from sampt.exporters.labels import check_labels, parse_classes, parse_labels
from sampt.exporters.registry import check_images, describe_exporters, export, find_exporter
from sampt.files.names import real_path
from sampt.runs.manifest import MANIFEST_NAME
from sampt.runs.saved import SavedRun, is_run

if TYPE_CHECKING:
    from sampt.session import Session
    from sampt.types import FrameMasks

__all__ = ["add_command"]

_LOG = logging.getLogger(__name__)
_EXAMPLES = """\
examples:
  sampt export sampt-output/clip cvat                  # clip-cvat.xml
  sampt export clip.sampt cvat -o annotations.xml --objects 1,3
  sampt export clip.sampt overlay --start 20 --stop 80
  sampt export sampt-output/clip yolo-seg --labels 1=dog,2=cat --classes cat,dog,horse --images jpg
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command."""
    kinds = "\n".join(f"  {name:<18}  {title[:1].lower()}{title[1:]}" for name, title in describe_exporters().items())
    parser = commands.add_parser(
        "export",
        help="write the masks of a run, or of a project of 'sampt ui', as a file for other programs",
        description=f"Write the masks of a finished run or of a project as one file.\n\nkinds:\n{kinds}",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="RUN|PROJECT", help="the folder of a run, or the folder NAME.sampt")
    parser.add_argument("kind", metavar="KIND", help="see above")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: NAME-KIND with the kind's ending, here")
    parser.add_argument("--video", metavar="VIDEO", help="where the video is now, when it was moved")
    parser.add_argument("--objects", type=_ids, metavar="ID,...", help="default: all")
    parser.add_argument("--start", type=int, default=0, metavar="FRAME", help="first frame (default: 0)")
    parser.add_argument("--stop", type=int, metavar="FRAME", help="one past the last frame (default: the video's end)")
    add_label_options(parser)
    add_image_option(parser)
    parser.add_argument("--quiet", action="store_true", help="print the path alone")
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    exporter = find_exporter(arguments.kind)
    check_images(arguments.kind, exporter, arguments.images)
    run = is_run(arguments.source)
    source = real_path(arguments.source)
    name = f"{source.name if run else source.stem}-{arguments.kind}{exporter.suffix_with(arguments.images)}"
    path = arguments.output or Path(name)
    if run:
        _export_run(arguments, exporter, path)
    else:
        _export_project(arguments, path)
    print(path)  # noqa: T201
    return 0


def _export_run(arguments: argparse.Namespace, exporter: Exporter, path: Path) -> None:
    run = SavedRun(arguments.source, video=arguments.video)
    run.check(exporter.needs)
    frames = _frames(arguments, run.video.num_frames)
    ids = run.object_ids if arguments.objects is None else arguments.objects
    results = run.frames(frames, ids)  # refuses unknown frames and objects
    if exporter.shows_points and not run.has_points:
        _LOG.warning("The run in %s has saved no points (npz in --formats), so none are drawn.", arguments.source)
    names = _labels(arguments, run.object_ids, run.labels)
    is_whole = frames == range(run.video.num_frames)
    with _progress(arguments) as show:
        export(
            arguments.kind,
            _shown(results, frames, show),
            run.video,
            [object_named(object_id, names.get(object_id)) for object_id in ids],
            path,
            overlapping=run.overlapping,
            num_frames=len(frames) if is_whole else None,
            mean_scores=run.mean_scores,
            classes=_classes(arguments) or run.classes,
            images=arguments.images,
        )


def _export_project(arguments: argparse.Namespace, path: Path) -> None:
    from sampt.session import Session
    from sampt.session.project import PROJECT_NAME

    if not (arguments.source / PROJECT_NAME).is_file():
        raise OutputError(
            f"{arguments.source} is no project and no run: neither {PROJECT_NAME} nor {MANIFEST_NAME} is in it; expected the "
            "folder of a run, or NAME.sampt."
        )
    with Session.open(arguments.source, video=arguments.video) as session:
        frames = _frames(arguments, session.num_frames)
        ids = [o.object_id for o in session.objects] if arguments.objects is None else arguments.objects
        results = session.merged_masks(frames, ids)  # refuses unknown frames and objects
        names = _labels(arguments, [o.object_id for o in session.objects], {o.object_id: o.name for o in session.objects})
        objects = [ExportObject(o.object_id, names[o.object_id], o.color_rgb) for o in session.objects if o.object_id in ids]
        _warn_of_missing(session, frames, ids)
        more: dict[str, Any] = {"classes": _classes(arguments), "images": arguments.images}
        with _progress(arguments) as show:
            export(arguments.kind, _shown(results, frames, show), session.video, objects, path, **more)


def _labels(arguments: argparse.Namespace, object_ids: Iterable[int], known: Mapping[int, str]) -> Mapping[int, str]:
    """Object id -> name: as given, or as known before."""
    if arguments.labels is None:
        return known
    labels = parse_labels(arguments.labels)
    check_labels(labels, object_ids)
    return labels


def _classes(arguments: argparse.Namespace) -> tuple[str, ...]:
    return () if arguments.classes is None else parse_classes(arguments.classes)


def _frames(arguments: argparse.Namespace, num_frames: int) -> range:
    return range(arguments.start, num_frames if arguments.stop is None else arguments.stop)


def _progress(arguments: argparse.Namespace) -> AbstractContextManager[Callable[[int, int | None], None]]:
    from sampt.cli.progress import progress_bar

    return progress_bar(f"export {arguments.kind}", quiet=arguments.quiet)


def _shown(results: Iterator[FrameMasks], frames: range, show: Callable[[int, int | None], None]) -> Iterator[FrameMasks]:
    for result in results:
        yield result
        show(result.frame_idx - frames.start + 1, len(frames))


def _warn_of_missing(session: Session, frames: range, ids: list[int]) -> None:
    """A warning when results that are exported are not what the page would show after a propagation."""
    found = session.coverage(frames, ids)
    if not found.is_complete:
        _LOG.warning(
            "%d of %d frames have masks that are up to date, %d are out of date and %d not propagated; propagate in 'sampt ui' "
            "to have them.",
            found.num_with_masks,
            found.num_frames,
            found.num_out_of_date,
            found.num_missing,
        )


def _ids(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of object ids; expected numbers such as 1,3") from None
