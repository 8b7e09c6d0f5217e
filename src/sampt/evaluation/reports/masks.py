"""The report's part about datasets whose objects are given by masks."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from sampt.evaluation.reports.html import html_table, percent, published_section, run_sections, worst_section
from sampt.evaluation.reports.plots import Line, score_plot
from sampt.evaluation.reports.read import ScoredRun
from sampt.evaluation.reports.worst import worst_mask_frames
from sampt.evaluation.vos.results import Scores, SequenceScore

__all__ = ["COLUMNS", "sections", "summary"]

COLUMNS = ("run", "dataset", "sequences", "objects", "overall", "J&F", "J mean", "J recall", "F mean", "F recall", "frames/s")


def summary(run: ScoredRun[Scores]) -> list[str]:
    """The row of a run under ``COLUMNS``."""
    total = run.scores.total
    values = percent(run.scores.overall, total.j_and_f, total.j.mean, total.j.recall, total.f.mean, total.f.recall)
    return [run.label, run.scores.dataset, str(len(run.scores.sequences)), str(len(total.objects)), *values, run.describe_speed]


def sections(run: ScoredRun[Scores], worst: int) -> Iterator[str]:
    """HTML of all that is reported of a run, with the worst frames of ``worst`` sequences."""
    scores = run.scores
    yield f"<h2>{escape(run.label)}</h2>\n<p>{escape(scores.dataset)}, protocol {escape(scores.protocol)}.</p>"
    yield from published_section(run, (scores.overall,), f"{len(scores.sequences)} sequences")
    rows = [_score_row(sequence) for sequence in (*scores.sequences, scores.total)]
    columns = ("sequence", "J&F", "J", "J recall", "J decay", "F", "F recall", "F decay")
    yield "<h3>Sequences</h3>\n" + html_table(columns, rows)
    if scores.groups:
        groups = [[name, str(g.num_objects), *percent(g.j_and_f, g.j, g.f)] for name, g in scores.groups.items()]
        yield html_table(("group", "objects", "J&F", "J", "F"), groups)
    yield '<h3>Over time</h3>\n<p class="key"><span class="j">J</span> and <span class="f">F</span>, by frame.</p>'
    yield '<div class="plots">' + "".join(_plots(scores)) + "</div>"
    yield from worst_section(worst_mask_frames(run, worst), "")
    yield from run_sections(run)


def _score_row(score: SequenceScore) -> list[str]:
    j, f = score.j, score.f
    return [score.name, *percent(score.j_and_f, j.mean, j.recall, j.decay, f.mean, f.recall, f.decay)]


def _plots(scores: Scores) -> Iterator[str]:
    for sequence in scores.sequences:
        for one in sequence.objects:
            if not one.frames:
                continue
            label = sequence.name if len(sequence.objects) == 1 else f"{sequence.name} #{one.object_id}"
            j_and_f = (one.j.mean + one.f.mean) / 2
            plot = score_plot(one.frames, [Line(one.j_frames, "j"), Line(one.f_frames, "f")], f"{label}: J and F")
            yield f"<figure>{plot}<figcaption>{escape(label)}: {100 * j_and_f:.1f}</figcaption></figure>"
