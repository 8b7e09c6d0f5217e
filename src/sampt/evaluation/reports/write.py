"""The pages themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from sampt.errors import EvaluationError
from sampt.evaluation.instances.matches import ScoredInstances
from sampt.evaluation.reports import instances, masks
from sampt.evaluation.reports.html import html_table, page
from sampt.evaluation.reports.published import SOURCE, published
from sampt.evaluation.reports.read import AnyRun, ScoredRun, read_scored
from sampt.evaluation.vos.results import Scores
from sampt.files.atomic import make_folder, write_atomic
from sampt.files.names import markdown_cell, real_path

__all__ = ["write_report"]


def write_report(folders: Sequence[Path], output: Path, *, worst: int = 6) -> tuple[Path, Path]:
    """Make ``index.html`` and ``report.md`` of scored predictions, of datasets of either kind.

    Args:
        folders: each with the ``scores.json`` of `sampt eval score`.
        output: folder of the report, made when missing.
        worst: how many sequences show their worst frame, for each folder.

    Returns:
        The two files.

    Raises:
        EvaluationError: a folder has no scores, or the dataset that they are of is gone.
        OutputError: a file cannot be written.
    """
    if not folders:
        raise EvaluationError("There is nothing to report; give a folder of scored predictions.")
    runs = [read_scored(folder, label) for folder, label in zip(folders, _labels(folders), strict=True)]
    tables = (html_table(columns, rows) for columns, rows in _summaries(runs))
    text = page("\n".join([*tables, *(part for run in runs for part in _sections(run, worst))]))
    make_folder(output)
    paths = output / "index.html", output / "report.md"
    write_atomic(paths[0], text.encode("utf-8", "backslashreplace"))
    write_atomic(paths[1], ("\n".join(_markdown(runs)) + "\n").encode("utf-8", "backslashreplace"))
    return paths


def _labels(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, or the whole paths where two are alike."""
    names = [real_path(folder).name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _summaries(runs: Sequence[AnyRun]) -> Iterator[tuple[tuple[str, ...], list[list[str]]]]:
    """Head and rows of a table for each kind of dataset."""
    mask_rows = [masks.summary(cast(ScoredRun[Scores], run)) for run in runs if isinstance(run.scores, Scores)]
    track_rows = [
        instances.summary(cast(ScoredRun[ScoredInstances], run)) for run in runs if isinstance(run.scores, ScoredInstances)
    ]
    for columns, rows in ((masks.COLUMNS, mask_rows), (instances.COLUMNS, track_rows)):
        if rows:
            yield columns, rows


def _sections(run: AnyRun, worst: int) -> Iterator[str]:
    if isinstance(run.scores, Scores):
        return masks.sections(cast(ScoredRun[Scores], run), worst)
    return instances.sections(cast(ScoredRun[ScoredInstances], run), worst)


def _markdown(runs: Sequence[AnyRun]) -> Iterator[str]:
    for columns, rows in _summaries(runs):
        yield f"| {' | '.join(columns)} |"
        yield "|---" * len(columns) + "|"
        yield from (f"| {' | '.join(map(markdown_cell, row))} |" for row in rows)
        yield ""
    for run in runs:
        yield f"## {markdown_cell(run.label)}\n"
        yield run.scores.to_markdown() + "\n"
        found = published(run.choice.name)
        if found is not None:
            caption = ", ".join(f"{name} {' / '.join(map(str, values))}" for name, values in found.figures.items())
            yield f"Published {' / '.join(found.measures)} on all of {run.choice.name} {found.split} ({SOURCE}): {caption}\n"
