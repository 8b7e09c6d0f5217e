"""What the reports of the training runs share: their command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def command_line(
    description: str | None,
    here: Path,
    plot: Callable[[Path, Path], None],
    sheet: Callable[[Path, Path], None],
    name: str,
    sheet_suffix: str,
) -> None:
    """Read the command line, draw the two images of a model card: the course of the training, and held-out frames.

    Args:
        description: shown by ``--help``.
        here: the folder of the training; its ``log.jsonl`` is drawn when no other is named.
        plot: takes the log and where to write.
        sheet: takes the folder of training data and where to write.
        name: what the images' names begin with.
        sheet_suffix: kind of file of the sheet: ".png", or ".jpg" where that would be large.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, default=here / "log.jsonl")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=here.parents[1] / "docs" / "images")
    args = parser.parse_args()
    plot(args.log, args.out / f"{name}-training.png")
    sheet(args.data, args.out / f"{name}-held-out{sheet_suffix}")
