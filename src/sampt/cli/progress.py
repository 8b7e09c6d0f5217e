"""What a person sees while a run is on and when it has ended; it goes to standard error, results go to files."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from sampt.files.names import printable
from sampt.runs.job import JobResult, ObjectSummary
from sampt.runs.record import peak_memory_bytes
from sampt.types import ObjectState

__all__ = ["bytes_bar", "progress_bar", "show_next", "show_summary"]

_REASONS = {
    ObjectState.NO_VISIBLE_POINT: "none of its points is visible; click it on a later frame too",
    ObjectState.LOW_SCORE: "the segmenter's predicted IoU is below --iou-threshold",
    ObjectState.RETIRED: "it had no mask to draw new points from; click it on a later frame too",
    ObjectState.BEFORE_QUERY: "before its prompt frame",
    ObjectState.HIDDEN_BY_OTHERS: "covered by other objects' masks",
    ObjectState.EMPTY: "the segmenter finds nothing at its points",
    ObjectState.GIVEN_ABSENT: "you said that it is not there",
}


_LOST = (ObjectState.NO_VISIBLE_POINT, ObjectState.LOW_SCORE, ObjectState.RETIRED, ObjectState.EMPTY)
"""A click brings the object back, if it is there."""


class _Speed(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} {self._unit}/s")


@contextmanager
def progress_bar(label: str, *, quiet: bool, unit: str = "frames") -> Iterator[Callable[[int, int | None], None]]:
    """A bar with frames per second and the time left; gives the function to call with (frames done, frames in all or None).

    It is drawn on a terminal only, from the first call on, and wiped when the run fails, so that what remains is the error.
    """
    columns = [
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(unit),
        TimeRemainingColumn(),
        TextColumn("left"),
    ]
    with _draw(columns, label, quiet=quiet) as on_frame:
        yield on_frame


@contextmanager
def bytes_bar(label: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """The same for a download; gives the function to call with (bytes done, bytes in all or None)."""
    columns = [
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    ]
    with _draw(columns, label, quiet=quiet) as on_bytes:
        yield on_bytes


@contextmanager
def _draw(columns: Sequence[ProgressColumn], label: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    console = Console(stderr=True)
    progress = Progress(*columns, console=console, disable=quiet or not console.is_terminal)
    task = progress.add_task(_shown(label), total=None)

    def update(done: int, total: int | None) -> None:
        progress.update(task, completed=done, total=total)
        progress.start()  # again and again does no harm; not before, since two bars at once disturb each other

    try:
        yield update
    except BaseException:
        progress.live.transient = True
        raise
    finally:
        progress.stop()


def show_summary(result: JobResult, *, quiet: bool) -> None:
    """Frames, objects, speed, memory, licences, and where the results are."""
    if quiet:
        return
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    speed = result.num_frames / result.seconds if result.seconds else 0.0
    peak = peak_memory_bytes()
    memory = "" if peak is None or result.was_complete else f", peak memory {peak / 2**20:.0f} MiB"
    if result.was_complete:
        console.print(f"[bold]Already complete[/]: {_shown(str(result.output))} holds this very run; --overwrite repeats it.")
    if result.num_resumed:
        console.print(f"Went on with an interrupted run; {result.num_resumed} frames were already segmented.")
    console.print(
        f"[bold]{_count(result.num_frames, 'frame')}, {_count(len(result.objects), 'object')}[/] in {result.seconds:.1f} s "
        f"({speed:.1f} frames/s{memory})"
    )
    for item in result.objects:
        name = "" if item.label is None else f" ({_shown(item.label)})"
        console.print(f"  object {item.object_id}{name}: {_describe(item, result.num_frames)}")
    if result.num_left_out:
        console.print(f"  {_count(result.num_left_out, 'more object')} found and left out; --find-max takes more")
    if not result.objects:
        console.print("  nothing was found that may be an object; name objects by --points, or try another --proposer")
    console.print("licences: " + _shown("; ".join(f"{name}: {text}" for name, text in result.licenses.items())))
    console.print(f"results in {_shown(str(result.output))}: " + ", ".join(_shown(path.name) for path in result.files.values()))


def show_next(video: object, result: JobResult) -> None:
    """Which commands to try next: how to correct what was lost, and what takes the masks elsewhere.

    Args:
        video: what was worked on; only a file or a folder can be opened again.
        result: of the run.
    """
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    lost = [item.object_id for item in result.objects if item.last_state in _LOST]
    commands = []
    if isinstance(video, str | Path) and Path(video).exists():
        purpose = f"click {_listed(lost)} again where it was lost" if lost else "correct any frame in the page"
        commands.append((f"sampt ui {_quoted(video)}", purpose))
    if result.objects and {"png", "coco"} & result.files.keys():
        commands.append((f"sampt export {_quoted(result.output)} cvat", "or coco-instances, yolo-seg, ... for other programs"))
    for i, (command, purpose) in enumerate(commands):
        console.print(f"{'next:' if i == 0 else '     '} [bold]{_shown(command)}[/]   # {purpose}")


def _quoted(path: str | Path) -> str:
    return shlex.quote(str(path))


def _listed(ids: Sequence[int]) -> str:
    few = ", ".join(map(str, ids[:5]))
    return f"object {few}" if len(ids) == 1 else f"objects {few}{', ...' if len(ids) > 5 else ''}"


def _describe(item: ObjectSummary, num_frames: int) -> str:
    score = "never segmented" if item.score is None else f"mean predicted IoU {item.score:.2f}"
    absent = "" if item.last_state == ObjectState.PRESENT else f"; absent at the end: {_REASONS[item.last_state]}"
    return f"mask on {item.frames_present} of {num_frames} frames, {score}{absent}"


def _shown(text: str) -> str:
    """Text of somebody else for a console: no markup, no characters that move the cursor."""
    return escape(printable(text))


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
