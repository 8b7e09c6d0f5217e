"""A job with all that a person sees of it; what goes to standard error, results go to files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext

from sampt.runs.job import Job, JobResult
from sampt.runs.run import run_job
from sampt.weights import Progress, WeightsSource, downloads_shown_by

__all__ = ["print_note", "run_with_progress"]


def run_with_progress(job: Job, label: str, *, quiet: bool) -> JobResult:
    """Run ``job``: a line a backend about its weights, bars for downloads and frames, a summary, what to try next; or not."""
    if quiet:
        with downloads_shown_by(_unseen):
            return run_job(job)
    from sampt.cli.progress import bytes_bar, progress_bar, show_next, show_summary  # Rich, which takes a while to import

    def show(source: WeightsSource) -> AbstractContextManager[Progress]:
        return bytes_bar(source.name, quiet=False)

    with downloads_shown_by(show), ExitStack() as first, progress_bar(label, quiet=False) as on_frame:
        show_find = first.enter_context(progress_bar(f"{label}, finding objects", quiet=job.find is None))

        def on_find(done: int, total: int | None) -> None:
            show_find(done, total)
            if done == total:
                first.close()  # two bars at once disturb each other

        result = run_job(job, on_frame, print_note, on_find=on_find)
    show_summary(result, quiet=False)
    show_next(job.video, result)
    return result


def print_note(line: str) -> None:
    """Say a line that is neither result nor error."""
    print(f"sampt: {line}", file=sys.stderr)  # noqa: T201


def _unseen(source: WeightsSource) -> AbstractContextManager[Callable[[int, int | None], None]]:
    return nullcontext(lambda done, total: None)
