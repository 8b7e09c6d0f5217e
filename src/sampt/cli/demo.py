"""``sampt demo``: the main job on a clip that the program makes itself, scored against the exact masks."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from sampt.cli.running import run_with_progress
from sampt.cli.settings import add_preset_option, config_from
from sampt.evaluation.vos.jf import jaccard
from sampt.files.atomic import make_folder
from sampt.runs.job import Job, JobResult, RunOptions
from sampt.testing.scenes import Scene, SceneVideo, demo_scene
from sampt.types import QueryMask
from sampt.video.writer import VideoWriter

__all__ = ["add_command"]


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command."""
    parser = commands.add_parser(
        "demo",
        help="see it work on a clip made on the spot",
        description="Render a clip with moving, bending and crossing objects, segment them from their first masks, "
        "and compare the result with the exact masks.",
    )
    folder = Path("sampt-demo")
    parser.add_argument("-o", "--output", type=Path, default=folder, metavar="DIR", help=f"results go here (default: {folder})")
    add_preset_option(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no summary, the IoU alone")
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    config = config_from(arguments)
    scene = demo_scene()
    clip = make_folder(arguments.output) / "clip.mp4"
    _render(scene, clip, quiet=arguments.quiet)
    queries = [QueryMask(o, 0, m) for o, m in _objects(scene, 0) if m.any()]
    job = Job(clip, queries, arguments.output / "result", config, RunOptions(overwrite=True))
    result = run_with_progress(job, "segmenting", quiet=arguments.quiet)
    _show_iou(scene, result, quiet=arguments.quiet)
    return 0


def _render(scene: Scene, clip: Path, *, quiet: bool) -> None:
    from sampt.cli.progress import progress_bar  # Rich takes a while to import, for other commands too

    video = SceneVideo(scene)
    with progress_bar("rendering", quiet=quiet) as on_frame, VideoWriter(clip, video.fps, video.size_hw) as writer:
        for i in range(video.num_frames):
            writer.write(video.read(i, i + 1)[0])
            on_frame(i + 1, video.num_frames)


def _objects(scene: Scene, frame_idx: int) -> list[tuple[int, np.ndarray]]:
    return list(enumerate(scene.masks(frame_idx), 1))


def _show_iou(scene: Scene, result: JobResult, *, quiet: bool) -> None:
    """Mean IoU over all frames but the first, which was given, against the exact masks."""
    from rich.console import Console
    from rich.markup import escape

    folder = result.files["png"]
    overlaps = []
    for i in range(1, scene.num_frames):
        labels = np.asarray(Image.open(folder / f"{i:05d}.png"))
        overlaps.append([jaccard(labels == o, m) for o, m in _objects(scene, i)])
    means = np.mean(overlaps, axis=0)
    console = Console(soft_wrap=True, highlight=False)
    each = ", ".join(f"object {o} {v:.2f}" for o, v in enumerate(means, 1))
    console.print(f"IoU with the exact masks, mean over frames: [bold]{means.mean():.2f}[/] ({each})")
    if not quiet:
        console.print(f"Look at {escape(str(result.files['sheet']))} and {escape(str(result.files['overlay']))}")
